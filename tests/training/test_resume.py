"""A run that was killed goes on as if nothing had happened."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from flatline.errors import ArtifactError, SettingsError
from flatline.training.run_folder import RunFolder
from training.toy import Toy
from training.victim import SETTINGS, Killer, train

HERE = Path(__file__).parent


class KilledError(Exception):
    """Stands for a kill that leaves this process alive."""


def kill():
    """End the training from within."""
    raise KilledError


def facts(result):
    """What must not depend on interruptions: all but the clock and the place."""
    return replace(result, seconds=0.0, run_dir=None, best_path=None)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What the run comes to when nobody interrupts it."""
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    model = Toy()
    torch.manual_seed(3)
    model = Toy()
    result = train(folder, model=model)
    return result, (folder / "metrics.csv").read_text(), model.state_dict()


def test_resumes_bit_for_bit_after_sigkill(tmp_path, undisturbed):
    """A process killed by SIGKILL in mid-epoch, resumed, logs the very same losses."""
    paths = os.pathsep.join([str(HERE.parents[1] / "src"), str(HERE.parent)])
    process = subprocess.run(  # noqa: S603 - our own interpreter and script
        [sys.executable, str(HERE / "victim.py"), str(tmp_path / "run"), "9"],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()[-2000:]
    torch.manual_seed(99)
    result = train(tmp_path / "run", resume=True)
    assert facts(result) == facts(undisturbed[0])
    assert (tmp_path / "run" / "metrics.csv").read_text() == undisturbed[1]


def test_the_run_has_something_to_forget(undisturbed):
    """The run to repeat meets plateaus and passes its best epoch: a lost count would show."""
    rates = {line.split(",")[3] for line in undisturbed[1].splitlines()[1:]} - {""}
    assert len(rates) > 1
    assert undisturbed[0].best_epoch not in (0, 4)


@pytest.mark.parametrize("step", [0, 1, 2, 5, 6, 7, 12, 13, 17, 24, 27])
def test_resumes_exactly_wherever_it_was_killed(tmp_path, undisturbed, step):
    """Killed before, at and after checkpoints and epoch ends, the run ends the same."""
    with pytest.raises(KilledError):
        train(tmp_path / "run", callbacks=[Killer(step, kill)])
    torch.manual_seed(3)
    model = Toy()
    result = train(tmp_path / "run", resume=True, model=model)
    assert facts(result) == facts(undisturbed[0])
    assert (tmp_path / "run" / "metrics.csv").read_text() == undisturbed[1]
    for name, value in undisturbed[2].items():
        assert torch.equal(value, model.state_dict()[name]), name


@pytest.mark.parametrize("epoch", [0, 2, 4])
def test_resumes_exactly_from_a_kill_in_validation(tmp_path, undisturbed, epoch):
    """Killed while it was validating, the run validates again and ends the same."""

    class KilledInValidation(Callback):
        def on_validation_batch_end(self, trainer, *args):
            if trainer.current_epoch == epoch:
                kill()

    with pytest.raises(KilledError):
        train(tmp_path / "run", callbacks=[KilledInValidation()])
    assert facts(train(tmp_path / "run", resume=True)) == facts(undisturbed[0])
    assert (tmp_path / "run" / "metrics.csv").read_text() == undisturbed[1]


@pytest.mark.parametrize(
    "budget", [{"patience": 1, "max_epochs": 30}, {"max_steps": 9}, {"max_steps": 8}], ids=str
)
def test_a_spent_budget_is_not_forgotten(tmp_path, monkeypatch, budget):
    """Killed between its last step and its end, a run ends as it would have: judged, and there."""
    short = SETTINGS.model_copy(update=budget)
    wanted = train(tmp_path / "whole", settings=short)
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "publish_best", lambda *_: kill())
        with pytest.raises(KilledError):
            train(tmp_path / "run", settings=short)
    result = train(tmp_path / "run", settings=short, resume=True)
    assert wanted.stopped == next(iter(budget))
    assert facts(result) == facts(wanted)
    for name in ("metrics.csv", "checkpoints/best.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_survives_several_kills(tmp_path, undisturbed):
    """Killed, resumed, killed again and resumed again, the run ends the same."""
    for step in (3, 4, 11):
        with pytest.raises(KilledError):
            train(tmp_path / "run", resume=True, callbacks=[Killer(step, kill)])
    assert facts(train(tmp_path / "run", resume=True)) == facts(undisturbed[0])
    assert (tmp_path / "run" / "metrics.csv").read_text() == undisturbed[1]


def test_a_finished_run_is_not_trained_again(tmp_path, undisturbed):
    """Resuming a finished run returns what it came to and loads its best weights."""
    train(tmp_path / "run")
    torch.manual_seed(8)
    model = Toy()
    assert facts(train(tmp_path / "run", resume=True, model=model)) == facts(undisturbed[0])
    assert torch.equal(model.head.linear.weight, undisturbed[2]["head.linear.weight"])


def test_more_epochs_go_on_from_the_end(tmp_path):
    """A finished run whose budget is raised goes on as the longer run would have."""
    constant = SETTINGS.model_copy(update={"max_epochs": 2})
    train(tmp_path / "run", settings=constant)
    assert facts(train(tmp_path / "run", resume=True)) == facts(train(tmp_path / "long"))


def test_more_steps_go_on_from_mid_epoch(tmp_path, undisturbed):
    """A run stopped by its steps in mid-epoch goes on from there when given more."""
    short = train(tmp_path / "run", settings=SETTINGS.model_copy(update={"max_steps": 9}))
    assert (short.steps, short.stopped) == (9, "max_steps")
    longer = train(tmp_path / "run", resume=True)
    assert facts(longer) == facts(undisturbed[0])


def test_a_second_run_needs_another_folder(tmp_path):
    """A folder that holds a run is refused, with the remedy."""
    train(tmp_path / "run")
    message = (
        f"run folder {tmp_path / 'run'} holds a run (finished), expected a folder without one. "
        "Resume it, or give another folder."
    )
    with pytest.raises(ArtifactError, match=f"^{re.escape(message)}$"):
        train(tmp_path / "run")


def test_other_files_are_left_alone(tmp_path):
    """A folder with somebody's files is no run folder, not even to resume."""
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ArtifactError, match="holds other files"):
        train(tmp_path, resume=True)


