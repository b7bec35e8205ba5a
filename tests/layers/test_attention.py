"""Attention: the equations, causality and readable weights."""

import math

import pytest
import torch

from flatline.errors import ShapeError
from flatline.layers import InterpretableAttention


def layer_and_steps(steps=7):
    """A layer with a say of every lag, and steps to attend to."""
    torch.manual_seed(0)
    layer = InterpretableAttention(8, heads=2, steps=steps).double()
    torch.nn.init.normal_(layer.lag_bias)
    return layer, torch.randn(3, steps, 8).double()


@pytest.mark.parametrize("queries", [1, 3, 7])
def test_is_the_papers_attention(queries):
    """Per head softmax(QK/sqrt(d)) on one shared V, averaged, with keys and values laid out."""
    layer, x = layer_and_steps()
    value = x @ layer.value.weight.T
    heads = []
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        query = (x @ layer.query.weight.T + layer.query.bias)[..., part]
        key = (x @ layer.key.weight.T)[..., part]
        score = query @ key.transpose(1, 2) / math.sqrt(4)
        for i in range(7):
            for j in range(7):
                bias = layer.lag_bias[head, i - j] if j <= i else -torch.inf
                score[:, i, j] = score[:, i, j] + bias
        heads.append(score.softmax(-1) @ value)
    expected = layer.out(torch.stack(heads).mean(0))[:, 7 - queries :]
    torch.testing.assert_close(layer(x, queries=queries), expected)


def test_no_step_sees_a_later_one():
    """Changing step 4 leaves what the steps before it find alone."""
    layer, x = layer_and_steps()
    moved = x.clone()
    moved[:, 4] += 1
    changed = (layer(moved, queries=7) - layer(x, queries=7)).abs().amax((0, 2)) > 1e-12
    assert changed.tolist() == [False] * 4 + [True] * 3


def test_weights_are_one_share_per_step():
    """They add up to one and are 0 after the asking step."""
    layer, x = layer_and_steps()
    weights = layer.weights(x, queries=7)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 7).double())
    assert (weights.triu(1) == 0).all()
    assert (weights.tril() > 0).sum() == 3 * 28


def test_every_parameter_has_a_gradient_from_the_newest_step():
    """Biases of every lag included; there is no key bias, which never would."""
    layer, x = layer_and_steps()
    (layer(x) * torch.randn(3, 1, 8)).sum().backward()
    assert all((p.grad != 0).all() for p in layer.parameters())


def test_heads_that_do_not_divide_hidden_are_refused():
    """The message names both numbers."""
    with pytest.raises(ShapeError, match="hidden is 10, expected a multiple of the 4 attention"):
        InterpretableAttention(10, heads=4, steps=5)
