"""Automata of a grammar -> one weighted word network, as small as the same sentences allow, in Sphinx's finite-state format."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from voice_needle.transcribe.automaton import Automaton, compile_patterns
from voice_needle.transcribe.patterns import Node, draw
from voice_needle.transcribe.stumbles import AGAIN, ways_back

SAMPLES = 8_000
SHARE_ABOVE, SHARE_ABOVE_SMALL = 2_000, 500
"""Arcs that the copies of one rule may have together, and where memory is short; 10,000 arcs cost pocketsphinx about 50 MB."""
LONG_RULE = 60
"""Arcs from which on a rule is numbers, identifiers or free text rather than names. Names share a copy only where the same
WORDS_ON words follow: "turn on the kitchen blind" was heard for "light" as long as all rooms shared one."""
WORDS_ON = 2
LEAST_SHARED = 8
"""Ways that are worth a state of their own, which costs pocketsphinx 6 KB; a way costs it 2 to 3."""

Counts = list[dict[str | None, float]]


@dataclass(frozen=True)
class Arc:
    start: int
    end: int
    chance: float
    word: str


@dataclass(frozen=True)
class Network:
    """The weighted word network of a grammar: state 0 is the start, `final` the only end; an arc without a word is silent."""

    arcs: tuple[Arc, ...]
    states: int
    final: int

    def accepts(self, words: Iterable[str]) -> bool:
        follow: dict[tuple[int, str], set[int]] = {}
        for arc in self.arcs:
            follow.setdefault((arc.start, arc.word), set()).add(arc.end)

        def silently(states: set[int]) -> set[int]:
            todo = list(states)
            while todo:
                for after in follow.get((todo.pop(), ""), set()) - states:
                    states.add(after)
                    todo.append(after)
            return states

        reached = silently({0})
        for word in words:
            reached = silently(set().union(*(follow.get((state, word), set()) for state in reached)))
        return self.final in reached

    def fsg(self, name: str = "tools") -> str:
        """Sphinx's finite-state format."""
        lines = [f"FSG_BEGIN {name}", f"NUM_STATES {self.states}", "START_STATE 0", f"FINAL_STATE {self.final}"]
        lines += [f"TRANSITION {arc.start} {arc.end} {arc.chance:.3e} {arc.word}".rstrip() for arc in self.arcs]
        return "\n".join([*lines, "FSG_END", ""])


