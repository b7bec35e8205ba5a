"""Batches are the same at each reading, however they are made and whatever is done to them."""

import itertools

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from flatline.harness import CHECKS, Case, Status, Subject, judge
from flatline.harness.replay import Replay

DRAW = torch.Generator().manual_seed(0)
FEATURES = torch.randn(160, 4, generator=DRAW)
LABELS = FEATURES[:, :1] + 0.1 * torch.randn(160, 1, generator=DRAW)
# What a batch that differs from reading to reading, or that is changed in place, would upset.
READ_TWICE = (
    "evaluations_agree", "deepcopy_agrees", "pickle_agrees", "state_round_trips", "modes_agree",
    "loss_falls",
)  # fmt: skip


class InPlace(torch.nn.Linear):
    """Standardises its input where it lies."""

    def forward(self, x):
        """Scores of every row."""
        return super().forward(x.sub_(x.mean(0)).div_(x.std(0)))


def own_generator():
    """A loader that goes on drawing from a generator of its own."""
    loader = DataLoader(
        TensorDataset(FEATURES, LABELS),
        batch_size=20,
        shuffle=True,
        generator=torch.Generator().manual_seed(0),
    )
    return lambda split: loader


def in_order(split):
    """The same in order."""
    return list(zip(FEATURES.split(20), LABELS.split(20), strict=True))


def subject(batches, model=lambda: torch.nn.Linear(4, 1)):
    """One day a batch."""
    return Subject(
        name="any",
        model=model,
        batches=batches,
        loss=torch.nn.functional.mse_loss,
        scores=lambda y: y,
        days="batch",
    )


@pytest.mark.parametrize(
    ("batches", "model"),
    [
        pytest.param(own_generator(), lambda: torch.nn.Linear(4, 1), id="own-generator"),
        pytest.param(in_order, lambda: InPlace(4, 1), id="changed-in-place"),
    ],
)
def test_neither_loaders_nor_models_change_what_is_read(batches, model):
    """A healthy model passes, and the data of the subject are as they were."""
    before = FEATURES.clone()
    case = Case(subject(batches, model), steps=50)
    found = {one.id: judge(one, case) for one in CHECKS if one.id in READ_TWICE}
    assert {c: v.measured for c, v in found.items() if v.status != Status.PASS} == {}
    assert torch.equal(FEATURES, before)


def test_all_batches_come_once_in_one_order():
    """Two readings that are interleaved, and one that stops early, see the same."""
    replay = Replay(subject(own_generator()))
    first, second = iter(replay("train")), iter(replay("train"))
    pairs = [(next(first)[0], next(second)[0]) for _ in range(3)]
    assert all(torch.equal(one, other) for one, other in pairs)
    whole = [x for x, _ in replay("train")]
    assert torch.equal(
        torch.cat([*(x for x, _ in pairs), *(x for x, _ in first)]), torch.cat(whole)
    )
    assert sorted(torch.cat(whole)[:, 0].tolist()) == sorted(FEATURES[:, 0].tolist())
    assert len(replay("train")) == len(whole) == 8


@pytest.mark.parametrize("kept", [0, 20 * 5 * 4 * 3])
def test_what_there_is_no_room_for_is_read_anew(kept):
    """A split larger than what is kept still comes whole."""
    replay = Replay(subject(in_order), kept=kept)
    for _ in range(2):
        assert torch.equal(torch.cat([x for x, _ in replay("train")]), FEATURES)


def test_a_split_without_an_end_is_read_only_as_far_as_asked():
    """A generator that goes on for ever."""
    replay = Replay(subject(lambda split: itertools.cycle(in_order(split))))
    taken = [x for x, _ in itertools.islice(replay("train"), 11)]
    again = [x for x, _ in itertools.islice(replay("train"), 11)]
    assert torch.equal(torch.cat(taken), torch.cat(again))


def test_a_split_that_raises_does_not_end_there():
    """An error in the middle is raised again, and not taken for the end."""

    def broken(split):
        yield from in_order(split)[:2]
        raise OSError("the file is gone")

    replay = Replay(subject(broken))
    for _ in range(2):
        with pytest.raises(OSError, match="the file is gone"):
            list(replay("train"))


def test_a_pass_that_writes_to_its_inputs_is_named():
    """In the copy it was given it does no harm here; in a training it does."""
    check = next(one for one in CHECKS if one.id == "inputs_untouched")
    assert judge(check, Case(subject(in_order))).status == Status.PASS
    found = judge(check, Case(subject(in_order, lambda: InPlace(4, 1))))
    assert found.status == Status.FAIL
    assert "InPlace writes to the inputs" in found.culprit.evidence
