"""Baselines: a subject's numbers in a small file under version control, with their tolerances."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flatline.errors import DataError, SettingsError
from flatline.files import write_text
from flatline.harness.case import Case
from flatline.harness.probes.figures import Figure, Kind, figures
from flatline.harness.probes.smoke import smoke
from flatline.harness.statistics import CHANCE, HALF_THE_DIGITS, reach

__all__ = ["SEEDS", "Baseline", "Entry", "read_baseline", "record", "write_baseline"]

FORMAT = 1
SEEDS, FEWEST_SEEDS = 16, 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One number and where the next training of the same subject may put it.

    Args:
        value: Middle of what the seeds gave; None where the number was undefined.
        low: Least value that chance reaches.
        high: Largest one.
        unit: Of all three.
    """

    value: float | None
    low: float | None
    high: float | None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a subject's numbers were.

    Args:
        subject: Its name.
        steps: Steps of each training.
        precision: It was computed in.
        seeds: Trainings that the tolerances are derived from.
        figures: The numbers by their name.
        rows_per_second: Training throughput on the machine that wrote it; no other
            machine has to reach it, so it is shown and not judged.
    """

    subject: str
    steps: int
    precision: str
    seeds: int
    figures: Mapping[str, Entry]
    rows_per_second: float | None = None


def record(
    case: Case, *, seeds: int = SEEDS, on_seed: Callable[[int], None] = lambda _: None
) -> Baseline:
    """Train the subject with several seeds, and derive from them where the next one may end.

    The next training is one more draw: on the scale on which a number is normal (ratios on
    a log scale, correlations after Fisher's transform), it leaves the range once in
    `CHANCE` of all baselines, however many numbers they have.

    Args:
        case: What to train, for how long, where; its seed is the first one.
        seeds: Trainings, at least 4; more of them make narrower ranges.
        on_seed: Called with the number of trainings done, for progress.

    Raises:
        SettingsError: There are too few seeds.
    """
    if seeds < FEWEST_SEEDS:
        raise SettingsError(
            f"seeds is {seeds}, expected at least {FEWEST_SEEDS}: the range of a number is "
            f"derived from how far it differs between them. Use {SEEDS}."
        )
    found: list[Mapping[str, Figure]] = []
    for k in range(seeds):
        again = Case(case.subject, steps=case.steps, seed=case.seed + k, place=case.place)
        # What the case has found out already is not computed twice.
        found.append((again if k else case).of(figures))
        on_seed(k + 1)
    return Baseline(
        subject=case.subject.name,
        steps=case.steps,
        precision=case.place.precision,
        seeds=seeds,
        figures={
            name: _entry([one[name] for one in found], numbers=len(found[0])) for name in found[0]
        },
        rows_per_second=round(case.of(smoke).rows_per_second),
    )


def _entry(drawn: Sequence[Figure], *, numbers: int) -> Entry:
    kind, unit = drawn[0].kind, drawn[0].unit
    values = np.array([figure.value for figure in drawn], dtype=np.float64)
    if not np.isfinite(values).all():
        return Entry(None, None, None, unit)
    if kind == Kind.EXACT and np.ptp(values) == 0:
        return Entry(values[0], values[0], values[0], unit)
    if kind == Kind.RATIO and not (values > 0).all():
        kind = Kind.PLAIN  # A number that may be 0 has no logarithm.
    there, back = SCALES[kind]
    x = there(values)
    least = HALF_THE_DIGITS * (1.0 if kind != Kind.PLAIN else max(1e-12, float(np.abs(x).max())))
    # Two ends for each number share the chance of one check.
    away = reach(len(x), CHANCE / (2 * numbers)) * max(float(x.std(ddof=1)), least)
    ends = (float(x.mean()) + side * away for side in (0.0, -1.0, 1.0))
    value, low, high = (_rounded(float(back(end))) for end in ends)
    return Entry(value, low, high, unit)


Scale = Callable[[Any], Any]
# Just inside the ends, which Fisher's transform takes to infinity.
SCALES: Mapping[Kind, tuple[Scale, Scale]] = {
    Kind.EXACT: (np.asarray, np.asarray),
    Kind.PLAIN: (np.asarray, np.asarray),
    Kind.RATIO: (np.log, np.exp),
    Kind.CORRELATION: (lambda r: np.arctanh(np.clip(r, -1 + 1e-9, 1 - 1e-9)), np.tanh),
}


def _rounded(x: float) -> float:
    return float(f"{x:.6g}")


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline, whole or not at all, one number a line."""
    data = asdict(baseline)
    lines = [
        f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in data.pop("figures").items()
    ]
    head = [f" {json.dumps(k)}: {json.dumps(v)}" for k, v in {"format": FORMAT, **data}.items()]
    body = ",\n".join(lines)
    write_text(path, "{\n" + ",\n".join(head) + ',\n "figures": {\n' + body + "\n }\n}\n")


def read_baseline(path: Path) -> Baseline | None:
    """The baseline in a file; None where there is no file.

    Raises:
        DataError: The file is damaged, or of another format.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(
            f"baseline {path} is no JSON ({error}), expected what `flatline baseline` writes. "
            "Restore it from version control, or write it anew."
        ) from error
    try:
        entries = {str(name): _read_entry(entry) for name, entry in data.pop("figures").items()}
        form = data.pop("format")
        made = Baseline(figures=entries, **data)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"baseline {path} is not of format {FORMAT} ({type(error).__name__}: {error}), "
            "expected what `flatline baseline` writes. Write it anew."
        ) from error
    if form != FORMAT:
        raise DataError(
            f"baseline {path} is of format {form}, expected {FORMAT}. Write it anew with "
            "`flatline baseline`, or use the version of flatline that wrote it."
        )
    return made


def _read_entry(data: Mapping[str, Any]) -> Entry:
    entry = Entry(**data)
    known = [entry.low, entry.value, entry.high]
    if any(x is not None for x in known):
        low, value, high = (float(x) if x is not None else math.nan for x in known)
        if not low <= value <= high:
            raise ValueError(f"{low} <= {value} <= {high} does not hold")
    return entry
