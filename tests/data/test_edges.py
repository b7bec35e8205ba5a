"""Edges against a loop over pairs, later days, other universes and other row orders."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_helpers import noise_from, random_panel, with_arrays
from flatline.data.edges import EdgeBuilder
from flatline.errors import DataError, SettingsError

PANEL = random_panel(60, 25, 1, missing=0.1)
ALL = np.arange(25)


def correlation(panel, day, a, b, window):
    """Correlation of two stocks, unknown returns held at the mean; None without enough."""
    parts = []
    for stock in (a, b):
        r = panel.daily_return[max(0, day - window + 1) : day + 1, stock].astype(np.float64)
        known = np.isfinite(r)
        if known.sum() < window // 2:
            return None
        parts.append(np.where(known, r - r[known].mean(), 0.0))
    x, y = parts
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def edges_by_loop(panel, day, stocks, *, neighbours, same_sector, window):
    """Source, target and correlation of every edge, as panel positions."""
    sector = panel.attributes["sector"].code[day]
    found = {}
    for target in stocks:
        reach = {s: correlation(panel, day, s, target, window) for s in stocks if s != target}
        ranked = sorted((s for s in reach if reach[s] is not None), key=lambda s: -reach[s])
        own = [s for s in ranked if sector[s] == sector[target] >= 0]
        for source in {*ranked[:neighbours], *own[:same_sector]}:
            found[int(source), int(target)] = reach[source]
    return found


def named(panel_positions, index, attributes):
    """Edges as {(source, target): correlation} in panel positions."""
    source, target = panel_positions[index]
    return dict(
        zip(zip(source.tolist(), target.tolist(), strict=True), attributes[:, 0], strict=True)
    )


@given(
    day=st.integers(0, 59),
    stocks=st.lists(st.integers(0, 24), unique=True, max_size=25),
    neighbours=st.integers(1, 6),
    same_sector=st.integers(0, 4),
    rebuild_every=st.integers(1, 9),
)
def test_edges_are_the_nearest_by_trailing_correlation(
    day, stocks, neighbours, same_sector, rebuild_every
):
    """Any stocks in any order get the edges that a loop over their pairs finds."""
    builder = EdgeBuilder(
        PANEL,
        neighbours=neighbours,
        same_sector=same_sector,
        window=20,
        rebuild_every=rebuild_every,
    )
    stocks = np.array(stocks, dtype=np.int64)
    index, attributes = builder.edges(day, stocks)
    anchor = day - day % rebuild_every
    expected = edges_by_loop(
        PANEL, anchor, stocks, neighbours=neighbours, same_sector=same_sector, window=20
    )
    found = named(stocks, index, attributes)
    assert len(found) == index.shape[1], "each pair once"
    assert found.keys() == expected.keys()
    assert all(abs(found[pair] - expected[pair]) < 1e-5 for pair in expected)


def test_attributes_say_what_is_shared_on_the_rebuild_day():
    """Same sector and same segment are 1 for known, equal categories and 0 otherwise."""
    index, attributes = EdgeBuilder(PANEL, neighbours=24, window=20).edges(57, ALL)
    assert index.dtype == np.int64
    assert attributes.dtype == np.float32
    for column, name in ((1, "sector"), (2, "segment")):
        code = PANEL.attributes[name].code[55]
        expected = [code[s] == code[t] and code[s] >= 0 for s, t in index.T]
        assert attributes[:, column].tolist() == [float(e) for e in expected]
    assert 0 < attributes[:, 1].mean() < 1


@pytest.mark.parametrize("day", [20, 22, 24])
def test_edges_know_no_later_day(day):
    """Other returns after day t leave the edges of day t alone."""
    before = EdgeBuilder(PANEL, window=20).edges(day, ALL)
    after = EdgeBuilder(noise_from(PANEL, day + 1), window=20).edges(day, ALL)
    assert all(np.array_equal(b, a) for b, a in zip(before, after, strict=True))


def test_edges_hear_of_the_rebuild_day():
    """The return of the rebuild day itself counts: the window is not one day stale."""
    changed = noise_from(PANEL, 25)
    before = EdgeBuilder(PANEL, window=20).edges(25, ALL)[1]
    after = EdgeBuilder(changed, window=20).edges(25, ALL)[1]
    assert not np.array_equal(before, after)


def test_a_graph_lasts_until_the_next_rebuild():
    """Between rebuilds the graph stands; on the next it changes."""
    builder = EdgeBuilder(PANEL, window=20, rebuild_every=5)
    graphs = [builder.edges(day, ALL) for day in range(30, 36)]
    assert all(np.array_equal(graphs[0][0], graph[0]) for graph in graphs[:5])
    assert not np.array_equal(graphs[0][1], graphs[5][1])


def test_no_universe_gets_the_edges_of_another():
    """One builder asked for two universes of equal size answers each as a fresh one would."""
    shared = EdgeBuilder(PANEL, window=20)
    for stocks in (ALL[:12], ALL[12:24], ALL[:12], ALL[1:13]):
        expected = EdgeBuilder(PANEL, window=20).edges(40, stocks)
        found = shared.edges(40, stocks)
        assert all(np.array_equal(f, e) for f, e in zip(found, expected, strict=True))


@given(st.permutations(range(25)))
def test_row_order_moves_positions_and_nothing_else(order):
    """The same stocks in another order have the same edges, at their new positions."""
    builder = EdgeBuilder(PANEL, window=20)
    plain = named(ALL, *builder.edges(40, ALL))
    order = np.array(order)
    assert named(order, *builder.edges(40, order)) == plain


def test_nobody_listens_to_themselves():
    """There are no self loops, and every end is one of the rows."""
    index, _ = EdgeBuilder(PANEL, neighbours=50, window=20).edges(40, ALL[:9])
    assert (index[0] != index[1]).all()
    assert index.min() >= 0
    assert index.max() <= 8


def test_stocks_without_enough_returns_stand_alone():
    """A newly listed stock and one that never moves have no edges, and harm nobody."""
    returns = PANEL.daily_return.copy()
    returns[:35, 3] = np.nan
    returns[:, 4] = 0.01
    panel = with_arrays(PANEL, daily_return=returns)
    index, attributes = EdgeBuilder(panel, window=20, rebuild_every=1).edges(40, ALL)
    assert not np.isin(index, [3, 4]).any()
    assert set(index.ravel().tolist()) == set(range(25)) - {3, 4}
    assert np.isfinite(attributes).all()


def test_forgotten_graphs_are_built_again():
    """With no room to remember, the answers stay the same."""
    remembers, forgets = EdgeBuilder(PANEL), EdgeBuilder(PANEL, cache_bytes=0)
    for day in (50, 45, 50):
        found, expected = forgets.edges(day, ALL), remembers.edges(day, ALL)
        assert all(np.array_equal(f, e) for f, e in zip(found, expected, strict=True))
    assert forgets._cached_bytes == 0
    assert remembers._cached_bytes == sum(g.nbytes for g in remembers._cache.values()) > 0


def test_a_panel_without_sectors_has_correlation_edges_only():
    """No sector table: no sector edges, and the shared flags are 0."""
    panel = with_arrays(PANEL, attributes={})
    index, attributes = EdgeBuilder(panel, neighbours=2, window=20).edges(40, ALL)
    assert index.shape == (2, 50)
    assert (attributes[:, 1:] == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neighbours": -1}, "neighbours is -1, expected at least 0 stocks. Choose another."),
        ({"window": 2}, "window is 2, expected at least 3 days. Choose another."),
        ({"rebuild_every": 0}, "rebuild_every is 0, expected at least 1 day. Choose another."),
        ({"min_observations": 61}, "min_observations is 61, expected from 2 to the window."),
        (
            {"neighbours": 0, "same_sector": 0},
            "neighbours + same_sector is 0, expected at least one stock. Choose another.",
        ),
    ],
)
def test_impossible_settings_are_refused(options, message):
    """A number that cannot be meant is an error."""
    with pytest.raises(SettingsError, match=re.escape(message)):
        EdgeBuilder(PANEL, **options)


def test_sectors_that_are_not_there_are_refused():
    """Asking for sector edges of a panel without sectors would change nothing."""
    message = (
        "same_sector is 3, expected 0 for a panel without sectors. "
        "Read a sector table with the prices, or set it to 0."
    )
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        EdgeBuilder(with_arrays(PANEL, attributes={}), same_sector=3)


@pytest.mark.parametrize(
    ("day", "stocks", "message"),
    [
        (60, [0, 1], "day is 60, expected 0 to 59."),
        (5, [0, 25], "stocks reach from 0 to 25, expected 0 to 24."),
        (5, [3, 1, 3], "stocks has one of them twice, expected each once."),
    ],
)
def test_stocks_and_days_outside_the_panel_are_refused(day, stocks, message):
    """Positions of another panel are an error, not another stock's edges."""
    with pytest.raises(DataError, match=re.escape(message)):
        EdgeBuilder(PANEL).edges(day, np.array(stocks))
