"""What must not move a row's scores: healthy models, and those that listen where they must not."""

import pytest
import torch
from torch import nn

from harness.dependent import STOCKS, Reader, changed, failing, subject, verdicts

NONE_PASS = {
    "other_days_do_not_matter",
    "later_days_do_not_matter",
    "composition_does_not_matter",
    "row_order_does_not_matter",
    "neighbours_as_declared",
    "targets_do_not_matter",
}


class BatchNorm(nn.Module):
    """Statistics of all rows of the batch, at all times."""

    def forward(self, x):
        """The same rows, of mean 0 and spread 1."""
        return (x - x.mean(0)) / x.std(0)


class OfTheBatch(Reader):
    """Its state is standardised over the batch."""

    def __init__(self):
        super().__init__()
        self.norm = BatchNorm()

    def own(self, inputs):
        """State of every row by itself."""
        return self.norm(super().own(inputs))


class SleepingLeak(OfTheBatch):
    """The same, behind a gate that starts at 0."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(()))

    def own(self, inputs):
        """State of every row by itself."""
        state = Reader.own(self, inputs)
        return state + self.gate * self.norm(state)


class Detached(OfTheBatch):
    """The same, without a gradient."""

    def own(self, inputs):
        """State of every row by itself."""
        state = Reader.own(self, inputs)
        return state + self.norm(state).detach()


class Reshaped(Reader):
    """A reshape where a transpose was meant: rows and steps are mixed."""

    def window(self, inputs):
        """State of the window of every row."""
        x = inputs["features"]
        rows, steps, features = x.shape
        return super().window({"features": x.reshape(steps, rows, features).transpose(0, 1)})


class Tomorrow(Reader):
    """Every row sees the row of the next day."""

    def own(self, inputs):
        """State of every row by itself."""
        state = super().own(inputs)
        return state + torch.cat([state[STOCKS:], 0 * state[:STOCKS]])


class Yesterday(Reader):
    """Every row sees the row of the day before."""

    def own(self, inputs):
        """State of every row by itself."""
        state = super().own(inputs)
        return state + torch.cat([0 * state[:STOCKS], state[:-STOCKS]])


class Narrow(Reader):
    """Written for float32, and says so."""

    def window(self, inputs):
        """State of the window of every row."""
        return super().window({"features": inputs["features"].to(torch.float32)})


class NarrowLeak(Narrow, OfTheBatch):
    """The same, standardised over the batch."""


class NotANumber(Reader):
    """Divides nothing by nothing."""

    def own(self, inputs):
        """State of every row by itself."""
        return super().own(inputs) * (torch.zeros(1) / 0)


class Placed(Reader):
    """Rows are told apart by where they stand in the batch."""

    def own(self, inputs):
        """State of every row by itself."""
        state = super().own(inputs)
        return state + torch.arange(len(state))[:, None] / len(state)


class OfTheDay(Reader):
    """Every row hears the mean of its day, whatever the edges say."""

    def own(self, inputs):
        """State of every row by itself."""
        state = super().own(inputs)
        _, day = torch.unique(inputs["group_day"], return_inverse=True)
        total = torch.zeros(int(day.max()) + 1, state.shape[1], dtype=state.dtype)
        count = torch.bincount(day)[:, None]
        return state + (total.index_add(0, day, state) / count)[day]


class Remembers(Reader):
    """Keeps the mean of the last batch."""

    def __init__(self):
        super().__init__()
        self.register_buffer("last", torch.zeros(()))

    def own(self, inputs):
        """State of every row by itself."""
        state, last = super().own(inputs), self.last
        self.last = state.detach().mean()
        return state + last


class Cheat(Reader):
    """Reads the answer that came along with the inputs."""

    def own(self, inputs):
        """State of every row by itself."""
        return super().own(inputs) + inputs["answer"][:, :1]


def leaking(model, **parts):
    """The checks of this file that a model fails."""
    return failing(verdicts(subject(model, **parts), only=NONE_PASS))


def test_a_healthy_model_hears_no_stranger():
    """All are judged, and pass."""
    found = verdicts(subject(), only=NONE_PASS)
    assert {v.status for v in found.values()} == {"pass"}


@pytest.mark.parametrize(
    ("model", "fails"),
    [
        (OfTheBatch, NONE_PASS - {"row_order_does_not_matter", "targets_do_not_matter"}),
        (SleepingLeak, NONE_PASS - {"row_order_does_not_matter", "targets_do_not_matter"}),
        (Detached, NONE_PASS - {"row_order_does_not_matter", "targets_do_not_matter"}),
        (Reshaped, NONE_PASS - {"targets_do_not_matter"}),
        (
            Tomorrow,
            NONE_PASS - {"targets_do_not_matter"},
        ),
        (
            Yesterday,
            NONE_PASS - {"later_days_do_not_matter", "targets_do_not_matter"},
        ),
        (Placed, {"row_order_does_not_matter", "composition_does_not_matter"}),
        (OfTheDay, {"neighbours_as_declared"}),
    ],
)
def test_every_leak_has_its_own_signature(model, fails):
    """What a model listens to shows in which of the checks fail."""
    assert leaking(model) == fails


def test_a_model_that_insists_on_float32_is_judged_in_it():
    """Rounding is larger there; a leak is larger still."""
    assert not failing(verdicts(subject(Narrow)))
    assert "other_days_do_not_matter" in leaking(NarrowLeak)


def test_scores_that_are_no_numbers_say_nothing():
    """Another layer fails them."""
    found = verdicts(subject(NotANumber))
    told = {name for name, v in found.items() if v.status == "pass"}
    assert told == {"edges_stay_within_days"}
    assert failing(found) == {"works_without_edges"}


def test_the_module_in_which_rows_meet_is_named():
    """The norm over the batch, not what comes behind it."""
    found = verdicts(subject(OfTheBatch), only={"other_days_do_not_matter"})
    culprit = found["other_days_do_not_matter"].culprit
    assert (culprit.kind, culprit.path, culprit.file) == ("module", "norm", __file__)


def test_code_between_modules_is_named_by_the_module_around_it():
    """Rows that meet in the model's own forward are the model's fault."""
    found = verdicts(subject(Tomorrow), only={"later_days_do_not_matter"})
    culprit = found["later_days_do_not_matter"].culprit
    assert (culprit.path, culprit.file) == ("Tomorrow", __file__)


def test_a_model_of_the_whole_day_may_say_so():
    """Rows of a day may hear each other where that is declared, and still no other day."""
    assert leaking(OfTheDay, hears="day") == set()
    assert leaking(OfTheBatch, hears="day") >= {"other_days_do_not_matter"}


def test_a_model_of_rows_alone_may_say_so():
    """Then its own edges are strangers as well."""
    assert leaking(Reader, hears="none") == {
        "composition_does_not_matter",
        "neighbours_as_declared",
    }


def test_an_unknown_way_to_hear_is_refused():
    """The error names the nearest one."""
    found = verdicts(subject(hears="edge"), only={"neighbours_as_declared"})
    assert "Did you mean 'edges'?" in found["neighbours_as_declared"].measured


def test_one_day_a_batch_is_held_against_another_batch():
    """No batch holds two days: what a model keeps from batch to batch is what leaks."""

    def alone(inputs, targets):
        rows = slice(0, STOCKS)
        inner = (inputs["edge_index"] < STOCKS).all(0)
        edges = {
            "edge_index": inputs["edge_index"][:, inner],
            "edge_attr": inputs["edge_attr"][inner],
        }
        own = ("features", "static", "group_day", "stock_id")
        return {name: inputs[name][rows] for name in own} | edges, targets[rows]

    batches = changed(alone)
    only = {"other_days_do_not_matter", "later_days_do_not_matter"}
    healthy = verdicts(subject(batches=batches), only=only)
    assert {n: v.status for n, v in healthy.items()} == {
        "other_days_do_not_matter": "pass",
        "later_days_do_not_matter": "skip",
    }
    assert leaking(Remembers, batches=batches) >= {"other_days_do_not_matter"}


def test_targets_among_the_inputs_must_not_be_read():
    """An input that holds the targets need not matter, and must not."""

    def given(inputs, targets):
        return inputs | {"answer": targets.clone()}, targets

    batches = changed(given)
    assert not failing(verdicts(subject(batches=batches)))
    assert leaking(Cheat, batches=batches) == {"targets_do_not_matter"}


def test_a_single_number_among_the_targets_is_changed_too():
    """Such as a weight of the batch; a model that reads it is seen."""

    def weighted(inputs, targets):
        return inputs, {"label": targets, "weight": torch.ones(())}

    def loss(outputs, targets):
        return targets["weight"] * nn.functional.mse_loss(outputs, targets["label"])

    def shared(inputs, targets):
        held = torch.cat([inputs["static"].flatten(), torch.ones(1)])
        static = held[:-1].view_as(inputs["static"])
        return inputs | {"static": static, "weight": held[-1:]}, {
            "label": targets,
            "weight": held[-1],
        }

    parts = {"loss": loss, "labels": lambda targets: targets["label"]}
    healthy = verdicts(subject(batches=changed(weighted), **parts), only=NONE_PASS)
    assert failing(healthy) == set()
    assert leaking(Weighted, batches=changed(shared), **parts) == {"targets_do_not_matter"}


class Weighted(Reader):
    """Reads the weight of the batch, which stands among the targets."""

    def own(self, inputs):
        """State of every row by itself."""
        return super().own(inputs) * inputs["weight"]


def test_targets_in_the_memory_of_an_input_are_seen():
    """A window one step too long is a view that ends in the target."""

    def shared(inputs, targets):
        memory = torch.cat([inputs["static"], targets], 1)
        return inputs | {"static": memory[:, 1:3]}, memory[:, 2:]

    assert leaking(Reader, batches=changed(shared)) == {"targets_do_not_matter"}


class Sequence(nn.Module):
    """Scores every day of one series in the light of the days before it."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 8)
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        """Scores of every row."""
        return self.head(self.lstm(x)[0])


class BothWays(Sequence):
    """And of the days behind it."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, bidirectional=True)


def test_a_sequence_over_days_may_hear_the_past_and_not_the_future():
    """Causality is asked for where it is declared."""
    draw = torch.Generator().manual_seed(0)
    batches = [
        (torch.randn(80, 3, generator=draw), torch.randn(80, 1, generator=draw)) for _ in range(4)
    ]
    parts = {
        "batches": {"train": batches, "valid": batches},
        "axis": "time",
        "hears": "past",
        "columns": None,
    }
    found = verdicts(subject(Sequence, **parts))
    assert not failing(found)
    assert found["later_days_do_not_matter"].status == "pass"
    assert found["row_order_does_not_matter"].status == "skip"
    assert leaking(BothWays, **parts) == {
        "later_days_do_not_matter",
        "composition_does_not_matter",
    }
