"""What a model is given moves its scores: a healthy model, and deaf ones beside it."""

import pytest
import torch
from torch import nn

from flatline.harness.suites.dependence import CHECKS
from harness.dependent import Reader, changed, failing, subject, verdicts


class NoStatic(Reader):
    """The attributes are in the batch, and not read."""

    def own(self, inputs):
        """State of every row by itself."""
        return self.window(inputs) + self.stock(inputs["stock_id"])


class NoStock(Reader):
    """Stocks have a number, and it is not read."""

    def own(self, inputs):
        """State of every row by itself."""
        return self.window(inputs) + self.static(inputs["static"])


class NoClose(Reader):
    """One feature is masked before anything sees it."""

    def window(self, inputs):
        """State of the window of every row."""
        features = inputs["features"] * torch.tensor([1.0, 0.0, 1.0], device="cpu").to(
            inputs["features"]
        )
        return self.lstm(features)[0][:, -1]


class Stale(Reader):
    """The head reads the oldest state instead of the newest."""

    def window(self, inputs):
        """State of the window of every row."""
        return self.lstm(inputs["features"])[0][:, 0]


class NoEdges(Reader):
    """Edges stay in the batch; every row hears itself."""

    def heard(self, state, inputs):
        """What the neighbours of every row say."""
        return self.neighbours(state)


class Loops(Reader):
    """Every row has as many neighbours as the edges say, and each of them is itself."""

    def heard(self, state, inputs):
        """What the neighbours of every row say."""
        second = inputs["edge_index"][1:].expand(2, -1)
        return super().heard(state, inputs | {"edge_index": second})


class DetachedNeighbours(Reader):
    """What neighbours say moves the scores, and learns nothing."""

    def heard(self, state, inputs):
        """What the neighbours of every row say."""
        return super().heard(state.detach(), inputs)


