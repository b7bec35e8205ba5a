"""The names people use for these settings in their shell, in one table.

Each name sets one place in the tree of settings. The table is plain data: the
settings read it, the help prints it, and one test goes through all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flatline.errors import SettingsError

__all__ = ["ALIASES", "FALSE", "ON_WEIGHT", "TRUE", "Alias", "alias_help", "yes_or_no"]

TRUE, FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})
# Weight of a term that a switch turns on and nothing else weights.
ON_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Alias:
    """One shell name.

    Args:
        path: Where it points in the tree, such as `training.learning_rate`.
        meaning: What it does, for the help.
        example: A value that differs from the default.
        becomes: For a yes-or-no name of another kind of setting: the settings' value for no
            and for yes.
        switch: Turns a term of the loss on or off, whose weight another name sets.
        needs: Other names without which it would change nothing, with values.
    """

    path: str
    meaning: str
    example: str
    becomes: tuple[object, object] | None = None
    switch: bool = False
    needs: Mapping[str, str] = field(default_factory=dict)

    def value_of(self, name: str, text: str) -> object:
        """The value for the tree that *text* stands for.

        Raises:
            SettingsError: A yes or a no is expected and *text* is neither.
        """
        if self.becomes is None and not self.switch:
            return text
        answer = yes_or_no(name, text)
        return answer if self.becomes is None else self.becomes[answer]


def yes_or_no(name: str, text: str) -> bool:
    """True for a yes, False for a no.

    Raises:
        SettingsError: *text* is neither.

    Example:
        >>> yes_or_no("USE_RANKIC", "on")
        True
    """
    word = text.strip().lower()
    if word not in TRUE | FALSE:
        raise SettingsError(f"{name} is {text!r}, expected a yes or a no. Set it to 1 or 0.")
    return word in TRUE


LISTNET = {"LISTNET_WEIGHT": "0.3"}
ALIASES: Mapping[str, Alias] = {
    "LEARNING_RATE": Alias("training.learning_rate", "peak learning rate", "5e-4"),
    "L2_LAMBDA": Alias("training.weight_decay", "decoupled weight decay", "0.1"),
    "MAX_EPOCHS": Alias("training.max_epochs", "passes over the training days", "3"),
    "BATCH_SIZE": Alias("data.batch_rows", "rows of a batch, rounded to whole days", "2000"),
    "WARMUP_EPOCHS": Alias("training.warmup_epochs", "epochs of rising learning rate", "2"),
    "GRAD_CLIP_NORM": Alias("training.clip_norm", "largest gradient norm; 0 for any", "0.5"),
    "TRAIN_SCHEDULER": Alias(
        "training.schedule", "learning rate: cosine, plateau or constant", "plateau"
    ),
    "USE_RANKIC": Alias(
        "loss.weights.rank_ic", f"RankIC term on (weight {ON_WEIGHT}) or off", "1", switch=True
    ),
    "RANKIC_WEIGHT": Alias("loss.weights.rank_ic", "weight of the RankIC term", "0.3"),
    "CS_IC_WEIGHT": Alias("loss.weights.ic", "weight of the cross-sectional IC term", "0.3"),
    "SHARPE_WEIGHT": Alias("loss.weights.sharpe", "weight of the Sharpe term", "0.1"),
    "HUBER_WEIGHT": Alias("loss.weights.huber", "weight of the Huber term", "0.7"),
    "VARIANCE_PENALTY_WEIGHT": Alias(
        "loss.weights.variance_floor", "weight of the penalty on too small a spread", "0.2"
    ),
    "VARIANCE_PENALTY": Alias(
        "loss.weights.variance_floor", "the same as VARIANCE_PENALTY_WEIGHT", "0.2"
    ),
    "COVERAGE_PENALTY": Alias(
        "loss.weights.coverage", "weight of the quantiles' coverage term", "0.1"
    ),
    "USE_LISTNET_LOSS": Alias(
        "loss.weights.listnet", f"ListNet term on (weight {ON_WEIGHT}) or off", "1", switch=True
    ),
    "LISTNET_WEIGHT": Alias("loss.weights.listnet", "weight of the ListNet term", "0.3"),
    "LISTNET_TAU": Alias(
        "loss.listnet_tau", "temperature of ListNet, in target spreads", "0.5", needs=LISTNET
    ),
    "LISTNET_TOPK": Alias(
        "loss.listnet_top_k", "stocks that ListNet looks at", "10", needs=LISTNET
    ),
    "PRED_HEAD_INIT_STD": Alias(
        "model.head_init_std", "spread of the heads' weights at start", "0.01"
    ),
    "PRED_HEAD_LAYER_SCALE": Alias(
        "model.head_layer_scale", "factor on the heads' outputs at start", "2.0"
    ),
    "PRED_HEAD_USE_LAYERNORM": Alias(
        "model.head_use_layernorm", "normalise the state before the heads", "1"
    ),
    "PRED_HEAD_VARIANT": Alias("model.head_variant", "gated, or apex: one linear map each", "apex"),
    "BYPASS_GAT_COMPLETELY": Alias("model.bypass_gat", "leave the graph branch out", "1"),
    "BYPASS_ADAPTIVE_NORM": Alias(
        "model.bypass_adaptive_norm", "leave adaptive normalisation out", "1"
    ),
    "DISABLE_GRAPH_BUILDER": Alias(
        "data.graph.enabled", "build no edges", "1", becomes=(True, False)
    ),
    "GRAPH_REBUILD_INTERVAL": Alias(
        "data.graph.rebuild_every", "days from one rebuild of the graph to the next", "20"
    ),
    "GAT_INIT_SCALE": Alias(
        "model.gat_init_scale", "factor on the graph's columns of the fusion at start", "1.5"
    ),
    "GAT_RESIDUAL_GATE": Alias(
        "model.gat_residual_gate", "share of the fused state at start, between 0 and 1", "0.8"
    ),
    "GAT_GRAD_THR": Alias(
        "diagnostics.graph_gradient_floor", "warn when the graph's gradient is below it", "1e-6"
    ),
    "GRAD_MONITOR_EVERY": Alias(
        "diagnostics.gradient_every_n_steps",
        "steps between two looks at that gradient",
        "10",
        needs={"GAT_GRAD_THR": "1e-6"},
    ),
    "ENABLE_ENCODER_DIAGNOSTICS": Alias(
        "diagnostics.encoder", "log the encoder's output, see [encoder-diag]", "1"
    ),
    "ENABLE_PREDICTION_HEAD_DIAGNOSTICS": Alias(
        "diagnostics.prediction_head", "log the heads' input and outputs, see [head-diag]", "1"
    ),
    "ENCODER_DIAG_EVERY": Alias(
        "diagnostics.every_n_steps",
        "steps between two such lines",
        "10",
        needs={"ENABLE_ENCODER_DIAGNOSTICS": "1"},
    ),
    "FORCE_SINGLE_PROCESS": Alias("run.single_process", "safe mode: one process, one thread", "1"),
    "DEGENERACY_ABORT": Alias(
        "guard.action", "stop when the scores go flat", "1", becomes=("warn", "stop")
    ),
    "EXPORT_PREDICTIONS": Alias("run.export_predictions", "write the test days' predictions", "1"),
}


def alias_help() -> str:
    """The table, one line a name, for the help of a command.

    Example:
        >>> alias_help().splitlines()[0].split()
        ['LEARNING_RATE', 'training.learning_rate', 'peak', 'learning', 'rate']
    """
    return "\n".join(f"{n}  {a.path}  {a.meaning}" for n, a in ALIASES.items())
