"""The gate on a small healthy subject, and on faulty ones, side by side."""

import json
import random

import numpy as np
import pytest
import torch
from torch import nn

from flatline.errors import ShapeError
from flatline.harness import Status, Subject, check
from flatline.harness.checks.learning import loss_falls, skill_beats_untrained
from flatline.harness.subject import labels_like

DAYS, STOCKS, FEATURES, HORIZONS = 12, 40, 12, 2
STEPS = 120


class Ranker(nn.Module):
    """An encoder and a head over the features of one day."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(FEATURES, 16), nn.GELU())
        self.head = nn.Linear(16, HORIZONS)

    def forward(self, inputs):
        """Scores of every row."""
        return self.head(self.encoder(inputs["features"]))


def world(seed, *, first=0):
    """Batches of days from *first* on; the first feature drives the target. And the truth."""
    draw = torch.Generator().manual_seed(seed)
    batches = []
    for day in range(DAYS):
        features = torch.randn(STOCKS, FEATURES, generator=draw)
        truth = features[:, :1].repeat(1, HORIZONS)
        target = 0.5 * truth + torch.randn(STOCKS, HORIZONS, generator=draw)
        inputs = {
            "features": features,
            "group_day": torch.full((STOCKS,), first + day),
            "truth": truth,
        }
        batches.append((inputs, target))
    return batches


SPLITS = {"train": world(1), "valid": world(2, first=DAYS)}


def subject(model=Ranker, **parts):
    """A healthy subject, or one with other parts."""
    healthy = {
        "name": "toy",
        "model": model,
        "batches": SPLITS.__getitem__,
        "loss": lambda outputs, targets, inputs: (outputs - targets).square().mean(),
        "scores": lambda outputs: outputs,
        "oracle": lambda inputs: inputs["truth"],
        "insensitive_to": {"truth"},
        "optimizer": lambda model: torch.optim.AdamW(model.parameters(), lr=1e-2),
    }
    return Subject(**healthy | parts)


class ZeroHead(Ranker):
    """Every stock gets the head's bias."""

    def __init__(self):
        super().__init__()
        nn.init.zeros_(self.head.weight)
        self.head.weight.requires_grad_(False)


class Detached(Ranker):
    """The encoder gets no gradient."""

    def forward(self, inputs):
        """Scores of every row."""
        return self.head(self.encoder(inputs["features"]).detach())


class NotANumber(Ranker):
    """A square root whose derivative at 0 is infinite, times 0."""

    def forward(self, inputs):
        """Scores of every row."""
        hidden = self.encoder(inputs["features"])
        return self.head(hidden) + (0.0 * hidden).sqrt().sum(1, keepdim=True)


class Whisper(Ranker):
    """Scores on a ten thousandth of the targets' scale."""

    def forward(self, inputs):
        """Scores of every row."""
        return 1e-4 * super().forward(inputs)


class NoisyEval(Ranker):
    """Dropout that stays on in eval mode."""

    def forward(self, inputs):
        """Scores of every row."""
        return nn.functional.dropout(super().forward(inputs), 0.1, training=True)


class Blind(Ranker):
    """Sees everything but the feature that matters."""

    def forward(self, inputs):
        """Scores of every row."""
        features = inputs["features"].clone()
        features[:, 0] = 0.0
        return self.head(self.encoder(features))


class Raises(Ranker):
    """Breaks in its own code."""

    def forward(self, inputs):
        """Scores of every row."""
        raise RuntimeError("sizes do not fit")


def orphaned(model):
    """An optimizer that was made for the encoder only."""
    return torch.optim.AdamW(model.encoder.parameters(), lr=1e-2)


def stalled(model):
    """An optimizer whose learning rate is lost in rounding."""
    return torch.optim.SGD(model.parameters(), lr=1e-9)


@pytest.fixture(scope="module")
def healthy():
    """Verdicts on the healthy subject."""
    return {v.check: v for v in check(subject(), steps=STEPS)}


def test_a_healthy_subject_passes_every_check_it_has_the_parts_for(healthy):
    """What is skipped says which part is missing; nothing fails."""
    failed = {c: v.measured for c, v in healthy.items() if v.status in {"fail", "error"}}
    assert failed == {}
    skipped = [v.measured for v in healthy.values() if v.status == Status.SKIP]
    assert skipped
    assert all(measured.startswith("not judged: ") for measured in skipped)


