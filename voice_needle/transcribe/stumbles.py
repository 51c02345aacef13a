"""People stumble: ways back into a word network, and the same in sentences to learn a language model from.

A speaker breaks off and begins again, says a word twice, or says another value than was meant and puts it right: "close the, turn
on the hall light", "thirty, no, forty percent" (reparandum, editing term, repair: E. Shriberg, "Preliminaries to a Theory of
Speech Disfluencies", 1994). Laid out as patterns these would multiply every sentence with every other; as arcs they cost one or
two a state. The network then takes in sentences that mix two requests; the router decides whether they mean anything.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from voice_needle.transcribe.automaton import Automaton
from voice_needle.transcribe.patterns import Node, draw

EDITING_TERMS: Mapping[str, float] = {
    "no": 0.25,
    "no wait": 0.1,
    "wait": 0.05,
    "sorry": 0.15,
    "i mean": 0.15,
    "i meant": 0.05,
    "make that": 0.1,
    "make it": 0.05,
    "or rather": 0.03,
    "actually": 0.05,
    "no sorry": 0.02,
}
"""What stands between what was said and what was meant, and how often. Each can also open a correction of what was done."""

SAID_TWICE = ("the", "a", "an", "to", "in", "of", "is", "are", "my", "at", "and")
"""Small words that a speaker repeats while the next is being looked for."""

FALSE_START = 2  # words after which a beginning may break off
EDIT, RESTART, AGAIN = 0.01, 0.005, 0.01
"""Chances: of an editing term after any word; of a beginning that breaks off; of a value or small word said twice."""

SHARE = 0.15  # of the sentences that a language model is learnt from


def words() -> frozenset[str]:
    """Every word of an editing term."""
    return frozenset(word for term in EDITING_TERMS for word in term.split())


def stumbling(top: Node, rules: Mapping[str, Node], slots: frozenset[str], rng: random.Random) -> tuple[str, ...]:
    """One sentence of the patterns, said by somebody who stumbles. slots: rules whose value may be put right."""
    symbols = draw(top, rules, rng, slots)
    said = [draw(rules[word[1:-1]], rules, rng) if word[:1] == "<" else (word,) for word in symbols]
    places = [at for at, word in enumerate(symbols) if word[:1] == "<"]
    kind = rng.random()
    term = tuple(rng.choices(list(EDITING_TERMS), list(EDITING_TERMS.values()))[0].split())
    if places and kind < 0.5:  # another value: at once, or after the rest of the phrase
        at = rng.choice(places)
        stop = rng.randint(at + 1, min(len(said), at + 3))
        again = at - 1 if at and symbols[at - 1] == "the" else at
        other = (draw(rules[symbols[at][1:-1]], rules, rng), *said[at + 1 :])
        return (*_flat(said[:stop]), *term, *(("the",) if again < at else ()), *_flat(other))
    if kind < 0.75 and len(said) > 1:  # another beginning
        begun = _flat([draw(top, rules, rng)])[: rng.randint(1, FALSE_START)]
        return (*begun, *(term if rng.random() < 0.5 else ()), *_flat(said))
    length = rng.randint(1, min(2, len(said)))
    at = rng.randrange(len(said) - length + 1)
    return _flat([*said[: at + length], *said[at:]])


def ways_back(frame: Automaton, states: int) -> tuple[list[tuple[int, int, float, str]], int]:
    """Arcs (from, to, chance, word or "") that lead from any word of the frame back to a value or to the start, and how many states
    they need, numbered from `states`.

    One copy of the editing terms serves all: after it come the same values, or whole commands, as after "make that" at the start of an
    utterance, and not only what fits where the speaker was. More ways on would cost the search more than they are worth.
    """
    edit, after = states, states + 1
    arcs: list[tuple[int, int, float, str]] = []
    amended = frame.arcs[frame.arcs[0].get("make", 0)].get("that", 0)
    for term, chance in EDITING_TERMS.items():
        at = edit
        for number, word in enumerate(term.split(), 1):
            last = number == len(term.split())
            arcs.append((at, amended if last else after, chance if number == 1 else 1.0, word))
            at = after
            after += not last
    depths = _depths(frame)
    for state, row in enumerate(frame.arcs):
        if state:
            arcs.append((state, edit, EDIT, ""))
        if 0 < depths[state] <= FALSE_START and state not in frame.accepting:
            arcs.append((state, 0, RESTART, ""))
        twice = ((word, row[word]) for word in SAID_TWICE if word in row)
        arcs += [(to, to, AGAIN, word) for word, to in twice if word not in frame.arcs[to]]
    return arcs, after - states


def _depths(frame: Automaton) -> list[int]:
    """Words on the shortest way from the start to each state; a slot counts as one."""
    depths = [0] * len(frame.arcs)
    todo = [0]
    for state in todo:
        for after in frame.arcs[state].values():
            if after and not depths[after]:
                depths[after] = depths[state] + 1
                todo.append(after)
    return depths


def _flat(parts: Sequence[Sequence[str]]) -> tuple[str, ...]:
    return tuple(word for part in parts for word in part)