def test_other_settings_are_another_run(tmp_path):
    """Resuming with another learning rate is refused by name."""
    with pytest.raises(KilledError):
        train(tmp_path / "run", callbacks=[Killer(3, kill)])
    changed = SETTINGS.model_copy(update={"learning_rate": 0.5})
    with pytest.raises(SettingsError, match=r"^learning_rate is 0\.5, expected 0\.1 as in the"):
        train(tmp_path / "run", resume=True, settings=changed)


def test_another_model_cannot_resume(tmp_path):
    """A model of another width is refused, not half loaded."""
    with pytest.raises(KilledError):
        train(tmp_path / "run", callbacks=[Killer(3, kill)])
    with pytest.raises(ArtifactError, match="does not fit the model"):
        train(tmp_path / "run", resume=True, model=Toy(width=5))


def test_a_damaged_checkpoint_is_an_error(tmp_path):
    """Half a checkpoint is refused with one sentence."""
    with pytest.raises(KilledError):
        train(tmp_path / "run", callbacks=[Killer(3, kill)])
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(ArtifactError, match="cannot be read"):
        train(tmp_path / "run", resume=True)


def interrupt():
    """What Ctrl-C does."""
    raise KeyboardInterrupt


def test_an_interrupt_stays_one_and_can_be_resumed(tmp_path, undisturbed):
    """Ctrl-C reaches the caller as such, is on record, and works again afterwards."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", callbacks=[Killer(9, interrupt)])
    assert signal.getsignal(signal.SIGINT) is before
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "interrupted"
    assert facts(train(tmp_path / "run", resume=True)) == facts(undisturbed[0])
