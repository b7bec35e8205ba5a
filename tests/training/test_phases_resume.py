"""A run in phases that was killed in any of them goes on as if nothing had happened."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from flatline.errors import ArtifactError, SettingsError
from flatline.training import DegeneracyGuard, GuardSettings
from flatline.training.run_folder import RunFolder
from training.phased import PHASED, KillerOf, Parted, fresh, train

HERE = Path(__file__).parent


class KilledError(Exception):
    """Stands for a kill that leaves this process alive."""


def kill(*_args, **_facts):
    """End the training from within."""
    raise KilledError


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What the run comes to when nobody interrupts it."""
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    model = fresh()
    return folder, train(folder, model=model), model.state_dict()


def same(result, folder, undisturbed):
    """Refuse a run that differs from the undisturbed one in anything but the clock."""
    whole, wanted, _ = undisturbed
    hidden = {"seconds": 0.0, "run_dir": None, "best_path": None}
    assert replace(result, **hidden) == replace(wanted, **hidden)
    files = (
        "metrics.csv",
        *(f"checkpoints/{n}.safetensors" for n in ("best", "phase_1", "phase_2")),
    )
    for name in files:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name


# Phases end after 12, 18 and 30 steps; checkpoints lie after every fourth step of a phase.
@pytest.mark.parametrize("step", [3, 11, 12, 13, 15, 16, 17, 18, 20, 22, 23, 25, 29])
def test_resumes_exactly_wherever_it_was_killed(tmp_path, undisturbed, step):
    """Killed in any phase, before, at and after its checkpoints, it ends with equal bytes."""
    with pytest.raises(KilledError):
        train(tmp_path / "run", callbacks=[KillerOf(step, kill)])
    model = fresh()
    torch.manual_seed(99)
    result = train(tmp_path / "run", resume=True, model=model)
    same(result, tmp_path / "run", undisturbed)
    for name, value in undisturbed[2].items():
        assert torch.equal(value, model.state_dict()[name]), name


def test_resumes_exactly_after_sigkill_in_the_second_phase(tmp_path, undisturbed):
    """A process killed by SIGKILL in the middle of it, resumed in another one."""
    paths = os.pathsep.join([str(HERE.parents[1] / "src"), str(HERE.parent)])
    process = subprocess.run(  # noqa: S603 - our own interpreter and script
        [sys.executable, str(HERE / "phased.py"), str(tmp_path / "run"), "17"],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()[-2000:]
    same(train(tmp_path / "run", resume=True), tmp_path / "run", undisturbed)


@pytest.mark.parametrize("phase", [1, 2, 3])
def test_resumes_exactly_from_a_kill_in_validation(tmp_path, undisturbed, phase):
    """Killed while it judged, it judges again."""

    class KilledInValidation(Callback):
        def on_validation_batch_end(self, trainer, *args):
            rows = json.loads((tmp_path / "run" / "run.json").read_text()).get("phases", [])
            if len(rows) == phase - 1:
                kill()

    with pytest.raises(KilledError):
        train(tmp_path / "run", callbacks=[KilledInValidation()])
    same(train(tmp_path / "run", resume=True), tmp_path / "run", undisturbed)


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("flatline.training.fitting.save_weights", "before the weights of a phase are written"),
        ("flatline.training.run_folder.RunFolder.end_phase", "before its end is on record"),
        ("shutil.rmtree", "before its checkpoints are removed"),
        ("flatline.training.run_folder.RunFolder.publish_best", "before the best is published"),
        ("flatline.training.run_folder.RunFolder.finish", "before the run's end is on record"),
    ],
)
def test_resumes_exactly_from_between_two_phases(tmp_path, undisturbed, monkeypatch, where, what):
    """Killed at any moment between the end of one phase and the start of the next."""
    with monkeypatch.context() as patch:
        patch.setattr(where, kill)
        with pytest.raises(KilledError):
            train(tmp_path / "run")
    same(train(tmp_path / "run", resume=True), tmp_path / "run", undisturbed)


