"""The learning rate of every step."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatline.errors import SettingsError
from flatline.training import Schedule, TrainingSettings, make_schedule


def cosine_oracle(step, warmup, total, final):
    """The rate written step by step, as in the papers."""
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, total - warmup - 1))
    return final + (1 - final) * (1 + math.cos(math.pi * done)) / 2


@given(st.integers(0, 200), st.integers(0, 30), st.integers(31, 150), st.floats(0, 0.5))
def test_cosine_agrees_with_its_formula(step, warmup, total, final):
    """Linear up, cosine down to the floor, and the floor from there on."""
    schedule = Schedule("cosine", warmup, total, final=final)
    assert schedule.factor(step) == pytest.approx(cosine_oracle(step, warmup, total, final))


@given(st.integers(0, 9), st.integers(1, 7))
def test_an_epochwise_rate_is_constant_within_an_epoch(epoch, epoch_steps):
    """Every step of an epoch has the rate of its first, and the last epoch the lowest."""
    schedule = Schedule(
        "cosine", 2 * epoch_steps, 10 * epoch_steps, final=0.1, epoch_steps=epoch_steps
    )
    rates = {schedule.factor(epoch * epoch_steps + step) for step in range(epoch_steps)}
    assert len(rates) == 1
    assert schedule.factor(10 * epoch_steps - 1) == pytest.approx(0.1)


@given(st.integers(0, 100), st.integers(0, 10))
def test_plateaus_only_lower_the_rate(step, plateaus):
    """Each plateau multiplies the rate by the factor, down to the floor."""
    schedule = Schedule("plateau", 0, 1, final=0.01, plateau_factor=0.5)
    assert schedule.factor(step, plateaus=plateaus) == max(0.01, 0.5**plateaus)


def test_settings_make_the_schedule():
    """Epochs become steps; a smaller budget of steps shortens the cosine."""
    epochs = TrainingSettings(max_epochs=10, warmup_epochs=1.5, max_steps=60)
    assert make_schedule(epochs, epoch_steps=10) == Schedule("cosine", 15, 60, final=0.01)
    steps = TrainingSettings(warmup_steps=7, schedule="constant", schedule_interval="epoch")
    schedule = make_schedule(steps, epoch_steps=10)
    assert (schedule.warmup, schedule.epoch_steps, schedule.factor(500)) == (7, 10, 1.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"warmup_steps": 3, "warmup_epochs": 2.0},
        {"plateau_patience": 5},
        {"schedule": "constant", "final_fraction": 0.5},
    ],
)
def test_a_setting_without_effect_is_refused(settings):
    """What another setting makes idle is an error, not a surprise."""
    with pytest.raises(SettingsError, match="changes nothing"):
        TrainingSettings(**settings)
