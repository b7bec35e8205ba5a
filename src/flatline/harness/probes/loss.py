"""A subject's loss on one of its batches, with scores of our choice in the place of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from flatline.errors import FlatlineError
from flatline.harness.calls import call_loss
from flatline.harness.case import Case
from flatline.harness.isolation import isolated
from flatline.harness.labels import as_columns
from flatline.harness.probes.scoring import forward
from flatline.harness.substitution import Substitute
from flatline.harness.terms import Term
from flatline.harness.trees import leaves, map_tensors

__all__ = ["NEARLY", "TOTAL", "Part", "Scene", "refused", "scene"]

# What the loss as a whole is called beside its terms.
TOTAL = "total"
# Batches looked through for one with several days.
LOOK = 4
# Spreads of nearly constant scores, over that of the labels.
NEARLY = (1e-2, 1e-4)
Value = Callable[[Any, Any, Any], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The total loss, or one of its terms.

    Args:
        name: Of the term, or `total`.
        value: From (outputs, targets, inputs) to a scalar.
        made_by: What the subject gave, for its place in the source.
        term: What was declared of it, None for the total.
    """

    name: str
    value: Value
    made_by: Callable[..., Any]
    term: Term | None = None

    @property
    def weight(self) -> float:
        """What it counts in the total."""
        return 1.0 if self.term is None else self.term.weight


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One batch after an untrained model, and the loss beside it.

    Args:
        inputs: Of the batch.
        targets: Of the batch.
        outputs: Of the model.
        label: What the scores are held against, 0 or 1 for a class. NaN where not known.
            Shape (rows, horizons).
        group: Which rows are compared with each other. Shape (rows,), 0 and up.
        swap: Puts scores into the outputs.
        classes: Whether labels are classes, so that scores have the unit of a logit.
        bounded: Whether the scores are probabilities: ours go through a sigmoid first.
        total: The loss.
        terms: Its declared terms.
    """

    inputs: Any
    targets: Any
    outputs: Any
    label: Tensor
    group: Tensor
    swap: Substitute
    classes: bool
    bounded: bool
    total: Part
    terms: tuple[Part, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The declared terms, or the total where there are none."""
        return self.terms or (self.total,)

    @property
    def known(self) -> Tensor:
        """Where the label is known: (rows, horizons)."""
        return ~self.label.isnan()

    @property
    def groups(self) -> int:
        """Number of days, or 1 for a single series."""
        return int(self.group.max()) + 1

    @property
    def spread(self) -> Tensor:
        """Standard deviation of the labels within their groups, 1 where none: (horizons,)."""
        apart = self.centre(self.label)
        found = (apart.square().sum(0) / self.known.sum(0).clamp(min=1)).sqrt()
        return torch.where(found > 0, found, 1.0)

    @property
    def unit(self) -> Tensor:
        """Spread of the scores that the loss is made for, one per horizon: (horizons,)."""
        # A logit has no unit of its own.
        return torch.ones_like(self.label[0]) if self.classes else self.spread

    def informed(self) -> Tensor:
        """Scores that know something of the labels, and are mostly noise: (rows, horizons)."""
        draw = torch.Generator().manual_seed(0)
        noise = torch.randn(self.label.shape, generator=draw).to(self.label)
        return self.unit * (0.5 * self.centre(self.label) / self.spread + noise)

    def mean(self, x: Tensor) -> Tensor:
        """Mean of the known entries of each group, spread over its rows: (rows, horizons)."""
        known = self.known
        zeros = torch.zeros(self.groups, x.shape[1], dtype=x.dtype, device=x.device)
        total = zeros.index_add(0, self.group, torch.where(known, x, 0.0))
        count = zeros.index_add(0, self.group, known.to(x.dtype))
        return (total / count.clamp(min=1))[self.group]

    def centre(self, x: Tensor) -> Tensor:
        """Known entries less the mean of their group, 0 elsewhere: (rows, horizons)."""
        return torch.where(self.known, x - self.mean(x), 0.0)

    def value(self, part: Part, score: Tensor) -> Tensor:
        """The loss with these scores."""
        return part.value(self.put(score), self.targets, self.inputs)

    def put(self, score: Tensor) -> Any:  # noqa: ANN401 (the outputs are the subject's own)
        """The outputs with these scores."""
        return self.swap(score.sigmoid() if self.bounded else score)

    def gradient(self, part: Part, score: Tensor) -> Tensor:
        """Its gradient at the scores, 0 where there is none: (rows, horizons)."""
        leaf = score.detach().clone().requires_grad_()
        with torch.enable_grad():
            return _slope(self.value(part, leaf), [leaf])[0]

    def at_outputs(
        self, part: Part, score: Tensor | None = None, rows: Tensor | None = None
    ) -> list[Tensor]:
        """Gradient at all that the model puts out, with these scores or its own.

        Args:
            part: Of what.
            score: Shape (rows, horizons); None for the model's own.
            rows: Look at these rows alone.
        """
        outputs = self.outputs if score is None else self.put(score)
        count = len(self.label)

        def some(_: str, x: Tensor) -> Tensor:
            by_row = rows is not None and x.ndim > 0 and len(x) == count
            return x[rows] if by_row else x

        with torch.enable_grad():
            own = map_tensors(
                lambda at, x: some(at, x).detach().requires_grad_(x.is_floating_point()), outputs
            )
            found = part.value(own, map_tensors(some, self.targets), map_tensors(some, self.inputs))
            return _slope(found, [x for _, x in leaves(own) if x.requires_grad])


