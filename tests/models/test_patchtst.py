"""PatchTST and APEX: nothing they declare is without effect, and rows keep to themselves."""

import copy

import pytest
import torch
from scipy.stats import spearmanr

from flatline.errors import SettingsError, ShapeError
from flatline.models import PatchTSTSettings, attention_entropy
from flatline.settings import Settings
from models.patch_cases import apex, draw, patchtst

VARIANTS = [
    pytest.param(build, settings, id=f"{build.__name__}-{settings}")
    for build, settings in [
        (patchtst, {}),
        *((patchtst, {"norm": norm, "pre_norm": pre}) for norm in ("batch", "layer")
          for pre in (True, False)),
        *((patchtst, {"pooling": pooling}) for pooling in ("mean", "max")),
        (patchtst, {"patch_length": 7, "stride": 4}),
        (patchtst, {"task": "classification"}),
        (patchtst, {"task": "ranking"}),
        (apex, {}),
        (apex, {"patch_length": 3, "stride": 2}),
    ]
]  # fmt: skip
QUIET = [param for param in VARIANTS if "max" not in param.id]


def loss_of(forecast):
    """A number that every output takes part in, each by a weight of its own."""
    outputs = [x for x in forecast if x is not None]
    generator = torch.Generator().manual_seed(7)
    return sum((x * torch.randn(x.shape, generator=generator)).sum() for x in outputs)


@pytest.mark.parametrize(("build", "settings"), VARIANTS)
def test_every_parameter_learns_from_the_start(build, settings):
    """A loss on all that is put out gives every parameter a gradient."""
    model = build(**settings)
    loss_of(model(draw())).backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None or not (p.grad != 0).any()]
    assert dead == []


@pytest.mark.parametrize(("build", "settings"), QUIET)
def test_moving_any_step_of_any_feature_moves_the_scores(build, settings):
    """One value of every row is changed, and every row's scores follow."""
    model, batch = build(**settings).eval(), draw()
    with torch.no_grad():
        before = model(batch).point
        for step in range(20):
            for feature in range(6):
                other = dict(batch, features=batch["features"].clone())
                other["features"][:, step, feature] += 1
                moved = (model(other).point - before).abs().amax(1)
                assert (moved > 1e-6).all(), (step, feature)


@pytest.mark.parametrize("pooling", ["flatten", "mean", "max"])
def test_no_feature_is_read_in_the_light_of_another(pooling):
    """Channels meet in the head alone: moving one leaves the states of the others alone."""
    model, batch = patchtst(pooling=pooling).eval(), draw()
    other = batch["features"].clone()
    other[:, :, 2] += 1
    with torch.no_grad():
        states = [model.encoder(x).reshape(24, 6, -1) for x in (batch["features"], other)]
    moved = (states[1] - states[0]).abs().amax((0, 2))
    assert (moved[[0, 1, 3, 4, 5]] == 0).all()
    assert moved[2] > 0.1


@pytest.mark.parametrize(("build", "settings"), VARIANTS)
def test_rows_of_a_batch_keep_to_themselves(build, settings):
    """In eval mode each row has the scores it has alone, and in any order."""
    model, batch = build(**settings), draw()
    model(batch)  # Running statistics away from where they start.
    model.eval()
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = model(batch).point
        shuffled = model({key: value[order] for key, value in batch.items()}).point
        alone = torch.cat(
            [model({k: v[i : i + 1] for k, v in batch.items()}).point for i in range(24)]
        )
    torch.testing.assert_close(shuffled, whole[order])
    torch.testing.assert_close(alone, whole)


def test_batch_norm_mixes_the_rows_in_training_alone():
    """What eval mode must not do, training does, and layer norm never."""
    for norm, mixes in (("batch", True), ("layer", False)):
        model, batch = patchtst(norm=norm).train(), draw()
        other = dict(batch, features=batch["features"].clone())
        other["features"][12:] *= 3
        first = (model(other).point - model(batch).point)[:12].abs().max()
        assert (first > 1e-3).item() is mixes
        model.eval()
        assert torch.equal(model(other).point[:12], model(batch).point[:12])


