"""Each phase changes what it says and nothing else, and all of it comes back."""

import copy
import csv

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from safetensors.torch import load_file

from flatline.errors import DegenerateError, SettingsError
from flatline.losses import BlendSettings, MultiHorizonLoss
from flatline.training import (
    DegeneracyGuard,
    GraphGradientMonitor,
    GuardSettings,
    PhaseSettings,
    TrainingSettings,
    fit,
    seed_all,
)
from flatline.training.phases import in_phase
from training.phased import Parted, fresh, train
from training.toy import HORIZONS, LEVELS, Shuffled, Toy, ToyLoss, make_batches

QUIET = {"progress": False, "tensorboard": False, "log_every_n_steps": 1, "warmup_epochs": 0.0}
FULL = PhaseSettings(name="all", learning_rate=0.01)


def state_of(model):
    """All that a phase may change beside the weights."""
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    modes = {name: part.training for name, part in model.named_modules()}
    return flags, modes, getattr(model, "off", None)


def trained(*phases, model=None, callbacks=(), loss=None, folder=None, **settings):
    """A model after short phases."""
    seed_all(0)
    model = model or Parted()
    result = fit(
        model,
        loss or ToyLoss(),
        Shuffled(make_batches()),
        make_batches(3, first_day=50),
        TrainingSettings(
            **{"max_epochs": 1, "learning_rate": 0.05} | QUIET | settings, phases=phases
        ),
        run_dir=folder,
        callbacks=callbacks,
    )
    return model, result


class Recorder(Callback):
    """Keeps what each phase looks like from inside: state, optimizer, first and last weights."""

    def __init__(self):
        self.states, self.groups, self.first, self.last = [], [], [], []

    def on_train_start(self, trainer, pl_module):
        """A phase begins."""
        self.states.append(state_of(pl_module.model))
        self.first.append(copy.deepcopy(pl_module.model.state_dict()))

    def on_train_batch_end(self, trainer, pl_module, *args):
        """After a step, when the rates are those of the step."""
        names = {id(p): name for name, p in pl_module.model.named_parameters()}
        groups = trainer.optimizers[0].param_groups
        now = {names[id(p)]: group["lr"] for group in groups for p in group["params"]}
        self.groups.append(now)

    def on_train_end(self, trainer, pl_module):
        """A phase ends."""
        self.last.append(copy.deepcopy(pl_module.model.state_dict()))


def moved(before, after):
    """Names of the tensors that differ."""
    return {name for name in before if not torch.equal(before[name], after[name])}


def below(model, *paths):
    """Names of the parameters and statistics of some modules."""
    return {name for name in model.state_dict() if name.startswith(tuple(f"{p}." for p in paths))}


def test_only_what_trains_moves():
    """Weights, and statistics of batch norms, of frozen modules stay to the bit."""
    recorder = Recorder()
    model, _ = trained(
        PhaseSettings(name="graph", train=("gat", "fusion")), FULL, callbacks=[recorder]
    )
    assert moved(recorder.first[0], recorder.last[0]) == below(model, "gat", "fusion")
    assert moved(recorder.first[1], recorder.last[1]) == set(model.state_dict())


def test_without_the_freeze_it_would_all_move(monkeypatch):
    """The test above can fail: where nothing is frozen, the encoder and its statistics move."""
    monkeypatch.setattr("flatline.training.phases._plan", lambda model, phase: (everything, {}))
    recorder, everything = Recorder(), {name for name, _ in Parted().named_parameters()}
    trained(PhaseSettings(name="graph", train=("gat",)), FULL, callbacks=[recorder])
    assert {"encoder.0.weight", "encoder.3.running_mean"} <= moved(
        recorder.first[0], recorder.last[0]
    )


def test_frozen_modules_stand_in_eval_mode_and_others_do_not():
    """So they drop nothing out; parts of which something trains stay in training mode."""
    model = Parted().train()
    with in_phase(model, PhaseSettings(name="a", train=("encoder.0", "head"))):
        flags, modes, _ = state_of(model)
    assert {name for name, on in flags.items() if on} == {
        "encoder.0.weight", "encoder.0.bias", "head.linear.weight", "head.linear.bias",
    }  # fmt: skip
    still = {name for name, on in modes.items() if not on}
    # Dropout has no parameters of its own: it goes with the module around it.
    assert still == {"encoder.1", "encoder.3", "gat", "fusion"}
    with in_phase(model, PhaseSettings(name="b", train=("gat",))):
        assert not model.encoder[2].training


