"""Schema vectors: computed once for each tool, kept on disk under a hash of its content and of the weights."""

from __future__ import annotations

import hashlib
import logging
import os
import struct
import tempfile
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_dir

from voice_needle.route.stitch.encoder.hints import padded
from voice_needle.route.stitch.encoder.network import WIDTH, Floats, Network, Offered, SchemaText
from voice_needle.route.stitch.encoder.overlap import ToolWords
from voice_needle.route.stitch.encoder.slots import SIZE, Slots, slots_of
from voice_needle.route.stitch.schema_text import ToolText, tool_text
from voice_needle.tools import Tool, Toolset

log = logging.getLogger(__name__)

_HEAD = struct.Struct("<4sII")  # mark, rows, CRC-32 of what follows
_MARK = b"VNS2"
_NOTHING = (np.zeros((0, WIDTH), np.float32), np.zeros((0, SIZE), np.float32))
TOOLSETS = 8  # whose vectors stay in memory


@dataclass(frozen=True)
class ToolVectors:
    """One tool. aim: (d,) to compare utterances with; tool: (d,); parameters: (p, d), mean: (d,); values: one (v, d) each.

    slots: (s, SIZE), those of `layout`.
    """

    text: ToolText
    tool: Floats
    aim: Floats
    parameters: Floats
    mean: Floats
    values: tuple[Floats, ...]
    words: ToolWords
    slots: Floats
    layout: Slots


@dataclass(frozen=True)
class ToolsetVectors:
    """All tools of a toolset, in order, and their stacked vectors (t, d)."""

    tools: tuple[ToolVectors, ...]
    aims: Floats
    vectors: Floats
    means: Floats
    offered: Offered
    pieces: NDArray[np.int64]  # (t, s) of slots that are words, else -1
    forms: tuple[tuple[int, int, tuple[str, ...]], ...]  # tool, slot, what it is said as

    def said(self, text: str, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(t, s) which slots stand in the utterance as they are. ids: its word-pieces."""
        found = np.isin(self.pieces, ids)
        held = padded(text)
        for tool, slot, forms in self.forms:
            found[tool, slot] = any(form in held for form in forms)
        return found


class SchemaCache:
    """Vectors of tools, from memory, disk or the network. A damaged file is computed again; a full disk does no harm."""

    def __init__(self, network: Network, folder: Path | None = None) -> None:
        self._network = network
        root = folder or Path(user_cache_dir("voice-needle")) / "stitch"
        self._wordlike = network.pieces.wordlike()
        self.folder = root / network.identity[:16]
        self._toolsets: OrderedDict[tuple[str, str], ToolsetVectors] = OrderedDict()

    def toolset(self, tools: Toolset, extra: Sequence[Tool] = ()) -> ToolsetVectors:
        """Vectors of the tools and then of the extra ones."""
        key = (tools.content_hash, "".join(tool.content_hash for tool in extra))
        if key not in self._toolsets:
            self._toolsets[key] = self._build([*tools.values(), *extra])
            while len(self._toolsets) > TOOLSETS:
                self._toolsets.popitem(last=False)
        self._toolsets.move_to_end(key)
        return self._toolsets[key]

    def _build(self, tools: Sequence[Tool]) -> ToolsetVectors:
        texts = [tool_text(tool.schema()) for tool in tools]
        ids = self._network.pieces.schema_ids([text.text for text in texts])
        layouts = [slots_of(text, own, self._wordlike) for text, own in zip(texts, ids, strict=True)]
        keys = [hashlib.sha256(repr(text).encode()).hexdigest() for text in texts]
        held = [self._read(key, _rows(text), len(layout.kinds)) for key, text, layout in zip(keys, texts, layouts, strict=True)]
        missing = [number for number, rows in enumerate(held) if rows is None]
        wanted = list(dict.fromkeys(line for number in missing for line in _lines(texts[number])))
        encoded = dict(zip(wanted, self._network.schema(wanted), strict=True))
        for number in missing:
            held[number] = _computed(texts[number], layouts[number], encoded)
            self._write(keys[number], held[number] or _NOTHING)
        found = tuple(_parted(text, layout, *(rows or _NOTHING)) for text, layout, rows in zip(texts, layouts, held, strict=True))
        return self._stacked(found)

    def _stacked(self, found: tuple[ToolVectors, ...]) -> ToolsetVectors:
        def stack(rows: list[Floats]) -> Floats:
            return np.stack(rows) if rows else np.zeros((0, WIDTH), np.float32)

        offered = self._network.offered([item.slots for item in found], [item.layout.kinds for item in found])
        pieces = np.full(offered.kinds.shape, -1, np.int64)
        forms = []
        for number, item in enumerate(found):
            pieces[number, : len(item.layout.ids)] = item.layout.ids
            forms += [(number, slot, tuple(f" {form} " for form in said)) for slot, said in item.layout.forms(item.text)]
        return ToolsetVectors(
            found, stack([item.aim for item in found]), stack([item.tool for item in found]), stack([item.mean for item in found]),
            offered, pieces, tuple(forms),
        )  # fmt: skip

    def _read(self, key: str, rows: int, slots: int) -> tuple[Floats, Floats] | None:
        try:
            data = (self.folder / key[:2] / key).read_bytes()
            mark, count, check = _HEAD.unpack_from(data)
            body = data[_HEAD.size :]
            if mark != _MARK or count != rows or len(body) != 2 * (rows * WIDTH + slots * SIZE) or zlib.crc32(body) != check:
                raise ValueError("damaged")
        except FileNotFoundError:
            return None
        except (OSError, struct.error, ValueError) as error:
            log.warning("schema vectors %s are computed again: %s", key[:12], error)
            return None
        numbers = np.frombuffer(body, dtype=np.float16).astype(np.float32)
        return numbers[: rows * WIDTH].reshape(rows, WIDTH), numbers[rows * WIDTH :].reshape(slots, SIZE)

    def _write(self, key: str, held: tuple[Floats, Floats]) -> None:
        rows, slots = held
        body = rows.astype(np.float16).tobytes() + slots.astype(np.float16).tobytes()
        target = self.folder / key[:2] / key
        temporary = ""
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as out:
                temporary = out.name
                out.write(_HEAD.pack(_MARK, len(rows), zlib.crc32(body)) + body)
            os.replace(temporary, target)
        except OSError as error:
            log.warning("schema vectors are not kept on disk: %s", error)
            if temporary:
                Path(temporary).unlink(missing_ok=True)


def _lines(text: ToolText) -> list[str]:
    return [text.text, *(item.text for item in text.parameters), *(v.text for item in text.parameters for v in item.values)]


def _rows(text: ToolText) -> int:
    return 2 + len(text.parameters) + sum(len(item.values) for item in text.parameters)


def _computed(text: ToolText, layout: Slots, encoded: Mapping[str, SchemaText]) -> tuple[Floats, Floats]:
    own = encoded[text.text]
    rows = np.stack([own.aim, *(encoded[line].vector for line in _lines(text))])
    told = [item.text for item in text.parameters[: layout.parameters]]
    told += [text.parameters[number].values[which].text for number, which in layout.values]
    empty = np.zeros((0, SIZE), np.float32)
    return rows, np.concatenate([own.words[list(layout.places)], np.stack([encoded[line].slot for line in told]) if told else empty])


def _parted(text: ToolText, layout: Slots, rows: Floats, slots: Floats) -> ToolVectors:
    count = len(text.parameters)
    values, at = [], 2 + count
    for item in text.parameters:
        values.append(rows[at : at + len(item.values)])
        at += len(item.values)
    parameters = rows[2 : 2 + count]
    mean = parameters.mean(axis=0) if count else np.zeros(WIDTH, np.float32)
    return ToolVectors(text, rows[1], rows[0], parameters, mean, tuple(values), ToolWords.of(text), slots, layout)
