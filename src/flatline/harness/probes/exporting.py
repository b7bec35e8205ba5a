"""What an export of the scores reads back as, beside the scores that the model gives."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from flatline.errors import SettingsError
from flatline.harness.case import Case
from flatline.harness.probes.passes import first_steps
from flatline.harness.probes.scoring import forward
from flatline.harness.trees import read

__all__ = ["Exported", "exported"]

SCORE, SPLIT = "score", "valid"


@dataclass(frozen=True, slots=True, eq=False)
class Exported:
    """Rows of an export, put beside the rows that were scored.

    Args:
        keys: Inputs by which rows were matched; empty where they are matched by order.
        rows: That were scored.
        found: That the export has.
        lost: Scored rows that it lacks.
        unknown: Rows of it that were never scored, or are there twice.
        score: Of the rows that both have, by the model. Shape (matched, horizons).
        written: Of the same rows, by the export. Shape (matched, columns).
    """

    keys: tuple[str, ...]
    rows: int
    found: int
    lost: int
    unknown: int
    score: NDArray[np.float64]
    written: NDArray[np.float64]


def exported(case: Case) -> Exported:
    """Export the scores of the validation split, and match them row by row.

    Raises:
        SettingsError: *export* of the subject gives no scores, or keys that are no inputs.
    """
    if case.subject.export is None:
        raise ValueError("exporting needs `export`")
    # A model of its own: what `export` does to it, others must not see, nor the scores below.
    model = first_steps(case).model
    before = copy.deepcopy(model.state_dict())
    given = case.subject.export(model, SPLIT)
    model.load_state_dict(before)
    columns = _columns(given, case.subject.name)
    written = columns.pop(SCORE)
    score, keys = _scored(case, model, tuple(columns))
    if len(np.unique(keys, axis=0)) < len(keys):
        raise SettingsError(
            f"export of subject {case.subject.name!r} has the keys {sorted(columns)}, which "
            "several rows share, expected keys that tell rows apart. Add the stock of each row."
        )
    theirs = np.stack(list(columns.values()), 1) if columns else np.arange(len(written))[:, None]
    mine, rows = _matched(keys, theirs)
    return Exported(
        keys=tuple(columns),
        rows=len(score),
        found=len(written),
        lost=len(score) - len(mine),
        unknown=len(written) - len(mine),
        score=score[mine],
        written=written[rows],
    )


def _matched(ours: NDArray[Any], theirs: NDArray[Any]) -> tuple[NDArray[np.int64], ...]:
    """Positions of the keys that both have, in each of them; of those there twice, the first."""
    _, ids = np.unique(np.concatenate([ours, theirs]), axis=0, return_inverse=True)
    mine, other = np.split(ids.reshape(-1), [len(ours)])
    known, first = np.unique(other, return_index=True)
    place = np.searchsorted(known, mine)
    hit = np.isin(mine, known)
    return np.flatnonzero(hit), first[place[hit]]


@torch.no_grad()
def _scored(
    case: Case, model: torch.nn.Module, names: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    scores, keys = [], []
    for inputs, _ in case.batches(SPLIT):
        outputs = forward(case.subject, model.eval(), inputs, case.place)
        scores.append(case.subject.score_of(outputs).cpu().double().numpy())
        keys.append(_keys(inputs, names, case.subject.name))
    if not names:
        return np.concatenate(scores), np.arange(sum(map(len, scores)))[:, None]
    return np.concatenate(scores), np.concatenate(keys)


def _keys(inputs: Any, names: Sequence[str], subject: str) -> NDArray[Any]:  # noqa: ANN401
    try:
        found = [read(inputs, name).cpu().numpy() for name in names]
    except KeyError as error:
        raise SettingsError(
            f"export of subject {subject!r} has the column {error.args[0]!r}, expected 'score' and "
            "columns that are inputs too, such as 'group_day' and 'stock_id'. Leave it out."
        ) from error
    return np.stack(found, 1) if found else np.empty((0, 0))


def _columns(given: Any, subject: str) -> dict[str, NDArray[Any]]:  # noqa: ANN401
    if not isinstance(given, Mapping) or SCORE not in given:
        held = sorted(given) if isinstance(given, Mapping) else type(given).__name__
        raise SettingsError(
            f"export of subject {subject!r} gives {held}, expected a mapping with 'score'. Read "
            "what was written, and return {'score': ..., 'group_day': ..., 'stock_id': ...}."
        )
    columns = {str(name): np.asarray(values) for name, values in given.items()}
    score = columns[SCORE].astype(np.float64)
    columns[SCORE] = score[:, None] if score.ndim == 1 else score
    return columns
