"""The encoder: its equations, its options, and calls that share a kernel."""

import math

import pytest
import torch

from flatline.errors import ShapeError
from flatline.layers import EncoderLayer, SelfAttention, TransformerEncoder


def attention(together=1):
    """Eight units, two heads, six sequences of four tokens, in double precision."""
    torch.manual_seed(0)
    layer = SelfAttention(8, heads=2, tokens=4, together=together).double()
    return layer, torch.randn(6, 4, 8, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("together", [1, 2, 3, 6])
def test_is_the_papers_attention(together):
    """Sequence by sequence and head by head, however many share a call."""
    layer, x = attention(together)
    for row, sequence in enumerate(x):
        heads = []
        for head in range(2):
            part = slice(4 * head, 4 * head + 4)
            query = (sequence @ layer.query.weight.T + layer.query.bias)[:, part]
            key = (sequence @ layer.key.weight.T)[:, part]
            value = (sequence @ layer.value.weight.T)[:, part]
            weights = (query @ key.T / math.sqrt(4)).softmax(-1)
            torch.testing.assert_close(layer.weights(x)[row, head], weights)
            heads.append(weights @ value)
        expected = torch.cat(heads, 1) @ layer.out.weight.T + layer.out.bias
        torch.testing.assert_close(layer(x)[row], expected)


def test_sequences_that_share_a_call_do_not_see_each_other():
    """The largest of values in one leaves its neighbours as they are, to the bit."""
    layer, x = attention(together=3)
    loud = x.clone()
    loud[1] = 1e6
    moved = (layer(loud) != layer(x)).any(-1).any(-1)
    assert moved.tolist() == [False, True, False, False, False, False]


def test_gradients_do_not_depend_on_who_shares_a_call():
    """Of input and parameters."""
    grads = []
    for together in (1, 6):
        layer, x = attention(together)
        x.requires_grad_()
        (layer(x) * torch.arange(8)).square().sum().backward()
        grads.append([x.grad, *(p.grad for p in layer.parameters())])
    for alone, shared in zip(*grads, strict=True):
        torch.testing.assert_close(shared, alone)


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_the_norm_stands_where_it_is_put(norm, pre_norm):
    """The layer beside its two equations, with a norm written out."""
    torch.manual_seed(0)
    layer = EncoderLayer(8, heads=2, feed_forward=16, norm=norm, pre_norm=pre_norm).double()
    x = 3 + 2 * torch.randn(5, 4, 8).double()

    def normed(v):
        over = (0, 1) if norm == "batch" else (2,)
        centred = v - v.mean(over, keepdim=True)
        return centred / (centred.square().mean(over, keepdim=True) + 1e-5).sqrt()

    def fed(v):
        return layer.outer(torch.nn.functional.gelu(layer.inner(v)))

    if pre_norm:
        middle = x + layer.attention(normed(x))
        expected = middle + fed(normed(middle))
    else:
        middle = normed(x + layer.attention(x))
        expected = normed(middle + fed(middle))
    torch.testing.assert_close(layer(x), expected)


def test_branches_start_smaller_the_deeper_the_encoder():
    """By one over the root of the number of branches, from the same draws."""
    found = []
    for depth in (2, 32):
        torch.manual_seed(0)
        encoder = TransformerEncoder(8, depth=depth, heads=2, feed_forward=16)
        found.append(encoder.layers[0])
    shallow, deep = found
    for part in ("outer", "attention.out"):
        weights = [layer.get_submodule(part).weight for layer in (shallow, deep)]
        torch.testing.assert_close(weights[1] * 4, weights[0])
    torch.testing.assert_close(deep.inner.weight, shallow.inner.weight)


def test_dropout_is_off_in_eval_mode_only():
    """Two passes differ in training and agree after it."""
    torch.manual_seed(0)
    encoder = TransformerEncoder(8, depth=2, heads=2, feed_forward=16, dropout=0.3)
    x = torch.randn(5, 4, 8)
    assert not torch.equal(encoder(x), encoder(x))
    encoder.eval()
    assert torch.equal(encoder(x), encoder(x))


def test_heads_that_do_not_divide_hidden_are_refused():
    """The message names both numbers."""
    with pytest.raises(ShapeError, match="hidden is 10, expected a multiple of the 4 attention"):
        SelfAttention(10, heads=4)
