"""A small experiment on the embedded market, and a run trained on it, shared by the tests here."""

import pytest

from evaluation.light import LIGHT
from flatline.evaluation.experiment import assemble
from flatline.evaluation.run import train_run
from flatline.settings import load_settings


@pytest.fixture(scope="session")
def experiment(tmp_path_factory):
    """The embedded market, tiny, with a model of a few numbers."""
    file = tmp_path_factory.mktemp("light") / "light.toml"
    file.write_text(LIGHT)
    return assemble(load_settings(file, environ={}))


@pytest.fixture(scope="session")
def trained(experiment, tmp_path_factory):
    """The folder of a finished run, and its model in memory."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    model, result = train_run(experiment, folder)
    assert result.best_epoch is not None
    return folder, model
