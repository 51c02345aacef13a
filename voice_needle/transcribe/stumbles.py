"""People stumble: ways back into a word network, for who breaks off, repeats or corrects.

A speaker breaks off and begins again, says a word twice, or says another value than was meant and puts it right: "close the, turn
on the hall light", "thirty, no, forty percent" (reparandum, editing term, repair: E. Shriberg, "Preliminaries to a Theory of
Speech Disfluencies", 1994). Laid out as patterns these would multiply every sentence with every other; as arcs they cost one or
two a state. The network then takes in sentences that mix two requests; the router decides whether they mean anything. The language
model learns nothing of this: it reads across a stumble by backing off.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

from voice_needle.transcribe.automaton import Automaton

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

AT_MOST = 3  # times in a row: the network's way back has no memory, and music is read as "the the the ..." for as long as it lasts
FALSE_START = 2  # words after which a beginning may break off
EDIT, RESTART, AGAIN = 0.001, 0.0005, 0.001
"""Chances: of an editing term after any word; of a beginning that breaks off; of a value or small word said twice."""


def words() -> frozenset[str]:
    """Every word of an editing term."""
    return frozenset(word for term in EDITING_TERMS for word in term.split())


def runs_on(said: Sequence[str]) -> bool:
    """Whether a small word stands there more often in a row than a speaker says it. "Stop stop stop stop" does not run on."""
    return any(word in SAID_TWICE and sum(1 for _ in run) > AT_MOST for word, run in itertools.groupby(said))


def ways_back(
    frame: Automaton, states: int, chance: Callable[[int, str], float]
) -> tuple[list[tuple[int, int, float, str]], int]:
    """Arcs (from, to, chance, word or "") that lead from any word of the frame back to a value or to the start, and how many states
    they need, numbered from `states`. chance: that this word follows in this state.

    One copy of the editing terms serves nearly all: after it come the same values, or whole commands, as after "make that" at the start
    of an utterance, and not only what fits where the speaker was; another one, after a first word, leads to whole commands. More ways on
    would cost the search more than they are worth.
    """
    arcs: list[tuple[int, int, float, str]] = []
    amended = frame.arcs[frame.arcs[0].get("make", 0)].get("that", 0)
    edit, broken_off = states, states + 1
    after = states + 2
    for start, to in ((edit, amended), (broken_off, 0)):
        for term, share in EDITING_TERMS.items():
            at = start
            for number, word in enumerate(term.split(), 1):
                last = number == len(term.split())
                arcs.append((at, to if last else after, share if number == 1 else 1.0, word))
                at = after
                after += not last
    depths = _depths(frame)
    entered: dict[int, set[str]] = {}  # by which words a state is reached
    for row in frame.arcs:
        for word, to in row.items():
            entered.setdefault(to, set()).add(word)
    said_once: dict[tuple[str, int], int] = {}
    for state, row in enumerate(frame.arcs):
        if state:  # after one word there is nothing to correct yet: "turn off all the lights" was heard as "turn, no, the lights"
            correctable = depths[state] > 1 or state in frame.accepting
            arcs.append((state, edit if correctable else broken_off, EDIT, ""))
        if 0 < depths[state] <= FALSE_START and state not in frame.accepting:
            arcs.append((state, 0, RESTART, ""))
        for word in SAID_TWICE:
            if word not in row or word in frame.arcs[row[word]]:
                continue
            place = word, row[word]
            only = len(entered[row[word]]) == 1
            if place not in said_once:
                said_once[place] = row[word] if only else after
                arcs.append((said_once[place], row[word], AGAIN if only else 1.0, word))
                after += not only
            if not only:  # a loop there would repeat a word that was not said: "out of" and "from" lead to one state
                arcs.append((state, said_once[place], AGAIN * chance(state, word), word))
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
