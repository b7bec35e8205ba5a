"""Planted targets on a model that hears all of its inputs, and on deaf ones, side by side."""

import numpy as np
import pytest
import torch

from flatline.errors import ShapeError
from flatline.harness import Status
from flatline.harness.case import Case
from flatline.harness.probes.pathways import Kind, pathways_of, plant
from flatline.harness.probes.planted import overheard, planted
from flatline.harness.probes.targets import LabelPlace
from flatline.harness.suite import judge
from flatline.harness.suites.planted import CHECKS
from harness import series, windowed

IDS = [check.id for check in CHECKS if check.shares == "planted"]


def verdicts(subject, *, seed=0, ids=IDS):
    """Verdicts of the planted checks on one subject, by check."""
    case = Case(subject, seed=seed)
    return {check.id: judge(check, case) for check in CHECKS if check.id in ids}


@pytest.fixture(scope="module")
def healthy():
    """Verdicts on the healthy subject."""
    return verdicts(windowed.subject())


def test_a_model_that_hears_everything_passes_by_a_margin(healthy):
    """Every pathway comes through, far beyond what another draw of rows could change."""
    assert {c: v.measured for c, v in healthy.items() if v.status != Status.PASS} == {}
    rates = [v.false_alarm_rate for c, v in healthy.items() if c != "learns_both_halves"]
    assert max(rates) < 1e-5


@pytest.mark.parametrize(
    ("parts", "caught_by", "named"),
    [
        pytest.param({"model": windowed.StaleStep}, "learns_newest_step", "@7", id="stale-step"),
        pytest.param({"model": windowed.NewestOnly}, "learns_earlier_step", "@5", id="newest"),
        pytest.param({"model": windowed.Levelled}, "learns_levels", "~level", id="level-lost"),
        pytest.param({"model": windowed.NoAttributes}, "learns_row_values", "static", id="static"),
        pytest.param({"model": windowed.SelfLoops}, "learns_neighbours", "neighbours", id="loops"),
        pytest.param({"model": windowed.Diluted}, "learns_neighbours", "neighbours", id="diluted"),
        pytest.param(
            {"loss": lambda outputs, targets: -windowed.mse(outputs, targets).clamp(max=9)},
            "learns_newest_step",
            "",
            id="sign-flipped",
        ),
    ],
)
def test_a_deaf_model_fails_where_it_is_deaf(healthy, parts, caught_by, named):
    """The check that passes on the healthy model fails, and names what does not come through."""
    assert healthy[caught_by].status == Status.PASS
    found = verdicts(windowed.subject(**parts))
    assert found[caught_by].status == Status.FAIL
    assert named in found[caught_by].hint
    assert found[caught_by].culprit.kind == "input"


def test_a_model_that_is_slow_is_not_called_deaf_to_earlier_steps():
    """It learns nothing in so few steps, and fails for that; its earlier steps do move it."""

    def crawl(model):
        return torch.optim.AdamW(model.parameters(), lr=1e-7)

    found = verdicts(windowed.subject(optimizer=crawl))
    assert found["learns_newest_step"].status == Status.FAIL
    assert found["learns_earlier_step"].status == Status.SKIP
    assert "too few to tell" in found["learns_earlier_step"].measured


def test_only_what_is_deaf_fails():
    """A graph that is not heard leaves the other pathways as they were."""
    found = verdicts(windowed.subject(windowed.SelfLoops))
    assert {c for c, v in found.items() if v.status == Status.FAIL} == {"learns_neighbours"}


def test_a_rectified_head_misses_half_of_its_targets(healthy):
    """Scores that cannot fall below 0 answer to the upper half only."""
    assert healthy["learns_both_halves"].status == Status.PASS
    verdict = verdicts(windowed.subject(windowed.Rectified))["learns_both_halves"]
    assert verdict.status == Status.FAIL
    assert verdict.hint.startswith("The lower half of the targets is out of reach")


def test_scores_that_follow_the_wrong_way_are_called_upside_down():
    """A loss with its sign flipped learns the opposite of what it is given."""
    parts = {"loss": lambda outputs, targets: -(outputs * torch.nan_to_num(targets)).mean()}
    right = verdicts(windowed.subject(**parts), ids=["learns_newest_step"])
    flipped = {"loss": lambda outputs, targets: (outputs * torch.nan_to_num(targets)).mean()}
    wrong = verdicts(windowed.subject(**flipped), ids=["learns_newest_step"])
    assert right["learns_newest_step"].status == Status.PASS
    assert wrong["learns_newest_step"].status == Status.FAIL
    assert wrong["learns_newest_step"].hint.startswith("Upside down")


