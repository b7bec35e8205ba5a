"""A baseline: written from several seeds, kept by the same subject, broken by another."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from flatline.errors import DataError, SettingsError
from flatline.harness import CHECKS, Case, Layer, Status, Subject, judge
from flatline.harness.baselines import read_baseline, record, write_baseline
from flatline.harness.suites.baseline import update, updated

(CHECK,) = (check for check in CHECKS if check.layer == Layer.BASELINE)
STEPS = 60


class Net(nn.Module):
    """An encoder and a head."""

    def __init__(self, wide=16):
        super().__init__()
        self.encoder = nn.Linear(6, wide)
        self.head = nn.Linear(wide, 2)

    def forward(self, batch):
        """Scores of every row."""
        return self.head(torch.relu(self.encoder(batch["features"])))


class Blind(Net):
    """Does not see the feature that matters."""

    def forward(self, batch):
        """Scores of every row."""
        features = batch["features"].clone()
        features[:, :2] = 0.0
        return super().forward({"features": features})


class Whisper(Net):
    """Scores on a thousandth of their scale."""

    def forward(self, batch):
        """Scores of every row."""
        return 1e-3 * super().forward(batch)


def world(seed):
    """Days on which two features drive two targets."""
    draw = torch.Generator().manual_seed(seed)
    days = []
    for day in range(8):
        x = torch.randn(40, 6, generator=draw)
        y = x[:, :2] + 0.5 * torch.randn(40, 2, generator=draw)
        days.append(({"features": x, "group_day": torch.full((40,), day)}, y))
    return days


SPLITS = {"train": world(1), "valid": world(2)}


def case(path, model=Net, *, seed=0, steps=STEPS):
    """A case of a subject that keeps its baseline at *path*."""
    subject = Subject(
        name="toy",
        model=model,
        batches=SPLITS,
        loss=nn.functional.mse_loss,
        scores=lambda outputs: outputs,
        optimizer=lambda model: torch.optim.AdamW(model.parameters(), lr=2e-2),
        baseline=path,
    )
    return Case(subject, steps=steps, seed=seed)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The file of the healthy subject's baseline."""
    return update(case(tmp_path_factory.mktemp("kept") / "toy.json"))


def test_the_same_subject_passes_whatever_the_seed(kept):
    """One that the baseline was written with, and one that it was not."""
    for seed in (0, 1234):
        verdict = judge(CHECK, case(kept, seed=seed))
        assert verdict.status == Status.PASS
        assert verdict.measured.startswith("13 of 13 numbers are where 16 seeds said")


@pytest.mark.parametrize(
    ("model", "culprit"),
    [
        pytest.param(lambda: Net(17), "parameters", id="another-size"),
        pytest.param(Whisper, "yhat_std@0", id="vanished-scale"),
        pytest.param(Blind, "rank_ic@0", id="skill-lost"),
    ],
)
def test_a_subject_that_has_changed_fails(kept, model, culprit):
    """The number is named, with where it was; the hint says how to accept it."""
    verdict = judge(CHECK, case(kept, model))
    assert verdict.status == Status.FAIL
    assert culprit in verdict.measured
    assert verdict.culprit.file == str(kept)
    assert "`pytest -k toy-matches_baseline --flatline-baseline-update`" in verdict.hint


def test_a_missing_baseline_fails_with_the_command_that_writes_it(tmp_path):
    """A comparison with nothing does not pass."""
    verdict = judge(CHECK, case(tmp_path / "none.json"))
    assert verdict.status == Status.FAIL
    assert "pytest -k toy-matches_baseline --flatline-baseline-update" in verdict.hint
    assert not (tmp_path / "none.json").exists()


def test_a_number_without_an_entry_fails_and_an_unused_entry_is_said(kept, tmp_path):
    """Neither goes unseen."""
    baseline = read_baseline(kept)
    entries = dict(baseline.figures)
    entries["rank_ic@9"] = entries.pop("rank_ic@1")
    write_baseline(tmp_path / "toy.json", replace(baseline, figures=entries))
    verdict = judge(CHECK, case(tmp_path / "toy.json"))
    assert verdict.status == Status.FAIL
    assert verdict.culprit.path == "rank_ic@1"
    assert "unused entries rank_ic@9" in verdict.measured


def test_a_training_of_another_length_is_not_compared(kept):
    """It is skipped, and says what the baseline is of."""
    verdict = judge(CHECK, case(kept, steps=5))
    assert verdict.status == Status.SKIP
    assert "the baseline is of 60 steps in fp32, this training of 5" in verdict.measured


def test_writing_gives_a_verdict_and_the_same_file_twice(kept, tmp_path):
    """The file has the same numbers each time; only the speed differs."""
    path = tmp_path / "toy.json"
    verdict = updated(CHECK, case(path))
    assert (verdict.status, verdict.measured) == (Status.PASS, f"baseline written: {path}")
    again, first = (json.loads(file.read_text()) for file in (path, kept))
    assert again.pop("rows_per_second") > 0
    assert first.pop("rows_per_second") > 0
    assert again == first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{", "is no JSON", id="cut-off"),
        pytest.param('{"format": 2, "figures": {}}', "is not of format 1", id="keys-missing"),
        pytest.param(
            '{"format": 1, "subject": "toy", "steps": 1, "precision": "fp32", "seeds": 8,'
            ' "figures": {"loss": {"value": 3.0, "low": 4.0, "high": 5.0, "unit": ""}}}',
            "does not hold",
            id="range-without-its-value",
        ),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, text, message):
    """With the remedy, and without overwriting it."""
    path = tmp_path / "toy.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_baseline(path)
    assert path.read_text() == text


def test_too_few_seeds_are_refused(tmp_path):
    """A spread of two says nothing."""
    with pytest.raises(SettingsError, match="seeds is 2, expected at least 4"):
        record(case(tmp_path / "toy.json"), seeds=2)
