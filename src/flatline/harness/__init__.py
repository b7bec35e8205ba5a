"""The gate: subjects, probes, checks and verdicts. Knows protocols only, no model of ours."""

from flatline.harness.probes.scoring import Place
from flatline.harness.subject import Subject
from flatline.harness.suite import Examination, check, examine
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict

__all__ = [
    "Culprit",
    "Examination",
    "Place",
    "Stage",
    "Status",
    "Subject",
    "Verdict",
    "check",
    "examine",
]
