"""The embedded market `large`: 4,380 stocks over 2,500 days, 10.6 M rows of 32 features.

One process builds the panel and saves it. A fresh one maps it from disk, draws batches and
reads every byte of it, then trains, and reports its peaks. A third takes turns between
training on `large` and on `small`, whose rows per second should be about equal. Settings are
the defaults: lookback 20, graph, four horizons, five quantiles, the default blend.

Memory is the resident set: anonymous pages, which are the process's own, and pages of mapped
files, which the kernel takes back when it needs them. Both count. What a training step holds
goes with the rows of a day, not with the panel's length, so the two are shown apart.
"""

import itertools
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from rich.console import Console
from side_by_side import AT_LEAST, AT_MOST, Figure, take_turns

from flatline.batch import days_of
from flatline.data import DayBatches, Panel, holdout
from flatline.evaluation.experiment import Experiment, assemble
from flatline.settings import load_settings
from flatline.training.optimizer import make_optimizer
from flatline.training.seeds import seed_all

THREADS = 2
STEPS = 6
# Days whose graphs, 0.6 MB each on `large`, fill the builder's cache.
GRAPHS = 450
SIZES = ("small", "large")


def figures() -> list[Figure]:
    """Peak memory against the panel's bytes; rows per second against those on `small`."""
    say = Console(stderr=True).print
    with tempfile.TemporaryDirectory(prefix="flatline-scale-") as name:
        folder = Path(name)
        for size in SIZES:
            say(f"  {size}: {in_fresh_process(build, size, folder)}", style="dim")
        memory = in_fresh_process(hold, folder / "large")
        say(f"  large: {memory}", style="dim")
        speed = in_fresh_process(race, folder)
    seconds = memory.rows / speed["large"]
    return [
        memory_figure("memory of `large`: panel, loader, graphs", memory.data, memory.panel),
        memory_figure("memory of a process that trains on it", memory.training, memory.panel),
        Figure(
            name=f"training on `large`, {seconds:,.0f} s an epoch",
            ours=speed["large"],
            peer=speed["small"],
            peer_name="training on `small`",
            unit="rows/s",
            ratio=speed["large"] / speed["small"],
            target=0.9,
            kind=AT_LEAST,
        ),
    ]


def memory_figure(name: str, peak: int, panel: int) -> Figure:
    """Resident bytes against the panel's."""
    return Figure(
        name=name,
        ours=peak / 1e6,
        peer=panel / 1e6,
        peer_name="bytes of the panel",
        unit="MB",
        ratio=peak / panel,
        target=1.3,
        kind=AT_MOST,
    )


def in_fresh_process(work: Callable[..., Any], *arguments: object) -> Any:
    """What *work* returns, run where nothing else has ever run."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *arguments).result()


class Built(NamedTuple):
    """What building a panel took."""

    rows: int
    megabytes: float
    seconds: float
    peak_megabytes: float


def build(size: str, folder: Path) -> Built:
    """Draw a market, build and normalise its panel, save it."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        changes = [f"data.source.market={size}", f"data.source.memory_map={scratch}"]
        panel = assemble(load_settings(environ={}, overrides=changes)).panel
        panel.save(folder / size)
    seconds = time.perf_counter() - start
    return Built(panel.rows, panel.nbytes / 1e6, round(seconds, 1), status()["VmHWM"] / 1e6)


class Memory(NamedTuple):
    """What a process held at its peak, in bytes.

    Args:
        rows: Of an epoch.
        panel: Of the panel's arrays.
        data: All of the panel read, graphs cached; without what the process held before.
        training: Training besides, with all that a process holds.
        own: Of *training*, the part that is not mapped from files.
    """

    rows: int
    panel: int
    data: int
    training: int
    own: int


def hold(folder: Path) -> Memory:
    """Draw batches until the cache of graphs is full, read all of the panel, then train."""
    before = status()["VmRSS"]
    run = training(folder)
    panel = run.panel
    for _ in itertools.islice(run.loader, GRAPHS):
        pass
    for array in (panel.features, panel.target, panel.present, panel.daily_return):
        # A day at a time: a sum over all of it would make copies of its own.
        for day in array:
            day.sum()
    data = status()["VmHWM"] - before
    with OwnPeak() as own:
        for _ in range(STEPS):
            next(run.steps)
    return Memory(run.rows, panel.nbytes, data, status()["VmHWM"], own.peak)


def race(folder: Path) -> dict[str, float]:
    """Rows per second on each size, in turns of about as many rows."""
    steps = {size: training(folder / size).steps for size in SIZES}
    seen = {size: [] for size in SIZES}

    def turn(size: str, rows: int) -> None:
        done = 0
        while done < rows:
            done += next(steps[size])
        seen[size].append(done)

    found = take_turns({size: partial(turn, size, 4000) for size in SIZES}, turns=STEPS)
    return {size: mean(seen[size][-STEPS:]) / found[size].median for size in SIZES}


class Training(NamedTuple):
    """Endless training: each step gives its rows; an epoch has *rows*."""

    steps: Iterator[int]
    panel: Panel
    loader: DayBatches
    rows: int


def training(folder: Path) -> Training:
    """Training on the saved panel, mapped from disk."""
    torch.set_num_threads(THREADS)
    panel = Panel.load(folder)
    settings = load_settings(environ={})
    split = settings.data.split
    fold = holdout(panel, valid=split.valid, test=split.test)
    # Training reads neither the normaliser, nor the quarantine, nor the market.
    experiment = Experiment(settings, panel, fold, normaliser=None, quarantine=None, market=None)
    seed_all(0)
    model, loss = experiment.model(), experiment.loss()
    optimizer = make_optimizer(model, settings.training)
    loader = experiment.batches("train")

    def steps() -> Iterator[int]:
        while True:
            for batch, labels in loader:
                optimizer.zero_grad()
                report = loss(model(batch), labels, days_of(batch), stock_id=batch["stock_id"])
                report.total.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), settings.training.clip_norm)
                optimizer.step()
                yield len(labels.value)

    return Training(steps(), panel, loader, int(np.count_nonzero(panel.present[loader.days])))


class OwnPeak:
    """Largest amount of anonymous memory while it is open, looked at every few milliseconds."""

    def __init__(self) -> None:
        self.peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            self.peak = max(self.peak, status()["RssAnon"])


def status() -> dict[str, int]:
    """This process's memory in bytes, by the kernel's names."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    pairs = (line.split(":", 1) for line in lines if line.endswith(" kB"))
    return {name: int(value.split()[0]) * 1024 for name, value in pairs}