@pytest.mark.parametrize(
    ("parts", "caught_by", "culprit"),
    [
        pytest.param({"model": ZeroHead}, "scores_vary", "head", id="zero-head"),
        pytest.param({"model": ZeroHead}, "blocks_get_gradient", "encoder.0", id="cut-off"),
        pytest.param({"model": Detached}, "blocks_get_gradient", "encoder.0", id="detached-branch"),
        pytest.param({"model": NotANumber}, "blocks_get_gradient", "encoder.0", id="nan"),
        pytest.param({"model": Whisper}, "scale_in_range", None, id="vanished-scale"),
        pytest.param({"model": NoisyEval}, "evaluations_agree", None, id="dropout-in-eval"),
        pytest.param({"model": Blind}, "skill_against_oracle", None, id="signal-not-used"),
        pytest.param({"optimizer": orphaned}, "blocks_move", "head", id="orphan-parameters"),
        pytest.param({"optimizer": stalled}, "loss_falls", None, id="stalled"),
    ],
)
def test_a_fault_is_caught_and_named(healthy, parts, caught_by, culprit):
    """The check that passes on the healthy subject fails on the faulty one."""
    assert healthy[caught_by].status == Status.PASS
    verdict = {v.check: v for v in check(subject(**parts), steps=STEPS)}[caught_by]
    assert verdict.status == Status.FAIL
    assert verdict.hint
    if culprit is not None:
        assert verdict.culprit.path == culprit
        assert verdict.culprit.line is not None


# What is said of the inputs, the call and the loss, and not of what the model makes of them.
NOT_OF_THE_SCORES = {
    "call_fits_forward",
    "models_are_fresh",
    "inputs_untouched",
    "nothing_frozen",
    "positional_call_refused",
    "eval_mode_is_still",
    "tensors_move_along",
    "optimizer_holds_all",
    "gradient_follows_labels",
    "loss_finite_at_constant",
    "nan_shows",
    "loss_is_a_mean",
    "loss_tells_good_from_bad",
    "days_are_whole",
    "days_in_order",
    "columns_vary",
    "columns_on_one_scale",
    "features_in_support",
}


class NoNumbers(Ranker):
    """Scores that are no numbers."""

    def forward(self, inputs):
        """Scores of every row."""
        return super().forward(inputs) * torch.nan


def test_scores_that_are_no_numbers_fail_in_valid_json():
    """No check of the scores passes on NaN, and the verdicts can be read by any JSON reader."""
    verdicts = check(subject(NoNumbers), steps=2)
    passed = {v.check for v in verdicts if v.status == Status.PASS}
    assert passed <= NOT_OF_THE_SCORES
    data = [json.loads(json.dumps(v.as_data(), allow_nan=False)) for v in verdicts]
    assert {d["check"]: d["value"] for d in data}["loss_falls"] is None


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        pytest.param([2.0, 3.0, 4.0], [1.0, 2.0, 3.0], Status.PASS, id="same-fall-everywhere"),
        pytest.param([2.0, 3.0, 4.0], [2.0, 3.0, 4.0], Status.FAIL, id="no-change"),
        pytest.param([1.0, 2.0, 3.0], [2.0, 3.0, 4.0], Status.FAIL, id="same-rise-everywhere"),
        pytest.param([2.0, 3.0, 4.0], [np.nan] * 3, Status.FAIL, id="became-nan"),
        pytest.param([2.0, 3.0, 4.0], [1.0, np.nan, 3.0], Status.FAIL, id="one-batch-nan"),
    ],
)
def test_only_a_loss_that_fell_passes(before, after, status):
    """A loss that rose, stayed or became NaN has not fallen."""
    assert loss_falls(np.array(before), np.array(after)).status == status


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize(
    ("fall", "status"), [(0.05, Status.SKIP), (0.0, Status.FAIL), (-0.05, Status.FAIL)]
)
def test_of_few_batches_only_a_loss_that_did_not_fall_fails(count, fall, status):
    """What a sound training of a few batches reaches is no proof, and its lack no fault."""
    before = np.linspace(0.9, 1.1, count)
    after = before - fall * np.linspace(0.1, 1.9, count)
    verdict = loss_falls(before, after)
    assert verdict.status == status
    assert (verdict.status == Status.SKIP) == ("not judged" in verdict.measured)


def test_of_few_batches_a_fall_beyond_doubt_passes():
    """Every batch fell by the same; beside it the same fall, of which nothing is sure."""
    before = np.array([1.0, 1.1, 1.2, 1.3, 1.4])
    sure, unsure = before - [0.5, 0.51, 0.49, 0.5, 0.5], before - [0.01, 0.99, 0.5, 0.1, 0.9]
    assert loss_falls(before, sure).status == Status.PASS
    assert loss_falls(before, unsure).status == Status.SKIP


@pytest.mark.parametrize("count", [8, 48])
def test_of_more_batches_a_fall_within_rounding_fails(count):
    """A learning rate that is lost in rounding; beside it one that is not."""
    before = np.linspace(0.9, 1.1, count)
    assert loss_falls(before, before * (1 - 1e-8)).status == Status.FAIL
    assert loss_falls(before, before * 0.9).status == Status.PASS


