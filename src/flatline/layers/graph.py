"""What the neighbours of a stock say, and how much of it to believe."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import GATv2Conv

from flatline.errors import ShapeError

__all__ = ["GatedFusion", "GraphAttention"]


class GraphAttention(nn.Module):
    """Attention over the neighbours of each stock, along the edges of its day.

    No self-loops are added, so no edge needs attributes that nobody measured: a
    stock's own state stays in the temporal branch. A stock without neighbours,
    and every stock of a batch without a graph, receives the same constant.

    Args:
        hidden: Length of a stock's state.
        heads: Number of heads; divides *hidden*.
        edge_attributes: Attributes of an edge; 0 for none.
        dropout: Share of the attention weights set to 0 in training.

    Raises:
        ShapeError: *heads* does not divide *hidden*.

    References:
        Brody, Alon and Yahav, How Attentive are Graph Attention Networks?, 2022, equation 7.

    Example:
        >>> graph = GraphAttention(8, heads=2, edge_attributes=0)
        >>> graph(torch.ones(3, 8), torch.tensor([[0, 1], [1, 2]])).shape
        torch.Size([3, 8])
    """

    def __init__(
        self, hidden: int, *, heads: int, edge_attributes: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if hidden % heads:
            raise ShapeError(
                f"hidden is {hidden}, expected a multiple of the {heads} graph heads. "
                "Change hidden or the number of heads."
            )
        self.edge_attributes = edge_attributes
        self.conv = GATv2Conv(
            hidden,
            hidden // heads,
            heads,
            edge_dim=edge_attributes or None,
            add_self_loops=False,
            dropout=dropout,
        )

    def forward(
        self, state: Tensor, edge_index: Tensor | None = None, edge_attr: Tensor | None = None
    ) -> Tensor:
        """What each stock hears.

        Args:
            state: Shape (rows, hidden).
            edge_index: Source and target row of each edge; None for no graph.
                Shape (2, edges), int64.
            edge_attr: Shape (edges, edge_attributes); not read where none are declared.

        Returns:
            Shape (rows, hidden).
        """
        if edge_index is None:
            edge_index = torch.empty(2, 0, dtype=torch.int64, device=state.device)
            edge_attr = state.new_empty(0, self.edge_attributes)
        return functional.elu(
            self.conv(state, edge_index, edge_attr if self.edge_attributes else None)
        )


class GatedFusion(nn.Module):
    """The two branches projected together, beside the temporal one alone.

    out = alpha * project([temporal, graph]) + (1 - alpha) * temporal, alpha = sigmoid(g).

    Args:
        hidden: Length of each branch's state.
        gate: Where alpha starts, between 0 and 1.
        graph_scale: Factor on the graph's columns of the projection at the start.

    Example:
        >>> fusion = GatedFusion(8)
        >>> fusion(torch.ones(3, 8), torch.ones(3, 8)).shape, fusion.alpha.item()
        (torch.Size([3, 8]), 0.5)
    """

    def __init__(self, hidden: int, *, gate: float = 0.5, graph_scale: float = 3.0) -> None:
        super().__init__()
        self.project = nn.Linear(2 * hidden, hidden)
        with torch.no_grad():
            # The graph's signal is thin at first; unscaled it is learned last or never.
            self.project.weight[:, hidden:] *= graph_scale
        self.gate = nn.Parameter(torch.tensor(math.log(gate / (1 - gate))))

    @property
    def alpha(self) -> Tensor:
        """Share of the projection in the output. Shape ()."""
        return self.gate.sigmoid()

    def forward(self, temporal: Tensor, graph: Tensor) -> Tensor:
        """Shapes (rows, hidden) each, to (rows, hidden)."""
        joint: Tensor = self.project(torch.cat([temporal, graph], -1))
        return self.alpha * joint + (1 - self.alpha) * temporal
