"""The multi-horizon loss and its report."""

import copy

import pytest
import torch

from flatline.batch import Forecast, Labels
from flatline.errors import NoValidDayError
from flatline.losses.blend import TERMS
from flatline.losses.laws import LAWS
from loss_cases import LEVELS, NAMES, blend, inputs


def test_terms_and_horizons_are_weighted():
    """The total is the weighted mean over horizons of the weighted sum over terms."""
    args, _ = inputs()
    report = blend({"mse": 2.0, "ic": 0.5}, horizon_weights={1: 3.0, 5: 1.0})(*args)
    mse, ic = report.terms["mse"], report.terms["ic"]
    expected = 2.0 * (0.75 * mse[0] + 0.25 * mse[1]) + 0.5 * (0.75 * ic[0] + 0.25 * ic[1])
    torch.testing.assert_close(report.total, expected)
    assert report.total.shape == ()


def test_a_term_is_the_mean_of_its_valid_days():
    """A long day and a short day count alike, and a day without meaning not at all."""
    (forecast, labels, days), _ = inputs((20, 6, 3))
    report = blend({"mse": 1.0, "ic": 1.0})(forecast, labels, days)
    daily = TERMS["ic"](forecast.point, labels.value, labels.known, days)
    assert daily.valid.sum(0).tolist() == [2, 2]
    torch.testing.assert_close(report.terms["ic"], daily.value[:2].mean(0))
    assert report.valid_days["ic"].tolist() == [2, 2]
    assert report.valid_days["mse"].tolist() == [3, 3]


def test_all_terms_together():
    """Every term can be weighted at once, reports a value, and the total has a gradient."""
    (forecast, labels, days), more = inputs([8] * 25)
    leaf = Forecast(*(part.clone().requires_grad_() for part in forecast))
    report = blend(dict.fromkeys(NAMES, 1.0))(leaf, labels, days, **more)
    assert set(report.terms) == set(NAMES)
    assert all(torch.isfinite(value).all() for value in report.terms.values())
    assert not report.undefined
    report.total.backward()
    for part in leaf:
        assert torch.isfinite(part.grad).all()
        assert (part.grad != 0).any()


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_changes_the_total(name):
    """A weight on any term moves the total and, where it is alive, the gradient."""
    args, more = inputs([8] * 25)
    base = {"pinball" if name != "pinball" else "mse": 1.0}
    alone = blend(base)(*args, **more)
    joined = blend(base | {name: 0.7})(*args, **more)
    added = 0.7 * joined.terms[name].mean()
    torch.testing.assert_close(joined.total, alone.total + added)
    assert float(added.abs()) > 0 or name == "variance_floor"


def test_nan_stays_visible():
    """One NaN score makes the total NaN."""
    (forecast, labels, days), _ = inputs()
    score = forecast.point.clone()
    score[3, 0] = torch.nan
    for weights in ({"huber": 1.0}, {"mse": 1.0, "ic": 1.0}, {"ranknet": 1.0}):
        report = blend(weights)(Forecast(score), labels, days)
        assert report.total.isnan()
        assert report.terms[next(iter(weights))].isnan().tolist() == [True, False]


def flat(forecast, column=None):
    """The forecast with constant scores, in one column or all."""
    point = forecast.point.clone()
    point[:, slice(None) if column is None else column] = 0.1
    return Forecast(point, forecast.quantiles)


def test_flat_scores_are_an_error():
    """A term that is undefined because of the scores says so, with horizon and remedy."""
    (forecast, labels, days), _ = inputs()
    with pytest.raises(NoValidDayError) as error:
        blend({"mse": 1.0, "ic": 1.0})(flat(forecast, 1), labels, days)
    assert str(error.value) == (
        "ic has no valid day among 3 for horizons [5]: the scores are constant on every day, "
        "expected scores that differ between stocks. Start the heads with a spread above 0, or "
        "set flat_scores to 'skip'."
    )


def test_flat_scores_can_be_skipped_in_the_open():
    """The living terms go on alone; the report shows NaN and the reason."""
    (forecast, labels, days), _ = inputs()
    loss = blend({"mse": 1.0, "ic": 1.0}, flat_scores="skip")
    report = loss(flat(forecast), labels, days)
    torch.testing.assert_close(report.total, blend()(flat(forecast), labels, days).total)
    assert report.terms["ic"].isnan().all()
    assert report.undefined == {
        "ic": "ic has no valid day among 3 for horizons [1, 5]: the scores are constant on every "
        "day"
    }
    half = loss(flat(forecast, 1), labels, days)
    assert half.terms["ic"].isnan().tolist() == [False, True]
    assert torch.isfinite(half.total)


