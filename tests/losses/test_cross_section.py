"""The layout in which every loss computes."""

import pytest
import torch

from flatline.days import Days
from flatline.errors import ShapeError
from flatline.losses.cross_section import cross_section
from flatline.losses.regression import mse_loss

DAYS = Days.from_lengths([2, 1])
COLUMN = torch.zeros(3, 1)
KNOWN = torch.ones(3, 1, dtype=torch.bool)


@pytest.mark.parametrize(
    ("score", "mask", "message"),
    [
        pytest.param(
            torch.zeros(2, 1),
            KNOWN,
            "score has shape (2, 1), expected (3, ...): one value per row of these 2 days. "
            "Take both from the same batch.",
            id="rows",
        ),
        pytest.param(
            torch.zeros(3),
            KNOWN,
            "score has shape (3,) beside a target of (3, 1), expected (rows, horizons). "
            "Give one score per row and horizon.",
            id="axes",
        ),
        pytest.param(
            torch.zeros(3, 2),
            KNOWN,
            "score has shape (3, 2) beside a target of (3, 1), expected (rows, horizons). "
            "Give one score per row and horizon.",
            id="horizons",
        ),
        pytest.param(
            COLUMN,
            COLUMN,
            "mask has shape (3, 1) and type torch.float32, expected (3, 1) and torch.bool. "
            "Give True where the label exists.",
            id="mask",
        ),
    ],
)
def test_refuses_what_would_broadcast(score, mask, message):
    """Shapes that torch would stretch silently are named instead."""
    with pytest.raises(ShapeError) as error:
        mse_loss(score, COLUMN, mask, DAYS)
    assert str(error.value) == message


def test_centred_constants_are_exactly_zero():
    """The mean of a constant is rounded, what is left of the constant is not."""
    days = Days.from_lengths([4001, 4000])
    score = torch.full((8001, 1), 0.1)
    c = cross_section(score, score, torch.ones_like(score, dtype=torch.bool), days)
    assert (c.centre(c.score) == 0).all()
    assert c.is_flat(c.centre(c.score), c.score).all()


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e12])
def test_spread_survives_small_and_large_units(size):
    """Squares of tiny returns leave single precision; their spread does not."""
    score = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]]) * size
    days = Days.from_lengths([4])
    c = cross_section(score, score, torch.ones_like(score, dtype=torch.bool), days)
    assert float(c.spread(c.centre(c.score))) == pytest.approx(size, rel=1e-6)
