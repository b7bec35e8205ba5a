"""The audit passes sound evaluations, and names what is wrong with others, side by side."""

from functools import partial

import numpy as np
import polars as pl
import pytest
from scipy import special, stats

from flatline.errors import SettingsError, ShapeError
from flatline.harness import Status
from flatline.harness.audit import audit
from flatline.harness.measures import Measure, measures_of
from flatline.harness.panels import make_trial
from flatline.metrics import class_figures, daily_metrics, forecast_figures

HORIZONS = (1, 5, 20)


def of_days(number, score, target, day, least=5):
    """A number of each day with enough labels, NaN where scores or targets are constant."""
    found = []
    for one in np.unique(day):
        rows = (day == one) & np.isfinite(target)
        flat = rows.sum() < least or np.ptp(score[rows]) == 0 or np.ptp(target[rows]) == 0
        found.append(np.nan if flat else number(score[rows], target[rows]))
    return np.array(found)


def rank_ic(score, target):
    """Spearman's correlation with average ranks on ties."""
    return stats.spearmanr(score, target).statistic


def halves(score, target):
    """Return of the upper half of the scores less that of the lower half."""
    upper = score > np.median(score)
    # More than half of the scores may tie at the top.
    return target[upper].mean() - target[~upper].mean() if upper.any() else np.nan


def sharpe(daily, *, periods=252):
    """Of a year."""
    known = daily[np.isfinite(daily)]
    return known.mean() / known.std() * periods**0.5 if known.size else np.nan


def mean(per_day):
    """Over the days that are defined."""
    return np.nanmean(per_day) if np.isfinite(per_day).any() else np.nan


def sound(score, target, day):
    """The evaluation of a careful team, one horizon at a time."""
    known = np.isfinite(target)
    x, y = score[known], target[known]
    per_day = of_days(rank_ic, score, target, day)
    spread = x.std()
    slope = np.cov(x, y, ddof=0)[0, 1] / spread**2 if spread > 1e-9 * abs(x).max() else np.nan
    return {
        "rank_ic": mean(per_day),
        "undefined_days": np.isnan(per_day).sum(),
        "mae": np.abs(x - y).mean(),
        "sharpe": sharpe(of_days(halves, score, target, day)),
        "slope": slope,
        "intercept": y.mean() - slope * x.mean(),
    }


def ordinal(score, target, day):
    """Ranks by argsort: ties are broken by row order, and a constant has a correlation."""

    def ranks(x):
        return np.argsort(np.argsort(x, kind="stable"), kind="stable")

    return {
        "rank_ic": np.mean([
            np.corrcoef(ranks(score[day == d]), ranks(target[day == d]))[0, 1]
            for d in np.unique(day)
        ])
    }  # fmt: skip


def pooled(score, target, day):
    """One correlation over all days."""
    known = np.isfinite(target)
    return {"ic": np.corrcoef(score[known], target[known])[0, 1], "days": np.unique(day).size}


def calibrated_by_default(score, target, day):
    """Intercept 0 and slope 1 where there is nothing to estimate."""
    found = sound(score, target, day)
    if np.isnan(found["slope"]):
        found |= {"slope": 1.0, "intercept": 0.0}
    return found


class BestOfAll:
    """The best number of all evaluations so far."""

    def __init__(self):
        self.best = -np.inf

    def __call__(self, score, target, day):
        """The best RankIC there ever was."""
        found = sound(score, target, day)
        self.best = np.fmax(self.best, found["rank_ic"])
        return found | {"rank_ic": self.best}


def deaf(score, target, day):
    """The Sharpe ratio of the targets: scores do not enter."""
    daily = np.array([np.nanmean(target[day == d]) for d in np.unique(day)])
    return {"sharpe": daily.mean() / daily.std() * 252**0.5}


def silent(score, target, day):
    """Undefined days vanish from the mean without a word."""
    return {"rank_ic": sound(score, target, day)["rank_ic"]}


def zero_days(score, target, day):
    """Undefined days count as 0."""
    per_day = np.nan_to_num(of_days(rank_ic, score, target, day))
    return {"rank_ic": per_day.mean(), "undefined_days": 0}


def absolute(score, target, day):
    """Skill without a sign."""
    return {k: abs(v) if k == "rank_ic" else v for k, v in sound(score, target, day).items()}


def flipped(score, target, day):
    """Skill with the wrong sign."""
    return {k: -v if k == "rank_ic" else v for k, v in sound(score, target, day).items()}


def filled(score, target, day):
    """Missing labels are taken for returns of 0."""
    return sound(score, np.nan_to_num(target), day)


def median_day(score, target, day):
    """A RankIC that is not the mean over days."""
    per_day = of_days(rank_ic, score, target, day)
    middle = np.nanmedian(per_day) if np.isfinite(per_day).any() else np.nan
    return {"rank_ic": middle, "undefined_days": np.isnan(per_day).sum()}


