"""Patterns -> the smallest deterministic word automaton that accepts the same sentences.

A recogniser searches every state a frame can be in, so two paths that begin with the same words must share them: expanded
naively, five optional extras in a row cost a hundred times the search of the minimal automaton. Textbook constructions:
Thompson, subset, Moore (Hopcroft, Motwani, Ullman: Introduction to Automata Theory, 3rd edition, 2.5, 2.3.5, 4.4).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from voice_needle.transcribe.patterns import Choice, Loop, Node, Ref, Seq, Words, draw

MAX_STATES = 50_000
SAMPLES = 8_000
SHARE_ABOVE = 2_000
"""Arcs that the copies of one rule may have together; 10,000 arcs cost pocketsphinx about 50 MB."""


@dataclass(frozen=True)
class Automaton:
    """States are 0 .. len(arcs) - 1, the start is 0. arcs[state]: word -> next state. accepting: where a sentence may end."""

    arcs: tuple[Mapping[str, int], ...]
    accepting: frozenset[int]

    def accepts(self, words: tuple[str, ...] | list[str]) -> bool:
        state: int | None = 0
        for word in words:
            state = self.arcs[state].get(word) if state is not None else None
        return state is not None and state in self.accepting

    @property
    def arc_count(self) -> int:
        return sum(len(arcs) for arcs in self.arcs)


class _Nfa:
    """Thompson's construction: one start, one end, silent arcs between parts."""

    def __init__(self, rules: Mapping[str, Node]) -> None:
        self._rules = rules
        self.silent: list[list[int]] = []
        self.spoken: list[dict[str, list[int]]] = []

    def state(self) -> int:
        self.silent.append([])
        self.spoken.append({})
        return len(self.silent) - 1

    def add(self, node: Node, start: int) -> int:
        """Lay `node` out from `start`; returns where it ends."""
        if isinstance(node, Words):
            for word in node.words:
                end = self.state()
                self.spoken[start].setdefault(word, []).append(end)
                start = end
            return start
        if isinstance(node, Ref):
            if node.name not in self._rules:
                return self.add(Words((f"<{node.name}>",)), start)
            return self.add(self._rules[node.name], start)
        if isinstance(node, Seq):
            for item in node.items:
                start = self.add(item, start)
            return start
        if isinstance(node, Loop):
            inner = self.state()
            self.silent[start].append(inner)
            end = self.add(node.item, inner)
            self.silent[end].append(inner)
            after = self.state()
            self.silent[end].append(after)
            return after
        return self._add_choice(node, start)

    def _add_choice(self, node: Choice, start: int) -> int:
        end = self.state()
        for item in node.items:
            inner = self.state()
            self.silent[start].append(inner)
            self.silent[self.add(item, inner)].append(end)
        return end

    def closure(self, states: list[int]) -> frozenset[int]:
        """All states that are reached from these without a word."""
        seen = set(states)
        todo = list(seen)
        while todo:
            for after in self.silent[todo.pop()]:
                if after not in seen:
                    seen.add(after)
                    todo.append(after)
        return frozenset(seen)


def compile_patterns(top: Node, rules: Mapping[str, Node]) -> Automaton:
    """The minimal automaton of `top`; a rule that is not given stays one symbol, "<name>". Errors: ValueError when it grows past MAX_STATES."""
    nfa = _Nfa(rules)
    start = nfa.state()
    end = nfa.add(top, start)
    arcs, accepting = _determinise(nfa, start, end)
    return _minimise(arcs, accepting)


def _determinise(nfa: _Nfa, start: int, end: int) -> tuple[list[dict[str, int]], set[int]]:
    """Subset construction. Only states with spoken arcs, and the end, tell two subsets apart."""

    def key(states: list[int]) -> frozenset[int]:
        return frozenset(state for state in nfa.closure(states) if nfa.spoken[state] or state == end)

    first = key([start])
    numbers: dict[frozenset[int], int] = {first: 0}
    order = [first]
    arcs: list[dict[str, int]] = []
    while len(arcs) < len(order):
        subset = order[len(arcs)]
        reached: dict[str, list[int]] = {}
        for state in subset:
            for word, after in nfa.spoken[state].items():
                reached.setdefault(word, []).extend(after)
        row: dict[str, int] = {}
        for word, after in reached.items():
            target = key(after)
            if target not in numbers:
                numbers[target] = len(order)
                order.append(target)
            row[word] = numbers[target]
        arcs.append(row)
        if len(order) > MAX_STATES:
            raise ValueError(f"the sentence patterns need more than {MAX_STATES} states; make them less free")
    return arcs, {number for subset, number in numbers.items() if end in subset}


