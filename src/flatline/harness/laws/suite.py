"""The laws of a loss as a ready pytest test: one case per law."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from flatline.errors import FlatlineError, SettingsError
from flatline.harness.laws.direction import DIRECTION
from flatline.harness.laws.grouping import GROUPING
from flatline.harness.laws.judged import Judged, arguments_of
from flatline.harness.laws.labels import LABELS
from flatline.harness.laws.law import Law
from flatline.harness.laws.promises import AtConstant, Best, Promises
from flatline.harness.laws.scored_days import ScoredDays, scored_days
from flatline.harness.laws.slope import SLOPE

__all__ = ["LAWS", "judged", "laws_for", "laws_of"]

LAWS: tuple[Law, ...] = (*GROUPING, *LABELS, *DIRECTION, *SLOPE)


def laws_for(
    loss: Callable[..., Any],
    *,
    at_constant: AtConstant | None = "alive",
    best: Best | None = "direction",
    shift: bool | None = None,
    scale: bool | None = None,
    ranks: bool | None = None,
    degree: float | None = None,
    mean_of_days: bool = True,
    follows: bool = False,
    differentiable: bool = True,
    unit: float = 1.0,
    takes: Sequence[str] | None = None,
    reads: Callable[[Tensor], Tensor] = lambda score: score,
    flat: bool = False,
    options: Mapping[str, Any] | None = None,
    skip: Mapping[str, str] | None = None,
    examples: int = 25,
) -> Callable[..., None]:
    """A pytest test of the laws that every loss on scored days must keep: one case per law.

    Assign it to a name that starts with `test_`. Batches are drawn by hypothesis, the same ones in
    every run: few and many stocks, uneven days, ties, missing labels, interleaved rows.

    The loss is called with what its arguments are named after: the score first, the target
    second, then any of `mask`, `days` (the day of each row; or `flatline.days.Days`, if that is
    how it is annotated), `stock_id` and `exposures`. It returns one number, or one per day, or
    anything with `value` and `valid` of one per day.

    Args:
        loss: The loss to judge.
        at_constant: What it does at exactly constant scores: its gradient is `alive`, it is
            `undefined`, or `dead`. See `Promises`, as for all up to *unit*.
        best: What has the least loss: the `forecast`, the `order`, or the right `direction`.
        shift: Whether adding a number to a day's scores changes nothing; None: not judged.
        scale: Whether multiplying a day's scores changes nothing; None: not judged.
        ranks: Whether only the order of the scores counts.
        degree: Multiplying scores and targets by a multiplies the value by a**degree.
        mean_of_days: The loss of several days is the mean of theirs.
        follows: Its value on a day depends on the day before.
        differentiable: Its gradient is the derivative of its value.
        unit: Spread of the targets it is made for: 0.01 for daily returns as fractions.
        takes: Its arguments by place, where their names do not tell.
        reads: From scores of shape (rows, horizons) to what it reads, such as quantiles.
        flat: It takes vectors of shape (rows,).
        options: Further keyword arguments for it.
        skip: From the id of a law to the reason why it is not judged.
        examples: Batches drawn for each law.

    Raises:
        SettingsError: A promise or a skipped law is unknown, the arguments cannot be told, or
            hypothesis is not installed.

    Example:
        >>> import torch
        >>> def mean_squared(score, target, mask):
        ...     error = torch.where(mask, score - target, 0.0)
        ...     return error.square().sum() / mask.sum()
        >>> test_mean_squared = laws_for(mean_squared, best="forecast", degree=2)
        >>> [mark.name for mark in test_mean_squared.pytestmark]
        ['parametrize', 'loss_math']
    """
    import pytest  # noqa: PLC0415 (not at the import of the library)

    promises = Promises(
        at_constant=at_constant,
        best=best,
        shift=shift,
        scale=scale,
        ranks=ranks,
        degree=degree,
        mean_of_days=mean_of_days,
        follows=follows,
        differentiable=differentiable,
        unit=unit,
    )
    case = judged(loss, promises, takes=takes, reads=reads, flat=flat, options=options)
    reasons = _checked(skip or {})
    scored_days()  # Says at once that hypothesis is missing, not in each of the tests.

    @pytest.mark.loss_math
    @pytest.mark.parametrize("law", [pytest.param(law, id=law.id) for law in laws_of(case)])
    def test_law(law: Law) -> None:
        """A law of the loss holds on every batch drawn."""
        __tracebackhide__ = True
        if law.id in reasons:
            pytest.skip(reasons[law.id])
        keep(law, case, examples=examples)

    return test_law


def laws_of(case: Judged) -> list[Law]:
    """The laws that apply to a loss."""
    return [law for law in LAWS if law.applies(case)]


def keep(law: Law, case: Judged, *, examples: int, shrink: bool = True) -> None:
    """Fail the running test where the loss is off the law on a drawn batch.

    A batch that the loss refuses with an error of its own says nothing; where it refuses all,
    the test is skipped with that reason.

    Args:
        law: What must hold.
        case: The loss.
        examples: Batches drawn.
        shrink: Look for a small batch on which it fails.
    """
    import pytest  # noqa: PLC0415 (not at the import of the library)
    from hypothesis import Phase, given, settings  # noqa: PLC0415 (an extra)
    from hypothesis import strategies as st  # noqa: PLC0415

    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    refused = ""
    judged_any = False

    # The same batches in every run, whatever the machine and its load.
    @settings(max_examples=examples, phases=phases, deadline=None, derandomize=True, database=None)
    @given(batch=scored_days(**_drawn(law, case)), seed=st.integers(0, 2**32 - 1))
    def holds(batch: ScoredDays, seed: int) -> None:
        __tracebackhide__ = True
        nonlocal refused, judged_any
        try:
            off = law.holds(case, batch, np.random.default_rng(seed))
        except (FlatlineError, ValueError) as error:
            refused = str(error)
            return
        judged_any = True
        if off.broken:
            pytest.fail(f"{off.says}, expected: {law.says} {law.remedy}", pytrace=False)

    holds()
    if not judged_any:
        pytest.skip(f"the loss refuses every batch that this is tried on: {refused}")


def _drawn(law: Law, case: Judged) -> dict[str, Any]:
    """What a law is tried on, as far as the loss can take it."""
    drawn: dict[str, Any] = {"scale": case.promises.unit} | dict(law.batch)
    if case.flat:
        drawn["horizons"] = 1
    if not case.masks:
        drawn["missing"] = 0.0
    if case.promises.follows:
        drawn["min_days"] = 2
    if not case.by_day:
        # One number for all has no way to say that a day of two stocks means nothing.
        drawn = {"min_stocks": 5} | drawn
    return drawn


def judged(
    loss: Callable[..., Any],
    promises: Promises,
    *,
    takes: Sequence[str] | None = None,
    reads: Callable[[Tensor], Tensor] = lambda score: score,
    flat: bool = False,
    options: Mapping[str, Any] | None = None,
) -> Judged:
    """A loss with what it takes and promises, see `laws_for`."""
    parts, named, whole = arguments_of(loss, takes, options or {})
    return Judged(
        loss=loss,
        takes=parts,
        named=named,
        promises=promises,
        reads=reads,
        whole_days=whole,
        flat=flat,
        options=options or {},
    )


def _checked(skip: Mapping[str, str]) -> Mapping[str, str]:
    for name in skip:
        if name not in {law.id for law in LAWS}:
            raise SettingsError(
                f"skip names the law {name!r}, expected one of {[law.id for law in LAWS]}. "
                "Correct the name, or drop it."
            )
    return skip
