"""Prediction heads: quantiles never cross, options do what they say."""

from statistics import NormalDist

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flatline.errors import ShapeError
from flatline.layers import PredictionHead

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def head(**options):
    """Two horizons, the same start every time."""
    torch.manual_seed(0)
    return PredictionHead(16, horizons=(1, 5), **({"levels": LEVELS} | options))


@given(
    st.lists(st.floats(0.01, 0.99), unique=True, max_size=6).map(sorted),
    st.sampled_from(["gated", "apex"]),
    st.floats(0.1, 300),
)
@settings(max_examples=40, deadline=None)
def test_quantiles_never_cross(levels, variant, size):
    """Whatever the levels, the variant and the size of the state."""
    point, quantiles = head(levels=levels, variant=variant, init_std=2.0)(size * torch.randn(9, 16))
    assert point.shape == (9, 2)
    assert quantiles.shape == (9, 2, len(levels))
    assert (quantiles.diff(dim=-1) >= 0).all()


@pytest.mark.parametrize("levels", [LEVELS, (0.1, 0.4), (0.9,), ()])
def test_quantiles_start_as_a_standard_normals(levels):
    """With nothing from the state, the quantiles are those of N(0, 1)."""
    _, quantiles = head(levels=levels)(torch.zeros(1, 16))
    layer = head(levels=levels, init_std=1e-9)
    _, quantiles = layer(torch.zeros(1, 16))
    expected = torch.tensor([NormalDist().inv_cdf(level) for level in levels])
    torch.testing.assert_close(quantiles[0, 1], expected)


def test_apex_is_one_linear_map_per_horizon():
    """Scores of the apex variant are affine in the state; the gated ones are not."""
    near, far = torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(0))
    for variant, straight in (("apex", True), ("gated", False)):
        layer = head(variant=variant)
        middle = layer((near + far) / 2)[0]
        affine = torch.allclose(middle, (layer(near)[0] + layer(far)[0]) / 2, atol=1e-6)
        assert affine is straight
    assert {n.split(".")[2] for n, _ in head(variant="apex").named_parameters()} == {
        "linear",
        "scale",
        "bias",
    }


def test_init_std_is_the_spread_of_the_last_weights():
    """Twice the setting, twice the weights and the spread of the scores at the start."""
    small = head(variant="apex").horizons["5"].linear.weight
    large = head(variant="apex", init_std=0.1).horizons["5"].linear.weight
    torch.testing.assert_close(large, 2 * small)
    assert small.std().item() == pytest.approx(0.05, rel=0.3)


def test_layer_scale_multiplies_the_scores_and_learns():
    """Half the setting, half the scores; its gradient is not 0."""
    state = torch.randn(9, 16)
    half = head(layer_scale=0.5)
    torch.testing.assert_close(half(state)[0], 0.5 * head()(state)[0])
    half(state)[0].square().sum().backward()
    assert half.horizons["1"].scale.factor.grad != 0


def test_without_an_intercept_nothing_is_added():
    """The apex variant is then linear: no state, no score; drawn afresh it stays so."""
    layer = head(variant="apex", levels=(), intercept=False)
    with torch.no_grad():
        for part in layer.horizons.values():
            part.reset_parameters()
    assert (layer(torch.zeros(3, 16))[0] == 0).all()
    assert not any(name.endswith("bias") for name, _ in layer.named_parameters())
    assert layer(torch.randn(3, 16))[0].std() > 0


def test_layernorm_takes_the_size_of_the_state():
    """With it, ten times the state gives the same apex scores; without it, ten times them."""
    state = torch.randn(9, 16)
    for use, factor in ((True, 1.0), (False, 10.0)):
        layer = head(variant="apex", use_layernorm=use)
        torch.testing.assert_close(
            layer(10 * state)[0], factor * layer(state)[0], atol=1e-4, rtol=1e-4
        )


def test_bfloat16_does_not_reach_the_scores():
    """Under autocast the scores are float32 with as many values as rows."""
    state = torch.randn(500, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        point, quantiles = head()(state)
    assert point.dtype == quantiles.dtype == torch.float32
    assert point[:, 0].unique().numel() > 490


def test_hooks_see_a_horizon_before_and_after_scaling():
    """`head.horizons["5"].scale` is a module whose output is its input times the factor."""
    seen = []
    layer = head(layer_scale=0.25)
    layer.horizons["5"].scale.register_forward_hook(lambda _, x, y: seen.append((x[0], y)))
    layer(torch.randn(9, 16))
    torch.testing.assert_close(seen[0][1], 0.25 * seen[0][0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizons": ()}, r"horizons is \(\)"),
        ({"horizons": (1, 1)}, r"horizons is \(1, 1\)"),
        ({"horizons": (0, 5)}, "each 1 or more"),
        ({"levels": (0.5, 0.25)}, "ascending"),
        ({"levels": (0.0, 0.5)}, "between 0 and 1"),
        ({"intercept": False}, "without an intercept"),
    ],
)
def test_impossible_horizons_and_levels_are_refused(options, message):
    """At once, by name."""
    with pytest.raises(ShapeError, match=message):
        PredictionHead(16, **({"horizons": (1, 5), "levels": LEVELS} | options))
