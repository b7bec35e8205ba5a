"""How often the drift checks cry wolf on stationary panels, and which shifts they see.

    python tests/studies/drift.py --out drift.jsonl [--part 1/4] [--panels 300]
    python tests/studies/drift.py --table drift*.jsonl

One line a panel, appended as it is done: what a file has already is not drawn again, so that a
stopped run goes on where it stopped, and parts may run on several machines. Ten columns; the
share of a column's variance that is common to the stocks of a day follows an AR(1). Later days
come right behind the train days. Beside the checks stand the two alarms that are often used
instead: Kolmogorov and Smirnov's test at p < 0.05 over all rows, and a Wasserstein distance
above 0.1 standard deviations.
"""

import argparse
import json
import sys
from collections import defaultdict
from itertools import product
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats
from scipy.signal import lfilter

from flatline.harness.checks.drift import (
    distributions_hold,
    features_in_support,
    levels_hold,
    spreads_hold,
)
from flatline.harness.drift.compare import compare
from flatline.harness.drift.sample import sample_of
from flatline.harness.statistics import CHANCE
from flatline.harness.verdicts import Status

SHARES, PERSISTENCES = (0.0, 0.05, 0.2), (0.0, 0.9)
SHIFTS = (0.25, 0.5, 1.0)
TRAIN_DAYS, LATER_DAYS, STOCKS, COLUMNS = 500, 125, 50, 10
CHECKS = {
    "level": levels_hold,
    "spread": spreads_hold,
    "distribution": distributions_hold,
    "support": features_in_support,
}
P_VALUE, DISTANCE = 0.05, 0.1


def main() -> None:
    """Draw what is missing, or show what is there."""
    options = parse()
    if options.table:
        show([json.loads(line) for file in options.table for line in file.open(encoding="utf-8")])
        return
    part, parts = map(int, options.part.split("/"))
    wanted = [
        key
        for i, key in enumerate(product(range(options.panels), SHARES, PERSISTENCES))
        if i % parts == part - 1
    ]
    done = keys_of(options.out)
    with options.out.open("a", encoding="utf-8") as file:
        for key in wanted:
            if key not in done:
                file.write(json.dumps(judge(*key)) + "\n")
                file.flush()


def judge(panel: int, share: float, persistence: float) -> dict:
    """What each alarm says of one panel, as it is and shifted."""
    draw = np.random.default_rng([panel, round(1000 * share), round(1000 * persistence)])
    x = draw_panel(draw, share, persistence)
    cut = TRAIN_DAYS * STOCKS
    day = np.repeat(np.arange(TRAIN_DAYS + LATER_DAYS), STOCKS)
    train, later = sample_of(x[:cut], day[:cut]), x[cut:]
    columns = compare(train, sample_of(later, day[cut:]), chance=CHANCE)
    found = {
        "panel": panel,
        "share": share,
        "persistence": persistence,
        "alarms": {name: failed(check(columns)) for name, check in CHECKS.items()},
        "usual": [alarm_usual(train.values[:, i], later[:, i]) for i in range(COLUMNS)],
        "seen": {},
    }
    first = sample_of(train.values[:, :1], day[:cut])
    for shift in SHIFTS:
        moved = later[:, :1] + shift * train.values[:, 0].std()
        # One column of ten: its share of the chance is what it has among all of them.
        one = compare(first, sample_of(moved, day[cut:]), chance=CHANCE / COLUMNS)
        seen = {name: failed(check(one)) for name, check in CHECKS.items()}
        found["seen"][str(shift)] = seen | alarm_usual(train.values[:, 0], moved[:, 0])
    return found


def draw_panel(draw: np.random.Generator, share: float, persistence: float) -> np.ndarray:
    """Rows of variance 1, of which *share* is common to the stocks of a day: (rows, columns)."""
    days, before = TRAIN_DAYS + LATER_DAYS, 300
    shock = draw.standard_normal((before + days, COLUMNS))
    common = lfilter([np.sqrt(1 - persistence**2)], [1, -persistence], shock, axis=0)[before:]
    own = draw.standard_normal((days, STOCKS, COLUMNS))
    return (np.sqrt(share) * common[:, None] + np.sqrt(1 - share) * own).reshape(-1, COLUMNS)


