"""Books keep what their names promise, and there is none where scores do not tell stocks apart."""

import numpy as np
import pytest

from flatline.errors import SettingsError
from flatline.metrics.portfolio_weights import BOOKS, portfolio_weights

LONG_ONLY = ("top", "universe")
RANKED = [book for book in BOOKS if book != "universe"]


def scores(days=40, stocks=15, missing=0.05):
    """Scores, some of them missing."""
    rng = np.random.default_rng(0)
    score = rng.standard_normal((days, stocks))
    score[rng.random(score.shape) < missing] = np.nan
    return score


@pytest.mark.parametrize("book", BOOKS)
def test_weights_keep_their_promises(book):
    """Gross exposure one; neutral, or long only; NaN scores have none; order is kept."""
    score = scores()
    weight = portfolio_weights(score, book=book, top=0.25)
    np.testing.assert_allclose(np.abs(weight).sum(1), 1)
    np.testing.assert_allclose(weight.sum(1), 1 if book in LONG_ONLY else 0, atol=1e-14)
    assert book not in LONG_ONLY or (weight >= 0).all()
    assert (weight[np.isnan(score)] == 0).all()
    filled = np.where(np.isnan(score), np.nanmin(score) - 1, score)
    best = np.nanargmax(filled, axis=1)
    assert (weight[np.arange(40), best] == weight.max(1)).all()


@pytest.mark.parametrize("book", RANKED)
def test_a_day_without_a_ranking_has_no_book(book):
    """Constant, infinite, missing or single scores: no weights."""
    score = np.array([[1.0, 1, 1], [np.inf, 1, 2], [np.nan] * 3, [np.nan, 2, np.nan], [1, 2, 3]])
    weight = portfolio_weights(score, book=book, top=1)
    assert (weight[:4] == 0).all()
    assert (weight[4] != 0).any()


def test_the_universe_is_held_whatever_the_scores():
    """Every scored stock in equal parts, on days of constant scores too."""
    weight = portfolio_weights(np.array([[1.0, 1, np.nan], [3, 1, 2]]), book="universe")
    np.testing.assert_allclose(weight, [[0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]])


def test_tied_stocks_share_the_border():
    """The order of the columns decides nothing."""
    weight = portfolio_weights(np.array([[1.0, 2.0, 2.0, 2.0]]), book="top", top=2)
    np.testing.assert_allclose(weight, [[0, 1 / 3, 1 / 3, 1 / 3]])


def test_a_number_of_stocks_is_that_many():
    """The 3 best of each day, in equal parts."""
    score = scores(missing=0)
    weight = portfolio_weights(score, book="top", top=3)
    assert ((weight > 0).sum(1) == 3).all()
    np.testing.assert_allclose(weight[weight > 0], 1 / 3)
    assert (score[weight > 0].reshape(40, 3).min(1) >= np.sort(score, 1)[:, -3]).all()


@pytest.mark.parametrize("options", [{"book": "short"}, {"top": 0}, {"top": 0.7}])
def test_refuses_options_out_of_range(options):
    """One sentence with what was expected."""
    with pytest.raises(SettingsError, match=r"^book is .* and top is .*, expected .*\. Give "):
        portfolio_weights(np.ones((2, 2)), **options)
