"""Old checkpoints as runs: weights of earlier training code, judged like any other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from flatline.artifacts import Legacy, load_legacy, save_checkpoint
from flatline.evaluation.experiment import assemble
from flatline.evaluation.run import CHECKPOINT, fingerprint, manifest_of
from flatline.files import write_text
from flatline.settings import Settings

__all__ = ["convert"]


def convert(
    path: Path,
    run_dir: Path,
    settings: Settings,
    *,
    on_stage: Callable[[str], None] = lambda _: None,
) -> Legacy:
    """Make a run folder of an old pickled checkpoint.

    The file says nothing of features and normaliser: they become those of the settings, the
    normaliser fitted on their train days. Whether the model was trained so, its scores tell.

    Args:
        path: The old file.
        run_dir: New folder.
        settings: That the model was trained with.
        on_stage: Called with the name of each stage as it begins, for progress.

    Raises:
        ArtifactError: The file is damaged, holds more than weights, or they are not those
            of the settings' model; or the folder is in use.
    """
    from flatline.training.run_folder import RunFolder  # noqa: PLC0415 (Lightning is heavy)

    on_stage("preparing")
    experiment = assemble(settings, on_stage=on_stage)
    on_stage("reading the old checkpoint")
    # Before the folder is made: a file that is refused leaves nothing.
    legacy = load_legacy(path, build=experiment.model)
    folder = RunFolder.open(
        run_dir,
        training=settings.training.model_dump(mode="json"),
        effective=settings.model_dump(mode="json"),
        data=fingerprint(experiment.panel),
    )
    manifest = manifest_of(experiment, legacy.model, run_dir)
    save_checkpoint(run_dir / CHECKPOINT, legacy.model, manifest)
    result = {"run_id": folder.id, "converted": path.name}
    write_text(run_dir / "result.json", json.dumps(result, indent=2) + "\n")
    folder.update(state="converted")
    return legacy