class Shut(Reader):
    """A gate in front of the neighbours that starts shut, and stays so."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Parameter(torch.tensor(-40.0))

    def heard(self, state, inputs):
        """What the neighbours of every row say."""
        return self.gate.sigmoid() * super().heard(state, inputs)


class Levelled(Reader):
    """Each window is standardised by itself."""

    def window(self, inputs):
        """State of the window of every row."""
        x = inputs["features"]
        x = (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1e-5)
        return self.lstm(x)[0][:, -1]


class Detached(Reader):
    """What the window says moves the scores, and learns nothing."""

    def window(self, inputs):
        """State of the window of every row."""
        return super().window(inputs).detach()


class ZeroHead(Reader):
    """A head that starts at 0, as many good ones do."""

    def __init__(self):
        super().__init__()
        nn.init.zeros_(self.head.weight)


class Dead(ZeroHead):
    """A head that starts at 0 and is frozen there."""

    def __init__(self):
        super().__init__()
        self.head.weight.requires_grad_(False)


@pytest.fixture(scope="module")
def healthy():
    """Verdicts on the healthy subject."""
    return verdicts(subject())


def test_a_healthy_model_passes_the_whole_layer(healthy):
    """Every check is judged and passes."""
    assert {name: v.status for name, v in healthy.items()} == {c.id: "pass" for c in CHECKS}


def test_the_weakest_part_is_named_with_its_influence(healthy):
    """A pass says by how much the least of them moves the scores."""
    found = healthy["steps_matter"]
    assert found.measured.startswith("6 of 6 steps move the scores; the least, features@0, by ")
    assert found.value > found.bound


@pytest.mark.parametrize(
    ("model", "check", "culprit"),
    [
        (NoStatic, "inputs_matter", "static"),
        (NoStock, "inputs_matter", "stock_id"),
        (NoClose, "features_matter", "features:close"),
        (Stale, "steps_matter", "features@1"),
        (NoEdges, "edges_matter", "edge_index"),
        (Loops, "neighbours_matter", "neighbours"),
        (DetachedNeighbours, "gradient_reaches_inputs", "neighbours"),
        (Shut, "edges_matter", "edge_index"),
        (Levelled, "levels_matter", "features~level"),
        (Detached, "gradient_reaches_inputs", "features"),
    ],
)
def test_what_is_not_heard_is_named(model, check, culprit):
    """The check that is about it fails and points at it, with the file of the model."""
    found = verdicts(subject(model), only={check})[check]
    assert found.status == "fail"
    assert found.culprit.path == culprit
    assert found.culprit.file == __file__
    assert culprit in found.hint


def test_one_fault_is_one_failure():
    """Features of an input that is not read at all are not listed again."""
    assert failing(verdicts(subject(NoStatic))) == {"inputs_matter", "trained_inputs_matter"}


@pytest.mark.parametrize(
    ("model", "declared"),
    [
        (NoStatic, "static"),
        (NoStock, "stock_id"),
        (NoClose, "features:close"),
        (NoClose, "features:1"),
        (Stale, "features@1-5"),
        (NoEdges, "edges"),
    ],
)
def test_what_is_declared_may_be_deaf(model, declared):
    """The same models pass once they say so."""
    assert not failing(verdicts(subject(model, insensitive_to={declared})))


def test_declared_standardising_may_be_blind_to_levels():
    """Level and scale are declared one by one."""
    one = subject(Levelled, insensitive_to={"features~level"})
    assert verdicts(one, only={"levels_matter"})["levels_matter"].status == "fail"
    both = subject(Levelled, insensitive_to={"features~level", "features~scale"})
    assert not failing(verdicts(both))


def test_a_declaration_that_is_not_needed_is_reported():
    """It does no harm, and the sentence says so."""
    found = verdicts(subject(insensitive_to={"features:open"}), only={"features_matter"})
    assert "declared not to matter, and do: features:open" in found["features_matter"].measured


def test_a_head_that_starts_at_zero_is_heard_once_trained():
    """What sleeps at the start is held against the trained model."""
    assert not failing(verdicts(subject(ZeroHead)))


def test_a_head_that_stays_at_zero_hears_nothing():
    """No input moves the scores, at the start or later."""
    found = verdicts(subject(Dead), only={"inputs_matter", "trained_inputs_matter"})
    assert failing(found) == {"inputs_matter", "trained_inputs_matter"}


def test_the_module_behind_which_a_change_is_lost_is_named():
    """Evidence says how far it came."""
    found = verdicts(subject(Dead), only={"inputs_matter"})["inputs_matter"]
    assert "it reaches neighbours, and is lost before head" in found.culprit.evidence


def test_a_weak_step_is_reported_and_passes():
    """What an LSTM with a short memory keeps of its oldest step is next to nothing."""

    class Forgetful(Reader):
        def __init__(self):
            super().__init__()
            with torch.no_grad():
                self.lstm.bias_ih_l0[8:16] = -9.0

    found = verdicts(subject(Forgetful), only={"steps_matter"})["steps_matter"]
    assert found.status == "pass"
    assert "weak: features@0" in found.measured


def test_an_attribute_that_is_repeated_from_step_to_step_may_be_read_once():
    """Its steps are copies: a model that reads one of them hears it."""

    class Once(Reader):
        def own(self, inputs):
            return super().own(inputs | {"static": inputs["static"][:, 0]})

    def repeated(inputs, targets):
        return inputs | {"static": inputs["static"][:, None].repeat(1, 6, 1)}, targets

    assert not failing(verdicts(subject(Once, batches=changed(repeated))))


def test_what_is_not_there_is_skipped_with_the_reason():
    """Of a batch without windows no step is asked for."""
    found = verdicts(subject(insensitive_to={"features"}), only={"steps_matter"})
    assert found["steps_matter"].measured.startswith("not judged: all that could be are declared")


def test_a_column_that_never_varies_is_tried_with_other_values():
    """A feature that is 0 everywhere still has to reach the scores."""

    def flat(inputs, targets):
        features = inputs["features"].clone()
        features[..., 1] = 0.0
        return inputs | {"features": features}, targets

    only = {"features_matter"}
    assert not failing(verdicts(subject(batches=changed(flat)), only=only))
    assert failing(verdicts(subject(NoClose, batches=changed(flat)), only=only)) == only


def test_values_that_are_looked_up_need_no_gradient():
    """A float input of whole numbers may be an index."""

    class Lookup(Reader):
        def own(self, inputs):
            return self.window(inputs) + self.stock(inputs["static"][:, 0].long().clamp(0, 11))

    def whole(inputs, targets):
        return inputs | {"static": inputs["stock_id"].float()[:, None]}, targets

    one = subject(Lookup, batches=changed(whole), insensitive_to={"stock_id"}, columns=None)
    assert not failing(verdicts(one))


def test_an_unknown_declaration_is_an_error_that_names_the_nearest():
    """A typo must not switch a check off."""
    found = verdicts(subject(insensitive_to={"features:clsoe"}), only={"inputs_matter"})
    assert found["inputs_matter"].status == "error"
    assert "Did you mean 'close'?" in found["inputs_matter"].measured
