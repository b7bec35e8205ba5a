"""Training as a whole: what is chosen, what is logged, what stops it."""

import csv
import json
import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn
from torch.utils.data import DataLoader

from flatline.batch import Forecast, Labels
from flatline.days import Days
from flatline.errors import DataError, NoValidDayError
from flatline.losses import BlendSettings, MultiHorizonLoss
from flatline.training import TrainingSettings, fit, seed_all
from flatline.training.live import block_norms, within_day_spread
from flatline.training.selection import Selection
from flatline.training.validation import ValidationScores
from training.toy import HORIZONS, LEVELS, Shuffled, Toy, ToyLoss, make_batches

QUIET = {"progress": False, "tensorboard": False, "log_every_n_steps": 1}


def settings(**values):
    """Settings of a short and quiet training."""
    return TrainingSettings(**{"max_epochs": 2, "learning_rate": 1e-2} | QUIET | values)


def rows_of(folder):
    """The log of a run."""
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_learns(tmp_path):
    """The loss falls, the scores rank the stocks, and the best weights are in the model."""
    seed_all(0)
    model = Toy()
    train, valid = Shuffled(make_batches(12, 30)), make_batches(6, 30, first_day=50)
    result = fit(model, ToyLoss(), train, valid, settings(max_epochs=10), run_dir=tmp_path / "a")
    assert result.history[-1]["valid/loss"] < result.history[0]["valid/loss"]
    assert result.best_score == max(row["valid/rank_ic"] for row in result.history) > 0.6
    model.eval()
    with torch.no_grad():
        ics = [
            spearmanr(model(x).point[k, h], y.value[k, h]).statistic
            for x, y in valid
            for h in range(2)
            for k in [y.known[:, h]]
        ]
    assert np.mean(ics) == pytest.approx(result.best_score, abs=1e-6)


def test_a_degenerate_epoch_never_wins(tmp_path):
    """An epoch with flat scores, or flat but on a lucky day, is not the best."""

    class Flat(Toy):
        def forward(self, batch):
            forecast = super().forward(batch)
            lucky = int(batch["group_day"][0]) == 100
            if self.training or lucky:
                return forecast
            return Forecast(forecast.point * 0, forecast.quantiles)

    valid = make_batches(5, first_day=100)
    result = fit(Flat(), ToyLoss(), make_batches(), valid, settings(), run_dir=tmp_path / "run")
    assert not math.isnan(result.history[0]["valid/rank_ic"])
    assert [row["eligible"] for row in result.history] == [0.0, 0.0]
    assert (result.best_epoch, result.best_path) == (None, None)
    assert not list((tmp_path / "run" / "checkpoints").glob("*.safetensors"))


def test_rounding_noise_never_wins():
    """Scores that differ in their last bits alone are flat, whatever their RankIC."""
    scores = ValidationScores()
    for inputs, labels in make_batches(4, 40):
        point = 1.0 + 1e-7 * torch.nan_to_num(labels.value)
        scores.add(Forecast(point), labels, inputs, loss=None)
    found = scores.finish()
    assert found.rank_ic[0] > 0.3
    assert found.flat
    assert found.score(min_defined_share=0.5) is None


def test_days_without_labels_do_not_count_against_an_epoch():
    """The last days of a panel have no labels yet: RankIC is taken over the others."""
    scores = ValidationScores()
    for day, (inputs, labels) in enumerate(make_batches(6)):
        known = labels.known & (day < 2)
        scores.add(Forecast(labels.value.nan_to_num()), Labels(labels.value, known), inputs, loss=0)
    found = scores.finish()
    assert found.defined_share == (1.0, 1.0)
    assert found.score(min_defined_share=0.9) == pytest.approx(1.0)


def test_early_stopping_counts_degenerate_epochs():
    """Patience runs out over epochs that do not improve, flat ones included."""
    run = Selection(patience=3)
    taken = [run.take(epoch, score) for epoch, score in enumerate([0.1, 0.2, None, 0.2, 0.1])]
    assert taken == [True, True, False, False, False]
    assert (run.best_epoch, run.should_stop) == (1, True)


def test_stops_when_patience_has_run_out():
    """A rate of next to nothing does not improve for long."""
    chosen = settings(max_epochs=30, learning_rate=1e-12, patience=2)
    result = fit(Toy(), ToyLoss(), make_batches(), make_batches(3), chosen, run_dir=None)
    assert result.stopped == "patience"
    assert len(result.history) < 10


