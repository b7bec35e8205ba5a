"""Training steps of ATFT-GAT-FAN on drawn batches, for the benchmarks that need one."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from flatline.batch import DayBatch, Forecast
from flatline.models import AtftGatFan, AtftGatFanSettings

LOOKBACK, FEATURES, HIDDEN, WIDTH = 20, 32, 64, 16
HORIZONS = (1, 5, 10, 20)
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
STATIC, NEIGHBOURS = 12, 8


def trainer(model: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """One step: forward, loss, backward, AdamW."""
    optimizer = torch.optim.AdamW(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def our_step(
    days: int, stocks: int, loss: Callable[[Forecast, DayBatch], Tensor]
) -> Callable[[], None]:
    """A step on *days* of *stocks* each, eight neighbours a stock, as the embedded market has."""
    torch.manual_seed(0)
    model = AtftGatFan(
        AtftGatFanSettings(hidden=HIDDEN, variable_width=WIDTH),
        features=FEATURES,
        static=STATIC,
        edge_attributes=3,
        lookback=LOOKBACK,
        horizons=HORIZONS,
        levels=LEVELS,
    )
    batch = draw_batch(days, stocks)
    return trainer(model, lambda: loss(model(batch), batch))


def draw_batch(days: int, stocks: int) -> DayBatch:
    """A batch of noise."""
    rows = days * stocks
    target = torch.arange(rows).repeat_interleave(NEIGHBOURS)
    source = target // stocks * stocks + torch.randint(stocks, target.shape)
    return DayBatch(
        features=torch.randn(rows, LOOKBACK, FEATURES),
        group_day=torch.arange(days).repeat_interleave(stocks),
        stock_id=torch.arange(stocks).repeat(days),
        static_features=torch.randn(rows, STATIC),
        edge_index=torch.stack([source, target]),
        edge_attr=torch.randn(len(target), 3),
    )
