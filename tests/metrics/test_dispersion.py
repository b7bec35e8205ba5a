"""Every kind of flat is found on a faulty array, named rightly, and absent on healthy ones."""

import time

import numpy as np
import pytest

from flatline.errors import ShapeError
from flatline.metrics.dispersion import (
    Flat,
    find_flat,
    rounding_floor,
    split_variance,
)
from metric_oracles import two_way_loop

DAYS, NAMES, HORIZONS = 4, 250, 3


def healthy(seed, *, days=DAYS, names=NAMES, skill=0.05, missing=0.1):
    """Weak but sound scores, as float32 gives them, with their labels and a second look."""
    rng = np.random.default_rng(seed)
    here = rng.random((days, names)) > missing
    day, stock = np.nonzero(here)
    stocks = rng.standard_normal((names, HORIZONS))[stock]
    signal = 0.7 * rng.standard_normal((day.size, HORIZONS)) + 0.7 * stocks
    level = rng.standard_normal((days, HORIZONS))[day]
    target = 0.02 * (skill * signal + rng.standard_normal(signal.shape) + level)
    score = np.float32(0.02 * skill * (signal + level))
    target[rng.random(target.shape) < 0.05] = np.nan
    return rng, score, day, {"stock": stock, "target": target}


def sigmoid(x):
    """One over one plus exp(-x)."""
    return 1 / (1 + np.exp(-x))


def kinds(findings):
    """The kinds found, by horizon."""
    return {(f.kind, f.horizon) for f in findings}


def constant(rng, score, day, extra):
    """One number for all."""
    return np.full_like(score, 0.013), extra


def constant_up_to_rounding(rng, score, day, extra):
    """The same sum, in another order for every row."""
    weight = rng.standard_normal((64, 1)) * 0.1 + 0.3
    permuted = [np.float32(weight[rng.permutation(64)]).cumsum()[-1] for _ in range(day.size)]
    return np.repeat(np.float32(permuted)[:, None], HORIZONS, 1), extra


def within_day(rng, score, day, extra):
    """The market level, and rounding."""
    noise = np.float32(1) + np.float32(6e-8) * rng.integers(-1, 2, score.shape)
    return rng.standard_normal((DAYS, HORIZONS))[day] * noise, extra


def in_time(rng, score, day, extra):
    """Levels of stocks and days."""
    level = rng.standard_normal((DAYS, HORIZONS))[day]
    return np.float32(rng.standard_normal((NAMES, HORIZONS))[extra["stock"]] + level), extra


def vanished(rng, score, day, extra):
    """Healthy scores, a thousand times too small."""
    return score * 1e-3, extra


def identical(rng, score, day, extra):
    """The last horizon is the first, but for a bias."""
    return score[:, [0, 1, 0]] + np.float32([0, 0, 0.01]), extra


def collapsed(rng, score, day, extra):
    """All quantiles are the point."""
    return score, extra | {"quantiles": np.repeat(score[:, :, None], 5, 2)}


def one_pair_collapsed(rng, score, day, extra):
    """Two of five quantiles are one."""
    q = score[:, :, None] + 0.02 * np.array([-2.0, -0.7, -0.7, 0.7, 2.0])
    return score, extra | {"quantiles": q}


def crossing(rng, score, day, extra):
    """Quantiles upside down on every twentieth row."""
    q = score[:, :, None] + 0.02 * np.array([-2.0, -0.7, 0, 0.7, 2.0])
    q[::20] = q[::20, :, ::-1]
    return score, extra | {"quantiles": q}


def classes(extra, base=0.5):
    """Classes of a base rate instead of returns."""
    label = np.float64(np.random.default_rng(9).random(extra["target"].shape) < base)
    label[np.isnan(extra["target"])] = np.nan
    return extra | {"target": label, "probability": True}


def class_prior(rng, score, day, extra):
    """The base rate for all."""
    extra = classes(extra)
    base = np.nanmean(extra["target"])
    return base + 1e-5 * rng.standard_normal(score.shape), extra


def two_valued(rng, score, day, extra):
    """A sign."""
    return np.where(score > 0, np.float32(0.01), np.float32(-0.02)), extra