def book(score, target, day, *, year):
    """Yearly Sharpe ratio of halves rebalanced daily; *year*: of horizon h, in its periods."""
    daily = [of_days(halves, score[:, k], target[:, k], day) for k in range(len(HORIZONS))]
    return {f"sharpe@{h}": sharpe(x, periods=year(h)) for h, x in zip(HORIZONS, daily, strict=True)}


def by_law(evaluate, **options):
    """The verdicts on an evaluation, by their check."""
    return {verdict.check: verdict for verdict in audit(evaluate, **options)}


@pytest.fixture(scope="module")
def healthy():
    """Verdicts on the careful team's evaluation."""
    return by_law(sound)


def test_a_sound_evaluation_keeps_every_law(healthy):
    """Nothing fails; of one horizon alone its Sharpe ratio cannot be held against another's."""
    failed = {v.check: v.measured for v in healthy.values() if v.status == Status.FAIL}
    assert not failed
    assert [c for c, v in healthy.items() if v.status == Status.SKIP] == ["annualised_once"]


def of_a_frame(score, target, day):
    """Spearman by day in a frame, the days that are undefined left out and counted."""
    frame = pl.DataFrame({"s": score, "t": target, "d": day}).filter(pl.col("t").is_not_nan())
    found = frame.group_by("d", maintain_order=True).agg(pl.corr("s", "t", method="spearman"))
    daily = found["s"].to_numpy()
    defined = daily[np.isfinite(daily)]
    return {"rank_ic": mean(defined), "n_days": len(defined)}


def net_of_costs(score, target, day):
    """A fifth long and a fifth short, at five basis points a day."""

    def fifths(x, y):
        top, bottom = x > np.quantile(x, 0.8), x < np.quantile(x, 0.2)
        return y[top].mean() - y[bottom].mean() - 5e-4 if top.any() and bottom.any() else np.nan

    daily = of_days(fifths, score, target, day)
    return {"net_return": mean(daily), "sharpe_net": sharpe(daily)}


def of_directions(score, target, day):
    """How often the sign is right: of a constant too, that is a number."""
    known = np.isfinite(target)
    return {"hit_rate": ((score[known] > 0) == (target[known] > 0)).mean()}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("evaluate", [of_a_frame, net_of_costs, of_directions])
def test_other_ways_to_be_right_keep_every_law(evaluate, seed):
    """What another careful team would write is not at fault, whatever is drawn."""
    assert not [v.measured for v in audit(evaluate, seed=seed) if v.status == Status.FAIL]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("horizons", [None, (1, 5)], ids=["rows", "columns"])
def test_our_own_metrics_keep_every_law(seed, horizons):
    """Forecast figures, hit rate and tile spread; in both shapes and whatever is drawn."""

    def evaluate(score, target, day):
        rows = forecast_figures(score, target, day, horizons=horizons)
        daily = daily_metrics(score, target, day, metrics=("hit_rate", "tile_spread"))
        figures = {f"{name}@{row.horizon}": getattr(row, name)
                   for row in rows for name in row.__slots__ if name != "horizon"}  # fmt: skip
        means = {"hit_rate": daily.hit_rate.mean(), "tile_spread": daily.tile_spread.mean()}
        return figures | means

    verdicts = audit(evaluate, horizons=horizons, seed=seed)
    assert not [v.measured for v in verdicts if v.status not in (Status.PASS, Status.SKIP)]
    assert sum(v.status == Status.PASS for v in verdicts) == 11


@pytest.mark.parametrize(
    ("evaluate", "caught_by", "culprit"),
    [
        pytest.param(ordinal, "constant_scores_undefined", "rank_ic", id="rank-of-a-constant"),
        pytest.param(ordinal, "row_order_immaterial", "rank_ic", id="ties-by-row-order"),
        pytest.param(pooled, "shuffled_scores_null", "ic", id="pooled-ic"),
        pytest.param(pooled, "scale_as_defined", "ic", id="pooled-ic-levels"),
        pytest.param(pooled, "agrees_with_definition", "ic", id="pooled-ic-definition"),
        pytest.param(
            calibrated_by_default, "constant_scores_undefined", "slope", id="default-calibration"
        ),
        pytest.param(deaf, "numbers_answer_scores", "sharpe", id="deaf"),
        pytest.param(deaf, "inverted_scores_mirror", "sharpe", id="deaf-mirror"),
        pytest.param(silent, "undefined_days_counted", "rank_ic", id="undefined-days-vanish"),
        pytest.param(zero_days, "undefined_days_counted", "rank_ic", id="undefined-days-are-0"),
        pytest.param(absolute, "inverted_scores_mirror", "rank_ic", id="absolute"),
        pytest.param(flipped, "perfect_scores_best", "rank_ic", id="flipped"),
        pytest.param(filled, "missing_labels_left_out", "rank_ic", id="missing-is-zero"),
        pytest.param(median_day, "agrees_with_definition", "rank_ic", id="two-truths"),
    ],
)
def test_a_fault_is_caught_and_named(healthy, evaluate, caught_by, culprit):
    """What the sound evaluation keeps, the faulty one breaks; with the number and its code."""
    assert healthy[caught_by].status == Status.PASS
    verdict = by_law(evaluate)[caught_by]
    assert verdict.status == Status.FAIL
    assert verdict.culprit.path == culprit
    assert verdict.culprit.file.endswith("test_metrics_audit.py")
    assert verdict.culprit.line == evaluate.__code__.co_firstlineno


