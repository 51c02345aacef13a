"""Widens a span to the whole phrase that a free-text parameter asks for: "3pm" to "tomorrow at 3pm", "25" to "25 minutes".

Only where the schema itself says so: a parameter that is named after a date, a time or a duration takes the whole time phrase around the span
(a duration without any number or unit is none); one whose description wants the words copied word for word takes what hangs on them
by "by", "with", "of" or "is", up to the next comma or preposition. Of any other the writing says where a name begins and ends, where it has
capitals (Whisper's has, the embedded recogniser's has not): "Leo" to "Leo Park", or quotation marks; of a list, where it has brackets.
"Leo's" before a noun is Leo.
Everything else stays as it was found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from voice_needle.route.numbers import read_number, words_in
from voice_needle.route.schemas import LIST_TYPES, is_open, type_of

_WORD = re.compile(r"[^\s,;]+")
_DATE = frozenset(
    words_in(
        "today tonight tomorrow yesterday monday tuesday wednesday thursday friday saturday sunday january february march april may june july "
        "august september october november december next this coming week weekend month year"
    )
)
_CLOCK = frozenset(words_in("am pm noon midnight morning afternoon evening night o'clock half quarter past"))
_LENGTH = frozenset(
    words_in("second seconds minute minutes hour hours day days week weeks month months negative minus half")
)
_DIGITS = re.compile(r"\d[\d:.]*(?:am|pm|a\.m\.|p\.m\.|st|nd|rd|th|s|m|h|min|mins|sec|secs)?", re.IGNORECASE)
_BETWEEN = frozenset(words_in("at on in the of a an and to"))  # between two parts of one time phrase
_HANGS = frozenset(words_in("by with of is are featuring"))
_ENDS = frozenset(words_in("for as to at in on from and then please when while after before"))
_VERBATIM = re.compile(r"\bword for word\b|\bverbatim\b")
_CLOSING = ".?!\"')"
_QUOTED = re.compile(r"(?<![\w'])(?:'(?=\S)(.+?)(?<=\S)'|\"(?=\S)(.+?)(?<=\S)\"|`(?=\S)(.+?)(?<=\S)`|“(.+?)”|‘(.+?)’)(?!\w)")
_BRACKETED = re.compile(r"[\[(]([^\[\]()]*,[^\[\]()]*)[\])]")
_OWNER = re.compile(r"['’]s$")
_NO_NOUN = frozenset(words_in("in on at to for with and or from of by is are please tomorrow today tonight now"))
_MYSELF = frozenset({"I", "I'm", "I'd", "I'll", "I've"})
_NOT_A_TIME = frozenset(words_in("zone timezone format unit units type name title"))


@dataclass(frozen=True)
class Wanted:
    """What a parameter asks for. kinds: of "date", "time", "duration"; verbatim: words as they were said; named: it may be a name;
    listed: several values.
    """

    kinds: frozenset[str] = frozenset()
    verbatim: bool = False
    named: bool = False
    listed: bool = False

    def __bool__(self) -> bool:
        return bool(self.kinds) or self.verbatim or self.named or self.listed


def wanted(name: str, properties: Mapping[str, Mapping[str, Any]]) -> Wanted:
    """What the parameter `name` of a tool asks for. A time whose date is another parameter's business takes no date."""
    schema = properties.get(name)
    if isinstance(schema, Mapping) and type_of(schema) in LIST_TYPES:
        return Wanted(listed=True)
    if not isinstance(schema, Mapping) or not is_open(schema):
        return Wanted()
    told = str(schema.get("description") or "").lower()
    own = _kinds(name)
    if own:
        elsewhere: frozenset[str] = frozenset().union(*(_kinds(other) for other in properties if other != name))
        described = frozenset(kind for kind in ("date", "time", "duration") if re.search(rf"\b{kind}\b", told))
        kinds = own | (described - elsewhere)
        return Wanted(
            frozenset() if kinds == {"date"} else kinds
        )  # the words beside a bare date are other parameters' as often
    closed = schema.get("x-vocabulary") or schema.get("x-spoken")
    return Wanted(verbatim=bool(_VERBATIM.search(told)), named=not closed)


def _kinds(name: str) -> frozenset[str]:
    parts = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()))
    if parts & _NOT_A_TIME:
        return frozenset()
    found = {kind for kind in ("date", "time", "duration") if kind in parts}
    return frozenset(found | ({"date", "time"} if parts & {"datetime", "when"} else set()))


