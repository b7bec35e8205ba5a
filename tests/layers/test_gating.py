"""Gates: what they compute, against the equations written out."""

import torch

from flatline.layers import GatedResidual, GatedSkip


def test_gated_skip_is_the_equation():
    """norm(skip + sigmoid(gate) * value), written out."""
    torch.manual_seed(0)
    layer = GatedSkip(6).double()
    x, skip = torch.randn(5, 6).double(), torch.randn(5, 6).double()
    value, gate = (x @ layer.gate.weight.T + layer.gate.bias).split(6, -1)
    total = skip + value / (1 + (-gate).exp())
    centred = total - total.mean(-1, keepdim=True)
    expected = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(layer(x, skip), expected)


def test_gated_residual_is_the_papers_with_its_two_linear_maps_made_one():
    """Equations 2 to 5 of Lim et al. with maps W1, W4 and W5 give the same output."""
    torch.manual_seed(0)
    layer = GatedResidual(6, 4, context=3).double()
    x, context = torch.randn(5, 6).double(), torch.randn(5, 3).double()
    first, pair = torch.randn(4, 4).double(), torch.randn(12, 4).double()
    with torch.no_grad():
        layer.gate.weight.copy_(pair @ first)
    bent = x @ layer.inner.weight.T + layer.inner.bias + context @ layer.context.weight.T
    bent = torch.where(bent > 0, bent, bent.exp() - 1)
    value, gate = ((bent @ first.T) @ pair.T + layer.gate.bias).split(6, -1)
    expected = torch.nn.functional.layer_norm(x + value * gate.sigmoid(), (6,))
    torch.testing.assert_close(layer(x, context), expected)


def test_context_shifts_every_step_alike():
    """A context of one row reaches each of the row's steps."""
    layer = GatedResidual(6, 4, context=3)
    steps, context = torch.randn(7, 5, 6), torch.randn(5, 3)
    torch.testing.assert_close(layer(steps, context)[2], layer(steps[2], context))
    assert not torch.allclose(layer(steps, context), layer(steps, -context))


def test_dropout_acts_in_training_only():
    """The same input gives the same output in eval mode, and another in training."""
    torch.manual_seed(0)
    layer, x = GatedResidual(6, 32, dropout=0.5), torch.randn(5, 6)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))
