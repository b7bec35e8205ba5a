"""ATFT-GAT-FAN: nothing it declares is without effect, and its switches switch."""

import copy

import pytest
import torch
from pydantic import ValidationError

from flatline.errors import SettingsError
from flatline.models import AtftGatFanSettings
from models.cases import build, draw, full_loss, point_loss

NORMS = ["fan", "san", "fan_san", "revin"]
VARIANTS = [
    *({"adaptive_norm": name} for name in NORMS),
    {"bypass_adaptive_norm": True},
    {"bypass_gat": True},
    {"head_variant": "apex"},
    {"head_use_layernorm": True},
]


def moved(model, batch, other):
    """The largest change of each row's point scores, in eval mode."""
    model.eval()
    with torch.no_grad():
        return (model(other).point - model(batch).point).abs().amax(1)


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_every_parameter_learns_from_the_start(settings):
    """Point and pinball loss together give every parameter a gradient."""
    model, batch = build(**settings), draw()
    full_loss(model(batch), torch.randn(24, 2)).backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None or not (p.grad != 0).any()]
    assert dead == []


@pytest.mark.parametrize("sizes", [{"features": 1}, {"features": 2}, {"lookback": 21}])
def test_every_parameter_learns_at_odd_sizes(sizes):
    """One feature, two, and a lookback of odd length."""
    batch = draw(features=sizes.get("features", 4), lookback=sizes.get("lookback", 20))
    model = build(sizes=sizes, san_slices=1)
    full_loss(model(batch), torch.randn(24, 2)).backward()
    assert all((p.grad != 0).any() for p in model.parameters())


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_the_point_loss_reaches_every_step_and_feature(settings):
    """By gradient: each of the 20 steps of each of the 4 features, and every static feature."""
    model, batch = build(**settings), draw()
    features = batch["features"].requires_grad_()
    static = batch["static_features"].requires_grad_()
    point_loss(model(batch), torch.randn(24, 2)).backward()
    assert (features.grad.abs().amax(0) > 0).all()
    assert (static.grad.abs().amax(0) > 0).all()


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_moving_any_step_of_any_feature_moves_the_scores(settings):
    """By intervention: one value of every row is changed, and every row's scores follow."""
    model, batch = build(**settings), draw()
    for step in range(20):
        other = dict(batch, features=batch["features"].clone())
        other["features"][:, step, step % 4] += 1
        assert (moved(model, batch, other) > 1e-6).all(), step


@pytest.mark.parametrize("name", NORMS)
def test_a_level_that_the_norm_takes_out_still_moves_the_scores(name):
    """A feature's whole window shifted or stretched: gone from the rest, not from the scores."""
    model, batch = build(adaptive_norm=name), draw()
    spread = model(batch).point.std().item()
    for change in (lambda x: x + 2, lambda x: 3 * x):
        other = dict(batch, features=batch["features"].clone())
        other["features"][:, :, 0] = change(batch["features"][:, :, 0])
        assert moved(model, batch, other).mean() > 0.05 * spread


def test_static_edges_and_attributes_move_the_scores():
    """Every declared input, one at a time."""
    model, batch = build(), draw()
    for key in ("static_features", "edge_attr", "edge_index"):
        other = dict(batch, **{key: batch[key].flip(-1)})
        assert (moved(model, batch, other) > 1e-6).any(), key


def test_the_pinball_loss_alone_reaches_the_encoder():
    """Quantile heads are no dead end: their loss has a gradient at every shared block."""
    model, batch = build(), draw()
    forecast = model(batch)
    (full_loss(forecast, torch.zeros(24, 2)) - point_loss(forecast, torch.zeros(24, 2))).backward()
    for block in (model.encoder, model.gat, model.fusion):
        assert all((p.grad != 0).any() for p in block.parameters())


def test_bypass_gat_removes_the_graph():
    """No graph parameters, and edges have no effect; without the switch they have."""
    batch = draw()
    bare = {k: v for k, v in batch.items() if not k.startswith("edge")}
    with_graph, without = build(), build(bypass_gat=True)
    assert (moved(with_graph, batch, bare) > 0).all()
    assert (moved(without, batch, bare) == 0).all()
    names = {name.split(".")[0] for name, _ in without.named_parameters()}
    assert names == {"encoder", "head"}


def test_bypass_adaptive_norm_removes_it():
    """No norm and no map of what was taken; the encoder then sees the windows themselves."""
    batch, seen = draw(), []
    for settings in ({}, {"bypass_adaptive_norm": True}):
        model = build(**settings)
        model.encoder.selection.register_forward_hook(lambda _, x, y: seen.append(x[0]))
        model(batch)
    steps_first = batch["features"].transpose(0, 1)
    assert not torch.allclose(seen[0], steps_first)
    assert torch.equal(seen[1], steps_first)
    assert not any("taken_out" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"gat_init_scale": 1.0}, "fusion.project.weight"),
        ({"gat_residual_gate": 0.2}, "fusion.gate"),
        ({"head_init_std": 0.5}, "head.horizons.1.linear.weight"),
        ({"head_layer_scale": 0.1}, "head.horizons.5.scale.factor"),
    ],
)
def test_a_setting_of_the_start_changes_the_start(settings, name):
    """The named parameter starts elsewhere, and the scores with it."""
    batch = draw()
    plain, changed = build(), build(**settings)
    assert not torch.equal(dict(plain.named_parameters())[name], changed.get_parameter(name))
    assert not torch.allclose(plain(batch).point, changed(batch).point)


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden": 32},
        {"variable_width": 8},
        {"attention_heads": 2},
        {"fan_top_k": 1},
        {"san_slices": 2},
        {"gat_heads": 2},
        {"dropout": 0.3},
        *VARIANTS[:2],
        *VARIANTS[3:],
    ],
    ids=str,
)
def test_every_setting_changes_the_scores_and_the_gradient(settings):
    """From the same seed; a setting that changes nothing would be a bug."""
    results = []
    for model in (build(), build(**settings)):
        batch = draw()
        batch["features"].requires_grad_()
        torch.manual_seed(1)
        forecast = model(batch)
        full_loss(forecast, torch.ones(24, 2)).backward()
        results.append((forecast.point, batch["features"].grad))
    for plain, changed in zip(*results, strict=True):
        assert not torch.allclose(plain, changed)


