"""A sweep compares trials fairly, refuses flat ones, and goes on where it was killed."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from evaluation.light import LIGHT
from evaluation.series import series_settings
from evaluation.tasks import in_process
from flatline import cli
from flatline.errors import SettingsError
from flatline.evaluation.jobs import run_processes
from flatline.evaluation.sweep import search as sweep
from flatline.evaluation.sweep.search import run_sweep
from flatline.evaluation.sweep.space import read_space
from flatline.evaluation.sweep.trial import Epochs, objective, open_study
from flatline.evaluation.toml import settings_as_toml
from flatline.settings import load_settings
from flatline.training.validation import Validation

optuna = pytest.importorskip("optuna")

SPACE = """
"training.learning_rate" = {low = 1e-4, high = 1e-2, log = true}
model.hidden = {choices = [4, 8]}
"""
SHORT = ["training.max_epochs=1"]
# Scores too small to differ that stay so, or those of a healthy model.
FLAT = """
model.head_init_std = {choices = [1e-30, 0.02]}
"""
STAY = [*SHORT, "training.learning_rate=1e-30"]


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    """No processes, but where a test asks for them."""
    monkeypatch.setattr(sweep, "run_processes", in_process)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The settings of these tests."""
    file = tmp_path_factory.mktemp("sweep") / "light.toml"
    file.write_text(LIGHT)
    return file


def settings_of(file, *overrides):
    """The settings of the file, and these."""
    return load_settings(file, environ={}, overrides=overrides)


@pytest.fixture
def space_of(tmp_path):
    """Reads a space."""

    def read(text):
        file = tmp_path / "space.toml"
        file.write_text(text)
        return read_space(file)

    return read


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '"training.lerning_rate" = {low = 1, high = 2}',
            "Did you mean 'training.learning_rate'",
        ),
        ("training.max_epochs = {low = 3, high = 3}", "goes from 3 to 3, expected a low end below"),
        ("training.max_epochs = {low = 3}", "has low 3 and high None, expected two numbers"),
        ("training.max_epochs = {low = 'a', high = 3}", "has low 'a' and high 3, expected two"),
        ("training.max_epochs = {lo = 1, high = 3}", "has lo, expected one of"),
        ("training.max_epochs = {low = 0, high = 3, log = true}", "is logarithmic from 0"),
        ("training.max_epochs = {low = 1, high = 3, step = 5}", "has step 5, expected a positive"),
        ("training.max_epochs = {choices = []}", r"has choices \[\] and 0 further entries"),
        ("training.max_epochs = {choices = [1], low = 2}", "and 1 further entries"),
        ("training.max_epochs = 3", "is 3, expected a range such as"),
        ("data.horizons = {choices = [[1], [5]]}", "data.horizons is to vary, expected it fixed"),
        ("data.split.valid = {low = 0.1, high = 0.2}", "data.split.valid is to vary"),
        ("", "has 0 settings, expected at least one"),
        ("training.max_epochs = {", "cannot be read"),
    ],
)
def test_a_space_that_makes_no_sense_is_one_sentence(space_of, text, says):
    """It names the setting, what is wrong and what to write."""
    with pytest.raises(SettingsError, match=says):
        space_of(text)


def test_ends_that_are_no_settings_are_refused_before_any_training(space_of):
    """Out of the setting's own range, or idle beside the others."""
    with pytest.raises(SettingsError, match=r"^training\.learning_rate is '-1\.0', expected"):
        space_of("training.learning_rate = {low = -1.0, high = 1.0}").check(None)
    with pytest.raises(SettingsError, match=r"plateau_factor is '?0\.1'? but changes nothing"):
        space_of("training.plateau_factor = {low = 0.1, high = 0.9}").check(None)


