"""Which words can fill a {slot}: a parameter's schema decides, through `values`. One reader for one sentence, with a memo."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from voice_needle.events import RouteContext
from voice_needle.route.amounts import Parsed, Problem
from voice_needle.route.names import longest_form, spoken_index
from voice_needle.route.numbers import is_number_word
from voice_needle.route.schemas import is_open
from voice_needle.route.values import parse_value
from voice_needle.tools import Toolset

_MAX_TYPED_WORDS = 12
_MAX_UNKNOWN_WORDS = 3
_JOINTS = ("and", "or")
_ARTICLES = ("the", "a", "an", "my", "our")
_NOT_NAMES = frozenset(
    ["and", "then", "to", "the", "a", "in", "on", "off", "of", "for", "at", "with", "it", "please", "no", "not", "don't", "dont", "never"]
)


@dataclass(frozen=True)
class Several:
    """Two or more values said for one slot: "the kitchen and hall lights". One call for each."""

    values: tuple[Parsed, ...]


Memo = dict[tuple[int, tuple[str, ...]], Parsed | Problem]  # (kind of schema, words) -> what they say
_FINGERPRINTS: dict[int, tuple[Mapping[str, Any], int]] = {}


def _fingerprint(schema: Mapping[str, Any]) -> int:
    """A number equal for schemas that read words alike, so that the rooms of forty tools are read once."""
    kept = _FINGERPRINTS.get(id(schema))
    if kept is None or kept[0] is not schema:
        if len(_FINGERPRINTS) > 4096:
            _FINGERPRINTS.clear()
        told = {key: value for key, value in schema.items() if key not in ("default", "title", "x-vocabulary")}
        if "enum" in told:
            told.pop("description", None)
        kept = _FINGERPRINTS[id(schema)] = (schema, hash(json.dumps(told, sort_keys=True, default=str)))
    return kept[1]


class SlotReader:
    """Reads the slots of one sentence. unknown: also offer words outside a vocabulary, as a Problem to ask about."""

    def __init__(
        self,
        words: Sequence[str],
        tools: Toolset,
        context: RouteContext,
        *,
        unknown: bool = False,
        memo: Memo | None = None,
    ) -> None:
        self._words = words
        self._tools = tools
        self._context = context
        self._unknown = unknown
        self._memo: Memo = {} if memo is None else memo

    def __call__(self, tool: str, slot: str, start: int) -> Iterator[tuple[int, object]]:
        """The ends of the spans from `start` that fill the slot, with what they say."""
        schema = self._tools[tool].properties[slot]
        if is_open(schema):
            yield from self._open(schema, start)
        else:
            yield from self._typed(schema, start)

    def _read(self, schema: Mapping[str, Any], start: int, end: int) -> Parsed | Problem:
        key = (_fingerprint(schema), tuple(self._words[start:end]))
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = parse_value(" ".join(self._words[start:end]), schema, self._context)
        return found

    def _open(self, schema: Mapping[str, Any], start: int) -> Iterator[tuple[int, object]]:
        for end in range(start + 1, len(self._words) + 1):
            found = self._read(schema, start, end)
            if isinstance(found, Parsed) or found.kind == "out_of_range":
                yield end, found

    def _typed(self, schema: Mapping[str, Any], start: int) -> Iterator[tuple[int, object]]:
        longest = longest_form(schema)
        limit = min(len(self._words), start + (longest + 1 if longest else _MAX_TYPED_WORDS))
        if schema.get("type") in ("array", "list"):
            limit = len(self._words)
        found_any = False
        word = self._words[start]
        may_start = not longest or spoken_index(schema).may_start(word) or is_number_word(word)
        if not may_start:
            limit = start  # nothing of this vocabulary begins so
        for end in range(limit, start, -1):
            found = self._read(schema, start, end)
            if isinstance(found, Parsed):
                found_any = True
                yield end, found
                yield from self._joined(schema, found, end)
            elif self._worth_asking(found, start, end):
                yield end, found
        if self._unknown and longest and not found_any:
            yield from self._strangers(schema, start)

    def _worth_asking(self, found: Problem, start: int, end: int) -> bool:
        if found.kind in ("ambiguous", "out_of_range"):
            return True
        if found.kind == "missing":
            return bool(found.options)
        return found.kind == "unsupported" and is_number_word(self._words[start]) and self._unknown and end - start <= 4

    def _joined(self, schema: Mapping[str, Any], first: Parsed, end: int) -> Iterator[tuple[int, object]]:
        """ "kitchen and hall": further values of the same slot, joined by "and"."""
        if schema.get("type") in ("array", "list", "boolean", "number", "integer") or schema.get("format") == "duration":
            return  # "one hundred and twenty" is one number, in range or not, and five minutes and thirty seconds one duration
        values = [first]
        while end + 1 < len(self._words) and self._words[end] in _JOINTS[:1]:
            begin = end + 1
            begin += self._words[begin] in _ARTICLES and begin + 1 < len(self._words)
            limit = min(len(self._words), begin + _MAX_TYPED_WORDS)
            for stop in range(limit, begin, -1):
                found = self._read(schema, begin, stop)
                if isinstance(found, Parsed) and found.value not in [v.value for v in values]:
                    values.append(found)
                    end = stop
                    break
            else:
                return
            yield end, Several(tuple(values))

    def _strangers(self, schema: Mapping[str, Any], start: int) -> Iterator[tuple[int, object]]:
        for end in range(start + 1, min(len(self._words), start + _MAX_UNKNOWN_WORDS) + 1):
            if self._words[end - 1] in _NOT_NAMES:
                return
            found = self._read(schema, start, end)
            if isinstance(found, Problem) and found.kind == "unknown_value":
                yield end, found
