"""What a subject did not say and the harness took for granted, so that it can be corrected."""

from __future__ import annotations

from flatline.harness.calls import way_of
from flatline.harness.case import Case
from flatline.harness.inputs import Role, inputs_of
from flatline.harness.probes.scoring import forward

__all__ = ["inferred"]


def inferred(case: Case) -> str:
    """How the model is called, what its inputs are, and how many horizons it scores.

    Only what is not declared on the subject is named, each with the part that would say otherwise.

    Example:
        >>> import torch
        >>> from flatline.harness import Subject
        >>> batch = ({"x": torch.rand(6, 3), "day": torch.arange(6) // 3}, torch.rand(6, 1))
        >>> print(inferred(Case(Subject(
        ...     name="line", batches={"train": [batch]}, loss=torch.nn.functional.mse_loss,
        ...     model=lambda: torch.nn.Linear(3, 1), scores=lambda y: y,
        ...     call=lambda model, inputs: model(inputs["x"])))))
        x (rows, features), days from day (`days`), 1 horizon
    """
    subject, (inputs, _) = case.subject, case.batch()
    model = case.model()
    found = inputs_of(subject, inputs)
    lines = []
    if subject.call is None:
        lines.append(f"called as {way_of(model, inputs)} (`call`)")
    lines += [
        f"{one.path or 'inputs'} ({', '.join(one.axes)})"
        for one in found
        if one.role is not Role.DAY and one.path not in (subject.axes or {})
    ]
    if subject.days is None:
        names = [one.path for one in found if one.role is Role.DAY]
        rows = "one row a day" if subject.axis == "time" else "days not known"
        lines.append(f"{f'days from {names[0]}' if names else rows} (`days`)")
    if subject.horizons is None:
        outputs = forward(subject, model.eval(), inputs, case.place)
        count = subject.score_of(outputs).shape[1]
        lines.append(f"{count} horizon{'s' if count > 1 else ''}")
    return ", ".join(lines)
