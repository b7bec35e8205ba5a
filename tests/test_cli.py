"""The command line as a user meets it: help, figures, one-line errors, exit codes."""

import json
import logging
import sys
from pathlib import Path

import polars as pl
import pytest

from flatline import cli
from flatline.harness import CHECKS, Culprit, Stage, Status, Verdict

LIGHT = [
    *("--set", "data.source.market=tiny"),
    *("--set", "data.lookback=12"),
    *("--set", "data.batch_rows=200"),
    *("--set", "model.hidden=8"),
    *("--set", "model.fan_top_k=1"),
    *("--set", "model.san_slices=3"),
]


@pytest.fixture
def flatline(monkeypatch, capsys, tmp_path):
    """Runs a command in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["flatline", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        return ended.value.code or 0, shown.out, shown.err

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short training through the command line."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        arguments = [*LIGHT, "--set", "training.max_epochs=1", "--run", str(folder)]
        patch.setattr(sys, "argv", ["flatline", "train", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert not ended.value.code
    return folder


@pytest.mark.parametrize("command", ["", *(command.__name__ for command in cli.COMMANDS)])
def test_help_says_what_a_command_does(flatline, command):
    """Every command explains itself, with exit code 0."""
    code, out, _ = flatline(*command.split(), "--help")
    assert code == 0
    assert "Usage" in out


def test_the_help_lists_the_shell_names(flatline):
    """Names people have in their shells can be looked up."""
    _, out, _ = flatline("train", "--help")
    assert "LEARNING_RATE" in out
    assert "EXPORT_PREDICTIONS" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["gate", "--sett", "x"], "No such option", id="unknown-option"),
        pytest.param(
            ["gate", "--set", "training.lerning_rate=1"],
            "Did you mean 'training.learning_rate'?",
            id="unknown-setting",
        ),
        pytest.param(["gate", "--data", "nowhere.parquet"], "nowhere.parquet", id="no-such-file"),
        pytest.param(["gate", "apexx"], "subject is 'apexx'", id="unknown-subject"),
        pytest.param(["gate", "no.module:subject"], "there is no module 'no'", id="no-module"),
        pytest.param(["gate", "json:dump"], "expected a Subject", id="no-subject"),
        pytest.param(
            ["gate", "mine:subject", "--set", "model.hidden=8"],
            "they would change nothing",
            id="settings-of-another",
        ),
        pytest.param(
            ["gate", "--only", "score_vary"], "Did you mean 'scores_vary'?", id="unknown-check"
        ),
        pytest.param(["checks", "degenerate"], "Did you mean 'degeneracy'?", id="unknown-layer"),
        pytest.param(["gate", "--precision", "fp8"], "precision is 'fp8'", id="precision"),
        pytest.param(["gate", "--device", "tpu"], "device is 'tpu'", id="unknown-device"),
        pytest.param(["train", "--settings", "none.toml"], "none.toml", id="no-settings-file"),
        pytest.param(["evaluate"], "Train with `flatline train`", id="no-run"),
        pytest.param(["evaluate", "--run", "missing"], "missing", id="no-such-run"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(flatline, arguments, says):
    """The message names what was wrong; there is no traceback."""
    code, out, err = flatline(*arguments)
    assert code == 2
    assert says in " ".join(err.split()).replace("│ ", "")
    assert "Traceback" not in err + out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["gate", "--stps", "3"], "No such option: --stps", id="option"),
        pytest.param(["gate", "--steps", "0"], "Invalid value for '--steps'", id="value"),
        pytest.param(["gaet"], "No such command 'gaet'", id="command"),
    ],
)
def test_a_usage_error_is_one_line(flatline, arguments, says):
    """What was wrong, and where the help is."""
    code, _, err = flatline(*arguments)
    assert code == 2
    assert err.startswith("flatline: ")
    assert says in err
    assert err.count("\n") == 1
    assert "--help`" in err


def test_a_file_that_cannot_be_written_is_one_line(flatline, monkeypatch):
    """No traceback where the system says no."""
    monkeypatch.setattr(sys.modules["flatline.cli.gate"], "_judge", lambda *_, **__: [])
    code, _, err = flatline("gate", *LIGHT, "--json", "/proc/none/verdicts.json")
    assert code == 2
    assert "flatline: " in err
    assert "Traceback" not in err


def test_a_model_that_died_is_a_failure_not_bad_input(flatline):
    """A training that the guard stops ends with exit code 1."""
    dead = [
        "--set",
        "guard.action=stop",
        "--set",
        "guard.patience=1",
        "--set",
        "guard.grace_steps=0",
    ]
    dead += ["--set", "model.head_init_std=1e-12", "--set", "guard.every_n_steps=1"]
    code, _, err = flatline("train", *LIGHT, *dead, "--run", "run")
    assert code == 1
    assert "flatline: " in err


def test_a_typo_in_the_environment_is_an_error(flatline, monkeypatch):
    """A long name that no setting has is refused, and the nearest is named."""
    monkeypatch.setenv("FLATLINE_TRAINING__LERNING_RATE", "1")
    code, _, err = flatline("gate")
    assert code == 2
    assert "FLATLINE_TRAINING__LEARNING_RATE" in err


@pytest.mark.parametrize(
    ("status", "code"), [(Status.PASS, 0), (Status.FAIL, 1), (Status.ERROR, 1)]
)
def test_the_gate_exits_by_its_verdicts(flatline, monkeypatch, status, code):
    """0 when all pass, 1 when one fails; the JSON holds every verdict as data."""
    culprit = Culprit(kind="module", path="head", evidence="0", remedy="Give it weights.")
    verdict = Verdict(
        check="c", stage=Stage.START, status=status, measured="m", value=1.0, culprit=culprit
    )
    monkeypatch.setattr("flatline.harness.judge", lambda *_: verdict)
    only = ["--only", "scores_vary", "--json", "verdicts.json"]
    found, out, _ = flatline("gate", *LIGHT, *only)
    assert found == code
    # What passed is counted; what did not is shown with its culprit.
    assert ("head" in out) == (status != Status.PASS)
    data = json.loads(Path("verdicts.json").read_text())
    assert data["false_alarm_rate"] == 0.0
    (subject,) = data["subjects"]
    assert subject["name"] == "atft_gat_fan"
    assert set(subject["verdicts"][0]) == {
        "check", "stage", "status", "value", "bound", "unit", "measured", "seconds",
        "false_alarm_rate", "hint", "culprit",
    }  # fmt: skip
    assert subject["verdicts"][0]["status"] == status


@pytest.mark.parametrize(
    ("arguments", "judged"),
    [
        pytest.param([], ["apex", "atft_gat_fan", "patchtst"], id="all-references"),
        pytest.param(["apex", "patchtst", "apex"], ["apex", "patchtst"], id="by-name"),
        pytest.param(["apex", "--set", "model.hidden=8"], ["apex"], id="by-name-with-settings"),
        pytest.param(["--set", "model.hidden=8"], ["atft_gat_fan"], id="one-setting"),
        pytest.param(["--settings", "one.toml"], ["patchtst"], id="by-its-model"),
    ],
)
def test_the_gate_judges_what_is_asked_for(flatline, monkeypatch, arguments, judged):
    """All references where nothing is said, else the one that is named; one table each."""
    Path("one.toml").write_text('[model]\nname = "patchtst"\n[loss.weights]\nmse = 1.0\n')
    module = sys.modules["flatline.cli.gate"]
    monkeypatch.setattr(module, "_judge", lambda *_, **__: [])
    code, out, _ = flatline("gate", *arguments, "--json", "verdicts.json")
    assert code == 0
    names = [one["name"] for one in json.loads(Path("verdicts.json").read_text())["subjects"]]
    assert names == judged
    assert all(f"{name}: 0 verdicts" in out for name in judged)


OWN_SUBJECT = """
import torch
import flatline as fl

