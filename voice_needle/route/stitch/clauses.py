"""Reads several requests in one breath clause by clause, where that explains the words better than one reading of all of them.

The network reads a single request of tools it never saw far better than two at once. So where words like "and" or "then" may part
requests, each part is read as an utterance of its own; the parting is believed when every part is a request and the log-probability
of the whole is higher for it. "Salt and pepper" stays one: "pepper" alone asks for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from voice_needle.route.numbers import read_number, tokenize

_LINKS = (
    r"then|next|also|finally|afterwards|after that|in addition|plus|at the same time|when that's done|as well as|"
    r"followed by|one more thing|while (?:you're|you are) at it"
)
JOINT = re.compile(rf"\b(?:oh )?(?:and )?(?:{_LINKS})\b|\b(?:oh )?and\b", re.IGNORECASE)
_LINK = re.compile(rf"\b(?:{_LINKS}|oh and)\b", re.IGNORECASE)
_MARK = re.compile(r"[.;!?](?=\s)|,(?=\s)")
_NOT = r"(?:do not|don't|dont|no need to|there is no need to|there's no need to|i don't want you to|i do not want you to)(?! forget)"
_CONTRASTS = (  # "don't close the blinds, just turn on the light", "turn on the light but don't close the blinds"
    re.compile(rf"^(?:please |no |okay |well |so |actually )*{_NOT}(?: \S+){{2,}}?,? (?:please )?(?:but |just |instead |i want you to )+(?P<meant>.+)$", re.I),
    re.compile(rf"^(?P<meant>(?:(?!{_NOT}).)+?)(?: please)?,? (?:and|but)(?: please)? {_NOT} .+$", re.I),
)  # fmt: skip
_GREAT = re.compile(r"\b(?:hundred|thousand|million)(?: and)?\s*$", re.I)
CUTS = 3  # places at which an utterance may be parted; more are not tried
_SHORT = 4  # characters; nothing shorter asks for anything

Span = tuple[int, int]


def cuts(text: str, starts: Sequence[int]) -> list[Span]:
    """Where the words may be parted, in order: (end of the part before, beginning of the part after).

    starts: characters at which the reading of the whole begins a call; they are tried first, then joints, then marks.
    """
    joints = [(match.start(), match.end()) for match in JOINT.finditer(text) if not _in_number(text, match.end())]
    marks = [(match.start(), match.end()) for match in _MARK.finditer(text)]
    begun = [(at, at) for at in starts if at > 0 and not _in_number(text, at)]
    found: list[Span] = []
    for group in (joints, begun, marks):
        for end, begin in group:
            near = any(not text[min(end, other[0]) : max(begin, other[1])].strip(" ,.;!?") or _touch((end, begin), other) for other in found)
            if len(found) < CUTS and not near and end >= _SHORT and len(text) - begin >= _SHORT:
                found.append((end, begin))
    return sorted(found)


def linked(text: str) -> int:
    """How many requests the words announce: one more than there are links stronger than "and"; 1 where there is none."""
    return 1 + len(_LINK.findall(text))


def _in_number(text: str, at: int) -> bool:
    """Whether a number goes on there: no request begins in "one hundred and thirty"."""
    return bool(_GREAT.search(text[:at])) and read_number(tokenize(text[at:])[:1], 0) is not None


def contrast(text: str) -> Span | None:
    """The part that is asked for where another is asked not to be done."""
    found = next((match for pattern in _CONTRASTS if (match := pattern.match(text))), None)
    return found.span("meant") if found else None


def _touch(a: Span, b: Span) -> bool:
    return a[0] <= b[1] + 1 and b[0] <= a[1] + 1


def partings(text: str, places: Sequence[Span]) -> Iterator[list[Span]]:
    """Every way to part the text at one or more of the places: the parts, each without the joints around it."""
    for chosen in range(1, 2 ** len(places)):
        kept = [place for number, place in enumerate(places) if chosen >> number & 1]
        edges = [(0, 0), *kept, (len(text), len(text))]
        yield [_trimmed(text, begin, end) for (_, begin), (end, _) in pairwise(edges)]


def _trimmed(text: str, begin: int, end: int) -> Span:
    part = text[begin:end]
    begin += len(part) - len(part.lstrip(" ,.;!?"))
    return begin, begin + len(text[begin:end].rstrip(" ,;"))


def best_parting(
    text: str, places: Sequence[Span], score: Callable[[Span], float | None], least: Callable[[int], float]
) -> list[Span] | None:
    """The likeliest way to part the text; None where the text as one is likelier, or no parting makes sense.

    score: log-probability of a part, None where it is no request. least: what a parting into so many must beat.
    """
    known: dict[Span, float | None] = {}
    best: tuple[float, list[Span]] | None = None
    for parts in partings(text, places):
        total = 0.0
        for part in parts:
            if part not in known:
                known[part] = score(part) if part[1] - part[0] >= _SHORT else None
            value = known[part]
            if value is None:
                break
            total += value
        else:
            if total > least(len(parts)) and (best is None or total - least(len(parts)) > best[0]):
                best = total - least(len(parts)), parts
    return best[1] if best else None
