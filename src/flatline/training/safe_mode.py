"""Safe mode: one process, one thread.

Thread pools are sized when torch is first imported, so call this before. The
module itself does not import torch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping

from flatline.errors import SettingsError

__all__ = ["THREAD_VARIABLES", "enter_safe_mode", "safe_mode_wanted"]

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "POLARS_MAX_THREADS",
)
TRUE, FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})


def safe_mode_wanted(environ: Mapping[str, str] = os.environ) -> bool:
    """True where FORCE_SINGLE_PROCESS, or its long name, asks for safe mode.

    Raises:
        SettingsError: The variable holds something that is neither yes nor no.

    Example:
        >>> safe_mode_wanted({"FORCE_SINGLE_PROCESS": "1"}), safe_mode_wanted({})
        (True, False)
    """
    for name in ("FORCE_SINGLE_PROCESS", "FLATLINE_RUN__SINGLE_PROCESS"):
        word = environ.get(name, "").strip().lower()
        if word not in TRUE | FALSE:
            raise SettingsError(f"{name} is {word!r}, expected a yes or a no. Set it to 1 or 0.")
        if word in TRUE:
            return True
    return False


def enter_safe_mode(environ: MutableMapping[str, str] = os.environ) -> None:
    """Limit this process, and what it starts, to one thread each.

    Sets the variables that the numeric libraries read when they start. Where
    torch has already started, its pools are cut down as far as they still can be.
    """
    for name in THREAD_VARIABLES:
        environ[name] = "1"
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
