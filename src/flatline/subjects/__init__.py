"""Our own stack presented to the harness: the only place where stack and harness meet."""

from flatline.subjects.reference import GATE_SETTINGS, REFERENCES, reference, subject_of

__all__ = ["GATE_SETTINGS", "REFERENCES", "reference", "subject_of"]
