"""What differs between train mode and eval mode, dropout and batch statistics set aside."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from flatline.harness.case import Case
from flatline.harness.probes.modules import Parting, first_parting, recorded
from flatline.harness.probes.passes import eval_score, start
from flatline.harness.probes.scoring import forward
from flatline.harness.statistics import HALF_THE_DIGITS

__all__ = ["EvalMode", "TrainMode", "WithoutDropout", "eval_mode", "train_mode"]

DROPS = frozenset(
    {
        "dropout", "dropout1d", "dropout2d", "dropout3d", "dropout_", "alpha_dropout",
        "alpha_dropout_", "feature_alpha_dropout", "feature_dropout", "feature_dropout_",
    }
)  # fmt: skip
RECURRENT = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu"})
# Arguments by which a function of torch is told of train mode, and what says eval.
SWITCHES: dict[str, dict[str, object]] = {
    "scaled_dot_product_attention": {"dropout_p": 0.0},
    "multi_head_attention_forward": {"dropout_p": 0.0},
    "batch_norm": {"training": False},
    "instance_norm": {"use_input_stats": False},
    "rrelu": {"training": False},
}
STATISTICS = frozenset({"batch_norm", "instance_norm"})
SCALED_DOT_PRODUCT = ("query", "key", "value", "attn_mask", "dropout_p")
# Passes that show the model's own noise in train mode.
DRAWS = 4


@dataclass(frozen=True, slots=True, eq=False)
class EvalMode:
    """What a model in eval mode does that it should not.

    Args:
        model: For the culprit.
        training: Modules that stay in train mode.
        changed: Entries of the state that a pass changed.
    """

    model: nn.Module
    training: tuple[str, ...]
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TrainMode:
    """Scores of one batch in both modes, without dropout.

    Args:
        model: For the culprit.
        evaluated: In eval mode. Shape (rows, horizons).
        trained: In train mode, averaged over passes that differ by what noise is left.
            Shape (rows, horizons).
        noise: Root mean square of what the passes differ by; 0 where there is no noise.
        parting: The first module at which the modes part; None where none does.
    """

    model: nn.Module
    evaluated: Tensor
    trained: Tensor
    noise: float
    parting: Parting | None


class WithoutDropout(TorchFunctionMode):
    """While open, dropout drops nothing and norms use their running statistics.

    Whatever layer they are part of: functions of torch are caught, not modules.

    Example:
        >>> with WithoutDropout():
        ...     nn.functional.dropout(torch.ones(3), 0.5, training=True)
        tensor([1., 1., 1.])
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Call *func* as eval mode would."""
        del types
        given, name = dict(kwargs or {}), getattr(func, "__name__", "")
        if name in DROPS:
            return args[0] if args else given["input"]
        if name in RECURRENT:
            # Its only fraction is the share of states that it drops.
            return func(*(0.0 if isinstance(x, float) else x for x in args), **given)
        if name in SWITCHES:
            return self._switched(func, name, args, given)
        return func(*args, **given)

    @staticmethod
    def _switched(
        func: Callable[..., Any], name: str, args: tuple[Any, ...], given: dict[str, Any]
    ) -> Any:  # noqa: ANN401
        try:
            names = tuple(inspect.signature(func).parameters)
        except ValueError:  # A built-in function has none.
            names = SCALED_DOT_PRODUCT
        bound = dict(zip(names, args, strict=False)) | given
        # Without running statistics both modes use those of the batch.
        if name in STATISTICS and bound.get("running_mean") is None:
            return func(*args, **given)
        switches = SWITCHES[name]
        placed = [switches.get(n, x) for n, x in zip(names, args, strict=False)]
        rest = {n: x for n, x in switches.items() if n not in names[: len(args)]}
        return func(*placed, **(given | rest))


def eval_mode(case: Case) -> EvalMode:
    """What a pass in eval mode leaves behind."""
    model = case.model().train().eval()
    before = {name: x.clone() for name, x in _tensors(model).items()}
    eval_score(case, model)
    after = _tensors(model)
    changed = [n for n, x in after.items() if n not in before or not _same(before[n], x)]
    return EvalMode(
        model=model,
        training=tuple(path for path, module in model.named_modules() if module.training),
        changed=tuple(changed),
    )


@torch.no_grad()
def train_mode(case: Case) -> TrainMode:
    """Scores of the same weights in both modes."""
    subject, given = case.subject, case.of(start)
    model = case.model()
    with recorded(model) as evaluated:
        score = eval_score(case, model)
    model.train()
    draws = []
    with WithoutDropout(), recorded(model) as trained:
        for _ in range(DRAWS):
            outputs = forward(subject, model, given.inputs, case.place)
            draws.append(subject.score_of(outputs))
    stacked = torch.stack(draws).double()
    noise = float((stacked - stacked.mean(0)).square().mean().sqrt() * (DRAWS / (DRAWS - 1)) ** 0.5)
    bound = HALF_THE_DIGITS
    return TrainMode(
        model=model,
        evaluated=score,
        trained=stacked.mean(0).to(score.dtype),
        noise=noise,
        parting=first_parting(evaluated, trained, bound),
    )


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {n: x.detach() for n, x in model.state_dict().items() if isinstance(x, Tensor)}


def _same(one: Tensor, other: Tensor) -> bool:
    # What was no number before may stay so.
    return one.shape == other.shape and torch.allclose(
        one.double(), other.double(), rtol=0.0, atol=0.0, equal_nan=True
    )
