"""One tree of settings: layers, shell names, and errors that name the nearest setting."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from flatline.aliases import ALIASES, ON_WEIGHT, alias_help
from flatline.batch import Forecast, Labels
from flatline.days import Days
from flatline.errors import DegenerateError, SettingsError
from flatline.losses import BlendSettings, MultiHorizonLoss
from flatline.models import AtftGatFan, AtftGatFanSettings
from flatline.settings import Settings, load_settings, settings_paths
from flatline.subjects import GATE_SETTINGS
from flatline.training import DegeneracyGuard, GuardSettings, fit, make_monitors, seed_all
from training.toy import HORIZONS, LEVELS, Shuffled, Toy, ToyLoss, make_batches

# Small enough to train in a blink; the environment goes over the file.
BASE = """
[training]
max_epochs = 2
progress = false
tensorboard = false
[guard]
every_n_steps = 2
[model]
hidden = 8
"""
# What the rooms above wire to their objects, and test there.
WIRED_ABOVE = {"data.graph.enabled", "data.graph.rebuild_every", "run.single_process"} | {
    "run.export_predictions"
}


def at(settings, path):
    """The value at a place of the tree; None where it has no such place, as of another model."""
    value = settings
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else getattr(value, name, None)
    return value


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A file under which training takes a blink."""
    file = tmp_path_factory.mktemp("settings") / "base.toml"
    file.write_text(BASE)
    return file


def trained(settings):
    """Steps done and weights reached."""
    seed_all(0)
    model = Toy()
    result = fit(model, ToyLoss(), Shuffled(make_batches(3)), None, settings.training, run_dir=None)
    return result.steps, [p.detach().tolist() for p in model.parameters()]


def scored(settings):
    """Scores and modules of the model."""
    seed_all(0)
    model = AtftGatFan(
        settings.model,
        features=3,
        static=0,
        edge_attributes=0,
        lookback=20,
        horizons=HORIZONS,
        levels=LEVELS,
    )
    inputs = {
        "features": torch.randn(6, 20, 3),
        "group_day": torch.zeros(6, dtype=torch.int64),
        "stock_id": torch.arange(6),
        "edge_index": torch.tensor([[0, 1, 2], [1, 2, 0]]),
        "edge_attr": torch.empty(3, 0),
    }
    return model(inputs).point.tolist(), sorted(n for n, _ in model.named_modules())


def judged(settings):
    """Total of the blend on fixed scores."""
    seed_all(0)
    rows = 24 * 20
    labels = Labels(torch.randn(rows, 2), torch.ones(rows, 2, dtype=torch.bool))
    point = 0.1 * torch.randn(rows, 2) + 0.01 * labels.value
    forecast = Forecast(point, point[..., None] + torch.tensor([-0.5, 0.0, 0.5]))
    loss = MultiHorizonLoss(settings.loss, horizons=HORIZONS, levels=LEVELS)
    days = Days.from_lengths([20] * 24)
    return float(loss(forecast, labels, days, stock_id=torch.arange(rows) % 20).total)


def guarded(settings):
    """What becomes of a model with a dead head."""
    model = Toy()
    torch.nn.init.zeros_(model.head.linear.weight)
    model.head.requires_grad_(requires_grad=False)
    try:
        fit(
            model,
            ToyLoss(),
            make_batches(),
            make_batches(3, first_day=50),
            settings.training,
            run_dir=None,
            callbacks=[DegeneracyGuard(settings.guard)],
        )
    except DegenerateError:
        return "stopped"
    return "went on"


def monitored(settings):
    """The monitors that are made, with their options."""
    return [(type(m).__name__, vars(m)) for m in make_monitors(settings.diagnostics)]


OBSERVERS = {
    "training": trained,
    "model": scored,
    "loss": judged,
    "guard": guarded,
    "diagnostics": monitored,
    "data": lambda settings: settings.data.days_per_batch(100),
}


@pytest.mark.parametrize("name", ALIASES)
def test_every_alias_changes_the_setting_it_names(base, name):
    """Each shell name, set, changes its place in the tree and nothing else there."""
    alias = ALIASES[name]
    before = load_settings(base, environ=alias.needs)
    after = load_settings(base, environ={**alias.needs, name: alias.example})
    assert at(before, alias.path) != at(after, alias.path)
    other = set(settings_paths()) - {alias.path, "loss.weights.*", "loss.horizon_weights.*"}
    assert all(at(before, path) == at(after, path) for path in other)
    weights = [dict(s.loss.weights) for s in (before, after)]
    key = alias.path.split(".")[-1]
    assert {t: w for t, w in weights[0].items() if t != key} == {
        t: w for t, w in weights[1].items() if t != key
    }


