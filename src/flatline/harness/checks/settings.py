"""Every setting does something, can be set, and none is accepted that nobody reads."""

from __future__ import annotations

from collections.abc import Sequence

from flatline.harness.probes.variants import Tried
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict

__all__ = ["settings_build", "settings_matter", "unknown_refused"]


def settings_build(tried: Sequence[Tried]) -> Verdict:
    """The subject can be made, run and trained a step with every setting changed.

    Args:
        tried: Each setting with another value.
    """
    broken = [one for one in tried if one.error]
    return _verdict(
        "settings_build",
        broken,
        measured=f"{len(tried) - len(broken)} of {len(tried)} settings can be changed",
        evidence=[f"with {one.value}: {one.error}" for one in broken],
        remedy="Correct what the setting builds, or give another value in `others`.",
    )


def settings_matter(tried: Sequence[Tried], *, unsteady: Sequence[str] = ()) -> Verdict:
    """Another value of every setting makes something of the subject another.

    Args:
        tried: Each setting with another value.
        unsteady: What was not compared, because it differs without a change.
    """
    sound = [one for one in tried if not one.error]
    idle = [one for one in sound if not one.changed]
    parts: dict[str, int] = {}
    for one in sound:
        if one.changed:
            parts[one.changed] = parts.get(one.changed, 0) + 1
    counts = ", ".join(f"{part} {count}" for part, count in parts.items())
    left_out = f"; {', '.join(unsteady)} differ without a change" if unsteady else ""
    return _verdict(
        "settings_matter",
        idle,
        measured=f"{len(sound) - len(idle)} of {len(sound)} settings change something"
        + (f" ({counts})" if counts else "")
        + left_out,
        evidence=[f"{one.value} changes nothing of the subject" for one in idle],
        remedy="Look where it is read; drop it, or declare it in `inert` of its settings.",
    )


def unknown_refused(unknown: Sequence[str], accepted: Sequence[str]) -> Verdict:
    """A setting that does not exist is refused.

    Args:
        unknown: Made-up names that were tried.
        accepted: Those that nothing refused.
    """
    phantoms = [Tried(name, f"{name}=1") for name in accepted]
    return _verdict(
        "unknown_settings_refused",
        phantoms,
        measured=f"{len(unknown) - len(accepted)} of {len(unknown)} made-up settings are refused",
        evidence=[f"{name} is accepted, and no such setting exists" for name in accepted],
        remedy="Refuse names that nobody reads: a typo must not pass for a setting.",
    )


def _verdict(
    check: str, found: Sequence[Tried], *, measured: str, evidence: Sequence[str], remedy: str
) -> Verdict:
    names = ", ".join(one.name for one in found)
    return Verdict(
        check=check,
        stage=Stage.STATIC,
        status=Status.FAIL if found else Status.PASS,
        value=float(len(found)),
        bound=0.0,
        unit="settings",
        measured=f"{measured}; not: {names}" if found else measured,
        false_alarm_rate=0.0,
        hint="; ".join(evidence[:5]),
        culprit=Culprit(kind="setting", path=found[0].name, evidence=evidence[0], remedy=remedy)
        if found
        else None,
    )
