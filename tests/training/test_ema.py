"""The moving average of the weights: its values, what is judged by it, and its resumption."""

import re

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from safetensors.torch import load_file
from torch import nn

from flatline.errors import SettingsError
from flatline.training import (
    DegeneracyGuard,
    GuardSettings,
    MovingAverage,
    TrainingSettings,
    WeightAverage,
    fit,
    seed_all,
)
from training.toy import Shuffled, Toy, ToyLoss, make_batches
from training.victim import SETTINGS, Killer, train

AVERAGED = SETTINGS.model_copy(update={"ema_decay": 0.8})
QUIET = {"progress": False, "tensorboard": False, "warmup_epochs": 0.0}


class KilledError(Exception):
    """Stands for a kill that leaves this process alive."""


def kill():
    """End the training from within."""
    raise KilledError


class Recorder(Callback):
    """Keeps the head's weights after every step and in every validation."""

    def __init__(self):
        self.steps, self.validations = [], []

    def on_train_batch_end(self, trainer, pl_module, *args):
        """After a step."""
        self.steps.append(pl_module.model.head.linear.weight.detach().double().clone())

    def on_validation_batch_end(self, trainer, pl_module, *args):
        """While it is judged."""
        self.validations.append(pl_module.model.head.linear.weight.detach().double().clone())


def closed_form(values, decay):
    """Weighted mean with the weights decay ** age, in float64."""
    weight = decay ** np.arange(len(values) - 1, -1, -1.0)
    return np.tensordot(weight / weight.sum(), np.stack(values), axes=1)


@pytest.mark.parametrize("decay", [0.3, 0.9, 0.999])
def test_is_the_weighted_mean_of_all_steps(decay):
    """After n values it is the mean with weights that decay with age, from the first value on."""
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(3, 2, generator=generator, dtype=torch.float64) for _ in range(40)]
    average = MovingAverage(decay)
    for n, value in enumerate(values, 1):
        average.update({"w": value})
        assert np.allclose(average.tensors["w"], closed_form(values[:n], decay), atol=1e-14)


def test_leaves_the_values_alone_and_counts_as_they_are():
    """What goes in is not changed by what follows; integers are those of the last value."""
    average = MovingAverage(0.5)
    first = {"w": torch.ones(2), "n": torch.tensor(3)}
    average.update(first)
    average.update({"w": torch.zeros(2), "n": torch.tensor(8)})
    assert first["w"].tolist() == [1, 1]
    assert average.tensors["n"].item() == 8


def test_judges_and_keeps_the_average(tmp_path):
    """Validation sees the average of all steps so far, the best file and the model hold it."""
    seed_all(0)
    recorder, model = Recorder(), Toy()
    settings = TrainingSettings(max_epochs=3, ema_decay=0.7, learning_rate=0.05, **QUIET)
    result = fit(
        model, ToyLoss(), make_batches(), make_batches(1, first_day=50), settings,
        run_dir=tmp_path / "run", callbacks=[recorder],
    )  # fmt: skip
    for epoch, seen in enumerate(recorder.validations, 1):
        assert np.allclose(seen, closed_form(recorder.steps[: 6 * epoch], 0.7), atol=1e-6)
    best = recorder.validations[result.best_epoch]
    kept = load_file(result.best_path)["head.linear.weight"].double()
    assert torch.equal(kept, best)
    assert torch.equal(model.head.linear.weight.detach().double(), best)
    assert not torch.equal(best, recorder.steps[6 * result.best_epoch + 5])


def test_the_weights_go_on_moving_as_without_it():
    """The average is only looked at: the steps are those of a training without it."""
    steps = {}
    for decay in (None, 0.9):
        seed_all(0)
        recorder = Recorder()
        settings = TrainingSettings(max_epochs=2, ema_decay=decay, **QUIET)
        fit(
            Toy(), ToyLoss(), Shuffled(make_batches()), make_batches(2, first_day=50), settings,
            run_dir=None, callbacks=[recorder],
        )  # fmt: skip
        steps[decay] = torch.stack(recorder.steps)
    assert torch.equal(steps[None], steps[0.9])


