"""The layers Stitch is made of: BERT's, and small decoder layers in which schemas attend to words."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 384
HEADS = 12


class Attention(nn.Module):
    """Multi-head attention, written out: on CPUs torch's fused kernel is ten times slower backwards in bfloat16."""

    def __init__(self, heads: int, width: int = WIDTH) -> None:
        super().__init__()
        self.heads, self.width = heads, width
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor, bias: Tensor) -> Tensor:
        """x: (b, q, d); memory: (b, m, d); bias: (b, 1, 1, m), 0 or very negative -> (b, q, d)."""
        b, q, _ = x.shape
        m = memory.shape[1]
        size = self.width // self.heads
        heads_q = self.query(x).view(b, q, self.heads, size).transpose(1, 2)
        heads_k = self.key(memory).view(b, m, self.heads, size).permute(0, 2, 3, 1)
        heads_v = self.value(memory).view(b, m, self.heads, size).transpose(1, 2)
        weights = torch.softmax((heads_q @ heads_k) * (1.0 / math.sqrt(size)) + bias.to(heads_q.dtype), dim=-1)
        mixed = (weights.to(heads_v.dtype) @ heads_v).transpose(1, 2).reshape(b, q, self.width)
        return self.out(mixed)  # type: ignore[no-any-return]


class EncoderLayer(nn.Module):
    """One BERT layer, normalised after each sum."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention(HEADS)
        self.norm1 = nn.LayerNorm(WIDTH, eps=1e-12)
        self.up = nn.Linear(WIDTH, 4 * WIDTH)
        self.down = nn.Linear(4 * WIDTH, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.norm1(x + self.attention(x, x, bias))
        return self.norm2(x + self.down(F.gelu(self.up(x))))  # type: ignore[no-any-return]


class DecoderLayer(nn.Module):
    """Queries attend to words (and, where asked, to one another), then a small feed-forward block. Normalised before."""

    def __init__(self, among: bool, inner: int = 512) -> None:
        super().__init__()
        self.among = Attention(6) if among else None
        self.norm0 = nn.LayerNorm(WIDTH) if among else None
        self.cross = Attention(6)
        self.norm1 = nn.LayerNorm(WIDTH)
        self.up = nn.Linear(WIDTH, inner)
        self.down = nn.Linear(inner, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor, own_bias: Tensor, memory: Tensor, bias: Tensor) -> Tensor:
        if self.among is not None and self.norm0 is not None:
            y = self.norm0(x)
            x = x + self.among(y, y, own_bias)
        x = x + self.cross(self.norm1(x), memory, bias)
        return x + self.down(F.gelu(self.up(self.norm2(x))))  # type: ignore[no-any-return]


def mask_bias(mask: Tensor) -> Tensor:
    """(b, m) true where there is something -> (b, 1, 1, m) to add to attention scores."""
    return (1.0 - mask.to(torch.float32))[:, None, None, :] * -1e4
