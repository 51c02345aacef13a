"""People who think while they speak: repeats, false starts and corrections within one utterance, read as what was meant in the end.

Asked only where the words as they are make no request. Nothing is dropped but repeats, what a correction names ("five, no,
twelve"), and a beginning that the router itself knows for the start of a request and that breaks off before another one.
(Terms after E. Shriberg, "Preliminaries to a Theory of Speech Disfluencies", 1994: reparandum, editing term, repair.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from voice_needle.events import Call, Decision, DialogueAct, Outcome
from voice_needle.number_words import NUMBER_WORDS

FALSE_START = "false start"
MENDED = "mended"  # in a decision's reason: made for what somebody who stumbles means
"""In the reason for a decision that leaves out a beginning which nothing said to leave out."""
BROKEN_OFF = f"broken off, {FALSE_START}"
"""The same, of a beginning that ends before the noun it needs."""

Route = Callable[[str, tuple[Call, ...]], Decision]
"""The router's decision for a text, given the calls before it."""

_EDITS = (
    "no wait",
    "oh no",
    "i mean",
    "i meant",
    "or rather",
    "make that",
    "make it",
    "wait no",
    "no",
    "sorry",
    "wait",
    "actually",
    "rather",
)
_LONGEST_REPEAT, _LONGEST_REPARANDUM, _LONGEST_FALSE_START = 4, 5, 4
_LIKELIER_WRONG, _CERTAIN = 0.5, 0.95  # confidence
_NUMBERS = NUMBER_WORDS | {"oh", "double"}
_DETERMINERS = frozenset(["the", "a", "an", "my", "our"])
_VERBS = frozenset(  # a request may begin with them, and no noun phrase does
    ["turn", "switch", "set", "put", "start", "stop", "open", "close", "shut", "lock", "unlock", "raise", "lower", "dim", "bring", "get", "give", "make", "add", "pick", "take", "find"]
)
_TURNS_MEANING = frozenset(
    [
        "not",
        "don't",
        "dont",
        "never",
        "didn't",
        "won't",
        "if",
        "unless",
        "when",
        "before",
        "after",
        "said",
        "says",
        "told",
        "would",
        "should",
    ]
)


def mended(text: str, route: Route) -> Decision | None:
    """The decision for what was meant; None where no reading of the words is a request."""
    words = re.findall(r"[\w']+", text.lower())
    doubtful: Decision | None = None  # the first that would have to be confirmed: only where no reading is sure
    for decision in _decisions(words, route):
        if decision.outcome is Outcome.ACT:
            return decision
        doubtful = doubtful or decision
    return doubtful


def _decisions(words: list[str], route: Route) -> Iterator[Decision]:
    for reading in _readings(words):
        decision = route(" ".join(reading), ())
        if _requests(decision):
            yield decision
    yield from _corrected(words, route)
    yield from _restarted(words, route)


def _requests(decision: Decision) -> bool:
    return decision.outcome in (Outcome.ACT, Outcome.CONFIRM) and bool(decision.calls)


def _readings(words: list[str]) -> Iterator[list[str]]:
    once = without_repeats(words)
    if once != words:
        yield once
    for at, length in _edit_places(once):
        for dropped in range(1, min(_LONGEST_REPARANDUM, at) + 1):
            if not _TURNS_MEANING.intersection(once[at - dropped : at]):
                yield once[: at - dropped] + once[at + length :]
    plain = without_repeats(words, numbers=True)
    if plain not in (words, once):
        yield plain


def without_repeats(words: list[str], *, numbers: bool = False) -> list[str]:
    """Each stretch of up to four words that is said twice in a row once; "five five" only with `numbers`: it may be 55."""
    out = list(words)
    for length in range(_LONGEST_REPEAT, 0, -1):
        at = 0
        while at + 2 * length <= len(out):
            part = out[at : at + length]
            countable = all(word in _NUMBERS or len(word) == 1 or word.isdigit() for word in part)
            if part == out[at + length : at + 2 * length] and (numbers or not countable):
                del out[at : at + length]
            else:
                at += 1
    return out


def _edit_places(words: list[str]) -> Iterator[tuple[int, int]]:
    """Where an editing term begins, and how many words it has; the last one first."""
    for at in range(len(words) - 1, 0, -1):
        for edit in _EDITS:
            length = edit.count(" ") + 1
            if " ".join(words[at : at + length]) == edit and at + length < len(words):
                yield at, length
                break


def _corrected(words: list[str], route: Route) -> Iterator[Decision]:
    """A whole request, then a correction of it: "pick five boxes, make that nine"."""
    for at, _ in _edit_places(words):
        first = route(" ".join(words[:at]), ())
        if not _requests(first):
            continue
        second = route(" ".join(words[at:]), first.calls)
        if second.act is DialogueAct.CORRECT and _requests(second):
            calls = (*first.calls[:-1], *second.calls)
            confidence = min(first.confidence, second.confidence)
            yield replace(
                first, calls=calls, outcome=max(first.outcome, second.outcome), confidence=confidence, act=None
            )


def _restarted(words: list[str], route: Route) -> Iterator[Decision]:
    """A beginning that breaks off, then a whole request: "close the, turn on the hall light"."""
    for length in range(1, min(_LONGEST_FALSE_START, len(words) - 2) + 1):
        start, rest = words[:length], words[length:]
        if _TURNS_MEANING.intersection(start) or route(" ".join(start), ()).complete:
            continue
        decision = route(" ".join(rest), ())
        if _requests(decision):
            bare = rest[1:] if rest[0] in _DETERMINERS else rest
            missing = bare[0] in _VERBS and words[len(words) - len(bare) - 1] in _DETERMINERS  # "the" and no noun
            broken = BROKEN_OFF if missing else FALSE_START
            yield replace(decision, reason=f"{decision.reason}, {broken}")


def surer(found: Decision, before: Decision) -> bool:
    """Whether mended words say certainly what the words as they are only suggest: nothing to confirm, and the same tools, or
    others where what the words suggest is likelier wrong than right, or a noun is missing ("count the, pick five boxes")."""
    if found.outcome is not Outcome.ACT or found.confidence <= before.confidence:
        return False
    same = [call.tool for call in found.calls] == [call.tool for call in before.calls]
    doubtful = before.confidence < _LIKELIER_WRONG or found.reason.endswith(BROKEN_OFF)
    return same or (doubtful and found.confidence >= _CERTAIN)
