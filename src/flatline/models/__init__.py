"""Models: one architecture per file, its settings on top."""

from flatline.models.atft_gat_fan import AtftGatFan, AtftGatFanSettings, TemporalEncoder
from flatline.models.inputs import InputSizes

__all__ = ["AtftGatFan", "AtftGatFanSettings", "InputSizes", "TemporalEncoder"]
