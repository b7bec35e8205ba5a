"""The gate: subjects, probes, checks and verdicts. Knows protocols only, no model of ours."""

from flatline.harness.card import signature_card
from flatline.harness.case import Case
from flatline.harness.probes.scoring import Place
from flatline.harness.registry import Check, Cost, Layer
from flatline.harness.subject import Subject
from flatline.harness.suite import Examination, check, examine, judge
from flatline.harness.suites import CHECKS
from flatline.harness.variants import Variants
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict

__all__ = [
    "CHECKS",
    "Case",
    "Check",
    "Cost",
    "Culprit",
    "Examination",
    "Layer",
    "Place",
    "Stage",
    "Status",
    "Subject",
    "Variants",
    "Verdict",
    "check",
    "examine",
    "judge",
    "signature_card",
]