@pytest.mark.parametrize(
    ("trained", "untrained", "status"),
    [
        pytest.param(0.8, 0.1, Status.PASS, id="beyond-luck"),
        pytest.param(0.1, 0.1, Status.FAIL, id="within-luck"),
        pytest.param(0.9, 1.0, Status.SKIP, id="luck-is-all-or-nothing"),
        pytest.param(1.0, 1.0, Status.SKIP, id="and-so-is-the-model"),
        pytest.param(np.nan, 1.0, Status.FAIL, id="no-rank"),
    ],
)
def test_skill_is_judged_where_luck_leaves_room(trained, untrained, status):
    """A model of one weight has all the skill or all of it upside down, by luck."""
    signs = np.where(np.arange(24) % 2, 1.0, -1.0)[:, None]
    assert skill_beats_untrained(np.array([trained]), untrained * signs).status == status


def test_an_error_of_the_subject_becomes_a_verdict():
    """The suite goes on, and says what was raised and where."""
    verdicts = [v for v in check(subject(Raises), steps=STEPS) if v.status != Status.SKIP]
    raised = [v for v in verdicts if v.status == Status.ERROR]
    assert {v.measured for v in raised} == {"RuntimeError: sizes do not fit"}
    assert all("test_suite.py" in v.hint for v in raised)
    assert {v.check for v in raised} >= {"loss_falls", "scores_vary", "evaluations_agree"}


def test_without_an_oracle_skill_is_skipped_with_the_reason():
    """What cannot be judged is said, not passed."""
    verdicts = check(subject(oracle=None), steps=2)
    (skill,) = [v for v in verdicts if v.check == "skill_against_oracle"]
    assert skill.status == Status.SKIP
    assert "has no `oracle`" in skill.measured


def test_an_empty_split_is_an_error_with_the_remedy():
    """A one-way iterator that is used up does not pass for a training."""
    verdicts = check(subject(batches=lambda split: []), steps=2)
    raised = [v for v in verdicts if v.status == Status.ERROR]
    assert raised
    assert all("has 0 batches" in v.measured for v in raised)
    assert {v.check for v in raised} >= {"loss_falls", "scores_vary", "evaluations_agree"}


class Careless(Ranker):
    """Sets all that it should leave alone."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        torch.set_num_threads(3)
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("medium")
        torch.autograd.set_detect_anomaly(mode=True, check_nan=False)
        torch.use_deterministic_algorithms(mode=False)
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = not torch.backends.cudnn.allow_tf32
        torch.backends.cuda.enable_flash_sdp(enabled=False)


def global_state():
    """What the subjects of one process share."""
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002 (it is what is protected)
        "python": random.getstate(),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "precision": torch.get_float32_matmul_precision(),
        "anomaly": (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        "deterministic": torch.is_deterministic_algorithms_warn_only_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "tf32": torch.backends.cudnn.allow_tf32,
        "flash": torch.backends.cuda.flash_sdp_enabled(),
        "grad": torch.is_grad_enabled(),
    }


def test_global_state_is_left_as_it_was():
    """Generators, threads, flags and the default dtype survive even a careless subject."""
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    try:
        before = global_state()
        check(subject(Careless), steps=2, seed=9)
        assert global_state() == before
    finally:
        torch.use_deterministic_algorithms(mode=False)


def test_the_same_seed_gives_the_same_verdicts():
    """A gate run can be repeated to the last digit."""
    first, second = (check(subject(), steps=20, seed=3) for _ in range(2))
    assert [(v.value, v.status) for v in first] == [(v.value, v.status) for v in second]


def test_labels_are_found_by_shape_and_masked():
    """A mask of the scores' shape turns unknown labels into NaN."""
    value, known = torch.ones(3, 2), torch.tensor([[True, False]] * 3)
    found = labels_like((value, known), torch.zeros(3, 2))
    assert torch.equal(torch.isnan(found), ~known)


def test_ambiguous_labels_are_refused():
    """Two candidates are not guessed between."""
    with pytest.raises(ShapeError, match="targets hold 2 float tensors of shape"):
        labels_like((torch.ones(3, 2), torch.ones(3, 2)), torch.zeros(3, 2))


class Lazy(nn.Module):
    """Finds out its width at the first pass."""

    def __init__(self):
        super().__init__()
        self.head = nn.LazyLinear(HORIZONS)

    def forward(self, inputs):
        """Scores of every row."""
        return self.head(inputs["features"])


def test_lazy_modules_are_given_their_weights():
    """A model whose layers have no shape before the first pass is judged as any other."""
    failed = {v.check: v.measured for v in check(subject(Lazy)) if v.status in {"fail", "error"}}
    assert failed == {}
