"""A run on a single series: trained and judged by the commands that any run is."""

import json
import sys

import pytest

from evaluation.series import SERIES, series_settings
from flatline import cli
from flatline.data.series_market import SeriesMarket
from flatline.errors import SettingsError
from flatline.evaluation.experiment import assemble
from flatline.evaluation.series.judge import judge_series


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder, and what `flatline train` said."""
    folder = tmp_path_factory.mktemp("series")
    (folder / "series.toml").write_text(SERIES)
    command("train", "--settings", folder / "series.toml", "--run", folder / "run")
    return folder / "run"


def command(*arguments):
    """Run a command that must succeed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["flatline", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert ended.value.code == 0


def test_epochs_of_a_series_are_chosen_by_their_loss(run):
    """The best epoch is the one with the lowest validation loss."""
    result = json.loads((run / "result.json").read_text())
    losses = [row["valid/loss"] for row in result["history"]]
    assert result["best_epoch"] == losses.index(min(losses))
    assert -result["best_score"] == pytest.approx(min(losses))


def test_a_run_on_a_series_is_judged_on_its_probabilities(run, tmp_path, capsys):
    """`flatline evaluate`: by period, beside both learners."""
    command("evaluate", "--run", run, "--json", tmp_path / "found.json")
    assert "level features: test days 1998" in capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_text())["figures"]
    models = {"patchtst", "logistic regression", "random forest"}
    periods = {"train", "valid", "test"}
    told = {(one["model"], one["period"], one["horizon"]) for one in found}
    assert told == {(m, p, h) for m in models for p in periods for h in (1, 5)}
    train = [one for one in found if one["model"] == "random forest" and one["period"] == "train"]
    assert all(one["auc"]["mean"] > 0.7 for one in train)


def test_scores_that_are_no_logits_are_not_judged(tmp_path):
    """A regression on a series has no probabilities."""
    settings = series_settings(
        tmp_path, "loss.weights.mse=1", "loss.weights.bce=0", "model.task=regression"
    )
    experiment = assemble(settings)
    assert isinstance(experiment.market, SeriesMarket)
    with pytest.raises(SettingsError, match="expected bce among them"):
        judge_series(experiment, experiment.model(), tmp_path)