def build_network(
    top: Node,
    rules: Mapping[str, Node],
    inline: frozenset[str],
    seed: int = 1,
    share_above: int = SHARE_ABOVE,
    *,
    stumbling: bool = False,
) -> Network:
    """Determinise the frame of the sentences, and each value rule by itself; then lay a copy of its rule out at every slot.

    Determinising through free text or long numbers would multiply states without end. inline: rules that belong to the frame.
    Chances are counted from sentences drawn at random. stumbling: also what somebody says who breaks off, repeats or corrects.
    Errors: ValueError when the patterns are too free.
    """
    rng = random.Random(seed)
    frame_rules = {name: rules[name] for name in inline if name in rules}
    frame = compile_patterns(top, frame_rules)
    slots = frozenset(rules) - inline
    drawn = [draw(top, rules, rng, slots) for _ in range(SAMPLES)]
    parts: dict[str, tuple[Automaton, Counts]] = {}
    for name in sorted(slots):
        automaton = compile_patterns(rules[name], {})
        samples = [draw(rules[name], rules, rng) for _ in range(SAMPLES // 10)]
        parts[f"<{name}>"] = automaton, counted(automaton, samples)
    network, visits = _compose(frame, counted(frame, drawn), parts, share_above, stumbling)
    return share_ways(network, visits)


def _compose(
    frame: Automaton,
    counts: Counts,
    parts: Mapping[str, tuple[Automaton, Counts]],
    share_above: int,
    stumbling: bool,
) -> tuple[Network, list[float]]:
    """The network, and how often each of its states was seen. Slots of the same rule that lead to the same place share one copy of it.

    Where the copies of a rule would have more than `share_above` arcs, slots share one wherever the same next words may follow, and may
    end the sentence; those of a long rule, wherever the sentence may end, or may not. A sentence may then go on as after another
    such slot ("open the garage at nine" as "play nine"), which the router refuses; every sentence of the patterns keeps its chance.
    """
    arcs: list[Arc] = []
    final = len(frame.arcs)
    visits = [*(sum(row.values()) for row in counts), 1.0]
    places = {(symbol, after) for row in frame.arcs for symbol, after in row.items() if symbol in parts}
    copies = Counter(symbol for symbol, _ in places)
    shared = {symbol for symbol, many in copies.items() if many * parts[symbol][0].arc_count > share_above}
    ways_on = _ways_on(frame, WORDS_ON)
    bodies: dict[tuple[str, object], tuple[int, list[tuple[int, float]]]] = {}
    left: set[tuple[str, int]] = set()
    for state, row in enumerate(frame.arcs):
        if state in frame.accepting:
            arcs.append(Arc(state, final, counts[state][None] / visits[state], ""))
        for symbol, after in row.items():
            chance = counts[state][symbol] / visits[state]
            if symbol not in parts:
                arcs.append(Arc(state, after, chance, symbol))
                continue
            place: object = after
            if symbol in shared:
                place = ways_on[after] if parts[symbol][0].arc_count < LONG_RULE else after in frame.accepting
            key = (symbol, place)
            if key not in bodies:
                body, ends = _body(*parts[symbol], len(visits))
                bodies[key] = len(visits), ends
                arcs += body
                visits += [sum(row.values()) for row in parts[symbol][1]]
            base, ends = bodies[key]
            if (symbol, after) not in left:
                left.add((symbol, after))
                arcs += [Arc(end, after, leave, "") for end, leave in ends]
            arcs.append(Arc(state, base, chance, ""))
    if stumbling:
        arcs += [Arc(end, base, AGAIN, "") for base, ends in bodies.values() for end, _ in ends]
        ways, more = ways_back(frame, len(visits), lambda state, word: counts[state][word] / visits[state])
        arcs += itertools.starmap(Arc, ways)
        visits += [1.0] * more
    return Network(tuple(arcs), len(visits), final), visits


def _ways_on(frame: Automaton, words: int) -> list[int]:
    """For each state a number that states have in common where the same next words may follow, as many as `words`, and may end the sentence."""
    alike = [int(state in frame.accepting) for state in range(len(frame.arcs))]
    for _ in range(words):
        seen: dict[object, int] = {}
        alike = [
            seen.setdefault((state in frame.accepting, frozenset((w, alike[to]) for w, to in row.items())), len(seen))
            for state, row in enumerate(frame.arcs)
        ]
    return alike


def share_ways(network: Network, visits: Sequence[float], least: int = LEAST_SHARED) -> Network:
    """The same sentences from fewer arcs: words that lead from several states to the same places are laid out once.

    A determinised network repeats all commands after "please", after "and", after each correction. Every such set of at
    least `least` ways moves to a state of its own, entered in silence; how likely its words are is pooled from all states that
    share it. For the tools of four plugins that is a third of the arcs, and of pocketsphinx's memory and search.
    """
    network, visits = _without_detours(network, visits)
    rows: dict[int, dict[tuple[str, int], float]] = {state: {} for state in range(network.states)}
    silent = [arc for arc in network.arcs if not arc.word]
    for arc in network.arcs:
        if arc.word:
            rows[arc.start][arc.word, arc.end] = arc.chance
    seen = dict(enumerate(visits))
    for ways, users in _common(rows, least):
        hub = len(rows)
        through = {state: sum(rows[state][way] for way in ways) for state in users}
        seen[hub] = sum(seen[state] * share for state, share in through.items())
        rows[hub] = {way: sum(seen[state] * rows[state].pop(way) for state in users) / seen[hub] for way in ways}
        silent += [Arc(state, hub, min(share, 1.0), "") for state, share in through.items()]  # over 1 by what is said twice
    arcs = [Arc(state, end, chance, word) for state, row in rows.items() for (word, end), chance in row.items()]
    shared = Network((*arcs, *silent), len(rows), network.final)
    return _without_detours(shared, [1.0] * shared.states)[0]


def _common(
    rows: Mapping[int, Mapping[tuple[str, int], float]], least: int
) -> Iterator[tuple[list[tuple[str, int]], list[int]]]:
    """Sets of ways, largest first, each with the states that have all of them; `rows` is as changed by the caller between."""
    held = {state: set(row) for state, row in rows.items() if len(row) >= least}
    pairs: list[tuple[int, int, int]] = []

    def compare(state: int, others: Iterable[int]) -> None:
        for other in others:
            size = len(held[state] & held[other])
            if size >= least:
                heapq.heappush(pairs, (-size, state, other))

    states = list(held)
    for at, state in enumerate(states):
        compare(state, states[at + 1 :])
    while pairs:
        size, first, second = heapq.heappop(pairs)
        both = held[first] & held[second]
        if len(both) < -size:  # others have been moved since
            if len(both) >= least:
                heapq.heappush(pairs, (-len(both), first, second))
            continue
        users = [state for state, ways in held.items() if both <= ways]
        hub = len(rows)
        yield sorted(both), users
        for state in users:
            held[state] -= both
        held[hub] = both
        compare(hub, [state for state in held if state != hub])


def _without_detours(network: Network, visits: Sequence[float]) -> tuple[Network, list[float]]:
    """The same network, and its states' visits, without the states that only lead on, in silence, to one other: each costs pocketsphinx 6 KB."""
    ways: dict[int, list[Arc]] = {}
    for arc in network.arcs:
        ways.setdefault(arc.start, []).append(arc)
    onward = {
        state: out[0].end
        for state, out in ways.items()
        if state != 0 and len(out) == 1 and not out[0].word and out[0].chance > 1.0 - 1e-9
    }

    def at_last(state: int) -> int:
        while state in onward:
            state = onward[state]
        return state

    kept = [arc for arc in network.arcs if arc.start not in onward]
    numbers: dict[int, int] = {0: 0}
    for arc in kept:
        for state in (arc.start, at_last(arc.end)):
            numbers.setdefault(state, len(numbers))
    arcs = (Arc(numbers[arc.start], numbers[at_last(arc.end)], arc.chance, arc.word) for arc in kept)
    return Network(tuple(arcs), len(numbers), numbers[network.final]), [visits[state] for state in numbers]


def _body(automaton: Automaton, counts: Counts, base: int) -> tuple[list[Arc], list[tuple[int, float]]]:
    """One copy of a rule, its states numbered from `base`: (arcs, [(state where it may be left, the chance of that)])."""
    weights = [{word: count / sum(row.values()) for word, count in row.items()} for row in counts]
    again = _repeated(automaton, counts)
    if again is not None:  # a loop: once round is enough to hold, with a silent way back
        arcs = [Arc(base, base + again, weights[0][word], word) for word in automaton.arcs[0]]
        arcs.append(Arc(base + again, base, 1.0 - weights[again][None], ""))
        return arcs, [(base + again, weights[again][None])]
    arcs = [
        Arc(base + at, base + to, weights[at][word], word)
        for at, ways in enumerate(automaton.arcs)
        for word, to in ways.items()
    ]
    return arcs, [(base + at, weights[at][None]) for at in sorted(automaton.accepting)]


def _repeated(automaton: Automaton, counts: Counts) -> int | None:
    """The second state of an automaton that only says "one or more of these words"; None for any other."""
    if len(automaton.arcs) != 2 or automaton.accepting != {1} or automaton.arcs[0] != automaton.arcs[1]:
        return None
    return 1 if set(automaton.arcs[0].values()) == {1} and None in counts[1] else None


def counted(automaton: Automaton, sentences: Iterable[Sequence[str]], floor: float = 0.5) -> Counts:
    """How often sentences of the automaton take each way out of each state; None is "the sentence ends here".

    floor: count that every way is given beforehand. Errors: ValueError for a sentence that the automaton does not accept.
    """
    counts: list[dict[str | None, float]] = [dict.fromkeys(row, floor) for row in automaton.arcs]
    for state in automaton.accepting:
        counts[state][None] = floor
    for words in sentences:
        state = 0
        for word in (*words, None):
            if word not in counts[state]:
                raise ValueError(f"the automaton does not accept {' '.join(words)!r}")
            counts[state][word] += 1.0
            if word is not None:
                state = automaton.arcs[state][word]
    return counts
