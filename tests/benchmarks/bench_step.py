"""A training step of ATFT-GAT-FAN beside pytorch-forecasting's TFT, at equal sizes.

Both take forward, loss, backward and AdamW in float32 on 1,000 rows of 20 steps of 32
features, hidden size 64, 16 per variable, 4 heads, 5 quantiles. Ours has four horizons,
static features and a graph besides; theirs one horizon and the one decoder step it needs.
"""

from collections.abc import Callable

import torch
from side_by_side import Figure, rates, take_turns
from torch import Tensor
from training_step import FEATURES, HIDDEN, HORIZONS, LEVELS, LOOKBACK, WIDTH, our_step, trainer

ROWS = 1000


def figures() -> list[Figure]:
    """Rows per second of a training step."""
    peer = their_step()
    target = torch.randn(ROWS, len(HORIZONS))

    def loss(forecast, batch):
        return pinball(forecast.quantiles, target) + (forecast.point - target).square().mean()

    found = take_turns({"ours": our_step(1, ROWS, loss), "peer": peer})
    return [
        rates(
            "training step, 1,000 rows",
            found["ours"],
            found["peer"],
            peer_name="TFT of pytorch-forecasting",
            each=ROWS,
            unit="rows/s",
            target=3.0,
        )
    ]


def pinball(quantiles: Tensor, target: Tensor) -> Tensor:
    """Mean pinball loss, the same for both."""
    error = target.unsqueeze(-1) - quantiles
    level = torch.tensor(LEVELS)
    return torch.maximum(level * error, (level - 1) * error).mean()


def their_step() -> Callable[[], None]:
    """The peer's step, on its own input names."""
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
