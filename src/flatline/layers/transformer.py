"""A transformer encoder over short sequences, whose attention weights can be read."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from flatline.errors import ShapeError
from flatline.layers.names import TokenNormName

__all__ = ["EncoderLayer", "SelfAttention", "TokenBatchNorm", "TransformerEncoder"]


class TokenBatchNorm(nn.Module):
    """Each hidden unit standardised over all tokens of all sequences of a batch.

    In training the rows of a batch see each other through its mean and spread; in eval
    mode the running ones are used and no row depends on another.

    Args:
        hidden: Length of a token's vector.

    Example:
        >>> TokenBatchNorm(8)(torch.randn(3, 5, 8)).mean().abs().item() < 1e-6
        True
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (sequences, tokens, hidden), to the same."""
        out: Tensor = self.norm(x.flatten(0, -2))
        return out.view_as(x)


class SelfAttention(nn.Module):
    """Attention of the tokens of a sequence to each other, all to all.

    Keys and values have no bias: one on the keys adds the same number to every token's
    score, which no softmax sees, and one on the values passes through as one on the output.

    A handful of tokens is too little work for a call of the attention kernel. *together*
    sequences therefore share one call, behind a mask that keeps them apart: where it
    stands the weights are exactly 0, so the result is what each would have alone.

    Args:
        hidden: Length of a token's vector.
        heads: Number of heads; divides *hidden*.
        tokens: Length of a sequence; read only where *together* is more than 1.
        together: Sequences that share one call of the kernel; divides their number.

    Raises:
        ShapeError: *heads* does not divide *hidden*.

    References:
        Vaswani et al., Attention Is All You Need, 2017, section 3.2.

    Example:
        >>> SelfAttention(16, heads=4)(torch.ones(3, 5, 16)).shape
        torch.Size([3, 5, 16])
    """

    mask: Tensor | None

    def __init__(self, hidden: int, *, heads: int, tokens: int = 0, together: int = 1) -> None:
        super().__init__()
        if hidden % heads:
            raise ShapeError(
                f"hidden is {hidden}, expected a multiple of the {heads} attention heads. "
                "Change hidden or the number of heads."
            )
        self.heads = heads
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden, bias=False)
        self.value = nn.Linear(hidden, hidden, bias=False)
        self.out = nn.Linear(hidden, hidden)
        mask = None
        if together > 1:
            sequence = torch.arange(together).repeat_interleave(tokens)
            mask = torch.where(sequence == sequence[:, None], 0.0, -torch.inf)
        self.register_buffer("mask", mask, persistent=False)

    def _by_head(self, x: Tensor) -> Tensor:
        """Shape (sequences, tokens, hidden), to (sequences, heads, tokens, hidden / heads)."""
        return x.reshape(*x.shape[:-1], self.heads, -1).transpose(1, 2)

    def weights(self, x: Tensor) -> Tensor:
        """How much each token looks at each, adding up to 1.

        Args:
            x: Shape (sequences, tokens, hidden).

        Returns:
            Shape (sequences, heads, tokens asking, tokens asked).
        """
        query, key = self._by_head(self.query(x)), self._by_head(self.key(x))
        return torch.softmax(query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]), -1)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (sequences, tokens, hidden), to the same."""
        shared = x if self.mask is None else x.reshape(-1, len(self.mask), x.shape[-1])
        query, key = self._by_head(self.query(shared)), self._by_head(self.key(shared))
        mask = None if self.mask is None else self.mask.to(query.dtype)
        found = functional.scaled_dot_product_attention(
            query, key, self._by_head(self.value(shared)), attn_mask=mask
        )
        out: Tensor = self.out(found.transpose(1, 2).reshape(x.shape))
        return out


class EncoderLayer(nn.Module):
    """Attention and a feed-forward network, each beside a skip and normalised.

    Args:
        hidden: Length of a token's vector.
        heads: Attention heads.
        feed_forward: Length of the inner layer of the feed-forward network.
        norm: "batch" over all tokens of a batch, or "layer" within each token.
        pre_norm: Whether the input of each branch is normalised (and the skip is left
            alone), or the sum of branch and skip.
        dropout: Share of the inner layer, and of what each branch adds, set to 0 in training.
        depth: Layers of the encoder that this is one of. The last maps of both branches
            start smaller the deeper it is, so that what all of them add stays of one size.
        tokens: See `SelfAttention`.
        together: See `SelfAttention`.

    References:
        Vaswani et al., Attention Is All You Need, 2017, section 3.1; Zhang et al.,
        Improving Deep Transformer with Depth-Scaled Initialization, 2019, equation 6.

    Example:
        >>> EncoderLayer(16, heads=4, feed_forward=32)(torch.ones(3, 5, 16)).shape
        torch.Size([3, 5, 16])
    """

    def __init__(
        self,
        hidden: int,
        *,
        heads: int,
        feed_forward: int,
        norm: TokenNormName = "layer",
        pre_norm: bool = True,
        dropout: float = 0.0,
        depth: int = 1,
        tokens: int = 0,
        together: int = 1,
    ) -> None:
        super().__init__()
        make_norm = TokenBatchNorm if norm == "batch" else nn.LayerNorm
        self.pre_norm = pre_norm
        self.attention = SelfAttention(hidden, heads=heads, tokens=tokens, together=together)
        self.attention_norm = make_norm(hidden)
        self.inner = nn.Linear(hidden, feed_forward)
        self.outer = nn.Linear(feed_forward, hidden)
        self.feed_forward_norm = make_norm(hidden)
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():
            for last in (self.attention.out, self.outer):
                last.weight.mul_(1 / math.sqrt(2 * depth))
                nn.init.zeros_(last.bias)

    def _feed_forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.outer(self.dropout(functional.gelu(self.inner(x))))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Shape (sequences, tokens, hidden), to the same."""
        if self.pre_norm:
            x = x + self.dropout(self.attention(self.attention_norm(x)))
            added: Tensor = self.dropout(self._feed_forward(self.feed_forward_norm(x)))
            return x + added
        x = self.attention_norm(x + self.dropout(self.attention(x)))
        out: Tensor = self.feed_forward_norm(x + self.dropout(self._feed_forward(x)))
        return out


class TransformerEncoder(nn.Module):
    """Layers one after the other.

    Args:
        hidden: Length of a token's vector.
        depth: Number of layers.
        heads: Attention heads.
        feed_forward: Length of the inner layers of the feed-forward networks.
        norm: "batch" or "layer", see `EncoderLayer`.
        pre_norm: Where it stands, see `EncoderLayer`.
        dropout: See `EncoderLayer`.
        tokens: See `SelfAttention`.
        together: See `SelfAttention`.

    Raises:
        ShapeError: *heads* does not divide *hidden*.

    Example:
        >>> encoder = TransformerEncoder(16, depth=2, heads=4, feed_forward=32)
        >>> encoder(torch.ones(3, 5, 16)).shape
        torch.Size([3, 5, 16])
    """

    def __init__(
        self,
        hidden: int,
        *,
        depth: int,
        heads: int,
        feed_forward: int,
        norm: TokenNormName = "layer",
        pre_norm: bool = True,
        dropout: float = 0.0,
        tokens: int = 0,
        together: int = 1,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EncoderLayer(
                hidden,
                heads=heads,
                feed_forward=feed_forward,
                norm=norm,
                pre_norm=pre_norm,
                dropout=dropout,
                depth=depth,
                tokens=tokens,
                together=together,
            )
            for _ in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Shape (sequences, tokens, hidden), to the same."""
        for layer in self.layers:
            x = layer(x)
        return x
