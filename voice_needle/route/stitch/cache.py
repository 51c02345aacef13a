"""Schema vectors: computed once for each tool, kept on disk under a hash of its content and of the weights."""

from __future__ import annotations

import hashlib
import logging
import os
import struct
import tempfile
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from platformdirs import user_cache_dir

from voice_needle.route.stitch.encoder.network import WIDTH, Floats, Network
from voice_needle.route.stitch.encoder.overlap import ToolWords
from voice_needle.route.stitch.schema_text import ToolText, tool_text
from voice_needle.tools import Tool, Toolset

log = logging.getLogger(__name__)

_HEAD = struct.Struct("<4sII")  # mark, rows, CRC-32 of what follows
_MARK = b"VNS1"
TOOLSETS = 8  # whose vectors stay in memory


@dataclass(frozen=True)
class ToolVectors:
    """One tool. aim: (d,) to compare utterances with; tool: (d,); parameters: (p, d), mean: (d,); values: one (v, d) each."""

    text: ToolText
    tool: Floats
    aim: Floats
    parameters: Floats
    mean: Floats
    values: tuple[Floats, ...]
    words: ToolWords


@dataclass(frozen=True)
class ToolsetVectors:
    """All tools of a toolset, in order, and their stacked vectors (t, d)."""

    tools: tuple[ToolVectors, ...]
    aims: Floats
    vectors: Floats
    means: Floats


class SchemaCache:
    """Vectors of tools, from memory, disk or the network. A damaged file is computed again; a full disk does no harm."""

    def __init__(self, network: Network, folder: Path | None = None) -> None:
        self._network = network
        root = folder or Path(user_cache_dir("voice-needle")) / "stitch"
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
        keys = [hashlib.sha256(repr(text).encode()).hexdigest() for text in texts]
        rows = [self._read(key, _rows(text)) for key, text in zip(keys, texts, strict=True)]
        missing = [number for number, held in enumerate(rows) if held is None]
        wanted = list(dict.fromkeys(line for number in missing for line in _lines(texts[number])))
        vectors, aims = self._network.schema(wanted)
        at = {line: number for number, line in enumerate(wanted)}
        for number in missing:
            lines = _lines(texts[number])
            held = np.concatenate([aims[at[lines[0]]][None], vectors[[at[line] for line in lines]]])
            rows[number] = held
            self._write(keys[number], held)
        found = tuple(_parted(text, held) for text, held in zip(texts, rows, strict=True) if held is not None)
        empty = np.zeros((0, WIDTH), np.float32)
        return ToolsetVectors(
            found,
            np.stack([item.aim for item in found]) if found else empty,
            np.stack([item.tool for item in found]) if found else empty,
            np.stack([item.mean for item in found]) if found else empty,
        )

    def _read(self, key: str, rows: int) -> Floats | None:
        try:
            data = (self.folder / key[:2] / key).read_bytes()
            mark, count, check = _HEAD.unpack_from(data)
            body = data[_HEAD.size :]
            if mark != _MARK or count != rows or len(body) != rows * WIDTH * 2 or zlib.crc32(body) != check:
                raise ValueError("damaged")
        except FileNotFoundError:
            return None
        except (OSError, struct.error, ValueError) as error:
            log.warning("schema vectors %s are computed again: %s", key[:12], error)
            return None
        return np.frombuffer(body, dtype=np.float16).reshape(rows, WIDTH).astype(np.float32)

    def _write(self, key: str, rows: Floats) -> None:
        body = rows.astype(np.float16).tobytes()
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


def _parted(text: ToolText, rows: Floats) -> ToolVectors:
    count = len(text.parameters)
    values, at = [], 2 + count
    for item in text.parameters:
        values.append(rows[at : at + len(item.values)])
        at += len(item.values)
    parameters = rows[2 : 2 + count]
    mean = parameters.mean(axis=0) if count else np.zeros(WIDTH, np.float32)
    return ToolVectors(text, rows[1], rows[0], parameters, mean, tuple(values), ToolWords.of(text))