def whole(text: str, start: int, end: int, limit: int, want: Wanted) -> tuple[int, int] | None:
    """The wider (start, end) of the span text[start:end], not beyond `limit`; None where it cannot be what is wanted."""
    if want.listed:
        return _brackets(text, start, end) or (start, end)
    if (want.named or want.verbatim) and (quoted := _quotation(text, start, end)) is not None:
        return quoted
    if want.named:
        end = _whole_name(text, end, limit)
        if _owns(text, start, end):
            return start, end - 2
    if want.verbatim:
        return start, _with_what_hangs_on(text, end, limit)
    words = [(match.start(), match.end()) for match in _WORD.finditer(text) if match.start() < limit]
    inside = [at for at, (first, last) in enumerate(words) if first < end and last > start]
    if not want.kinds or not inside:
        return start, end
    timely = [_speaks_of_time(text[first:last], want.kinds) for first, last in words]
    if not any(timely[at] for at in inside):
        return None if "duration" in want.kinds else (start, end)
    low, high = inside[0], inside[-1]
    low = _reach(low, -1, text, words, timely)
    high = _reach(high, 1, text, words, timely)
    return min(start, words[low][0]), max(end, words[high][1])


def _reach(at: int, step: int, text: str, words: list[tuple[int, int]], timely: list[bool]) -> int:
    """The furthest word of the same time phrase in one direction: over at most two words that join its parts."""
    while True:
        ahead = next(
            (at + step * far for far in (1, 2, 3)
             if 0 <= at + step * far < len(words) and timely[at + step * far]
             and all(text[slice(*words[at + step * near])].lower() in _BETWEEN for near in range(1, far))),
            None,
        )  # fmt: skip
        if ahead is None or "," in text[words[min(at, ahead)][1] : words[max(at, ahead)][0]]:
            return at
        at = ahead


def _speaks_of_time(word: str, kinds: frozenset[str]) -> bool:
    bare = word.lower().strip(".?!\"'")
    if _DIGITS.fullmatch(bare) or bare in _LENGTH & _CLOCK:
        return True
    named = ("date" in kinds and bare in _DATE) or ("time" in kinds and bare in _CLOCK)
    return (
        named
        or ("duration" in kinds and bare in _LENGTH)
        or (bare not in ("a", "an") and read_number([bare]) is not None)
    )


def _whole_name(text: str, end: int, limit: int) -> int:
    """The end of the name that is cut off at `end`: the capitalised words that follow a capitalised one, but no day and no month.

    What stands before is left alone: it is a title, or what kind of thing it is, as often as a part of the name.
    """
    words = [match for match in _WORD.finditer(text) if match.start() < limit]
    if not any(match.group()[0].islower() for match in words):
        return end  # a headline, or somebody shouts
    at = next((at for at, match in enumerate(words) if match.end() >= end), len(words) - 1)
    while at + 1 < len(words) and _goes_on(text, words[at], words[at + 1]):
        at += 1
        end = words[at].start() + len(words[at].group().rstrip(_CLOSING))
    return end


def _quotation(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The inside of the quotation marks that the span stands between: whoever writes them says where the value ends."""
    for match in _QUOTED.finditer(text):
        inside = match.span(match.lastindex or 0)
        if match.start() <= start < inside[1] and inside[0] < end <= match.end():
            return inside
    return None


def _brackets(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The inside of the brackets that the span reaches into: whoever writes "[3, 5, 7]" means one list."""
    return next((match.span(1) for match in _BRACKETED.finditer(text) if match.start() < end and start < match.end()), None)


def _owns(text: str, start: int, end: int) -> bool:
    """Whether the span is somebody whose something is written of ("Einstein's theory"), and no name that ends so ("at Wendy's")."""
    following = _WORD.match(text, end + 1) if text[end : end + 1] == " " else None
    noun = following is not None and following.group().lower().strip(_CLOSING) not in _NO_NOUN
    return noun and end - start > 3 and text[start].isupper() and _OWNER.search(text[start:end]) is not None


def _goes_on(text: str, word: re.Match[str], following: re.Match[str]) -> bool:
    if text[word.end() : following.start()].strip() or word.group()[-1] in _CLOSING:
        return False
    return _capital(word.group()) and _capital(following.group())


def _capital(word: str) -> bool:
    return word[0].isupper() and word.rstrip(_CLOSING) not in _MYSELF and word.rstrip(_CLOSING).lower() not in _DATE


def _with_what_hangs_on(text: str, end: int, limit: int) -> int:
    hanging = False
    for match in _WORD.finditer(text, end):
        word = match.group().lower().strip(".?!")
        gap = text[end : match.start()]
        if match.start() >= limit or gap.strip() or (not hanging and word not in _HANGS) or (hanging and word in _ENDS):
            break
        hanging, end = True, match.end()
    return end
