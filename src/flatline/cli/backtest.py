"""`flatline backtest`: what the scores of a run would have earned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flatline.cli.options import Data, Json, write_json
from flatline.terminal import err, out, progress

__all__ = ["backtest"]


def backtest(
    run: Annotated[Path | None, typer.Option(help="Run folder; the newest by default.")] = None,
    data: Data = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Trade the scores of this Parquet file instead of the model's."),
    ] = None,
    book: Annotated[
        str,
        typer.Option(
            help="long_short or rank: all stocks by score or rank, dollar-neutral; top: the "
            "best, long; top_bottom: the best long, the worst short; universe: all alike."
        ),
    ] = "long_short",
    top: Annotated[
        float | None,
        typer.Option(help="Share (0.1) or number (20) of stocks that top holds on a side."),
    ] = None,
    rebalance: Annotated[
        str,
        typer.Option(
            help="tranches: one part of the book a day, held for the horizon; daily, weekly or "
            "monthly: the whole book, with the scores of the last trading day of the period."
        ),
    ] = "tranches",
    horizon: Annotated[
        int | None, typer.Option(help="Trade the scores of this horizon alone.")
    ] = None,
    cost: Annotated[
        float, typer.Option(help="Cost of each unit of value traded, as a fraction.")
    ] = 0.001,
    json_file: Json = None,
) -> None:
    """Trade the scores of a run's test days, a day after they are known, net of costs.

    Scores of the close of day t are traded at the close of t + 1. Beside the run stand the
    naive composite (low volatility, reversal, momentum) and the universe in equal parts.
    """
    from flatline.evaluation.backtest import backtest_run  # noqa: PLC0415
    from flatline.evaluation.books import BookRules  # noqa: PLC0415
    from flatline.evaluation.run import newest_run  # noqa: PLC0415

    given: dict[str, Any] = {"book": book, "top": top, "rebalance": rebalance, "cost": cost}
    rules = BookRules(**given)
    folder = run or newest_run()
    err.print(f"run: {folder}")
    with progress("opening the run") as show:
        report = backtest_run(
            folder,
            predictions=predictions,
            prices=tuple(data or ()),
            horizon=horizon,
            rules=rules,
            on_stage=show,
        )
    for table in report.tables():
        out.print(table)
    if json_file is not None:
        source = str(predictions) if predictions else None
        write_json(json_file, {"run": str(folder), "predictions": source, **report.as_data()})