def scene(case: Case) -> Scene:
    """An untrained model's outputs for a training batch of several days, if there is one.

    Where batches hold one day each and the loss has declared terms, two batches are joined: what
    a term does with several days is part of what it is.
    """
    subject, model = case.subject, case.model().eval()
    seen: list[tuple[Any, Any, Any]] = []
    for inputs, targets in case.batches("train", LOOK):
        with torch.no_grad():
            seen.append((inputs, targets, forward(subject, model, inputs, case.place)))
        if _days(case, inputs) > 1:
            break
    best = max(seen, key=lambda batch: _days(case, batch[0]))
    apart = subject.axis == "stocks" and not subject.days_by_batch(best[0])
    if _days(case, best[0]) == 1 and subject.terms and apart and len(seen) > 1:
        best = _joined(seen[0], seen[1], (len(subject.day_of(batch[0])) for batch in seen))
    inputs, targets, outputs = best
    score = subject.score_of(outputs)
    label = subject.labels_of(targets, score)
    bounded = False
    if subject.probabilities is not None:
        chance = as_columns(subject.probabilities(outputs), of="probabilities")
        bounded = chance.shape == score.shape and bool(torch.equal(chance, score))
    classes = subject.probabilities is not None
    return Scene(
        inputs=inputs,
        targets=targets,
        outputs=outputs,
        label=subject.class_of(label) if classes else label.to(score.dtype),
        group=torch.unique(subject.group_of(inputs), return_inverse=True)[1].to(score.device),
        swap=Substitute(outputs, subject.score_of),
        classes=classes,
        bounded=bounded,
        total=Part(TOTAL, _steady(subject.loss_of), made_by=subject.loss),
        terms=tuple(_part(name, term) for name, term in (subject.terms or {}).items()),
    )


def _days(case: Case, inputs: Any) -> int:  # noqa: ANN401 (inputs are the subject's own)
    return len(torch.unique(case.subject.group_of(inputs)))


def _joined(one: Any, other: Any, rows: Iterable[int]) -> Any:  # noqa: ANN401
    """The rows of two batches, one after the other; what has no rows is the first one's."""
    count, also = itertools.islice(rows, 2)
    second = dict(leaves(other))

    def join(at: str, x: Tensor) -> Tensor:
        by_row = x.ndim > 0 and len(x) == count and at in second and len(second[at]) == also
        return torch.cat([x, second[at]]) if by_row else x

    return map_tensors(join, one)


def refused(doing: Callable[[], Tensor]) -> str | None:
    """What the loss said when it refused, None where it did not."""
    try:
        doing()
    except (FlatlineError, ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _part(name: str, term: Term) -> Part:
    def value(outputs: Any, targets: Any, inputs: Any) -> Tensor:  # noqa: ANN401
        return call_loss(term.value, outputs, targets, inputs)

    return Part(name, _steady(value), made_by=term.value, term=term)


def _steady(value: Value) -> Value:
    """The same draws each time, for a loss that compares pairs at random."""

    def call(outputs: Any, targets: Any, inputs: Any) -> Tensor:  # noqa: ANN401
        # Whether gradients are wanted is for the caller to say.
        with isolated(0):
            return value(outputs, targets, inputs)

    return call


def _slope(value: Tensor, at: list[Tensor]) -> list[Tensor]:
    if not value.requires_grad:
        return [torch.zeros_like(x) for x in at]
    found = torch.autograd.grad(value, at, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, at, strict=True)]