batch = {"features": torch.randn(40, 3), "group_day": torch.arange(40) // 20}, torch.randn(40, 1)
broken = fl.Subject(
    name="my-ranker",
    model=lambda: torch.nn.Linear(3, 1),
    batches={"train": [batch], "valid": [batch]},
    loss=torch.nn.functional.mse_loss,
    scores=lambda outputs: outputs.point,
    call=lambda model, inputs: model(inputs["features"]),
)
def make():
    return broken
"""


@pytest.mark.parametrize("name", ["broken", "make"])
def test_a_subject_of_ones_own_is_judged_from_the_current_folder(flatline, monkeypatch, name):
    """A module beside which the command runs; its error says where it was raised."""
    Path("mine_gate.py").write_text(OWN_SUBJECT)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "mine_gate", raising=False)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    code, out, _ = flatline("gate", f"mine_gate:{name}", "--only", "scores_vary", "--steps", "1")
    assert code == 1
    assert "my-ranker: 1 verdict in" in out
    assert "1 verdict on 1 subject: 1 error;" in out
    assert "::error file=mine_gate.py,line=11,title=my-ranker-scores_vary::" in out


def test_the_checks_are_listed(flatline):
    """Every check stands in the catalogue with its layer, its cost and its rates."""
    code, out, _ = flatline("checks", "--json", "checks.json")
    assert code == 0
    assert all(check.id in out for check in CHECKS)
    listed = json.loads(Path("checks.json").read_text())["checks"]
    assert [row["id"] for row in listed] == [check.id for check in CHECKS]
    assert set(listed[0]) == {
        "id", "layer", "stage", "cost", "false_alarm_rate", "dead_passes", "needs", "says"
    }  # fmt: skip


def test_a_run_can_be_judged(flatline, trained):
    """The table has every horizon, and the model stands beside learners and oracle."""
    code, out, err = flatline("evaluate", "--run", trained, "--json", "judged.json")
    assert code == 0
    assert str(trained) in " ".join(err.split()).replace(" ", "")
    for word in ("RankIC", "SCALE", "calibration", "ridge", "boosted trees", "oracle"):
        assert word in out
    judged = json.loads(Path("judged.json").read_text())
    assert [row["horizon"] for row in judged["horizons"]] == [1, 5, 10, 20]


def test_a_run_can_be_backtested(flatline, trained):
    """The book that was asked for, beside the naive composite and the universe, and as JSON."""
    rules = ["--book", "top", "--top", "5", "--rebalance", "weekly", "--horizon", "5"]
    code, out, _ = flatline("backtest", "--run", trained, *rules, "--json", "books.json")
    assert code == 0
    for word in ("top 5 stocks, weekly", "Sortino", "naive composite", "universe", "sector"):
        assert word in out
    found = json.loads(Path("books.json").read_text())
    assert {row["horizon"] for row in found["figures"]} == {5}
    assert found["rules"] == {"book": "top", "top": 5.0, "rebalance": "weekly", "cost": 0.001}


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        (["--book", "tpo"], "Did you mean 'top'?"),
        (["--top", "5"], "top is 5.0 but changes nothing"),
        (["--cost", "-1"], "cost is -1.0, expected a fraction"),
        (["--predictions", "none.parquet"], "predictions are none.parquet, expected a Parquet"),
    ],
)
def test_a_backtest_that_makes_no_sense_is_one_line(flatline, trained, rules, says):
    """What is what, and what was expected, with exit code 2."""
    code, _, err = flatline("backtest", "--run", trained, *rules)
    assert code == 2
    assert says in " ".join(err.split())
    assert "Traceback" not in err


def test_a_second_run_into_the_same_folder_is_refused(flatline, trained):
    """Nothing is overwritten; the message says how to go on."""
    code, _, err = flatline("train", *LIGHT, "--run", trained)
    assert code == 2
    assert "Resume it" in " ".join(err.split())


def test_a_run_is_not_judged_on_other_data(flatline, trained, tmp_path):
    """Changed prices are noticed by their fingerprint."""
    settings = json.loads((trained / "settings.json").read_text())
    other = tmp_path / "run"
    other.mkdir()
    for name in ("run.json", "result.json", "checkpoint.safetensors"):
        (other / name).write_bytes((trained / name).read_bytes())
    settings["data"]["source"]["market_seed"] = 7
    (other / "settings.json").write_text(json.dumps(settings))
    code, _, err = flatline("evaluate", "--run", other)
    assert code == 2
    assert "fingerprint" in err


def test_predictions_are_exported_on_request(flatline, monkeypatch):
    """EXPORT_PREDICTIONS leaves one row per test date, stock and horizon, with the run's id."""
    monkeypatch.setenv("EXPORT_PREDICTIONS", "1")
    code, _, _ = flatline("train", *LIGHT, "--set", "training.max_epochs=1", "--run", "run")
    assert code == 0
    frame = pl.read_parquet("run/predictions.parquet")
    assert frame.select("date", "code", "horizon").is_unique().all()
    assert {"score", "target", "return", "q0.5", "run_id"} <= set(frame.columns)
    record = json.loads(Path("run/run.json").read_text())
    assert frame["run_id"].unique().to_list() == [record["id"]]


def test_diagnostics_can_be_grepped_from_standard_error(flatline, monkeypatch):
    """What the library logs is shown, a line each with its tag first, and not among the figures."""
    monkeypatch.setenv("ENABLE_ENCODER_DIAGNOSTICS", "1")
    monkeypatch.setenv("ENCODER_DIAG_EVERY", "1")
    code, out, err = flatline("train", *LIGHT, "--set", "training.max_steps=3")
    assert code == 0
    lines = [line for line in err.splitlines() if line.startswith("[encoder-diag] ")]
    assert [line.split()[1] for line in lines] == ["step=1", "step=2", "step=3"]
    assert all("where=encoder mean=" in line for line in lines)
    assert "[encoder-diag]" not in out
    assert "Epoch" not in out


def test_logging_is_left_as_it_was(flatline):
    """A command run inside another program takes its handler away again."""
    logger = logging.getLogger("flatline")
    before = list(logger.handlers), logger.level
    flatline("evaluate")
    assert (logger.handlers, logger.level) == before


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("import nothing_of_the_kind", "ModuleNotFoundError", id="import"),
        pytest.param(
            "import flatline as fl\nsubject = fl.Subject(score=1)", "TypeError", id="typo"
        ),
    ],
)
def test_a_module_that_raises_is_one_line(flatline, monkeypatch, text, says):
    """What is wrong with it stands there with its line, and is no failed verdict."""
    Path("mine_raises.py").write_text(text)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "mine_raises", raising=False)
    code, _, err = flatline("gate", "mine_raises:subject")
    assert code == 2
    assert f"subject 'mine_raises:subject' raises {says}" in err
    assert "mine_raises.py:" in err
