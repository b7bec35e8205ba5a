"""How often the gate fails a healthy subject: three stacks, two sizes, any number of seeds.

    python tests/studies/false_alarms.py --out alarms.jsonl [--part 1/4] [--subjects 200]
    python tests/studies/false_alarms.py --table alarms*.jsonl

One line a subject, appended as it is judged: what a file has already is not judged again, so that
a stopped run goes on where it stopped, and parts may run on several machines. A seed draws another
embedded market, another order of the batches, other weights. The snapshot and the baseline are
left out: they hold a subject to itself, and each of these is another one. No threshold of the gate
was set on these seeds, which start at 1000.
"""

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from scipy import stats

from flatline.harness import Status, examine
from flatline.harness.report import failed
from flatline.harness.suites import CHECKS
from flatline.settings import load_settings
from flatline.subjects import GATE_SETTINGS, reference

FIRST_SEED = 1000
# Half of what the gate takes: a training of seconds, and if anything a weaker subject.
STEPS = 100
# The references as they are, and smaller ones.
SIZES = {"usual": dict.fromkeys(GATE_SETTINGS, ())}
SIZES["small"] = {
    "apex": ("model.hidden=8",),
    "atft_gat_fan": ("model.hidden=16", "model.variable_width=4", "model.attention_heads=2"),
    "patchtst": ("model.hidden=8", "model.feed_forward=16"),
}


def main() -> None:
    """Judge what is missing, or show what is there."""
    options = parse()
    if options.table:
        show([json.loads(line) for file in options.table for line in file.open(encoding="utf-8")])
        return
    part, parts = map(int, options.part.split("/"))
    wanted = [key for i, key in enumerate(keys(options.subjects)) if i % parts == part - 1]
    done = keys_of(options.out)
    torch.set_num_threads(options.threads)
    with options.out.open("a", encoding="utf-8") as file:
        for key in wanted:
            if key not in done:
                file.write(json.dumps(judge(*key)) + "\n")
                file.flush()


def keys(subjects: int) -> list[tuple[str, str, int]]:
    """Name, size and seed of so many subjects, each stack in either size before the next seed."""
    kinds = [(name, size) for size in SIZES for name in sorted(GATE_SETTINGS)]
    return [(*kinds[i % len(kinds)], FIRST_SEED + i // len(kinds)) for i in range(subjects)]


def judge(name: str, size: str, seed: int) -> dict:
    """Every verdict on one healthy subject."""
    settings = load_settings(
        GATE_SETTINGS[name],
        environ={},
        overrides=[f"data.source.market_seed={seed}", f"data.seed={seed}", *SIZES[size][name]],
    )
    subject = replace(reference(name, settings), baseline=None, snapshot=False)
    if seed > FIRST_SEED:
        # Whether a setting can be changed does not hang on the seed; trying all takes its time.
        subject = replace(subject, settings=None)
    started = time.perf_counter()
    verdicts = examine(subject, steps=STEPS, seed=seed).verdicts
    return {
        "name": name,
        "size": size,
        "seed": seed,
        "seconds": round(time.perf_counter() - started, 1),
        "statuses": {verdict.check: str(verdict.status) for verdict in verdicts},
        "values": {v.check: [v.as_data()["value"], v.as_data()["bound"]] for v in verdicts},
        "failed": {v.check: v.measured for v in verdicts if failed([v])},
    }


def keys_of(file: Path) -> set[tuple[str, str, int]]:
    """Subjects that a file has already; a last line that was cut off is taken off it."""
    if not file.exists():
        return set()
    text = file.read_text(encoding="utf-8")
    if not text.endswith("\n"):
        text = text[: text.rfind("\n") + 1]
        file.write_text(text, encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    return {(one["name"], one["size"], one["seed"]) for one in lines}


def show(lines: list[dict]) -> None:
    """Failed verdicts of each check, with what the rate is below."""
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table_of(lines))
    for one in lines:
        for check, measured in one["failed"].items():
            console.print(f"{one['name']} {one['size']} {one['seed']}: {check}: {measured}")
    wolf, count = sum(bool(one["failed"]) for one in lines), len(lines)
    by_kind = Counter((one["name"], one["size"]) for one in lines)
    console.print(
        f"{wolf} of {count} healthy subjects failed a check, at most {upper(wolf, count):.2%} (95 "
        f"%); a gate run took {sum(one['seconds'] for one in lines) / max(count, 1):.0f} s; "
        + ", ".join(f"{n} {name} {size}" for (name, size), n in sorted(by_kind.items()))
    )


def table_of(lines: list[dict]) -> Table:
    """One row a check; those that nothing was judged by say so."""
    found: dict[str, Counter] = defaultdict(Counter)
    for one in lines:
        for check, status in one["statuses"].items():
            found[check][status] += 1
    stated = {check.id: check.false_alarm_rate for check in CHECKS}
    table = Table(title="healthy subjects that fail", title_justify="left")
    for name in ("check", "judged", "failed", "at most (95 %)", "stated"):
        table.add_column(name, justify="left" if name == "check" else "right")
    for check, statuses in found.items():
        judged = sum(statuses.values()) - statuses[str(Status.SKIP)]
        wolf = statuses[str(Status.FAIL)] + statuses[str(Status.ERROR)]
        most = f"{upper(wolf, judged):.2%}" if judged else "not judged"
        rate = stated.get(check)
        table.add_row(check, str(judged), str(wolf), most, "" if rate is None else f"{rate:g}")
    return table


def upper(failures: int, trials: int, *, level: float = 0.95) -> float:
    """The rate below which the true one lies with this confidence.

    References:
        Clopper and Pearson, The use of confidence or fiducial limits illustrated in the case
        of the binomial, 1934.
    """
    if failures >= trials:
        return 1.0
    return float(stats.beta.ppf(level, failures + 1, trials - failures))


def parse() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("false_alarms.jsonl"))
    parser.add_argument("--part", default="1/1", metavar="K/N", help="judge every Nth subject")
    parser.add_argument("--subjects", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1, help="of torch, for each process")
    parser.add_argument("--table", type=Path, nargs="+", metavar="FILE", help="show, judge nothing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
