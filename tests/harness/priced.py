"""A small line of data from prices to batches that others might write, healthy or with a fault."""

import numpy as np
import polars as pl
import torch
from torch import nn

from flatline.harness import Subject
from flatline.harness.pipeline import Pipeline

STOCKS, DAYS, LOOKBACK, HORIZONS = 9, 220, 5, (1, 5)
ENDS = {"train": 140, "valid": 170, "test": DAYS}
NAMES = ("return_1", "volume", "range")


def bars(seed=0):
    """Daily bars; one stock is listed late."""
    draw = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(0.02 * draw.standard_normal((DAYS, STOCKS)), 0))
    high = close * np.exp(np.abs(0.01 * draw.standard_normal(close.shape)))
    day, stock = np.indices(close.shape)
    frame = pl.DataFrame(
        {
            "date": day.ravel(),
            "code": [f"{code:02}" for code in stock.ravel()],
            "high": high.ravel(),
            "close": close.ravel(),
            "volume": np.exp(draw.normal(10, 1, close.size)).round().astype(np.int64),
        }
    )
    return frame.filter((pl.col("code") != "04") | (pl.col("date") >= 30))


class Line:
    """Prices to batches; each fault is a switch of its own."""

    def __init__(self, frame, fault=""):
        self.fault = fault
        codes = frame["code"].unique(maintain_order=True)
        if fault != "takes the stocks as they come":
            codes = codes.sort()
        place = pl.DataFrame({"code": codes, "stock": np.arange(len(codes))})
        frame = frame.join(place, on="code", how="left", maintain_order="left")
        self.day, self.stock = frame["date"].to_numpy(), frame["stock"].to_numpy()
        shape = (DAYS, len(codes))
        self.close, self.high, self.volume = (
            self.dense(frame[name].to_numpy(), shape) for name in ("close", "high", "volume")
        )
        self.present = np.isfinite(self.close)
        if fault == "survivors only":
            self.present &= self.present[-1]
        self.features = self.normalised(self.raw())
        self.graphs = {}

    def dense(self, column, shape):
        """One value per date and stock."""
        found = np.full(shape, np.nan)
        found[self.day, self.stock] = column
        return found

    def raw(self):
        """Return, log volume and range of every date and stock."""
        if self.fault == "filled across stocks":
            flat = pl.Series(self.close.T.ravel()).fill_nan(None).forward_fill()
            self.close = flat.to_numpy().reshape(self.close.T.shape).T
        before = np.vstack([self.close[:1], self.close[:-1]])
        if self.fault == "sees tomorrow":
            before = np.vstack([self.close[1:], self.close[-1:]])
        gain = self.close / before - 1
        return np.stack([gain, np.log(self.volume), np.log(self.high / self.close)], 2)

    def normalised(self, x):
        """By moments of the train days."""
        until = DAYS if self.fault == "scaler saw the test" else ENDS["train"]
        known = x[:until].reshape(-1, 3)
        return (x - np.nanmean(known, 0)) / np.nanstd(known, 0)

    def labels(self):
        """Returns from tomorrow's close on: (dates, stocks, horizons)."""
        found = np.full((*self.close.shape, len(HORIZONS)), np.nan)
        for column, h in enumerate(HORIZONS):
            span = h + 1 if self.fault == "horizon off by one" and h > 1 else h
            if self.fault == "label looks back":
                found[h:, :, column] = self.close[h:] / self.close[:-h] - 1
            else:
                found[: -span - 1, :, column] = self.close[1 + span :] / self.close[1:-span] - 1
        return found

    def edges(self, day, stocks):
        """Each stock listens to the one it has moved with most of late."""
        key = len(stocks) if self.fault == "cached edges" else day
        if key not in self.graphs:
            last = day + 6 if self.fault == "graph from the future" else day
            gains = np.diff(np.log(self.close[max(0, last - 20) : last + 1]), axis=0)
            alike = np.nan_to_num(gains).T @ np.nan_to_num(gains)
            np.fill_diagonal(alike, -np.inf)
            self.graphs[key] = alike[np.ix_(stocks, stocks)].argmax(1)
        near = self.graphs[key]
        return torch.tensor(np.stack([near, np.arange(len(stocks))]))

    def days(self, split):
        """Those of one split, the last ones left out where a label would end in the next."""
        names = list(ENDS)
        first = ENDS[names[names.index(split) - 1]] if split != names[0] else LOOKBACK + 20
        purged = 0 if self.fault == "no purge" else 1 + max(HORIZONS)
        return range(first, ENDS[split] - (purged if split != "test" else 0))

    def batches(self, split):
        """One day a batch."""
        labels = self.labels()
        for day in self.days(split):
            stocks = np.flatnonzero(self.present[day])
            window = self.features[day - LOOKBACK + 1 : day + 1, stocks].transpose(1, 0, 2)
            inputs = {
                "features": torch.tensor(np.nan_to_num(window), dtype=torch.float32),
                "group_day": torch.full((len(stocks),), day),
                "stock_id": torch.tensor(stocks),
                "edge_index": self.edges(day, stocks),
            }
            yield inputs, torch.tensor(labels[day, stocks], dtype=torch.float32)


class Mean(nn.Module):
    """A linear score of the newest step."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(len(NAMES), len(HORIZONS))

    def forward(self, batch):
        """Scores of every row."""
        return self.head(batch["features"][:, -1])


def subject(fault="", **parts):
    """A subject with a pipeline, healthy or with one fault."""
    healthy = {
        "name": "priced",
        "model": Mean,
        "batches": lambda split: list(Line(bars(), fault).batches(split)),
        "loss": lambda outputs, targets: (outputs - torch.nan_to_num(targets)).square().mean(),
        "scores": lambda outputs: outputs,
        "columns": {"features": NAMES},
        "horizons": HORIZONS,
        "later": "test",
        "pipeline": Pipeline(prices=bars(), batches=lambda prices: Line(prices, fault).batches),
    }
    return Subject(**healthy | parts)
