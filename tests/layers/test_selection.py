"""Variable selection against a loop over the variables."""

import pytest
import torch

from flatline.layers import VariableNetworks, VariableSelection
from flatline.layers.selection import TILE


@pytest.mark.parametrize("rows", [1, TILE - 1, TILE, 2 * TILE + 3])
def test_networks_are_one_gated_residual_network_per_variable(rows):
    """The batched product gives what a loop over the variables gives, tiles or no tiles."""
    torch.manual_seed(0)
    nets = VariableNetworks(3, 4).double()
    x, weight = torch.randn(rows, 3).double(), torch.rand(rows, 3).double()
    expected = torch.zeros(rows, 4).double()
    for v in range(3):
        value = x[:, v : v + 1]
        inner = value * nets.inner[v, :, 0] + nets.inner_bias[v, :, 0]
        inner = torch.where(inner > 0, inner, inner.exp() - 1)
        signal, gate = (inner @ nets.gate[v].T + nets.gate_bias[v, :, 0]).split(4, -1)
        skip = value * nets.embed[v] + nets.embed_bias[v]
        expected += weight[:, v : v + 1] * (skip + signal * gate.sigmoid())
    torch.testing.assert_close(nets(x, weight), expected)


def test_networks_have_the_gradient_of_finite_differences():
    """Gradcheck in float64, inputs and weights."""
    torch.manual_seed(0)
    nets = VariableNetworks(2, 3).double()
    x = torch.randn(4, 2).double().requires_grad_()
    weight = torch.rand(4, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(nets, (x, weight))


def test_weights_add_up_to_one_and_follow_the_input():
    """A softmax over the variables that depends on values and context."""
    layer = VariableSelection(5, 8, width=4, context=3)
    x, context = torch.randn(20, 6, 5), torch.randn(6, 3)
    weights = layer.weights(x, context)
    torch.testing.assert_close(weights.sum(-1), torch.ones(20, 6))
    assert not torch.allclose(weights, layer.weights(-x, context))
    assert not torch.allclose(weights, layer.weights(x, -context))


@pytest.mark.parametrize("variables", [1, 2, 5])
def test_every_parameter_and_variable_has_a_gradient(variables):
    """No dead weight, even with one or two variables."""
    torch.manual_seed(0)
    layer = VariableSelection(variables, 8, width=4)
    x = torch.randn(20, 6, variables, requires_grad=True)
    (layer(x) * torch.randn(20, 6, 8)).sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad != 0).any(), name
    assert (x.grad != 0).all()


def test_size_of_one_feature_survives():
    """A value twice as large says something else: no norm ends a variable's network."""
    layer = VariableSelection(1, 8, width=4)
    near, far = layer(torch.full((1, 1), 5.0)), layer(torch.full((1, 1), 10.0))
    assert (far - near).norm() > 0.5 * near.norm()
