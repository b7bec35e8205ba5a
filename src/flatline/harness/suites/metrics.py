"""The metrics layer: the subject's own evaluation says what it is."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from flatline.harness.case import Case
from flatline.harness.checks.metrics import LAWS, Law, judge_law, weights_enter
from flatline.harness.checks.predictions import predictions_agree
from flatline.harness.measures import measures_of
from flatline.harness.probes.audit import Audited, numbers_of, try_out
from flatline.harness.probes.scoring import Scored, score_split
from flatline.harness.probes.smoke import smoke
from flatline.harness.registry import Check, Cost, Layer
from flatline.harness.suites.reading import array
from flatline.harness.verdicts import Stage, Verdict, source_of

__all__ = ["CHECKS", "audited"]

# Labels whose distribution the trial takes over.
LABEL_BATCHES = 8


def audited(case: Case) -> Audited:
    """The subject's evaluation tried on panels of its own horizons and labels."""
    subject = case.subject
    label = score_split(subject, case.model(), "valid", case.place, limit=LABEL_BATCHES).target
    columns = [column[torch.isfinite(column)] for column in label.double().T]
    fewest = min(len(column) for column in columns)

    def event(target: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray(subject.class_of(torch.from_numpy(target)).numpy() > 0)

    return try_out(
        _evaluation(case),
        horizons=subject.horizons or range(1, len(columns) + 1),
        measures=subject.measures,
        axis=subject.axis,
        values=np.stack([column[:fewest].numpy() for column in columns], 1) if fewest else None,
        event=None if subject.probabilities is None else event,
        seed=case.seed,
    )


def _evaluation(case: Case) -> Any:  # noqa: ANN401 (the subject's own)
    if case.subject.evaluate is None:
        raise ValueError("the audit needs `evaluate`")
    return case.subject.evaluate


def _judge(law: Law, case: Case) -> Verdict:
    file, line = source_of(_evaluation(case))
    return judge_law(law, case.of(audited), file=file, line=line)


def _weights(case: Case) -> Verdict:
    fresh = score_split(case.subject, case.model(), "valid", case.place)
    before, after = (_numbers(case, scored) for scored in (fresh, case.of(smoke).scored))
    file, line = source_of(_evaluation(case))
    measures = measures_of(after, case.subject.measures)
    return weights_enter(before, after, measures, file=file, line=line)


def _numbers(case: Case, scored: Scored) -> dict[str, float]:
    return numbers_of(
        _evaluation(case)(array(scored.score), array(scored.target), scored.day.numpy())
    )


def _predictions(case: Case) -> Verdict:
    if case.subject.predict is None:
        raise ValueError("the comparison needs `predict`")
    run, model = case.of(smoke), case.model()
    # A copy: a loop that stays in train mode changes statistics that others read.
    model.load_state_dict(run.model.state_dict())
    score, target, _ = case.subject.predict(model.eval(), "valid")
    file, line = source_of(case.subject.predict)
    own, own_target = (_columns_of(x) for x in (score, target))
    return predictions_agree(
        own,
        array(run.scored.score),
        own_target=own_target,
        target=array(run.scored.target),
        file=file,
        line=line,
    )


def _columns_of(x: Any) -> NDArray[np.float64]:  # noqa: ANN401 (an array or a tensor)
    """One column per horizon, in float64 on the CPU: (rows, horizons)."""
    found = x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else np.asarray(x)
    found = found.astype(np.float64)
    return found[:, None] if found.ndim == 1 else found


CHECKS = (
    *(
        Check(
            id=law.id,
            says=law.says,
            layer=Layer.METRICS,
            stage=Stage.STATIC,
            false_alarm_rate=law.false_alarm_rate,
            cost=Cost.PASSES,
            judge=partial(_judge, law),
            needs=("evaluate",),
            shares="audited",
        )
        for law in LAWS
    ),
    Check(
        id="numbers_answer_weights",
        says="A trained model's numbers differ from those of the model it was made from.",
        layer=Layer.METRICS,
        stage=Stage.TRAINED,
        false_alarm_rate=0.0,
        cost=Cost.TRAINING,
        judge=_weights,
        needs=("evaluate",),
        shares="smoke",
    ),
    Check(
        id="predictions_agree",
        says="The subject's own evaluation loop scores every row, in eval mode.",
        layer=Layer.METRICS,
        stage=Stage.EVALUATION,
        false_alarm_rate=0.0,
        cost=Cost.TRAINING,
        judge=_predictions,
        needs=("predict",),
        shares="smoke",
    ),
)
