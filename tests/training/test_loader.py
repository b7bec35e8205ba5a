"""A loader can be put back to any batch of any epoch."""

from itertools import islice

import numpy as np
import pytest
import torch

from flatline.data.batches import DayBatches
from flatline.data.panel import Panel
from flatline.training import seed_all
from flatline.training.loader import ResumableLoader
from training.toy import Shuffled, make_batches


def panel():
    """A panel of a few days of noise."""
    rng = np.random.default_rng(0)
    days, stocks = 14, 6
    return Panel(
        dates=np.arange(days).astype("datetime64[D]"),
        codes=np.array([str(k) for k in range(stocks)]),
        feature_names=("a",),
        horizons=(1,),
        present=np.ones((days, stocks), bool),
        features=rng.standard_normal((days, stocks, 1)).astype(np.float32),
        target=rng.standard_normal((days, stocks, 1)).astype(np.float32),
        label_end=np.arange(days)[:, None] + 2,
        daily_return=rng.standard_normal((days, stocks)).astype(np.float32),
        attributes={},
    )


SOURCES = {
    "list": lambda: make_batches(5),
    "epochs": lambda: Shuffled(make_batches(5)),
    "loader": lambda: torch.utils.data.DataLoader(make_batches(5), batch_size=None, shuffle=True),
    "panel": lambda: DayBatches(
        panel(), range(4, 14), lookback=3, days_per_batch=2, shuffle=True, max_stocks=4
    ),
}


def drawn(loader, count):
    """The next *count* batches, over as many epochs as it takes, with a draw after each."""

    def epochs():
        while True:
            yield from loader

    return [
        # The numpy generator that user code draws from.
        (inputs["features"].sum().item(), torch.rand(1).item(), np.random.rand())  # noqa: NPY002
        for inputs, _ in islice(epochs(), count)
    ]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("done", [0, 1, 4, 5, 6, 10, 12])
def test_goes_on_at_the_batch_where_it_stopped(source, done):
    """After any number of batches, what comes is what would have come, generators included."""
    seed_all(0)
    whole = drawn(ResumableLoader(SOURCES[source]()), 16)
    seed_all(0)
    stopped = ResumableLoader(SOURCES[source]())
    drawn(stopped, done)
    state = stopped.state_dict()
    seed_all(99)
    resumed = ResumableLoader(SOURCES[source]())
    resumed.load_state_dict(state)
    assert drawn(resumed, 16 - done) == whole[done:]


def test_iterators_that_are_dropped_change_nothing():
    """Asking for an iterator without drawing from it does not start a pass."""
    loader = ResumableLoader(Shuffled(make_batches(3)))
    seed_all(0)
    iter(loader)
    first = drawn(loader, 3)
    seed_all(0)
    assert first == drawn(ResumableLoader(Shuffled(make_batches(3))), 3)
