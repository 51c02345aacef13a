"""Sentence templates as a tree that a grammar can be printed from and sentences can be drawn from.

hassil (https://github.com/OHF-Voice/hassil) parses the syntax: (a|b), [optional], (a;b) for any order, {slot}, <expansion>.
Its trees keep white space inside text chunks, because "light[s]" is one word in two spellings; here such glued pieces are
spelled out, so that what is left is words only.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from hassil import parse_sentence
from hassil.expression import Alternative, Expression, Group, ListReference, Permutation, RuleReference, TextChunk
from hassil.parser import ParseError

from voice_needle.number_words import TENS, UNITS

MAX_GLUED = 2000  # spellings of one glued word, such as "{room}'s"


@dataclass(frozen=True)
class Words:
    """A run of words, already normalised; may be empty."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class Seq:
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """One of several. An optional part is a choice that holds an empty `Words`. weights: how often each is said, if not equally."""

    items: tuple[Node, ...]
    weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class Loop:
    """The item, once or more. most: where sentences drawn from the pattern end it (a grammar has no such limit)."""

    item: Node
    most: int = 4


@dataclass(frozen=True)
class Ref:
    """A named rule."""

    name: str


Node: TypeAlias = Words | Seq | Choice | Loop | Ref
NOTHING = Words(())
SlotResolver: TypeAlias = Callable[[str, str], Node]
"""(list name, slot name) -> what may be said there."""


