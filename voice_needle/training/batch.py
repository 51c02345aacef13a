"""Turns examples into padded tensors: schema texts as rows of a table of frozen vectors, encoded once each."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from voice_needle.route.stitch.encoder.hints import mark, padded
from voice_needle.route.stitch.encoder.slots import NONE, PARAMETERS, WORD, Slots, slots_of
from voice_needle.route.stitch.encoder.slots import VALUES as VALUE_SLOTS
from voice_needle.route.stitch.encoder.tokens import Pieces, WordPieces
from voice_needle.route.stitch.schema_text import ParameterText, ToolText, tool_text
from voice_needle.training.examples import Answer, Example
from voice_needle.training.layers import WIDTH
from voice_needle.training.model import COUNTS, Stitch

VALUES = 24  # values of one enum that a training step compares
DROPPED = 0.1  # share of a tool's words that a training step does not see
BLUR = 0.8  # most noise on a schema vector, as a share of its length
LENGTH = 72  # word-pieces of a training utterance; longer ones are skipped


class SchemaVectors:
    """Text -> row of a table of sentence vectors, computed by the frozen tower when first met."""

    def __init__(self, model: Stitch, pieces: WordPieces, cache: Path | None = None) -> None:
        self.model, self.pieces, self.cache = model, pieces, cache
        self.rows: dict[str, int] = {"": 0}
        self.table = np.zeros((65536, WIDTH), dtype=np.float16)
        self.wordlike = pieces.wordlike()
        self._saved = 1
        self._words: dict[ToolText, tuple[Slots, NDArray[np.float16]]] = {}
        if cache is not None and cache.is_file():
            with np.load(cache, allow_pickle=False) as held:
                if str(held["key"]) == self._key():
                    self.rows = {str(text): row for row, text in enumerate(held["texts"])}
                    self._grow(len(self.rows))
                    self.table[: len(self.rows)] = held["table"]
                    self._saved = len(self.rows)

    def _key(self) -> str:
        with torch.no_grad():
            probe = self.model.schema(torch.arange(1000, 1032)[None], torch.ones(1, 32, dtype=torch.long))
        return hashlib.sha256(probe.numpy().astype(np.float16).tobytes()).hexdigest()

    def _grow(self, size: int) -> None:
        while size > len(self.table):
            self.table = np.concatenate([self.table, np.zeros_like(self.table)])

    def add(self, texts: Iterable[str]) -> None:
        """Encode what is not in the table yet."""
        missing = sorted({text for text in texts if text not in self.rows}, key=len)
        if not missing:
            return
        self._grow(len(self.rows) + len(missing))
        for at in range(0, len(missing), 128):
            part = missing[at : at + 128]
            ids = self.pieces.schema_ids(part)
            grid = _grid(ids)
            with torch.autocast("cpu", torch.bfloat16):
                vectors = self.model.schema(grid, (grid > 0).long())
            for text, vector in zip(part, vectors.float().numpy(), strict=True):
                self.table[len(self.rows)] = vector
                self.rows[text] = len(self.rows)

    def words(self, text: ToolText) -> tuple[Slots, NDArray[np.float16]]:
        """The slots of a tool, and the unit vectors of those that are words (n, d)."""
        return self._words[text]

    def add_words(self, texts: Iterable[ToolText]) -> None:
        """The same for tools whose words are slots."""
        missing = sorted({text for text in texts if text not in self._words}, key=lambda text: len(text.text))
        for at in range(0, len(missing), 128):
            part = missing[at : at + 128]
            ids = self.pieces.schema_ids([text.text for text in part])
            grid = _grid(ids)
            with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
                found = self.model.schema_words(grid, (grid > 0).long())
            for text, own, vectors in zip(part, ids, found.half().numpy(), strict=True):
                slots = slots_of(text, own, self.wordlike)
                self._words[text] = (slots, vectors[list(slots.places)])

    def save(self) -> None:
        """Write the table beside the checkpoints, if it grew."""
        if self.cache is None or len(self.rows) == self._saved:
            return
        self.cache.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.cache.with_suffix(".tmp.npz")
        np.savez(temporary, texts=np.array(list(self.rows)), table=self.table[: len(self.rows)], key=np.array(self._key()))
        temporary.replace(self.cache)
        self._saved = len(self.rows)


def _grid(ids: Sequence[Sequence[int]]) -> Tensor:
    grid = torch.zeros(len(ids), max(map(len, ids)), dtype=torch.long)
    for row, found in enumerate(ids):
        grid[row, : len(found)] = torch.tensor(found)
    return grid


@dataclass
class Batch:
    """Tensors of one step; see `collate`. b utterances, t tools, l pieces, c calls, p parameters, e choices, v values."""

    ids: Tensor  # (b, l)
    mask: Tensor  # (b, l)
    tools: Tensor  # (b, t, d)
    tool_parameters: Tensor  # (b, t, d)
    tool_mask: Tensor  # (b, t)
    slots: Tensor  # (u, s, d) of each different tool
    slot_kinds: Tensor  # (u, s)
    slot_of: Tensor  # (b, t) which of them
    said: Tensor  # (b, t, s)
    present: Tensor  # (b, t) the label
    trains_tools: Tensor  # (b,)
    starts: Tensor  # (b, t, l) the label
    count: Tensor  # (b,)
    call_of: Tensor  # (c,) row of the utterance
    place: Tensor  # (c, l)
    tool: Tensor  # (c, d)
    parameters: Tensor  # (c, p, d)
    kinds: Tensor  # (c, p)
    required: Tensor  # (c, p)
    parameter_mask: Tensor  # (c, p)
    given: Tensor  # (c, p) label: the parameter has a value
    start: Tensor  # (c, p) label: first piece, -1 where none
    end: Tensor  # (c, p)
    hints: Tensor  # (c, p, l, 2)
    values: Tensor  # (e, v, d)
    owner: Tensor  # (e, 2)
    matches: Tensor  # (e, v)
    value_mask: Tensor  # (e, v)
    value: Tensor  # (e,) label: which value, -1 where none
    examples: list[Example] = field(default_factory=list)

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        moved: dict[str, Any] = {}
        for item in fields(self):
            held = getattr(self, item.name)
            moved[item.name] = held.to(device) if isinstance(held, Tensor) else held
        return Batch(**moved)


class Collator:
    """Examples -> Batch. Keeps every tool it has read by identity, so shared schema objects cost nothing."""

    def __init__(self, vectors: SchemaVectors, seed: int = 0, training: bool = True) -> None:
        self.vectors = vectors
        self.random = random.Random(seed)
        self.training = training
        self._texts: dict[int, tuple[Mapping[str, Any], ToolText]] = {}
        self._slots: dict[int, tuple[ToolText, Slots, NDArray[np.float16]]] = {}

    def text_of(self, schema: Mapping[str, Any]) -> ToolText:
        """What the model reads of a tool."""
        held = self._texts.get(id(schema))
        if held is None or held[0] is not schema:
            if len(self._texts) > 60000:
                self._texts.clear()
            held = (schema, tool_text(schema))
            self._texts[id(schema)] = held
        return held[1]

    def pieces_of(self, example: Example) -> Pieces:
        return self.vectors.pieces.utterance(example.text)

    def __call__(self, examples: Sequence[Example], pieces: Sequence[Pieces]) -> Batch:
        texts = [[self.text_of(tool) for tool in example.tools] for example in examples]
        calls = [
            (row, number, answer, next(text for text in texts[row] if text.name == answer.tool))
            for row, example in enumerate(examples) for number, answer in enumerate(example.answers)
        ]  # fmt: skip
        self._encode(texts, calls)
        length = -(-max(map(len, pieces)) // 8) * 8
        parts: dict[str, Any] = self._utterances(examples, pieces, texts, length)
        parts.update(self._calls(examples, pieces, calls, length))
        return Batch(examples=list(examples), **parts)

    def _encode(self, texts: list[list[ToolText]], calls: list[tuple[int, int, Answer, ToolText]]) -> None:
        wanted = {text.text for row in texts for text in row}
        wanted.update(parameter.text for row in texts for text in row for parameter in text.parameters)
        wanted.update(
            value.text for _, _, _, text in calls for parameter in text.parameters for value in parameter.values[: 4 * VALUES]
        )
        wanted.update(
            value.text for row in texts for text in row for parameter in text.parameters[:PARAMETERS] for value in parameter.values[:VALUE_SLOTS]
        )
        self.vectors.add(wanted)
        self.vectors.add_words(text for row in texts for text in row)

    def _slots_of(self, text: ToolText) -> tuple[ToolText, Slots, NDArray[np.float16]]:
        held = self._slots.get(id(text))
        if held is None or held[0] is not text:
            if len(self._slots) > 60000:
                self._slots.clear()
            slots, vectors = self.vectors.words(text)
            lines = [item.text for item in text.parameters[: slots.parameters]]
            lines += [text.parameters[number].values[which].text for number, which in slots.values]
            rows = self.vectors.table[[self.vectors.rows[line] for line in lines]]
            held = (text, slots, np.concatenate([vectors, rows]))
            self._slots[id(text)] = held
        return held

    def _offered(self, examples: Sequence[Example], pieces: Sequence[Pieces], texts: list[list[ToolText]], t: int) -> dict[str, Tensor]:
        """Slots of each different tool once, and which tool has which."""
        different: dict[int, int] = {}
        found: list[tuple[ToolText, Slots, NDArray[np.float16]]] = []
        for tools in texts:
            for text in tools:
                if id(text) not in different:
                    different[id(text)] = len(found)
                    found.append(self._slots_of(text))
        s = max([1, *(len(slots.kinds) for _, slots, _ in found)])
        vectors, kinds = np.zeros((max(1, len(found)), s, WIDTH), np.float16), np.full((max(1, len(found)), s), NONE)
        for at, (_, slots, rows) in enumerate(found):
            vectors[at, : len(rows)], kinds[at, : len(rows)] = rows, slots.kinds
        of, said = np.zeros((len(examples), t), np.int64), np.zeros((len(examples), t, s), np.bool_)
        for row, (example, own) in enumerate(zip(examples, pieces, strict=True)):
            held, ids = padded(example.text), own.ids
            for number, text in enumerate(texts[row]):
                of[row, number] = different[id(text)]
                slots = found[of[row, number]][1]
                said[row, number, : len(slots.kinds)] = slots.said(text, held, ids)
        if self.training:
            dropped = np.random.default_rng(self.random.getrandbits(32)).random(kinds.shape) < DROPPED
            kinds[dropped & (kinds == WORD)] = NONE
        return {
            "slots": torch.from_numpy(vectors).to(torch.bfloat16), "slot_kinds": torch.from_numpy(kinds),
            "slot_of": torch.from_numpy(of), "said": torch.from_numpy(said),
        }  # fmt: skip

    def _mean(self, tool: ToolText) -> np.ndarray[Any, Any]:
        if not tool.parameters:
            return self.vectors.table[0]
        return self.vectors.table[[self.vectors.rows[item.text] for item in tool.parameters]].astype(np.float32).mean(0)  # type: ignore[no-any-return]

    def _utterances(
        self, examples: Sequence[Example], pieces: Sequence[Pieces], texts: list[list[ToolText]], length: int
    ) -> dict[str, Tensor]:
        b, t = len(examples), max(1, max(map(len, texts)))
        ids, present = np.zeros((b, length), np.int64), np.zeros((b, t), np.float32)
        tools, means = np.zeros((b, t), np.int64), np.zeros((b, t, WIDTH), np.float32)
        tool_mask, starts = np.zeros((b, t), np.int64), np.zeros((b, t, length), np.float32)
        for row, (example, found) in enumerate(zip(examples, pieces, strict=True)):
            ids[row, : len(found)] = found.ids
            order = {text.name: number for number, text in enumerate(texts[row])}
            for number, text in enumerate(texts[row]):
                tools[row, number] = self.vectors.rows[text.text]
                means[row, number] = self._mean(text)
            tool_mask[row, : len(texts[row])] = 1
            for answer in example.answers:
                present[row, order[answer.tool]] = 1.0
                covered = found.cover(answer.clause.start, answer.clause.end)
                if covered is not None:
                    starts[row, order[answer.tool], covered[0]] = 1.0
        return {
            "ids": torch.from_numpy(ids), "mask": torch.from_numpy((ids > 0).astype(np.int64)),
            "tools": self._blurred(self._rows(tools)), "tool_parameters": self._blurred(torch.from_numpy(means)),
            "tool_mask": torch.from_numpy(tool_mask), **self._offered(examples, pieces, texts, t), "present": torch.from_numpy(present),
            "trains_tools": torch.tensor([float(item.loss == "all" and bool(item.tools)) for item in examples]),
            "starts": torch.from_numpy(starts),
            "count": torch.tensor([min(len(item.answers), COUNTS - 1) for item in examples]),
        }  # fmt: skip

    def _clause(self, example: Example, number: int, pieces: Pieces) -> tuple[int, int]:
        """First piece of a call, and the piece before which it ends: where the next call starts, as decoding sees it."""
        bounds = [pieces.cover(item.clause.start, item.clause.end) for item in example.answers]
        own = bounds[number]
        start = own[0] if own is not None else 1
        later = [item[0] for item in bounds if item is not None and item[0] > start]
        if len(example.answers) == 1 and self.training and self.random.random() < 0.3:
            start = 1
        return start, min(later, default=len(pieces))

    def _calls(
        self, examples: Sequence[Example], pieces: Sequence[Pieces],
        calls: list[tuple[int, int, Answer, ToolText]], length: int,
    ) -> dict[str, Tensor]:  # fmt: skip
        c = max(1, len(calls))
        p = max([1, *(len(text.parameters) for _, _, _, text in calls)])
        grid = {name: np.zeros((c, p), np.int64) for name in ("kinds", "required", "parameter_mask", "rows")}
        given, start, end = np.zeros((c, p), np.float32), np.full((c, p), -1), np.full((c, p), -1)
        hints, place = np.zeros((c, p, length, 2), np.bool_), np.zeros((c, length), np.int64)
        tool, call_of = np.zeros(c, np.int64), np.zeros(c, np.int64)
        choices: list[tuple[int, int, list[int], list[bool], int]] = []
        for at, (row, number, answer, text) in enumerate(calls):
            found = pieces[row]
            call_of[at], tool[at] = row, self.vectors.rows[text.text]
            first, stop = self._clause(examples[row], number, found)
            place[at, :first], place[at, first:stop], place[at, stop:], place[at, first] = 0, 2, 3, 1
            matched = mark(padded(examples[row].text), found, text.parameters, hints[at])
            for column, parameter in enumerate(text.parameters):
                grid["rows"][at, column] = self.vectors.rows[parameter.text]
                grid["kinds"][at, column], grid["required"][at, column] = parameter.kind, parameter.required
                grid["parameter_mask"][at, column] = 1
                value = answer.arguments.get(parameter.name)
                if value is not None:
                    given[at, column] = 1.0
                    covered = found.cover(value.span.start, value.span.end) if value.span else None
                    if covered is not None:
                        start[at, column], end[at, column] = covered
                if parameter.values:
                    wanted = None if value is None else str(value.value)
                    choices.append((at, column, *self._choice(parameter, matched[column], wanted)))
        return {
            "call_of": torch.from_numpy(call_of), "place": torch.from_numpy(place), "given": torch.from_numpy(given),
            "tool": self._blurred(self._rows(tool)), "parameters": self._blurred(self._rows(grid["rows"])), "kinds": torch.from_numpy(grid["kinds"]),
            "required": torch.from_numpy(grid["required"]), "parameter_mask": torch.from_numpy(grid["parameter_mask"]),
            "start": torch.from_numpy(start), "end": torch.from_numpy(end), "hints": torch.from_numpy(hints),
            **self._choices(choices),
        }  # fmt: skip

    def _rows(self, rows: np.ndarray[Any, Any]) -> Tensor:
        return torch.from_numpy(self.vectors.table[rows].astype(np.float32))

    def _blurred(self, vectors: Tensor) -> Tensor:
        """In training, vectors each moved a random way: what is learned is then about meanings, not about these few tools."""
        if not self.training:
            return vectors
        length = vectors.norm(dim=-1, keepdim=True)
        amount = torch.rand(*vectors.shape[:-1], 1) * (BLUR / WIDTH**0.5)
        moved = torch.randn_like(vectors).mul_(amount).add_(vectors / length.clamp(min=1e-6))
        return F.normalize(moved, dim=-1) * length

    def _choice(self, parameter: ParameterText, matched: list[bool], wanted: str | None) -> tuple[list[int], list[bool], int]:
        """Rows, matches and the right index of at most VALUES values of one parameter."""
        order = list(range(min(len(parameter.values), 4 * VALUES)))
        right = next((n for n, item in enumerate(parameter.values) if str(item.value).lower() == str(wanted).lower()), -1)
        if len(order) > VALUES:
            order = [n for n in order if n != right]
            order = self.random.sample(order, VALUES - 1) + ([right] if right >= 0 else [])
        rows = [self.vectors.rows.get(parameter.values[n].text, 0) for n in order]
        return rows, [matched[n] for n in order], order.index(right) if wanted is not None and right in order else -1

    def _choices(self, choices: list[tuple[int, int, list[int], list[bool], int]]) -> dict[str, Tensor]:
        e = max(1, len(choices))
        v = max([1, *(len(item[2]) for item in choices)])
        rows, matches, mask = np.zeros((e, v), np.int64), np.zeros((e, v), np.bool_), np.zeros((e, v), np.int64)
        owner, value = np.zeros((e, 2), np.int64), np.full(e, -1)
        for at, (call, column, found, matched, right) in enumerate(choices):
            rows[at, : len(found)], matches[at, : len(found)], mask[at, : len(found)] = found, matched, 1
            owner[at], value[at] = (call, column), right
        return {
            "values": self._rows(rows), "owner": torch.from_numpy(owner), "matches": torch.from_numpy(matches),
            "value_mask": torch.from_numpy(mask), "value": torch.from_numpy(value),
        }  # fmt: skip


def batches(stream: Iterator[Example], collator: Collator, budget: int = 2048, chunk: int = 2048) -> Iterator[Batch]:
    """Examples of like length and number of tools together, about `budget` word-pieces a batch, in random order. Ends with the stream."""
    while True:
        found = list(islice(stream, chunk))
        if not found:
            return
        cut = [(example, collator.pieces_of(example)) for example in found]
        cut = sorted((item for item in cut if len(item[1]) <= LENGTH), key=lambda item: (-(-len(item[1]) // 8), len(item[0].tools)))
        groups: list[list[tuple[Example, Pieces]]] = [[]]
        for item in cut:
            length = -(-len(item[1]) // 8) * 8
            if groups[-1] and (len(groups[-1]) + 1) * length > budget:
                groups.append([])
            groups[-1].append(item)
        if collator.training:
            collator.random.shuffle(groups)
        for group in groups:
            if group:
                yield collator([item[0] for item in group], [item[1] for item in group])
