"""The command line: thin. Each command reads settings, calls one function, shows what came back."""

from __future__ import annotations

import os
import sys

import typer

from flatline.cli.backtest import backtest
from flatline.cli.baseline import baseline
from flatline.cli.checkpoint import checkpoint
from flatline.cli.checks import checks
from flatline.cli.doctor import doctor
from flatline.cli.evaluate import evaluate
from flatline.cli.export import export
from flatline.cli.gate import gate
from flatline.cli.normalisers import normalisers
from flatline.cli.options import NAMES
from flatline.cli.sweep import sweep
from flatline.cli.train import train
from flatline.cli.walkforward import walkforward
from flatline.errors import DegenerateError, FlatlineError, NoValidDayError
from flatline.terminal import log_lines, say

__all__ = ["main"]

app = typer.Typer(
    help="A regression gate for return-prediction models, and the stack it guards.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
# In the order in which the help lists them.
COMMANDS = (
    gate,
    checks,
    baseline,
    train,
    evaluate,
    backtest,
    normalisers,
    walkforward,
    sweep,
    export,
    checkpoint,
    doctor,
)
for command in COMMANDS:
    # Commands that make settings tell which names of the shell are read.
    app.command(epilog=NAMES if "set_" in command.__annotations__ else None)(command)


def main() -> None:
    """Run the command; errors are one line and exit code 2."""
    # Threads that wait give way soon: where cores are shared, as on a build server,
    # waiting in a long loop makes each step several times slower.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        from flatline.training.safe_mode import (  # noqa: PLC0415
            enter_safe_mode,
            safe_mode_wanted,
        )

        if safe_mode_wanted():
            enter_safe_mode()
        with log_lines():
            code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except typer.TyperException as error:
        message = error.format_message()
        say(f"{message}{'' if message[-1:] in '.?' else '.'} See `flatline --help`.")
        code = error.exit_code
    except (DegenerateError, NoValidDayError) as error:
        say(str(error))  # The input was fine; the model has failed.
        code = 1
    except (FlatlineError, OSError) as error:
        say(str(error))
        code = 2
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted; `flatline train --resume --run FOLDER` goes on.")
        code = 130
    raise SystemExit(code or 0)
