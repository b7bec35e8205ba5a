"""Patches: cut as they should be, one map for all, and the place they lie in."""

import pytest
import torch

from flatline.errors import ShapeError
from flatline.layers import PatchEmbedding


def embedding(lookback=20, patch_length=5, stride=5):
    """Vectors of length 8."""
    torch.manual_seed(0)
    return PatchEmbedding(lookback, hidden=8, patch_length=patch_length, stride=stride)


@pytest.mark.parametrize(
    ("lookback", "patch_length", "stride"), [(20, 5, 5), (20, 8, 4), (20, 7, 4), (12, 5, 3)]
)
def test_cuts_every_step_into_a_patch(lookback, patch_length, stride):
    """Beside a loop from the newest step back, the oldest step standing in for those before."""
    layer = embedding(lookback, patch_length, stride)
    windows = torch.randn(3, lookback, 2)
    ends = range(lookback, 0, -stride)
    expected = []
    for end in ends:
        steps = [max(end - back, 0) for back in range(patch_length, 0, -1)]
        expected.append(windows[:, steps].transpose(1, 2))
        if end <= patch_length:
            break
    expected = torch.stack(expected[::-1], 2)
    assert torch.equal(layer.cut(windows), expected)
    assert layer(windows).shape == (3, 2, layer.count, 8)
    assert len(expected[0, 0]) == layer.count


def test_all_features_share_one_map():
    """Features swapped, vectors swapped; rows likewise."""
    layer, windows = embedding(), torch.randn(3, 20, 4)
    torch.testing.assert_close(layer(windows.flip(2)), layer(windows).flip(1))
    torch.testing.assert_close(layer(windows.flip(0)), layer(windows).flip(0))


def test_the_table_tells_places_apart():
    """Equal content in two places differs by the table's rows alone."""
    layer = embedding()
    vectors = layer(torch.ones(1, 20, 1))[0, 0]
    torch.testing.assert_close(vectors.diff(dim=0), layer.position.diff(dim=0))
    assert layer.position.std().item() == pytest.approx(0.02, rel=0.3)


def test_position_std_is_the_start_of_the_table():
    """Ten times the option, ten times the ratio to the content."""
    windows, ratios = torch.randn(50, 20, 2), []
    for std in (0.02, 0.2):
        torch.manual_seed(0)
        layer = PatchEmbedding(20, hidden=8, patch_length=5, stride=5, position_std=std)
        ratios.append(layer.position_ratio(windows))
    assert ratios[1] == pytest.approx(10 * ratios[0])


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"patch_length": 20}, "patch_length is 20 with lookback 20, expected 1 or more steps and"),
        ({"patch_length": 0}, "patch_length is 0"),
        ({"stride": 6}, "stride is 6 with patch_length 5, .* Use at most 5"),
        ({"stride": 0}, "stride is 0"),
    ],
)
def test_patches_that_leave_steps_out_are_refused(sizes, message):
    """So is a single patch, which attention has nothing to do with."""
    with pytest.raises(ShapeError, match=message):
        embedding(**sizes)