def saturated(rng, score, day, extra):
    """A clip far inside the scores."""
    return np.float32(np.clip(score * 1000, -0.4, 0.4)), extra


def second_sigmoid(rng, score, day, extra):
    """A sigmoid on top of sound probabilities."""
    return sigmoid(sigmoid(score * 1000)), classes(extra)


def second_sigmoid_learned(rng, score, day, extra):
    """Two sigmoids, trained to press against one half."""
    return sigmoid(sigmoid(score * 1000 - 4)), classes(extra)


def second_sigmoid_pinned(rng, score, day, extra):
    """Two sigmoids, trained for long on a rare class: hardly a spread is left."""
    return sigmoid(sigmoid(score * 1000 - 9)), classes(extra, base=0.2)


def noise_only(rng, score, day, extra):
    """Fresh noise in each evaluation."""
    return rng.standard_normal(score.shape), extra | {"repeated": rng.standard_normal(score.shape)}


def stock_only(rng, score, day, extra):
    """Scores that shuffled inputs do not move."""
    return score, extra | {"shuffled": score + np.float32(1e-10)}


def stock_and_noise(rng, score, day, extra):
    """The same, under noise."""
    looks = [score + 0.001 * rng.standard_normal(score.shape) for _ in range(3)]
    return looks[0], extra | {"repeated": looks[1], "shuffled": looks[2]}


def coarse(rng, score, day, extra):
    """A level of one in eight bits."""
    level = 1 + score * 10
    return np.round(level * 128) / 128, extra


def holes(rng, score, day, extra):
    """A row of NaN and one of infinity."""
    out = score.copy()
    out[3] = np.nan
    out[5] = np.inf
    return out, extra


FAULTS = [
    (constant, Flat.CONSTANT),
    (constant_up_to_rounding, Flat.CONSTANT),
    (within_day, Flat.CONSTANT_WITHIN_DAY),
    (in_time, Flat.CONSTANT_IN_TIME),
    (vanished, Flat.VANISHED_SCALE),
    (identical, Flat.IDENTICAL_HORIZONS),
    (collapsed, Flat.COLLAPSED_QUANTILES),
    (one_pair_collapsed, Flat.COLLAPSED_QUANTILES),
    (crossing, Flat.CROSSING_QUANTILES),
    (class_prior, Flat.CLASS_PRIOR),
    (two_valued, Flat.TWO_VALUED),
    (saturated, Flat.TWO_VALUED),
    (second_sigmoid, Flat.SECOND_SIGMOID),
    (second_sigmoid_learned, Flat.SECOND_SIGMOID),
    (second_sigmoid_pinned, Flat.SECOND_SIGMOID),
    (noise_only, Flat.INPUT_INDEPENDENT),
    (stock_only, Flat.INPUT_INDEPENDENT),
    (stock_and_noise, Flat.INPUT_INDEPENDENT),
    (coarse, Flat.FEW_VALUES),
    (holes, Flat.NOT_FINITE),
]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("fault", "kind"), FAULTS, ids=[f.__name__ for f, _ in FAULTS])
def test_each_kind_is_found_by_name_and_alone(fault, kind, seed):
    """A faulty array gives its own kind on every horizon it struck, and no other."""
    rng, score, day, extra = healthy(seed)
    faulty, extra = fault(rng, score, day, extra)
    found = find_flat(faulty, day, **extra)
    struck = [2] if kind is Flat.IDENTICAL_HORIZONS else range(HORIZONS)
    assert kinds(found) == {(kind, h) for h in struck}
    for finding in found:
        assert finding.sentence
        assert finding.unit
        over = kind in {Flat.CROSSING_QUANTILES, Flat.TWO_VALUED, Flat.NOT_FINITE}
        over |= kind is Flat.SECOND_SIGMOID
        wrong = finding.measured >= finding.bound if over else finding.measured <= finding.bound
        assert wrong