@pytest.mark.parametrize("flat_scores", ["raise", "skip"])
def test_missing_labels_are_an_error(flat_scores):
    """Labels that allow no value are refused whatever is done about flat scores."""
    (forecast, labels, days), _ = inputs()
    known = labels.known.clone()
    known[:, 1] = False
    loss = blend({"mse": 1.0, "ic": 1.0}, flat_scores=flat_scores)
    with pytest.raises(NoValidDayError) as error:
        loss(flat(forecast), Labels(labels.value, known), days)
    assert str(error.value) == (
        "mse has no valid day among 3 for horizons [5]: the labels do not allow one, expected at "
        "least 1 each. Give days with enough stocks with different labels, or leave mse or the "
        "horizon out."
    )


def test_turnover_without_neighbouring_days_is_an_error():
    """The message asks for days that follow each other."""
    args, more = inputs((9,))
    with pytest.raises(NoValidDayError, match="labels on days that follow each other"):
        blend({"mse": 1.0, "turnover": 1.0})(*args, **more)


def test_sharpe_waits_for_twenty_days():
    """Until then it is reported as undefined and has no part in the total."""
    loss = blend({"mse": 1.0, "sharpe": 1.0})
    args, _ = inputs([8] * 15)
    first = loss(*args)
    assert first.undefined == {"sharpe": "15 days seen, 20 that differ are needed"}
    assert first.terms["sharpe"].isnan().all()
    torch.testing.assert_close(first.total, first.terms["mse"].mean())
    second = loss(*args)
    assert not second.undefined
    assert float(second.terms["sharpe"].max()) < 0
    expected = second.terms["mse"].mean() + second.terms["sharpe"].mean()
    torch.testing.assert_close(second.total, expected)


def test_sharpe_is_the_ratio_of_the_days_returns():
    """On one batch of enough days it is minus mean over spread of the portfolio's return."""
    (forecast, labels, days), _ = inputs([8] * 30)
    daily = TERMS["sharpe"](forecast.point, labels.value, labels.known, days).value
    report = blend({"mse": 1.0, "sharpe": 1.0})(forecast, labels, days)
    torch.testing.assert_close(report.terms["sharpe"], daily.mean(0) / daily.std(0, correction=0))


def test_the_memory_of_sharpe_is_saved():
    """A restored blend goes on with the same totals."""
    loss = blend({"mse": 1.0, "sharpe": 1.0})
    loss(*inputs([8] * 15)[0])
    restored = blend({"mse": 1.0, "sharpe": 1.0})
    restored.load_state_dict(copy.deepcopy(loss.state_dict()))
    args, _ = inputs([8] * 15, seed=1)
    assert torch.equal(loss(*args).total, restored(*args).total)


def test_gradient_shares_are_those_of_the_terms():
    """Each share is the norm of the term's own gradient over the sum of the norms."""
    (forecast, labels, days), _ = inputs()
    weights = {"mse": 2.0, "pinball": 1.0, "ic": 0.5}
    report = blend(weights)(forecast, labels, days, measure_share=True)
    norms = {}
    for name, weight in weights.items():
        quantile = LAWS[name].reads == "quantiles"
        leaf = (forecast.quantiles if quantile else forecast.point).clone().requires_grad_()
        options = {"levels": LEVELS} if quantile else {}
        daily = TERMS[name](leaf, labels.value, labels.known, days, **options)
        (weight * daily.mean().mean()).backward()
        norms[name] = float(leaf.grad.norm())
    total = sum(norms.values())
    assert report.gradient_share == pytest.approx({n: v / total for n, v in norms.items()})
    assert sum(report.gradient_share.values()) == pytest.approx(1.0)


def test_measuring_shares_changes_nothing_else():
    """Total, gradient and memory are the same with and without the measurement."""
    (forecast, labels, days), _ = inputs([8] * 25)
    found = []
    for measure in (False, True):
        loss = blend({"mse": 1.0, "sharpe": 1.0})
        leaf = forecast.point.clone().requires_grad_()
        report = loss(Forecast(leaf), labels, days, measure_share=measure)
        report.total.backward()
        found.append((report.total, leaf.grad, loss.sharpe.mean))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_shares_can_be_measured_without_gradients():
    """Under no_grad too, and a term without a gradient has a share of 0."""
    (forecast, labels, days), _ = inputs()
    with torch.no_grad():
        loss = blend({"mse": 1.0, "ic": 1.0, "sharpe": 1.0}, flat_scores="skip")
        report = loss(flat(forecast), labels, days, measure_share=True)
    assert report.gradient_share == {"mse": 1.0, "ic": 0.0, "sharpe": 0.0}


def test_half_precision_outputs_have_a_single_precision_loss():
    """Under bf16 the total is the one of the same outputs in single precision."""
    (forecast, labels, days), _ = inputs([40, 40])
    half = Forecast(*(part.bfloat16() for part in forecast))
    weights = {"huber": 1.0, "pinball": 1.0, "ic": 1.0, "ranknet": 1.0}
    found = blend(weights)(half, labels, days).total
    single = blend(weights)(Forecast(*(part.float() for part in half)), labels, days).total
    assert found.dtype == torch.float32
    assert torch.equal(found, single)
