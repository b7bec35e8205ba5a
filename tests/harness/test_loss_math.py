"""The loss layer of the gate: a healthy subject passes, and each fault in its loss is named."""

import inspect
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from flatline.errors import SettingsError
from flatline.harness import Case, Status, Subject, judge
from flatline.harness.suites.loss_math import CHECKS
from flatline.harness.terms import Term

STOCKS, FEATURES, HORIZONS = 30, 4, 2
BY_ID = {check.id: check for check in CHECKS}


def batch(seed, *, days=3, missing=0.1, unit=1.0):
    """Features and day ids, beside labels and the mask of those that are known."""
    draw = torch.Generator().manual_seed(seed)
    rows = days * STOCKS
    features = torch.randn(rows, FEATURES, generator=draw)
    label = unit * (features[:, :1] + torch.randn(rows, HORIZONS, generator=draw))
    known = torch.rand(rows, HORIZONS, generator=draw) >= missing
    inputs = {"features": features, "group_day": torch.arange(rows) // STOCKS}
    return inputs, {"label": torch.where(known, label, torch.nan), "known": known}


class Ranker(nn.Module):
    """One layer; the scores stand in a dict beside something else."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(FEATURES, HORIZONS)

    def forward(self, inputs):
        """Scores of every row."""
        return {"point": self.layer(inputs["features"]), "hidden": inputs["features"].sum(1)}


def by_day(outputs, targets, inputs, one):
    """Mean over days and columns of what *one* makes of known scores and labels."""
    score, label, known = outputs["point"], targets["label"], targets["known"]
    found = [
        one(score[here & known[:, h], h], label[here & known[:, h], h])
        for here in (inputs["group_day"] == day for day in inputs["group_day"].unique())
        for h in range(HORIZONS)
    ]
    return torch.stack(found).mean()


def squared(score, label):
    """Mean squared error."""
    return (score - label).square().mean()


def one_minus_ic(score, label):
    """One minus the correlation, 1 at constant scores."""
    x, y = score - score.mean(), label - label.mean()
    return 1 - (x * y).mean() / ((x.square().mean() + 1e-4) * y.square().mean()).sqrt()


def careless_ic(score, label):
    """The same without care for a root at 0."""
    x, y = score - score.mean(), label - label.mean()
    return 1 - (x * y).mean() / (x.square().mean() * y.square().mean()).sqrt()


def top_one(score, label):
    """Cross-entropy of top-one probabilities."""
    return -(label.softmax(0) * score.log_softmax(0)).sum()


def mse(outputs, targets, inputs):
    """Per-day squared error."""
    return by_day(outputs, targets, inputs, squared)


def ic(outputs, targets, inputs):
    """Per-day correlation."""
    return by_day(outputs, targets, inputs, one_minus_ic)


def blend(outputs, targets, inputs):
    """Half of each."""
    return 0.5 * mse(outputs, targets, inputs) + 0.5 * ic(outputs, targets, inputs)


TERMS = {
    "mse": Term(value=mse, weight=0.5, shift=False, scale=False),
    "ic": Term(value=ic, weight=0.5, shift=True),
}


def known_rows(outputs, targets):
    """Scores and labels of all days, the known ones."""
    return outputs["point"][targets["known"]], targets["label"][targets["known"]]


def pooled_ic(outputs, targets, inputs):
    """L01: one correlation over all rows."""
    return one_minus_ic(*known_rows(outputs, targets))


def softmax_over_days(outputs, targets, inputs):
    """L02: top-one probabilities over all rows."""
    return top_one(*known_rows(outputs, targets))


def hard_ranks(outputs, targets, inputs):
    """L03: ranks by argsort."""
    return by_day(
        outputs, targets, inputs, lambda s, t: one_minus_ic(s.argsort().argsort().float(), t)
    )


def flipped(outputs, targets, inputs):
    """L04: skill is punished."""
    return -blend(outputs, targets, inputs)


def summed(outputs, targets, inputs):
    """L05: a sum over stocks."""
    return blend(outputs, targets, inputs) * len(outputs["point"])


def broadcast(outputs, targets, inputs):
    """L07: every score against every label."""
    return by_day(outputs, targets, inputs, lambda s, t: (s[:, None] - t).square().mean())


def inverted_mask(outputs, targets, inputs):
    """L08: only what is not known trains."""
    gone = ~targets["known"]
    return (outputs["point"] - targets["label"].nan_to_num())[gone].square().mean()


def raw_listnet(outputs, targets, inputs):
    """L11: softmax of labels that are hardly larger than 0."""
    return by_day(outputs, targets, inputs, top_one)


def skips_singletons(outputs, targets, inputs):
    """L12, L13: nothing matches, and the loss is 0 without a word."""
    return 0.0 * outputs["hidden"].sum()


def missing_is_zero(outputs, targets, inputs):
    """L14: a missing label is a return of 0."""
    return (outputs["point"] - targets["label"].nan_to_num()).square().mean()


def root_at_zero(outputs, targets, inputs):
    """L15: a root without care."""
    return by_day(outputs, targets, inputs, careless_ic)


def hides_nan(outputs, targets, inputs):
    """L18: a score that is not a number counts as 0."""
    clean = outputs | {"point": outputs["point"].nan_to_num()}
    return blend(clean, targets, inputs)


def subject(**parts):
    """A healthy subject, or one with other parts."""
    healthy = {
        "name": "toy",
        "model": Ranker,
        "batches": {"train": [batch(1)]},
        "loss": blend,
        "scores": lambda outputs: outputs["point"],
        "labels": lambda targets: targets["label"],
        "terms": TERMS,
    }
    return Subject(**healthy | parts)


def verdicts(one):
    """Every check of the layer, by id."""
    case = Case(one)
    return {check.id: judge(check, case) for check in CHECKS}


def failed(one):
    """Ids of the checks that did not pass, skips left out."""
    return {k for k, v in verdicts(one).items() if v.status not in (Status.PASS, Status.SKIP)}


LOSSES = {
    "mse": mse,
    "blend": blend,
    "ic": ic,
    "vectors": lambda outputs, targets: squared(*known_rows(outputs, targets)),
    "listnet": raw_listnet,
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_healthy_loss_fails_nothing(name):
    """With or without declared terms."""
    assert failed(subject(loss=LOSSES[name], terms=None)) == set()


def test_a_healthy_blend_is_judged_by_every_check_but_that_of_classes():
    """Nothing is skipped where every part is there."""
    found = verdicts(subject())
    assert {v.status for k, v in found.items() if k != "probability_meets_the_share"} == {
        Status.PASS
    }
    assert all(verdict.check == name for name, verdict in found.items())


FAULTY = {
    "L01": (pooled_ic, "days_stay_apart"),
    "L02": (softmax_over_days, "days_stay_apart"),
    "L03": (hard_ranks, "gradient_follows_labels"),
    "L04": (flipped, "gradient_follows_labels"),
    "L05": (summed, "loss_is_a_mean"),
    "L07": (broadcast, "gradient_follows_labels"),
    "L08": (inverted_mask, "missing_labels_are_silent"),
    "L12": (skips_singletons, "gradient_follows_labels"),
    "L14": (missing_is_zero, "missing_labels_are_silent"),
    "L15": (root_at_zero, "loss_finite_at_constant"),
    "L18": (hides_nan, "nan_shows"),
}


def source_at(line):
    """The function that starts on a line of this file."""
    return "".join(inspect.getblock(Path(__file__).read_text().splitlines(True)[line - 1 :]))


@pytest.mark.parametrize("fault", FAULTY)
def test_a_faulty_loss_fails_the_check_it_is_about(fault):
    """One fault, one check, and the loss is the culprit."""
    loss, check = FAULTY[fault]
    verdict = judge(BY_ID[check], Case(subject(loss=loss, terms=None)))
    assert verdict.status == Status.FAIL
    assert verdict.culprit.path == "total"
    assert verdict.culprit.file == __file__
    assert inspect.getsource(loss) == source_at(verdict.culprit.line)


def test_a_softmax_of_raw_returns_tells_nothing_apart():
    """L11: the same loss is healthy on standardised labels and flat on raw ones."""
    raw = subject(loss=raw_listnet, terms=None, batches={"train": [batch(1, unit=0.01)]})
    assert failed(raw) == {"loss_tells_good_from_bad"}


def detached(outputs, targets, inputs):
    """A penalty on flat scores that has a value and no gradient."""
    return 1.0 / (0.1 + outputs["point"].std().item()) + 0.0 * outputs["point"].sum()


TERM_FAULTS = {
    "L01": ({"ic": Term(value=pooled_ic, shift=True)}, "days_stay_apart", "ic"),
    "L05": ({"mse": Term(value=summed)}, "loss_is_a_mean", "mse"),
    "L06": (
        {"mse": Term(value=lambda o, t, i: 100 * mse(o, t, i)), "ic": Term(value=ic)},
        "gradient_budget",
        "ic",
    ),
    "L09": (
        {"mse": Term(value=mse), "spread": Term(value=detached, rewards=False)},
        "terms_reach",
        "spread",
    ),
    "level": (
        {"ic": Term(value=pooled_ic, shift=True)},
        "terms_keep_their_word",
        "ic under a shift",
    ),
    "undeclared": (
        {"ic": Term(value=ic, shift=False)},
        "terms_keep_their_word",
        "ic under a shift",
    ),
}


@pytest.mark.parametrize("fault", TERM_FAULTS)
def test_a_faulty_term_is_named(fault):
    """The term is the culprit, not the loss as a whole."""
    terms, check, path = TERM_FAULTS[fault]
    verdict = judge(BY_ID[check], Case(subject(terms=terms)))
    assert verdict.status == Status.FAIL
    assert (verdict.culprit.kind, verdict.culprit.path) == ("term", path)


def test_a_weight_that_is_never_used_does_not_add_up():
    """L10: declared at 0.9, counted at 0.5."""
    terms = TERMS | {"ic": replace(TERMS["ic"], weight=0.9)}
    verdict = judge(BY_ID["weights_count"], Case(subject(terms=terms)))
    assert verdict.status == Status.FAIL
    assert "add up to" in verdict.measured


def test_a_drowned_term_may_be_meant():
    """A share that is declared is what the gradient is held against."""
    loud = Term(value=lambda o, t, i: 20 * mse(o, t, i))
    for quiet, status in ((Term(value=ic), Status.FAIL), (Term(value=ic, share=0.01), Status.PASS)):
        one = subject(terms={"mse": loud, "ic": quiet})
        assert judge(BY_ID["gradient_budget"], Case(one)).status == status


def classifier(loss, probabilities):
    """Logits of whether the label is above 1, of which few are."""

    def call(outputs, targets, inputs):
        event = (targets["label"] > 1).float()
        known = targets["known"]
        return loss(outputs["point"][known], event[known])

    return subject(
        loss=call, terms=None, probabilities=probabilities, classes=lambda labels: labels > 1
    )


@pytest.mark.parametrize(
    ("loss", "probabilities", "status"),
    [
        pytest.param(
            functional.binary_cross_entropy_with_logits,
            lambda outputs: outputs["point"].sigmoid(),
            Status.PASS,
            id="logits",
        ),
        pytest.param(
            functional.binary_cross_entropy_with_logits,
            lambda outputs: outputs["point"],
            Status.FAIL,
            id="probabilities-as-logits",
        ),
    ],
)
def test_logits_and_probabilities_are_told_apart(loss, probabilities, status):
    """L17: the best constant stands for the share of the class, if both mean the same."""
    one = classifier(loss, probabilities)
    assert judge(BY_ID["probability_meets_the_share"], Case(one)).status == status


@dataclass
class Normal:
    """What a model puts out that says how sure it is."""

    mean: torch.Tensor
    variance: torch.Tensor


class Wide(nn.Module):
    """Several numbers per row, in the form that *shape* makes of them."""

    def __init__(self, width, shape):
        super().__init__()
        self.layer = nn.Linear(FEATURES, width)
        self.shape = shape

    def forward(self, features):
        """Outputs of every row."""
        return self.shape(self.layer(features))


def complete(seed=2, *, classes=False):
    """Features of one day without names, beside a vector of complete labels."""
    inputs, targets = batch(seed, missing=0.0, days=1)
    label = targets["label"][:, 0]
    return inputs["features"], (label > 0).long() if classes else label


def pinball(quantiles, label):
    """Three quantiles."""
    short = label[:, None] - quantiles
    level = torch.tensor([0.1, 0.5, 0.9])
    return torch.maximum(level * short, (level - 1) * short).mean()


def random_pairs(score, label):
    """Logistic loss on pairs that are drawn anew each time."""
    other = torch.randperm(len(score))
    sign = torch.sign(label - label[other])
    return functional.softplus(-sign * (score - score[other])).mean()


def first(outputs):
    """The first column."""
    return outputs[:, 0]


FOREIGN = {
    "mse": (1, first, nn.MSELoss(), {"scores": lambda x: x}),
    "l1": (1, first, functional.l1_loss, {"scores": lambda x: x}),
    "huber": (1, first, nn.SmoothL1Loss(), {"scores": lambda x: x}),
    "pairs": (1, first, random_pairs, {"scores": lambda x: x}),
    "quantiles": (3, lambda x: x, pinball, {"scores": lambda x: x[:, 1]}),
    "mean_of_quantiles": (3, lambda x: x, pinball, {"scores": lambda x: x.mean(1)}),
    "normal": (
        2,
        lambda x: Normal(x[:, 0], x[:, 1].exp()),
        lambda out, label: functional.gaussian_nll_loss(out.mean, label, out.variance),
        {"scores": lambda out: out.mean},
    ),
    "tuple": (
        2,
        lambda x: (x[:, 0], x[:, 1]),
        lambda out, label: functional.mse_loss(out[0], label),
        {"scores": lambda out: out[0]},
    ),
}
BINARY = {
    "two_logits": (
        2,
        lambda x: x,
        nn.CrossEntropyLoss(),
        {
            "scores": lambda x: x[:, 1] - x[:, 0],
            "probabilities": lambda x: x.softmax(1)[:, 1],
        },
    ),
    "one_logit": (
        1,
        first,
        lambda x, y: functional.binary_cross_entropy_with_logits(
            x, y.float(), pos_weight=torch.tensor(3.0)
        ),
        {"scores": lambda x: x, "probabilities": torch.sigmoid},
    ),
    "probability": (
        1,
        lambda x: x[:, 0].sigmoid(),
        lambda p, y: functional.binary_cross_entropy(p, y.float()),
        {"scores": lambda p: p, "probabilities": lambda p: p},
    ),
    "undeclared_probability": (
        1,
        lambda x: x[:, 0].sigmoid(),
        lambda p, y: functional.binary_cross_entropy(p, y.float()),
        {"scores": lambda p: p},
    ),
}


@pytest.mark.parametrize("name", [*FOREIGN, *BINARY])
def test_losses_of_other_people_fail_nothing(name):
    """Vectors, quantiles, classes, tuples and dataclasses; pairs drawn at random."""
    width, shape, loss, parts = (FOREIGN | BINARY)[name]
    one = Subject(
        name=name,
        model=lambda: Wide(width, shape),
        batches={"train": [complete(seed, classes=name in BINARY) for seed in range(2)]},
        loss=loss,
        days="batch",
        **parts,
    )
    found = verdicts(one)
    assert {k for k, v in found.items() if v.status in (Status.FAIL, Status.ERROR)} == set()
    judged = sum(v.status == Status.PASS for v in found.values())
    assert judged >= 4 or name == "undeclared_probability"


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        (lambda outputs: outputs["point"].softmax(1), "no straight function"),
        (lambda outputs: outputs["hidden"][:, None].expand(-1, HORIZONS) * 1.0, "no straight"),
    ],
)
def test_scores_that_cannot_be_replaced_are_said_to_be(scores, reason):
    """What cannot be judged is skipped with its reason."""
    verdict = judge(BY_ID["nan_shows"], Case(subject(scores=scores)))
    assert verdict.status == Status.SKIP
    assert reason in verdict.measured


def test_a_loss_that_cries_out_shows_its_nan():
    """A library that puts a huge number where the loss is none hides nothing."""

    def cries(outputs, targets, inputs):
        loss = blend(outputs, targets, inputs)
        return loss if torch.isfinite(loss) else torch.full_like(loss, 1e9)

    assert judge(BY_ID["nan_shows"], Case(subject(loss=cries))).status == Status.PASS
    assert judge(BY_ID["nan_shows"], Case(subject(loss=hides_nan))).status == Status.FAIL


def apart(inputs, targets, columns):
    """Labels of one horizon a row, and of none in the first half of the rows."""
    rows = len(targets["known"])
    known = torch.eye(HORIZONS, dtype=torch.bool).repeat(rows // HORIZONS, 1)
    known = known & (torch.arange(rows) >= rows // 2)[:, None] & torch.tensor(columns)
    return inputs, {"label": torch.where(known, targets["label"], torch.nan), "known": known}


def pooled(outputs, targets, inputs):
    """Squared error over what is known, 0 where nothing is."""
    score, label = known_rows(outputs, targets)
    return (score - label).square().sum() / max(len(label), 1)


def pooled_hidden(outputs, targets, inputs):
    """The same, with a 0 where the score is not a number."""
    return pooled(outputs | {"point": torch.nan_to_num(outputs["point"])}, targets, inputs)


def test_a_score_that_is_no_number_stands_where_a_label_is():
    """No row has all of its labels, the first have none; without any nothing can be told."""
    some = {"train": [apart(*batch(1, missing=0.0), [True, True])]}
    none = {"train": [apart(*batch(1), [False, False])]}
    for loss, status in ((pooled, Status.PASS), (pooled_hidden, Status.FAIL)):
        one = subject(loss=loss, terms=None, batches=some)
        assert judge(BY_ID["nan_shows"], Case(one)).status == status
    verdict = judge(BY_ID["nan_shows"], Case(subject(loss=pooled, terms=None, batches=none)))
    assert verdict.status == Status.SKIP


def test_days_too_small_to_be_cut_are_said_to_be():
    """Of two or three stocks nothing tells a mean from a sum."""
    inputs, targets = batch(1)
    inputs["group_day"] = torch.arange(len(inputs["group_day"])) // 10
    one = subject(batches={"train": [(inputs, targets)]})
    assert judge(BY_ID["loss_is_a_mean"], Case(one)).status == Status.SKIP


def test_a_model_that_puts_out_nan_is_not_the_fault_of_its_loss():
    """Outputs that are no numbers are for the other layers to tell."""

    class Broken(Ranker):
        def forward(self, inputs):
            out = super().forward(inputs)
            return out | {"hidden": out["hidden"] * torch.nan}

    verdict = judge(BY_ID["loss_finite_at_constant"], Case(subject(model=Broken)))
    assert verdict.status == Status.SKIP
    assert "not finite" in verdict.measured


def test_a_loss_of_other_outputs_is_not_blamed():
    """Scores that are a copy of what the loss reads have no gradient of their own."""

    class Copies(Ranker):
        def forward(self, inputs):
            out = super().forward(inputs)
            return out | {"score": out["point"].clone()}

    one = subject(model=Copies, scores=lambda outputs: outputs["score"], terms=None)
    verdict = judge(BY_ID["gradient_follows_labels"], Case(one))
    assert verdict.status == Status.SKIP


@pytest.mark.parametrize("parts", [{"weight": 0.0}, {"share": 1.5}])
def test_numbers_that_mean_nothing_are_refused(parts):
    """A weight of 0 is no term."""
    with pytest.raises(SettingsError, match="of a term is"):
        Term(value=mse, **parts)
