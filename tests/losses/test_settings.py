"""What the settings of a blend refuse, and with which words."""

import pytest
from pydantic import ValidationError

from flatline.errors import SettingsError
from flatline.losses.laws import LAWS, OPTIONS
from flatline.losses.settings import BlendSettings

ALIVE = ["mse", "huber", "pinball", "bce", "listnet", "ranknet", "lambdarank", "margin", "top_k"]

REFUSED = [
    pytest.param(
        {"listnet_tua": 2.0},
        "listnet_tua is no setting of BlendSettings, expected a known one. "
        "Did you mean 'listnet_tau'?",
        id="unknown key",
    ),
    pytest.param(
        {"weights": {"hubre": 1.0}},
        f"weights names the term 'hubre', expected one of {sorted(LAWS)}. Did you mean 'huber'?",
        id="unknown term",
    ),
    pytest.param(
        {"weights": {"huber": 0.0, "mse": 1.0}},
        "weight of huber is 0.0, expected above 0. Leave it out to switch it off.",
        id="zero weight",
    ),
    pytest.param(
        {"weights": {"huber": -1.0}},
        "weight of huber is -1.0, expected above 0. Leave it out to switch it off.",
        id="negative weight",
    ),
    pytest.param(
        {"horizon_weights": {5: 0.0}},
        "weight of horizon 5 is 0.0, expected above 0. Leave it out to switch it off.",
        id="zero horizon",
    ),
    pytest.param(
        {"weights": {"ic": 1.0, "variance_floor": 1.0}},
        "weights names ['ic', 'variance_floor'], none of which is alive at exactly constant "
        "scores, expected at least one: without it scores that have become constant stay "
        f"constant. Give a weight to one of {ALIVE}.",
        id="nothing alive",
    ),
    pytest.param(
        {"weights": {"huber": 1.0}, "listnet_tau": 2.0},
        "listnet_tau is 2.0 but changes nothing, expected an effect: no term that reads it has a "
        "weight. Give one to listnet, or drop it.",
        id="option of an unweighted term",
    ),
    pytest.param(
        {"weights": {"huber": 1.0}, "sharpe_days": 40},
        "sharpe_days is 40 but changes nothing, expected an effect: no term that reads it has a "
        "weight. Give one to sharpe, or drop it.",
        id="memory without sharpe",
    ),
    pytest.param(
        {"huber_delta": 0.0},
        "huber_delta is 0.0, expected a valid value: input should be greater than 0. Correct it.",
        id="out of range",
    ),
    pytest.param(
        {"weights": {"huber": float("nan")}},
        "weights.huber is nan, expected a valid value: input should be a finite number. "
        "Correct it.",
        id="nan",
    ),
]


@pytest.mark.parametrize(("values", "message"), REFUSED)
def test_refuses_what_is_wrong_or_changes_nothing(values, message):
    """Each fault is one sentence that names the setting and the remedy."""
    with pytest.raises(SettingsError) as error:
        BlendSettings(**values)
    assert str(error.value) == message


@pytest.mark.parametrize("name", sorted(LAWS))
def test_alone_only_an_alive_term_will_do(name):
    """A blend of one term is accepted if and only if its law says alive."""
    if LAWS[name].at_constant == "alive":
        assert BlendSettings(weights={name: 1.0}).weights == {name: 1.0}
    else:
        with pytest.raises(SettingsError, match="alive at exactly constant"):
            BlendSettings(weights={name: 1.0})


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_every_option_reaches_its_terms(option):
    """What is set is what each term that reads it is called with."""
    value = 7 if "k" in option or "gap" in option or "names" in option else 1.75
    if option.endswith("share"):
        value = 0.25
    terms = OPTIONS[option].terms
    settings = BlendSettings(weights=dict.fromkeys({"mse", *terms}, 1.0), **{option: value})
    assert all(settings.options_of(term)[OPTIONS[option].keyword] == value for term in terms)


def test_a_dump_can_be_read_again():
    """Defaults written out are no setting that changes nothing."""
    settings = BlendSettings(weights={"mse": 1.0})
    assert BlendSettings(**settings.model_dump()) == settings


def test_settings_are_frozen():
    """A run cannot change its settings under way."""
    with pytest.raises(ValidationError, match="frozen"):
        BlendSettings().huber_delta = 2.0
