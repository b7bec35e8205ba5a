"""Files to frames: Parquet or CSV, one, many or a glob; one clear error for what is unreadable."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from flatline.errors import DataError

__all__ = ["Paths", "find_files", "read_table", "typed", "typed_dates"]

Paths = str | Path | Sequence[str | Path]

# What spreadsheets and pandas write for "nothing here".
NOTHING: Final = ["", "null", "NULL", "None", "NA", "N/A", "n/a", "nan", "NaN"]
DATE_FORMATS: Final = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d")
TIME_FORMATS: Final = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y/%m/%d %H:%M:%S")


def find_files(paths: Paths) -> list[Path]:
    """Every file that *paths* names: a file, a folder, a glob, or a list of these.

    Raises:
        DataError: A name matches no file.
    """
    given: Iterable[str | Path] = [paths] if isinstance(paths, str | Path) else paths
    found: list[Path] = []
    for entry in given:
        path = Path(entry).expanduser()
        if path.is_dir():
            matches = sorted(p for p in path.iterdir() if is_parquet(p) or is_csv(p))
        elif path.exists():
            matches = [path]
        else:
            matches = [Path(match) for match in sorted(glob.glob(str(path)))]  # noqa: PTH207 - an absolute pattern
        if not matches:
            raise DataError(
                f"input is {str(entry)!r}, expected a Parquet or CSV file, a folder or a glob "
                "that matches one. Check the path."
            )
        found.extend(matches)
    if not found:
        raise DataError("input is an empty list, expected at least one file. Name a file.")
    return found


def is_parquet(path: Path) -> bool:
    """Whether the name says Parquet."""
    return path.suffix.lower() in {".parquet", ".pq"}


def is_csv(path: Path) -> bool:
    """Whether the name says CSV, compressed or not."""
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    return name.endswith((".csv", ".txt"))


def read_table(path: Path, *, keep: Iterable[str] | None = None) -> pl.DataFrame:
    """The columns of one file that are asked for and exist; a CSV comes as text.

    Args:
        path: A Parquet or CSV file.
        keep: Names of the columns that are of use, all where None.

    Raises:
        DataError: The file is empty, missing, or not what its name says.
    """
    if not path.is_file():
        raise DataError(f"input is {str(path)!r}, expected a file that exists. Check the path.")
    if not (is_parquet(path) or is_csv(path)):
        raise DataError(
            f"{path} is called {path.name!r}, expected a name that ends in .parquet, .pq or .csv. "
            "Rename or convert the file."
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path} has 0 bytes, expected rows of data. Get the file again.")
    kind = "Parquet" if is_parquet(path) else "CSV"
    try:
        lazy = (
            pl.scan_parquet(path, glob=False)
            if is_parquet(path)
            # As text: codes keep their leading zeros, and a bad cell can be named.
            else pl.scan_csv(path, glob=False, infer_schema=False, null_values=NOTHING)
        )
        names = lazy.collect_schema().names()
        wanted = names if keep is None else [name for name in names if name in set(keep)]
        # Without a column polars returns no row either; the caller names what is missing.
        table = lazy.select(wanted or names).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0][:160]
        raise DataError(
            f"{path} is no {kind} file ({reason}), expected one that can be read. "
            "Write or copy the file again."
        ) from error
    if table.height == 0:
        raise DataError(f"{path} has 0 rows, expected at least one. Get the file again.")
    return table


def typed(
    table: pl.DataFrame,
    *,
    origin: str,
    dates: Sequence[str] = (),
    texts: Sequence[str] = (),
    numbers: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
) -> pl.DataFrame:
    """Rename the mapped columns and bring each to its type; other columns are left out.

    Args:
        table: A frame with the file's own names.
        origin: What to call the table in an error.
        dates: Names, in the result, of columns that become Date.
        texts: Names of columns that become String; whole numbers are taken too.
        numbers: Names of columns that become Float64.
        columns: From the name in the result to the name in *table*, where they differ.

    Raises:
        DataError: A column is missing or of a wrong type.
    """
    source = {name: (columns or {}).get(name, name) for name in (*dates, *texts, *numbers)}
    missing = [name for name in source.values() if name not in table.columns]
    if missing:
        raise DataError(
            f"{origin} has no column {missing[0]!r}, expected one beside "
            f"{', '.join(repr(name) for name in table.columns)}. "
            "Add it, or name the column that holds it with columns=."
        )
    made = {name: typed_dates(table[source[name]], origin=origin) for name in dates}
    made |= {name: typed_texts(table[source[name]], origin=origin) for name in texts}
    made |= {name: typed_numbers(table[source[name]], origin=origin) for name in numbers}
    return pl.DataFrame(made)


def typed_dates(column: pl.Series, *, origin: str) -> pl.Series:
    """A column as Date: dates, timestamps, 2013-01-04, 2013/1/4 or 20130104 as text or number."""
    if column.dtype == pl.Date:
        return column
    if column.dtype == pl.Datetime:
        return column.dt.date()
    if column.dtype.is_integer():
        column = column.cast(pl.String)
    if column.dtype != pl.String:
        raise wrong(column, 0, origin=origin, rule="a date such as 2020-01-31")
    text = column.str.strip_chars()
    result = text.str.to_date(DATE_FORMATS[0], strict=False)
    for form in DATE_FORMATS[1:]:
        if result.null_count() > text.null_count():
            result = result.zip_with(result.is_not_null(), text.str.to_date(form, strict=False))
    for form in TIME_FORMATS:
        if result.null_count() > text.null_count():
            times = text.str.to_datetime(form, strict=False, time_unit="us").dt.date()
            result = result.zip_with(result.is_not_null(), times)
    return refuse_lost(column, result, origin=origin, rule="a date such as 2020-01-31")


def typed_texts(column: pl.Series, *, origin: str) -> pl.Series:
    """A column of codes or names as String."""
    if column.dtype == pl.String:
        text = column.str.strip_chars()
        return text.set(text == "", None)
    if column.dtype.is_integer() or column.dtype in {pl.Categorical, pl.Enum, pl.Null}:
        return column.cast(pl.String)
    raise wrong(column, 0, origin=origin, rule="text or a whole number")


def typed_numbers(column: pl.Series, *, origin: str) -> pl.Series:
    """A column of numbers as Float64, from any number type or from text."""
    if column.dtype.is_numeric() or column.dtype == pl.Null:
        return column.cast(pl.Float64)
    if column.dtype != pl.String:
        raise wrong(column, 0, origin=origin, rule="a number")
    result = column.str.strip_chars().cast(pl.Float64, strict=False)
    return refuse_lost(column, result, origin=origin, rule="a number")


def refuse_lost(column: pl.Series, result: pl.Series, *, origin: str, rule: str) -> pl.Series:
    """The result, if reading it turned no value into nothing."""
    if result.null_count() > column.null_count():
        lost = (
            result.is_null() & column.is_not_null() & (column.str.strip_chars() != "")
        ).arg_true()
        if len(lost):
            raise wrong(column, int(lost[0]), origin=origin, rule=rule)
    return result


def wrong(column: pl.Series, row: int, *, origin: str, rule: str) -> DataError:
    """The error for one cell, with its row counted from 1 below the header."""
    kind = "" if column.dtype == pl.String else f" ({column.dtype})"
    return DataError(
        f"column {column.name!r} of {origin} is {column[row]!r}{kind} in row {row + 1}, "
        f"expected {rule}. Correct the file, or map another column with columns=."
    )
