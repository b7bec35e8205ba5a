"""Parts of ATFT-GAT-FAN that are switched off while it runs."""

import copy
import re

import pytest
import torch

from flatline.errors import SettingsError
from flatline.training import switched_off
from models.cases import build, draw, full_loss

PARTS = {"graph": ["gat", "fusion"], "adaptive_norm": ["encoder.norm", "encoder.taken_out"]}


def disturbed(model, paths):
    """A copy of a model with other weights in some of its modules."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for path in paths:
            for parameter in other.get_submodule(path).parameters():
                parameter.add_(torch.randn_like(parameter))
    return other


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("norm", ["fan_san", "revin"])
def test_scores_do_not_depend_on_a_part_that_is_off(part, norm):
    """Whatever the weights of its modules are; on, they count."""
    model, batch = build(adaptive_norm=norm).eval(), draw()
    assert list(model.parts[part]) == PARTS[part]
    other = disturbed(model, PARTS[part])
    assert not torch.equal(model(batch).point, other(batch).point)
    with switched_off(model, part), switched_off(other, part):
        for a, b in zip(model(batch), other(batch), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("part", PARTS)
def test_only_a_part_that_is_off_gets_no_gradient(part):
    """The parameters of its modules get none, all others do."""
    model, batch = build(), draw()
    with switched_off(model, part):
        full_loss(model(batch), torch.randn(24, 2)).backward()
    silent = {name for name, p in model.named_parameters() if p.grad is None}
    inside = tuple(f"{path}." for path in PARTS[part])
    parameters = {name for name, _ in model.named_parameters()}
    assert silent == {name for name in parameters if name.startswith(inside)} != set()


def test_without_the_graph_edges_do_not_matter():
    """Other edges, other scores; none once the graph is off."""
    model, batch, other = build().eval(), draw(), draw()
    other["edge_index"] = other["edge_index"].flip(0)
    assert not torch.equal(model(batch).point, model(other).point)
    with switched_off(model, "graph"):
        assert torch.equal(model(batch).point, model(other).point)


def test_off_is_what_a_model_without_the_part_does():
    """With the same weights, a model that was built without the part gives the same scores."""
    batch = draw()
    for part, bypass in (("graph", "bypass_gat"), ("adaptive_norm", "bypass_adaptive_norm")):
        model, without = build().eval(), build(**{bypass: True}).eval()
        assert part not in without.parts
        weights = model.state_dict()
        without.load_state_dict({name: weights[name] for name in without.state_dict()})
        with switched_off(model, part):
            assert torch.equal(model(batch).point, without(batch).point)


def test_switches_come_back():
    """Afterwards, also after an error, the parts are as they were, and so are the scores."""
    model, batch = build().eval(), draw()
    before = model(batch).point
    with switched_off(model, "graph"):
        with (
            pytest.raises(RuntimeError, match=r"\['adaptive_norm', 'graph'\]"),
            switched_off(model, "adaptive_norm", "graph"),
        ):
            raise RuntimeError(sorted(model.off))
        assert model.off == {"graph"}
    assert model.off == frozenset()
    assert torch.equal(model(batch).point, before)


def test_a_part_that_is_not_there_is_named():
    """A slip, and a part that the model was built without, are refused."""
    message = (
        "off is 'grap', expected a part of the AtftGatFan that can be switched off. "
        "Did you mean 'graph'?"
    )
    with (
        pytest.raises(SettingsError, match=f"^{re.escape(message)}$"),
        switched_off(build(), "grap"),
    ):
        pass
    with (
        pytest.raises(SettingsError, match="Did you mean 'adaptive_norm'"),
        switched_off(build(bypass_gat=True), "graph"),
    ):
        pass
    with (
        pytest.raises(SettingsError, match="There is none"),
        switched_off(torch.nn.Linear(1, 1), "graph"),
    ):
        pass


def test_exports_with_parts_off():
    """A program has what was on when it was exported, for any number of rows."""
    model, batch, other = build().eval(), draw(), draw(seed=1, stocks=17)
    rows, edges = torch.export.Dim("rows", min=2), torch.export.Dim("edges", min=2)
    axes = {key: {0: rows} for key in batch}
    axes |= {"edge_index": {1: edges}, "edge_attr": {0: edges}}
    with switched_off(model, "graph", "adaptive_norm"):
        program = torch.export.export(model, (batch,), dynamic_shapes=(axes,))
        wanted = model(other).point
    torch.testing.assert_close(program.module()(other).point, wanted)
