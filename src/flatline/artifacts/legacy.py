"""Checkpoints from before the manifest: pickled `.pt` and `.ckpt` files, names as they were."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from flatline.artifacts.container import check_finite
from flatline.artifacts.fitting import put_in, refuse_misfit
from flatline.artifacts.output_names import horizon_of
from flatline.artifacts.pickles import read_pickled
from flatline.errors import ArtifactError

__all__ = ["BESIDE", "NESTS", "PREFIXES", "Legacy", "load_legacy", "present_name"]

# Where the weights lie in a file that holds more than them.
NESTS = ("state_dict", "model_state_dict", "model")
# What such files hold beside the weights.
BESIDE = frozenset(
    {
        "amp_scaling_state", "args", "best_epoch", "best_score", "best_val_loss", "callbacks",
        "config", "epoch", "global_step", "hparams_name", "hparams_type", "hyper_parameters",
        "loops", "loss", "lr_schedulers", "metrics", "native_amp_scaling_state", "optimizer",
        "optimizer_state_dict", "optimizer_states", "pytorch-lightning_version", "scaler",
        "scaler_state_dict", "scheduler", "scheduler_state_dict", "seed", "state", "step",
        "torch_version", "val_loss", "version",
    }
)  # fmt: skip
# What wrappers put in front of every name: DataParallel, LightningModule, torch.compile.
PREFIXES = ("module.", "model.", "_orig_mod.")


class Legacy(NamedTuple):
    """What an old checkpoint gives back.

    Args:
        model: In evaluation mode, on the CPU, in the precision it was saved in.
        names: The file's name of each tensor, by the model's.
        beside: What the file holds beside the weights, such as `epoch`.
    """

    model: nn.Module
    names: Mapping[str, str]
    beside: Mapping[str, object]


def load_legacy(path: Path, *, build: Callable[[], nn.Module]) -> Legacy:
    """Build a model and put the weights of an old checkpoint in, once all of it is in order.

    Nothing in the file is run. It has no manifest: that the features, their order and
    their normaliser are those it was trained with, nobody can check.

    Args:
        path: A file of `torch.save`, in the format of torch 1.6 and later or the one before.
        build: Makes the model, such as `experiment.model`. Called without memory first.

    Raises:
        ArtifactError: The file is missing or damaged, holds more than weights and plain
            values, has two or no sets of weights, or anything in it is left over.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp()) / "old.pt"
        >>> weights = {"module.head.point_horizon_5.weight": torch.ones(1, 2)}
        >>> torch.save({"state_dict": weights, "epoch": 3}, path)
        >>> def build():
        ...     heads = nn.ModuleDict({"5": nn.Linear(2, 1, bias=False)})
        ...     return nn.ModuleDict({"head": nn.ModuleDict({"horizons": heads})})
        >>> legacy = load_legacy(path, build=build)
        >>> legacy.names
        {'head.horizons.5.weight': 'module.head.point_horizon_5.weight'}
        >>> legacy.beside
        {'epoch': 3}
    """
    path, source = Path(path), f"checkpoint {path}"
    weights, beside = _weights(read_pickled(path), source)
    names: dict[str, str] = {}
    for old in weights:
        new = present_name(old)
        if new in names:
            raise ArtifactError(
                f"{source} has {names[new]} and {old}, expected one of them: both are {new} now. "
                "Remove the one that is not meant."
            )
        names[new] = old
    tensors = {new: weights[old] for new, old in names.items()}
    with torch.random.fork_rng(devices=[]):
        with torch.device("meta"):
            outline = build()
        refuse_misfit(tensors, outline.state_dict(), kind=type(outline).__name__, source=source)
        check_finite(tensors, source)
        model = build()
    put_in(model, tensors, source)
    return Legacy(model.eval(), names, beside)


def present_name(old: str) -> str:
    """What a tensor of an old checkpoint is called now.

    Example:
        >>> present_name("model._orig_mod.head.horizon_20d.linear.weight")
        'head.horizons.20.linear.weight'
    """
    stacked = "|".join(re.escape(prefix) for prefix in PREFIXES)
    bare = re.sub(f"^(?:{stacked})+", "", old)
    # Modules may have been compiled one by one.
    parts = [part for part in bare.split(".") if part != "_orig_mod"]
    horizons = [horizon_of(part) for part in parts]
    return ".".join(
        part if horizon is None else f"horizons.{horizon}"
        for part, horizon in zip(parts, horizons, strict=True)
    )


def _weights(loaded: object, source: str) -> tuple[dict[str, Tensor], dict[str, object]]:
    """The weights and what lies beside them."""
    top = _texts(loaded, source)
    nests = [name for name in NESTS if name in top]
    if any(isinstance(value, Tensor) for value in top.values()):
        # Bare weights. A stray epoch among them is left over, like anything else.
        found, beside = top, {}
    elif len(nests) == 1:
        found = _texts(top[nests[0]], source)
        beside = {name: value for name, value in top.items() if name != nests[0]}
    else:
        raise ArtifactError(
            f"{source} has keys {sorted(top)!s:.200}, expected one of {', '.join(NESTS)} or "
            "nothing but tensors. Save the state_dict alone."
        )
    strange = sorted(set(beside) - BESIDE) + [
        name for name, value in found.items() if not _is_plain(value)
    ]
    if strange:
        raise ArtifactError(
            f"{source} has {strange[0]!r:.100} left over, expected weights and what is known to "
            "lie beside them. Save the state_dict alone."
        )
    if not found:
        raise ArtifactError(f"{source} has no weights, expected some. Take another copy.")
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}, beside


def _texts(value: object, source: str) -> dict[str, object]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in dict.keys(value)):
        raise ArtifactError(
            f"{source} holds a {type(value).__name__}, expected names and their tensors. "
            "Save a state_dict."
        )
    # By the class: what a file says may have been put over an object's own methods.
    return dict(dict.items(value))


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )
