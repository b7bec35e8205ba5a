"""What a checkpoint says about itself: the manifest, and the signature of a model."""

from __future__ import annotations

import hashlib
import inspect
import json
from typing import Any, NotRequired, Self, get_origin, get_type_hints

from pydantic import Field, model_validator
from torch import nn

from flatline.batch import DayBatch, Forecast
from flatline.errors import ArtifactError, SettingsError
from flatline.section import Section

__all__ = ["FORMAT", "Manifest", "Signature", "parse_json", "parse_versioned", "signature_of"]

# Raised whenever an older reader could misread what a newer writer wrote.
FORMAT = 1


class Signature(Section):
    """What a model is called with, and what it gives back.

    Args:
        kind: Name of the model's class.
        forward: Arguments of its `forward`, each with its type.
        inputs: Keys of the batch; those it can do without end with `?`.
        outputs: Parts of the forecast.
    """

    kind: str
    forward: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """A short text that differs where any part differs."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def signature_of(model: nn.Module) -> Signature:
    """The signature of a model.

    Example:
        >>> signature_of(nn.Identity()).forward
        ('input: Tensor',)
    """
    arguments = list(inspect.signature(type(model).forward).parameters.values())[1:]
    keys = get_type_hints(DayBatch, include_extras=True)
    return Signature(
        kind=type(model).__name__,
        # Types are text under postponed annotations, and classes without.
        forward=tuple(str(each).replace("'", "").replace("torch.", "") for each in arguments),
        inputs=tuple(f"{k}?" if get_origin(t) is NotRequired else k for k, t in keys.items()),
        outputs=Forecast._fields,
    )


class Manifest(Section):
    """All that is needed to build a model again, to feed it and to read its scores.

    Args:
        format_version: Of the checkpoint file.
        model: Settings of the architecture, its `name` among them.
        features: Features of a step.
        static: Static features of a row; 0 for none.
        edge_attributes: Attributes of an edge; 0 for none.
        lookback: Steps of a window.
        horizons: In trading days.
        levels: Quantile levels, ascending; empty for none.
        feature_names: Columns of the features, in order.
        normaliser: State of the normaliser that the features went through.
        target_scale: What the scores were trained on: `raw` returns as a fraction, or
            the name of what was done to them.
        signature: What the model is called with.
        versions: Of Python and the libraries that wrote the file.
        run_id: Of the run that trained the model.
        data_fingerprint: Of the panel that the run saw.

    Raises:
        SettingsError: A key is unknown or missing, a value is out of range, or two of
            them contradict each other.
    """

    format_version: int = FORMAT
    model: dict[str, Any]
    features: int = Field(ge=1)
    static: int = Field(ge=0)
    edge_attributes: int = Field(ge=0)
    lookback: int = Field(ge=1, le=100_000)
    # Bounded, as every one of them is a module to build.
    horizons: tuple[int, ...] = Field(min_length=1, max_length=1000)
    levels: tuple[float, ...] = Field(max_length=1000)
    feature_names: tuple[str, ...]
    normaliser: dict[str, Any]
    target_scale: str
    signature: Signature
    versions: dict[str, str]
    run_id: str = Field(min_length=1)
    data_fingerprint: str

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if "name" not in self.model:
            raise ValueError(
                f"model has keys {sorted(self.model)}, expected name among them. Add it."
            )
        if len(self.feature_names) != self.features:
            raise ValueError(
                f"feature_names has {len(self.feature_names)} names, expected {self.features}, "
                "one per feature. Take both from the same panel."
            )
        if len(set(self.feature_names)) != self.features:
            raise ValueError("feature_names repeats a name, expected different ones. Rename one.")
        if tuple(self.normaliser.get("feature_names", ())) != self.feature_names:
            raise ValueError(
                "normaliser.feature_names differs from feature_names, expected the same names in "
                "the same order. Take the normaliser that the features went through."
            )
        return self

    @property
    def inputs(self) -> dict[str, Any]:
        """What the model's constructor is given beside its settings, by name."""
        names = ("features", "static", "edge_attributes", "lookback", "horizons", "levels")
        return {name: getattr(self, name) for name in names}

    def as_json(self) -> str:
        """One line of JSON; floats survive exactly."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, *, source: str) -> Self:
        """The manifest that `as_json` was taken of.

        Args:
            text: JSON.
            source: What it was read from, for messages.

        Raises:
            ArtifactError: It is damaged, of a newer version, or contradicts itself.
        """
        found = parse_versioned(text, source=source)
        try:
            manifest = cls(**found)
            # As text, for 3.0 equals 3.
            same = manifest.as_json() == json.dumps(found, sort_keys=True)
        except SettingsError as error:
            raise ArtifactError(f"in the manifest of {source}, {_cut(str(error))}") from error
        except (RecursionError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"manifest of {source} cannot be checked ({error!s:.100}), expected plain values. "
                "Save the checkpoint again."
            ) from error
        if not same:
            # Such as a number given as text: taken as meant, it would hide a damage.
            raise ArtifactError(
                f"manifest of {source} reads differently once checked, expected the exact types "
                "of a manifest. Save the checkpoint again."
            )
        return manifest


def parse_versioned(text: str, *, source: str) -> dict[str, Any]:
    """The plain values of a manifest that this version can read.

    Raises:
        ArtifactError: It is no JSON, or of another format version.
    """
    found = parse_json(text, source=source)
    version = found.get("format_version")
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise ArtifactError(
            f"{source} has format version {version!r:.40}, expected {FORMAT} or an earlier "
            "one. Read it with the version of flatline that wrote it, or a newer one."
        )
    return found


def parse_json(text: str | bytes, *, source: str) -> dict[str, Any]:
    """A JSON object, strictly: no key twice, no NaN, no depth that breaks the reader.

    Raises:
        ArtifactError: The text is not such an object.
    """
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{source} cannot be read ({type(error).__name__}: {error!s:.100}), expected a header "
            "in JSON. The file is damaged: take another copy."
        ) from error
    if not isinstance(found, dict):
        raise ArtifactError(
            f"header of {source} is a {type(found).__name__}, expected a JSON object. "
            "The file is damaged: take another copy."
        )
    return found


def _cut(text: str) -> str:
    """A long text without its middle."""
    return text if len(text) <= 500 else f"{text[:200]} ... {text[-300:]}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON number")
