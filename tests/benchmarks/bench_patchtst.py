"""A training step of PatchTST beside Hugging Face's, at equal sizes.

Both take forward, loss, backward and AdamW in float32 on 500 rows of 20 steps of 32
features: patches of 5 steps, hidden size 32, 3 layers of 4 heads, inner layers of 64,
batch norm before each branch, mean over the patches and one linear map to four targets.
Each is measured with both norms; the tests show that the two models put out the same.
"""

from collections.abc import Callable

import torch
from side_by_side import Figure, rates, take_turns
from training_step import FEATURES, HORIZONS, LOOKBACK, trainer

from flatline.batch import DayBatch
from flatline.models import PatchTST, PatchTSTSettings

ROWS, HIDDEN, DEPTH, HEADS, INNER, PATCH = 500, 32, 3, 4, 64, 5


def figures() -> list[Figure]:
    """Rows per second of a training step, under each norm."""
    return [figure(norm) for norm in ("batch", "layer")]


def figure(norm: str) -> Figure:
    """One norm."""
    torch.manual_seed(0)
    features, target = torch.randn(ROWS, LOOKBACK, FEATURES), torch.randn(ROWS, len(HORIZONS))
    found = take_turns(
        {"ours": our_step(norm, features, target), "peer": their_step(norm, features, target)}
    )
    return rates(
        f"PatchTST training step, {norm} norm",
        found["ours"],
        found["peer"],
        peer_name="PatchTST of transformers",
        each=ROWS,
        unit="rows/s",
        target=2.0,
    )


def our_step(norm: str, features: torch.Tensor, target: torch.Tensor) -> Callable[[], None]:
    """Ours."""
    settings = PatchTSTSettings(
        hidden=HIDDEN,
        depth=DEPTH,
        attention_heads=HEADS,
        feed_forward=INNER,
        patch_length=PATCH,
        stride=PATCH,
        norm=norm,
        pooling="mean",
    )
    model = PatchTST(
        settings,
        features=FEATURES,
        static=0,
        edge_attributes=0,
        lookback=LOOKBACK,
        horizons=HORIZONS,
        levels=(),
    )
    batch = DayBatch(
        features=features,
        group_day=torch.zeros(ROWS, dtype=torch.int64),
        stock_id=torch.arange(ROWS),
    )
    return trainer(model, lambda: (model(batch).point - target).square().mean())


def their_step(norm: str, features: torch.Tensor, target: torch.Tensor) -> Callable[[], None]:
    """The peer's, as it comes, its scaler left out."""
    from transformers import PatchTSTConfig, PatchTSTForRegression  # noqa: PLC0415

    model = PatchTSTForRegression(
        PatchTSTConfig(
            num_input_channels=FEATURES,
            context_length=LOOKBACK,
            patch_length=PATCH,
            patch_stride=PATCH,
            num_hidden_layers=DEPTH,
            d_model=HIDDEN,
            num_attention_heads=HEADS,
            ffn_dim=INNER,
            norm_type=f"{norm}norm",
            positional_encoding_type="random",
            scaling=None,
            num_targets=len(HORIZONS),
        )
    )
    model.train()
    return trainer(
        model,
        lambda: (model(past_values=features).regression_outputs - target).square().mean(),
    )