def test_rows_of_other_days_do_not_matter():
    """A day alone has the scores it has beside another."""
    model, batch = build().eval(), draw()
    first = {k: v[:12] for k, v in batch.items() if not k.startswith("edge")}
    own = batch["edge_index"][1] < 12
    first |= {"edge_index": batch["edge_index"][:, own], "edge_attr": batch["edge_attr"][own]}
    torch.testing.assert_close(model(first).point, model(batch).point[:12])


def test_order_of_the_rows_does_not_matter():
    """Rows and edges shuffled together give the scores shuffled."""
    model, batch = build().eval(), draw()
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    shuffled = {k: v[order] for k, v in batch.items() if not k.startswith("edge")}
    shuffled["edge_index"] = order.argsort()[batch["edge_index"]]
    shuffled["edge_attr"] = batch["edge_attr"]
    torch.testing.assert_close(model(shuffled).point, model(batch).point[order])


def test_without_static_features_and_edge_attributes():
    """A model that declares none runs on batches that have none."""
    batch = {k: v for k, v in draw().items() if k not in ("static_features", "edge_attr")}
    model = build(sizes={"static": 0, "edge_attributes": 0})
    full_loss(model(batch), torch.randn(24, 2)).backward()
    assert all((p.grad != 0).any() for p in model.parameters())


def test_without_levels_there_are_no_quantiles():
    """A model for points only."""
    assert build(sizes={"levels": ()})(draw()).quantiles is None


def test_scores_of_a_fresh_model_vary_within_the_day():
    """At every horizon and quantile, and they fit the target's scale."""
    forecast = build(hidden=64)(draw(stocks=200))
    spread = forecast.point.reshape(2, 200, 2).std(1)
    assert (spread > 0.05).all()
    assert (spread < 2).all()
    assert (forecast.quantiles.reshape(2, 200, 2, 5).std(1) > 0.01).all()


def test_two_runs_are_the_same_bit_for_bit():
    """Three training steps from one seed, twice."""
    runs = []
    for _ in range(2):
        model, batch = build(), draw()
        optimizer = torch.optim.AdamW(model.parameters())
        for _ in range(3):
            optimizer.zero_grad()
            full_loss(model(batch), torch.ones(24, 2)).backward()
            optimizer.step()
        runs.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*runs)


def test_bfloat16_autocast_stays_near_full_precision():
    """Scores are float32, near the full ones, and train every parameter."""
    model, batch = build(), draw(stocks=100)
    full = model(batch).point
    with torch.autocast("cpu", dtype=torch.bfloat16):
        forecast = model(batch)
    assert forecast.point.dtype == torch.float32
    assert (forecast.point - full).abs().max() < 0.1 * full.std()
    full_loss(forecast, torch.randn(200, 2)).backward()
    assert all((p.grad != 0).any() for p in model.parameters())


def test_float64_model_takes_float64_batches():
    """For gradient checks: the whole stack runs in double precision."""
    batch = {k: v.double() if v.is_floating_point() else v for k, v in draw().items()}
    double = build().double()(batch).point
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), build()(draw()).point, atol=1e-4, rtol=1e-3)


def test_exports_with_any_number_of_rows_and_edges():
    """`torch.export` gives a program that scores another batch as the model does."""
    model, batch, other = build().eval(), draw(), draw(seed=1, stocks=17)
    rows, edges = torch.export.Dim("rows", min=2), torch.export.Dim("edges", min=2)
    axes = {key: {0: rows} for key in batch}
    axes |= {"edge_index": {1: edges}, "edge_attr": {0: edges}}
    program = torch.export.export(model, (batch,), dynamic_shapes=(axes,))
    torch.testing.assert_close(program.module()(other).point, model(other).point)


def test_weights_survive_saving():
    """A second model with the first one's state dict gives the same scores."""
    first, second, batch = build(), build(seed=1), draw()
    assert not torch.equal(first(batch).point, second(batch).point)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert torch.equal(first(batch).point, second(batch).point)


def test_blocks_are_named_for_hooks():
    """Encoder, graph, fusion and head, each called once a step, states of one row each."""
    model, batch, seen = build(), draw(), {}
    for name in ("encoder", "gat", "fusion", "head"):
        model.get_submodule(name).register_forward_hook(
            lambda _, x, y, name=name: seen.setdefault(name, []).append((x[0], y))
        )
    model(batch)
    assert {name: len(calls) for name, calls in seen.items()} == dict.fromkeys(seen, 1)
    assert seen["encoder"][0][1].shape == seen["head"][0][0].shape == (24, 16)


def test_settings_are_frozen_and_know_their_names():
    """An unknown name and an impossible value are refused; every field is described."""
    for wrong in ({"hiden": 64}, {"gat_residual_gate": 1.0}, {"head_variant": "deep"}):
        with pytest.raises(SettingsError, match=f"^{next(iter(wrong))} is "):
            AtftGatFanSettings(**wrong)
    with pytest.raises(ValidationError):
        AtftGatFanSettings().hidden = 3
    assert all(field.description for field in AtftGatFanSettings.model_fields.values())
