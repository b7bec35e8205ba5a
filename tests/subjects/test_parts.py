"""What the references offer to the gate beside a model: evaluation, settings, baseline."""

import pytest

from flatline.evaluation.experiment import assemble
from flatline.harness import CHECKS, Case, Layer, Status, judge
from flatline.harness.baselines import read_baseline
from flatline.settings import load_settings, settings_paths
from flatline.subjects import GATE_SETTINGS, find_reference
from flatline.subjects.variants import INERT, OTHERS

# Where prices come from files, which the gate does not try settings on.
OF_FILES = {
    "data.source.prices", "data.source.sectors", "data.source.index", "data.source.index_code",
    "data.source.index_source", "data.series.code",
}  # fmt: skip


@pytest.fixture(scope="module", params=list(GATE_SETTINGS))
def case(request):
    """Each reference on its smallest market."""
    tiny = load_settings(
        GATE_SETTINGS[request.param], environ={}, overrides=["data.source.market=tiny"]
    )
    return Case(find_reference(request.param)(assemble(tiny)), steps=20)


@pytest.mark.parametrize(
    "check",
    [c for c in CHECKS if c.layer == Layer.METRICS and c.cost != "training"],
    ids=lambda c: c.id,
)
def test_the_evaluation_of_a_reference_keeps_every_law(case, check):
    """On its own horizons and labels; numbers that it does not have are skipped."""
    verdict = judge(check, case)
    assert verdict.status in {Status.PASS, Status.SKIP}, verdict.measured


@pytest.mark.parametrize(
    "check", [c for c in CHECKS if c.layer == Layer.SETTINGS], ids=lambda c: c.id
)
def test_every_setting_of_a_reference_does_something(case, check):
    """None is a phantom, none breaks, and a made-up one is refused."""
    verdict = judge(check, case)
    assert verdict.status == Status.PASS, verdict.measured


def test_every_setting_there_is_was_tried_or_declared():
    """A new setting has to find its place: another value to try, or a reason not to."""
    tried = {name for others in OTHERS.values() for name in others}
    left = [
        path
        for path in settings_paths()
        if path.removesuffix(".*") not in tried
        and not path.startswith(INERT)
        and path not in OF_FILES
    ]
    assert not left


def test_only_a_reference_as_it_is_has_a_baseline(case):
    """With other settings its numbers are others."""
    assert case.subject.baseline is None


@pytest.mark.parametrize("name", list(GATE_SETTINGS))
def test_the_baseline_of_a_reference_lies_beside_its_settings(name):
    """It can be read, and is of the steps that the gate takes."""
    kept = read_baseline(GATE_SETTINGS[name].parent / "baselines" / f"{name}.json")
    assert kept is not None
    assert (kept.subject, kept.steps, kept.precision) == (name, 200, "fp32")
