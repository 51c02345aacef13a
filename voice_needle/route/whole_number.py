"""The whole number, or the whole duration, of which a span of words is a part: "six point three" of "four hundred and sixty six point three"."""

from __future__ import annotations

import re

from voice_needle.route.numbers import read_number
from voice_needle.route.units import read_unit

_WORD = re.compile(r"[^\s,;]+")


def whole_number(text: str, start: int, end: int, limit: int, *, duration: bool) -> tuple[int, int]:
    """The wider (start, end), not beyond the character `limit`; the span itself where it is no part of one number.

    duration: numbers with a unit of time each belong together, "four hours" and "forty five minutes".
    """
    words = [match for match in _WORD.finditer(text) if match.start() < limit]
    said = [match.group().lower().strip(".?!\"'") for match in words]
    at = 0
    while at < len(words):
        stop = _number(said, at)
        if duration and stop > at:
            stop = _duration(said, at, stop)
        if stop > at:
            first, last = words[at].start(), words[stop - 1].end()
            if first < end and last > start:
                inside = first <= start and end <= last
                return (first, last) if inside else (start, end)
        at = max(stop, at + 1)
    return start, end


def _number(said: list[str], at: int) -> int:
    """The word after the number that begins here; `at` where none does."""
    found = read_number(said, at)
    if found is None or (found[1] == at + 1 and said[at] in ("a", "an")):
        return at
    return found[1]


def _duration(said: list[str], at: int, stop: int) -> int:
    while True:
        unit = read_unit(said, stop)
        if unit is None or unit[0].dimension != "time":
            return stop
        stop = unit[1]
        ahead = stop + 1 if stop < len(said) and said[stop] == "and" else stop
        more = _number(said, ahead)
        following = read_unit(said, more) if more > ahead else None
        if following is None or following[0].dimension != "time":
            return stop
        stop = more
