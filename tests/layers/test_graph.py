"""Graph attention and fusion."""

import pytest
import torch

from flatline.errors import ShapeError
from flatline.layers import GatedFusion, GraphAttention

STATE = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
EDGES = torch.tensor([[0, 1, 2, 2, 4], [1, 0, 0, 1, 3]])
ATTRIBUTES = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))


def graph(attributes=3):
    """The same layer every time."""
    torch.manual_seed(0)
    return GraphAttention(8, heads=2, edge_attributes=attributes)


def test_is_gatv2_written_out():
    """Softmax over a stock's incoming edges of a . leaky(W [x_i, x_j, e_ij]), head by head."""
    layer = graph()
    conv = layer.conv
    source, target = conv.lin_l(STATE).reshape(6, 2, 4), conv.lin_r(STATE).reshape(6, 2, 4)
    edge = conv.lin_edge(ATTRIBUTES).reshape(5, 2, 4)
    expected = torch.zeros(6, 2, 4)
    for row in range(6):
        incoming = (EDGES[1] == row).nonzero().flatten()
        if incoming.numel() == 0:
            continue
        both = target[row] + source[EDGES[0, incoming]] + edge[incoming]
        score = (torch.nn.functional.leaky_relu(both, 0.2) * conv.att).sum(-1)
        share = score.softmax(0).unsqueeze(-1)
        expected[row] = (share * source[EDGES[0, incoming]]).sum(0)
    expected = torch.nn.functional.elu(expected.reshape(6, 8) + conv.bias)
    torch.testing.assert_close(layer(STATE, EDGES, ATTRIBUTES), expected)


def test_no_graph_is_a_graph_without_edges():
    """A missing edge_index and an empty one give the same, with and without attributes."""
    none = torch.empty(2, 0, dtype=torch.int64)
    for attributes in (0, 3):
        layer = graph(attributes)
        empty = layer(STATE, none, torch.empty(0, attributes))
        assert torch.equal(layer(STATE), empty)
        assert empty.isfinite().all()


def test_given_self_loops_are_edges_like_others():
    """A self-loop with its own attributes raises nothing and changes its stock only."""
    looped = torch.cat([EDGES, torch.tensor([[5], [5]])], 1)
    out = graph()(STATE, looped, torch.cat([ATTRIBUTES, torch.ones(1, 3)]))
    changed = (out != graph()(STATE, EDGES, ATTRIBUTES)).any(1)
    assert changed.tolist() == [False] * 5 + [True]


def test_edge_attributes_matter_where_they_can():
    """They move stocks with two or more neighbours; a single neighbour has all the weight."""
    moved = (graph()(STATE, EDGES, ATTRIBUTES) - graph()(STATE, EDGES, -ATTRIBUTES)).abs().sum(1)
    assert (moved[:2] > 0).all()
    assert (moved[2:] == 0).all()


def test_graph_sums_are_the_same_every_time():
    """Bit for bit on the CPU."""
    edges = torch.randint(0, 6, (2, 500), generator=torch.Generator().manual_seed(0))
    attributes = torch.ones(500, 3)
    assert torch.equal(graph()(STATE, edges, attributes), graph()(STATE, edges, attributes))


def test_fusion_is_its_equation():
    """Alpha of the projection and the rest of the temporal branch, alpha as asked."""
    fusion = GatedFusion(8, gate=0.3)
    heard = STATE.flip(0)
    assert fusion.alpha.item() == pytest.approx(0.3)
    joint = torch.cat([STATE, heard], 1) @ fusion.project.weight.T + fusion.project.bias
    torch.testing.assert_close(fusion(STATE, heard), 0.3 * joint + 0.7 * STATE)


def test_graph_columns_start_three_times_as_large():
    """The default start against the start without it, same seed."""
    torch.manual_seed(0)
    plain = GatedFusion(8, graph_scale=1.0).project.weight
    torch.manual_seed(0)
    scaled = GatedFusion(8).project.weight
    torch.testing.assert_close(scaled[:, :8], plain[:, :8])
    torch.testing.assert_close(scaled[:, 8:], 3 * plain[:, 8:])


def test_heads_that_do_not_divide_hidden_are_refused():
    """The message names both numbers."""
    with pytest.raises(ShapeError, match="hidden is 10, expected a multiple of the 4 graph heads"):
        GraphAttention(10, heads=4, edge_attributes=0)
