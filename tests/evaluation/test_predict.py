"""From tensors to a frame, without losing or moving a number."""

import numpy as np
import pytest
import torch

from flatline.errors import DataError, ShapeError
from flatline.evaluation.predict import predict


@pytest.fixture(scope="module")
def scored(experiment):
    """A fresh model and its frame of the test days."""
    torch.manual_seed(0)
    model = experiment.model()
    levels = experiment.settings.data.levels
    return model, predict(model, experiment.batches("test"), experiment.panel, levels=levels)


def test_a_row_for_every_stock_that_the_batches_hold(experiment, scored):
    """Date, code and horizon are those of the panel's rows, each once."""
    panel, (_, frame) = experiment.panel, scored
    wanted = {
        (panel.dates[day].item(), str(panel.codes[stock]), horizon)
        for inputs, _ in experiment.batches("test")
        for day, stock in zip(inputs["group_day"].numpy(), inputs["stock_id"].numpy(), strict=True)
        for horizon in panel.horizons
    }
    assert len(frame) == len(wanted)
    assert set(frame.select("date", "code", "horizon").rows()) == wanted
    tested = set(panel.dates[experiment.fold.test].tolist())
    assert set(frame["date"]) <= tested


def test_scores_are_those_of_the_model_called_directly(experiment, scored):
    """Score, quantiles, label and raw return of each row, looked up one by one."""
    panel, (model, frame) = experiment.panel, scored
    found = {row[:3]: row[3:] for row in frame.select("date", "code", "horizon", "score", "q0.05",
             "q0.95", "target", "return").iter_rows()}  # fmt: skip
    model.eval()
    inputs, labels = next(iter(experiment.batches("test")))
    with torch.no_grad():
        forecast = model(inputs)
    for row in range(0, len(inputs["stock_id"]), 17):
        day, stock = int(inputs["group_day"][row]), int(inputs["stock_id"][row])
        for k, horizon in enumerate(panel.horizons):
            got = found[panel.dates[day].item(), str(panel.codes[stock]), horizon]
            target = labels.value[row, k].item() if labels.known[row, k] else None
            back = panel.target[day, stock, k].item()
            assert got == (
                forecast.point[row, k].item(),
                forecast.quantiles[row, k, 0].item(),
                forecast.quantiles[row, k, -1].item(),
                target,
                None if np.isnan(back) else back,
            )


def test_every_module_keeps_its_mode(experiment):
    """A model in training goes on training, and a part frozen in eval mode stays so."""
    model = experiment.model().train()
    model.head.eval()
    modes = [part.training for part in model.modules()]
    predict(model, experiment.batches("test"), experiment.panel)
    assert [part.training for part in model.modules()] == modes


def test_a_model_that_fails_keeps_its_mode_too(experiment):
    """An error in the middle leaves the model as it was."""
    model = experiment.model().train()
    with pytest.raises(DataError, match=r"^batches are 0, expected at least 1 to predict"):
        predict(model, [], experiment.panel)
    with pytest.raises(AttributeError, match="items"):
        predict(model, [(None, None)], experiment.panel)
    assert all(part.training for part in model.modules())


def test_a_score_that_is_not_finite_stays_visible(experiment):
    """NaN is no null: a broken model is seen in the frame."""
    model = experiment.model()
    with torch.no_grad():
        next(model.head.parameters()).fill_(torch.nan)
    frame = predict(model, experiment.batches("test"), experiment.panel)
    assert frame["score"].is_nan().any()
    assert frame["score"].null_count() == 0


def test_levels_that_are_not_the_models_are_refused(experiment):
    """A quantile is never written under the name of another level."""
    with pytest.raises(ShapeError, match=r"levels is \(0\.5,\) but the forecast has 5 quantiles"):
        predict(experiment.model(), experiment.batches("test"), experiment.panel, levels=(0.5,))