def test_a_number_of_another_evaluation_is_caught(healthy):
    """The best of all evaluations so far is not the number of this one."""
    assert healthy["evaluation_repeats"].status == Status.PASS
    verdict = by_law(BestOfAll())["evaluation_repeats"]
    assert verdict.status == Status.FAIL
    assert verdict.culprit.path == "rank_ic"


@pytest.mark.parametrize(
    ("year", "status"),
    [
        pytest.param(lambda h: 252 / h, Status.PASS, id="over-the-horizon"),
        pytest.param(lambda h: 1, Status.SKIP, id="not-annualised"),
        pytest.param(lambda h: 252, Status.FAIL, id="as-if-daily"),
    ],
)
def test_overlapping_returns_are_annualised_over_their_horizon(year, status):
    """Twenty-day returns that are taken for daily ones look four times better."""

    def evaluate(score, target, day):
        return book(score, target, day, year=year)

    verdict = by_law(evaluate, horizons=HORIZONS)["annualised_once"]
    assert verdict.status == status
    if status == Status.FAIL:
        assert verdict.culprit.path == "sharpe@20"
        assert "4.9 times that of horizon 1" in verdict.culprit.evidence


def test_a_single_series_is_judged_over_all_of_its_days():
    """One row a day: AUC and Brier score of a class, nothing within the day."""

    def evaluate(score, target, day):
        label = np.where(np.isnan(target), np.nan, target > 0.01)
        row = class_figures(1 / (1 + np.exp(-score)), label, day)[0]
        return {"auc": row.auc, "brier": row.brier}

    def flipped_auc(score, target, day):
        return evaluate(-score, target, day)

    options = {"axis": "time", "event": lambda target: target > 0.01}
    assert not [v for v in audit(evaluate, **options) if v.status == Status.FAIL]
    failed = [v.check for v in audit(flipped_auc, **options) if v.status == Status.FAIL]
    assert "perfect_scores_best" in failed


@pytest.mark.parametrize("one_a_day", [True, False], ids=["series", "stocks"])
@pytest.mark.parametrize("share", [0.02, 0.15, 0.5, 0.98])
def test_good_scores_of_a_class_are_calibrated(share, one_a_day):
    """Whatever its share, they have a smaller Brier score than the same dealt out at random."""
    for seed in range(20):
        draw = np.random.default_rng(seed)
        values = draw.standard_normal((500, 1))
        above = np.quantile(values, 1 - share)
        trial = make_trial(
            1, values=values, one_a_day=one_a_day, event=partial(np.less, above), seed=seed
        )
        probability, label = special.expit(trial.score), trial.target > above
        good, noise = (
            np.square(p - label).mean() for p in (probability, draw.permutation(probability))
        )
        assert good < noise


def test_a_declared_measure_comes_before_the_name():
    """What a team means by its own name is said once."""
    found = measures_of(["alpha@5", "ic"], {"alpha": "rank_ic", "ic": "other"})
    assert found == {"alpha@5": Measure.RANK_IC, "ic": Measure.OTHER}


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("RankIC", "rank_ic"), ("val/rank_ic_5d", "rank_ic"), ("icir", "ratio"),
        ("ic_std", "other"),
        ("yhat_std", "spread"), ("y_std", "target"), ("naive_rmse", "target"), ("r2_naive", "r2"),
        ("undefined_days", "count"), ("hit_rate", "hit_rate"), ("long_short_return", "profit"),
        ("sharpe_ratio@10", "sharpe"), ("rank_ic_low", "other"), ("log_loss", "error"),
    ],
)  # fmt: skip
def test_names_tell_what_a_number_is(name, measure):
    """The words of the field, however they are written."""
    assert measures_of([name])[name] == measure


def test_what_is_no_measure_is_refused():
    """A typo in a declaration does not leave a number unjudged."""
    with pytest.raises(SettingsError, match="measures names 'rank_icc', expected a number"):
        audit(sound, measures={"rank_icc": "rank_ic"})
    with pytest.raises(SettingsError, match="measures says that rank_ic is 'rnk', expected one"):
        audit(sound, measures={"rank_ic": "rnk"})


@pytest.mark.parametrize("returned", [0.5, {}, {"note": "fine"}], ids=["number", "empty", "text"])
def test_an_evaluation_without_numbers_is_refused(returned):
    """The message shows what to return."""
    with pytest.raises(ShapeError, match=r"Return such as {'rank_ic': 0.03, 'undefined_days': 2}"):
        audit(lambda score, target, day: returned)