def test_all_comes_back():
    """Flags, modes and switches after a phase are those before it, user's own ones included."""
    model = Parted().train()
    model.head.requires_grad_(requires_grad=False)
    model.fusion.eval()
    before = state_of(model)
    phase = PhaseSettings(name="a", off=("graph",), train=("encoder.*",))
    with in_phase(model, phase):
        inside = state_of(model)
        assert model.off == {"graph"}
        assert not any(p.requires_grad for p in model.head.parameters())
    assert inside != before == state_of(model)


def test_all_comes_back_from_a_phase_that_fails():
    """A training that is broken off leaves the model as it was, but for its weights."""

    class Fails(Callback):
        def on_train_batch_end(self, trainer, *args):
            raise RuntimeError("broken off")

    model = Parted()
    before = state_of(model)
    phase = PhaseSettings(name="a", off=("graph",), train=("head",))
    with pytest.raises(RuntimeError, match="broken off"):
        trained(phase, FULL, model=model, callbacks=[Fails()])
    assert state_of(model) == before


def test_a_part_is_off_in_its_phase_alone():
    """The graph has no effect and does not train while it is off, and both afterwards."""
    recorder = Recorder()
    model, _ = trained(PhaseSettings(name="baseline", off=("graph",)), FULL, callbacks=[recorder])
    assert [state[2] for state in recorder.states] == [{"graph"}, frozenset()]
    graph = below(model, "gat") | {"gate"}
    assert not moved(recorder.first[0], recorder.last[0]) & graph
    assert moved(recorder.first[1], recorder.last[1]) >= graph


def test_rates_are_those_of_each_phase():
    """The optimizer holds what trains, each at its own rate, in every step."""
    recorder = Recorder()
    model, _ = trained(
        PhaseSettings(name="a", train=("head", "gat"), schedule="constant", rates={"gat": 0.1}),
        PhaseSettings(name="b", learning_rate=0.002, schedule="constant", max_epochs=2),
        callbacks=[recorder],
    )
    gat, head = below(model, "gat"), below(model, "head")
    assert (
        recorder.groups[:6]
        == [pytest.approx(dict.fromkeys(gat, 0.005) | dict.fromkeys(head, 0.05))] * 6
    )
    names = {name for name, _ in model.named_parameters()}
    assert recorder.groups[6:] == [pytest.approx(dict.fromkeys(names, 0.002))] * 12


def test_each_phase_has_a_schedule_of_its_own():
    """A cosine falls over the steps of its phase, and the next one begins at the peak."""
    recorder = Recorder()
    trained(PhaseSettings(name="a", max_epochs=2), FULL, callbacks=[recorder], final_fraction=0.0)
    rates = [group["head.linear.weight"] for group in recorder.groups]
    assert (rates[0], rates[12]) == (0.05, 0.01)
    assert rates[11] == rates[17] == pytest.approx(0.0, abs=1e-12)


def test_loss_weights_are_those_of_each_phase(tmp_path):
    """The terms that are logged in a phase are those it weights; the caller's loss is untouched."""
    settings = BlendSettings(weights={"mse": 1.0, "ic": 0.5}, min_names=6)
    loss = MultiHorizonLoss(settings, horizons=HORIZONS, levels=LEVELS)
    trained(
        PhaseSettings(name="a", weights={"huber": 1.0}), FULL, loss=loss, folder=tmp_path / "run"
    )
    seen = {}
    for row in rows_of(tmp_path / "run"):
        terms = {n.split("/")[2] for n, v in row.items() if v and n.startswith("train/term/")}
        seen.setdefault(row["phase"], set()).update(terms)
    assert seen == {"a": {"huber"}, "all": {"mse", "ic"}}
    assert loss.settings == settings


def test_a_phase_forgets_the_moments_of_the_loss():
    """What the loss remembers of one phase does not reach into the next."""

    class Notes(Callback):
        def __init__(self):
            self.running = []

        def on_train_start(self, trainer, pl_module):
            self.running.append(pl_module.loss.running.item())

    notes = Notes()
    trained(PhaseSettings(name="a", off=("graph",)), FULL, callbacks=[notes])
    assert notes.running == [1.0, 1.0]


def rows_of(folder):
    """The log of a run."""
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of three phases, what it came to, and what it looked like from inside."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    recorder, model = Recorder(), fresh()
    result = train(folder, model=model, callbacks=[recorder])
    return folder, result, recorder, model


