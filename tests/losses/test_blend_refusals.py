"""What a blend refuses before it computes."""

import pytest

from flatline.batch import Forecast
from flatline.errors import SettingsError, ShapeError
from loss_cases import blend, inputs

MISSING = [
    pytest.param(
        {"pinball": 1.0},
        "quantiles is None but pinball is weighted, expected one column per level of "
        "(0.1, 0.5, 0.8). Use a model with quantile heads, or leave pinball out.",
        id="quantiles",
    ),
    pytest.param(
        {"mse": 1.0, "turnover": 1.0},
        "stock_id is None but turnover is weighted, expected one entry per row. "
        "Give stock_id to the loss, or leave turnover out.",
        id="stock_id",
    ),
    pytest.param(
        {"mse": 1.0, "exposure": 1.0},
        "exposures is None but exposure is weighted, expected one entry per row. "
        "Give exposures to the loss, or leave exposure out.",
        id="exposures",
    ),
]


@pytest.mark.parametrize(("weights", "message"), MISSING)
def test_missing_inputs_are_an_error(weights, message):
    """What a weighted term needs has to be there."""
    (forecast, labels, days), _ = inputs()
    with pytest.raises(ShapeError) as error:
        blend(weights)(Forecast(forecast.point), labels, days)
    assert str(error.value) == message


def test_outputs_that_match_no_target_are_an_error():
    """One column too few is not broadcast."""
    (forecast, labels, days), _ = inputs()
    with pytest.raises(ShapeError) as error:
        blend()(Forecast(forecast.point[:, :1]), labels, days)
    assert str(error.value) == (
        "point has shape (27, 1) beside labels of (27, 2), expected (rows, 2) for both: one "
        "column per horizon of (1, 5). Give the loss the horizons of the model."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            {"horizon_weights": {1: 1.0, 10: 1.0}},
            "horizon_weights names the horizons [1, 10], expected exactly [1, 5]. "
            "Give one weight to each horizon of the model, and to no other.",
            id="other horizons",
        ),
        pytest.param(
            {"weights": {"pinball": 1.0}, "levels": ()},
            "weights names pinball but levels is empty, expected the levels of the model's "
            "quantiles. Give the levels, or leave pinball out.",
            id="no levels",
        ),
        pytest.param(
            {"horizons": (5, 5)},
            "horizons is (5, 5), expected different numbers of trading days, each at least 1. "
            "Give the horizons of the model.",
            id="equal horizons",
        ),
    ],
)
def test_settings_that_do_not_fit_the_model_are_refused(options, message):
    """The blend is refused when it is built, not at its first batch."""
    with pytest.raises(SettingsError) as error:
        blend(**options)
    assert str(error.value) == message