def number_words(value: int) -> list[str]:
    """A whole number as English words: 142 -> one hundred forty two. Errors: ValueError from a million on."""
    if value < 0:
        return ["minus", *number_words(-value)]
    if value < 20:
        return [UNITS[value]]
    if value < 100:
        return [TENS[value // 10 - 2], *([UNITS[value % 10]] if value % 10 else [])]
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if value >= size:
            if value >= 1_000_000:
                raise ValueError(f"{value} is too large to be spelled out")
            rest = number_words(value % size) if value % size else []
            return [*number_words(value // size), name, *rest]
    raise AssertionError(value)


def spoken_words(text: str) -> tuple[str, ...]:
    """The words a person says for a text: lower case, digits spelled out, symbols named, other punctuation dropped."""
    text = text.lower().replace("’", "'").replace("%", " percent ").replace("&", " and ").replace("°", " degrees ")
    words: list[str] = []
    for token in re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*'?|\d+", text):
        if token.isdigit():
            small = len(token) <= 6 and not (token.startswith("0") and len(token) > 1)
            words.extend(number_words(int(token)) if small else [UNITS[int(digit)] for digit in token])
        else:
            words.append(token.rstrip("'"))
    return tuple(words)


def choice(items: list[Node]) -> Node:
    """A choice without repeats; the item itself when there is only one."""
    unique = tuple(dict.fromkeys(items))
    return unique[0] if len(unique) == 1 else Choice(unique)


def sequence(items: list[Node]) -> Node:
    kept = [item for item in items if item != NOTHING]
    if not kept:
        return NOTHING
    return kept[0] if len(kept) == 1 else Seq(tuple(kept))


def parse(
    template: str,
    slot: SlotResolver,
    expansions: Mapping[str, str],
    *,
    named: frozenset[str] = frozenset(),
    shares: Mapping[str, tuple[float, ...]] | None = None,
) -> Node:
    """Read one template.

    expansions: fragment name -> template. named: fragments to keep as `Ref` instead of copying them in. shares: fragment name ->
    how often each of its ways is said.
    Errors: ValueError with what is wrong: bad syntax, an unknown or circular fragment, whatever `slot` raises.
    """
    return _Reader(slot, expansions, named, shares or {}).template(template, ())


class _Reader:
    def __init__(
        self,
        slot: SlotResolver,
        expansions: Mapping[str, str],
        named: frozenset[str],
        shares: Mapping[str, tuple[float, ...]],
    ) -> None:
        self._slot, self._expansions, self._named, self._shares = slot, expansions, named, shares

    def template(self, template: str, inside: tuple[str, ...]) -> Node:
        try:
            expression = parse_sentence(template).expression
        except ParseError as error:
            raise ValueError(f"cannot read the sentence pattern {template!r}: {error}") from error
        return self._node(expression, inside)

    def _node(self, item: Expression, inside: tuple[str, ...]) -> Node:
        if isinstance(item, TextChunk):
            return Words(spoken_words(item.original_text))
        if isinstance(item, ListReference):
            return self._slot(item.list_name, item.slot_name)
        if isinstance(item, RuleReference):
            return self._fragment(item.rule_name, inside)
        if isinstance(item, Alternative):
            return choice([self._node(part, inside) for part in item.items] + ([NOTHING] if item.is_optional else []))
        if isinstance(item, Permutation):
            orders = itertools.permutations([self._node(part, inside) for part in item.items])
            return choice([sequence(list(order)) for order in orders])
        if isinstance(item, Group):
            return self._sequence(item, inside)
        raise ValueError(f"a sentence pattern holds {type(item).__name__}, which has no meaning here")

    def _fragment(self, name: str, inside: tuple[str, ...]) -> Node:
        if name in self._named:
            return Ref(name)
        if name in inside:
            raise ValueError(f"the expansion <{name}> contains itself")
        if name not in self._expansions:
            raise ValueError(f"there is no expansion <{name}>")
        node = self.template(self._expansions[name], (*inside, name))
        shares = self._shares.get(name, ())
        return replace(node, weights=shares) if isinstance(node, Choice) and len(node.items) == len(shares) else node

    def _sequence(self, group: Group, inside: tuple[str, ...]) -> Node:
        """Items in order; those that touch without a space are spelled out together ("light[s]" -> light, lights)."""
        runs: list[list[Expression]] = [[]]
        for item in group.items:
            if not isinstance(item, TextChunk):
                runs[-1].append(item)
                continue
            for part in re.split(r"(\s+)", item.original_text):
                if part.isspace():
                    runs.append([])
                elif part:
                    runs[-1].append(TextChunk(text=part))
        nodes = [self._run(run, inside) for run in runs if run]
        return sequence(nodes)

    def _run(self, run: list[Expression], inside: tuple[str, ...]) -> Node:
        if len(run) == 1:
            return self._node(run[0], inside)
        spellings = set(itertools.islice(self._spell(run, inside), MAX_GLUED + 1))
        if len(spellings) > MAX_GLUED:  # an open slot with something glued to it: keep the parts apart
            return sequence([self._node(item, inside) for item in run])
        return choice([Words(spoken_words(text)) for text in sorted(spellings)])

    def _spell(self, run: list[Expression], inside: tuple[str, ...]) -> Iterator[str]:
        """Every spelling of expressions that follow each other without white space."""
        for parts in itertools.product(*(list(itertools.islice(self._texts(item, inside), MAX_GLUED)) for item in run)):
            yield "".join(parts)

    def _texts(self, item: Expression, inside: tuple[str, ...]) -> Iterator[str]:
        if isinstance(item, TextChunk):
            yield item.original_text
        elif isinstance(item, Alternative):
            for part in item.items:
                yield from self._texts(part, inside)
            if item.is_optional:
                yield ""
        elif isinstance(item, Group) and not isinstance(item, Permutation):
            yield from self._spell(list(item.items), inside)
        else:
            yield from (" ".join(words) for words in every_sentence(self._node(item, inside), {}))


def every_sentence(node: Node, rules: Mapping[str, Node]) -> Iterator[tuple[str, ...]]:
    """All word sequences of a pattern; loops once. Stop it yourself: there may be billions."""
    if isinstance(node, Words):
        yield node.words
    elif isinstance(node, Choice):
        for item in node.items:
            yield from every_sentence(item, rules)
    elif isinstance(node, Loop):
        yield from every_sentence(node.item, rules)
    elif isinstance(node, Ref):
        yield from every_sentence(rules[node.name], rules)
    elif not node.items:
        yield ()
    else:
        for head in every_sentence(node.items[0], rules):
            for tail in every_sentence(Seq(node.items[1:]), rules):
                yield head + tail


def draw(
    node: Node, rules: Mapping[str, Node], rng: random.Random, symbols: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """One sentence, the ways of a choice being equally likely unless it has weights. symbols: rules left as "<name>"."""
    if isinstance(node, Words):
        return node.words
    if isinstance(node, Choice):
        if node.weights:
            return draw(rng.choices(node.items, node.weights)[0], rules, rng, symbols)
        if NOTHING in node.items and rng.random() < 0.5:  # what is optional is left out half the time
            return ()
        return draw(rng.choice([item for item in node.items if item != NOTHING] or [NOTHING]), rules, rng, symbols)
    if isinstance(node, Ref):
        return (f"<{node.name}>",) if node.name in symbols else draw(rules[node.name], rules, rng, symbols)
    if isinstance(node, Loop):
        return tuple(
            itertools.chain.from_iterable(
                draw(node.item, rules, rng, symbols) for _ in range(rng.randint(1, node.most))
            )
        )
    return tuple(itertools.chain.from_iterable(draw(item, rules, rng, symbols) for item in node.items))


def words_of(node: Node) -> set[str]:
    """Every word that occurs in a pattern, rules it refers to not included."""
    if isinstance(node, Words):
        return set(node.words)
    if isinstance(node, Ref):
        return set()
    parts = (node.item,) if isinstance(node, Loop) else node.items
    return set().union(*(words_of(part) for part in parts)) if parts else set()