def test_the_log_is_one(run):
    """Steps and epochs count on from phase to phase, and a column names the phase."""
    rows = rows_of(run[0])
    steps = [int(row["step"]) for row in rows if row["train/loss"]]
    assert steps == list(range(1, 31))
    names = {int(row["step"]): row["phase"] for row in rows}
    assert [names[step] for step in (1, 12, 13, 18, 19, 30)] == [
        "baseline", "baseline", "graph, alone", "graph, alone", "all", "all",
    ]  # fmt: skip
    judged = [row for row in rows if row["valid/loss"]]
    assert [(float(row["epoch"]), int(row["step"])) for row in judged] == [
        (epoch, 6 * epoch + 6) for epoch in range(5)
    ]


def test_the_result_is_one(run):
    """History, steps and best epoch are counted from the start of the run."""
    _, result, _, _ = run
    assert [row["phase"] for row in result.history] == [1, 1, 2, 3, 3]
    assert [row["step"] for row in result.history] == [6, 12, 18, 24, 30]
    assert result.steps == 30
    assert result.best_epoch in (3, 4)
    assert result.best_score == max(row["valid/rank_ic"] for row in result.history[3:])


def test_the_model_is_left_with_the_best_of_the_last_phase(run):
    """And so is the file; what phases went on from is gone."""
    folder, result, _, model = run
    kept = load_file(result.best_path)
    assert not moved(kept, model.state_dict())
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        "best.safetensors", "phase_1.safetensors", "phase_2.safetensors",
    ]  # fmt: skip


def test_each_phase_starts_from_the_best_of_the_one_before(tmp_path):
    """Not from its last weights."""

    class Spoils(Recorder):
        """Ruins the weights after the first of two epochs."""

        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                self.best = copy.deepcopy(pl_module.model.state_dict())
                torch.nn.init.zeros_(pl_module.model.head.linear.weight)
                pl_module.model.head.linear.weight.requires_grad = False

    recorder = Spoils()
    first = PhaseSettings(name="a", off=("graph",), max_epochs=2)
    _, result = trained(first, FULL, callbacks=[recorder])
    assert [row["eligible"] for row in result.history] == [1, 0, 1]
    assert not moved(recorder.best, recorder.first[1])
    assert moved(recorder.best, recorder.last[0])


def test_without_a_best_epoch_a_phase_hands_on_its_last_weights():
    """Where no epoch was fit, or none is to be restored, training goes on from where it was."""
    recorder = Recorder()
    trained(PhaseSettings(name="a", off=("graph",)), FULL, callbacks=[recorder], restore_best=False)
    assert not moved(recorder.last[0], recorder.first[1])


def test_patience_ends_a_phase_and_not_the_run():
    """A phase that does not improve gives way to the next one."""
    stuck = PhaseSettings(name="a", learning_rate=1e-12, patience=2, max_epochs=30)
    _, result = trained(stuck, PhaseSettings(name="b"))
    phases = [row["phase"] for row in result.history]
    assert phases.count(1) < 10
    assert phases[-1] == 2
    assert result.stopped == "max_epochs"


def test_a_moving_average_is_that_of_its_phase(run):
    """The next phase starts from the average where there was one, else from the weights."""
    recorder = run[2]
    assert moved(recorder.last[0], recorder.first[1]) >= {"head.linear.weight"}
    assert not moved(recorder.last[1], recorder.first[2])


def test_a_phase_that_changes_nothing_of_the_start_is_the_run_without_phases(tmp_path):
    """The first phase, with the settings of the run, takes the steps of a run without phases."""
    seed_all(0)
    model = Parted()
    settings = TrainingSettings(max_epochs=1, learning_rate=0.05, **QUIET)
    batches = Shuffled(make_batches()), make_batches(3, first_day=50)
    plain = fit(model, ToyLoss(), *batches, settings, run_dir=None)
    _, result = trained(PhaseSettings(name="a"), FULL)
    row = {name: value for name, value in result.history[0].items() if name != "phase"}
    assert row == plain.history[0]


def test_the_guard_starts_anew():
    """Looks in a row are counted within a phase: one at the start of each stops nothing."""
    model = Parted()
    torch.nn.init.zeros_(model.head.linear.weight)
    guard = DegeneracyGuard(GuardSettings(action="stop", every_n_steps=100, patience=2))
    dead = PhaseSettings(name="a", train=("gat", "encoder"))
    trained(dead, FULL, model=model, callbacks=[guard])
    assert [step for step, finding in guard.findings if finding.horizon == HORIZONS[0]] == [0, 0]


