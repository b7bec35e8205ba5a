"""`flatline baseline`: write the numbers of subjects that the gate compares with."""

from __future__ import annotations

from typing import Annotated

import typer

from flatline.terminal import out, progress

__all__ = ["baseline"]


def baseline(
    subjects: Annotated[
        list[str],
        typer.Argument(help="Subjects: atft_gat_fan, patchtst, apex, or package.module:subject."),
    ],
    steps: Annotated[int, typer.Option(min=1, help="Steps of each training.")] = 200,
    seeds: Annotated[
        int, typer.Option(min=4, help="Trainings that the tolerances are derived from.")
    ] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first one.")] = 0,
) -> None:
    """Train subjects with several seeds, and write their numbers and tolerances as JSON.

    The file is the one that the subject declares, as `baseline="baselines/my-model.json"`.
    Look at what has changed in it, and commit it.
    """
    from flatline.cli.options import own_subject  # noqa: PLC0415 (torch starts late)
    from flatline.harness import Case  # noqa: PLC0415
    from flatline.harness.suites.baseline import update  # noqa: PLC0415

    for name in subjects:
        with progress(f"{name}: preparing") as show:
            subject = own_subject(name)

            def on_seed(done: int, name: str = name) -> None:
                show(f"{name}: {done} of {seeds} trainings", done / seeds)

            on_seed(0)
            path = update(Case(subject, steps=steps, seed=seed), seeds=seeds, on_seed=on_seed)
        out.print(f"baseline written: {path}", highlight=False, soft_wrap=True)
