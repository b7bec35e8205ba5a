"""Log lines about the inside of the model."""

import logging
import re

import pytest
import torch

from flatline.errors import SettingsError
from flatline.models import AtftGatFan, AtftGatFanSettings
from flatline.training import (
    DiagnosticsSettings,
    GraphGradientMonitor,
    ModuleDiagnostics,
    TrainingSettings,
    fit,
    make_monitors,
)
from training.toy import HORIZONS, LEVELS, Toy, ToyLoss, make_batches

SETTINGS = TrainingSettings(max_epochs=2, progress=False, tensorboard=False)
NUMBERS = r"mean=\S+ std=\S+ min=\S+ max=\S+"


def lines_of(caplog, model, callbacks, tag, batches=None):
    """The lines with a tag that a training logs."""
    with caplog.at_level(logging.INFO, logger="flatline"):
        fit(model, ToyLoss(), batches or make_batches(), None, SETTINGS, run_dir=None,
            callbacks=callbacks)  # fmt: skip
    return [record.getMessage() for record in caplog.records if tag in record.getMessage()]


def test_is_silent_while_the_graph_has_gradient(caplog):
    """A healthy branch is measured at the steps asked for, and not warned about."""
    monitor = GraphGradientMonitor(1e-8, every_n_steps=3)
    assert lines_of(caplog, Toy(), [monitor], "[graph-grad]") == []
    assert [step for step, _ in monitor.norms] == [3, 6, 9, 12]
    assert all(norm > 1e-8 for _, norm in monitor.norms)


def test_warns_when_the_graph_has_none(caplog):
    """A branch that is cut off from the loss is warned about, with its norm and the floor."""

    class Cut(Toy):
        def forward(self, batch):
            x = self.encoder(batch["features"].flatten(1))
            heard = torch.sigmoid(self.gate) * self.gat(x.detach()).detach()
            return self.head(self.fusion(torch.cat([x, heard], -1)))

    monitor = GraphGradientMonitor(1e-8, every_n_steps=6)
    lines = lines_of(caplog, Cut(), [monitor], "[graph-grad]")
    assert lines == [
        f"[graph-grad] step={step} module=gat norm=0.000e+00 floor=1.000e-08" for step in (6, 12)
    ]


def test_a_monitor_of_nothing_is_refused():
    """A model without the branch could never be warned about."""
    model = Toy()
    del model.gat
    with pytest.raises(SettingsError, match="branch of the gradient monitor is 'gat'"):
        fit(model, ToyLoss(), make_batches(), None, SETTINGS, run_dir=None,
            callbacks=[GraphGradientMonitor(1.0)])  # fmt: skip


def test_diagnostics_can_be_grepped(caplog):
    """At the steps asked for, each place has one line with its numbers, and no hook stays."""
    model = Toy()
    lines = lines_of(caplog, model, [ModuleDiagnostics(every_n_steps=5)], "-diag]")
    encoder = [line for line in lines if line.startswith("[encoder-diag]")]
    assert [line.split()[1] for line in encoder] == ["step=1", "step=5", "step=10"]
    assert all(
        re.fullmatch(rf"\[encoder-diag\] step=\d+ where=encoder {NUMBERS}", x) for x in encoder
    )
    assert any("where=head.input" in line for line in lines)
    assert sum("where=head.output part=0 column=1" in line for line in lines) == 3
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_diagnostics_see_before_and_after_the_scaling(caplog):
    """On the real model, every horizon has a line on either side of its scale."""
    model = AtftGatFan(
        AtftGatFanSettings(hidden=8, bypass_adaptive_norm=True, head_layer_scale=2.0),
        features=3,
        static=0,
        edge_attributes=0,
        lookback=4,
        horizons=HORIZONS,
        levels=LEVELS,
    )
    settings = DiagnosticsSettings(prediction_head=True, every_n_steps=100)
    lines = lines_of(caplog, model, make_monitors(settings), "[head-diag] step=1 ")
    for horizon in HORIZONS:
        before, after = (
            float(
                re.search(rf"where=head.{side} .*horizon={horizon} .*std=(\S+) ", "\n".join(lines))[
                    1
                ]
            )
            for side in ("before_scale", "after_scale")
        )
        assert after == pytest.approx(2 * before, rel=1e-4)


def test_settings_ask_for_monitors():
    """Only what is on is made, with its options."""
    settings = DiagnosticsSettings(
        encoder=True, every_n_steps=7, graph_gradient_floor=0.1, gradient_every_n_steps=9
    )
    gradient, modules = make_monitors(settings)
    assert (gradient.floor, gradient.every_n_steps) == (0.1, 9)
    assert (modules.encoder, modules.prediction_head, modules.every_n_steps) == (True, False, 7)