def _minimise(arcs: list[dict[str, int]], accepting: set[int]) -> Automaton:
    """Moore's partition refinement: split classes until all states of one agree on where each word leads."""
    classes = [1 if state in accepting else 0 for state in range(len(arcs))]
    count = len(set(classes))
    while True:
        seen: dict[tuple[int, frozenset[tuple[str, int]]], int] = {}
        refined = [
            seen.setdefault(
                (classes[state], frozenset((word, classes[after]) for word, after in row.items())), len(seen)
            )
            for state, row in enumerate(arcs)
        ]
        classes = refined
        if len(seen) == count:
            break
        count = len(seen)
    merged: dict[int, dict[str, int]] = {}
    for state, row in enumerate(arcs):  # class numbers are given in order of first appearance: the start is class 0
        if classes[state] not in merged:
            merged[classes[state]] = {word: classes[after] for word, after in row.items()}
    return Automaton(
        tuple(merged[number] for number in range(len(merged))), frozenset(classes[state] for state in accepting)
    )


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
    top: Node, rules: Mapping[str, Node], inline: frozenset[str], seed: int = 1, share_above: int = SHARE_ABOVE
) -> Network:
    """Determinise the frame of the sentences, and each value rule by itself; then lay a copy of its rule out at every slot.

    Determinising through free text or long numbers would multiply states without end. inline: rules that belong to the frame.
    Chances are counted from sentences drawn at random. Errors: ValueError when the patterns are too free.
    """
    rng = random.Random(seed)
    frame_rules = {name: rules[name] for name in inline if name in rules}
    frame = compile_patterns(top, frame_rules)
    slots = frozenset(rules) - inline
    drawn = [draw(top, rules, rng, slots) for _ in range(SAMPLES)]
    parts: dict[str, tuple[Automaton, list[dict[str | None, float]]]] = {}
    for name in sorted(slots):
        automaton = compile_patterns(rules[name], {})
        samples = [draw(rules[name], rules, rng) for _ in range(SAMPLES // 10)]
        parts[f"<{name}>"] = automaton, weigh(automaton, samples)
    return _compose(frame, weigh(frame, drawn), parts, share_above)


def _compose(
    frame: Automaton,
    weights: list[dict[str | None, float]],
    parts: Mapping[str, tuple[Automaton, list[dict[str | None, float]]]],
    share_above: int,
) -> Network:
    """Slots of the same rule that lead to the same place share one copy of it.

    Where the copies of a rule would have more than `share_above` arcs, it is laid out only twice: for the slots after which the
    sentence may end, and for the others. A sentence may then go on as after another slot of that kind, which the router
    refuses; every sentence of the patterns keeps its chance.
    """
    arcs: list[Arc] = []
    final = len(frame.arcs)
    states = final + 1
    places = {(symbol, after) for row in frame.arcs for symbol, after in row.items() if symbol in parts}
    copies = Counter(symbol for symbol, _ in places)
    shared = {symbol for symbol, many in copies.items() if many * parts[symbol][0].arc_count > share_above}
    bodies: dict[tuple[str, int | bool], tuple[int, list[tuple[int, float]]]] = {}
    left: set[tuple[str, int]] = set()
    for state, row in enumerate(frame.arcs):
        if state in frame.accepting:
            arcs.append(Arc(state, final, weights[state][None], ""))
        for symbol, after in row.items():
            chance = weights[state][symbol]
            if symbol not in parts:
                arcs.append(Arc(state, after, chance, symbol))
                continue
            key = (symbol, after in frame.accepting) if symbol in shared else (symbol, after)
            if key not in bodies:
                body, ends = _body(*parts[symbol], states)
                bodies[key] = states, ends
                arcs += body
                states += len(parts[symbol][0].arcs)
            base, ends = bodies[key]
            if (symbol, after) not in left:
                left.add((symbol, after))
                arcs += [Arc(end, after, leave, "") for end, leave in ends]
            arcs.append(Arc(state, base, chance, ""))
    return Network(tuple(arcs), states, final)


def _body(
    automaton: Automaton, weights: list[dict[str | None, float]], base: int
) -> tuple[list[Arc], list[tuple[int, float]]]:
    """One copy of a rule, its states numbered from `base`: (arcs, [(state where it may be left, the chance of that)])."""
    again = _repeated(automaton, weights)
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


def _repeated(automaton: Automaton, weights: list[dict[str | None, float]]) -> int | None:
    """The second state of an automaton that only says "one or more of these words"; None for any other."""
    if len(automaton.arcs) != 2 or automaton.accepting != {1} or automaton.arcs[0] != automaton.arcs[1]:
        return None
    return 1 if set(automaton.arcs[0].values()) == {1} and None in weights[1] else None


def weigh(
    automaton: Automaton, sentences: Iterable[Sequence[str]], floor: float = 0.5
) -> list[dict[str | None, float]]:
    """How likely each way out of each state is, seen from sentences of the automaton; None is "the sentence ends here".

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
    return [{word: count / sum(row.values()) for word, count in row.items()} for row in counts]