def alarm_usual(before: np.ndarray, after: np.ndarray) -> dict:
    """The two alarms that take rows for independent."""
    distance = stats.wasserstein_distance(before, after) / before.std()
    return {
        "ks": bool(stats.ks_2samp(before, after).pvalue < P_VALUE),
        "wasserstein": bool(distance > DISTANCE),
    }


def failed(verdict) -> bool:
    """Whether a check cries."""
    return verdict.status == Status.FAIL


def keys_of(file: Path) -> set[tuple]:
    """Panels that a file has already; a last line that was cut off is taken off it."""
    if not file.exists():
        return set()
    text = file.read_text(encoding="utf-8")
    if not text.endswith("\n"):
        file.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return {(one["panel"], one["share"], one["persistence"]) for one in lines}


def show(lines: list[dict]) -> None:
    """False alarms and power, by kind of panel."""
    kinds = defaultdict(list)
    for one in lines:
        kinds[one["share"], one["persistence"]].append(one)
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(alarms(kinds))
    console.print(power(kinds))
    total = [any(one["alarms"].values()) for one in lines]
    console.print(
        f"{sum(total)} of {len(total)} stationary panels failed a check, at most "
        f"{upper(sum(total), len(total)):.2%} (95 %); stated: {CHANCE:g} for each of "
        f"{len(CHECKS) - 1} checks, 0 for support"
    )


def alarms(kinds: dict) -> Table:
    """How many stationary panels fail, any of their columns."""
    table = Table(title="stationary panels that fail", title_justify="left")
    for name in ("day effect", "AR(1)", "panels", *CHECKS, "any check", "at most", "KS p < 0.05"):
        table.add_column(name, justify="right")
    table.add_column("Wasserstein > 0.1", justify="right")
    for (share, persistence), lines in sorted(kinds.items()):
        count = len(lines)
        usual = {
            name: np.mean([any(column[name] for column in one["usual"]) for one in lines])
            for name in ("ks", "wasserstein")
        }
        wolf = sum(any(one["alarms"].values()) for one in lines)
        table.add_row(
            f"{share:.0%}",
            f"{persistence:g}",
            str(count),
            *(str(sum(one["alarms"][name] for one in lines)) for name in CHECKS),
            str(wolf),
            f"{upper(wolf, count):.2%}",
            f"{usual['ks']:.0%}",
            f"{usual['wasserstein']:.0%}",
        )
    return table


def power(kinds: dict) -> Table:
    """Share of panels in which a shift of one column is seen."""
    table = Table(title="a shift of one column, in its spreads, is seen", title_justify="left")
    for name in ("day effect", "AR(1)", "shift", *CHECKS, "KS p < 0.05", "Wasserstein > 0.1"):
        table.add_column(name, justify="right")
    for (share, persistence), lines in sorted(kinds.items()):
        for shift in SHIFTS:
            seen = [one["seen"][str(shift)] for one in lines]
            rates = (
                np.mean([one[name] for one in seen]) for name in (*CHECKS, "ks", "wasserstein")
            )
            table.add_row(
                f"{share:.0%}", f"{persistence:g}", f"{shift:g}", *(f"{rate:.0%}" for rate in rates)
            )
    return table


def upper(hits: int, count: int) -> float:
    """The 95 % upper bound of a rate (Clopper and Pearson)."""
    return 1.0 if hits == count else float(stats.beta.ppf(0.95, hits + 1, count - hits))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, metavar="FILE", help="append the lines here")
    parser.add_argument("--panels", type=int, default=300, help="of each kind (default: 300)")
    parser.add_argument("--part", default="1/1", metavar="I/N", help="draw the I-th of N parts")
    parser.add_argument("--table", type=Path, nargs="+", metavar="FILE", help="show these files")
    options = parser.parse_args()
    if not options.table and not options.out:
        parser.error("give --out FILE to draw panels, or --table FILE to show them")
    return options


if __name__ == "__main__":
    main()
