"""Phases in the settings: how they are written, and which are refused."""

import re

import pytest

from flatline.errors import SettingsError
from flatline.settings import load_settings
from flatline.training import PhaseSettings, TrainingSettings

TABLES = """
[loss.weights]
huber = 1.0
ic = 0.5
[training]
schedule = "plateau"
plateau_factor = 0.3
[[training.phases]]
name = "baseline"
off = ["graph", "adaptive_norm"]
max_epochs = 3
[[training.phases]]
name = "graph"
train = ["gat"]
rates = { "gat.conv" = 0.1 }
weights = { mse = 1.0 }
schedule = "constant"
"""
A, B = {"name": "a", "max_epochs": 2}, {"name": "b"}


def test_tables_of_a_file_are_read_in_their_order(tmp_path):
    """Each table is a phase; what it does not say is the run's."""
    file = tmp_path / "run.toml"
    file.write_text(TABLES)
    first, second = load_settings(file, environ={}).training.phases
    assert (first.name, first.off, first.max_epochs) == ("baseline", ("graph", "adaptive_norm"), 3)
    assert (second.train, dict(second.rates)) == (("gat",), {"gat.conv": 0.1})
    assert first.learning_rate is None


def test_a_dump_is_read_back_whole(tmp_path):
    """The settings.json of a run gives the phases of that run."""
    file = tmp_path / "run.toml"
    file.write_text(TABLES)
    settings = load_settings(file, environ={})
    dump = tmp_path / "settings.json"
    dump.write_text(settings.model_dump_json())
    assert load_settings(dump, environ={}) == settings


def test_a_shell_writes_them_as_json():
    """In the environment and on the command line phases are a list of objects."""
    text = '[{"name": "a", "off": ["graph"]}, {"name": "b", "learning_rate": 1e-4}]'
    wanted = TrainingSettings(
        phases=[{"name": "a", "off": ["graph"]}, {"name": "b", "learning_rate": 1e-4}]
    )
    assert load_settings(environ={"FLATLINE_TRAINING__PHASES": text}).training == wanted
    assert load_settings(environ={}, overrides=[f"training.phases={text}"]).training == wanted


def test_a_phase_goes_over_the_run(tmp_path):
    """Its settings take the run's place, and what they leave without effect is dropped."""
    file = tmp_path / "run.toml"
    file.write_text(TABLES)
    training = load_settings(file, environ={}).training
    first, second = (phase.over(training) for phase in training.phases)
    assert (first.max_epochs, first.schedule, first.plateau_factor) == (3, "plateau", 0.3)
    assert (second.max_epochs, second.schedule) == (training.max_epochs, "constant")
    assert second.learning_rate == training.learning_rate
    assert first.phases == second.phases == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[{"name": "a", "epochs": 1}]',
            (
                "training.phases.0.epochs is no setting of PhaseSettings, expected a known one. "
                "Did you mean 'max_epochs'?"
            ),
        ),
        ('[{"off": ["graph"]}]', "training.phases.0.name is missing, expected a value. Give it"),
        (
            '[{"name": "a"}]',
            (
                "in training, phase 'a' is as the run without phases, expected a change. Drop it, "
                "or say what is off, what trains or how. Set by FLATLINE_TRAINING__PHASES."
            ),
        ),
        (
            '[{"name": "a"}, {"name": "b"}]',
            None,
        ),
        (
            '[{"name": "a", "weights": {"mso": 1}}, {"name": "b"}]',
            "names the term 'mso', expected one of",
        ),
        (
            '[{"name": "a", "weights": {"exposure": 1, "mse": 1}}, {"name": "b"}]',
            "phase 'a': weights.exposure is set but batches carry no exposures",
        ),
        (
            '[{"name": "a", "weights": {"huber": 1, "pinball": 1, "ic": 0.5}}, {"name": "b"}]',
            "weights of phase 'a' are those of the run and change nothing",
        ),
    ],
)  # fmt: skip
def test_a_wrong_phase_is_named(text, message):
    """One sentence says which phase, what is wrong and what instead."""
    with pytest.raises(SettingsError, match=re.escape(message or "is as the phase before it")):
        load_settings(environ={"FLATLINE_TRAINING__PHASES": text})


@pytest.mark.parametrize(
    ("phases", "more", "message"),
    [
        ([A, A], {}, "phases has two with the name 'a', expected different names. Rename one."),
        (
            [A, {**A, "name": "b"}],
            {},
            (
                "phase 'b' is as the phase before it, expected a change. Drop it, or say what is "
                "off, what trains or how."
            ),
        ),
        (
            [A, {"name": "b", "off": ["graph"]}],
            {},
            (
                "phase 'b' is the last and leaves 'graph' off, expected all parts on at the end, "
                "as they are when the model is used. Add a phase, or leave the part out of the "
                "model."
            ),
        ),
        (
            [A, {"name": "b", "max_epochs": 1}],
            {"max_epochs": 9},
            (
                "max_epochs is 9 but changes nothing, expected an effect: every phase has its own. "
                "Drop one of them."
            ),
        ),
        (
            [A, {"name": "b", "schedule": "constant", "final_fraction": 0.5}],
            {},
            (
                "in phase 'b', final_fraction is 0.5 but changes nothing, expected an effect: "
                "schedule is 'constant'. Set another, or drop it."
            ),
        ),
        (
            [{"name": "a", "rates": {"head": 1.0}}, B],
            {},
            "rate of head is 1 but changes nothing, expected another factor. Drop it.",
        ),
        (
            [{"name": "  "}, B],
            {},
            "name is '  ', expected a valid value: string should have at least 1 character",
        ),
    ],
)  # fmt: skip
def test_phases_that_do_not_fit_each_other_are_refused(phases, more, message):
    """Each phase is a change, each has its name, and no setting is without effect."""
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}"):
        TrainingSettings(phases=phases, **more)


def test_a_plain_first_phase_may_be_followed_by_another():
    """The first phase may be the run as it is, where a later one differs."""
    training = TrainingSettings(phases=[B, A])
    assert [phase.name for phase in training.phases] == ["b", "a"]
    assert training.phases[0] == PhaseSettings(name="b")
