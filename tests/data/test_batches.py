"""Day batches against loops over rows, later days, resumes and the training loop they feed."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from data_helpers import noise_from, random_panel, with_arrays
from flatline.batch import check_batch, days_of
from flatline.data.batches import DayBatches, static_names
from flatline.data.edges import EdgeBuilder
from flatline.data.panel import Panel
from flatline.errors import ArtifactError, SettingsError

PANEL = random_panel(40, 12, 3, missing=0.2)
DAYS = np.arange(5, 30)


def rows_by_loop(panel, day, lookback, least):
    """Stocks present that day and on enough of the window."""
    return [
        s
        for s in range(len(panel.codes))
        if panel.present[day, s]
        and sum(panel.present[t, s] for t in range(day - lookback + 1, day + 1)) >= least
    ]


def same_batch(found, expected):
    """Equal inputs and labels, bit for bit."""
    (a, b), (c, d) = found, expected
    assert a.keys() == c.keys()
    assert all(torch.equal(a[key], c[key]) for key in a)
    assert torch.equal(b.known, d.known)
    assert torch.equal(b.value.nan_to_num(0), d.value.nan_to_num(0))


def days_in(loader):
    """The days of a pass, batch by batch."""
    return [batch["group_day"].unique().tolist() for batch, _ in loader]


@given(lookback=st.integers(1, 6), days_per_batch=st.integers(1, 4), least=st.integers(1, 6))
def test_windows_rows_and_attributes_are_those_of_the_panel(lookback, days_per_batch, least):
    """Every row of every batch holds its own stock's window, oldest first, unknowns as 0."""
    least = min(least, lookback)
    loader = DayBatches(
        PANEL,
        DAYS,
        lookback=lookback,
        days_per_batch=days_per_batch,
        min_present=least / lookback,
    )
    seen = []
    for batch, labels in loader:
        check_batch(batch)
        for row, (day, stock) in enumerate(
            zip(batch["group_day"].tolist(), batch["stock_id"].tolist(), strict=True)
        ):
            seen.append((day, stock))
            window = [PANEL.features[t, stock] for t in range(day - lookback + 1, day + 1)]
            assert torch.equal(
                batch["features"][row], torch.from_numpy(np.nan_to_num(np.stack(window)))
            )
            expected = []
            for attribute in PANEL.attributes.values():
                one_hot = [0.0] * (len(attribute.levels) + 1)
                one_hot[attribute.code[day, stock]] = 1.0
                expected += one_hot
            assert batch["static_features"][row].tolist() == expected
        assert labels.value.shape == labels.known.shape == (len(batch["stock_id"]), 2)
    assert seen == [(d, s) for d in DAYS for s in rows_by_loop(PANEL, d, lookback, least)]


def test_tensors_have_the_types_of_the_contract():
    """float32 values, int64 positions, contiguous windows, named static columns."""
    loader = DayBatches(PANEL, DAYS, lookback=4, edges=EdgeBuilder(PANEL, window=10))
    batch, labels = next(iter(loader))
    assert batch["features"].dtype == labels.value.dtype == torch.float32
    assert batch["static_features"].dtype == batch["edge_attr"].dtype == torch.float32
    assert {batch[key].dtype for key in ("group_day", "stock_id", "edge_index")} == {torch.int64}
    assert labels.known.dtype == torch.bool
    assert batch["features"].is_contiguous()
    assert batch["static_features"].shape[1] == len(static_names(PANEL))
    assert static_names(PANEL)[:4] == (
        "sector=level 0",
        "sector=level 1",
        "sector=level 2",
        "sector=unknown",
    )


def zscore_by_loop(values):
    """Mean and standard deviation of one day."""
    return (values - values.mean()) / values.std()


def rank_by_loop(values):
    """Average ranks of one day, between -1 and 1."""
    return (2 * stats.rankdata(values) - len(values) - 1) / len(values)


