"""The line of data from prices to batches of the references knows no later price."""

from pathlib import Path

import pytest

from flatline.harness import Case, Status, judge
from flatline.harness.suites.pipeline import CHECKS
from flatline.settings import load_settings
from flatline.subjects import GATE_SETTINGS, reference
from flatline.subjects.pricing import pipeline_of

TINY = ("data.source.market=tiny",)


@pytest.mark.parametrize("name", sorted(GATE_SETTINGS))
def test_the_pipeline_of_a_reference_passes_every_check(name):
    """Inputs, edges, scaler, universe, labels, splits; a series has no universe."""
    settings = load_settings(GATE_SETTINGS[name], environ={}, overrides=TINY)
    case = Case(reference(name, settings))
    found = {check.id: judge(check, case) for check in CHECKS}
    wrong = {c: v.measured for c, v in found.items() if v.status not in (Status.PASS, Status.SKIP)}
    assert wrong == {}
    skipped = [c for c, v in found.items() if v.status == Status.SKIP]
    assert skipped == (["universe_knows_no_future"] if name == "patchtst" else [])


def test_settings_for_files_are_tried_on_the_embedded_market():
    """Dates, codes and files of real prices are not those of the market; all else is kept."""
    real = Path(__file__).parents[2] / "settings" / "spy.toml"
    overrides = ('data.source.prices=["nowhere.parquet"]',)
    pipeline = pipeline_of(load_settings(real, environ={}, overrides=overrides))
    made = pipeline.make(pipeline.prices)
    assert all(next(iter(made(split))) for split in pipeline.splits)
