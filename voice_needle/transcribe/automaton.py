"""Patterns -> the smallest deterministic word automaton that accepts the same sentences.

A recogniser searches every state a frame can be in, so two paths that begin with the same words must share them: expanded
naively, five optional extras in a row cost a hundred times the search of the minimal automaton. Textbook constructions:
Thompson, subset, Moore (Hopcroft, Motwani, Ullman: Introduction to Automata Theory, 3rd edition, 2.5, 2.3.5, 4.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from voice_needle.transcribe.patterns import Choice, Loop, Node, Ref, Seq, Words

MAX_STATES = 50_000


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
