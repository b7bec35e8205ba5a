"""Every setting does something: on a subject whose settings do, and on others, side by side."""

import pytest
import torch
from torch import nn

from flatline.errors import SettingsError
from flatline.harness import CHECKS, Case, Layer, Status, Subject, Variants, judge
from flatline.harness.probes.variants import variation
from flatline.harness.variants import Beside

OTHERS = {
    "hidden": 4,
    "dropout": 0.5,
    "slope": 0.2,
    "weight": 2.0,
    "huber": Beside(0.1, {"robust": True}),
    "learning_rate": 1e-2,
    "batch": 5,
}


class Net(nn.Module):
    """A layer, a gate and a head."""

    def __init__(self, hidden, dropout, slope):
        super().__init__()
        self.body = nn.Linear(3, hidden)
        self.act = nn.LeakyReLU(slope)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        """A score a row."""
        return self.head(self.drop(self.act(self.body(x))))


def make(
    *, hidden=8, dropout=0.1, slope=0.01, weight=1.0, huber=1.0, robust=False,
    learning_rate=1e-3, batch=10, **options,
):  # fmt: skip
    """A small subject; *options* say what is wrong with it."""
    phantom, accepts, breaks = (options.pop(n, None) for n in ("phantom", "accepts", "breaks"))
    if options and not accepts:
        raise TypeError(f"unknown settings {sorted(options)}")
    if breaks and hidden == 4:
        raise NameError("name 'hiden' is not defined")
    read = {"slope": slope, "weight": weight, "huber": huber}
    if phantom:
        read |= {phantom: {"slope": 0.01, "weight": 1.0, "huber": 1.0}[phantom]}

    def loss(outputs, targets):
        if robust:
            return nn.functional.huber_loss(outputs, targets, delta=read["huber"])
        level = (outputs.mean() - targets.mean()).square()
        return nn.functional.mse_loss(outputs, targets) + read["weight"] * level

    def batches(split):
        draw = torch.Generator().manual_seed(len(split))
        return [(torch.randn(batch, 3, generator=draw), torch.randn(batch, 1, generator=draw))]

    own = {"phantom": phantom, "accepts": accepts, "breaks": breaks}
    return Subject(
        name="toy",
        model=lambda: Net(hidden, dropout, read["slope"]),
        batches=batches,
        loss=loss,
        scores=lambda outputs: outputs,
        days="batch",
        optimizer=lambda model: torch.optim.AdamW(model.parameters(), lr=learning_rate),
        settings=Variants(make=lambda changed: make(**own | dict(changed)), others=OTHERS),
    )


def verdicts(subject):
    """The verdicts of the layer, by check."""
    case = Case(subject)
    return {c.id: judge(c, case) for c in CHECKS if c.layer == Layer.SETTINGS}


def test_settings_that_do_something_pass_and_say_what():
    """Each is seen where it acts first, the cheapest place first."""
    found = verdicts(make())
    assert {v.status for v in found.values()} == {Status.PASS}
    tried = {one.name: one.changed for one in Case(make()).of(variation).tried}
    assert tried == {
        "hidden": "parameters",
        "dropout": "scores",
        "slope": "scores",
        "weight": "loss",
        "huber": "loss",
        "learning_rate": "optimizer",
        "batch": "batches",
    }


@pytest.mark.parametrize("phantom", ["slope", "weight", "huber"])
def test_a_setting_that_nobody_reads_is_named(phantom):
    """A weight that is read and never used, also where it needs another setting beside it."""
    found = verdicts(make(phantom=phantom))
    verdict = found.pop("settings_matter")
    assert verdict.status == Status.FAIL
    assert (verdict.culprit.kind, verdict.culprit.path) == ("setting", phantom)
    assert {v.status for v in found.values()} == {Status.PASS}


def test_a_setting_that_does_not_exist_must_be_refused():
    """A typo that passes for a setting."""
    verdict = verdicts(make(accepts=True))["unknown_settings_refused"]
    assert verdict.status == Status.FAIL
    assert verdict.culprit.path.endswith("_x")


def test_a_variant_that_cannot_be_built_is_named_with_its_error():
    """An undefined name in the constructor of one variant only."""
    found = verdicts(make(breaks=True))
    verdict = found["settings_build"]
    assert verdict.status == Status.FAIL
    assert verdict.culprit.path == "hidden"
    assert "NameError: name 'hiden' is not defined" in verdict.culprit.evidence
    assert found["settings_matter"].status == Status.PASS


def test_a_subject_without_settings_is_skipped():
    """What cannot be judged is said."""
    subject = Subject(
        name="bare", model=lambda: nn.Linear(3, 1), batches={}, loss=nn.functional.mse_loss,
        scores=lambda outputs: outputs,
    )  # fmt: skip
    assert {v.measured for v in verdicts(subject).values()} == {
        "not judged: the subject has no `settings`"
    }


def test_a_setting_is_inert_or_has_another_value():
    """Both at once say nothing."""
    with pytest.raises(SettingsError, match=r"settings \['hidden'\] are inert and have another"):
        Variants(make=make, others={"hidden": 4}, inert={"hidden"})
