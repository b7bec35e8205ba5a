"""Models nobody here wrote pass the gate as their libraries ship them, and fail it when broken."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import nn

import flatline as fl
from flatline.harness import Check, Status, Subject, examine
from flatline.harness.suites import CHECKS
from foreign.recipes import RECIPES, Recipe, subject_of

# What puts out the scores in each.
HEADS = {
    "lstm": "head",
    "hf-patchtst": "head.projection",
    "hf-patchtst-classes": "head.linear",
    "neuralforecast-tft": "output_adapter",
    "pytorch-forecasting-tft": "output_layer",
    "pyg-gatv2": "convs.1",
}


@pytest.fixture(params=RECIPES, ids=lambda recipe: recipe.name)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    """Each recipe whose libraries are here."""
    found: Recipe = request.param
    if found.missing:
        pytest.skip(f"{', '.join(found.missing)} not installed: `nox -s foreign` does that")
    return found


@pytest.mark.slow
def test_the_gate_finds_nothing_wrong(recipe):
    """A healthy model of another library has no failed verdict, and no error."""
    verdicts = fl.check(subject_of(recipe), steps=200)
    found = [v for v in verdicts if v.status in {Status.FAIL, Status.ERROR}]
    assert not found, "\n".join(f"{v.check}: {v.measured} {v.hint}" for v in found)


def test_a_dead_head_is_found(recipe):
    """The same model with a head of zeros fails, and the head is named."""
    subject = subject_of(recipe)
    broken = replace(subject, model=lambda: _dead(subject))
    [verdict] = examine(broken, checks=_only("scores_vary"), steps=2).verdicts
    assert verdict.status == Status.FAIL
    assert verdict.culprit.path.startswith(HEADS[recipe.name])


@pytest.mark.parametrize(
    "recipe", [r for r in RECIPES if r.name == "hf-patchtst"], indirect=True, ids=["hf-patchtst"]
)
def test_what_is_declared_has_to_be(recipe):
    """Where PatchTST's instance scaling is not declared it fails, and is told what to declare."""
    subject = replace(subject_of(recipe), insensitive_to=())
    [verdict] = examine(subject, checks=_only("levels_matter")).verdicts
    assert verdict.status == Status.FAIL
    assert "past_values~level" in verdict.culprit.remedy


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_an_adapter_is_short(recipe):
    """What stands between a model and the gate are 15 lines at most, imports included."""
    assert len(recipe.adapter) <= 15


def _only(name: str) -> list[Check]:
    return [check for check in CHECKS if check.id == name]


def _dead(subject: Subject) -> nn.Module:
    model = subject.model()
    for parameter in model.get_submodule(HEADS[subject.name]).parameters():
        parameter.data.zero_()
        parameter.requires_grad_(False)
    return model