def test_each_kind_of_dimension_stays_within_what_was_written(space_of):
    """Whole numbers with a step, fractions, logarithms, choices that are lists."""
    space = space_of(
        """
        data.lookback = {low = 8, high = 20, step = 4}
        training.weight_decay = {low = 0.0, high = 0.5}
        training.learning_rate = {low = 1e-5, high = 1e-1, log = true}
        training.betas = {choices = [[0.9, 0.99], [0.8, 0.9]]}
        model.head_variant = {choices = ["gated", "apex"]}
        """
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = []
    for _ in range(60):
        trial = study.ask()
        drawn.append({one.name: one.draw(trial) for one in space.dimensions})
        study.tell(trial, 0.0)
        space.settings(None, drawn[-1], environ={})
    assert {one["data.lookback"] for one in drawn} == {8, 12, 16, 20}
    assert all(0 <= one["training.weight_decay"] <= 0.5 for one in drawn)
    rates = np.log10([one["training.learning_rate"] for one in drawn])
    assert -5 <= rates.min() < -4 < -2 < rates.max() <= -1
    assert {str(one["training.betas"]) for one in drawn} == {"[0.9, 0.99]", "[0.8, 0.9]"}
    assert {one["model.head_variant"] for one in drawn} == {"gated", "apex"}


def test_a_day_without_a_rank_ic_counts_as_one_without_skill():
    """The mean over all labelled days, with 0 where it is undefined; None for flat scores."""
    per_day = np.array([[0.1, 0.2], [0.3, np.nan], [-0.1, 0.4], [0.2, np.nan]])
    seen = Validation(
        rank_ic=tuple(np.nanmean(per_day, 0).tolist()),
        defined_share=tuple(np.isfinite(per_day).mean(0).tolist()),
        spread=(1.0, 1.0),
        loss=0.0,
        days=4,
    )
    assert objective(seen, min_defined_share=0.5) == pytest.approx(np.nan_to_num(per_day).mean())
    assert objective(seen, min_defined_share=0.6) is None
    flat = Validation((0.9,), (1.0,), (0.0,), loss=0.0, days=4, flat=("constant",))
    assert objective(flat, min_defined_share=0.5) is None
    series = Validation((0.9,), (1.0,), (1.0,), loss=0.7, days=4, single=True)
    assert objective(series, min_defined_share=0.5) == -0.7


def test_a_sweep_leaves_the_best_settings(file, space_of, tmp_path, monkeypatch, capsys):
    """The command prints the best trial; its file gives `train` the settings of that trial."""
    space_of(SPACE)
    out = tmp_path / "sweep"
    arguments = ["--space", str(tmp_path / "space.toml"), "--out", str(out), "--trials", "3"]
    command = ["sweep", "--settings", str(file), *arguments, "--set", *SHORT]
    monkeypatch.setattr(sys, "argv", ["flatline", *command])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    table = pl.read_csv(out / "trials.csv")
    assert table["status"].to_list() == ["complete"] * 3
    best = table.row(int(table["value"].arg_max()), named=True)
    shown = capsys.readouterr().out
    assert f"best: trial {best['number']}, validation score {best['value']:.4f}" in shown
    found = load_settings(out / "best.toml", environ={})
    values = {"training.learning_rate": best["training.learning_rate"]} | {
        "model.hidden": best["model.hidden"]
    }
    assert found == read_space(tmp_path / "space.toml").settings(
        file, values, overrides=SHORT, environ={}
    )
    run = load_settings(out / "trials" / f"{best['number']:03d}" / "settings.json", environ={})
    assert (run.training.learning_rate, run.model.hidden) == (
        found.training.learning_rate,
        found.model.hidden,
    )


def test_a_sweep_goes_on_to_so_many_trials(file, space_of, tmp_path):
    """Those that are there count; what was killed is drawn again with the same values."""
    space, settings = space_of(SPACE), settings_of(file, *SHORT)
    first = run_sweep(settings, space, tmp_path / "sweep", trials=1)
    study = open_study(f"sqlite:///{tmp_path / 'sweep' / 'sweep.db'}", pruner="median", seed=9)
    killed = study.ask()
    values = {one.name: one.draw(killed) for one in space.dimensions}
    found = run_sweep(settings, space, tmp_path / "sweep", trials=3)
    assert [row.status for row in found.rows] == ["complete", "killed", "complete", "complete"]
    assert found.rows[0] == first.rows[0]
    assert found.rows[2].values == found.rows[1].values == values
    assert run_sweep(settings, space, tmp_path / "sweep", trials=3).rows == found.rows


def test_flat_trials_are_never_the_best(file, space_of, tmp_path):
    """Recorded with the kind; the healthy one of the two is the best, whatever its RankIC."""
    space, settings = space_of(FLAT), settings_of(file, *STAY)
    folder = tmp_path / "sweep"
    run_sweep(settings, space, folder, trials=1)
    study = open_study(f"sqlite:///{folder / 'sweep.db'}", pruner="median", seed=0)
    for value in ("1e-30", "0.02"):
        study.enqueue_trial({"model.head_init_std": value})
    found = run_sweep(settings, space, folder, trials=3)
    flat = [row for row in found.rows if row.values["model.head_init_std"] == 1e-30]
    assert len(flat) >= 1
    for row in flat:
        assert (row.status, row.value) == ("degenerate", None)
        assert "vanished scale" in row.flat
        assert study.trials[row.number].user_attrs["flat"] == list(row.flat)
    assert found.best.values["model.head_init_std"] == 0.02
    assert load_settings(found.best_file, environ={}).model.head_init_std == 0.02


def test_a_sweep_of_flat_trials_has_no_best(file, space_of, tmp_path, monkeypatch, capsys):
    """Stopped by the guard or not: exit code 1, a sentence, no best.toml."""
    space_of('guard.action = {choices = ["stop", "warn"]}')
    out, dead = tmp_path / "sweep", [*STAY, "model.head_init_std=1e-30"]
    dead += ["guard.every_n_steps=1", "guard.patience=1", "guard.grace_steps=0"]
    options = [part for text in dead for part in ("--set", text)]
    arguments = ["--space", str(tmp_path / "space.toml"), "--out", str(out), "--trials", "3"]
    monkeypatch.setattr(
        sys, "argv", ["flatline", "sweep", "--settings", str(file), *arguments, *options]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    shown = capsys.readouterr()
    assert shown.out.count("degenerate: vanished scale") == 3
    assert "no trial has a score" in shown.err
    assert not (out / "best.toml").exists()


class Watched:
    """Lightning's trainer, as far as the callback knows it."""

    should_stop = False


def test_a_hopeless_trial_is_ended_at_its_epoch(monkeypatch):
    """As soon as the study says so; a flat epoch is no report."""
    study = optuna.create_study(
        direction="maximize", pruner=optuna.pruners.ThresholdPruner(lower=0.02)
    )
    monkeypatch.setattr("flatline.evaluation.sweep.trial.Trainee", SimpleNamespace)
    epochs, trainer = Epochs(study.ask(), min_defined_share=0.5), Watched()
    trainee = SimpleNamespace(stopped="max_epochs", validation=None)
    epochs.on_validation_end(trainer, trainee)
    for rank_ic, flat in ((0.9, ("constant",)), (0.05, ()), (0.03, ())):
        trainee.validation = Validation((rank_ic,), (1.0,), (1.0,), 0.0, 9, flat=flat)
        epochs.on_validation_end(trainer, trainee)
    assert not trainer.should_stop
    assert (epochs.value, epochs.flat) == (0.05, ("constant",))
    trainee.validation = Validation((0.01,), (1.0,), (1.0,), 0.0, 9)
    epochs.on_validation_end(trainer, trainee)
    assert (trainer.should_stop, trainee.stopped, epochs.pruned) == (True, "pruned", True)
    assert study.trials[0].intermediate_values == {2: 0.05, 3: 0.03, 4: 0.01}


def test_a_pruned_trial_ends_early_and_is_not_the_best(file, space_of, tmp_path, monkeypatch):
    """One epoch of the many that were asked for."""
    always = optuna.pruners.ThresholdPruner(lower=10.0)
    monkeypatch.setattr(optuna.pruners, "MedianPruner", lambda **_: always)
    settings = settings_of(file, "training.max_epochs=30")
    found = run_sweep(settings, space_of(SPACE), tmp_path / "sweep", trials=1)
    (row,) = found.rows
    assert (row.status, row.value, row.best_epoch, found.best) == ("pruned", None, 0, None)
    result = json.loads((tmp_path / "sweep" / "trials" / "000" / "result.json").read_text())
    assert (result["stopped"], len(result["history"])) == ("pruned", 1)


PHASES = """
[[training.phases]]
name = "a"
off = ["graph"]
[[training.phases]]
name = "b"
max_epochs = 1
"""


def test_the_value_of_a_phased_trial_is_that_of_its_last_phase(monkeypatch):
    """However well the weights of an earlier phase did: they are not what the run keeps."""
    monkeypatch.setattr("flatline.evaluation.sweep.trial.Trainee", SimpleNamespace)
    study = optuna.create_study(direction="maximize")
    epochs, trainer = Epochs(study.ask(), min_defined_share=0.5), Watched()
    trainee = SimpleNamespace(stopped="max_epochs", validation=None)
    for phase in ((0.05, 0.04), (0.02, 0.03)):
        epochs.on_train_start(trainer, trainee)
        assert epochs.value is None
        for rank_ic in phase:
            trainee.validation = Validation((rank_ic,), (1.0,), (1.0,), 0.0, 9)
            epochs.on_validation_end(trainer, trainee)
        assert epochs.value == max(phase)
    assert not trainer.should_stop


def test_a_phased_trial_that_is_pruned_begins_no_further_phase(
    file, space_of, tmp_path, monkeypatch
):
    """One epoch of the first of two phases."""
    always = optuna.pruners.ThresholdPruner(lower=10.0)
    monkeypatch.setattr(optuna.pruners, "MedianPruner", lambda **_: always)
    phased = tmp_path / "phased.toml"
    phased.write_text(file.read_text() + PHASES)
    found = run_sweep(settings_of(phased), space_of(SPACE), tmp_path / "sweep", trials=1)
    result = json.loads((tmp_path / "sweep" / "trials" / "000" / "result.json").read_text())
    assert found.rows[0].status == "pruned"
    assert (result["stopped"], len(result["history"])) == ("pruned", 1)


def test_a_database_of_another_sweep_is_refused(file, space_of, tmp_path):
    """Its trials had other settings; the same sweep in another folder may share them."""
    url, space = f"sqlite:///{tmp_path / 'shared.db'}", space_of(SPACE)
    settings = settings_of(file, *SHORT)
    run_sweep(settings, space, tmp_path / "a", trials=1, storage=url)
    with pytest.raises(SettingsError, match=r"shared.db' holds a sweep with fingerprint"):
        run_sweep(settings_of(file), space, tmp_path / "b", trials=2, storage=url)
    assert len(run_sweep(settings, space, tmp_path / "c", trials=1, storage=url).rows) == 1


def test_losses_of_different_kinds_are_not_compared(space_of, tmp_path):
    """Trials on a single series are compared on their loss, which must not vary."""
    space = space_of("loss.bce_pos_weight = {low = 1.0, high = 2.0}")
    with pytest.raises(SettingsError, match=r"^loss\.bce_pos_weight is to vary, expected it fixed"):
        run_sweep(series_settings(tmp_path), space, tmp_path / "sweep", trials=1)
    assert not (tmp_path / "sweep").exists()


def test_another_sweep_is_refused(file, space_of, tmp_path):
    """Of another space, or with other settings: the difference is named."""
    space, settings = space_of(SPACE), settings_of(file, *SHORT)
    run_sweep(settings, space, tmp_path / "sweep", trials=1)
    wider = space_of(SPACE.replace("1e-2", "1e-1"))
    with pytest.raises(SettingsError, match="as in the sweep in"):
        run_sweep(settings, wider, tmp_path / "sweep", trials=2)
    with pytest.raises(
        SettingsError, match=r"training\.max_epochs is 2, expected 1 as in the sweep"
    ):
        run_sweep(settings_of(file), space, tmp_path / "sweep", trials=2)


def test_a_missing_optuna_is_one_sentence(monkeypatch):
    """It says what to install."""
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(
        SettingsError, match=r"^optuna is not installed.* Install flatline\[sweep\]"
    ):
        open_study("sqlite://", pruner="median", seed=0)


def test_a_database_that_cannot_be_reached_is_one_sentence(tmp_path):
    """It names the storage."""
    with pytest.raises(SettingsError, match="expected a database that can be reached"):
        open_study(f"sqlite:///{tmp_path}/none/there.db", pruner="median", seed=0)
    with pytest.raises(SettingsError, match="pruner is 'medain', expected one of"):
        open_study("sqlite://", pruner="medain", seed=0)


def test_processes_share_one_database(file, space_of, tmp_path, monkeypatch):
    """Two trials at a time, each in its own process, both recorded."""
    monkeypatch.setattr(sweep, "run_processes", run_processes)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    settings = settings_of(file, *SHORT)
    found = run_sweep(settings, space_of(SPACE), tmp_path / "sweep", trials=2, jobs=2)
    assert [row.status for row in found.rows] == ["complete", "complete"]
    assert found.rows[0].values != found.rows[1].values


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["model.name=patchtst", "training.betas=0.8,0.9", "data.levels="],
        [
            "loss.weights.mse=1",
            "loss.weights.ic=0",
            "data.horizons=3",
            "guard.action=reinit",
            "guard.heads=a,b",
        ],
        ['data.source.prices=["a \\"b\\".csv", "ü.csv"]', "training.max_seconds=2.5"],
        ["data.windows.step=5", "training.patience=none", "data.graph.enabled=false"],
    ],
)
def test_settings_survive_as_toml(tmp_path, overrides):
    """What differs from the defaults is enough to get the same settings back."""
    settings = load_settings(environ={}, overrides=overrides)
    file = tmp_path / "settings.toml"
    file.write_text(settings_as_toml(settings, heading="of a test"), encoding="utf-8")
    assert load_settings(file, environ={}) == settings
