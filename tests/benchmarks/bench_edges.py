"""Edges of 4,000 stocks from 250 days beside the bare arithmetic they need.

The peer is one product of ready-made (stocks, days) vectors and one top-k of the square
matrix. Ours starts from returns: it also standardises them, joins the stocks of a sector,
drops pairs found twice and looks attributes up.
"""

import torch
from panels import draw_panel
from side_by_side import Figure, costs, take_turns

from flatline.data import EdgeBuilder

STOCKS, DAYS, NEIGHBOURS = 4000, 250, 8


def figures() -> list[Figure]:
    """Milliseconds of one graph, nothing cached: nearest only, and with same-sector edges."""
    panel = draw_panel(DAYS, STOCKS, 1)
    stocks, vectors = torch.arange(STOCKS).numpy(), torch.from_numpy(panel.daily_return.T.copy())
    options = {"neighbours": NEIGHBOURS, "window": DAYS, "rebuild_every": 1, "cache_bytes": 0}
    nearest = EdgeBuilder(panel, same_sector=0, **options)
    sectors = EdgeBuilder(panel, **options)
    found = take_turns(
        {
            "nearest": lambda: nearest.edges(DAYS - 1, stocks),
            "sectors": lambda: sectors.edges(DAYS - 1, stocks),
            "peer": lambda: torch.topk(vectors @ vectors.T, NEIGHBOURS),
        },
        turns=9,
    )
    names = {"nearest": "nearest", "sectors": "nearest and same sector"}
    return [
        costs(
            f"edges of 4,000 stocks, 250 days, {words}",
            found[key],
            found["peer"],
            peer_name="one matrix product and top-k",
            target=2.0,
        )
        for key, words in names.items()
    ]
