"""Each name of the shell, in the environment, changes what it names in an assembled run.

The settings' own tests look at the tree and at single objects; these go through
`load_settings`, `assemble`, `train_run` and the command line, as a user does.
"""

import logging
import os
import subprocess
import sys
from collections import Counter

import pytest

from evaluation.light import LIGHT
from flatline import cli
from flatline.aliases import ALIASES
from flatline.batch import days_of
from flatline.errors import DegenerateError
from flatline.evaluation.experiment import assemble
from flatline.evaluation.run import train_run
from flatline.settings import load_settings
from flatline.training.seeds import seed_all

# Scores too small to differ that stay so, and a guard that looks at once.
DEAD = (
    "model.head_init_std=1e-30",
    "training.learning_rate=1e-30",
    "guard.every_n_steps=1",
    "guard.patience=1",
    "guard.grace_steps=0",
)
# Steps enough for those that are looked at by default.
LONG = ("data.batch_rows=100", "training.max_epochs=1")
# Values that show where the example of the help would not: no healthy gradient is so large.
LOUD = {"GAT_GRAD_THR": "1e9"}


def learned(experiment, folder):
    """Steps done and weights reached by a training."""
    model, result = train_run(experiment, folder / "run")
    return result.steps, [p.tolist() for p in model.parameters()]


def first_scores(experiment, folder):
    """Modules of a fresh model, and its scores of the first batch."""
    seed_all(0)
    model = experiment.model().eval()
    inputs, _ = next(iter(experiment.batches("valid")))
    return [name for name, _ in model.named_modules()], model(inputs).point.tolist()


def first_loss(experiment, folder):
    """Terms and total of the first batch of all validation days."""
    seed_all(0)
    inputs, labels = next(iter(experiment.batches("valid")))
    model = experiment.model().eval()
    days, stock = days_of(inputs), inputs["stock_id"]
    report = experiment.loss()(model(inputs), labels, days, stock_id=stock)
    return sorted(report.terms), report.total.item()


def batch_sizes(experiment, folder):
    """Rows of each training batch."""
    return [len(inputs["stock_id"]) for inputs, _ in experiment.batches("train")]


def edges(experiment, folder):
    """What batches say of edges."""
    inputs, _ = next(iter(experiment.batches("train")))
    return {name: inputs[name].shape for name in inputs if name.startswith("edge")}


def rebuilt(experiment, folder):
    """The day each day's graph was built on."""
    return [experiment.edges().rebuild_day(day) for day in range(len(experiment.panel.dates))]


def said(experiment, folder):
    """Tags of the lines that a training logs, and how many of each."""
    tags = Counter()
    listener = logging.Handler()
    listener.emit = lambda record: tags.update([record.getMessage().split()[0]])
    logger = logging.getLogger("flatline")
    level = logger.level
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    try:
        train_run(experiment, folder / "run")
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
    return tags


def ended(experiment, folder):
    """How a training of dead scores ends."""
    try:
        train_run(experiment, folder / "run")
    except DegenerateError:
        return "stopped"
    return "went on"


def threads(experiment, folder, *options):
    """Threads of torch and polars after a command of the command line."""
    command = ["flatline", "train", "--data", str(folder / "nowhere.parquet"), *options]
    code = (
        f"import sys; from flatline import cli; sys.argv = {command}\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "import polars, torch; print(torch.get_num_threads(), polars.thread_pool_size())"
    )
    many = {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "POLARS_MAX_THREADS": "2"}
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code],
        env={**os.environ, **many},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.split()[-2:]


def files(experiment, folder):
    """What `flatline train` leaves in the run folder."""
    with pytest.MonkeyPatch.context() as patch:
        arguments = ["--settings", str(folder / "light.toml"), "--run", str(folder / "run")]
        patch.setattr(sys, "argv", ["flatline", "train", *arguments])
        with pytest.raises(SystemExit):
            cli.main()
    return sorted(path.name for path in (folder / "run").glob("*.parquet"))


# Where each setting shows; a whole section where no longer path is named.
SHOWS = {
    "training": learned,
    "model": first_scores,
    "loss": first_loss,
    "data.batch_rows": batch_sizes,
    "data.graph.enabled": edges,
    "data.graph.rebuild_every": rebuilt,
    "guard": ended,
    "diagnostics": said,
    "run.single_process": threads,
    "run.export_predictions": files,
}
FURTHER = {ended: DEAD, said: LONG}


@pytest.fixture(scope="module")
def look(tmp_path_factory):
    """What shows of a setting in a run under some environment."""

    def fresh(path, environment):
        folder = tmp_path_factory.mktemp("wiring")
        file = folder / "light.toml"
        file.write_text(LIGHT)
        show = SHOWS.get(path) or SHOWS[path.split(".")[0]]
        with pytest.MonkeyPatch.context() as patch:
            for name in [n for n in os.environ if n in ALIASES or n.startswith("FLATLINE_")]:
                patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            settings = load_settings(file, overrides=FURTHER.get(show, ()))
            return show(assemble(settings), folder)

    return fresh


@pytest.fixture(scope="module")
def look_once(look):
    """The same, done once for all settings that show in the same place."""
    seen = {}

    def known(path, environment):
        key = (SHOWS.get(path) or SHOWS[path.split(".")[0]], *sorted(environment.items()))
        if key not in seen:
            seen[key] = look(path, environment)
        return seen[key]

    return known


@pytest.mark.parametrize("name", ALIASES)
def test_a_shell_name_changes_what_it_names(look, look_once, name):
    """The run shows the difference."""
    alias = ALIASES[name]
    needs = {other: LOUD.get(other, value) for other, value in alias.needs.items()}
    after = look(alias.path, {**needs, name: LOUD.get(name, alias.example)})
    assert after != look_once(alias.path, needs)


@pytest.mark.parametrize("path", SHOWS)
def test_what_is_looked_at_is_the_same_twice(look, look_once, path):
    """Nothing set, nothing changes: no difference above is one of chance."""
    assert look(path, {}) == look_once(path, {})


def test_safe_mode_may_be_asked_for_on_the_command_line(tmp_path):
    """The setting works wherever it is given, for it is read before torch and polars start."""
    assert threads(None, tmp_path, "--set", "run.single_process=true") == ["1", "1"]
