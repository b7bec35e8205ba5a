"""What a subject does not say is inferred, or asked for with the line that is missing."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from flatline.errors import SettingsError, ShapeError
from flatline.harness import Case, Subject
from flatline.harness.inputs import Role, inputs_of


class ByKey(nn.Module):
    """Takes one mapping."""

    def forward(self, batch):
        """One argument."""
        return batch["x"].sum(-1)


class Named(nn.Module):
    """Takes inputs by name."""

    def forward(self, *, x, day):
        """Keyword only."""
        return {"point": x.sum(-1)}


class Placed(nn.Module):
    """Takes inputs by position."""

    def forward(self, x, day):
        """Two arguments."""
        return x.sum(-1), day


@dataclass
class Out:
    """Outputs as a dataclass."""

    point: torch.Tensor


class Whole(nn.Module):
    """Takes a tensor, returns a dataclass."""

    def forward(self, x):
        """One tensor."""
        return Out(x.sum(-1))


X, DAY = torch.rand(6, 3), torch.arange(6) // 3


def subject(model, scores=lambda outputs: outputs, **parts):
    """A subject of the model, the rest as small as can be."""
    given = {"name": "any", "batches": {}, "loss": nn.MSELoss()} | parts
    return Subject(model=model, scores=scores, **given)


@pytest.mark.parametrize(
    ("model", "inputs", "scores"),
    [
        pytest.param(ByKey, {"x": X, "day": DAY}, lambda out: out, id="mapping"),
        pytest.param(Named, {"x": X, "day": DAY}, lambda out: out["point"], id="keywords"),
        pytest.param(Placed, (X, DAY), lambda out: out[0], id="positions"),
        pytest.param(Whole, X, lambda out: out.point, id="tensor"),
    ],
)
def test_the_model_is_called_as_it_asks(model, inputs, scores):
    """Whole, unpacked or by name, and scores become one column per horizon."""
    found = subject(model, scores)
    assert torch.equal(found.score_of(found.run(model(), inputs)), X.sum(-1)[:, None])


def test_inputs_that_do_not_fit_forward_are_an_error_with_the_line():
    """The signature, what was given, and what to add."""
    with pytest.raises(SettingsError, match=r"forward of Placed takes \(x, day\).*Add `call="):
        subject(Placed).run(Placed(), {"x": X, "dates": DAY})


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(nn.MSELoss(), id="module"),
        pytest.param(nn.functional.mse_loss, id="function"),
        pytest.param(lambda y, t: (y - t).square().mean(), id="two"),
        pytest.param(lambda y, t, inputs: (y - t).square().mean() + 0 * len(inputs), id="three"),
        pytest.param(lambda *given: (given[0] - given[1]).square().mean(), id="any"),
    ],
)
def test_any_callable_is_a_loss(loss):
    """Inputs are given to a loss that asks for a third argument, and to no other."""
    y, t = torch.rand(4, 1), torch.rand(4, 1)
    found = subject(Whole, loss=loss).loss_of(y, t, X)
    torch.testing.assert_close(found, (y - t).square().mean())


def test_a_module_in_place_of_a_factory_is_refused():
    """A fresh model is made again and again."""
    with pytest.raises(SettingsError, match=r"Write `model=lambda: Linear\(\.\.\.\)`"):
        subject(nn.Linear(1, 1))


def test_one_loader_in_place_of_splits_is_refused():
    """The mapping that is meant is shown."""
    with pytest.raises(SettingsError, match=r"batches of subject 'any' are a list.*\"valid\":"):
        subject(Whole, batches=[(X, X)])


def test_a_missing_split_is_named():
    """A mapping of batches without it."""
    with pytest.raises(SettingsError, match=r"have the splits \['train'\], expected 'valid'"):
        subject(Whole, batches={"train": []}).split("valid")


def test_days_that_are_not_known_are_asked_for():
    """The error holds the missing line."""
    with pytest.raises(ShapeError, match="Add `days=lambda inputs"):
        subject(Whole).day_of(X)
    assert subject(Whole, days="batch").day_of(X).tolist() == [0] * 6
    assert subject(Whole, axis="time").day_of(X).tolist() == list(range(6))


def test_roles_are_read_off_names_and_shapes():
    """Rows, categories, masks, days, edges and their attributes, and what is none of these."""
    inputs = {
        "features": torch.rand(6, 5, 3),
        "static": {"sector": torch.zeros(6, dtype=torch.int64), "size": torch.rand(6, 2)},
        "known": torch.ones(6, dtype=torch.bool),
        "day": DAY,
        "edge_index": torch.zeros(2, 9, dtype=torch.int64),
        "edge_attr": torch.rand(9, 2),
        "scale": torch.tensor(2.0),
    }
    roles = {one.path: (one.role, one.axes) for one in inputs_of(subject(Whole), inputs)}
    assert roles == {
        "features": (Role.ROWS, ("rows", "lookback", "features")),
        "static.sector": (Role.CATEGORY, ("rows",)),
        "static.size": (Role.ROWS, ("rows", "features")),
        "known": (Role.MASK, ("rows",)),
        "day": (Role.DAY, ("rows",)),
        "edge_index": (Role.EDGES, ("ends", "edges")),
        "edge_attr": (Role.EDGE_ATTRIBUTES, ("edges", "features")),
        "scale": (Role.OTHER, ()),
    }


def test_declared_axes_win_and_must_fit():
    """Steps first, as an LSTM takes them; a name too few is refused."""
    sequence = torch.rand(5, 6, 3)
    declared = subject(Whole, axes={"": ("lookback", "rows", "features")}, days="batch")
    (one,) = inputs_of(declared, sequence)
    assert (one.axis("rows"), one.role) == (1, Role.ROWS)
    assert declared.day_of(sequence).numel() == 6
    with pytest.raises(SettingsError, match="expected a name for every axis"):
        inputs_of(subject(Whole, axes={"": ("rows",)}), sequence)


def test_a_probe_is_run_once_and_its_error_is_kept():
    """What is costly is shared, also when it fails."""
    case, runs = Case(subject(Whole)), []

    def probe(_):
        runs.append(torch.rand(1).item())
        if len(runs) == 1:
            raise RuntimeError("sizes do not fit")
        return runs

    for _ in range(2):
        with pytest.raises(RuntimeError, match="sizes do not fit"):
            case.of(probe)
    assert len(runs) == 1


def test_what_a_probe_draws_does_not_hang_on_what_ran_before():
    """Every probe has a seed of its own, and leaves the generators alone."""

    def one(_):
        return torch.rand(1).item()

    def other(_):
        return torch.rand(1).item()

    first, second = Case(subject(Whole)), Case(subject(Whole))
    state = torch.get_rng_state()
    assert (first.of(one), first.of(other)) == (second.of(other), second.of(one))[::-1]
    assert first.of(one) != first.of(other)
    assert torch.equal(state, torch.get_rng_state())


def test_rows_are_counted_by_days_and_not_by_edges():
    """More edges than rows; steps first; whole numbers alone."""
    edges = {
        "edge_index": torch.zeros(2, 9, dtype=torch.int64),
        "edge_attr": torch.rand(9, 2),
        "x": X,
        "day": DAY,
    }
    assert {one.path: one.role for one in inputs_of(subject(ByKey), edges)}["x"] is Role.ROWS
    steps_first = subject(Whole, days=lambda inputs: torch.zeros(6, dtype=torch.int64))
    (one,) = inputs_of(steps_first, torch.rand(5, 6, 3))
    assert one.axes == ("lookback", "rows", "features")
    (one,) = inputs_of(subject(Whole, days="batch"), torch.zeros(6, 2, dtype=torch.int64))
    assert (one.role, one.axes) == (Role.CATEGORY, ("rows", "features"))


@pytest.mark.parametrize("days", [torch.rand(6), torch.zeros(6, 1, dtype=torch.int64), [0] * 6])
def test_days_that_are_no_days_are_refused(days):
    """Fractions, a second axis, a list."""
    with pytest.raises(ShapeError, match="expected one whole number for each row"):
        subject(Whole, days=lambda inputs: days).day_of(X)