def test_a_plateau_lowers_the_rate(tmp_path):
    """After validations without improvement every step has the lower rate."""
    chosen = settings(
        max_epochs=4, schedule="plateau", plateau_patience=1, plateau_factor=0.25, warmup_steps=0
    )
    dead = make_batches(2)
    for _, labels in dead:
        labels.known[:] = False
    fit(Toy(), ToyLoss(), make_batches(2), dead, chosen, run_dir=tmp_path / "run")
    rates = [float(row["train/lr"]) for row in rows_of(tmp_path / "run") if row["train/lr"]]
    expected = [0.01 * 0.25**epoch for epoch in range(4) for _ in range(2)]
    assert rates == pytest.approx([max(rate, 0.01 * 0.01) for rate in expected])


@pytest.mark.parametrize(
    ("budget", "reason"), [({"max_steps": 5}, "max_steps"), ({"max_seconds": 1e-6}, "max_seconds")]
)
def test_a_budget_stops_it(budget, reason):
    """Training ends after the steps or the seconds allowed, and validates once more."""
    chosen = settings(warmup_steps=0, **budget)
    result = fit(Toy(), ToyLoss(), make_batches(), make_batches(3), chosen, run_dir=None)
    assert result.stopped == reason
    assert result.steps == budget.get("max_steps", 0 if result.steps == 0 else 1)
    if reason == "max_steps":
        assert len(result.history) == 1


def test_the_run_folder_tells_the_run(tmp_path):
    """Settings, id, seed, versions, log and weights are there, and readable without code."""
    tree = {"training": {"seed": 7}, "data": {"lookback": 4}}
    folder = tmp_path / "run"
    result = fit(
        Toy(),
        ToyLoss(),
        make_batches(),
        make_batches(3),
        settings(seed=7),
        run_dir=folder,
        effective=tree,
    )
    record = json.loads((folder / "run.json").read_text())
    told = json.loads((folder / "settings.json").read_text())
    assert told == {"run_id": record["id"], **tree}
    assert (record["state"], record["seed"]) == ("finished", 7)
    assert record["versions"]["torch"] == torch.__version__
    assert result.best_path == folder / "checkpoints" / "best.safetensors"
    last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == result.steps


def test_logs_what_training_looks_like_from_inside(tmp_path):
    """Every step has the loss, the spread per horizon and quantile, shares and block norms."""
    loss = MultiHorizonLoss(
        BlendSettings(weights={"mse": 1.0, "ic": 0.5, "pinball": 1.0}),
        horizons=HORIZONS,
        levels=LEVELS,
    )
    train = make_batches(4, 30)
    result = fit(Toy(), loss, train, make_batches(3, 30), settings(), run_dir=tmp_path / "run")
    rows = rows_of(tmp_path / "run")
    steps = [row for row in rows if row["train/loss"]]
    assert [int(row["step"]) for row in steps] == list(range(1, result.steps + 1))
    for row in steps:
        shares = [float(row[f"train/share/{term}"]) for term in ("mse", "ic", "pinball")]
        assert sum(shares) == pytest.approx(1.0)
        assert all(share > 0 for share in shares)
        blocks = ("encoder", "gat", "fusion", "head", "self")
        norms = [float(row[f"train/grad/{block}"]) for block in blocks]
        assert math.hypot(*norms) == pytest.approx(float(row["train/grad_norm"]))
        for horizon in HORIZONS:
            assert float(row[f"train/std/h{horizon}"]) > 0
            assert all(float(row[f"train/std/h{horizon}/q{level}"]) > 0 for level in LEVELS)
            assert row[f"train/term/ic/h{horizon}"]
    assert [float(row["valid/rank_ic"]) for row in rows if row["valid/rank_ic"]] == [
        row["valid/rank_ic"] for row in result.history
    ]