@pytest.mark.parametrize("name", [n for n in ALIASES if ALIASES[n].path not in WIRED_ABOVE])
def test_every_alias_changes_what_it_names(base, name):
    """Each shell name, set, changes what the object does that reads the setting."""
    alias = ALIASES[name]
    observe = OBSERVERS[alias.path.split(".")[0]]
    before = observe(load_settings(base, environ=alias.needs))
    after = observe(load_settings(base, environ={**alias.needs, name: alias.example}))
    assert before != after


@pytest.mark.parametrize("name", ALIASES)
def test_every_alias_has_a_long_name_that_does_the_same(base, name):
    """The setting's own environment variable sets the same place."""
    alias = ALIASES[name]
    wanted = load_settings(base, environ={**alias.needs, name: alias.example})
    value = at(wanted, alias.path)
    long_name = "FLATLINE_" + "__".join(alias.path.split(".")).upper()
    same = load_settings(base, environ={**alias.needs, long_name: str(value)})
    assert same == wanted


def test_the_help_lists_every_alias():
    """Every shell name is in the help, with its place and its meaning."""
    lines = alias_help().splitlines()
    assert [line.split()[0] for line in lines] == list(ALIASES)
    for line, alias in zip(lines, ALIASES.values(), strict=True):
        assert alias.path in line
        assert alias.meaning in line


def test_later_layers_win(tmp_path):
    """Defaults give way to the file, the file to the environment, that to the command line."""
    file = tmp_path / "run.toml"
    file.write_text("[training]\nlearning_rate = 0.1\nweight_decay = 0.1\nseed = 1\n")
    settings = load_settings(
        file,
        environ={"LEARNING_RATE": "0.2", "FLATLINE_TRAINING__SEED": "2"},
        overrides=["training.seed=3"],
    )
    training = settings.training
    assert (training.weight_decay, training.learning_rate, training.seed) == (0.1, 0.2, 3)
    assert training.max_epochs == Settings().training.max_epochs


def test_weights_in_a_file_are_all_there_are(tmp_path):
    """A file's weights take the place of the default ones; the environment changes single ones."""
    file = tmp_path / "run.toml"
    file.write_text("[loss.weights]\nmse = 1.0\nic = 0.2\n")
    settings = load_settings(file, environ={"LISTNET_WEIGHT": "0.3", "CS_IC_WEIGHT": "0"})
    assert dict(settings.loss.weights) == {"mse": 1.0, "listnet": 0.3}


def test_a_switch_keeps_the_weight_it_finds(tmp_path):
    """USE_RANKIC leaves a weight of the file alone, and gives one where there is none."""
    file = tmp_path / "run.toml"
    file.write_text("[loss.weights]\nmse = 1.0\nrank_ic = 0.2\n")
    on, off = {"USE_RANKIC": "1"}, {"USE_RANKIC": "no"}
    assert load_settings(file, environ=on).loss.weights["rank_ic"] == 0.2
    assert load_settings(environ=on).loss.weights["rank_ic"] == ON_WEIGHT
    assert load_settings(environ=on | {"RANKIC_WEIGHT": "0.1"}).loss.weights["rank_ic"] == 0.1
    assert "rank_ic" not in load_settings(file, environ=off).loss.weights