def test_resumes_exactly_where_a_phase_ends_within_an_epoch(tmp_path, monkeypatch):
    """The next phase begins a new pass over the days, killed or not."""
    first = PHASED.phases[0].changed(max_steps=8)
    short = PHASED.changed(phases=(first, *PHASED.phases[1:]))
    whole = tmp_path / "whole"
    undisturbed = whole, train(whole, settings=short), None
    assert [row["step"] for row in undisturbed[1].history] == [6, 8, 14, 20, 26]
    assert [row["epoch"] for row in undisturbed[1].history] == [0, 1, 2, 3, 4]
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "end_phase", kill)
        with pytest.raises(KilledError):
            train(tmp_path / "run", settings=short)
    with pytest.raises(KilledError):
        train(tmp_path / "run", settings=short, resume=True, callbacks=[KillerOf(9, kill)])
    same(train(tmp_path / "run", settings=short, resume=True), tmp_path / "run", undisturbed)


def test_survives_several_kills(tmp_path, undisturbed):
    """Killed in each phase, and resumed each time, it ends the same."""
    for step in (5, 9, 14, 19, 27):
        with pytest.raises(KilledError):
            train(tmp_path / "run", resume=True, callbacks=[KillerOf(step, kill)])
    same(train(tmp_path / "run", resume=True), tmp_path / "run", undisturbed)


def test_forgotten_weights_would_show(tmp_path, undisturbed):
    """A phase that starts from other weights ends elsewhere: the tests above can fail."""
    with pytest.raises(KilledError):
        train(tmp_path / "run", callbacks=[KillerOf(13, kill)])
    weights = RunFolder(tmp_path / "run", resumable=True).phase_weights(1)
    shutil.copy(undisturbed[0] / "checkpoints" / "phase_2.safetensors", weights)
    result = train(tmp_path / "run", resume=True)
    assert result.history[-1] != undisturbed[1].history[-1]


def test_a_watched_run_resumes_exactly(tmp_path, undisturbed):
    """The guard's counts are those of the phase, before and after a kill."""
    settings = GuardSettings(every_n_steps=2)
    with pytest.raises(KilledError):
        train(tmp_path / "run", callbacks=[DegeneracyGuard(settings), KillerOf(21, kill)])
    result = train(tmp_path / "run", resume=True, callbacks=[DegeneracyGuard(settings)])
    same(result, tmp_path / "run", undisturbed)


def test_a_killed_run_has_no_best_yet(tmp_path):
    """What an early phase came to is not passed off as what the run did."""
    with pytest.raises(KilledError):
        train(tmp_path / "run", callbacks=[KillerOf(20, kill)])
    assert not RunFolder(tmp_path / "run", resumable=False).best.exists()


def test_a_finished_run_is_not_trained_again(tmp_path, undisturbed):
    """Resumed, it gives what it came to and its best weights."""
    folder = tmp_path / "run"
    shutil.copytree(undisturbed[0], folder)
    torch.manual_seed(8)
    model = Parted()
    same(train(folder, resume=True, model=model), folder, undisturbed)
    assert torch.equal(model.head.linear.weight, undisturbed[2]["head.linear.weight"])


@pytest.mark.parametrize(
    "change",
    [
        {"phases": PHASED.phases[:1] + PHASED.phases[2:]},
        {"max_steps": 9},
        {"patience": 3},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_phases_or_budgets_are_another_run(tmp_path, change):
    """Phases that are over have had their settings: none may change."""
    with pytest.raises(KilledError):
        train(tmp_path / "run", callbacks=[KillerOf(14, kill)])
    name = next(iter(change))
    with pytest.raises(SettingsError, match=f"^{name} is .* as in the run to resume"):
        train(tmp_path / "run", resume=True, settings=PHASED.model_copy(update=change))


def test_lost_weights_of_a_phase_are_an_error(tmp_path):
    """Without what a phase starts from the run does not go on from somewhere else."""
    with pytest.raises(KilledError):
        train(tmp_path / "run", callbacks=[KillerOf(14, kill)])
    (tmp_path / "run" / "checkpoints" / "phase_1.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"phase_1\.safetensors"):
        train(tmp_path / "run", resume=True)


def test_an_interrupt_in_a_phase_can_be_resumed(tmp_path, undisturbed):
    """Ctrl-C is on record, and the model is as it was outside the phase."""

    def interrupt():
        raise KeyboardInterrupt

    model = fresh()
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", callbacks=[KillerOf(15, interrupt)], model=model)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "interrupted"
    assert all(p.requires_grad for p in model.parameters())
    same(train(tmp_path / "run", resume=True), tmp_path / "run", undisturbed)