def test_tensorboard_is_written_where_it_is_installed(tmp_path):
    """The same numbers go to TensorBoard's event files."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    chosen = settings(tensorboard=True)
    fit(Toy(), ToyLoss(), make_batches(), None, chosen, run_dir=tmp_path / "run")
    events = accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    logged = [event.value for event in events.Scalars("train/loss")]
    assert logged == pytest.approx([float(row["train/loss"]) for row in rows_of(tmp_path / "run")])


def test_the_largest_gradient_is_clipped():
    """With a clip norm, what the optimizer sees is not longer than that."""
    seen = []

    class Watched(ToyLoss):
        def forward(self, forecast, labels, days, *, stock_id=None):
            report = super().forward(forecast, labels, days, stock_id=stock_id)
            return report._replace(total=1e6 * report.total)

    model = Toy()
    model.head.linear.weight.register_post_accumulate_grad_hook(seen.append)
    chosen = settings(max_epochs=1, clip_norm=0.1)
    fit(model, Watched(), make_batches(2), None, chosen, run_dir=None)
    norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    assert seen
    assert float(norm) == pytest.approx(0.1, rel=1e-4)


def test_trains_in_bfloat16():
    """In mixed precision the loss still sees float32, and the scores spread."""
    types = []

    class Typed(ToyLoss):
        def forward(self, forecast, labels, days, *, stock_id=None):
            types.append((forecast.point.dtype, torch.is_autocast_enabled("cpu")))
            return super().forward(forecast, labels, days, stock_id=stock_id)

    chosen = settings(precision="bf16-mixed")
    result = fit(Toy(), Typed(), make_batches(), make_batches(3), chosen, run_dir=None)
    assert set(types) == {(torch.float32, False)}
    assert result.history[-1]["valid/std/h1"] > 0.01


def test_validation_sees_the_same_inputs_in_eval_mode():
    """Validation batches keep every key, edges included, and dropout is off."""
    seen = []

    class Spy(Toy):
        def forward(self, batch):
            seen.append((self.training, torch.is_grad_enabled(), sorted(batch)))
            return super().forward(batch)

    edges = {"edge_index": torch.tensor([[0], [1]]), "edge_attr": torch.ones(1, 3)}
    batches = [({**x, **edges}, y) for x, y in make_batches(2)]
    fit(Spy(), ToyLoss(), batches, batches, settings(max_epochs=1), run_dir=None)
    keys = sorted(batches[0][0])
    assert seen == [(True, True, keys)] * 2 + [(False, False, keys)] * 2


def test_a_dead_model_is_named_by_the_error_of_its_loss():
    """A loss that is undefined on flat scores says at which step, and how they are flat."""

    class Dead(Toy):
        def forward(self, batch):
            forecast = super().forward(batch)
            return Forecast(forecast.point * 0.0, forecast.quantiles)

    loss = MultiHorizonLoss(
        BlendSettings(weights={"mse": 1.0, "ic": 1.0}), horizons=HORIZONS, levels=LEVELS
    )
    with pytest.raises(NoValidDayError, match=r"This was step 1\. Scores: column 0: every"):
        fit(Dead(), loss, make_batches(3, 20), None, settings(), run_dir=None)


def test_seeds_make_runs_equal():
    """The same seed gives the same run, another seed another."""

    def losses(seed):
        seed_all(0)
        result = fit(
            Toy(), ToyLoss(), Shuffled(make_batches()), make_batches(3), settings(seed=seed),
            run_dir=None,
        )  # fmt: skip
        return [row["valid/loss"] for row in result.history]

    assert losses(1) == losses(1) != losses(2)


def test_takes_a_data_loader():
    """A DataLoader of day batches works as it is."""
    loader = DataLoader(make_batches(), batch_size=None, shuffle=True)
    assert fit(Toy(), ToyLoss(), loader, loader, settings(), run_dir=None).steps == 12


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "train has 0 batches"),
        (iter(make_batches(1)), "train is a list_iterator, expected batches with a length"),
        ((b for b in make_batches(1)), "train is a generator"),
    ],
)
def test_batches_that_cannot_be_counted_are_refused(batches, message):
    """Batches must be there, and be there again in the next epoch."""
    with pytest.raises(DataError, match=message):
        fit(Toy(), ToyLoss(), batches, None, settings(), run_dir=None)


def test_spread_within_the_day_agrees_with_numpy():
    """The root mean square around each day's mean, whatever the level of the days."""
    inputs, _ = make_batches(1, 8)[0]
    x = inputs["features"][:, 0]
    by_day = x.reshape(2, 4, 3).numpy()
    expected = np.sqrt(((by_day - by_day.mean(1, keepdims=True)) ** 2).mean((0, 1)))
    assert within_day_spread(x, Days.from_lengths([4, 4])).tolist() == pytest.approx(expected)


def test_block_norms_cover_every_parameter():
    """The blocks' norms together are the norm of the whole gradient."""
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 1)})
    sum((p * (k + 1)).sum() for k, p in enumerate(model.parameters())).backward()
    whole = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    assert math.hypot(*block_norms(model).values()) == pytest.approx(float(whole))