def test_no_false_alarm_on_healthy_scores():
    """300 healthy sets with every optional part: not one finding."""
    alarms = []
    for seed in range(300):
        skill = [0.02, 0.1, 1.0][seed % 3]
        rng, score, day, extra = healthy(seed, days=1 + seed % 5, names=60, skill=skill)
        order = np.lexsort([rng.random(day.size), day])
        extra["shuffled"] = score[order]
        extra["repeated"] = score * np.float32(1 + 1e-7)
        extra["quantiles"] = score[:, :, None] + 0.02 * np.array([-2.0, -0.7, 0, 0.7, 2.0])
        alarms += find_flat(score, day, **extra)
    assert alarms == []


@pytest.mark.parametrize("base", [0.3, 0.5, 0.52, 0.6, 0.65])
def test_no_false_alarm_on_healthy_probabilities(base):
    """Weak classifiers of rare and common classes: not one finding in 60 sets."""
    alarms = []
    for seed in range(60):
        rng, score, day, extra = healthy(seed)
        extra = classes(extra, base)
        spread = [0.005, 0.03][seed % 2]
        p = np.clip(base + spread * rng.standard_normal(score.shape), 0.001, 0.999)
        alarms += find_flat(np.float32(p), day, **extra)
    assert alarms == []


def test_no_false_alarm_with_noisy_evaluations():
    """Scores with a tenth of noise and real dependence on the inputs: not one finding."""
    alarms = []
    for seed in range(100):
        rng, score, day, extra = healthy(seed)
        looks = [score + 0.1 * score.std() * rng.standard_normal(score.shape) for _ in range(2)]
        alarms += find_flat(looks[0], day, repeated=looks[1], **extra)
    assert alarms == []


@pytest.mark.parametrize("seed", range(3))
def test_scale_and_unit_of_the_scores_are_nothing(seed):
    """Without targets, scores in any unit are healthy: only their shape is judged."""
    _, score, day, extra = healthy(seed)
    for unit in (1e-20, 1e-3, 1e20):
        assert find_flat(np.float64(score) * unit, day, stock=extra["stock"]) == []


def test_worst_first():
    """One dead horizon, one with a hole, one that shrank: in the order of harm."""
    _, score, day, extra = healthy(0)
    score[:, 0] *= 1e-3
    score[:, 1] = 0.5
    score[7, 2] = np.nan
    found = find_flat(score, day, horizons=(1, 5, 20), **extra)
    assert [(f.kind, f.horizon) for f in found] == [
        (Flat.NOT_FINITE, 20),
        (Flat.CONSTANT, 5),
        (Flat.VANISHED_SCALE, 1),
    ]


def test_says_what_it_measured():
    """The sentence carries the numbers."""
    found = find_flat(np.full(20, 0.25), np.repeat([1, 2], 10))
    assert [f.sentence for f in found] == [
        "every score is 0.25: they vary by 0, no more than rounding (2.4e-07)"
    ]


def test_a_single_series_is_judged_along_time():
    """With one stock a day nothing is constant within the day, but a constant is found."""
    rng = np.random.default_rng(0)
    day = np.arange(100)
    assert find_flat(rng.standard_normal(100), day, stock=np.zeros(100, int)) == []
    assert kinds(find_flat(np.ones(100), day)) == {(Flat.CONSTANT, 0)}
    assert kinds(find_flat(np.sign(rng.standard_normal(100)), day)) == {(Flat.TWO_VALUED, 0)}


def test_probabilities_of_a_series_are_held_against_the_base_rate():
    """What they say, they say of the day; the base rate stands beside what is constant."""
    day = np.arange(200)
    label = np.float64(day % 4 == 0)
    (prior,) = find_flat(np.full(200, 0.25), day, target=label, probability=True)
    (off,) = find_flat(np.full(200, 0.75), day, target=label, probability=True)
    assert prior.kind is Flat.CLASS_PRIOR
    assert prior.sentence.endswith("beside a base rate of 0.25: they say nothing of the day")
    assert off.sentence == (
        "every probability is 0.75: they vary by 0, no more than rounding (7.2e-07), beside a "
        "base rate of 0.25"
    )


