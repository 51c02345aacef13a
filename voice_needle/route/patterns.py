"""Sentence templates as one graph over words: hassil parses them, this file joins them and finds every way a sentence fits.

hassil (https://github.com/OHF-Voice/hassil, Apache-2.0) gives the syntax: (a|b), [optional], (a;b) in any order, {slot},
<fragment>. Its own recogniser takes the first fitting template of each intent in turn; here all templates of all tools share one
graph, so that forty tools cost one walk, every fit is found and ranked, and a sentence that only begins one is known as such.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hassil.expression import Alternative, Expression, ListReference, Permutation, RuleReference, TextChunk
from hassil.expression import Sequence as Chain
from hassil.parse_expression import parse_sentence

from voice_needle.errors import BadToolSchema
from voice_needle.route.numbers import tokenize
from voice_needle.tools import Tool

_MAX_DEPTH = 12
_MAX_FITS = 48
_RUNS = re.compile(r"\s|\S+")


@dataclass(frozen=True)
class Capture:
    """Words start..end (exclusive) that fill a slot, and what the slot's reader made of them."""

    slot: str
    start: int
    end: int
    reading: object


@dataclass(frozen=True)
class Fit:
    """One way in which all words fit a template of `tool`. literal: how many words the template itself spells out."""

    tool: str
    captures: tuple[Capture, ...]
    literal: int


Spans = Callable[
    [str, str, int], Iterator[tuple[int, object]]
]  # (tool, slot, start) -> (end, reading), in order of preference


@dataclass(slots=True)
class _Node:
    """A point of the letter graph, and later of the word graph. Most points have one way on: empty tuples cost nothing."""

    skips: tuple[_Node, ...] = ()
    letters: tuple[tuple[str, _Node], ...] = ()  # a run of letters, or one white space
    slots: tuple[tuple[str, str, _Node], ...] = ()
    ends: tuple[str, ...] = ()  # tools whose template ends here
    words: dict[str, list[_Node]] | None = None  # filled on first use
    spans: tuple[tuple[str, str, _Node], ...] = ()
    done: frozenset[str] = frozenset()


class PatternGraph:
    """All templates of a toolset. Errors: BadToolSchema for a template that cannot be parsed or names no parameter."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._root = _Node()
        for tool in tools:
            for sentence in tool.sentences:
                self._add(tool, sentence)
        _open(self._root)

    def fits(self, words: Sequence[str], spans: Spans) -> tuple[list[Fit], bool]:
        """Every way (up to 48) in which `words` fit, and whether they are the beginning of a longer template."""
        walk = _Walk(words, spans)
        walk.visit(self._root, 0, (), 0)
        return walk.found, walk.unfinished

    def _add(self, tool: Tool, sentence: str) -> None:
        try:
            expression = parse_sentence(sentence).expression
            end = _build(expression, self._root, tool, {}, 0)
        except BadToolSchema:
            raise
        except Exception as problem:  # hassil raises several kinds, AssertionError among them
            raise BadToolSchema(f"{tool.name}: the sentence {sentence!r} cannot be read: {problem}") from problem
        end.ends += (tool.name,)


def _build(item: Expression, start: _Node, tool: Tool, rules: Mapping[str, Expression], depth: int) -> _Node:
    if depth > _MAX_DEPTH * 4:
        raise BadToolSchema(f"{tool.name}: its <fragments> refer to each other in a circle")
    if isinstance(item, TextChunk):
        for run in _RUNS.findall(item.text):
            following = _Node()
            start.letters += ((sys.intern(run), following),)
            start = following
        return start
    if isinstance(item, ListReference):
        if item.slot_name not in tool.properties:
            raise BadToolSchema(f"{tool.name}: a sentence has {{{item.slot_name}}}, which is not one of its parameters")
        following = _Node()
        start.slots += ((tool.name, item.slot_name, following),)
        return following
    if isinstance(item, RuleReference):
        text = tool.expansions.get(item.rule_name)
        if text is None:
            raise BadToolSchema(f"{tool.name}: a sentence has <{item.rule_name}>, which is not one of its expansions")
        return _build(parse_sentence(text).expression, start, tool, rules, depth + 4)
    return _build_group(item, start, tool, rules, depth)


def _build_group(item: Expression, start: _Node, tool: Tool, rules: Mapping[str, Expression], depth: int) -> _Node:
    if isinstance(item, (Alternative, Permutation)):
        join = _Node()
        ways: Iterator[Sequence[Expression]] = (
            itertools.permutations(item.items) if isinstance(item, Permutation) else ((way,) for way in item.items)
        )
        for way in ways:
            first = _Node()
            start.skips += (first,)
            for part in way:
                first = _build(part, first, tool, rules, depth + 1)
            first.skips += (join,)
        return join
    if isinstance(item, Chain):
        for part in item.items:
            start = _build(part, start, tool, rules, depth + 1)
        return start
    raise BadToolSchema(f"{tool.name}: a sentence holds {type(item).__name__}, which is not supported")


def _open(node: _Node) -> dict[str, list[_Node]]:
    """The words, slots and ends that follow a word boundary at `node`."""
    if node.words is not None:
        return node.words
    node.words = {}
    stack: list[tuple[_Node, str]] = [(node, "")]
    seen: set[tuple[int, str]] = set()
    while stack:
        at, prefix = stack.pop()
        if (id(at), prefix) in seen:
            continue
        seen.add((id(at), prefix))
        stack += [(following, prefix) for following in at.skips]
        for run, following in at.letters:
            if not run.isspace():
                stack.append((following, prefix + run))
            elif prefix:
                _link(node, prefix, following)
            else:
                stack.append((following, ""))
        if prefix and (at.slots or at.ends):  # a word ends where a slot begins, or the sentence ends
            _link(node, prefix, _boundary(at))
        elif not prefix:
            node.spans += at.slots
            node.done |= frozenset(at.ends)
    return node.words


def _boundary(at: _Node) -> _Node:
    """`at` without the letters that would go on with the word before it."""
    return _Node(slots=at.slots, ends=at.ends)


def _link(node: _Node, text: str, target: _Node) -> None:
    """From `node` over the words of `text` to `target`."""
    words = tokenize(text)
    if not words:
        node.skips += (target,)
        return
    table = _open(node)
    for word in words[:-1]:
        between = _Node(words={})
        table.setdefault(word, []).append(between)
        table = _open(between)
    targets = table.setdefault(words[-1], [])
    if target not in targets:
        targets.append(target)


class _Walk:
    """One depth-first walk of a sentence through the graph."""

    def __init__(self, words: Sequence[str], spans: Spans) -> None:
        self.found: list[Fit] = []
        self.unfinished = False
        self._words = words
        self._spans = spans
        self._dead: set[tuple[int, int]] = set()

    def visit(self, node: _Node, at: int, captures: tuple[Capture, ...], literal: int) -> bool:
        """Whether the rest of the words fit from here on in any way."""
        if (id(node), at) in self._dead or len(self.found) >= _MAX_FITS:
            return False
        words = _open(node)
        fitted = False
        if at == len(self._words):
            for tool in node.done:
                self.found.append(Fit(tool, captures, literal))
                fitted = True
            self.unfinished |= bool(at and (words or node.spans))
        else:
            for following in words.get(self._words[at], ()):
                fitted |= self.visit(following, at + 1, captures, literal + 1)
            for tool, slot, following in node.spans:
                for end, reading in self._spans(tool, slot, at):
                    fitted |= self.visit(following, end, (*captures, Capture(slot, at, end, reading)), literal)
        if not fitted:
            self._dead.add((id(node), at))
        return fitted