@pytest.mark.parametrize("judged", [True, False])
def test_without_a_best_epoch_the_model_is_left_with_the_average(judged):
    """Where no best epoch is restored, or none was looked for, the last average stays."""
    seed_all(0)
    recorder, model = Recorder(), Toy()
    settings = TrainingSettings(max_epochs=2, ema_decay=0.7, restore_best=False, **QUIET)
    valid = make_batches(2, first_day=50) if judged else None
    fit(model, ToyLoss(), make_batches(), valid, settings, run_dir=None, callbacks=[recorder])
    expected = closed_form(recorder.steps, 0.7)
    assert np.allclose(model.head.linear.weight.detach(), expected, atol=1e-6)


@pytest.mark.parametrize("step", [1, 2, 5, 6, 9, 13, 29])
def test_resumes_to_equal_bytes(tmp_path, step):
    """Killed and resumed, the best file has the bytes of the undisturbed run's."""
    train(tmp_path / "whole", settings=AVERAGED)
    with pytest.raises(KilledError):
        train(tmp_path / "cut", settings=AVERAGED, callbacks=[Killer(step, kill)])
    torch.manual_seed(99)
    train(tmp_path / "cut", settings=AVERAGED, resume=True)
    for name in ("checkpoints/best.safetensors", "metrics.csv"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_forgotten_average_would_show(tmp_path, monkeypatch):
    """A resumption that starts the average anew ends elsewhere: the test above can fail."""
    train(tmp_path / "whole", settings=AVERAGED)
    with pytest.raises(KilledError):
        train(tmp_path / "cut", settings=AVERAGED, callbacks=[Killer(3, kill)])
    monkeypatch.setattr(WeightAverage, "load_state_dict", lambda *_: None)
    train(tmp_path / "cut", settings=AVERAGED, resume=True)
    whole, cut = ((tmp_path / name / "metrics.csv").read_bytes() for name in ("whole", "cut"))
    assert whole != cut


def test_a_failed_validation_gives_the_moving_weights_back():
    """An error while the model has the average leaves it with the weights of the last step."""

    class Fails(Recorder):
        def on_validation_batch_end(self, trainer, pl_module, *args):
            kill()

    seed_all(0)
    recorder, model = Fails(), Toy()
    settings = TrainingSettings(max_epochs=1, ema_decay=0.7, **QUIET)
    with pytest.raises(KilledError):
        fit(
            model, ToyLoss(), make_batches(), make_batches(2, first_day=50), settings,
            run_dir=None, callbacks=[recorder],
        )  # fmt: skip
    assert torch.equal(model.head.linear.weight.detach().double(), recorder.steps[-1])


def test_statistics_of_batch_norm_are_averaged_too():
    """The model that is kept has the statistics that go with its weights, and whole counts."""

    class Normed(Toy):
        def __init__(self):
            super().__init__()
            self.encoder.append(nn.BatchNorm1d(8))

    seed_all(0)
    model = Normed()
    settings = TrainingSettings(max_epochs=2, ema_decay=0.7, **QUIET)
    fit(model, ToyLoss(), make_batches(), make_batches(2, first_day=50), settings, run_dir=None)
    norm = model.encoder[-1]
    assert norm.num_batches_tracked.item() in (6, 12)
    assert bool((norm.running_var > 0).all())


def test_a_head_drawn_afresh_starts_a_new_average():
    """The guard's fresh head is not averaged with the dead one."""
    seed_all(0)
    model = Toy()
    nn.init.zeros_(model.head.linear.weight)
    frozen = model.head.linear.weight.register_hook(torch.zeros_like)
    guard = DegeneracyGuard(GuardSettings(action="reinit", every_n_steps=4, patience=2))
    settings = TrainingSettings(max_epochs=1, ema_decay=0.999, weight_decay=0.0, **QUIET)
    result = fit(
        model, ToyLoss(), make_batches(), make_batches(4, first_day=50), settings,
        run_dir=None, callbacks=[guard],
    )  # fmt: skip
    frozen.remove()
    assert {step for step, _ in guard.findings} == {0, 4}
    assert result.history[-1]["valid/std/h1"] > 0.05


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, 2.0])
def test_a_decay_outside_its_range_is_refused(decay):
    """None switches it off; a number lies between 0 and 1."""
    with pytest.raises(SettingsError, match=f"^ema_decay is {re.escape(str(decay))}, expected"):
        TrainingSettings(ema_decay=decay)