@pytest.mark.parametrize(
    ("target", "standardise"),
    [("raw", lambda v: v), ("zscore", zscore_by_loop), ("rank", rank_by_loop)],
)
def test_labels_are_standardised_over_the_days_labelled_rows(target, standardise):
    """Each day and horizon by itself, over the rows whose label is known."""
    rng = np.random.default_rng(3)
    values = PANEL.target.copy()
    values[rng.random(values.shape) < 0.2] = np.nan
    panel = with_arrays(PANEL, target=values)
    for batch, labels in DayBatches(panel, DAYS, lookback=3, days_per_batch=3, target=target):
        days, stocks = batch["group_day"].numpy(), batch["stock_id"].numpy()
        for day in np.unique(days):
            mine = days == day
            for h in range(2):
                raw = values[day, stocks[mine], h].astype(np.float64)
                known = np.isfinite(raw)
                assert labels.known[mine, h].numpy().tolist() == known.tolist()
                found = labels.value[mine, h].numpy()[known]
                np.testing.assert_allclose(found, standardise(raw[known]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("target", ["zscore", "rank"])
def test_a_day_without_spread_has_no_known_label(target):
    """Equal returns, or a single one, cannot be standardised: unknown, not 0."""
    values = PANEL.target.copy()
    values[10, :, 0] = 0.01
    values[10, 1:, 1] = np.nan
    panel = with_arrays(PANEL, target=values)
    _, labels = next(iter(DayBatches(panel, [10], lookback=1, target=target)))
    assert not labels.known.any()


def test_labels_beyond_the_panel_are_unknown():
    """The newest days have windows but no label yet."""
    _, labels = next(iter(DayBatches(PANEL, [39], lookback=3)))
    assert not labels.known.any()


@given(st.integers(5, 38))
def test_a_batch_knows_no_later_day(day):
    """Other features and returns after day t leave the inputs of day t alone."""
    later = noise_from(PANEL, day + 1)

    def inputs(panel):
        edges = EdgeBuilder(panel, window=6, rebuild_every=2)
        return next(iter(DayBatches(panel, [day], lookback=4, edges=edges)))[0]

    before, after = inputs(PANEL), inputs(later)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_edges_stay_within_their_day_and_name_its_stocks():
    """A batch of several days holds each day's edges, moved to where its rows are."""
    edges = EdgeBuilder(PANEL, neighbours=3, window=10)
    batch, _ = next(iter(DayBatches(PANEL, DAYS[10:14], lookback=3, days_per_batch=4, edges=edges)))
    check_batch(batch)
    assert days_of(batch).count == 4
    for day in DAYS[10:14]:
        rows = torch.nonzero(batch["group_day"] == day).flatten()
        stocks = batch["stock_id"][rows].numpy()
        index, attributes = edges.edges(day, stocks)
        mine = batch["group_day"][batch["edge_index"][1]] == day
        assert batch["edge_index"][:, mine].tolist() == (index + rows[0].item()).tolist()
        assert torch.equal(batch["edge_attr"][mine], torch.from_numpy(attributes))


def test_without_an_edge_builder_there_are_no_edges():
    """No builder, no keys: a model cannot mistake an empty graph for a graph."""
    batch, _ = next(iter(DayBatches(with_arrays(PANEL, attributes={}), DAYS, lookback=3)))
    assert batch.keys() == {"features", "group_day", "stock_id"}


def test_days_without_a_window_are_listed():
    """Days too early and days without rows are left out by name."""
    present = PANEL.present.copy()
    present[9] = False
    loader = DayBatches(with_arrays(PANEL, present=present), range(12), lookback=4)
    assert loader.skipped.tolist() == [0, 1, 2, 9]
    assert loader.days.tolist() == [3, 4, 5, 6, 7, 8, 10, 11]
    assert len(loader) == len(list(loader)) == 8


def test_shuffled_passes_visit_every_day_once_in_an_order_of_seed_and_epoch():
    """The order is a function of seed and epoch; without shuffling it is as given."""

    def orders(seed, **options):
        loader = DayBatches(PANEL, DAYS, lookback=3, seed=seed, days_per_batch=2, **options)
        return [[day for batch in days_in(loader) for day in batch] for _ in range(3)]

    first, again, other = orders(1, shuffle=True), orders(1, shuffle=True), orders(2, shuffle=True)
    assert first == again
    assert first != other
    assert first[0] != first[1] != first[2]
    assert all(sorted(order) == DAYS.tolist() for order in first)
    assert orders(1) == [DAYS.tolist()] * 3


def test_an_epoch_can_be_chosen():
    """set_epoch replays exactly the pass of that epoch."""
    loader = DayBatches(PANEL, DAYS, lookback=3, shuffle=True)
    passes = [days_in(loader) for _ in range(3)]
    for epoch in (1, 1, 0, 2):
        loader.set_epoch(epoch)
        assert days_in(loader) == passes[epoch]


def test_a_glance_does_not_move_the_order():
    """Taking one batch and dropping the pass leaves the next pass whole."""
    loader = DayBatches(PANEL, DAYS, lookback=3, shuffle=True)
    expected = days_in(DayBatches(PANEL, DAYS, lookback=3, shuffle=True))
    next(iter(loader))
    assert days_in(loader) == expected


@given(epoch=st.integers(0, 2), handed_out=st.integers(0, 9), tell=st.booleans())
def test_a_pass_resumes_at_the_very_batch(epoch, handed_out, tell):
    """A fresh loader with the state goes on as the undisturbed one, in this epoch and the next."""

    def fresh():
        return DayBatches(
            PANEL, DAYS, lookback=3, days_per_batch=3, shuffle=True, seed=4, max_stocks=5
        )

    undisturbed = fresh()
    undisturbed.set_epoch(epoch)
    walk = iter(undisturbed)
    for _ in range(handed_out):
        next(walk)
    state = dict(undisturbed.state_dict())
    rest = [*walk, *undisturbed]
    resumed = fresh()
    resumed.load_state_dict(state)
    if tell and handed_out < len(resumed):
        # What a training loop does before it goes on.
        resumed.set_epoch(epoch)
    found = list(resumed)
    if len(found) < len(rest):
        found += list(resumed)
    assert len(found) == len(rest)
    for one, other in zip(found, rest, strict=True):
        same_batch(one, other)


def test_a_state_of_another_loader_is_refused():
    """Resuming with other days or another seed would not be a resume."""
    state = DayBatches(PANEL, DAYS, lookback=3, shuffle=True).state_dict()
    for other in (
        DayBatches(PANEL, DAYS[1:], lookback=3, shuffle=True),
        DayBatches(PANEL, DAYS, lookback=3, shuffle=True, seed=1),
    ):
        with pytest.raises(ArtifactError, match=r"loader state is of .*, expected .*Resume with"):
            other.load_state_dict(state)


def test_sampled_stocks_change_by_epoch_in_training_only():
    """A sample is drawn by seed, epoch and day; an evaluation keeps its sample."""

    def stocks(loader):
        return [batch["stock_id"].tolist() for batch, _ in loader]

    trained = DayBatches(PANEL, [20], lookback=3, max_stocks=4, shuffle=True)
    first, second = stocks(trained), stocks(trained)
    assert first != second
    assert all(len(rows) == 4 and rows == sorted(set(rows)) for rows in first + second)
    assert set(first[0]) <= set(rows_by_loop(PANEL, 20, 3, 2))
    evaluated = DayBatches(PANEL, [20], lookback=3, max_stocks=4)
    shown = stocks(evaluated)
    evaluated.set_epoch(5)
    assert stocks(evaluated) == shown


def test_a_memory_mapped_panel_gives_the_same_batches(tmp_path):
    """Batches of a panel on disk equal those of one in memory, and it is never written to."""
    PANEL.save(tmp_path / "panel")
    mapped = Panel.load(tmp_path / "panel")
    pairs = zip(
        DayBatches(mapped, DAYS, lookback=3, edges=EdgeBuilder(mapped)),
        DayBatches(PANEL, DAYS, lookback=3, edges=EdgeBuilder(PANEL)),
        strict=True,
    )
    for found, expected in pairs:
        same_batch(found, expected)


def test_batches_are_copies():
    """Writing into a batch does not reach the panel."""
    before = PANEL.features.copy()
    for batch, labels in DayBatches(PANEL, DAYS, lookback=1, target="raw"):
        batch["features"].fill_(7.0)
        labels.value.fill_(7.0)
    assert np.array_equal(before, PANEL.features, equal_nan=True)
    assert not (PANEL.target == 7.0).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lookback": 0}, "lookback is 0, expected at least 1 step. Choose another."),
        ({"days_per_batch": 0}, "days_per_batch is 0, expected at least 1 day. Choose another."),
        ({"max_stocks": 0}, "max_stocks is 0, expected at least 1 stock. Choose another."),
        ({"min_present": 1.5}, "min_present is 1.5, expected a share from 0 to 1. Choose another."),
        ({"target": "z"}, "target is 'z', expected raw, zscore or rank. Choose another."),
        ({"seed": -1}, "seed is -1, expected at least 0. Choose another."),
        (
            {"lookback": 31},
            (
                "days with a full window of 31 steps is 0 of 25, expected at least one. "
                "Use later days, a shorter lookback, or a lower min_present."
            ),
        ),
        (
            {"days": [3, 40]},
            "days reach from 3 to 40, expected 0 to 39. Take them from a Fold of this panel.",
        ),
    ],
)
def test_settings_that_leave_nothing_are_refused(options, message):
    """Impossible sizes and days are errors with their remedy."""
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        DayBatches(PANEL, options.pop("days", DAYS), **{"lookback": 3, **options})
