"""The laws of any loss on scored days, as a ready test, and the strategies they draw from."""

from flatline.harness.laws.law import Law, Off
from flatline.harness.laws.promises import Promises
from flatline.harness.laws.scored_days import ScoredDays, make_scored_days, scored_days
from flatline.harness.laws.suite import LAWS, judged, laws_for, laws_of

__all__ = [
    "LAWS",
    "Law",
    "Off",
    "Promises",
    "ScoredDays",
    "judged",
    "laws_for",
    "laws_of",
    "make_scored_days",
    "scored_days",
]
