"""Outputs of a model with other scores in the place of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from flatline.harness.trees import leaves, map_tensors

__all__ = ["Substitute"]

# Of the size of the scores: what single precision may lose on the way there.
CLOSE = 1e-4


class Substitute:
    """Puts scores into outputs, where the scores are a straight function of them.

    A column picked, a mean over quantiles or the difference of two logits are; a softmax is not.
    Each score must be read off entries of its own.

    Args:
        outputs: What a model returned: any nesting of tensors.
        score_of: From outputs to scores. Shape (rows, horizons).

    Example:
        >>> outputs = {"logits": torch.tensor([[3.0, 5.0], [1.0, 0.0]])}
        >>> swap = Substitute(outputs, lambda out: out["logits"].diff(dim=1))
        >>> swap(torch.tensor([[4.0], [0.0]]))
        {'logits': tensor([[-2.,  2.],
                [ 0.,  0.]])}
    """

    def __init__(self, outputs: Any, score_of: Callable[[Any], Tensor]) -> None:  # noqa: ANN401
        self.outputs = outputs
        self.score_of = score_of
        found = [(at, x) for at, x in leaves(outputs) if x.is_floating_point()]
        self.paths = [at for at, _ in found]
        own = [x.detach() for _, x in found]
        slopes = self._slopes(own, None)
        # What scores are made of starts from 0, so that equal scores come out exactly equal.
        self.base = [torch.where(g != 0, 0.0, x) for g, x in zip(slopes, own, strict=True)]
        self.start = self._score(self.base)
        moved = [x + g for x, g in zip(self.base, slopes, strict=True)]
        self.rate = self._score(moved) - self.start

    def finite(self) -> bool:
        """Whether the outputs are, apart from what the scores are made of."""
        return all(bool(torch.isfinite(x).all()) for x in self.base)

    def straight(self) -> bool:
        """Whether any scores can be put in."""
        if not bool((self.rate > 0).all()) or not bool(torch.isfinite(self.rate).all()):
            return False
        draw = torch.Generator().manual_seed(0)
        wanted = torch.randn(self.rate.shape, generator=draw).to(self.rate)
        off = (self.score_of(self(wanted)) - wanted).abs().max()
        return bool(off <= CLOSE)

    def __call__(self, score: Tensor) -> Any:  # noqa: ANN401 (the outputs are the subject's own)
        """The outputs with these scores, their gradient reaching *score* through them."""
        steps = self._slopes(self.base, (score - self.start) / self.rate)
        new = {at: x + g for at, x, g in zip(self.paths, self.base, steps, strict=True)}
        return map_tensors(new.get, self.outputs)

    def _slopes(self, at: list[Tensor], weights: Tensor | None) -> list[Tensor]:
        with torch.enable_grad():
            own = [x.detach().requires_grad_() for x in at]
            score = self._score(own)
            weights = torch.ones_like(score) if weights is None else weights
            found = torch.autograd.grad(
                score, own, weights, allow_unused=True, create_graph=weights.requires_grad
            )
        return [torch.zeros_like(x) if g is None else g for g, x in zip(found, own, strict=True)]

    def _score(self, tensors: list[Tensor]) -> Tensor:
        new = dict(zip(self.paths, tensors, strict=True))
        return self.score_of(map_tensors(new.get, self.outputs))
