"""From a grammar over bytes to the ids that may come next: the vocabulary as a trie, walked together with the grammar.

Inside a free string nearly every id is allowed; those that stay within it are found once for the whole vocabulary, and only the ids that
close the string are walked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from voice_needle.route.needle.grammar import Grammar, lex

Ids = npt.NDArray[np.int64]
_KEPT = 2048


@dataclass
class _Node:
    ids: list[int] = field(default_factory=list)
    after: dict[int, _Node] = field(default_factory=dict)


class Tokens:
    """A vocabulary, by the bytes each id stands for (b"" for control ids, which are never allowed)."""

    def __init__(self, content: Sequence[bytes]) -> None:
        self.content = content
        self._root = _Node()
        inside: list[tuple[int, int]] = []  # (room needed, id) of ids that stay within a string
        self._closing: list[tuple[int, int, bytes]] = []  # (room needed, id, what follows the quote)
        for number, text in enumerate(content):
            if not text:
                continue
            node = self._root
            for byte in text:
                node = node.after.setdefault(byte, _Node())
            node.ids.append(number)
            needed, end = _within_string(text)
            if end == len(text):
                inside.append((needed, number))
            elif end >= 0 and text[end] == 0x22:
                self._closing.append((needed, number, text[end + 1 :]))
        inside.sort()
        self._inside = np.array([number for _, number in inside], np.int64)
        self._rooms = np.array([needed for needed, _ in inside], np.int64)
        self._widest = max([needed for needed, _ in inside] + [needed for needed, _, _ in self._closing], default=0)

    def allowed(self, grammar: Grammar, state: int, memory: OrderedDict[object, Ids]) -> Ids:
        """The ids that may come next, in no order. memory: of this grammar; it is filled here."""
        string = grammar.in_string(state)
        key: object = state if string is None else (min(string[0], self._widest), string[1])
        found = memory.get(key)
        if found is None:
            found = self._walked(grammar, state) if string is None else self._of_string(grammar, *string)
            memory[key] = found
            while len(memory) > _KEPT:
                memory.popitem(last=False)
        return found

    def _walked(self, grammar: Grammar, state: int) -> Ids:
        found: list[int] = []
        waiting = [(self._root, state)]
        while waiting:
            node, at = waiting.pop()
            found += node.ids
            for byte, child in node.after.items():
                after = grammar.step(at, byte)
                if after >= 0:
                    waiting.append((child, after))
        return np.array(found, np.int64)

    def _of_string(self, grammar: Grammar, left: int, below: object) -> Ids:
        closed = grammar.after_string(below)
        ending = [
            number for needed, number, rest in self._closing if needed <= left and grammar.walk(closed, rest) >= 0
        ]
        inside = self._inside[: int(np.searchsorted(self._rooms, left, side="right"))]
        return np.concatenate([inside, np.array(ending, np.int64)])


def _within_string(text: bytes) -> tuple[int, int]:
    """(room that the string must have, where `text` leaves it): len(text) where it stays inside, -1 where it does not fit at all."""
    state = needed = 0
    for at, byte in enumerate(text):
        if state == 0 and byte == 0x22:
            return needed, at
        found = lex(state, byte)
        if found is None:
            return needed, -1
        state = found[0]
        needed = max(needed, at + found[1])
    return needed, len(text)