def test_the_guard_stops_a_phase():
    """A head that is dead and frozen is found in its phase."""
    model = Parted()
    torch.nn.init.zeros_(model.head.linear.weight)
    guard = DegeneracyGuard(GuardSettings(action="stop", every_n_steps=5, patience=2))
    dead = PhaseSettings(name="a", train=("gat", "encoder"))
    with pytest.raises(DegenerateError, match="after 5 steps"):
        trained(dead, FULL, model=model, callbacks=[guard])
    assert all(p.requires_grad for p in model.parameters())


def test_a_branch_that_rests_is_not_warned_about(caplog):
    """The gradient monitor looks at the graph in the phases in which it trains."""
    monitor = GraphGradientMonitor(1e-8, every_n_steps=3)
    trained(PhaseSettings(name="a", off=("graph",)), FULL, callbacks=[monitor])
    assert "[graph-grad]" not in caplog.text
    assert [step for step, _ in monitor.norms] == [3, 6]


def test_the_progress_bar_names_the_phase():
    """What stands beside the bar begins with the phase."""

    class Looks(Callback):
        def __init__(self):
            self.seen = []

        def on_train_batch_end(self, trainer, pl_module, *args):
            bar = trainer.progress_bar_callback
            self.seen.append(bar.get_metrics(trainer, pl_module).get("phase"))

    looks = Looks()
    trained(PhaseSettings(name="a", off=("graph",)), FULL, callbacks=[looks], progress=True)
    assert looks.seen == ["a"] * 6 + ["all"] * 6


@pytest.mark.parametrize(
    ("phase", "message"),
    [
        (
            {"train": ("encodr",)},
            ("train is 'encodr', expected a pattern of modules of the Parted. "
            "Did you mean 'encoder'?"),
        ),
        (
            {"rates": {"hed": 0.1}},
            "rates is 'hed', expected a pattern of modules of the Parted. Did you mean 'head'?",
        ),
        (
            {"off": ("grap",)},
            ("off is 'grap', expected a part of the Parted that can be switched off. "
            "Did you mean 'graph'?"),
        ),
        (
            {"train": ("*",)},
            ("train is ['*'] but changes nothing, expected some modules to be left out. "
            "Drop it to train all."),
        ),
        (
            {"off": ("graph",), "train": ("gat", "head")},
            ("train is 'gat' but changes nothing, expected modules with parameters that can train "
            "in this phase. Drop it, or switch on and train what it names."),
        ),
        (
            {"train": ("head",), "rates": {"gat": 0.1}},
            ("rates is 'gat' but changes nothing, expected modules with parameters that can train "
            "in this phase. Drop it, or switch on and train what it names."),
        ),
        (
            {"rates": {"head": 0.1, "h*.linear": 0.2}},
            ("rates gives head.linear.bias the factors 0.1 and 0.2, expected one. "
            "Make the patterns narrower."),
        ),
    ],
)  # fmt: skip
def test_a_phase_that_does_not_fit_the_model_is_refused_at_once(tmp_path, phase, message):
    """A later one too: nothing is trained, no folder is made, the model is as it was."""
    model = Parted()
    before, weights = state_of(model), copy.deepcopy(model.state_dict())
    wrong = PhaseSettings(name="wrong", **phase)
    with pytest.raises(SettingsError) as caught:
        trained(
            PhaseSettings(name="a", max_epochs=2), wrong, FULL, model=model, folder=tmp_path / "r"
        )
    assert str(caught.value) == f"in phase 'wrong', {message}"
    assert not (tmp_path / "r").exists()
    assert state_of(model) == before
    assert not moved(weights, model.state_dict())


def test_weights_need_a_loss_that_has_them():
    """A loss of one's own has no terms to weight."""
    with pytest.raises(SettingsError, match="phase 'a' has weights but the loss is a ToyLoss"):
        trained(PhaseSettings(name="a", weights={"mse": 1.0}), FULL)


def test_a_model_without_parts_can_be_frozen():
    """Patterns need no parts; switches do."""
    model, _ = trained(PhaseSettings(name="a", train=("head",)), FULL, model=Toy())
    assert all(p.requires_grad for p in model.parameters())
    with pytest.raises(SettingsError, match=r"expected a part of the Toy .* There is none"):
        trained(PhaseSettings(name="a", off=("graph",)), FULL, model=Toy())


def test_tied_weights_go_by_any_of_their_names():
    """A parameter with two names trains when either is meant."""
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 2), "b": torch.nn.Linear(2, 2)})
    model["b"].weight = model["a"].weight
    with in_phase(model, PhaseSettings(name="b", train=("b",))):
        assert model["b"].weight.requires_grad
        assert [p.requires_grad for p in model["a"].parameters()] == [True, False]
