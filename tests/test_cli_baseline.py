"""`flatline baseline` writes what the gate compares with, for one's own subject."""

import sys

import pytest

from flatline import cli
from flatline.harness.baselines import read_baseline

MODULE = """
import torch
import flatline as fl

draw = torch.Generator().manual_seed(0)
x = [torch.randn(20, 3, generator=draw) for _ in range(4)]
days = [({"features": f, "day": torch.full((20,), i)}, f[:, :1] * 0.5) for i, f in enumerate(x)]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(3, 1)

    def forward(self, inputs):
        return self.head(inputs["features"])


subject = fl.Subject(
    name="mine", model=Net, batches={"train": days, "valid": days},
    loss=torch.nn.functional.mse_loss, scores=lambda outputs: outputs, baseline="kept/mine.json",
)
bare = fl.Subject(
    name="bare", model=Net, batches={"train": days, "valid": days},
    loss=torch.nn.functional.mse_loss, scores=lambda outputs: outputs,
)
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command in a folder with a module of subjects; its exit code and what it says."""
    (tmp_path / "baseline_subjects.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "baseline_subjects", None)
    del sys.modules["baseline_subjects"]

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["flatline", *arguments])
        with pytest.raises(SystemExit) as exit_code:
            cli.main()
        said = capsys.readouterr()
        return exit_code.value.code, said.out + said.err

    return command


def test_a_baseline_is_written_and_kept(run, tmp_path):
    """The file that the subject declares, in the folder that the command runs in."""
    code, said = run("gate", "baseline_subjects:subject", "--only", "baseline", "--steps", "5")
    assert code == 1
    assert "--flatline-baseline-update" in said
    code, said = run("baseline", "baseline_subjects:subject", "--steps", "5", "--seeds", "4")
    assert code == 0
    assert "baseline written: kept/mine.json" in said
    assert read_baseline(tmp_path / "kept" / "mine.json").seeds == 4
    code, _ = run("gate", "baseline_subjects:subject", "--only", "baseline", "--steps", "5")
    assert code == 0


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        pytest.param(
            "baseline_subjects:bare", "baseline of subject 'bare' is not declared", id="undeclared"
        ),
        pytest.param("patch_tst", "Did you mean 'patchtst'?", id="typo"),
    ],
)  # fmt: skip
def test_what_has_no_baseline_is_refused_with_the_remedy(run, subject, message):
    """One sentence, and exit code 2."""
    code, said = run("baseline", subject, "--steps", "2")
    assert code == 2
    assert message in " ".join(said.split())
