"""The graph is of the batch it comes with, and a model can do without it."""

import pytest
import torch

from harness.dependent import STOCKS, Reader, changed, failing, subject, verdicts


class MeanOfNone(Reader):
    """Divides by the number of neighbours, be it 0."""

    def heard(self, state, inputs):
        """What the neighbours of every row say."""
        second = inputs["edge_index"][1]
        count = torch.zeros(len(state), 1).index_add(0, second, torch.ones(len(second), 1))
        return super().heard(state, inputs) / count


def across(edges):
    """One edge leads to the next day."""
    edges[1, 0] = STOCKS


def outside(edges):
    """One edge is numbered by the universe, not by the rows of the batch."""
    edges[1, 0] = 4000


def loops(edges):
    """Every row is its own and only neighbour."""
    edges[1] = edges[0]


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (across, "12 edges"),
        (outside, "leave their batch"),
        (loops, "lead from a row to itself"),
    ],
)
def test_edges_that_lead_astray_are_counted(edit, says):
    """The check fails and names the input; on the batches as they are it passes."""

    def astray(inputs, targets):
        edges = inputs["edge_index"].clone()
        edit(edges)
        return inputs | {"edge_index": edges}, targets

    only = {"edges_stay_within_days"}
    assert not failing(verdicts(subject(), only=only))
    found = verdicts(subject(batches=changed(astray)), only=only)["edges_stay_within_days"]
    assert found.status == "fail"
    assert found.culprit.path == "edge_index"


def test_without_edges_scores_are_numbers():
    """A mean over no neighbours is caught; a sum is none the worse."""
    only = {"works_without_edges"}
    assert not failing(verdicts(subject(), only=only))
    assert failing(verdicts(subject(MeanOfNone), only=only)) == only


def test_a_model_that_insists_on_a_graph_is_judged_on_an_empty_one():
    """The key may be required; an empty graph must do."""
    found = verdicts(subject(), only={"works_without_edges"})["works_without_edges"]
    assert found.measured == "100% of scores are numbers without edges, expected all"


def test_batches_without_a_graph_skip_what_is_about_it():
    """The reason is in the report."""

    class Alone(Reader):
        def heard(self, state, inputs):
            return self.neighbours(state)

    def bare(inputs, targets):
        return {n: x for n, x in inputs.items() if "edge" not in n}, targets

    found = verdicts(subject(Alone, batches=changed(bare)))
    assert not failing(found)
    skipped = {name for name, verdict in found.items() if verdict.status == "skip"}
    assert skipped == {
        "edges_stay_within_days",
        "edges_matter",
        "neighbours_matter",
        "works_without_edges",
        "neighbours_as_declared",
    }
