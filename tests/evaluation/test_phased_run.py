"""A run in phases from prices to a model, as a user starts it."""

import csv
import json

import pytest
from lightning.pytorch.callbacks import Callback
from safetensors.torch import load_file

from evaluation.light import LIGHT
from flatline.evaluation import run
from flatline.evaluation.experiment import assemble
from flatline.settings import load_settings

PHASES = """
checkpoint_every_n_steps = 1
ema_decay = 0.9
[[training.phases]]
name = "baseline"
off = ["graph", "adaptive_norm"]
max_epochs = 1
[[training.phases]]
name = "graph"
train = ["gat", "fusion", "head"]
[[training.phases]]
name = "fine-tuning"
learning_rate = 1e-4
max_epochs = 1
"""


class KilledError(Exception):
    """Stands for a kill that leaves this process alive."""


class KillsInSecondPhase(Callback):
    """Ends the training before the second step of the second epoch of phase `graph`."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        """Act, where it is due."""
        frozen = not any(p.requires_grad for p in pl_module.model.encoder.parameters())
        if frozen and trainer.current_epoch == 1 and batch_idx == 1:
            raise KilledError


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """The embedded market, a tiny model and three phases."""
    file = tmp_path_factory.mktemp("settings") / "phases.toml"
    file.write_text(LIGHT + PHASES)
    return assemble(load_settings(file, environ={}))


@pytest.fixture(scope="module")
def whole(experiment, tmp_path_factory):
    """The run that nobody interrupts."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return folder, *run.train_run(experiment, folder)


def test_the_run_goes_through_its_phases(whole):
    """One log, whose rows say of which phase they are."""
    folder, model, result = whole
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(dict.fromkeys(row["phase"] for row in rows)) == ["baseline", "graph", "fine-tuning"]
    assert [row["phase"] for row in result.history] == [1, 2, 2, 3]
    assert model.off == frozenset()
    assert all(p.requires_grad for p in model.parameters())


def test_the_phases_are_what_the_settings_say(whole):
    """The encoder stands still while the graph learns, and what is off does not learn."""
    folder = whole[0] / "checkpoints"
    first, second, best = (
        load_file(folder / f"{name}.safetensors") for name in ("phase_1", "phase_2", "best")
    )

    def moved(a, b):
        return {name.split(".")[0] for name in a if not a[name].equal(b[name])}

    assert moved(first, second) == {"gat", "fusion", "head"}
    assert moved(second, best) == {"encoder", "gat", "fusion", "head"}


def test_killed_in_its_second_phase_it_ends_with_equal_bytes(
    experiment, whole, tmp_path, monkeypatch
):
    """Weights and log are those of the run that nobody interrupted."""
    with monkeypatch.context() as patch:
        patch.setattr(run, "callbacks_of", lambda _: [KillsInSecondPhase()])
        with pytest.raises(KilledError):
            run.train_run(experiment, tmp_path / "run")
    run.train_run(experiment, tmp_path / "run", resume=True)
    own = {
        folder: json.loads((folder / "run.json").read_text())["id"].encode()
        for folder in (tmp_path / "run", whole[0])
    }
    for name in ("metrics.csv", "checkpoints/best.safetensors"):
        one, other = ((folder / name).read_bytes().replace(own[folder], b"") for folder in own)
        assert one == other


def test_the_recorded_settings_open_the_run(whole):
    """The phases are read back from the run's own settings, and the finished run is found."""
    experiment, model = run.open_run(whole[0])
    assert [phase.name for phase in experiment.settings.training.phases][1] == "graph"
    kept = load_file(whole[2].best_path)
    assert all(kept[name].equal(value) for name, value in model.state_dict().items())
