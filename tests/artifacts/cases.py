"""The models and files of the fixtures, for the tests of this room."""

import importlib.util
import sys
from functools import partial
from pathlib import Path

from flatline.artifacts import load_checkpoint, load_legacy
from flatline.models.registry import build_model

FIXTURES = Path(__file__).parents[2] / "fixtures"


def _script():
    spec = importlib.util.spec_from_file_location(
        "make_checkpoints", FIXTURES / "make_checkpoints.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


maker = _script()
build_atft = partial(build_model, maker.ATFT, **maker.SIZES)


def load(path):
    """The model of any checkpoint of the fixtures."""
    if path.suffix == ".safetensors":
        return load_checkpoint(path, build=build_model).model
    return load_legacy(path, build=build_atft).model
