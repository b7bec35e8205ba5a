"""How a model is called, what it gives back, and the card that pins both."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from flatline.harness import Status
from flatline.harness.card import signature_card
from flatline.harness.case import Case
from flatline.harness.checks.interface import NO_SNAPSHOT
from flatline.harness.suites.contract import pinned
from harness.contracted import HORIZONS, Ranker, batches, subject, verdict


class Placed(Ranker):
    """Takes its tensors one by one."""

    def forward(self, features, stock):
        """Scores of every row."""
        return {"point": self.head(self.encode(features + stock))}


class TakesAnything(Ranker):
    """Scores a batch, or whatever tensor comes first."""

    def forward(self, batch, *more):
        """Scores of every row."""
        features = batch["features"] if isinstance(batch, dict) else batch
        return {"point": self.head(self.encode(features))}


class Explains(Ranker):
    """Refuses the old call, and shows the new one."""

    def forward(self, batch, *more):
        """Scores of every row."""
        if not isinstance(batch, dict):
            raise TypeError("Write model({'features': ..., 'group_day': ...}).")
        return super().forward(batch)


AS_TUPLES = {split: [((x["features"], x["group_day"]), y) for x, y in batches(split)]
             for split in ("train", "valid")}  # fmt: skip
DAYS = {"days": lambda inputs: inputs[1] if isinstance(inputs, tuple) else inputs["group_day"]}


@pytest.mark.parametrize(
    ("faulty", "says"),
    [
        pytest.param(
            subject(call=lambda m, x: m(x["features"], x["group_day"])),
            "Write model({'features': ..., 'group_day': ...})",
            id="tensors-to-one-mapping",
        ),
        pytest.param(
            subject(batches=AS_TUPLES, **DAYS), "Write model(batch)", id="tuple-to-one-mapping"
        ),
        pytest.param(subject(Placed), "Write model(features, stock)", id="mapping-to-tensors"),
    ],
)
def test_a_call_that_does_not_fit_is_shown_the_right_one(faulty, says):
    """Beside the healthy subject; the signature is the culprit, the old call C01."""
    assert verdict("call_fits_forward", subject()).status == Status.PASS
    found = verdict("call_fits_forward", faulty)
    assert found.status == Status.FAIL
    assert found.hint.startswith(says)
    assert found.culprit.kind == "signature"


def test_an_error_within_forward_is_located():
    """The line of the model's own code, not that of torch or of the harness."""

    class Raises(Ranker):
        def encode(self, features):
            raise RuntimeError("sizes do not fit")

    found = verdict("call_fits_forward", subject(Raises))
    assert "RuntimeError: sizes do not fit" in found.measured
    assert found.culprit.file == __file__
    assert found.culprit.line == Raises.encode.__code__.co_firstlineno + 1


@pytest.mark.parametrize(
    ("model", "status", "says"),
    [
        pytest.param(Explains, Status.PASS, "shows the right call: TypeError: Write", id="shown"),
        pytest.param(Ranker, Status.PASS, "could show the right call, model({", id="refused"),
        pytest.param(TakesAnything, Status.FAIL, "model(*tensors) ran, expected", id="accepted"),
    ],
)
def test_an_old_call_must_be_refused(model, status, says):
    """By any error; one that shows the right call is best."""
    found = verdict("positional_call_refused", subject(model))
    assert found.status == status
    assert says in found.measured


def test_a_model_that_takes_tensors_one_by_one_has_no_old_call():
    """It is skipped with the reason."""
    inputs = {"features": torch.rand(4, 5), "stock": torch.rand(4, 1)}
    one = subject(
        Placed, batches={"train": [(inputs, torch.rand(4, HORIZONS))]}, days=lambda inputs: None
    )
    assert verdict("positional_call_refused", one).status == Status.SKIP


class Renamed(Ranker):
    """Its output has another name."""

    def forward(self, batch):
        """Scores of every row."""
        return {"score": super().forward(batch)["point"]}


class ByHorizon(Ranker):
    """One row for each horizon, by a transpose too many."""

    def forward(self, batch):
        """Scores of every row."""
        return {"point": super().forward(batch)["point"].T}


class NotFinite(Ranker):
    """A logarithm of what may be negative."""

    def forward(self, batch):
        """Scores of every row."""
        return {"point": super().forward(batch)["point"].log()}