def test_a_dump_is_read_back_whole(tmp_path):
    """The settings.json of a run gives the settings of that run."""
    settings = load_settings(
        environ={"HUBER_WEIGHT": "0", "MAX_EPOCHS": "3", "FLATLINE_DATA__HORIZONS": "1,5"},
        overrides=["loss.horizon_weights.1=2", "loss.horizon_weights.5=1"],
    )
    file = tmp_path / "settings.json"
    file.write_text(settings.model_dump_json())
    assert load_settings(file, environ={}) == settings


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"FLATLINE_TRAINING__LERNING_RATE": "1"},
            (
                "FLATLINE_TRAINING__LERNING_RATE is no setting, expected a known one. "
                "Did you mean 'FLATLINE_TRAINING__LEARNING_RATE'?"
            ),
        ),
        (
            {"LEARNING_RATE": "fast"},
            (
                "training.learning_rate is 'fast', expected a valid value: input should be a valid "
                "number, unable to parse string as a number. Correct it. Set by LEARNING_RATE."
            ),
        ),
        (
            {"PRED_HEAD_VARIANT": "deep"},
            (
                "model.head_variant is 'deep', expected a valid value: input should be 'gated' or "
                "'apex'. Correct it. Set by PRED_HEAD_VARIANT."
            ),
        ),
        (
            {"SHARPE_WEIGHT": "nan"},
            (
                "loss.weights.sharpe is 'nan', expected a valid value: input should be a finite "
                "number. Correct it. Set by SHARPE_WEIGHT."
            ),
        ),
        (
            {"LISTNET_TAU": "0.5"},
            (
                "in loss, listnet_tau is 0.5 but changes nothing, expected an effect: no term that "
                "reads it has a weight. Give one to listnet, or drop it. Set by LISTNET_TAU."
            ),
        ),
        (
            {"VARIANCE_PENALTY": "0.1", "VARIANCE_PENALTY_WEIGHT": "0.2"},
            (
                "loss.weights.variance_floor is 0.1 by VARIANCE_PENALTY and 0.2 by "
                "VARIANCE_PENALTY_WEIGHT, expected one value. Drop one of them."
            ),
        ),
        (
            {"USE_RANKIC": "0", "RANKIC_WEIGHT": "0.3"},
            (
                "loss.weights.rank_ic is 0.3 by RANKIC_WEIGHT and off by USE_RANKIC, expected one "
                "value. Drop one of them."
            ),
        ),
        (
            {"LEARNING_RATE": "0.1", "FLATLINE_TRAINING__LEARNING_RATE": "0.2"},
            (
                "training.learning_rate is 0.2 by FLATLINE_TRAINING__LEARNING_RATE and 0.1 by "
                "LEARNING_RATE, expected one value. Drop one of them."
            ),
        ),
        (
            {"GRAD_MONITOR_EVERY": "10"},
            (
                "in diagnostics, gradient_every_n_steps is 10 but changes nothing, expected an "
                "effect: the gradient monitor is off. Set graph_gradient_floor, or drop it. "
                "Set by GRAD_MONITOR_EVERY."
            ),
        ),
        (
            {"USE_LISTNET_LOSS": "perhaps"},
            "USE_LISTNET_LOSS is 'perhaps', expected a yes or a no. Set it to 1 or 0.",
        ),
        (
            {"GAT_GRAD_THR": "0.1", "BYPASS_GAT_COMPLETELY": "1"},
            (
                "diagnostics.graph_gradient_floor is 0.1 but model.bypass_gat leaves the graph "
                "branch out, expected a branch to watch. Drop one of them."
            ),
        ),
    ],
)
def test_a_wrong_variable_is_named(environ, message):
    """A faulty environment is one sentence that says what, by whom, and what instead."""
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        load_settings(environ=environ)


def test_two_names_may_agree():
    """Two names with one value are no contradiction, however it is written."""
    environ = {"VARIANCE_PENALTY": "0.1", "VARIANCE_PENALTY_WEIGHT": "1e-1"}
    switch = {"FORCE_SINGLE_PROCESS": "1", "FLATLINE_RUN__SINGLE_PROCESS": "true"}
    settings = load_settings(environ=environ | switch)
    assert settings.loss.weights["variance_floor"] == 0.1
    assert settings.run.single_process


def test_an_unknown_key_of_a_file_is_named(tmp_path):
    """A slip in a file is an error that names the nearest setting."""
    file = tmp_path / "run.toml"
    file.write_text("[training]\nmax_epoch = 3\n")
    message = (
        "training.max_epoch is no setting, expected a known one. "
        "Did you mean 'training.max_epochs'?"
    )
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        load_settings(file, environ={})


def test_a_file_that_is_no_toml_is_an_error(tmp_path):
    """Broken TOML names the file and the place."""
    file = tmp_path / "run.toml"
    file.write_text("[training\n")
    with pytest.raises(SettingsError, match=r"run\.toml cannot be read .*line 1"):
        load_settings(file, environ={})


def test_lists_are_written_with_commas_or_as_json():
    """A shell writes lists with commas; JSON works too; none stands for nothing."""
    for text in ("1,5", "[1, 5]", " 1, 5 "):
        assert load_settings(environ={"FLATLINE_DATA__HORIZONS": text}).data.horizons == (1, 5)
    assert load_settings(environ={}, overrides=["training.max_steps=none"]).training == (
        Settings().training
    )