def test_what_may_not_matter_is_not_planted_in():
    """Declared insensitivity leaves a pathway, a feature or a step out."""
    declared = {"static", "edges", "features~level", "features:0", "features@-1"}
    subject = windowed.subject(insensitive_to=declared)
    (only,) = pathways_of(subject, windowed.SPLITS["train"][0][0])
    assert (only.kind, only.step) == (Kind.EARLIER, 5)
    assert only.column != 0
    found = verdicts(subject)
    skipped = {c for c, v in found.items() if v.status == Status.SKIP}
    assert skipped == {
        "learns_newest_step",
        "learns_levels",
        "learns_row_values",
        "learns_neighbours",
    }


def test_planting_keeps_each_days_values_and_touches_nothing_else():
    """A feature at a step is dealt out anew within its day; the rest stays as it was."""
    inputs = windowed.SPLITS["train"][0][0]
    subject = windowed.subject(insensitive_to={"static", "edges", "features~level"})
    pathways = pathways_of(subject, inputs)
    planted_inputs, plantings = plant(subject, inputs, pathways, np.random.default_rng(0))
    before, after = inputs["features"], planted_inputs["features"]
    changed = (before != after).any(0)
    assert {(int(t), int(k)) for t, k in changed.nonzero()} == {
        (p.step, p.column) for p in pathways
    }
    for pathway, one in zip(pathways, plantings, strict=True):
        column = after[:, pathway.step, pathway.column]
        assert torch.equal(column.sort().values, before[:, pathway.step, pathway.column].sort()[0])
        assert (np.argsort(one.value) == np.argsort(column.numpy())).all()
    assert torch.equal(inputs["features"], windowed.world(1)[0][0]["features"])


def test_a_classifier_of_a_single_series_is_planted_too():
    """Along time, with classes for labels; the pathways of a row of numbers."""
    found = verdicts(series.classifier(insensitive_to={"truth", "level"}))
    assert found["learns_row_values"].status == Status.PASS
    assert found["learns_newest_step"].status == Status.SKIP


@pytest.mark.parametrize(
    ("targets", "parts"),
    [
        pytest.param(lambda y: y, {}, id="a-tensor"),
        pytest.param(lambda y: {"y": y, "weight": torch.ones(len(y))}, {}, id="a-mapping"),
        pytest.param(lambda y: (torch.nan_to_num(y), torch.isfinite(y)), {}, id="with-a-mask"),
        pytest.param(lambda y: 100 * y, {"labels": lambda targets: targets / 100}, id="in-percent"),
        pytest.param(
            lambda y: y[:, None].repeat(1, 5, 1), {"labels": lambda x: x[:, -1]}, id="a-sequence"
        ),
    ],
)
def test_labels_are_found_and_replaced_whatever_they_come_in(targets, parts):
    """What is put among the targets is what the subject reads from them."""
    label = windowed.SPLITS["train"][0][1]
    subject, score = windowed.subject(**parts), torch.zeros(len(label), windowed.HORIZONS)
    place = LabelPlace.find(subject, targets(label), score)
    turned, put = place.put(targets(label), len(label), lambda own: own[::-1].copy())
    read = subject.labels_of(turned, score).numpy()
    known = np.isfinite(read) & np.isfinite(put)
    assert known.mean() > 0.6
    assert np.allclose(read[known], put[known])
    assert not np.allclose(read[known], label.numpy()[known])


def test_labels_that_are_nowhere_are_asked_for():
    """Labels that do not come from one tensor cannot be replaced."""
    label = windowed.SPLITS["train"][0][1]
    subject = windowed.subject(labels=lambda targets: targets[0] + targets[1])
    with pytest.raises(ShapeError, match="follow the rows of 0 tensors among the targets"):
        LabelPlace.find(subject, (label, label.flip(0)), torch.zeros_like(label))


def test_a_dead_pathway_passes_as_often_as_chance_says():
    """Correlations with what an untrained, deaf model was not told keep to their stated error."""
    subject = windowed.subject(windowed.SelfLoops)
    inputs = windowed.SPLITS["valid"][0][0]
    (heard,) = [p for p in pathways_of(subject, inputs) if p.kind == Kind.NEIGHBOURS]
    own = [p for p in pathways_of(subject, inputs) if p.kind == Kind.NEWEST]
    draw = np.random.default_rng(0)
    ratios = []
    torch.manual_seed(0)
    model = subject.model()
    group = np.zeros(windowed.STOCKS, np.int64)
    for _ in range(400):
        planted_inputs, (_, around) = plant(subject, inputs, [*own, heard], draw)
        with torch.no_grad():
            score = model(planted_inputs)[:, 0].double().numpy()
        found = overheard(score, group, around.value, [around])
        ratios.append(found.value / found.error)
    # The spread of 400 draws is known to one part in 28; three of those.
    assert np.std(ratios) == pytest.approx(1.0, abs=3 / np.sqrt(2 * 400) + 0.02)
    assert abs(np.mean(ratios)) < 4 / np.sqrt(400)


def test_the_same_seed_gives_the_same_numbers():
    """A planted training can be repeated to the last digit."""
    first, second = (planted(Case(windowed.subject(), seed=3)) for _ in range(2))
    assert np.array_equal(first.score, second.score)
    assert first.steps == second.steps
