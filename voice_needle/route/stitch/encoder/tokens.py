"""Cuts text into word-pieces with their character offsets; the same code serves training and the device."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer

Ids = NDArray[np.int64]

UTTERANCE_LIMIT = 128  # word-pieces of an utterance, [CLS] and [SEP] included; a longer one is declined
SCHEMA_LIMIT = 64  # word-pieces of a schema text; the rest of a description is cut off

# Recognisers write no punctuation, so the model learns without it; what is typed loses it here, and keeps "5.5" and "7:30".
_PUNCTUATION = re.compile(r"[.,;!?\"()\[\]{}<>|`…“”‘]+(?=\s|$)|(?<=\s)[.,;!\"()\[\]{}<>|`…“”‘]+|^[.,;!?\"()\[\]{}<>|`“‘]+")

_SURROGATE = re.compile("[\ud800-\udfff]")  # halves of a pair, which are no text


@dataclass(frozen=True)
class Pieces:
    """Word-pieces of one text, [CLS] first and [SEP] last. spans: (n, 2) character offsets, (0, 0) for the two marks."""

    ids: Ids
    spans: Ids
    truncated: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    def cover(self, start: int, end: int) -> tuple[int, int] | None:
        """First and last piece that overlap the characters start..end; None when there is none."""
        inside = np.flatnonzero((self.spans[:, 1] > start) & (self.spans[:, 0] < end))
        return (int(inside[0]), int(inside[-1])) if len(inside) else None


class WordPieces:
    """BERT's uncased word-pieces from a vocabulary file (one piece a line)."""

    def __init__(self, vocabulary: Path) -> None:
        self._tokenizer = BertWordPieceTokenizer(str(vocabulary), lowercase=True)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def ranks(self) -> dict[str, int]:
        """Word-piece -> its number."""
        return dict(self._tokenizer.get_vocab())

    def wordlike(self) -> NDArray[np.bool_]:
        """For each piece number whether it holds a letter or a figure and is no mark such as [CLS]."""
        found = np.zeros(self._tokenizer.get_vocab_size(), np.bool_)
        for piece, number in self._tokenizer.get_vocab().items():
            found[number] = any(map(str.isalnum, piece)) and not piece.startswith("[")
        return found

    def schema_ids(self, texts: list[str], limit: int = SCHEMA_LIMIT) -> list[list[int]]:
        """Word-piece numbers of schema texts, cut to `limit`."""
        found = self._tokenizer.encode_batch([_SURROGATE.sub("\ufffd", text[: limit * 12]) for text in texts])
        return [item.ids if len(item.ids) <= limit else [*item.ids[: limit - 1], item.ids[-1]] for item in found]

    def utterance(self, text: str, limit: int = UTTERANCE_LIMIT) -> Pieces:
        """Pieces of what was said. Sentence punctuation is blanked out first; offsets are those of the text as given."""
        cut = len(text) > limit * 16
        whole = _SURROGATE.sub("\ufffd", text[: limit * 16] if cut else text)
        blanked = _PUNCTUATION.sub(lambda match: " " * len(match.group()), whole)
        found = self._tokenizer.encode(blanked)
        ids = np.asarray(found.ids, dtype=np.int64)
        spans = np.asarray(found.offsets, dtype=np.int64).reshape(-1, 2)
        if len(ids) > limit:
            cut = True
            ids = np.concatenate([ids[: limit - 1], ids[-1:]])
            spans = np.concatenate([spans[: limit - 1], spans[-1:]])
        return Pieces(ids, spans, cut)
