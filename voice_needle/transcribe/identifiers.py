"""How identifiers are said: a parameter's regular expression as a pattern of letters, spelling words and numbers.

"^[A-Z]\\d{1,3}$" is a letter, or its spelling word, and a number: read as one number, digit by digit or in pairs. What a recogniser
cannot tell by ear, "b twelve" and "be twelve", it can tell by shape.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from voice_needle.transcribe.patterns import NOTHING, Choice, Node, Words, choice, sequence, spoken_words

MOST = 8  # of what a pattern lets repeat without end
_DASHES = frozenset("-_/. ")
Parse = Callable[[str], Node]
"""A sentence template over the shared expansions -> its pattern."""


def shape(pattern: str, parse: Parse) -> Node | None:
    """How strings of this regular expression are said; None where the expression is beyond letters, digits and separators."""
    parser: Any = importlib.import_module("re._parser")  # the same that hypothesis draws strings with
    try:
        return _Shape(parse).sequence(list(parser.parse(pattern)))
    except (ValueError, TypeError, OverflowError, importlib.import_module("re").error):
        return None


class _Shape:
    def __init__(self, parse: Parse) -> None:
        self._parse = parse

    def sequence(self, items: list[Any]) -> Node:
        nodes: list[Node] = []
        literal = ""
        for operation, value in [*items, ("END", None)]:
            if str(operation) == "LITERAL" and chr(value).isalpha():
                literal += chr(value)
                continue
            if literal:
                nodes.append(self._letters(literal))
                literal = ""
            if str(operation) not in ("END", "AT"):
                nodes.append(self._one(str(operation), value))
        return sequence(nodes)

    def _one(self, operation: str, value: Any) -> Node:
        match operation:
            case "LITERAL" if chr(value).isdigit():
                return Words(spoken_words(chr(value)))
            case "LITERAL" if chr(value) in _DASHES:
                return choice([NOTHING, Words(("dash",))])
            case "IN":
                return self._class(value)
            case "SUBPATTERN":
                return self.sequence(list(value[-1]))
            case "BRANCH":
                return choice([self.sequence(list(branch)) for branch in value[1]])
            case "MAX_REPEAT":
                return self._repeat(value[0], min(int(value[1]), MOST), list(value[2]))
        raise ValueError(operation)

    def _class(self, members: list[Any]) -> Node:
        if _digits(members):
            return self._parse("(<unit>|zero|oh)")
        ranges = [value for operation, value in members if str(operation) == "RANGE"]
        if any(chr(low).isalpha() and chr(high).isalpha() for low, high in ranges):
            ways = Choice((self._parse("<letter>"), self._parse("<spelling>")), (0.7, 0.3))
            return choice([ways, self._parse("(<unit>|zero)")]) if (48, 57) in ranges else ways
        letters = [chr(value) for operation, value in members if str(operation) == "LITERAL"]
        if len(letters) == len(members):
            return choice([Words(spoken_words(letter)) for letter in letters if letter.isalnum()] or [NOTHING])
        raise ValueError(members)

    def _repeat(self, least: int, most: int, items: list[Any]) -> Node:
        if len(items) == 1 and str(items[0][0]) == "IN" and _digits(items[0][1]):
            return choice([self._number(length) for length in range(least, most + 1)])
        one = self.sequence(items)
        return choice([sequence([one] * times) for times in range(least, most + 1)])

    def _number(self, length: int) -> Node:
        """A number of so many digits: as a number, in pairs, or digit by digit."""
        if length == 0:
            return NOTHING
        digit, pair = self._parse("(<unit>|zero|oh)"), self._parse("(<teen>|<ten>|<ten> <unit>|oh <unit>)")
        one_by_one = sequence([digit] * length)
        if length == 1:
            return digit
        in_pairs = sequence([*([self._parse("<unit>")] if length % 2 else []), *[pair] * (length // 2)])
        if length == 3:
            return Choice((in_pairs, one_by_one, self._parse("<hundreds>")), (0.4, 0.4, 0.2))
        return Choice((in_pairs, one_by_one), (0.7, 0.3))

    def _letters(self, literal: str) -> Node:
        """DOCK is a word; AB is two letters."""
        if len(literal) > 2:
            return Words(spoken_words(literal))
        return Words(tuple(literal.lower()))


def _digits(members: list[Any]) -> bool:
    kinds = [(str(operation), str(value)) for operation, value in members]
    return kinds in ([("CATEGORY", "CATEGORY_DIGIT")], [("RANGE", "(48, 57)")])
