"""The same scores at another precision, and from inputs that are moved by a hair."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flatline.harness.case import Case
from flatline.harness.inputs import Input, inputs_of
from flatline.harness.probes.modules import Parting, first_parting, recorded
from flatline.harness.probes.moments import level_and_spread
from flatline.harness.probes.passes import start
from flatline.harness.trees import leaves, map_tensors

__all__ = ["HALF_THE_DIGITS", "Nudged", "Rounded", "in_bfloat16", "in_float64", "nudged"]

# Relative error at which half of a type's digits are lost.
HALF_THE_DIGITS = {
    torch.float32: torch.finfo(torch.float32).eps ** 0.5,
    torch.bfloat16: torch.finfo(torch.bfloat16).eps ** 0.5,
}


@dataclass(frozen=True, slots=True, eq=False)
class Rounded:
    """Eval-mode scores of one batch at two precisions.

    Args:
        model: For the culprit.
        precise: At the higher one. Shape (rows, horizons), float64.
        coarse: At the lower one. Shape (rows, horizons), float64.
        parting: The first module at which they part by more than half of the digits.
        refused: Why the model does not run at the other precision, empty where it does.
    """

    model: nn.Module
    precise: Tensor
    coarse: Tensor
    parting: Parting | None
    refused: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Nudged:
    """Eval-mode scores before and after every input is moved by a hair.

    Args:
        score: Shape (rows, horizons).
        moved: Shape (rows, horizons).
        step: Standard deviation of the nudge, in units of that of each input.
    """

    score: Tensor
    moved: Tensor
    step: float


def in_float64(case: Case) -> Rounded:
    """Scores in float32 against the same model in float64."""
    model, twin = case.model(), case.model().double()
    return _compare(case, twin, torch.float64, model, torch.float32)


def in_bfloat16(case: Case) -> Rounded:
    """Scores under autocast to bfloat16 against those in float32."""
    model = case.model()
    return _compare(case, model, torch.float32, model, torch.bfloat16)


@torch.no_grad()
def nudged(case: Case) -> Nudged:
    """Scores from inputs of which each number is moved a little, by chance.

    The step is a tenth of the root of float32's spacing: a function that loses half of the
    digits moves by a tenth of its spread, well before it can move no further. Each feature
    is moved in units of its own spread, or of that within the row's window where it is
    smaller: beside a volume of millions a price is not to be moved by thousands.
    """
    given, subject = case.of(start), case.subject
    step: float = 0.1 * HALF_THE_DIGITS[torch.float32]
    known = any(x.is_floating_point() and x.ndim for _, x in leaves(given.inputs))
    parts = {part.path: part for part in inputs_of(subject, given.inputs)} if known else {}

    def nudge(path: str, x: Tensor) -> Tensor:
        if not x.is_floating_point() or not x.numel() or path not in parts:
            return x
        # On the CPU, so that every device sees the same.
        noise = torch.randn(x.shape, dtype=torch.float32).to(x)
        return x + step * _reach(x, parts[path]) * noise

    model = case.model().eval()
    with torch.autocast(case.place.device.type, enabled=False):
        found = [
            subject.score_of(subject.run(model, inputs))
            for inputs in (given.inputs, map_tensors(nudge, given.inputs))
        ]
    return Nudged(found[0], found[1], step)


def _reach(x: Tensor, part: Input) -> Tensor:
    """The spread of each feature over all rows, or within the window if smaller but not 0."""
    _, spread = level_and_spread(x, [i for i, name in enumerate(part.axes) if name != "features"])
    steps = part.axis("lookback")
    if steps is None or "rows" not in part.axes:
        return spread
    _, within = level_and_spread(x, [steps])
    return torch.where(within > 0, torch.minimum(within, spread), spread)


def _compare(
    case: Case, precise: nn.Module, high: torch.dtype, coarse: nn.Module, low: torch.dtype
) -> Rounded:
    with recorded(coarse) as at_low:
        if low is torch.float32:
            score = _score(case, coarse, low)
        else:
            try:
                score = _score(case, coarse, low)
            except Exception as error:  # noqa: BLE001 (not every operation knows every type)
                return _refused(coarse, error)
    with recorded(precise) as at_high:
        try:
            reference = _score(case, precise, high)
        except Exception as error:
            if high is torch.float32:  # What every subject must run in.
                raise
            return _refused(coarse, error)
    return Rounded(
        model=coarse,
        precise=reference,
        coarse=score,
        parting=first_parting(at_high, at_low, HALF_THE_DIGITS[low]),
    )


@torch.no_grad()
def _score(case: Case, model: nn.Module, dtype: torch.dtype) -> Tensor:
    def cast(_path: str, x: Tensor) -> Tensor:
        return x.double() if dtype is torch.float64 and x.is_floating_point() else x

    inputs, mixed = map_tensors(cast, case.of(start).inputs), dtype is torch.bfloat16
    with torch.autocast(case.place.device.type, torch.bfloat16, enabled=mixed):
        outputs = case.subject.run(model.eval(), inputs)
        score: Tensor = case.subject.score_of(outputs)
    return score.double()


def _refused(model: nn.Module, error: Exception) -> Rounded:
    nothing = torch.empty(0, 1, dtype=torch.float64)
    reason = f"{type(error).__name__}: {str(error).splitlines()[0]:.120}" if str(error) else ""
    return Rounded(model, nothing, nothing, None, reason or type(error).__name__)