@pytest.mark.parametrize(
    ("faulty", "says"),
    [
        pytest.param(
            subject(Renamed),
            "`scores` raised KeyError: 'point'. The outputs hold: score (rows, 2) float32",
            id="renamed-output",
        ),
        pytest.param(
            subject(ByHorizon), "scores have 2 rows and the inputs 48", id="transposed-output"
        ),
        pytest.param(subject(NotFinite), "scores are not finite", id="not-finite"),
        pytest.param(
            subject(horizons=(1, 5, 20)), "2 columns, and 3 are declared", id="lost-horizon"
        ),
        pytest.param(
            subject(labels=lambda targets: targets[:, :1]), "labels are (48, 1)", id="lost-label"
        ),
    ],
)
def test_outputs_that_hold_no_scores_are_described(faulty, says):
    """What is there is shown beside what was looked for."""
    assert verdict("outputs_hold_scores", subject()).status == Status.PASS
    found = verdict("outputs_hold_scores", faulty)
    assert found.status == Status.FAIL
    assert says in found.measured


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        pytest.param(lambda o, t: (o["point"] - t).square(), "shape (48, 2)", id="not-reduced"),
        pytest.param(
            lambda o, t: float((o["point"] - t).mean().detach()), "is a float", id="a-float"
        ),
        pytest.param(lambda o, t: (o["point"].detach() - t).mean(), "no gradient", id="detached"),
        pytest.param(lambda o, t: (o["point"] * torch.nan).mean(), "loss is nan", id="nan"),
        pytest.param(lambda o, t: o["score"].mean(), "`loss` raised KeyError", id="raises"),
    ],
)
def test_a_loss_must_be_one_number_with_a_gradient(loss, says):
    """Beside the healthy subject."""
    assert verdict("loss_is_a_number", subject()).status == Status.PASS
    found = verdict("loss_is_a_number", subject(loss=loss))
    assert found.status == Status.FAIL
    assert says in found.measured


def test_the_card_is_the_same_for_every_seed_and_number_of_rows(snapshot):
    """Rows stand for themselves, so that another batch changes nothing."""
    card = signature_card(subject())
    assert card == snapshot
    assert signature_card(Case(subject(), seed=7)) == card
    halved = {
        split: [({k: v[:24] for k, v in x.items()}, y[:24]) for x, y in batches(split)]
        for split in ("train", "valid")
    }
    assert signature_card(subject(batches=halved)) == card


@dataclass
class Forecast:
    """Outputs by name."""

    point: torch.Tensor
    spread: torch.Tensor


class AlsoSpread(Ranker):
    """Returns one thing more."""

    def forward(self, batch, scale=None):
        """Scores of every row."""
        point = super().forward(batch)["point"]
        return Forecast(point, point.exp())


class Wider(Ranker):
    """A head of another make."""

    def __init__(self):
        super().__init__()
        self.head = nn.Sequential(self.head)


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        pytest.param(
            subject(AlsoSpread, scores=lambda o: o.point), "forward(batch, scale=...)", id="call"
        ),
        pytest.param(subject(Renamed, scores=lambda o: o["score"]), "score (rows, 2)", id="output"),
        pytest.param(subject(Wider), "state: 9 tensors, 87 numbers", id="state"),
        pytest.param(replace(subject(), name="other"), "other", id="name"),
    ],
)
def test_a_changed_signature_fails_with_the_line_that_changed(changed, line):
    """The check is given the lines that differ, as the snapshot's keeper finds them."""
    kept = signature_card(subject()).splitlines()

    def differs(card):
        return [line for line in card.splitlines() if line not in kept]

    assert pinned(Case(subject()), differs).status == Status.PASS
    found = pinned(Case(changed), differs)
    assert found.status == Status.FAIL
    assert line in found.measured
    assert "--snapshot-update" in found.hint


def test_without_a_keeper_the_signature_is_not_judged():
    """The command line has no snapshots."""
    assert verdict("signature_pinned", subject()).status == Status.SKIP
    assert verdict("signature_pinned", subject(snapshot=True)).status == Status.SKIP


def test_a_signature_that_was_never_pinned_says_how_to():
    """That there is none is not a difference."""
    found = pinned(Case(subject(snapshot=True)), lambda card: [NO_SNAPSHOT])
    assert found.status == Status.FAIL
    assert found.measured.startswith("there is no snapshot of the signature, expected one")
    assert found.hint == "Write it by `pytest --snapshot-update`, and commit it."
