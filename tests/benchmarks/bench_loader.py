"""Batches per second of `DayBatches` beside pytorch-forecasting's loader.

Both hand out shuffled batches of 1,000 rows of 20 steps of 32 features, with targets, in one
process. Ours are days of 1,000 stocks, standardise four targets within the day and add one-hot
attributes; theirs are 1,000 drawn windows with one target and every scaler off.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pandas as pd
import torch
from panels import draw_panel
from side_by_side import Figure, rates, take_turns

from flatline.data import DayBatches, Panel

STOCKS, DAYS, LOOKBACK, FEATURES = 1000, 80, 20, 32


def figures() -> list[Figure]:
    """Batches per second."""
    panel = draw_panel(DAYS, STOCKS, FEATURES)
    works = {"peer": nexts(their_loader(panel)), "ours": nexts(our_loader(panel))}
    found = take_turns(works, turns=9)
    return [
        rates(
            "loader, batches of 1,000 x 20 x 32",
            found["ours"],
            found["peer"],
            peer_name="TimeSeriesDataSet of pytorch-forecasting",
            each=1.0,
            unit="batches/s",
            target=20.0,
        )
    ]


def nexts(loader: Iterable[object]) -> Callable[[], object]:
    """Draws one batch a call, pass after pass."""
    batches: Iterator[object] = itertools.chain.from_iterable(itertools.repeat(loader))
    return lambda: next(batches)


def our_loader(panel: Panel) -> DayBatches:
    """Whole days, shuffled."""
    return DayBatches(panel, np.arange(LOOKBACK, DAYS), lookback=LOOKBACK, shuffle=True)


def their_loader(panel: Panel) -> torch.utils.data.DataLoader:
    """Windows of 20 steps and the step after it, shuffled."""
    from pytorch_forecasting import TimeSeriesDataSet  # noqa: PLC0415

    names = list(panel.feature_names)
    frame = pd.DataFrame(panel.features.reshape(-1, FEATURES), columns=names)
    frame["target"] = panel.target[:, :, 0].ravel()
    frame["day"] = np.repeat(np.arange(DAYS), STOCKS)
    frame["stock"] = np.tile(panel.codes, DAYS)
    windows = TimeSeriesDataSet(
        frame,
        time_idx="day",
        target="target",
        group_ids=["stock"],
        max_encoder_length=LOOKBACK,
        min_encoder_length=LOOKBACK,
        max_prediction_length=1,
        time_varying_unknown_reals=names,
        target_normalizer=None,
        scalers=dict.fromkeys(names),
    )
    return windows.to_dataloader(train=True, batch_size=STOCKS, num_workers=0)
