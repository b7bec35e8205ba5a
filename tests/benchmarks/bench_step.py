"""A training step of ATFT-GAT-FAN beside pytorch-forecasting's TFT, at equal sizes.

Run as `python tests/benchmarks/bench_step.py [repeats]`; one line of JSON per figure. Both take
forward, backward and AdamW in float32 on 1,000 rows of 20 steps of 32 features, hidden
size 64, 16 per variable, 4 heads, 5 quantiles, two threads. The two take turns, so that what
else the machine does falls on both. Ours has four horizons, static features and a graph
besides; theirs one horizon.
"""

import json
import statistics
import sys
import time
import warnings

import torch

from flatline.models import AtftGatFan, AtftGatFanSettings

ROWS, LOOKBACK, FEATURES, HIDDEN, WIDTH = 1000, 20, 32, 64, 16
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
HORIZONS = (1, 5, 10, 20)
STATIC, EDGES = 12, 8 * ROWS


def pinball(quantiles, target):
    """Mean pinball loss, the same for both."""
    level = torch.tensor(LEVELS)
    error = target.unsqueeze(-1) - quantiles
    return torch.maximum(level * error, (level - 1) * error).mean()


def trainer(model, loss):
    """One training step of *model*."""
    optimizer = torch.optim.AdamW(model.parameters())

    def step():
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def ours(**settings):
    """Our step: a day of 1,000 stocks with eight neighbours each."""
    torch.manual_seed(0)
    model = AtftGatFan(
        AtftGatFanSettings(hidden=HIDDEN, variable_width=WIDTH, **settings),
        features=FEATURES,
        static=STATIC,
        edge_attributes=3,
        lookback=LOOKBACK,
        horizons=HORIZONS,
        levels=LEVELS,
    )
    batch = {
        "features": torch.randn(ROWS, LOOKBACK, FEATURES),
        "group_day": torch.zeros(ROWS, dtype=torch.int64),
        "stock_id": torch.arange(ROWS),
        "static_features": torch.randn(ROWS, STATIC),
        "edge_index": torch.randint(ROWS, (2, EDGES)),
        "edge_attr": torch.randn(EDGES, 3),
    }
    target = torch.randn(ROWS, len(HORIZONS))

    def loss():
        forecast = model(batch)
        return pinball(forecast.quantiles, target) + (forecast.point - target).square().mean()

    return trainer(model, loss)


def theirs():
    """pytorch-forecasting's step, on its own input names; a decoder needs one step at least."""
    from pytorch_forecasting import TemporalFusionTransformer  # noqa: PLC0415
    from pytorch_forecasting.metrics import QuantileLoss  # noqa: PLC0415

    torch.manual_seed(0)
    names = [f"feature_{i}" for i in range(FEATURES)]
    model = TemporalFusionTransformer(
        hidden_size=HIDDEN,
        hidden_continuous_size=WIDTH,
        attention_head_size=4,
        dropout=0.0,
        output_size=len(LEVELS),
        loss=QuantileLoss(list(LEVELS)),
        max_encoder_length=LOOKBACK,
        x_reals=names,
        time_varying_reals_encoder=names,
        time_varying_reals_decoder=[],
    )
    # Rescaling to the data set's units is no part of the step, and there is no data set.
    model.transform_output = lambda prediction, **_: prediction
    batch = {
        "encoder_cont": torch.randn(ROWS, LOOKBACK, FEATURES),
        "decoder_cont": torch.randn(ROWS, 1, FEATURES),
        "encoder_cat": torch.zeros(ROWS, LOOKBACK, 0, dtype=torch.int64),
        "decoder_cat": torch.zeros(ROWS, 1, 0, dtype=torch.int64),
        "encoder_lengths": torch.full((ROWS,), LOOKBACK),
        "decoder_lengths": torch.full((ROWS,), 1),
        "target_scale": torch.tensor([[0.0, 1.0]]).repeat(ROWS, 1),
    }
    target = torch.randn(ROWS, 1)
    return trainer(model, lambda: pinball(model(batch).prediction, target))


def in_turns(steps, repeats, warmup=3):
    """Seconds of every step of every trainer, one after the other in turns."""
    seconds = {name: [] for name in steps}
    for turn in range(warmup + repeats):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if turn >= warmup:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def main(repeats=15):
    """Print median and best step, rows per second and the ratio to the peer's median."""
    torch.set_num_threads(2)
    warnings.simplefilter("ignore")
    steps = {
        "TFT of pytorch-forecasting": theirs(),
        "ATFT-GAT-FAN": ours(),
        "ATFT-GAT-FAN, bypass_adaptive_norm": ours(bypass_adaptive_norm=True),
        "ATFT-GAT-FAN, bypass_gat": ours(bypass_gat=True),
    }
    found = in_turns(steps, repeats)
    peer = statistics.median(found["TFT of pytorch-forecasting"])
    for name, seconds in found.items():
        median = statistics.median(seconds)
        figures = {
            "benchmark": f"training step, {name}",
            "seconds": round(median, 4),
            "best": round(min(seconds), 4),
            "rows_per_second": round(ROWS / median),
            "times_tft": round(peer / median, 2),
        }
        print(json.dumps(figures))  # noqa: T201 - a benchmark prints its figures


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