def test_empty_and_foreign_variables_are_left_alone():
    """An empty variable is not set; variables of others are not settings."""
    environ = {"LEARNING_RATE": "", "HOME": "/home/user", "FLATLINE_REAL_DATA": "/data"}
    assert load_settings(environ=environ) == Settings()


def test_the_tree_is_frozen_and_defaults_fit():
    """The defaults are valid together, and nobody changes them afterwards."""
    settings = Settings()
    assert settings.loss == BlendSettings()
    with pytest.raises(Exception, match="frozen"):
        settings.training = settings.training


def test_a_guard_that_is_off_has_nothing_to_be_told():
    """An option of a guard that is off is refused instead of being ignored."""
    with pytest.raises(SettingsError, match="patience is 7 but changes nothing"):
        GuardSettings(action="off", patience=7)


@pytest.mark.parametrize(
    ("bypass", "idle"),
    [
        ("bypass_gat", {"gat_heads": 2}),
        ("bypass_gat", {"gat_init_scale": 1.5}),
        ("bypass_gat", {"gat_residual_gate": 0.8}),
        ("bypass_adaptive_norm", {"adaptive_norm": "revin"}),
        ("bypass_adaptive_norm", {"fan_top_k": 1}),
        ("bypass_adaptive_norm", {"san_slices": 2}),
    ],
)
def test_a_branch_that_is_left_out_has_nothing_to_be_told(bypass, idle):
    """An option of a bypassed branch is refused instead of being ignored."""
    with pytest.raises(SettingsError, match=f"{next(iter(idle))} is .* but changes nothing"):
        AtftGatFanSettings(**{bypass: True}, **idle)


@pytest.mark.parametrize(
    ("norm", "idle"), [("fan", "san_slices"), ("san", "fan_top_k"), ("revin", "fan_top_k")]
)
def test_a_norm_that_is_not_used_has_nothing_to_be_told(norm, idle):
    """Frequencies are FAN's and slices SAN's."""
    with pytest.raises(SettingsError, match=f"{idle} is 1 but changes nothing"):
        AtftGatFanSettings(adaptive_norm=norm, **{idle: 1})


def test_a_branch_can_be_switched_off_whatever_the_file_tells_it(tmp_path):
    """Bypassed by hand, a branch is left out; what only the file asks of it is dropped."""
    file = tmp_path / "run.toml"
    file.write_text(
        "[data.graph]\nneighbours = 3\nsame_sector = 0\n[model]\ngat_heads = 2\nhidden = 32\n"
    )
    settings = load_settings(file, environ={"DISABLE_GRAPH_BUILDER": "1"})
    assert not settings.data.graph.enabled
    assert settings.model.gat_heads == 2
    settings = load_settings(file, environ={}, overrides=["model.bypass_gat=true"])
    assert (settings.model.hidden, settings.model.gat_heads) == (32, 4)
    assert settings.data.graph.neighbours == 3


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("", {"DISABLE_GRAPH_BUILDER": "1", "GRAPH_REBUILD_INTERVAL": "9"}),
        ("[data.graph]\nenabled = false\nrebuild_every = 9\n", {"LEARNING_RATE": "0.1"}),
        ("[data.graph]\nenabled = false\n", {"GRAPH_REBUILD_INTERVAL": "9"}),
    ],
)
def test_a_contradiction_of_one_hand_stays_an_error(tmp_path, text, environ):
    """Who switches a branch off and tunes it in one place, or tunes it later, is told."""
    file = tmp_path / "run.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match="rebuild_every is 9 but changes nothing"):
        load_settings(file, environ=environ)


def test_settings_load_without_torch():
    """A command line can print its help and choose its threads before torch starts its pool."""
    code = (
        "import sys; from flatline.settings import load_settings; load_settings(); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


@pytest.mark.parametrize(
    "file",
    [*Path(__file__).parents[1].glob("settings/*.toml"), *GATE_SETTINGS.values()],
    ids=lambda path: path.stem,
)
def test_every_settings_file_of_the_project_is_read(file):
    """Files that are shown as examples name only settings that exist and have an effect."""
    prices = [] if file in GATE_SETTINGS.values() else ["data.source.prices=a.parquet"]
    assert load_settings(file, environ={}, overrides=prices) != load_settings(environ={})
