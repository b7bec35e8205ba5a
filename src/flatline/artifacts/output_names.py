"""The names that outputs had before there was a `Forecast`: one table, for export and old files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from flatline.errors import SettingsError

__all__ = ["NEW", "OUTPUT_NAMES", "check_style", "horizon_of", "names_of"]

NEW = "new"
# Style: what the score of one horizon is called in it.
OUTPUT_NAMES: Mapping[str, str] = {
    "old": "point_horizon_{}",
    "old_horizon": "horizon_{}",
    "old_horizon_d": "horizon_{}d",
}


def check_style(style: str) -> None:
    """Refuse a style of names that nobody knows.

    Raises:
        SettingsError: It is neither `new` nor one of `OUTPUT_NAMES`.
    """
    if style != NEW and style not in OUTPUT_NAMES:
        shown = ", ".join(f"{name} ({form.format(5)})" for name, form in OUTPUT_NAMES.items())
        raise SettingsError(f"names is {style!r}, expected {NEW}, {shown}. Choose one.")


def names_of(horizons: Sequence[int], style: str) -> list[str]:
    """What the scores of some horizons are called in an old style.

    Raises:
        SettingsError: There is no such style.

    Example:
        >>> names_of((1, 5), "old")
        ['point_horizon_1', 'point_horizon_5']
    """
    if style not in OUTPUT_NAMES:
        check_style(style)
    return [OUTPUT_NAMES[style].format(horizon) for horizon in horizons]


def horizon_of(name: str) -> int | None:
    """The horizon that a name of any old style stands for; None where it is none.

    Example:
        >>> horizon_of("point_horizon_5"), horizon_of("horizon_20d"), horizon_of("head")
        (5, 20, None)
    """
    for form in OUTPUT_NAMES.values():
        found = re.fullmatch(form.format(r"([1-9]\d*)"), name)
        if found:
            return int(found[1])
    return None
