"""The graph of the batches: where its edges lead, and what the model does without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from flatline.harness.case import Case
from flatline.harness.inputs import Role, inputs_of
from flatline.harness.probes.bench import bench_of, rows_from
from flatline.harness.probes.edits import Rows, without_edges
from flatline.harness.subject import Subject

__all__ = ["BATCHES", "Bare", "Ends", "ends", "has_edges", "without_graph"]

# Batches of each split whose edges are looked at.
BATCHES = 8


@dataclass(frozen=True, slots=True)
class Ends:
    """Where the edges of some batches lead.

    Args:
        path: Of the input that holds them; empty where there is none.
        edges: How many there are.
        outside: How many leave the rows of their batch.
        across: How many join rows of two days.
        loops: How many lead from a row to itself.
        batches: In how many batches they were counted.
    """

    path: str = ""
    edges: int = 0
    outside: int = 0
    across: int = 0
    loops: int = 0
    batches: int = 0


@dataclass(frozen=True, slots=True)
class Bare:
    """Scores without a graph.

    Args:
        finite: Share of scores that are numbers, in a graph without edges.
        absent: The same with the edges left out of the batch; None where the model asks
            for them, or the inputs are no mapping.
    """

    finite: float
    absent: float | None


def has_edges(subject: Subject, inputs: object) -> bool:
    """Whether a batch comes with a graph."""
    return any(part.role is Role.EDGES for part in inputs_of(subject, inputs))


def ends(case: Case) -> Ends:
    """Where the edges of the first batches of the train and validation days lead."""
    found = Ends()
    if not has_edges(case.subject, case.batch()[0]):
        return found
    for split in ("train", "valid"):
        for inputs, _ in case.batches(split, BATCHES):
            parts = inputs_of(case.subject, inputs)
            day = case.subject.day_of(inputs)
            edges = Rows(inputs, parts, day).edges()
            if edges is None:
                continue
            inside = ((edges >= 0) & (edges < day.numel())).all(0)
            first, second = edges[:, inside]
            found = replace(
                found,
                path=next(part.path for part in parts if part.role is Role.EDGES),
                edges=found.edges + edges.shape[1],
                outside=found.outside + int((~inside).sum()),
                across=found.across + int((day[first] != day[second]).sum()),
                loops=found.loops + int((first == second).sum()),
                batches=found.batches + 1,
            )
    return found


def without_graph(case: Case) -> Bare:
    """A fresh model's scores in a graph without edges, and with no graph in the batch at all."""
    rows = rows_from(case, "train")
    bench = bench_of(case, case.model(), rows)
    bare = without_edges(rows)
    finite = float(torch.isfinite(bench.read(bare)).double().mean())
    graph = {p.path for p in rows.parts if p.role in (Role.EDGES, Role.EDGE_ATTRIBUTES)}
    absent = None
    if isinstance(rows.inputs, Mapping) and graph <= set(rows.inputs):
        left = {name: x for name, x in rows.inputs.items() if name not in graph}
        try:
            found = bench.read(replace(rows, inputs=left))
        except Exception:  # noqa: BLE001 (a model may well insist on a graph)
            return Bare(finite, None)
        absent = float(torch.isfinite(found).double().mean())
    return Bare(finite, absent)
