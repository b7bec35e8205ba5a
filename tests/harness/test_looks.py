"""Kinds of flat from the start on, on shuffled and shifted inputs and among quantiles."""

import pytest
import torch
from hypothesis import given, strategies
from torch import nn

from flatline.harness import Status
from flatline.harness.case import Case
from flatline.harness.inputs import Input, Role
from flatline.harness.probes import looks
from flatline.harness.suite import judge
from flatline.harness.suites.degeneracy import CHECKS
from harness import series, windowed

IDS = ("start_scores_vary", "scores_follow_inputs", "shifted_scores_vary", "quantiles_alive")


def verdicts(subject, *ids, steps=20):
    """Verdicts of these checks on one subject, by check."""
    case = Case(subject, steps=steps)
    return {check.id: judge(check, case) for check in CHECKS if check.id in (ids or IDS)}


LEVELS = torch.tensor([-1.0, 0.0, 1.0])


def fan(outputs):
    """Quantiles around the scores."""
    return outputs[..., None] + LEVELS


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param(windowed.subject(quantiles=fan), id="stocks"),
        pytest.param(series.classifier(), id="classes-of-a-series"),
    ],
)
def test_a_healthy_model_is_alive_at_every_look(subject):
    """No look fails; quantiles are judged where the subject has them."""
    found = verdicts(subject)
    judged = {c: v for c, v in found.items() if v.status != Status.SKIP}
    assert {c: v.measured for c, v in judged.items() if v.status != Status.PASS} == {}
    assert ("quantiles_alive" in judged) == (subject.quantiles is not None)


class ZeroHead(windowed.Hearing):
    """Starts with a head of zeros, as one may."""

    def __init__(self):
        super().__init__()
        nn.init.zeros_(self.head.weight)


class ShutHead(ZeroHead):
    """A head of zeros that no gradient reaches."""

    def __init__(self):
        super().__init__()
        self.head.weight.requires_grad_(False)


class DayOnly(windowed.Hearing):
    """Every stock gets its day's mean."""

    def forward(self, inputs):
        """Scores of every row."""
        scores = super().forward(inputs)
        return scores.mean(0, keepdim=True) + 0 * scores


class OneHorizon(windowed.Hearing):
    """All horizons get the first one's scores."""

    def forward(self, inputs):
        """Scores of every row."""
        return super().forward(inputs)[:, :1].repeat(1, windowed.HORIZONS)


class Names(windowed.Hearing):
    """Knows stocks by their name alone."""

    def __init__(self):
        super().__init__()
        self.names = nn.Embedding(windowed.STOCKS, windowed.HORIZONS)

    def forward(self, inputs):
        """Scores of every row."""
        return self.names(inputs["stock_id"]) + 0 * super().forward(inputs)


class Signs(windowed.Hearing):
    """Two values only."""

    def forward(self, inputs):
        """Scores of every row."""
        scores = super().forward(inputs)
        return scores.sign() + scores - scores.detach()


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        pytest.param(ShutHead, "constant (column 5)", id="shut-head"),
        pytest.param(DayOnly, "constant within the day (column 5)", id="day-only"),
        pytest.param(OneHorizon, "identical horizons (column 20)", id="tied-horizons"),
        pytest.param(Names, "constant in time (column 5)", id="names"),
        pytest.param(Signs, "two-valued or saturated (column 5)", id="signs"),
    ],
)
def test_a_fresh_model_that_is_flat_is_named(model, kind):
    """Before any step, and by the horizon's own name."""
    subject = windowed.subject(model, horizons=(5, 20))
    verdict = verdicts(subject, "start_scores_vary")["start_scores_vary"]
    assert verdict.status == Status.FAIL
    assert kind in verdict.hint


def test_the_module_where_a_fresh_model_dies_is_named():
    """The head that stays at zero is the culprit; one that the first steps open passes."""
    opened = verdicts(windowed.subject(ZeroHead), "start_scores_vary")["start_scores_vary"]
    assert opened.status == Status.PASS
    verdict = verdicts(windowed.subject(ShutHead), "start_scores_vary")["start_scores_vary"]
    assert verdict.culprit.path == "head"


