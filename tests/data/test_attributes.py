"""Categories as they were known on each date."""

from datetime import date

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from flatline.data.attributes import categories

DATES = np.arange("2024-01-01", "2024-01-15", dtype="datetime64[D]")[::2]
CODES = np.array(["A", "B", "C"])
ENTRY = st.tuples(
    st.integers(-3, 20), st.sampled_from("ABCX"), st.sampled_from(["bank", "steel", None])
)


@given(st.lists(ENTRY, max_size=12, unique_by=lambda e: e[:2]))
def test_each_date_has_the_newest_entry_on_or_before_it(entries):
    """Equal to an as-of join, code by code, whatever falls between the dates or outside them."""
    table = pl.DataFrame(
        [(np.datetime64("2024-01-01").item().fromordinal(738886 + d), c, s) for d, c, s in entries],
        schema={"as_of": pl.Date, "code": pl.String, "sector": pl.String},
        orient="row",
    ).sort("code", "as_of")
    found = categories(table, DATES, CODES).get("sector")
    for t, day in enumerate(DATES.astype(object)):
        for s, code in enumerate(CODES):
            held = table.filter((pl.col("code") == code) & (pl.col("as_of") <= day))
            expected = held["sector"][-1] if held.height else None
            level = -1 if found is None else found.code[t, s]
            assert (found.levels[level] if level >= 0 else None) == expected


def test_a_column_without_values_is_left_out():
    """An attribute nobody has says nothing."""
    table = pl.DataFrame(
        {"as_of": [date(2024, 1, 1)], "code": ["A"], "sector": ["bank"], "segment": [None]},
        schema_overrides={"segment": pl.String},
    )
    assert list(categories(table, DATES, CODES)) == ["sector"]
    assert categories(None, DATES, CODES) == {}
