"""The panel: dense (dates, stocks, features) arrays with a mask, in memory or memory-mapped.

A panel is the end of frame work. Everything behind it (normalisers, splits,
edges, batches) slices whole days out of dense arrays.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from flatline.errors import ArtifactError, ShapeError

__all__ = ["Attribute", "Panel"]

FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class Attribute:
    """A named category of every stock on every date, such as its sector.

    Args:
        levels: Names of the categories.
        code: Position in *levels*, -1 where unknown on that date. Shape (dates, stocks), int16.
    """

    levels: tuple[str, ...]
    code: NDArray[np.int16]


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Features, targets and what belongs to them, for every date and stock.

    Args:
        dates: Trading days, ascending. Shape (dates,), datetime64[D].
        codes: Stock codes, ascending. Shape (stocks,), str.
        feature_names: One name per feature column.
        horizons: Horizons of the targets, in trading days.
        present: True where the stock has a good row on that date. Shape (dates, stocks), bool.
        features: NaN where unknown. Shape (dates, stocks, features), float32.
        target: Return from close(t+1) to close(t+1+h) as a fraction, NaN where
            unknown; of a single series see `series_panel`. Shape (dates, stocks, horizons),
            float32.
        label_end: Position in *dates* of the day on which the label of each
            horizon ends, t + 1 + h (t + h for a single series); len(dates) or more where
            that lies beyond the last date. Shape (dates, horizons), int64.
        daily_return: Close-to-close return as a fraction, NaN where unknown.
            Shape (dates, stocks), float32.
        attributes: Categories by name, point in time; `sector` and `segment` feed the edges.
        normaliser: Name of the normaliser the features went through, `raw` if none.
    """

    dates: NDArray[np.datetime64]
    codes: NDArray[np.str_]
    feature_names: tuple[str, ...]
    horizons: tuple[int, ...]
    present: NDArray[np.bool_]
    features: NDArray[np.float32]
    target: NDArray[np.float32]
    label_end: NDArray[np.int64]
    daily_return: NDArray[np.float32]
    attributes: Mapping[str, Attribute]
    normaliser: str = "raw"

    def __post_init__(self) -> None:
        days, stocks = len(self.dates), len(self.codes)
        expected = {
            "present": (days, stocks),
            "features": (days, stocks, len(self.feature_names)),
            "target": (days, stocks, len(self.horizons)),
            "label_end": (days, len(self.horizons)),
            "daily_return": (days, stocks),
        }
        for name, shape in expected.items():
            found = getattr(self, name).shape
            if found != shape:
                raise ShapeError(
                    f"{name} has shape {found}, expected {shape} from the panel's dates, codes "
                    "and names. Build all parts from one frame."
                )

    @property
    def rows(self) -> int:
        """Number of (date, stock) pairs that are present."""
        return int(np.count_nonzero(self.present))

    @property
    def nbytes(self) -> int:
        """Bytes of the dense arrays."""
        dense = (self.features, self.target, self.present, self.daily_return)
        return sum(a.nbytes for a in dense) + sum(a.code.nbytes for a in self.attributes.values())

    def with_features(
        self, features: NDArray[np.float32], names: tuple[str, ...], *, normaliser: str
    ) -> Panel:
        """The same panel with other feature columns."""
        return replace(self, features=features, feature_names=names, normaliser=normaliser)

    def save(self, folder: Path) -> None:
        """Write the panel as a folder of .npy files, appearing whole or not at all.

        Raises:
            ArtifactError: The folder exists already.
        """
        if folder.exists():
            raise ArtifactError(f"panel folder is {folder}, expected a new one. Choose another.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            self._write(staging)
            staging.replace(folder)
        finally:
            # Gone by its new name if all went well.
            shutil.rmtree(staging, ignore_errors=True)

    def _write(self, folder: Path) -> None:
        for name in ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)
        for name, attribute in self.attributes.items():
            np.save(folder / f"attribute_{name}.npy", attribute.code, allow_pickle=False)
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "feature_names": self.feature_names,
            "horizons": self.horizons,
            "normaliser": self.normaliser,
            "attributes": {name: a.levels for name, a in self.attributes.items()},
        }
        (folder / "panel.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, *, memory_map: bool = True) -> Panel:
        """Read a panel back; dense arrays stay on disk until touched when *memory_map*.

        Raises:
            ArtifactError: The folder is no panel, one of another format, or part of it is
                missing or damaged.
        """
        try:
            manifest = json.loads((folder / "panel.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ArtifactError(
                f"panel folder is {folder}, expected one with a readable panel.json. "
                "Build the panel again."
            ) from error
        if manifest.get("format") != FORMAT:
            raise ArtifactError(
                f"panel format is {manifest.get('format')!r}, expected {FORMAT}. "
                "Build the panel again."
            )

        mode: Literal["r"] | None = "r" if memory_map else None

        def array(name: str) -> NDArray[Any]:
            return np.load(folder / f"{name}.npy", mmap_mode=mode, allow_pickle=False)  # type: ignore[no-any-return]

        try:
            return cls(
                **{name: array(name) for name in ARRAYS},
                feature_names=tuple(manifest["feature_names"]),
                horizons=tuple(manifest["horizons"]),
                attributes={
                    name: Attribute(tuple(levels), array(f"attribute_{name}"))
                    for name, levels in manifest["attributes"].items()
                },
                normaliser=manifest["normaliser"],
            )
        except (OSError, ValueError, KeyError) as error:
            raise ArtifactError(
                f"panel folder {folder} is damaged ({error}), expected every array that its "
                "panel.json names. Build the panel again."
            ) from error


ARRAYS = ("dates", "codes", "present", "features", "target", "label_end", "daily_return")
