"""Finds the words that carry a value: word-aligned, numbers in digits or words, the nearest of several places."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from voice_needle.training.examples import Span

_SMALL = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
          "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]  # fmt: skip
_TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def cardinal(number: int, *, british: bool = True) -> str:
    """1205 -> "one thousand two hundred and five", as a recogniser writes it. Whole numbers under 10**9."""
    if number < 0:
        return "minus " + cardinal(-number, british=british)
    if number < 20:
        return _SMALL[number]
    if number < 100:
        return _TENS[number // 10] + (" " + _SMALL[number % 10] if number % 10 else "")
    for size, name in ((1_000_000, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= size:
            head, rest = divmod(number, size)
            joint = " and " if rest < 100 and british else " "
            words = cardinal(head, british=british) + " " + name
            return words + joint + cardinal(rest, british=british) if rest else words
    raise AssertionError("unreachable")


@lru_cache(maxsize=65536)
def _pattern(value: str) -> re.Pattern[str]:
    body = r"[\s-]+".join(re.escape(word) for word in re.split(r"[\s-]+", value.strip()) if word)
    return re.compile(r"(?<![\w])" + body + r"(?![\w])", re.IGNORECASE)


def variants(value: object) -> Iterator[str]:
    """The ways a value may stand in the text: itself, number words for digits, digits with a percent sign."""
    text = str(value).strip()
    if not text:
        return
    yield text
    if re.fullmatch(r"-?\d{1,9}(\.0+)?", text):
        number = int(float(text))
        yield cardinal(number)
        yield cardinal(number, british=False)
        if number == 1:
            yield from ("a", "an", "single", "myself")
    if text.endswith("s") and len(text) > 3:
        yield text[:-1]
    elif len(text) > 2:
        yield text + "s"
    if "_" in text:
        yield text.replace("_", " ")


def occurrences(text: str, value: object) -> list[Span]:
    """Every place of the value in the text, by its most literal variant that occurs at all."""
    for form in variants(value):
        found = [Span(match.start(), match.end()) for match in _pattern(form).finditer(text)]
        if found:
            return found
    return []


def nearest(places: Sequence[Span], text: str, cues: Iterable[str], taken: Sequence[Span], inside: Span) -> Span | None:
    """The free place inside a stretch that stands nearest to a cue word (of the parameter's name); else the first."""
    free = [
        place for place in places
        if inside.start <= place.start and place.end <= inside.end
        and not any(place.start < other.end and other.start < place.end for other in taken)
    ]  # fmt: skip
    if len(free) <= 1:
        return free[0] if free else None
    anchors = [match.start() for cue in cues if len(cue) > 2 for match in _pattern(cue).finditer(text)]
    if not anchors:
        return free[0]
    return min(free, key=lambda place: min(abs(place.start - anchor) for anchor in anchors))
