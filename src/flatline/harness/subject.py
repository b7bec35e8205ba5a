"""What the harness tests: a model with its batches and loss, described in about five lines."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from flatline.errors import SettingsError, ShapeError
from flatline.harness.calls import call_loss, call_model
from flatline.harness.declared import Hears
from flatline.harness.inputs import day_column, device_of, rows_of
from flatline.harness.labels import as_columns, labels_like
from flatline.harness.terms import Term

if TYPE_CHECKING:
    from flatline.harness.pipeline import Pipeline
    from flatline.harness.variants import Variants

__all__ = ["Axis", "Subject"]

Axis = Literal["stocks", "time"]
Batches = Iterable[tuple[Any, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A return model as the harness sees it: protocols only.

    The first five parts are required. What the others say is inferred where it can be, and
    asked for where a check needs it; a check that needs an absent part is skipped.

    Args:
        name: Shown in verdicts.
        model: Makes a fresh module; the harness seeds it.
        batches: From a split, `"train"`, `"valid"` or the *later* one, to an iterable
            of (inputs, targets), any nesting of tensors; or a mapping from split to a
            list of them. Inputs are whole days.
        loss: From (outputs, targets, inputs) or (outputs, targets) to a scalar to minimise.
        scores: From the model's outputs to one score per row and horizon.
            Shape (rows, horizons), or (rows,) for a single horizon.
        call: From (model, inputs) to the outputs; by default `model(inputs)`,
            `model(*inputs)` or `model(**inputs)`, whichever forward's signature asks for.
        labels: From the targets to what the scores are held against, NaN where not known,
            shaped as the scores; by default the one float tensor of that shape.
        days: From the inputs to the day of each row, shape (rows,); `"batch"` where each
            batch is one day. By default the key `group_day`, `day` or `date` of a mapping,
            and for a single series one day a row.
        axes: From the path of an input, such as `"features"`, to the names of its axes, of
            `"rows"`, `"lookback"`, `"features"`, `"edges"`, `"ends"`, other names standing for
            themselves; inferred from the shapes by default.
        columns: From the path of an input to the names of its features.
        horizons: What the score columns are called, in trading days.
        insensitive_to: What may legitimately not matter: inputs `"stock_id"`, `"edges"`,
            features `"features:close"`, steps `"features@0"`, aspects `"features~level"`; see
            `flatline.harness.declared.Declared`.
        hears: Which other rows may move a row's scores: `"none"`, its neighbours along the
            `"edges"`, all of its `"day"`, or those of the `"past"`, as in a recurrent network
            over the days of a series. By default the edges where there are some, else the day.
        optimizer: Makes the optimizer for a model; AdamW at 1e-3 by default.
        fit: The subject's own training, of (model, batches, steps): it takes that many
            steps on the model, in place. By default a plain loop.
        oracle: From the inputs to the expected return of each row and horizon, or to the
            probability of the class, where the truth is known. Shape (rows, horizons).
        axis: What scores must tell apart: the stocks of a day, or, for a single series
            with one row a day, its days.
        probabilities: For classification, from the model's outputs to the probability
            of the class. Shape (rows, horizons).
        classes: From the labels to whether each is of the class, bool of the same shape;
            those above 0 by default. A label that is NaN has no class.
        later: Split of a later period that nothing was trained on or chosen by.
        quantiles: From the outputs to quantiles, levels ascending. Shape (rows, horizons,
            levels).
        attention: From the model and the inputs to attention weights, which add up to 1
            along the keys. Shape (rows, ..., keys).
        evaluate: The subject's own metrics: from arrays of scores, of targets (NaN where not
            known), both (rows, horizons), and of each row's day to numbers by name.
        measures: What those numbers are, by their name, where its words do not tell; one
            of `flatline.harness.measures.Measure`.
        terms: From the name of each weighted term of the loss to what it is and weighs.
        pipeline: How batches are made of prices, so that prices can be changed.
        predict: The subject's own evaluation loop: from (model, split) to scores, targets (NaN
            where not known) and days of all rows, arrays or tensors.
        settings: How to remake the subject with a setting changed.
        baseline: The JSON file of its numbers, kept under version control.
        frozen: Parameters, or modules by their path, that are not to be trained.
        save: Writes a model to a path: a file, or a folder that does not exist yet.
        load: From that path to the model; or to the model and what was saved beside its weights,
            as a mapping.
        fitted: What belongs to the weights and must come back from *load*, such as
            `{"columns": [...], "normaliser": {...}}`, as plain data.
        export: From a model and a split to what its exported scores read back as: a mapping of
            `score`, (rows, horizons), and of the inputs that tell rows apart, such as
            `group_day` and `stock_id`, (rows,) each; rows in the order of the batches without.
        snapshot: Whether forward's signature, the inputs, the outputs and the state are pinned
            by a snapshot, where pytest judges.

    Raises:
        SettingsError: *model* is a module and no factory, *batches* are one loader, *axis* is
            neither, or *classes* come without *probabilities*.

    Example:
        >>> subject = Subject(
        ...     name="line",
        ...     model=lambda: torch.nn.Linear(3, 1),
        ...     batches=lambda split: [(torch.randn(8, 3), torch.randn(8, 1))],
        ...     loss=torch.nn.functional.mse_loss,
        ...     scores=lambda outputs: outputs,
        ...     days=lambda inputs: torch.arange(8) // 4,
        ... )
        >>> subject.name
        'line'
    """

    name: str
    model: Callable[[], nn.Module]
    batches: Callable[[str], Batches] | Mapping[str, Sequence[tuple[Any, Any]]]
    loss: Callable[..., Tensor]
    scores: Callable[[Any], Tensor]
    call: Callable[[nn.Module, Any], Any] | None = None
    labels: Callable[[Any], Tensor] | None = None
    days: Callable[[Any], Tensor] | Literal["batch"] | None = None
    axes: Mapping[str, Sequence[str]] | None = None
    columns: Mapping[str, Sequence[str]] | None = None
    horizons: Sequence[int] | None = None
    insensitive_to: Collection[str] = ()
    hears: Hears | None = None
    optimizer: Callable[[nn.Module], torch.optim.Optimizer] | None = None
    fit: Callable[[nn.Module, Callable[[str], Batches], int], None] | None = None
    oracle: Callable[[Any], Tensor] | None = None
    axis: Axis = "stocks"
    probabilities: Callable[[Any], Tensor] | None = None
    classes: Callable[[Tensor], Tensor] | None = None
    later: str | None = None
    quantiles: Callable[[Any], Tensor] | None = None
    attention: Callable[[nn.Module, Any], Tensor] | None = None
    evaluate: Callable[[Any, Any, Any], Mapping[str, Any]] | None = None
    measures: Mapping[str, str] | None = None
    terms: Mapping[str, Term] | None = None
    pipeline: Pipeline | None = None
    predict: Callable[[nn.Module, str], tuple[Any, Any, Any]] | None = None
    settings: Variants | None = None
    baseline: Path | str | None = None
    frozen: Collection[str] = ()
    save: Callable[[nn.Module, Path], None] | None = None
    load: Callable[[Path], Any] | None = None
    fitted: Mapping[str, Any] | None = None
    export: Callable[[nn.Module, str], Mapping[str, Any]] | None = None
    snapshot: bool = False

    def __post_init__(self) -> None:
        """Refuse parts that contradict each other."""
        if isinstance(self.model, nn.Module):
            raise SettingsError(
                f"model of subject {self.name!r} is a {type(self.model).__name__}, expected "
                "something that makes a fresh one. Write `model=lambda: "
                f"{type(self.model).__name__}(...)`."
            )
        if not callable(self.batches) and not isinstance(self.batches, Mapping):
            raise SettingsError(
                f"batches of subject {self.name!r} are a {type(self.batches).__name__}, expected "
                "a function of the split, or a mapping. Write "
                '`batches={"train": train_loader, "valid": valid_loader}`.'
            )
        if self.axis not in ("stocks", "time"):
            raise SettingsError(
                f"axis of subject {self.name!r} is {self.axis!r}, expected 'stocks' or 'time'. "
                "Compare the stocks of a day, or the days of one series."
            )
        if self.classes is not None and self.probabilities is None:
            raise SettingsError(
                f"classes of subject {self.name!r} are given without probabilities, expected "
                "both. Add `probabilities=lambda outputs: ...`, or drop classes."
            )

    def split(self, name: str) -> Batches:
        """The batches of a split, from the first one on.

        Raises:
            SettingsError: Batches are a mapping without that split.
        """
        if callable(self.batches):
            return self.batches(name)
        if name not in self.batches:
            raise SettingsError(
                f"batches of subject {self.name!r} have the splits {sorted(self.batches)}, "
                f"expected {name!r} among them. Add it to the mapping."
            )
        return self.batches[name]

    def run(self, model: nn.Module, inputs: Any) -> Any:  # noqa: ANN401 (inputs are the subject's own)
        """The model's outputs for the inputs of one batch."""
        return call_model(model, inputs) if self.call is None else self.call(model, inputs)

    def loss_of(self, outputs: Any, targets: Any, inputs: Any) -> Tensor:  # noqa: ANN401
        """The scalar to minimise, of one batch."""
        return call_loss(self.loss, outputs, targets, inputs)

    def score_of(self, outputs: Any) -> Tensor:  # noqa: ANN401
        """One score per row and horizon: (rows, horizons).

        Raises:
            ShapeError: The scores are no such tensor.
        """
        return as_columns(self.scores(outputs), of=f"scores of subject {self.name!r}")

    def labels_of(self, targets: Any, score: Tensor) -> Tensor:  # noqa: ANN401
        """What the scores are held against, NaN where not known: (rows, horizons)."""
        if self.labels is None:
            return labels_like(targets, score)
        return as_columns(self.labels(targets), of=f"labels of subject {self.name!r}")

    def make_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """The subject's own optimizer, or AdamW over all parameters."""
        if self.optimizer is not None:
            return self.optimizer(model)
        return torch.optim.AdamW(model.parameters(), lr=1e-3)

    def day_of(self, inputs: Any) -> Tensor:  # noqa: ANN401
        """The day of each row of a batch, on its device: (rows,). Of batches of one day each, 0.

        Raises:
            ShapeError: The days are neither declared nor found, or are no whole numbers by row.
        """
        if callable(self.days):
            day = self.days(inputs)
        elif self.days == "batch":
            day = torch.zeros(rows_of(inputs, self.axes), dtype=torch.int64)
        else:
            day = self._found_day(inputs)
        if not isinstance(day, Tensor) or day.ndim != 1 or day.is_floating_point():
            shape = tuple(day.shape) if isinstance(day, Tensor) else type(day).__name__
            raise ShapeError(
                f"days of subject {self.name!r} are {shape}, expected one whole number for each "
                "row. Give `days=lambda inputs: ...` of the Subject a tensor of shape (rows,)."
            )
        return day.to(device_of(inputs))

    def _found_day(self, inputs: Any) -> Tensor:  # noqa: ANN401
        found = day_column(inputs)
        if found is not None:
            return found
        if self.axis == "time":
            return torch.arange(rows_of(inputs, self.axes))
        raise ShapeError(
            f"days of subject {self.name!r} are not known, expected group_day among the inputs. "
            "Add `days=lambda inputs: ...` to the Subject, the day of every row, or "
            '`days="batch"` where each batch is one day.'
        )

    def days_by_batch(self, inputs: Any) -> bool:  # noqa: ANN401
        """Whether days are numbered within each batch, and not through all of them."""
        return self.days == "batch" or (self.days is None and day_column(inputs) is None)

    def group_of(self, inputs: Any) -> Tensor:  # noqa: ANN401
        """Which rows of a batch are compared with each other: those of a day, or all."""
        day = self.day_of(inputs)
        return day if self.axis == "stocks" else torch.zeros_like(day)

    def class_of(self, labels: Tensor) -> Tensor:
        """1 where a label is of the class, 0 where it is not, NaN where it is not known."""
        event = labels > 0 if self.classes is None else self.classes(labels)
        return torch.where(torch.isnan(labels), torch.nan, event.to(labels.dtype))

    def check_axis(self, day: Tensor) -> None:
        """Refuse days that the axis makes no sense of.

        Raises:
            ShapeError: A single series has two rows on a day, or no day has two stocks.
        """
        most = int(torch.unique(day, return_counts=True)[1].max())
        if self.axis == "time" and most > 1:
            raise ShapeError(
                f"a day of subject {self.name!r} has {most} rows, expected 1: its axis is 'time'. "
                "Judge each series as a subject of its own, or set axis='stocks'."
            )
        if self.axis == "stocks" and most == 1 and day.numel() > 1:
            raise ShapeError(
                f"every day of subject {self.name!r} has 1 row, expected the stocks of a day. "
                "Set axis='time' for a single series."
            )
