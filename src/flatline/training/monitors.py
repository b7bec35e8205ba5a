"""Callbacks that write what goes on inside the model, as log lines that can be grepped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from flatline.batch import DayBatch, Labels
from flatline.training.guard import find_module
from flatline.training.guard_callback import model_of
from flatline.training.settings import DiagnosticsSettings

__all__ = ["GraphGradientMonitor", "ModuleDiagnostics", "make_monitors"]

log = logging.getLogger(__name__)
Batch = tuple[DayBatch, Labels]


def make_monitors(settings: DiagnosticsSettings) -> list[Callback]:
    """The monitors that the settings ask for.

    Example:
        >>> make_monitors(DiagnosticsSettings())
        []
        >>> [type(m).__name__ for m in make_monitors(DiagnosticsSettings(encoder=True))]
        ['ModuleDiagnostics']
    """
    found: list[Callback] = []
    if settings.graph_gradient_floor > 0:
        found.append(
            GraphGradientMonitor(
                settings.graph_gradient_floor, every_n_steps=settings.gradient_every_n_steps
            )
        )
    if settings.encoder or settings.prediction_head:
        found.append(
            ModuleDiagnostics(
                encoder=settings.encoder,
                prediction_head=settings.prediction_head,
                every_n_steps=settings.every_n_steps,
            )
        )
    return found


class GraphGradientMonitor(Callback):
    """Warns when the gradient that reaches the graph branch is too small to train it.

    Args:
        floor: Norm of the gradient over the branch's parameters below which to warn.
        every_n_steps: Steps between two looks.
        branch: Name of the branch in the model.

    Raises:
        SettingsError: At the start of training, where the model has no such module.
    """

    def __init__(self, floor: float, *, every_n_steps: int = 25, branch: str = "gat") -> None:
        self.floor = floor
        self.every_n_steps = every_n_steps
        self.branch = branch
        self.norms: list[tuple[int, float]] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse a model without the branch, which could never be warned about."""
        del trainer
        find_module(model_of(pl_module), self.branch, setting="the branch of the gradient monitor")

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Measure, before the gradients are clipped."""
        del optimizer
        step = trainer.global_step + 1
        if step % self.every_n_steps:
            return
        branch = model_of(pl_module).get_submodule(self.branch)
        if not any(p.requires_grad for p in branch.parameters()):
            return  # A phase in which it is off or frozen.
        grads = [p.grad.float().norm() for p in branch.parameters() if p.grad is not None]
        norm = float(torch.stack(grads).norm()) if grads else 0.0
        self.norms.append((step, norm))
        # Written as "not above", so that a NaN is warned about too.
        if not norm >= self.floor:
            log.warning(
                "[graph-grad] step=%d module=%s norm=%.3e floor=%.3e",
                step,
                self.branch,
                norm,
                self.floor,
            )


class ModuleDiagnostics(Callback):
    """Logs mean, std, min and max at the encoder's output and around the head.

    One line per place, every few steps, such as
    `[encoder-diag] step=50 where=encoder mean=... std=... min=... max=...` and
    `[head-diag] step=50 where=head.before_scale horizon=5 mean=...`. The places
    of the head are its input, and the scores before and after its scaling: the
    input and output of every module below `head` whose name ends with `scale`;
    where there is none, the head's outputs.

    Args:
        encoder: Look at the encoder.
        prediction_head: Look at the head.
        every_n_steps: Steps between two looks.

    Raises:
        SettingsError: At the start of training, where the model has no `encoder` or `head`.
    """

    def __init__(
        self, *, encoder: bool = True, prediction_head: bool = True, every_n_steps: int = 50
    ) -> None:
        self.encoder = encoder
        self.prediction_head = prediction_head
        self.every_n_steps = every_n_steps
        self._hooks: list[RemovableHandle] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse a model without the modules to look at."""
        del trainer
        model = model_of(pl_module)
        if self.encoder:
            find_module(model, "encoder", setting="the module of the encoder diagnostics")
        if self.prediction_head:
            find_module(model, "head", setting="the module of the head diagnostics")

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Listen during this step, where a look is due."""
        del batch, batch_idx
        step = trainer.global_step + 1
        if step != 1 and step % self.every_n_steps:
            return
        model = model_of(pl_module)
        if self.encoder:
            self._after(model.get_submodule("encoder"), f"[encoder-diag] step={step} where=encoder")
        if self.prediction_head:
            self._listen_to_head(model.get_submodule("head"), f"[head-diag] step={step} where=head")

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Stop listening."""
        del trainer, pl_module, outputs, batch, batch_idx
        while self._hooks:
            self._hooks.pop().remove()

    def _listen_to_head(self, head: nn.Module, label: str) -> None:
        self._before(head, f"{label}.input")
        scales = [(n, m) for n, m in head.named_modules() if n.split(".")[-1].endswith("scale")]
        for name, module in scales:
            place = f" module={name}" + "".join(
                f" horizon={h}" for h in name.split(".") if h.isdigit()
            )
            self._before(module, f"{label}.before_scale{place}")
            self._after(module, f"{label}.after_scale{place}")
        self._after(head, f"{label}.output", per_column=True)

    def _before(self, module: nn.Module, label: str) -> None:
        def hook(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            _report(label, inputs)

        self._hooks.append(module.register_forward_pre_hook(hook))

    def _after(self, module: nn.Module, label: str, *, per_column: bool = False) -> None:
        def hook(_: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
            del inputs
            _report(label, output, per_column=per_column)

        self._hooks.append(module.register_forward_hook(hook))


def _report(label: str, value: object, *, per_column: bool = False) -> None:
    for part, tensor in _tensors(value):
        if per_column and tensor.ndim > 1:
            for column in range(tensor.shape[1]):
                log.info("%s%s column=%d %s", label, part, column, _numbers(tensor[:, column]))
        else:
            log.info("%s%s %s", label, part, _numbers(tensor))


def _tensors(value: object) -> Iterator[tuple[str, Tensor]]:
    """The floating tensors of a module's input or output, with a name where there are several."""
    if isinstance(value, Tensor):
        if value.is_floating_point() and value.numel():
            yield "", value
        return
    if isinstance(value, (tuple, list)):
        several = sum(isinstance(part, Tensor) for part in value) > 1
        for position, part in enumerate(value):
            for name, tensor in _tensors(part):
                yield (f" part={position}" if several else "") + name, tensor


def _numbers(x: Tensor) -> str:
    x = x.detach().float()
    measures: dict[str, Callable[[Tensor], Tensor]] = {
        "mean": torch.mean,
        "std": lambda y: y.std(correction=0),
        "min": torch.min,
        "max": torch.max,
    }
    return " ".join(f"{name}={float(measure(x)):.6g}" for name, measure in measures.items())