def test_scores_of_names_do_not_follow_the_inputs():
    """Shuffling what a stock's row holds leaves scores that hang on its name."""
    verdict = verdicts(windowed.subject(Names))["scores_follow_inputs"]
    assert verdict.status == Status.FAIL
    assert "input-independent" in verdict.hint


class Narrow(windowed.Hearing):
    """Hard walls around the values that inputs usually have."""

    def seen(self, features):
        """Windows between the walls, as far apart as their neighbours allow."""
        inside = features.mean((0, 1), keepdim=True).abs() < 0.5
        return torch.where(inside, features, 0.0)

    def attributes(self, inputs):
        """Attributes between the walls."""
        static = inputs["static"]
        return torch.where(static.mean(0).abs() < 0.7, static, 0.0)


def test_scores_that_die_on_shifted_inputs_are_caught():
    """Alive where the inputs are usual, constant where the market moved."""
    found = verdicts(windowed.subject(Narrow), "scores_vary", "shifted_scores_vary")
    assert found["scores_vary"].status == Status.PASS
    assert found["shifted_scores_vary"].status == Status.FAIL
    assert "constant" in found["shifted_scores_vary"].hint


def priced(split):
    """The usual batches, with windows of prices."""
    return [
        (inputs | {"features": (0.5 * inputs["features"]).exp()}, label)
        for inputs, label in windowed.SPLITS[split]
    ]


class OfLogs(windowed.Hearing):
    """Takes the logarithm of prices."""

    def seen(self, features):
        """Windows of the logarithm, which a price below 0 does not have."""
        return super().seen(features.log())


class NarrowLogs(OfLogs, Narrow):
    """The same, between hard walls."""


def test_prices_that_fall_stay_prices():
    """A model of their logarithm is alive, unless there are walls."""
    ids = ("scores_vary", "shifted_scores_vary")
    found = verdicts(windowed.subject(OfLogs, batches=priced), *ids)
    assert [found[one].status for one in ids] == [Status.PASS, Status.PASS]
    found = verdicts(windowed.subject(NarrowLogs, batches=priced), *ids)
    assert [found[one].status for one in ids] == [Status.PASS, Status.FAIL]
    assert "constant" in found["shifted_scores_vary"].hint


@given(
    level=strategies.floats(-3, 3),
    spread=strategies.floats(0.1, 3),
    sign=strategies.sampled_from((-1, 1)),
)
def test_a_column_of_one_sign_goes_as_far_and_keeps_it(level, spread, sign):
    """Up by two spreads on average, as a column of both signs does; 0 and NaN stay."""
    draw = torch.Generator().manual_seed(0)
    one = sign * (level + spread * torch.randn(200, generator=draw)).exp()
    one[0], one[1] = 0.0, torch.nan
    x = torch.stack([one, spread * torch.randn(200, generator=draw)], 1)
    part = Input("", Role.ROWS, ("rows", "features"), tuple(x.shape))
    for spreads in (2.0, -2.0):
        moved = looks._shifted(x, (part,), spreads)
        apart = torch.nanmean(moved - x, 0)
        assert bool((apart.sign() == spreads / 2).all())
        assert bool((sign * moved[2:, 0] > 0).all())
        assert moved[0, 0] == 0
        assert bool(moved[1, 0].isnan())
        if spreads * sign > 0:
            known = torch.cat([x[:1, 0], x[2:, 0]])
            torch.testing.assert_close(apart[0], spreads * known.std(correction=0))
        torch.testing.assert_close(apart[1], spreads * x[:, 1].std(correction=0))


@pytest.mark.parametrize(
    ("quantiles", "kind"),
    [
        pytest.param(lambda y: fan(y).flip(-1), "crossing quantiles", id="crossing"),
        pytest.param(lambda y: y[..., None] + 0 * LEVELS, "collapsed quantiles", id="collapsed"),
        pytest.param(lambda y: fan(y) * torch.nan, "not finite", id="nan"),
    ],
)
def test_quantiles_that_are_none_are_named(quantiles, kind):
    """Crossing, collapsed, or no numbers."""
    verdict = verdicts(windowed.subject(quantiles=quantiles), "quantiles_alive")["quantiles_alive"]
    assert verdict.status == Status.FAIL
    assert kind in verdict.hint