@pytest.mark.parametrize(
    "settings",
    [
        {"task": "ranking"},
        {"task": "classification"},
        {"hidden": 32},
        {"depth": 3},
        {"attention_heads": 4},
        {"feed_forward": 16},
        {"patch_length": 10},
        {"stride": 3},
        {"norm": "layer"},
        {"pre_norm": False},
        {"pooling": "mean"},
        {"pooling": "max"},
        {"dropout": 0.3},
    ],
    ids=str,
)
def test_every_setting_changes_what_is_put_out(settings):
    """From the same seed; a setting that changes nothing would be a bug."""
    outputs = []
    for model in (patchtst(), patchtst(**settings)):
        torch.manual_seed(1)
        with torch.no_grad():
            # Away from the start, where intercepts are 0.
            for parameter in model.head.parameters():
                parameter.add_(0.1)
            outputs.append(model(draw()))
    plain, other = outputs
    quantiles = (plain.quantiles is None) == (other.quantiles is None)
    assert not quantiles or not torch.allclose(plain.point, other.point)


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden": 32},
        {"attention_heads": 4},
        {"patch_length": 10},
        {"stride": 3},
        {"dropout": 0.3},
    ],
    ids=str,
)
def test_every_setting_of_apex_changes_its_scores(settings):
    """From the same seed."""
    outputs = []
    for model in (apex(), apex(**settings)):
        torch.manual_seed(1)
        outputs.append(model(draw()).point)
    assert not torch.allclose(*outputs)


def test_tasks_differ_in_what_the_heads_put_out():
    """Quantiles for regression alone; no intercept for ranking alone."""
    made = {task: patchtst(task=task) for task in ("regression", "classification", "ranking")}
    quantiles = {task: model(draw()).quantiles is not None for task, model in made.items()}
    assert quantiles == {"regression": True, "classification": False, "ranking": False}
    intercepts = {
        task: any(name.endswith("bias") for name, _ in model.head.named_parameters())
        for task, model in made.items()
    }
    assert intercepts == {"regression": True, "classification": True, "ranking": False}
    assert patchtst(sizes={"levels": ()})(draw()).quantiles is None
    assert apex()(draw()).quantiles is None


def test_what_is_not_read_is_declared_and_changes_nothing():
    """Static features and edges may come along."""
    extra = {
        "static_features": torch.randn(24, 3),
        "edge_index": torch.tensor([[0, 1], [1, 2]]),
        "edge_attr": torch.randn(2, 3),
    }
    sizes = {"static": 3, "edge_attributes": 3}
    for build in (patchtst, apex):
        model, batch = build(sizes=sizes).eval(), draw() | extra
        assert set(model.UNREAD) == set(extra)
        assert not model.settings.reads_graph
        for key in model.UNREAD:
            other = batch | {key: batch[key].flip(0)}
            if key == "edge_index":
                other[key] = batch[key].flip(1)
            assert torch.equal(model(other).point, model(batch).point), key


@pytest.mark.parametrize("pre_norm", [True, False], ids=["pre", "post"])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_forty_eight_layers_stay_trainable(norm, pre_norm):
    """The first layer's gradient is within a factor 100 of the last one's, and steps help."""
    model = patchtst(depth=48, norm=norm, pre_norm=pre_norm, sizes={"features": 2})
    batch = draw(stocks=24, features=2)
    target = batch["features"][:, -1, :1]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for step in range(6):
        optimizer.zero_grad()
        loss = (model(batch).point - target).square().mean()
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            layers = model.encoder.transformer.layers
            first, last = (layers[i].inner.weight.grad.norm() for i in (0, -1))
            assert 0.01 < first / last < 100
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]


def test_positions_start_small_beside_the_content():
    """The ratio is the one of the two spreads, and follows either of them."""
    model, batch = patchtst(hidden=64), draw(stocks=100)
    ratio = model.position_ratio(batch)
    assert ratio == pytest.approx(0.02 / 0.577, rel=0.3)
    with torch.no_grad():
        model.encoder.patches.position.mul_(50)
    assert model.position_ratio(batch) == pytest.approx(50 * ratio)
    loud = dict(batch, features=1000 * batch["features"])
    # The bias of the map, a constant, stays small.
    assert model.position_ratio(loud) == pytest.approx(50 * ratio / 1000, rel=0.3)


