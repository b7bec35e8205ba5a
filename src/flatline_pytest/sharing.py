"""What is costly is computed once: within a session, and across the workers of pytest-xdist."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flatline_pytest.generation import Judged
from flatline_pytest.options import OPTIONS, Options
from flatline_pytest.pinning import pinned_check

if TYPE_CHECKING:
    from flatline.harness import Case, Check, Subject, Verdict

__all__ = ["bench_of", "forget", "tell_worker"]

FOLDER = "flatline_verdicts"


class Bench:
    """The subjects of a session, each with what was already found out about it.

    Args:
        options: How to judge.
        folder: Where workers leave verdicts for each other; None for a lone process.
    """

    def __init__(self, options: Options, folder: Path | None) -> None:
        self._options, self._folder = options, folder
        self._cases: dict[str | int, Case] = {}
        self._found: dict[tuple[str, str], Verdict] = {}

    def case(self, judged: Judged) -> Case:
        """The case of a subject; the same one for each of its checks.

        Raises:
            FlatlineError: The subject is a name, and cannot be made.
        """
        import torch  # noqa: PLC0415 (the plugin loads without it)

        from flatline.harness import Case, Place  # noqa: PLC0415

        subject, options = judged.subject, self._options
        key = subject if isinstance(subject, str) else id(subject)
        if key not in self._cases:
            self._cases[key] = Case(
                _made(subject),
                steps=options.steps,
                seed=options.seed,
                place=Place(torch.device(options.device), options.precision),
            )
        return self._cases[key]

    def judge(self, request: pytest.FixtureRequest, judged: Judged) -> Verdict:
        """The verdict of one test."""
        from flatline.harness import judge  # noqa: PLC0415

        item, check = request.node, pinned_check(judged.check, request)
        name = _name(item, judged)
        if self._folder is None or not check.shares or check is not judged.check:
            return judge(check, self.case(judged))
        if (name, check.id) not in self._found:
            together = _together(item, name, check.shares)
            verdicts = self._once(
                f"{name} {check.shares}",
                lambda: [judge(one, self.case(judged)) for one in together],
            )
            found = zip(together, verdicts, strict=True)
            self._found |= {(name, one.id): verdict for one, verdict in found}
        return self._found[name, check.id]

    def _once(self, what: str, judge_all: Callable[[], list[Verdict]]) -> Sequence[Verdict]:
        """Verdicts that the first worker finds, and the others read."""
        from filelock import FileLock  # noqa: PLC0415

        from flatline.files import write_text  # noqa: PLC0415

        if self._folder is None:
            return judge_all()
        path = self._folder / f"{hashlib.sha256(what.encode()).hexdigest()[:16]}.json"
        # Who waits here would else do the same work, on a core that is needed for it.
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                found = [verdict.as_data() for verdict in judge_all()]
                write_text(path, json.dumps(found, allow_nan=False))
            return [_read(data) for data in json.loads(path.read_text(encoding="utf-8"))]


BENCH = pytest.StashKey[Bench]()


def bench_of(config: pytest.Config) -> Bench:
    """The session's bench."""
    if BENCH not in config.stash:
        shared = getattr(config, "workerinput", {}).get(FOLDER)
        config.stash[BENCH] = Bench(config.stash[OPTIONS], None if shared is None else Path(shared))
    return config.stash[BENCH]


SHARED = pytest.StashKey[Path]()


def tell_worker(node: Any) -> None:  # noqa: ANN401 (a class of pytest-xdist)
    """Give a worker the folder that all of them share."""
    stash = node.config.stash
    if SHARED not in stash:
        stash[SHARED] = Path(tempfile.mkdtemp(prefix="flatline-"))
    node.workerinput[FOLDER] = str(stash[SHARED])


def forget(config: pytest.Config) -> None:
    """Remove what the workers shared."""
    if SHARED in config.stash:
        shutil.rmtree(config.stash[SHARED], ignore_errors=True)


def _made(subject: Subject | str) -> Subject:
    from flatline.subjects.finding import load_subject  # noqa: PLC0415

    return load_subject(subject) if isinstance(subject, str) else subject


def _name(item: pytest.Item, judged: Judged) -> str:
    """What every worker calls a subject: two test files may each have one of the same name."""
    if isinstance(judged.subject, str):
        return judged.subject
    return f"{item.nodeid.partition('[')[0]} {judged.name}"


def _together(item: pytest.Item, name: str, shares: str) -> list[Check]:
    """The checks of this session that need the same costly work on the same subject."""
    found: dict[str, Check] = {}
    for other in item.session.items:
        judged = Judged.of(other)
        if judged and judged.check.shares == shares and _name(other, judged) == name:
            found.setdefault(judged.check.id, judged.check)
    return list(found.values())


def _read(data: dict[str, Any]) -> Verdict:
    """A verdict from what `Verdict.as_data` made of it."""
    from flatline.harness import Culprit, Stage, Status, Verdict  # noqa: PLC0415

    culprit = data["culprit"]
    typed = {
        "stage": Stage(data["stage"]),
        "status": Status(data["status"]),
        "culprit": None if culprit is None else Culprit(**culprit),
    }
    return Verdict(**data | typed)
