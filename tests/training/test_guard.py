"""The degeneracy guard: silent on a healthy model, and acting on a dead one."""

import logging

import pytest
import torch

from flatline.batch import Forecast
from flatline.errors import DegenerateError, SettingsError
from flatline.layers import PredictionHead
from flatline.metrics import Flat
from flatline.training import (
    DegeneracyGuard,
    Guard,
    GuardSettings,
    TrainingSettings,
    fit,
    reinitialise,
    seed_all,
)
from flatline.training.guard import eval_mode, flat_findings, probe_batches
from training.toy import Shuffled, Toy, ToyLoss, make_batches

SETTINGS = TrainingSettings(
    max_epochs=4, learning_rate=1e-2, progress=False, tensorboard=False, log_every_n_steps=1
)


def zero_head():
    """A model whose head is zero and cannot move: every stock gets the same score."""
    model = Toy()
    torch.nn.init.zeros_(model.head.linear.weight)
    model.encoder.register_full_backward_hook(lambda *_: None)
    model.head.linear.weight.register_hook(torch.zeros_like)
    return model


def run(model, guard, *, folder=None):
    """Train a model under a guard."""
    seed_all(1)
    callbacks = [] if guard is None else [guard]
    valid = make_batches(4, first_day=100)
    train = Shuffled(make_batches())
    return fit(model, ToyLoss(), train, valid, SETTINGS, run_dir=folder, callbacks=callbacks)


@pytest.mark.parametrize("action", ["warn", "stop", "reinit"])
def test_is_silent_on_a_healthy_model(action, caplog):
    """Nothing is found, nothing is done, and training is what it is without the guard."""
    seed_all(0)
    guarded, plain = Toy(), Toy()
    plain.load_state_dict(guarded.state_dict())
    guard = DegeneracyGuard(GuardSettings(action=action, every_n_steps=1))
    with caplog.at_level(logging.WARNING, logger="flatline"):
        run(guarded, guard)
    run(plain, None)
    assert guard.findings == []
    assert "[degeneracy]" not in caplog.text
    for name, value in plain.state_dict().items():
        assert torch.equal(value, guarded.state_dict()[name]), name


def test_warns_of_a_zero_head(caplog):
    """A dead head is named in a log line that can be grepped, and training goes on."""
    guard = DegeneracyGuard(GuardSettings(every_n_steps=5))
    with caplog.at_level(logging.WARNING, logger="flatline"):
        result = run(zero_head(), guard)
    assert result.steps == 24
    lines = [line for line in caplog.text.splitlines() if "[degeneracy]" in line]
    assert "step=5 act=warn kinds=constant" in lines[0]


def test_stops_on_a_zero_head(tmp_path):
    """A dead head ends the training at the second look, with the kind and what was measured."""
    guard = DegeneracyGuard(GuardSettings(action="stop", every_n_steps=5))
    with pytest.raises(DegenerateError, match=r"^scores are constant after 5 steps, expected"):
        run(zero_head(), guard, folder=tmp_path / "run")
    assert '"state": "failed"' in (tmp_path / "run" / "run.json").read_text()


def test_brings_a_zero_head_back_to_life():
    """Re-initialised, a head that was zero trains, and the scores spread."""
    seed_all(0)
    model = Toy()
    torch.nn.init.zeros_(model.head.linear.weight)
    frozen = model.head.linear.weight.register_hook(torch.zeros_like)
    guard = DegeneracyGuard(GuardSettings(action="reinit", every_n_steps=5))
    result = run(model, guard)
    frozen.remove()
    assert {step for step, _ in guard.findings} == {0, 5}
    assert result.history[-1]["valid/std/h1"] > 0.01


def test_gives_up_on_a_head_that_dies_again():
    """A head that is reset to zero again and again ends the training."""

    class Stillborn(Toy):
        def __init__(self):
            super().__init__()
            self.head.linear.reset_parameters = lambda: torch.nn.init.zeros_(
                self.head.linear.weight
            )
            self.head.linear.reset_parameters()
            self.head.linear.weight.requires_grad_(requires_grad=False)

    settings = GuardSettings(action="reinit", every_n_steps=1, max_reinits=2)
    with pytest.raises(DegenerateError, match="Re-initialised 2 times"):
        run(Stillborn(), DegeneracyGuard(settings))


def test_a_zero_start_may_come_to_life(caplog):
    """Heads that start at zero and learn are not mistaken for dead ones."""
    model = Toy()
    torch.nn.init.zeros_(model.head.linear.weight)
    with caplog.at_level(logging.WARNING, logger="flatline"):
        run(model, DegeneracyGuard(GuardSettings(action="stop", every_n_steps=2)))
    assert "[degeneracy]" not in caplog.text


