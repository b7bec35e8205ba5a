"""Every error raised on purpose.

One base class, and kinds that also derive from the built-in error a caller
would expect. A message is one sentence: *what* is *value*, expected *rule*;
then the remedy.
"""

__all__ = [
    "ArtifactError",
    "DataError",
    "DegenerateError",
    "FlatlineError",
    "NoValidDayError",
    "SettingsError",
    "ShapeError",
]


class FlatlineError(Exception):
    """Base of every error that flatline raises on purpose."""


class ShapeError(FlatlineError, ValueError):
    """Shapes, keys or sizes of tensors do not fit each other."""


class DataError(FlatlineError, ValueError):
    """Input data cannot be used: a missing file or column, a wrong type, no row left."""


class SettingsError(FlatlineError, ValueError):
    """A setting is unknown, out of range, or would change nothing."""


class NoValidDayError(FlatlineError, ValueError):
    """A weighted loss term has no day on which it means anything."""


class ArtifactError(FlatlineError, ValueError):
    """A run folder, checkpoint or export is damaged, missing or of another run."""


class DegenerateError(FlatlineError, RuntimeError):
    """Training was stopped because the scores went flat."""
