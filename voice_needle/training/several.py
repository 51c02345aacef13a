"""One sentence that asks for the same tool several times: a value that is a list of objects, pairs told "respectively", ellipses."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from voice_needle.training.draft import Call, Draft, Filler, Token, plain
from voice_needle.training.spoken_values import Spoken
from voice_needle.training.templates import ToolSpec

_AGAIN = frozenset(
    ["of", "with", "for", "from", "between", "in", "whose", "to", "at", "on", "by", "called", "named"]
)  # an ellipsis begins with them
_JOINED = ("and", "and", "and also", "as well as", "and then", "and finally")
_ELLIPSIS = ("and", "and also", "and another", "and one", "then", "as well as one", "and the same", "also", "and again")
WORDS = 3  # a longer value is a text, of which nobody says several
_MEASURES = frozenset(("integer", "number", "percent", "duration", "temperature"))

Objects = Callable[[ToolSpec, str], bool]  # may one verb have several values of this parameter?


def several_objects(rng: random.Random, draft: Draft, filler: Filler, objects: Objects) -> Draft | None:
    """ "Water the roses, the tulips and the ferns at six": two to four calls that differ in one value. None where that cannot be said."""
    call = draft.calls[0]
    if call.variant.tool.takes_list:
        return None
    names = [
        name for name in call.arguments if objects(call.variant.tool, name) and draft.where(call.arguments[name][1])
    ]
    if not names:
        return None
    name = rng.choice(names)
    return _with_more(
        rng, draft, filler, {name: _others(rng, filler, call, name, rng.choices([1, 2, 3], [6, 3, 2])[0])}
    )


def respectively(rng: random.Random, draft: Draft, filler: Filler, objects: Objects) -> Draft | None:
    """ "Set the hall and the den to twenty and eighteen degrees respectively": two values change together."""
    call = draft.calls[0]
    kinds = {name: call.variant.tool.parameters[name].type for name in call.arguments}
    names = [name for name, kind in kinds.items()
             if (kind in _MEASURES or objects(call.variant.tool, name)) and draft.where(call.arguments[name][1])]  # fmt: skip
    if len(names) < 2 or call.variant.tool.takes_list:
        return None
    first, second = rng.sample(names, 2)
    count = rng.choice([1, 1, 2])
    more = {name: _others(rng, filler, call, name, count) for name in (first, second)}
    made = _with_more(rng, draft, filler, more)
    if made is not None and rng.random() < 0.7:
        made.tokens += plain("respectively")
    return made


def ellipsis(rng: random.Random, first: Draft, others: Sequence[Draft]) -> Draft | None:
    """ "The area of a circle of radius five and also of radius seven": what is said again begins with the last word before the values."""
    whole = first
    for other in others:
        cut = _cut(other)
        if cut is None or other.text == first.text:
            return None
        moved = other.shifted(whole.values, len(whole.calls))
        joiner = plain(rng.choice(_ELLIPSIS))
        whole = Draft([*whole.tokens, *joiner, *moved.tokens[cut:]], [*whole.calls, *moved.calls], whole.values + other.values)
    return whole


def _cut(draft: Draft) -> int | None:
    """Where the part that an ellipsis repeats begins; None where a value stands before it, or nothing may begin so."""
    values = [index for index, token in enumerate(draft.tokens) if token.value >= 0]
    before = [index for index in range(1, values[0]) if draft.tokens[index].word in _AGAIN] if values else []
    return before[-1] if before else None


def _others(rng: random.Random, filler: Filler, call: Call, name: str, count: int) -> list[tuple[Any, Spoken]]:
    """`count` further values of a parameter, all different, in a few words; fewer where they cannot be drawn."""
    parameter = call.variant.tool.parameters[name]
    found: list[tuple[Any, Spoken]] = []
    taken = [call.arguments[name][0]]
    for _ in range(6 * count):
        drawn = filler.value(call.variant, parameter)
        if (
            drawn is not None
            and drawn[0] not in taken
            and " and " not in drawn[1].words
            and len(drawn[1].words.split()) <= WORDS
        ):
            value, spoken = drawn
            found.append((value, replace(spoken, after="")))  # its unit stands in the draft already, behind the last of them
            taken.append(value)
        if len(found) == count:
            break
    return found


def _with_more(
    rng: random.Random, draft: Draft, filler: Filler, more: Mapping[str, list[tuple[Any, Spoken]]]
) -> Draft | None:
    """The draft with further values after those of some parameters, and a call for each."""
    first = draft.calls[0]
    counts = {len(found) for found in more.values()}
    if len(counts) != 1 or counts == {0}:
        return None
    (count,) = counts
    calls = [Call(first.variant, dict(first.arguments)) for _ in range(count)]
    comma = rng.random() < 0.6
    for place, (name, found) in enumerate(more.items()):
        at = draft.where(first.arguments[name][1])
        if not at or at[-1] - at[0] + 1 != len(at):
            return None
        last = draft.tokens[at[-1]]
        after = last.after
        draft.tokens[at[-1]] = replace(last, after="")
        inserted: list[Token] = []
        for number, (value, spoken) in enumerate(found):
            if number == count - 1:
                inserted += plain(rng.choice(_JOINED) if place == 0 else "and")
            elif comma and filler.style.written:
                _comma(draft, inserted, at[-1])
            elif first.variant.tool.parameters[name].type not in ("open", "enum"):
                inserted += plain("and")  # "five nine and ten" would be one number or three
            # The call begins where its first value is said; its other value belongs to it wherever that stands.
            said = filler.said(spoken, draft.values, call=number + 1 if place == 0 else -1)
            inserted += said
            calls[number].arguments[name] = (value, draft.values)
            draft.values += 1
        inserted[-1] = replace(inserted[-1], after=inserted[-1].after + after)
        draft.tokens[at[-1] + 1 : at[-1] + 1] = inserted
    draft.calls += calls
    return draft


def _comma(draft: Draft, inserted: list[Token], last: int) -> None:
    if inserted:
        inserted[-1] = replace(inserted[-1], after=inserted[-1].after + ",")
    else:
        draft.tokens[last] = replace(draft.tokens[last], after=",")
