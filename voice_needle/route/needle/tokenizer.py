"""The tokenizer of Needle v1: SentencePiece BPE with byte fallback, read from the published .model file.

Encoding follows SentencePiece (Kudo and Richardson, 2018): runs of spaces become one, a space goes in front, spaces turn into
U+2581; then, of all neighbouring pieces, the pair whose union has the best score is merged, the leftmost first among equals, until no
union is a piece. What is no piece at the end is spelled in byte pieces. User-defined symbols are never part of a merge.
"""

from __future__ import annotations

import heapq
import re
from pathlib import Path

from voice_needle.errors import ModelCorrupt, ModelMissing
from voice_needle.route.needle.wire import fields

SPACE = "\u2581"
PAD, EOS, BOS, UNKNOWN, TOOL_CALL, TOOLS = range(6)
_NORMAL, _UNKNOWN, _CONTROL, _USER, _UNUSED, _BYTE = range(1, 7)  # sentencepiece_model.proto: SentencePiece.Type
_BPE = 2  # TrainerSpec.ModelType
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3  # fields of ModelProto
CONTROL_WORDS = re.compile(r"<\s*/?\s*(?:tools|tool_call|pad|s|eos|bos|unk)\s*/?\s*>", re.IGNORECASE)


class Tokenizer:
    """Text to ids and back. pieces: id -> text (U+2581 for a space); content: id -> the bytes it stands for, b"" for a control id."""

    def __init__(self, data: bytes, name: str = "the tokenizer") -> None:
        self.pieces: list[str] = []
        self._score: list[float] = []
        self._kind: list[int] = []
        self._dummy_prefix = self._collapse = True
        try:
            self._read(data)
        except (ValueError, UnicodeDecodeError, TypeError) as problem:
            raise ModelCorrupt(f"{name} is no SentencePiece BPE model: {problem}") from problem
        self._id = {piece: number for number, piece in enumerate(self.pieces)}
        usable = (_NORMAL, _USER)
        self._merge = {p: n for n, p in enumerate(self.pieces) if self._kind[n] in usable}
        self._bytes = {int(p[3:5], 16): n for n, p in enumerate(self.pieces) if self._kind[n] == _BYTE}
        symbols = sorted((p for n, p in enumerate(self.pieces) if self._kind[n] == _USER), key=len, reverse=True)
        self._symbols = re.compile("(" + "|".join(map(re.escape, symbols)) + ")") if symbols else None
        self.content = [self._content(number) for number in range(len(self.pieces))]

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Read a .model file. Errors: ModelMissing, ModelCorrupt."""
        try:
            return cls(path.read_bytes(), str(path))
        except OSError as problem:
            raise ModelMissing(f"The tokenizer {path} cannot be read: {problem.strerror}.") from problem

    def __len__(self) -> int:
        return len(self.pieces)

    def encode(self, text: str) -> list[int]:
        """The ids of `text`, without any control id around them."""
        if self._collapse:
            text = re.sub(" +", " ", text).strip(" ")
        if not text:
            return []
        text = (" " + text if self._dummy_prefix else text).replace(" ", SPACE)
        if self._collapse:
            text = text.rstrip(SPACE)  # SentencePiece takes a "▁" that was written for a space, too, but only at the end
        ids: list[int] = []
        for number, part in enumerate(self._symbols.split(text) if self._symbols else [text]):
            if number % 2:
                ids.append(self._id[part])
            elif part:
                ids += self._merged(part)
        return ids

    def decode(self, ids: list[int]) -> str:
        """The text of whole ids: control ids are left out, damaged UTF-8 becomes U+FFFD."""
        raw = b"".join(self.content[number] for number in ids)
        text = raw.decode("utf-8", errors="replace")
        return text[1:] if self._dummy_prefix and text.startswith(" ") else text

    def _read(self, data: bytes) -> None:
        for field, value in fields(data):
            if field == _PIECES and isinstance(value, bytes):
                entry = dict(fields(value))
                piece, score, kind = entry.get(1, b""), entry.get(2, 0.0), entry.get(3, _NORMAL)
                if not isinstance(piece, bytes) or isinstance(score, bytes) or not isinstance(kind, int):
                    raise ValueError("a piece is malformed")
                self.pieces.append(piece.decode())
                self._score.append(float(score))
                self._kind.append(kind)
            elif field == _TRAINER and isinstance(value, bytes):
                if dict(fields(value)).get(3, 1) != _BPE:
                    raise ValueError("not of type BPE")
            elif field == _NORMALIZER and isinstance(value, bytes):
                spec = dict(fields(value))
                if spec.get(1, b"identity") != b"identity":
                    raise ValueError(f"normalisation {spec[1]!r} is not supported")
                self._dummy_prefix, self._collapse = bool(spec.get(3, 1)), bool(spec.get(4, 1))
        if not self.pieces:
            raise ValueError("no pieces")

    def _content(self, number: int) -> bytes:
        if self._kind[number] == _BYTE:
            return bytes([int(self.pieces[number][3:5], 16)])
        if self._kind[number] != _NORMAL:
            return b""
        return self.pieces[number].replace(SPACE, " ").encode()

    def _merged(self, text: str) -> list[int]:
        """Byte-pair merges of `text` by a heap over a linked list of symbols."""
        part = list(text)
        before, after = list(range(-1, len(part) - 1)), [*range(1, len(part)), -1]
        heap: list[tuple[float, int, int, str]] = []

        def offer(left: int) -> None:
            right = after[left] if left >= 0 else -1
            if right >= 0 and (number := self._merge.get(part[left] + part[right])) is not None:
                heapq.heappush(heap, (-self._score[number], left, right, part[left] + part[right]))

        for at in range(len(part)):
            offer(at)
        while heap:
            _, left, right, union = heapq.heappop(heap)
            if after[left] != right or part[left] + part[right] != union or not part[left]:
                continue  # one of the two was merged into something else meanwhile
            part[left], part[right] = union, ""
            after[left] = after[right]
            if after[right] >= 0:
                before[after[right]] = left
            offer(before[left])
            offer(left)
        ids: list[int] = []
        for piece in part:
            if piece:
                ids += self._spelled(piece)
        return ids

    def _spelled(self, piece: str) -> list[int]:
        number = self._merge.get(piece)
        if number is not None:
            return [number]
        if len(self._bytes) < 256:
            return [UNKNOWN]
        return [self._bytes[byte] for byte in piece.encode()]


def plain(text: str) -> str:
    """`text` without the words that this model reads as control symbols, and without control characters."""
    while (without := CONTROL_WORDS.sub(" ", text)) != text:
        text = without
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
