"""Adaptive normalisation: nothing is lost, and what is taken is what the papers take."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flatline.errors import ShapeError
from flatline.layers import AdaptiveNorm, FrequencyNorm, SliceNorm, WindowNorm


def windows(lookback, features=3, rows=4):
    """The same windows every time."""
    return torch.randn(
        rows, lookback, features, generator=torch.Generator().manual_seed(0)
    ).double()


@given(st.integers(3, 24), st.data())
@settings(max_examples=40, deadline=None)
def test_fan_takes_the_strongest_frequencies(lookback, data):
    """Of even and odd windows, what is taken is the top of numpy's spectrum."""
    top_k = data.draw(st.integers(1, (lookback - 1) // 2))
    x = windows(lookback)
    rest, taken = FrequencyNorm(lookback, 3, top_k=top_k)(x)
    spectrum = np.fft.rfft(x.numpy(), axis=1)
    for row in range(4):
        for feature in range(3):
            weak = np.argsort(-abs(spectrum[row, :, feature]))[top_k:]
            spectrum[row, weak, feature] = 0
    expected = np.fft.irfft(spectrum, n=lookback, axis=1)
    np.testing.assert_allclose(taken.reshape(x.shape), expected, atol=1e-12)
    torch.testing.assert_close(rest + taken.reshape(x.shape), x)


@pytest.mark.parametrize("lookback", [9, 20, 60])
def test_fan_takes_the_lower_of_equally_strong_frequencies(lookback):
    """A single spike has them all alike: where it lies and how high it is decide nothing."""
    spikes = torch.eye(lookback)[:, :, None] * torch.tensor([1.0, 0.3, -71.0])
    _, taken = FrequencyNorm(lookback, 3, top_k=3)(spikes)
    spectrum = np.fft.rfft(spikes.double().numpy(), axis=1)
    spectrum[:, 3:] = 0
    expected = torch.from_numpy(np.fft.irfft(spectrum, n=lookback, axis=1)).float()
    torch.testing.assert_close(taken.reshape(spikes.shape), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("lookback", "slices"), [(20, 4), (21, 3), (5, 1), (9, 3)])
def test_san_standardises_each_slice(lookback, slices):
    """Each slice of the rest has mean 0 and spread 1, and can be put back."""
    x = windows(lookback)
    rest, taken = SliceNorm(lookback, 3, slices=slices)(x)
    part = rest.reshape(4, slices, -1, 3)
    torch.testing.assert_close(part.mean(2), torch.zeros(4, slices, 3).double())
    torch.testing.assert_close(
        part.std(2, correction=0), torch.ones(4, slices, 3).double(), atol=1e-2, rtol=0
    )
    mean, spread = taken.reshape(4, 2, slices, 1, 3).unbind(1)
    torch.testing.assert_close((part * spread + mean).reshape(x.shape), x)


def test_revin_standardises_the_window_and_scales_each_feature():
    """The rest ignores each window's level and scale, and follows the learned pair."""
    norm = WindowNorm(10, 3).double()
    x = windows(10)
    torch.testing.assert_close(norm(x)[0], norm(x * 50 + 7)[0], atol=1e-4, rtol=0)
    with torch.no_grad():
        norm.scale *= 2
        norm.shift += 1
    torch.testing.assert_close(norm(x)[0].mean(1), torch.ones(4, 3).double())


@pytest.mark.parametrize("name", ["fan", "san", "fan_san", "revin"])
def test_a_window_that_stands_still_stays_finite(name):
    """Constant windows: finite output and finite gradient."""
    x = torch.full((2, 20, 3), 5.0, requires_grad=True)
    norm = AdaptiveNorm(name, lookback=20, features=3, top_k=2, slices=4)
    rest, taken = norm(x)
    (rest.sum() + taken.sum()).backward()
    assert rest.isfinite().all()
    assert rest.abs().max() < 0.01
    assert x.grad.isfinite().all()
    assert taken.shape == (2, norm.width)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"top_k": 0}, "top_k is 0 with lookback 20"),
        ({"top_k": 10}, "Use at most 9"),
        ({"lookback": 7, "top_k": 4}, "Use at most 3"),
        ({"slices": 3}, r"slices is 3 with lookback 20, .* Use one of \[1, 2, 4, 5\]"),
        ({"slices": 10}, "slices of 3 steps or more"),
        ({"lookback": 21}, r"Use one of \[1, 3, 7\]"),
        ({"top_k": 6}, "twice their sum below the lookback"),
    ],
)
def test_sizes_that_leave_nothing_are_refused(sizes, message):
    """Frequencies, slices and lookback are held against each other at once."""
    fitting = {"lookback": 20, "features": 3, "top_k": 2, "slices": 4}
    AdaptiveNorm("fan_san", **fitting)
    with pytest.raises(ShapeError, match=message):
        AdaptiveNorm("fan_san", **(fitting | sizes))
