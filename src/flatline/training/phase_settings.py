"""What one phase of a training is told. No torch is imported here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from flatline.errors import SettingsError
from flatline.section import Section

if TYPE_CHECKING:
    from flatline.training.settings import TrainingSettings

__all__ = ["OVERRIDES", "PhaseSettings", "check_phases"]

Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0)]


class PhaseSettings(Section):
    """One phase: what of the model is on, what of it trains, and how.

    A phase starts with the weights of the best epoch of the phase before it, with a
    fresh optimizer and a schedule of its own. Settings of the training that are None
    here are those of the run.

    A pattern is the path of a module, such as `encoder`, which stands for all that is
    below it too; `*` stands for any letters, as in `encoder.*_skip`.

    Args:
        name: What the log calls it.
        off: Parts of the model that are switched off, such as `graph` and
            `adaptive_norm`; the others are on.
        train: Patterns of the modules that train; the others are frozen: their weights
            stay, and they stand in eval mode, so that they drop nothing out and the
            statistics of batch norms stay too. Empty for all.
        rates: Factors on the learning rate, by patterns of modules that go at another pace.
        weights: Weights of the terms of the loss; they take the place of the run's.
        learning_rate: See `TrainingSettings`, like all below.
        weight_decay: Decoupled weight decay.
        max_epochs: Passes over the training days in this phase.
        max_steps: Optimizer steps of this phase.
        patience: Validations without improvement after which the next phase begins.
        schedule: Course of the learning rate over this phase.
        warmup_epochs: Epochs over which the rate rises from 0.
        warmup_steps: Steps over which it rises.
        final_fraction: Lowest rate, as a fraction of the peak.
        clip_norm: Largest norm of the gradient.
        ema_decay: Decay of the moving average of the weights, which starts anew.

    Example:
        >>> PhaseSettings(name="graph", train=("gat", "fusion"), max_epoch=2)
        Traceback (most recent call last):
        flatline.errors.SettingsError: max_epoch is no setting of PhaseSettings, expected a
        known one. Did you mean 'max_epochs'?
    """

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]
    off: tuple[str, ...] = ()
    train: tuple[str, ...] = ()
    rates: Mapping[str, Annotated[float, Field(gt=0)]] = {}
    weights: Mapping[str, float] | None = None
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    weight_decay: NotNegative | None = None
    max_epochs: Positive | None = None
    max_steps: Positive | None = None
    patience: Positive | None = None
    schedule: Literal["cosine", "plateau", "constant"] | None = None
    warmup_epochs: NotNegative | None = None
    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    final_fraction: Annotated[float, Field(ge=0, le=1)] | None = None
    clip_norm: NotNegative | None = None
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _each_counts(self) -> Self:
        for pattern, factor in self.rates.items():
            if factor == 1:
                raise SettingsError(
                    f"rate of {pattern} is 1 but changes nothing, expected another factor. Drop it."
                )
        return self

    def over(self, training: TrainingSettings) -> TrainingSettings:
        """The settings of the training in this phase.

        Raises:
            SettingsError: One of the phase's would change nothing.
        """
        given = {name: getattr(self, name) for name in OVERRIDES}
        given = {name: value for name, value in given.items() if value is not None}
        with self.named():
            return training.changed(phases=(), **given)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Faults of settings inside are said to be in this phase."""
        try:
            yield
        except SettingsError as error:
            raise SettingsError(f"in phase {self.name!r}, {error}") from error

    def changes(self) -> dict[str, object]:
        """All that it says but its name."""
        said = self.model_dump(exclude={"name"}, exclude_defaults=True)
        return {name: value for name, value in said.items() if value not in (None, (), {})}


# Settings of the training that a phase may have of its own.
OVERRIDES = (
    "learning_rate", "weight_decay", "max_epochs", "max_steps", "patience", "schedule",
    "warmup_epochs", "warmup_steps", "final_fraction", "clip_norm", "ema_decay",
)  # fmt: skip


def check_phases(training: TrainingSettings) -> None:
    """Refuse phases that do not differ, and settings that no phase heeds.

    Raises:
        SettingsError: Two phases have one name; one is as the one before it; the last
            one leaves a part off; or a setting would change nothing.
    """
    phases = training.phases
    for name in {phase.name for phase in phases}:
        if sum(phase.name == name for phase in phases) > 1:
            raise SettingsError(
                f"phases has two with the name {name!r}, expected different names. Rename one."
            )
    before: dict[str, object] | None = {} if len(phases) == 1 else None
    for phase in phases:
        if phase.changes() == before:
            other = "the run without phases" if len(phases) == 1 else "the phase before it"
            raise SettingsError(
                f"phase {phase.name!r} is as {other}, expected a change. Drop it, or say what is "
                "off, what trains or how."
            )
        before = phase.changes()
        phase.over(training)
    if phases and phases[-1].off:
        raise SettingsError(
            f"phase {phases[-1].name!r} is the last and leaves {phases[-1].off[0]!r} off, expected "
            "all parts on at the end, as they are when the model is used. Add a phase, or leave "
            "the part out of the model."
        )
    for name in OVERRIDES if phases else ():
        own = [getattr(phase, name) is not None for phase in phases]
        training.refuse_idle(
            name, unless=not all(own), because="every phase has its own. Drop one of them"
        )
