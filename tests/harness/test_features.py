"""What batches hold: days, columns, windows; each check on healthy and on faulty batches."""

import numpy as np
import pytest
import torch
from torch import nn

from flatline.harness import Case, Status, Subject, judge
from flatline.harness.checks.columns import columns_on_one_scale, columns_vary
from flatline.harness.checks.day_ids import steps_back
from flatline.harness.suites.features import CHECKS

DAYS, STOCKS, LOOKBACK, FEATURES = 320, 12, 6, 4
NAMES = ("gap", "body", "volume", "flag")
SPLITS = {"train": range(LOOKBACK, 220), "valid": range(220, 260), "test": range(260, DAYS)}


def series(seed=0):
    """Values of every day and stock, the last column a flag; standardised within the day."""
    x = np.random.default_rng(seed).standard_normal((DAYS, STOCKS, FEATURES))
    x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    x[:, :, 3] = x[:, :, 3] > 0.5
    return x


def batches(*, values=None, change=lambda inputs: inputs, days_per_batch=4, torn=False):
    """Splits of whole days, or of torn ones."""
    x = series() if values is None else values

    def of(split):
        days = list(SPLITS[split])
        rows = [(day, stock) for day in days for stock in range(STOCKS)]
        size = days_per_batch * STOCKS + (5 if torn else 0)
        for first in range(0, len(rows), size):
            day, stock = np.array(rows[first : first + size]).T
            window = np.stack([x[day - LOOKBACK + 1 + k, stock] for k in range(LOOKBACK)], 1)
            inputs = {
                "features": torch.tensor(window, dtype=torch.float32),
                "group_day": torch.tensor(day),
            }
            yield change(inputs), torch.zeros(len(day), 1)

    return of


class Mean(nn.Module):
    """A linear score of the newest step."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(FEATURES, 1)

    def forward(self, batch):
        """Scores of every row."""
        return self.head(batch["features"][:, -1])


def subject(parts=None, **options):
    """A subject on such batches."""
    healthy = {
        "name": "windows",
        "model": Mean,
        "batches": batches(**options),
        "loss": nn.functional.mse_loss,
        "scores": lambda outputs: outputs,
        "columns": {"features": NAMES},
        "later": "test",
    }
    return Subject(**healthy | (parts or {}))


def verdicts(one):
    """Every verdict on what a subject's batches hold, by check."""
    case = Case(one)
    return {check.id: judge(check, case) for check in CHECKS}


def shuffled_days(inputs):
    """The days of other rows."""
    order = torch.randperm(len(inputs["group_day"]), generator=torch.Generator().manual_seed(0))
    return inputs | {"group_day": inputs["group_day"][order]}


def one_day(inputs):
    """The same day everywhere."""
    return inputs | {"group_day": torch.zeros_like(inputs["group_day"])}


def one_row_a_day(inputs):
    """A number for every row."""
    first = int(inputs["group_day"][0]) * STOCKS
    return inputs | {"group_day": first + torch.arange(len(inputs["group_day"]))}


def alone(inputs):
    """A z-score over one stock."""
    return inputs | {"features": torch.zeros_like(inputs["features"])}


def clipped(inputs):
    """A column divided by no spread at all and cut off; others that reach the same bound."""
    x = (2 * inputs["features"]).clamp(-5, 5)
    x[0, -1, 1] = 5.0
    x[..., 0] = 5 * x[..., 0].sign() * (x[..., 0].abs() > 1)
    return inputs | {"features": x}


def levelled(inputs):
    """Each window normalised by itself."""
    x = inputs["features"].double()
    x = (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True).clamp(min=1e-6)
    return inputs | {"features": x.float()}


def raw(inputs):
    """One column in units of its own."""
    x = inputs["features"].clone()
    x[..., 2] = 1e5 + 1e4 * x[..., 2]
    return inputs | {"features": x}


def other_statistics(inputs):
    """One column by the mean and the spread of another."""
    x = inputs["features"].clone()
    x[..., 1] = 40 + x[..., 1]
    return inputs | {"features": x}


def grown(inputs):
    """One column seven spreads up on the later days."""
    late = (inputs["group_day"] >= 220)[:, None, None]
    added = torch.zeros(FEATURES)
    added[0] = 7.0
    return inputs | {"features": inputs["features"] + late * added}


@pytest.fixture(scope="module")
def healthy():
    """Verdicts on healthy batches."""
    return verdicts(subject())


def test_healthy_batches_pass_every_check(healthy):
    """Whole days in order, columns that vary on one scale, windows with a level, no drift."""
    assert {c: v.measured for c, v in healthy.items() if v.status != Status.PASS} == {}