def test_stocks_that_hardly_recur_are_not_constant_in_time():
    """New stocks every day leave nothing to compare."""
    _, score, day, _ = healthy(0)
    assert find_flat(score, day, stock=np.arange(day.size)) == []


def test_dates_and_strings_as_ids():
    """Days may be dates, stocks may be codes."""
    rng, score, day, extra = healthy(1)
    faulty, _ = in_time(rng, score, day, extra)
    codes = np.char.add("s", extra["stock"].astype(str))
    found = find_flat(faulty, np.datetime64("2024-01-01") + day, stock=codes)
    assert kinds(found) == {(Flat.CONSTANT_IN_TIME, h) for h in range(HORIZONS)}


def test_one_outlier_does_not_make_the_rest_equal():
    """A score a million deviations out is no saturation."""
    _, score, day, _ = healthy(2)
    score[0] = 1e6 * score.std()
    assert Flat.TWO_VALUED not in {f.kind for f in find_flat(score, day)}


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_split_agrees_with_dummies(missing):
    """Days, stocks and rest are what least squares on dummies gives, holes or not."""
    _, score, day, extra = healthy(0, days=6, names=20, missing=missing)
    split = split_variance(score, day, extra["stock"])
    for h in range(HORIZONS):
        expected = two_way_loop(np.float64(score[:, h]), day, extra["stock"])
        found = split.days[h], split.stocks[h], split.rest[h]
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(split.total, np.float64(score).var(0))
    np.testing.assert_allclose(split.shares.sum(0), 1)


def test_split_finds_pure_parts():
    """A market level, stocks' own levels and noise each land in their part."""
    rng = np.random.default_rng(0)
    day, stock = np.repeat(np.arange(10), 30), np.tile(np.arange(30), 10)
    columns = [rng.standard_normal(10)[day], rng.standard_normal(30)[stock]]
    split = split_variance(np.stack(columns, 1), day, stock)
    np.testing.assert_allclose(split.shares, [[1, 0], [0, 1], [0, 0]], atol=1e-12)
    assert np.isnan(split_variance(np.ones(300), day, stock).shares).all()


def test_rounding_floor_covers_sums_in_any_order():
    """Sums of 64 numbers in random order, in float32, scatter by less than the floor."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        terms = np.float32(rng.standard_normal(64))
        sums = [np.cumsum(terms[rng.permutation(64)], dtype=np.float32)[-1] for _ in range(500)]
        size = np.abs(terms).sum() / 8  # what a running sum of these terms reaches
        assert np.std(sums, dtype=np.float64) < rounding_floor([size])[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"stock": [1]},
            (
                "stock has shape (1,), expected (20,): one id per row of day. Take both from the "
                "same batch."
            ),
        ),
        (
            {"quantiles": np.ones((20, 2, 5))},
            (
                "quantiles has shape (20, 2, 5), expected (20, 1, levels). Give one column per "
                "horizon and level."
            ),
        ),
        (
            {"target": np.ones((20, 2))},
            "target has 2 horizons, expected 1 as score has. Give one column per horizon.",
        ),
        ({"horizons": (1, 5)}, "horizons is [1, 5], expected 1 of them: one per column."),
    ],
)
def test_says_what_does_not_fit(options, message):
    """One sentence: what is what, what was expected, and the remedy."""
    with pytest.raises(ShapeError) as caught:
        find_flat(np.arange(20.0), np.repeat([1, 2], 10), **options)
    assert str(caught.value) == message


def test_is_fast_enough_to_run_every_few_steps():
    """3,000 rows of 4 horizons with stocks, targets and quantiles: a few milliseconds."""
    rng = np.random.default_rng(0)
    score = np.float32(rng.standard_normal((3000, 4)))
    day, stock = np.repeat(np.arange(3), 1000), np.tile(np.arange(1000), 3)
    q = score[:, :, None] + np.arange(5)
    best = np.inf
    for _ in range(10):
        start = time.perf_counter()
        assert find_flat(score, day, stock=stock, target=score + 0.1, quantiles=q) == []
        best = min(best, time.perf_counter() - start)
    # Measured 4 ms on one core; the bound leaves room for a machine that is busy.
    assert best < 0.05
