"""How many of the words of an utterance stand in a tool's own texts: what a network trained on other tools may overlook.

Words are cut to their stems and weighed by rarity, which the vocabulary's order tells: BERT's word-pieces are sorted by frequency.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from voice_needle.route.stitch.schema_text import ToolText

_WORD = re.compile(r"[a-z]+")
_ENDINGS = ("ing", "ers", "er", "ed", "es", "s")
_FIRST, _UNKNOWN = 900, 20_000  # pieces before the first are marks and single signs; a word that is no piece is rare
_COMMON = 0.55  # share of the log-rank under which a word weighs nothing


@lru_cache(maxsize=16384)
def stem(word: str) -> str:
    """ "watering", "waters", "water" -> "wat" or the like: only meant for comparison."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)].rstrip("e")
    return word.rstrip("e") if len(word) > 3 else word


@dataclass(frozen=True)
class ToolWords:
    """Stems of a tool. head: of its name and description; body: of its parameters and values alone."""

    head: frozenset[str]
    body: frozenset[str]

    @classmethod
    def of(cls, text: ToolText) -> ToolWords:
        head = _stems(text.text)
        lines = [line for item in text.parameters for line in (item.text, *(value.text for value in item.values))]
        return cls(head, frozenset().union(*map(_stems, lines)) - head)


def _stems(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in _WORD.findall(text.lower()))


class Overlap:
    """Weighs words by the order of a vocabulary. ranks: word-piece -> its line."""

    def __init__(self, ranks: Mapping[str, int]) -> None:
        self._ranks = ranks
        self._scale = math.log(max(3, len(ranks) - _FIRST))

    def weight(self, word: str) -> float:
        """0 for the commonest words, about 1 for rare ones."""
        rank = max(1, self._ranks.get(word, _UNKNOWN) - _FIRST)
        return max(0.0, math.log(rank) / self._scale - _COMMON) / (1.0 - _COMMON)

    def shares(self, text: str, tools: Sequence[ToolWords]) -> list[tuple[float, float]]:
        """For each tool the weighed share of the utterance's words in its head, and in its body."""
        said = {stem(word): self.weight(word) for word in _WORD.findall(text.lower())}
        whole = sum(said.values()) + 0.5
        return [
            (
                sum(weight for word, weight in said.items() if word in tool.head) / whole,
                sum(weight for word, weight in said.items() if word in tool.body) / whole,
            )
            for tool in tools
        ]
