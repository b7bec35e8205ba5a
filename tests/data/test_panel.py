"""The panel: shapes that fit, and a folder that gives back what went in."""

import dataclasses
import json

import numpy as np
import pytest

from bars import prices_of, random_bars, random_sectors
from flatline.data.build import build_panel
from flatline.data.panel import ARRAYS, Panel
from flatline.errors import ArtifactError, ShapeError


@pytest.fixture(scope="module")
def panel():
    """A panel of six stocks with sectors."""
    frame = random_bars(seed=30, days=40)
    return build_panel(prices_of(frame, sectors=random_sectors(frame)), features=["gap", "body"])


@pytest.mark.parametrize("memory_map", [True, False])
def test_a_saved_panel_comes_back_whole(panel, tmp_path, memory_map):
    """Every array, name, attribute and the normaliser survive the folder."""
    normalised = panel.with_features(panel.features * 2, ("a", "b"), normaliser="day_zscore")
    normalised.save(tmp_path / "panel")
    loaded = Panel.load(tmp_path / "panel", memory_map=memory_map)
    assert isinstance(loaded.features, np.memmap) is memory_map
    for name in ARRAYS:
        found, expected = getattr(loaded, name), getattr(normalised, name)
        assert found.dtype == expected.dtype, name
        np.testing.assert_array_equal(found, expected, err_msg=name)
    assert loaded.feature_names == ("a", "b")
    assert loaded.horizons == panel.horizons
    assert loaded.normaliser == "day_zscore"
    assert loaded.nbytes == panel.nbytes
    assert list(loaded.attributes) == ["sector", "segment"]
    for name, attribute in panel.attributes.items():
        assert loaded.attributes[name].levels == attribute.levels
        np.testing.assert_array_equal(loaded.attributes[name].code, attribute.code)


def test_other_features_leave_the_old_panel_alone(panel):
    """A panel with other columns is a new value."""
    before = panel.features.copy()
    other = panel.with_features(np.zeros_like(before)[:, :, :1], ("zero",), normaliser="none")
    assert other.features.shape[2] == 1
    assert panel.normaliser == "raw"
    np.testing.assert_array_equal(panel.features, before)


@pytest.mark.parametrize("name", ["present", "features", "target", "label_end", "daily_return"])
def test_an_array_of_a_wrong_shape_is_refused(panel, name):
    """Parts of different frames cannot be put together."""
    with pytest.raises(ShapeError, match=rf"{name} has shape \(.*\), expected \("):
        dataclasses.replace(panel, **{name: getattr(panel, name)[1:]})


def test_an_existing_folder_is_not_overwritten(panel, tmp_path):
    """Saving twice into one folder is an error, and the first panel stays."""
    panel.save(tmp_path / "panel")
    with pytest.raises(ArtifactError, match="expected a new one"):
        panel.save(tmp_path / "panel")
    assert Panel.load(tmp_path / "panel").rows == panel.rows
    assert [p.name for p in tmp_path.iterdir()] == ["panel"]


def test_a_folder_that_is_no_panel_is_refused(panel, tmp_path):
    """A missing or unreadable manifest, or one of another format, is one clear error."""
    with pytest.raises(ArtifactError, match=r"expected one with a readable panel\.json"):
        Panel.load(tmp_path)
    panel.save(tmp_path / "panel")
    manifest = tmp_path / "panel" / "panel.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 99}))
    with pytest.raises(ArtifactError, match="panel format is 99, expected 1"):
        Panel.load(tmp_path / "panel")


@pytest.mark.parametrize("name", ["target", "attribute_sector"])
def test_a_panel_that_lost_a_part_is_refused(panel, tmp_path, name):
    """A missing and a cut array are the error of a damaged folder, not of the reader."""
    panel.save(tmp_path / "panel")
    array = tmp_path / "panel" / f"{name}.npy"
    array.write_bytes(array.read_bytes()[:20])
    with pytest.raises(ArtifactError, match=r"panel folder .* is damaged"):
        Panel.load(tmp_path / "panel")
    array.unlink()
    with pytest.raises(ArtifactError, match=r"panel folder .* is damaged"):
        Panel.load(tmp_path / "panel")