def test_attention_entropy_tells_uniform_from_sharp():
    """1 where queries are 0, near 0 where they are loud, one number per layer and head."""
    model, batch = patchtst(depth=3).eval(), draw()
    before = model(batch).point
    fresh = attention_entropy(model, batch)
    assert fresh.shape == (3, 2)
    assert ((fresh > 0.5) & (fresh < 1)).all()
    assert torch.equal(model(batch).point, before)
    attention = model.encoder.transformer.layers[1].attention
    with torch.no_grad():
        for part in (attention.query.weight, attention.query.bias):
            part.mul_(0)
        torch.testing.assert_close(attention_entropy(model, batch)[1], torch.ones(2))
        torch.nn.init.normal_(attention.query.weight, std=1000)
    assert (attention_entropy(model, batch)[1] < 0.1).all()
    with pytest.raises(ShapeError, match="model is a Linear without self-attention"):
        attention_entropy(torch.nn.Linear(1, 1), batch)


@pytest.mark.parametrize(("build", "settings"), [VARIANTS[0], VARIANTS[4], VARIANTS[-1]])
def test_exports_with_any_number_of_rows(build, settings):
    """`torch.export` gives a program that scores another batch as the model does."""
    model, batch, other = build(**settings).eval(), draw(), draw(seed=1, stocks=17)
    rows = torch.export.Dim("rows", min=2)
    program = torch.export.export(
        model, (batch,), dynamic_shapes=({key: {0: rows} for key in batch},)
    )
    torch.testing.assert_close(program.module()(other).point, model(other).point)


@pytest.mark.parametrize("build", [patchtst, apex])
def test_bfloat16_autocast_stays_near_full_precision(build):
    """Scores are float32 and near the full ones."""
    model, batch = build(), draw(stocks=100)
    full = model(batch).point
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = model(batch).point
    assert mixed.dtype == torch.float32
    assert (mixed - full).abs().max() < 0.1 * full.std()


def test_weights_survive_saving():
    """Running statistics too; nothing that can be worked out again is saved."""
    first, second, batch = patchtst(), patchtst(seed=1), draw()
    first(batch)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert torch.equal(first.eval()(batch).point, second.eval()(batch).point)
    assert not any("mask" in name for name in first.state_dict())


@pytest.mark.parametrize(
    ("build", "steps", "rate"), [(patchtst, 60, 3e-3), (apex, 60, 3e-3)], ids=["patchtst", "apex"]
)
def test_finds_a_planted_signal_in_a_few_steps(build, steps, rate):
    """The move of one feature over its newest week, less another's newest value."""

    def planted(batch):
        x = batch["features"]
        return (x[:, -1, 0] - x[:, -5, 0] - x[:, -1, 3])[:, None] / 3**0.5

    model = build(sizes={"horizons": (1,), "levels": ()})
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    for step in range(steps):
        batch = draw(seed=step, days=2, stocks=60)
        optimizer.zero_grad()
        (model(batch).point - planted(batch)).square().mean().backward()
        optimizer.step()
    batch = draw(seed=10**6, days=4, stocks=60)
    with torch.no_grad():
        found = model.eval()(batch).point
    assert spearmanr(found[:, 0], planted(batch)[:, 0]).statistic > 0.8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patch_length": 20}, "patch_length is 20 with lookback 20.*Use at most 19"),
        ({"patch_length": 4}, "stride is 5 with patch_length 4.*Use at most 4"),
        ({"attention_heads": 3}, "hidden is 16, expected a multiple of the 3 attention heads"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_at_once(settings, message):
    """In the constructor, not in the first batch."""
    for build in (patchtst, apex):
        with pytest.raises(ShapeError, match=message):
            build(**settings)


def test_settings_know_their_names():
    """An unknown name and an impossible value are refused; every field is described."""
    for wrong in ({"pooled": "mean"}, {"norm": "instance"}, {"depth": 49}, {"depth": 1}):
        with pytest.raises(SettingsError, match=f"^{next(iter(wrong))} is "):
            PatchTSTSettings(**wrong)
    assert all(field.description for field in PatchTSTSettings.model_fields.values())


@pytest.mark.parametrize("model", [{"name": "apex"}, {"name": "patchtst", "task": "ranking"}])
def test_a_loss_on_quantiles_that_are_not_given_is_refused(model):
    """When the settings are read, before any price is."""
    with pytest.raises(SettingsError, match=r"pinball is set but model .* gives no quantiles"):
        Settings(model=model)
    Settings(model=model, loss={"weights": {"listnet": 1.0}})
    Settings(model={"name": "patchtst"})
