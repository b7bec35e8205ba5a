"""The files of the contract layer: what is saved, loaded and exported is the model that was."""

from __future__ import annotations

from flatline.harness.checks import copies, exporting
from flatline.harness.probes.exporting import exported
from flatline.harness.probes.saving import saved
from flatline.harness.suites.contract import certain, exact
from flatline.harness.verdicts import Stage

__all__ = ["CHECKS"]

CHECKS = (
    certain(
        "saved_model_agrees",
        "What is loaded scores as what was saved.",
        Stage.STEP,
        lambda case: copies.saved_model_agrees(case.of(saved), exact=exact(case)),
        needs=("save", "load"),
    ),
    certain(
        "loading_runs_no_code",
        "Loading a file imports and runs nothing that the file names.",
        Stage.STATIC,
        lambda case: copies.loading_runs_no_code(case.of(saved)),
        needs=("save", "load"),
    ),
    certain(
        "fitted_values_saved",
        "Columns, normaliser and all else that was fitted come back with the weights.",
        Stage.STATIC,
        lambda case: copies.fitted_values_saved(case.of(saved), case.subject.fitted or {}),
        needs=("save", "load", "fitted"),
    ),
    certain(
        "export_agrees",
        "An export holds every scored row once, with the scores of that row.",
        Stage.EVALUATION,
        lambda case: exporting.export_agrees(case.of(exported)),
        needs=("export",),
    ),
)
