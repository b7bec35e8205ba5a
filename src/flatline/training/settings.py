"""What a training run can be told: optimisation, budget, guard, diagnostics, run folder.

These models import neither torch nor Lightning, so that a command line can
print its help and choose its threads before torch starts its pool.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from flatline.section import Section
from flatline.training.phase_settings import NotNegative, PhaseSettings, Positive, check_phases

__all__ = ["DiagnosticsSettings", "GuardSettings", "RunSettings", "TrainingSettings"]


def _as_text(value: object) -> object:
    """32 is written without quotes in most files."""
    return str(value) if isinstance(value, int) else value


class GuardSettings(Section):
    """How the degeneracy guard watches the scores during training.

    Args:
        action: What to do about flat scores: `warn`, `stop` the training,
            `reinit` the heads, or `off`.
        every_n_steps: Optimizer steps between two looks.
        patience: Looks in a row that must find the same kind before the guard
            acts, so that heads that start at zero may come to life; scores that
            are not finite are acted on at once.
        grace_steps: Steps before which only scores without any spread count,
            because a fresh model has not yet found its scale.
        max_reinits: Re-initialisations before the guard stops the training.
        heads: Names of the modules to re-initialise.
        ignore: Kinds of flat that are expected of this model, such as `vanished scale`.
    """

    action: Literal["warn", "stop", "reinit", "off"] = "warn"
    every_n_steps: Positive = 25
    patience: Positive = 2
    grace_steps: Annotated[int, Field(ge=0)] = 50
    max_reinits: Annotated[int, Field(ge=0)] = 2
    heads: tuple[str, ...] = ("head",)
    ignore: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _each_counts(self) -> Self:
        self.refuse_idle(
            "every_n_steps",
            "patience",
            "grace_steps",
            "ignore",
            unless=self.action != "off",
            because="action is 'off'. Set another, or drop it",
        )
        self.refuse_idle(
            "heads",
            "max_reinits",
            unless=self.action == "reinit",
            because=f"action is {self.action!r}. Set it to 'reinit', or drop it",
        )
        return self


class DiagnosticsSettings(Section):
    """What is logged about the inside of the model while it trains.

    Args:
        encoder: Log mean, std, min and max of the encoder's output.
        prediction_head: Log them at the head's input and before and after its
            scaling, per horizon.
        every_n_steps: Steps between two such lines.
        graph_gradient_floor: Warn when the norm of the graph branch's gradient
            is below it; 0 turns the warning off.
        gradient_every_n_steps: Steps between two looks at the gradients.
    """

    encoder: bool = False
    prediction_head: bool = False
    every_n_steps: Positive = 50
    graph_gradient_floor: NotNegative = 0.0
    gradient_every_n_steps: Positive = 25

    @model_validator(mode="after")
    def _each_counts(self) -> Self:
        self.refuse_idle(
            "every_n_steps",
            unless=self.encoder or self.prediction_head,
            because="no diagnostics are on. Set encoder or prediction_head, or drop it",
        )
        self.refuse_idle(
            "gradient_every_n_steps",
            unless=self.graph_gradient_floor > 0,
            because="the gradient monitor is off. Set graph_gradient_floor, or drop it",
        )
        return self


class RunSettings(Section):
    """Where a run leaves its files, and in how many processes it runs.

    Args:
        dir: Folder of the run. None makes a new one under `runs/`.
        resume: Go on from the last checkpoint of *dir*, if it has one.
        single_process: Safe mode: one process, one thread.
        export_predictions: Write the predictions of the test days beside the report.
    """

    dir: Path | None = None
    resume: bool = False
    single_process: bool = False
    export_predictions: bool = False


class TrainingSettings(Section):
    """How a model is optimised.

    Args:
        learning_rate: Peak learning rate of AdamW.
        weight_decay: Decoupled weight decay, not applied to norms, biases and gates.
        betas: Decay rates of AdamW's two moments.
        max_epochs: Passes over the training days.
        max_steps: Optimizer steps after which training stops; None for no limit.
        max_seconds: Seconds of training, over all resumes, after which it
            stops; None for no limit.
        schedule: `cosine` down to *final_fraction* of the peak over the whole
            budget, `plateau` (times *plateau_factor* whenever validation has
            not improved for *plateau_patience* epochs), or `constant`.
        schedule_interval: Whether the rate moves every `step` or every `epoch`.
        warmup_epochs: Epochs, or parts of one, over which the rate rises from 0.
        warmup_steps: Steps over which the rate rises; takes the place of *warmup_epochs*.
        final_fraction: Lowest rate, as a fraction of the peak.
        plateau_factor: What a plateau multiplies the rate by.
        plateau_patience: Epochs without improvement that make a plateau.
        clip_norm: Largest norm of the gradient over all parameters; 0 for no clipping.
        ema_decay: Judge and keep the exponential moving average of the weights, in which
            each step's weights count this times as much as those of the step after
            it, such as 0.999; None judges the weights themselves.
        precision: `32` or `bf16-mixed`.
        patience: Validations without improvement after which training stops;
            None never stops.
        restore_best: Leave the model with the weights of its best epoch.
        min_defined_share: Share of the validation days on which RankIC must be
            defined for an epoch to be eligible as the best.
        checkpoint_every_n_steps: Steps between two resumable checkpoints; one
            more is written after every epoch.
        log_every_n_steps: Steps between two rows of the log.
        accelerator: `auto`, `cpu` or `gpu`.
        deterministic: Refuse operations without a deterministic form.
        progress: Show a progress bar.
        tensorboard: Also log for TensorBoard, where that is installed.
        seed: Seed of python, numpy and torch.
        phases: What the training falls into, one after the other; empty for none.
            Budgets, schedules and patience are those of each phase, *max_seconds* too.
    """

    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: NotNegative = 1e-2
    betas: tuple[float, float] = (0.9, 0.999)
    max_epochs: Positive = 20
    max_steps: Positive | None = None
    max_seconds: Annotated[float, Field(gt=0)] | None = None
    schedule: Literal["cosine", "plateau", "constant"] = "cosine"
    schedule_interval: Literal["step", "epoch"] = "step"
    warmup_epochs: NotNegative = 0.5
    warmup_steps: Annotated[int, Field(ge=0)] | None = None
    final_fraction: Annotated[float, Field(ge=0, le=1)] = 0.01
    plateau_factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    plateau_patience: Positive = 2
    clip_norm: NotNegative = 1.0
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    precision: Annotated[Literal["32", "bf16-mixed"], BeforeValidator(_as_text)] = "32"
    patience: Positive | None = None
    restore_best: bool = True
    min_defined_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    checkpoint_every_n_steps: Positive = 200
    log_every_n_steps: Positive = 10
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    deterministic: bool = False
    progress: bool = True
    tensorboard: bool = True
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    phases: tuple[PhaseSettings, ...] = ()

    @model_validator(mode="after")
    def _each_counts(self) -> Self:
        self.refuse_idle(
            "warmup_epochs",
            unless=self.warmup_steps is None,
            because="warmup_steps is set and takes its place. Drop one of them",
        )
        self.refuse_idle(
            "plateau_factor",
            "plateau_patience",
            unless=self.schedule == "plateau",
            because=f"schedule is {self.schedule!r}. Set it to 'plateau', or drop it",
        )
        self.refuse_idle(
            "final_fraction",
            unless=self.schedule != "constant",
            because="schedule is 'constant'. Set another, or drop it",
        )
        check_phases(self)
        return self
