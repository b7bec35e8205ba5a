"""The project's jobs. `nox -l` lists them; each installs what it needs, pinned."""

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["gate"]
nox.options.reuse_venv = "yes"

PROJECT = nox.project.load_toml("pyproject.toml")
PINNED = ("--constraint", "constraints.txt")


def install(session: nox.Session, *groups: str) -> None:
    """Install the project and dependency groups, every version pinned."""
    wanted = nox.project.dependency_groups(PROJECT, *groups) if groups else []
    session.install(*PINNED, "--editable", ".", *wanted)


@nox.session
def gate(session: nox.Session) -> None:
    """Train the reference subject on the embedded market and judge it."""
    install(session)
    session.run("flatline", "gate", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the whole test suite."""
    install(session, "test")
    session.run("pytest", "--numprocesses=2", *session.posargs, env={"OMP_NUM_THREADS": "1"})


@nox.session
def foreign(session: nox.Session) -> None:
    """Judge models of other libraries by the recipes of docs/cookbook.md."""
    install(session, "foreign")
    session.run("pytest", "tests/foreign", *session.posargs, env={"OMP_NUM_THREADS": "2"})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and types."""
    install(session, "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")


@nox.session
def gpu_smoke(session: nox.Session) -> None:
    """Train every reference subject on CUDA in fp32 and bf16-mixed."""
    install(session, "test")
    session.run("pytest", "-m", "gpu", "-s", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure speed as ratios against peers, side by side in one run."""
    install(session, "bench")
    session.run("python", "tests/benchmarks/run.py", *session.posargs)
