"""A batch that does not fit is refused in a sentence that says what to do."""

import pytest
import torch

from flatline.errors import ShapeError
from models.cases import build, draw


def without(*keys):
    """A batch less these keys."""
    return lambda batch: {k: v for k, v in batch.items() if k not in keys}


def with_(**tensors):
    """A batch with these tensors instead."""
    return lambda batch: batch | tensors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("features"), "expected features among them"),
        (without("group_day"), "expected group_day among them"),
        (without("stock_id"), "expected stock_id among them"),
        (with_(features=torch.ones(24, 19, 4)), r"expected \(rows, 20, 4\)"),
        (with_(features=torch.ones(24, 20, 5)), r"shape \(24, 20, 5\)"),
        (with_(features=torch.ones(24, 80)), r"expected \(rows, lookback, features\)"),
        (with_(features=torch.ones(24, 20, 4).double()), r"features.to\(torch.float32\)"),
        (with_(features=torch.ones(23, 20, 4)), "group_day has 24 rows, expected 23"),
        (without("static_features"), "no static_features.*expected .rows, 3"),
        (with_(static_features=torch.ones(24, 2)), "build the model with static=2"),
        (with_(edge_attr=torch.ones(96, 2)), "build the model with edge_attributes=2"),
        (with_(edge_attr=torch.ones(95, 3)), r"expected \(96, 3\)"),
        (without("edge_attr"), "edge_attr is missing"),
        (without("edge_index"), "edge_index is missing"),
        (with_(edge_index=torch.zeros(2, 96)), r"edge_index.long\(\)"),
        (with_(edge_index=torch.full((2, 96), 24)), "Edges index the rows of this batch"),
        (with_(edge_index=torch.tensor([[0] * 96, [23] * 96])), "different days"),
        (with_(edge_index=torch.zeros(96, 2, dtype=torch.int64)), r"expected \(2, edges\)"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(change, message):
    """Each part is named with its shape and the remedy."""
    with pytest.raises(ShapeError, match=message):
        build()(change(draw()))


def test_positional_tensors_are_refused_with_the_right_call():
    """One clear error, whether one tensor comes or several."""
    batch = draw()
    call = r"Write model\(\{'features': ..., 'group_day': ..., 'stock_id': ...\}\)"
    for tensors in ([batch["features"]], [batch["features"], batch["group_day"]]):
        with pytest.raises(ShapeError, match=call):
            build()(*tensors)


def test_an_empty_batch_is_refused():
    """Zero rows is no day."""
    empty = {k: v[:0] for k, v in draw().items() if not k.startswith("edge")}
    with pytest.raises(ShapeError, match="features has 0 rows"):
        build()(empty)


@pytest.mark.parametrize(
    ("sizes", "settings", "message"),
    [
        ({"features": 0}, {}, "features is 0, expected 1 or more"),
        ({"static": -1}, {}, "static is -1, expected 0 or more"),
        ({"lookback": 21}, {}, "slices is 4 with lookback 21"),
        ({"lookback": 5}, {}, "slices is 4 with lookback 5"),
        ({}, {"fan_top_k": 6}, "twice their sum"),
        ({}, {"hidden": 18}, "multiple of the 4 attention heads"),
        ({}, {"gat_heads": 3}, "multiple of the 3 graph heads"),
        ({"horizons": ()}, {}, "horizons is"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_at_once(sizes, settings, message):
    """In the constructor, not in the first batch."""
    with pytest.raises(ShapeError, match=message):
        build(sizes=sizes, **settings)
