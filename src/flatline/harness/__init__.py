"""The gate: subjects, probes, checks and verdicts. Knows protocols only, no model of ours."""

from flatline.harness.subject import Subject
from flatline.harness.suite import check
from flatline.harness.verdicts import Culprit, Stage, Status, Verdict

__all__ = ["Culprit", "Stage", "Status", "Subject", "Verdict", "check"]
