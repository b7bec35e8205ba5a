"""Speed as ratios, each figure measured beside its peer in this run; nothing is asserted.

    python tests/benchmarks/run.py [--only NAME ...] [--json FILE]

`scale` takes minutes and gigabytes, and runs only when it is named.
"""

import os

# Read when OpenMP starts, so set before torch is imported. Threads that wait would
# otherwise spin, and hold a core that the other library's threads, or another job, need.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import importlib
import json
import logging
import warnings
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from side_by_side import Figure

SUBJECTS = ("step", "patchtst", "loader", "losses", "metrics", "edges")
ON_DEMAND = ("scale",)
PEERS = ("alphalens", "pandas", "pytorch_forecasting", "transformers")
THREADS = 2


def main() -> None:
    """Measure, show and, where asked to, write down."""
    options = parse()
    torch.set_num_threads(THREADS)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    console = Console(width=None if Console().is_terminal else 150)
    before, found, skipped = os.getloadavg(), [], {}
    for subject in options.only or SUBJECTS:
        console.print(f"measuring {subject} ...", style="dim")
        try:
            found += importlib.import_module(f"bench_{subject}").figures()
        except ModuleNotFoundError as error:
            missing = str(error.name).partition(".")[0]
            if missing not in PEERS:
                raise
            skipped[subject] = f"{missing} is not installed"
            console.print(f"{subject} skipped: {skipped[subject]}", style="yellow")
    load = {"before": before[0], "after": os.getloadavg()[0]}
    console.print(table(found))
    console.print(f"{THREADS} threads; load {load['before']:.1f} before, {load['after']:.1f} after")
    if options.json:
        record = {
            "threads": THREADS,
            "load": load,
            "figures": [asdict(figure) | {"met": figure.met} for figure in found],
            "skipped": skipped,
        }
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        choices=(*SUBJECTS, *ON_DEMAND),
        help=f"measure this subject; may be given again: {', '.join((*SUBJECTS, *ON_DEMAND))}",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the figures here")
    return parser.parse_args()


def table(figures: list[Figure]) -> Table:
    """The figures, one a row."""
    shown = Table("what", "ours", "peer", "", "ratio", "target", "met", "held against")
    for figure in figures:
        shown.add_row(
            figure.name,
            f"{figure.ours:,.4g}",
            f"{figure.peer:,.4g}",
            figure.unit,
            f"{figure.ratio:.3g}",
            f"{figure.kind} {figure.target:g}",
            "[green]yes[/]" if figure.met else "[red]no[/]",
            figure.peer_name,
        )
    return shown


if __name__ == "__main__":
    main()