@pytest.mark.parametrize(
    ("change", "caught_by", "path", "says"),
    [
        (shuffled_days, "days_in_order", "days", "do not have a later day"),
        (one_day, "days_are_whole", "days", "All batches have the same day"),
        (one_row_a_day, "days_are_whole", "days", "Look for a row number"),
        (alone, "columns_vary", "features:gap, features:body", "one stock a day"),
        (clipped, "columns_vary", "features:gap", "Where a scale is 0"),
        (levelled, "windows_keep_levels", "features:gap", "normalised by itself"),
        (raw, "columns_on_one_scale", "features:volume", "Not normalised"),
        (other_statistics, "columns_on_one_scale", "features:body", "another column"),
        (grown, "feature_levels_hold", "features:gap", "levels grow"),
        (grown, "features_in_support", "features:gap", "never seen"),
    ],
)
def test_a_fault_is_caught_and_its_culprit_named(healthy, change, caught_by, path, says):
    """The check that passes on healthy batches fails on the faulty ones."""
    assert healthy[caught_by].status == Status.PASS
    verdict = verdicts(subject(change=change))[caught_by]
    assert verdict.status == Status.FAIL, verdict.measured
    assert path in verdict.culprit.path
    assert says in f"{verdict.measured} {verdict.hint}"


def test_a_torn_day_is_caught():
    """A batch that ends in the middle of a day, and an example of such a day."""
    verdict = verdicts(subject(torn=True))["days_are_whole"]
    assert verdict.status == Status.FAIL
    assert "is one of them" in verdict.hint


def test_later_days_that_are_train_days_are_caught():
    """The test split must lie behind the train split."""
    same = batches()
    one = subject({"batches": lambda split: same("train")})
    verdict = verdicts(one)["days_in_order"]
    assert verdict.status == Status.FAIL
    assert "lie on or before the last train day" in verdict.measured


def test_days_that_features_were_not_standardised_on_are_caught_without_windows():
    """Columns centred over the batch and on none of the declared days: the days are others'."""

    def newest(inputs):
        return shuffled_days(inputs) | {"features": inputs["features"][:, -1]}

    class Last(Mean):
        def forward(self, batch):
            """Scores of every row."""
            return self.head(batch["features"])

    found = verdicts(subject({"model": Last}, change=newest))["days_in_order"]
    assert found.status == Status.FAIL
    assert "mean 0 in every batch and on none of its days" in found.measured


def test_days_that_are_not_numbered_are_those_of_the_batches():
    """Where each batch is one day they follow each other, later ones behind the train days."""

    def unnumbered(inputs):
        return {"features": inputs["features"]}

    found = verdicts(subject({"days": "batch"}, change=unnumbered, days_per_batch=1))
    assert {c: v.measured for c, v in found.items() if v.status != Status.PASS} == {}


@pytest.mark.parametrize(
    ("columns", "fitted", "says"),
    [
        (NAMES, ("body", "gap", "volume", "flag"), "column 0 is gap, was body"),
        (NAMES, (*NAMES, "range"), "column 4 is missing, was range"),
        (NAMES[:3], None, "features has 4 columns and 3 names"),
    ],
)
def test_other_columns_than_were_fitted_are_caught(columns, fitted, says):
    """Their order, one that is missing, names that are not as many as columns."""
    parts = {"columns": {"features": columns}}
    if fitted:
        parts["fitted"] = {"columns": list(fitted)}
    verdict = verdicts(subject(parts))["columns_as_fitted"]
    assert verdict.status == Status.FAIL
    assert says in verdict.measured


def test_columns_as_they_were_fitted_pass():
    """The same names in the same order, of one input or by input."""
    for fitted in (list(NAMES), {"features": list(NAMES)}):
        one = subject({"fitted": {"columns": fitted}})
        assert verdicts(one)["columns_as_fitted"].status == Status.PASS


def test_a_level_of_a_category_that_no_row_has_is_no_fault():
    """Of columns of 0 and 1 one may be constant; all of them may not."""
    flags = np.zeros((30, 3))
    flags[::2, 0] = 1.0
    flags[1::2, 1] = 1.0
    names = [f"sector:{i}" for i in range(3)]
    assert columns_vary(flags, names).status == Status.PASS
    assert columns_vary(np.zeros((30, 3)), names).status == Status.FAIL


def test_what_may_not_matter_is_not_judged():
    """A constant column that the model does not read, a scale that it takes out itself."""
    one = subject({"insensitive_to": {"features:volume~scale", "features:gap"}}, change=raw)
    found = verdicts(one)
    assert found["columns_on_one_scale"].status == Status.PASS
    values = np.ones((20, 1))
    assert columns_vary(values, ["x"], without=["x"]).status == Status.PASS
    assert columns_on_one_scale(1e6 * values, ["x"], without=["x"]).status == Status.PASS


def test_padding_continues_nothing():
    """Windows that do not move are no evidence of an order."""
    assert steps_back(np.zeros((5, 4, 2), np.float32), np.arange(5)) == (0, 0)


def test_a_place_in_the_window_is_no_constant():
    """The same for all rows at each step, and another at the next."""

    def numbered(inputs):
        x = inputs["features"].clone()
        x[..., 3] = torch.arange(LOOKBACK) / LOOKBACK
        return inputs | {"features": x}

    assert verdicts(subject(change=numbered))["columns_vary"].status == Status.PASS
