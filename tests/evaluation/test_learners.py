"""Reference learners: they find what is there, and see nothing of the days they are judged on."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.stats import rankdata

from flatline.errors import SettingsError
from flatline.evaluation.learners import (
    LEARNERS,
    learn_and_predict,
    low_volatility,
    naive_composite,
)
from flatline.metrics.daily import daily_rank_ic


@pytest.fixture(scope="module")
def planted(experiment):
    """The panel with targets that are a straight line in two features, under noise."""
    panel = experiment.panel
    rng = np.random.default_rng(0)
    known = np.nan_to_num(panel.features)
    line = known[..., 3] - 2 * known[..., 7]
    noise = 0.5 * rng.normal(size=panel.target.shape)
    target = np.where(panel.present[..., None], 0.01 * (line[..., None] + noise), np.nan)
    return replace(panel, target=target.astype(np.float32)), line


def test_ridge_finds_a_planted_line(experiment, planted):
    """On the test days its scores rank stocks as the line does, for every horizon."""
    panel, line = planted
    fold = experiment.fold
    frame = learn_and_predict("ridge", panel, fold.train, fold.test)
    day = np.searchsorted(panel.dates, frame["date"].to_numpy())
    stock = np.searchsorted(panel.codes, frame["code"].to_numpy().astype(panel.codes.dtype))
    for horizon in panel.horizons:
        rows = (frame["horizon"] == horizon).to_numpy()
        score = frame["score"].to_numpy()[rows]
        assert daily_rank_ic(score, line[day[rows], stock[rows]], day[rows]).mean()[0] > 0.95


@pytest.mark.parametrize("name", sorted(LEARNERS))
def test_what_happens_on_the_test_days_is_not_seen(experiment, name):
    """Other targets from the first test day on leave every prediction as it was."""
    panel, fold = experiment.panel, experiment.fold
    target = panel.target.copy()
    target[fold.test.min() :] = np.random.default_rng(1).normal(
        size=target[fold.test.min() :].shape
    )
    frames = [
        learn_and_predict(name, p, fold.train, fold.test)
        for p in (panel, replace(panel, target=target))
    ]
    assert frames[0]["score"].equals(frames[1]["score"])
    assert not frames[0]["return"].equals(frames[1]["return"])


def test_what_happens_on_the_train_days_is_seen(experiment):
    """The other side of it: shuffled train targets change the predictions."""
    panel, fold = experiment.panel, experiment.fold
    target = panel.target.copy()
    target[fold.train] = np.random.default_rng(1).permutation(target[fold.train], axis=1)
    before, after = (
        learn_and_predict("ridge", p, fold.train, fold.test)["score"]
        for p in (panel, replace(panel, target=target))
    )
    assert not before.equals(after)


def test_low_volatility_against_a_loop(experiment):
    """Minus the standard deviation of each stock's last 60 known returns, day by day."""
    panel, test = experiment.panel, experiment.fold.test
    wanted = {}
    for day in test:
        for stock in np.flatnonzero(panel.present[day]):
            window = panel.daily_return[max(0, day - 59) : day + 1, stock].astype(np.float64)
            window = window[np.isfinite(window)]
            if len(window) >= 20:
                wanted[panel.dates[day].item(), str(panel.codes[stock])] = -window.std()
    frame = low_volatility(panel, test)
    for horizon in panel.horizons:
        part = frame.filter(pl.col("horizon") == horizon)
        found = {(date, code): x for date, code, x in part["date", "code", "score"].iter_rows()}
        assert found.keys() == wanted.keys()
        assert all(found[key] == pytest.approx(wanted[key], rel=1e-6) for key in wanted)


def test_low_volatility_sees_no_later_day(experiment):
    """A score of the first test day is the same when nothing after it is known."""
    panel, first = experiment.panel, experiment.fold.test[:1]
    cut = panel.daily_return.copy()
    cut[first[0] + 1 :] = np.nan
    whole = low_volatility(panel, first)
    assert low_volatility(replace(panel, daily_return=cut), first)["score"].equals(whole["score"])


def composite_of_a_day(panel, day):
    """Score of each stock, one at a time: three ranks in (-1, 1), unknown ones 0."""
    parts = {name: {} for name in ("calm", "fallen", "risen")}
    for stock in np.flatnonzero(panel.present[day]):
        past = panel.daily_return[: day + 1, stock].astype(np.float64)

        def known(start, stop, past=past):
            window = past[max(0, len(past) - start) : max(0, len(past) - stop)]
            return window[np.isfinite(window)]

        if len(known(60, 0)) >= 20:
            parts["calm"][stock] = -known(60, 0).std()
        if len(known(5, 0)) >= 1:
            parts["fallen"][stock] = -np.log(1 + known(5, 0)).sum()
        if len(known(126, 21)) >= 35:
            parts["risen"][stock] = np.log(1 + known(126, 21)).sum()
    score = {}
    for part in parts.values():
        rank = rankdata([round(x, 12) for x in part.values()])
        for stock, place in zip(part, rank, strict=True):
            score[stock] = score.get(stock, 0.0) + (2 * place - len(part) - 1) / len(part)
    return score


def test_naive_composite_against_a_loop(experiment):
    """The sum of three ranks, stock by stock and day by day, for every horizon."""
    panel, test = experiment.panel, experiment.fold.test[::5]
    frame = naive_composite(panel, test)
    for horizon in panel.horizons:
        part = frame.filter(pl.col("horizon") == horizon)
        found = {(date, code): x for date, code, x in part["date", "code", "score"].iter_rows()}
        wanted = {
            (panel.dates[day].item(), str(panel.codes[stock])): score
            for day in test
            for stock, score in composite_of_a_day(panel, day).items()
        }
        assert found.keys() == wanted.keys()
        assert all(found[key] == pytest.approx(wanted[key], abs=1e-9) for key in wanted)


def test_naive_composite_sees_no_later_day_and_no_target(experiment):
    """The scores of a day are the same whatever returns follow and whatever is to be forecast."""
    panel, day = experiment.panel, experiment.fold.test[3:4]
    later = panel.daily_return.copy()
    later[day[0] + 1 :] = np.random.default_rng(0).normal(size=later[day[0] + 1 :].shape)
    other = replace(panel, daily_return=later, target=np.zeros_like(panel.target))
    whole = naive_composite(panel, day)
    assert naive_composite(other, day)["score"].equals(whole["score"])
    earlier = panel.daily_return.copy()
    earlier[day[0]] = earlier[day[0], ::-1]
    moved = naive_composite(replace(panel, daily_return=earlier), day)
    assert not moved["score"].equals(whole["score"])


def test_naive_composite_refuses_windows_that_overlap_whole(experiment):
    """Momentum that skips all its days is none."""
    with pytest.raises(SettingsError, match=r"^volatility is 60, reversal 5, momentum 21 and "):
        naive_composite(experiment.panel, experiment.fold.test, momentum=21)


def test_an_unknown_learner_is_refused(experiment):
    """The message lists those there are."""
    fold = experiment.fold
    with pytest.raises(SettingsError, match=r"^learner is 'rigde', expected one of "):
        learn_and_predict("rigde", experiment.panel, fold.train, fold.test)
