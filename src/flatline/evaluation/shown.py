"""A figure and the ends of its interval, as all tables print them."""

from __future__ import annotations

__all__ = ["with_ends"]


def with_ends(
    value: float | None, low: float | None, high: float | None, style: str = ".3f"
) -> str:
    """The figure with its interval behind it, where there is one.

    Args:
        value: The figure; None where it is undefined.
        low: Lower end; None where there are too few days to tell.
        high: Upper end; None where there are too few days to tell.
        style: How numbers are formatted.

    Example:
        >>> with_ends(0.0341, 0.025, 0.044), with_ends(0.5, None, None), with_ends(None, None, None)
        ('0.034 [0.025, 0.044]', '0.500', '-')
    """
    if value is None:
        return "-"
    text = format(value, style)
    return text if low is None or high is None else f"{text} [{low:{style}}, {high:{style}}]"
