"""The settings layer: each one does something, and one that does not exist is refused."""

from __future__ import annotations

from flatline.harness.case import Case
from flatline.harness.checks import settings
from flatline.harness.probes.variants import variation
from flatline.harness.registry import Check, Cost, Layer
from flatline.harness.verdicts import Stage, Verdict

__all__ = ["CHECKS"]


def _build(case: Case) -> Verdict:
    return settings.settings_build(case.of(variation).tried)


def _matter(case: Case) -> Verdict:
    found = case.of(variation)
    return settings.settings_matter(found.tried, unsteady=found.unsteady)


def _refused(case: Case) -> Verdict:
    found = case.of(variation)
    return settings.unknown_refused(found.unknown, found.accepted)


CHECKS = tuple(
    Check(
        id=name,
        says=says,
        layer=Layer.SETTINGS,
        stage=Stage.STATIC,
        false_alarm_rate=0.0,
        cost=Cost.PASSES,
        judge=judge,
        needs=("settings",),
        shares="variation",
    )
    for name, says, judge in (
        ("settings_build", "The subject can be made with every setting changed.", _build),
        ("settings_matter", "Every setting changes something of the subject.", _matter),
        ("unknown_settings_refused", "A setting that does not exist is refused.", _refused),
    )
)
