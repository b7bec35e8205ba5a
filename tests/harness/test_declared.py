"""The grammar of what may not matter, and the errors of its typos."""

import re

import pytest

from flatline.errors import SettingsError
from flatline.harness.declared import Declared
from flatline.harness.inputs import Input, Role

WINDOW = Input("features", Role.ROWS, ("rows", "lookback", "features"), (8, 5, 2))
STOCK = Input("stock_id", Role.CATEGORY, ("rows",), (8,))
GRAPH = Input("edge_index", Role.EDGES, ("ends", "edges"), (2, 9))
WEIGHTS = Input("edge_attr", Role.EDGE_ATTRIBUTES, ("edges", "features"), (9, 1))
WHOLE = Input("", Role.ROWS, ("rows", "features"), (8, 2))
COLUMNS = {"features": ("open", "close")}


def declared(*tokens, parts=(WINDOW, STOCK, GRAPH, WEIGHTS)):
    """What is declared, of these inputs."""
    return Declared.of(tokens, parts, columns=COLUMNS)


def test_a_whole_input_takes_its_features_steps_and_aspects_with_it():
    """Nothing of it has to matter, and everything of the others has."""
    found = declared("features")
    assert found.whole(WINDOW)
    assert found.feature(WINDOW, 1)
    assert found.step(WINDOW, 4)
    assert found.aspect(WINDOW, "gradient")
    assert not found.whole(STOCK)


@pytest.mark.parametrize("token", ["features:close", "features:1"])
def test_a_feature_goes_by_name_or_position(token):
    """One feature, and no other."""
    found = declared(token)
    assert [found.feature(WINDOW, i) for i in range(2)] == [False, True]
    assert not found.whole(WINDOW)


@pytest.mark.parametrize(
    ("token", "steps"),
    [
        ("features@0", {0}),
        ("features@1-3", {1, 2, 3}),
        ("features@-1", {4}),
    ],
)
def test_steps_are_counted_from_the_oldest_or_the_newest(token, steps):
    """0 is the oldest, -1 the newest, and a range has both its ends."""
    assert {i for i in range(5) if declared(token).step(WINDOW, i)} == steps


def test_aspects_are_of_an_input_or_of_one_feature():
    """A level is no scale, and the gradient of one feature is not that of another."""
    found = declared("features~level", "features:open~gradient")
    assert found.aspect(WINDOW, "level")
    assert not found.aspect(WINDOW, "scale")
    assert [found.aspect(WINDOW, "gradient", i) for i in range(2)] == [True, False]
    assert not found.feature(WINDOW, 0)


def test_edges_stand_for_the_graph_with_its_attributes():
    """And for nothing where a batch has none."""
    assert declared("edges").whole(GRAPH)
    assert declared("edges").whole(WEIGHTS)
    assert declared("edges", parts=(WINDOW,)).entries == ()


def test_inputs_that_are_one_tensor_have_a_name():
    """It has no path of its own."""
    found = declared("inputs:0", parts=(WHOLE,))
    assert [found.feature(WHOLE, i) for i in range(2)] == [True, False]


def test_one_string_is_one_declaration():
    """A forgotten pair of brackets does not fall apart into letters."""
    assert Declared.of("stock_id", (STOCK,)).whole(STOCK)


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("stock", "expected an input of ['edge_attr', 'edge_index', 'features', 'stock_id']. Did"),
        ("features:clse", "a position below 2 or a name in `columns`. Did you mean 'close'?"),
        ("features:2", "a position below 2"),
        ("features@5", "expected steps of 'features' from 0 to 4"),
        ("features@3-1", "expected steps of 'features' from 0 to 4"),
        ("stock_id@0", "expected steps of 'stock_id'"),
        ("features~mean", "expected an input such as 'stock_id'"),
        ("", "expected an input such as 'stock_id'"),
    ],
)
def test_what_is_not_there_is_refused_with_the_nearest(token, says):
    """A typo must not switch a check off."""
    with pytest.raises(SettingsError, match=re.escape(says)):
        declared(token)
