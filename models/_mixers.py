"""The token mixers of the controlled skeleton: maps (batch, width, side, side) to their like."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._shape import linear

HEAD = 32
"""Width of an attention head, if a skeleton's name says nothing else."""
AHEAD = 10.0
"""How far, in logits, the position that an impulse looks at is ahead of all others: its weight is
then above 0.997 among 196 positions."""


def heads_of(width: int, heads: int | None) -> int:
    """Return the number of attention heads at a width: as named, else heads 32 wide."""
    return heads or max(1, width // HEAD)


class Attention(nn.Module):
    """Self-attention over the positions of a map with heads 32 wide; one head if it is narrower."""

    def __init__(self, width: int, side: int, heads: int | None = None) -> None:
        super().__init__()
        self.heads = heads_of(width, heads)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def bias(self) -> Tensor | None:
        """Return what is added to the logits (heads, positions, positions); None adds nothing."""
        return None

    def forward(self, x: Tensor) -> Tensor:
        batch, width, height, side = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        heads = self.qkv(tokens).reshape(batch, -1, 3, self.heads, width // self.heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=self.bias())
        projected = self.proj(mixed.transpose(1, 2).flatten(2))
        return projected.transpose(1, 2).reshape(batch, width, height, side)


class RelativeAttention(Attention):
    """Self-attention whose logits have a learned bias for each head and offset between positions.

    The table (heads, 2 side - 1, 2 side - 1) is Swin's (arXiv 2103.14030). It starts at zero, so
    that the first map depends on the contents alone.
    """

    def __init__(self, width: int, side: int, heads: int | None = None) -> None:
        super().__init__(width, side, heads)
        self.side = side
        self.table = nn.Parameter(torch.zeros(self.heads, 2 * side - 1, 2 * side - 1))

    def bias(self) -> Tensor:
        # Row a of the map sees the window of the table that begins at the offset -a.
        windows = self.table.unfold(1, self.side, 1).unfold(2, self.side, 1).flip(1, 2)
        return windows.reshape(self.heads, self.side**2, self.side**2)


class ImpulseAttention(RelativeAttention):
    """The same, but every head begins as one tap of a 3 x 3 convolution.

    "Structured Initialization for Vision Transformers" (arXiv 2505.19985) starts every head as an
    impulse, solving for the weights of queries and keys. Heads as narrow as ours cannot hold that,
    so it is the table that begins so. Taps are drawn without repetition until all nine are used; a
    tap outside the map gives the mean over the map.
    """

    def __init__(self, width: int, side: int, heads: int | None = None) -> None:
        super().__init__(width, side, heads)
        taps = torch.cat([torch.randperm(9) for _ in range(-(-self.heads // 9))])[: self.heads]
        down, right = taps // 3 - 1, taps % 3 - 1
        with torch.no_grad():
            self.table[torch.arange(self.heads), side - 1 + down, side - 1 + right] = AHEAD


class TokenMlp(nn.Module):
    """Two linear layers over the positions, the same for every channel."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        tokens = side * side
        self.fc1 = nn.Linear(tokens, token_hidden(tokens))
        self.fc2 = nn.Linear(token_hidden(tokens), tokens)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x.flatten(2)))).reshape(x.shape)


class Pooling(nn.Module):
    """PoolFormer's mixer: the mean of the neighbourhood minus the position itself."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False) - x


class RandomMixing(nn.Module):
    """RandFormer's mixer: a random matrix whose rows sum to one, drawn once and never trained."""

    matrix: Tensor

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.softmax(torch.rand(side * side, side * side), dim=-1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.matmul(x.flatten(2), self.matrix.T).reshape(x.shape)


def depthwise(width: int, side: int) -> nn.Module:
    """Return a 7 x 7 convolution of each channel by itself."""
    return nn.Conv2d(width, width, 7, padding=3, groups=width)


ATTENTIONS: dict[str, type[Attention]] = {
    "attention": Attention,
    "relative": RelativeAttention,
    "impulse": ImpulseAttention,
}
OTHERS: dict[str, Callable[[int, int], nn.Module]] = {
    "mlp": TokenMlp,
    "depthwise": depthwise,
    "pooling": Pooling,
    "random": RandomMixing,
}
MIXERS = (*ATTENTIONS, *OTHERS)


def make(mixer: str, width: int, side: int, heads: int | None) -> nn.Module:
    """Return a mixer of `MIXERS`; `heads` matters to attention alone."""
    if mixer in ATTENTIONS:
        return ATTENTIONS[mixer](width, side, heads)
    return OTHERS[mixer](width, side)


def token_hidden(tokens: int) -> int:
    """Return the hidden width of the MLP over tokens: half their number, at most 256."""
    return min(max(1, tokens // 2), 256)


def counts(mixer: str, width: int, side: int, heads: int | None) -> tuple[int, int]:
    """Return the parameters and MACs of a mixer in closed form; "none" has neither."""
    tokens = side * side
    if mixer in ATTENTIONS:
        params = linear(width, 3 * width) + linear(width, width)
        if mixer != "attention":
            params += heads_of(width, heads) * (2 * side - 1) ** 2
        return params, tokens * 4 * width * width + 2 * tokens * tokens * width
    if mixer == "mlp":
        hidden = token_hidden(tokens)
        return linear(tokens, hidden) + linear(hidden, tokens), 2 * tokens * hidden * width
    if mixer == "depthwise":
        return width * 49 + width, width * 49 * tokens
    return 0, tokens * tokens * width if mixer == "random" else 0
