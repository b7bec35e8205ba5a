"""Batches with other rows in them stay batches: what belongs together stays together."""

import torch

from flatline.harness.inputs import inputs_of
from flatline.harness.probes.edits import Rows, another_graph, half_the_edges, traded, without_edges
from harness.dependent import STOCKS, batch, subject


def rows():
    """The rows of a batch."""
    inputs, _ = batch(1)
    return Rows(inputs, inputs_of(subject(), inputs), inputs["group_day"])


def joined(some):
    """Who hears whom and how loudly, by day and stock: what does not depend on row numbers."""
    day, stock = some.day, some.inputs["stock_id"]
    first, second = some.edges()
    weights = some.inputs["edge_attr"][:, 0]
    return {
        (int(day[a]), int(stock[a]), int(day[b]), int(stock[b]), float(w))
        for a, b, w in zip(first, second, weights, strict=True)
    }


def test_rows_in_another_order_keep_their_neighbours():
    """Edges are renumbered, their attributes go along."""
    whole = rows()
    turned = whole.take(torch.randperm(whole.count, generator=torch.Generator().manual_seed(0)))
    assert joined(turned) == joined(whole)
    assert not torch.equal(turned.edges(), whole.edges())


def test_a_part_of_the_rows_keeps_the_edges_within_it():
    """One day alone has its own edges and no other."""
    whole = rows()
    day = int(whole.day[0])
    part = whole.take((whole.day == day).nonzero().flatten())
    assert part.count == STOCKS
    assert joined(part) == {edge for edge in joined(whole) if edge[0] == day}


def test_a_change_leaves_the_other_rows_and_the_batch_alone():
    """Values of the chosen rows are others; days, edges and the original stay."""
    whole = rows()
    before = whole.inputs["features"].clone()
    chosen = whole.day == whole.day[0]
    after = whole.change(chosen)
    moved = (after.inputs["features"] != before).flatten(1).all(1)
    assert torch.equal(moved, chosen)
    assert torch.equal(whole.inputs["features"], before)
    assert torch.equal(after.inputs["group_day"], whole.inputs["group_day"])
    assert after.inputs["edge_index"] is whole.inputs["edge_index"]


def test_traded_values_stay_among_those_that_there_are():
    """A model may take logarithms: no value is new, but in a column that never varies."""
    whole = rows()
    part = next(p for p in whole.parts if p.path == "features")
    x = whole.inputs["features"].clone()
    x[..., 1] = 3.0
    other = traded(x, part)
    assert torch.equal(other[..., 0].sort(0).values, x[..., 0].sort(0).values)
    assert not bool((other[..., 1] == 3.0).any())


def test_other_graphs_join_rows_of_the_same_day():
    """Fewer edges, none, or as many that start elsewhere; never from day to day."""
    whole = rows()
    first, second = another_graph(whole).edges()
    assert torch.equal(second, whole.edges()[1])
    assert torch.equal(whole.day[first], whole.day[second])
    assert without_edges(whole).edges().shape == (2, 0)
    assert without_edges(whole).inputs["edge_attr"].shape == (0, 1)
    assert joined(half_the_edges(whole)) < joined(whole)