def test_numbers_that_are_not_finite_are_acted_on_at_once():
    """NaN scores do not wait for a second look."""

    class Broken(Toy):
        def forward(self, batch):
            forecast = super().forward(batch)
            return forecast if self.training else Forecast(forecast.point * torch.nan)

    with pytest.raises(DegenerateError, match=r"^scores are not finite after 0 steps"):
        run(Broken(), DegeneracyGuard(GuardSettings(action="stop")))


def test_a_look_leaves_no_trace():
    """Modes of all modules, gradients and generators are what they were."""
    model = Toy()
    model.encoder[2].eval()
    modes = [module.training for module in model.modules()]
    seed_all(5)
    expected = torch.rand(3)
    seed_all(5)
    with eval_mode(model):
        torch.rand(7)
        assert not any(module.training for module in model.modules())
    assert flat_findings(model, make_batches(3)) == []
    assert [module.training for module in model.modules()] == modes
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.rand(3), expected)


def test_looks_at_enough_days():
    """Batches are taken until a few days are together, or there are no more."""
    assert len(probe_batches(make_batches(9), days=3)) == 3
    assert len(probe_batches(make_batches(2), days=3)) == 2


def test_scores_that_follow_the_market_only_are_named():
    """Every stock of a day alike, but days apart: constant within the day, on each horizon."""

    class Market(Toy):
        def forward(self, batch):
            level = batch["features"].mean().expand(len(batch["features"]), 2)
            return Forecast(level * torch.tensor([1.0, 2.0]))

    kinds = {(f.kind, f.horizon) for f in flat_findings(Market(), make_batches(4), horizons=(1, 5))}
    assert kinds >= {(Flat.CONSTANT_WITHIN_DAY, 1), (Flat.CONSTANT_WITHIN_DAY, 5)}


def test_expected_kinds_can_be_ignored():
    """A kind that is expected of a model is passed over; an unknown one is an error."""
    findings = flat_findings(zero_head(), make_batches(3))
    names = tuple(str(f.kind) for f in findings)
    settings = GuardSettings(action="stop", patience=1, ignore=names)
    assert Guard(settings).decide(99, findings).act == "pass"
    with pytest.raises(SettingsError, match=r"guard.ignore is 'constnt', .* mean 'constant'"):
        Guard(GuardSettings(ignore=("constnt",)))


def test_reinitialising_forgets_the_optimizer():
    """New weights do not inherit the moments of the old ones."""
    model = Toy()
    optimizer = torch.optim.AdamW(model.parameters())
    sum(p.sum() for p in model.parameters()).backward()
    optimizer.step()
    before = model.head.linear.weight.clone()
    reinitialise(model, ["head"], optimizer)
    assert not torch.equal(model.head.linear.weight, before)
    assert model.head.linear.weight not in optimizer.state
    assert model.gat.weight in optimizer.state


def test_a_head_that_is_not_there_is_named():
    """A slip in the name of a module is an error that names the nearest."""
    with pytest.raises(SettingsError, match=r"guard.heads is 'haed', .* mean 'head'"):
        run(Toy(), DegeneracyGuard(GuardSettings(action="reinit", heads=("haed",))))


def test_a_head_that_can_only_be_reset_in_part_is_refused():
    """A parameter that would survive is named before the training, not left dead by it."""
    model = Toy()
    model.head.level = torch.nn.Parameter(torch.zeros(()))
    with pytest.raises(SettingsError, match=r"^module head has parameters but no reset_parameters"):
        run(model, DegeneracyGuard(GuardSettings(action="reinit")))


@pytest.mark.parametrize("variant", ["gated", "apex"])
def test_the_heads_of_our_model_come_back_whole(variant):
    """Of a head that is NaN all over nothing is left: it starts as a fresh one does."""
    options = {"variant": variant, "use_layernorm": True, "layer_scale": 0.5, "init_std": 0.02}
    model = torch.nn.Module()
    model.head = PredictionHead(64, horizons=(1, 5), levels=(0.25, 0.5, 0.75), **options)
    fresh = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, torch.nan)
    reinitialise(model, ["head"])
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.mean(), fresh[name].mean(), atol=0.02, rtol=0)
        torch.testing.assert_close(
            parameter.std(correction=0), fresh[name].std(correction=0), atol=0.02, rtol=0
        )
