"""Our own stack presented to the harness: the only place where stack and harness meet."""

from flatline.subjects.reference import REFERENCES, reference, subject_of

__all__ = ["REFERENCES", "reference", "subject_of"]
