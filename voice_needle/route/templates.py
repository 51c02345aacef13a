"""The exact router: sentence templates of the manifests, several calls in one sentence, nothing guessed.

A sentence is served when all of it fits: one template, or several joined by "and", "then" and the like, where a later clause may
leave out what it shares with the one before ("turn on the kitchen light and the hall light"). Confidence 0.99, reason "template".
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from voice_needle.events import Call, Decision, DialogueAct, Outcome, Question, RouteContext, Transcript
from voice_needle.route.amounts import Parsed, Problem
from voice_needle.route.fill import ask_for, complete_call
from voice_needle.route.numbers import is_number_word, tokenize, words_in
from voice_needle.route.patterns import Capture, Fit, PatternGraph
from voice_needle.route.phrases import Words, contrasts, repairs, requests, splits, without_fillers
from voice_needle.route.schemas import is_open
from voice_needle.route.slots import Memo, Several, SlotReader
from voice_needle.tools import Toolset

CONFIDENCE = 0.99
_UNSURE = 0.5
_DANGLING = frozenset(words_in("and then the a an to in on at for with of or my into from by set turn please as"))
_MAX_WORDS = 60

_SMALL = frozenset(["the", "a", "an", "my", "our", "it", "its", "this", "that", "these", "those", "i", "we", "you", "he", "she", "they", "there", "here", "and", "so", "well"])


@dataclass(frozen=True)
class Clause:
    """What one stretch of words asks for. rank: lower is better (open words, problems, missing, less literal)."""

    calls: tuple[Call, ...]
    question: Question | None
    rank: tuple[int, int, int, int]
    words: Words
    spans: tuple[tuple[int, int], ...] = ()  # of the values, in `words`
    stranger: int | None = None  # where an unknown name begins, in `words`
    swallows: bool = False  # an open value after "to" or "that" may hold a whole clause of its own


class TemplateRouter:
    """Exact recognition by the tools' own sentences. Stateless but for the compiled templates of the last few toolsets."""

    name = "templates"

    def __init__(self) -> None:
        self._graphs: OrderedDict[tuple[str, int], PatternGraph] = OrderedDict()

    def prepare(self, tools: Toolset) -> None:
        """Compile the tools' sentences. Errors: BadToolSchema for a sentence that cannot be read."""
        self._graph(tools)

    def route(self, transcript: Transcript, tools: Toolset, context: RouteContext) -> Decision:
        """Decide; declines whatever does not fit a template as a whole."""
        started = time.perf_counter()
        decision = self._decide(transcript.text, tools, context)
        return replace(decision, router=self.name, elapsed_ms=(time.perf_counter() - started) * 1000)

    def match(self, text: str, tools: Toolset, context: RouteContext) -> Clause | None:
        """What `text` asks for, or None where it does not wholly fit."""
        return _Sentence(self._graph(tools), tools, context).best(without_fillers(tokenize(text)))

    def _graph(self, tools: Toolset) -> PatternGraph:
        sentences = hash(tuple((t.sentences, tuple(t.expansions.items())) for t in tools.values()))
        key = (tools.content_hash, sentences)
        if key not in self._graphs:
            self._graphs[key] = PatternGraph(list(tools.values()))
            if len(self._graphs) > 8:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(key)
        return self._graphs[key]

    def _decide(self, text: str, tools: Toolset, context: RouteContext) -> Decision:
        words = without_fillers(tokenize(text))
        if not words or len(words) > _MAX_WORDS:
            return Decision(reason="nothing said" if not words else "too long for a template")
        sentence = _Sentence(self._graph(tools), tools, context)
        found = sentence.best(words)
        act = _restated(words, found, context)
        if found is None:
            unfinished = sentence.unfinished or words[-1] in _DANGLING
            return Decision(reason="no template fits", complete=not unfinished)
        if found.question is not None:
            sure = CONFIDENCE if found.question.kind in ("missing", "ambiguous", "out_of_range") else _UNSURE
            missing = found.question.kind == "missing"
            return Decision(found.calls, Outcome.ASK, sure, found.question, reason="template", complete=not missing)
        return Decision(found.calls, Outcome.ACT, CONFIDENCE, act=act, reason="template")


class _Sentence:
    """One sentence against one graph; remembers what it has tried."""

    def __init__(self, graph: PatternGraph, tools: Toolset, context: RouteContext) -> None:
        self.unfinished = False
        self._all: Words = ()
        self._graph = graph
        self._tools = tools
        self._context = context
        self._memo: Memo = {}
        self._tried: dict[tuple[Words, bool], Clause | None] = {}

    def best(self, words: Words) -> Clause | None:
        """The reading of all words with the fewest problems; strict vocabularies first."""
        self._all = words
        return self._joined(words, None, 0) or self._repaired(words) or self._one(words, unknown=True)

    def _repaired(self, words: Words) -> Clause | None:
        """ "to twenty no wait twenty two", "the kitchen not the hall": what the speaker settled on.

        The new words take the place of as few of the old as make a whole request, and never complete a half-spoken value:
        after "one hundred no fifty" it is fifty, not one hundred and fifty.
        """
        for before, after in repairs(words):
            for keep in range(len(before) - 1, -1, -1):
                found = self._joined(before[:keep] + after, None, 0)
                if found and found.question is None and not _straddles(found, len(after)):
                    return found
        for meant, other in contrasts(words):
            found = self._joined(meant, None, 0)
            if found and any(self._same_tool(meant[:keep] + other, found) for keep in range(len(meant) - 1, 0, -1)):
                return found
        return None

    def _same_tool(self, words: Words, found: Clause) -> bool:
        other = self._one(words)
        return (
            other is not None
            and not other.rank[0]
            and other.calls[:1] != ()
            and other.calls[0].tool == found.calls[-1].tool
        )

    def _joined(self, words: Words, before: Clause | None, depth: int) -> Clause | None:
        """One clause, or a clause, a joint and the rest."""
        whole = self._one(words) or (self._shared(words, before) if before else None)
        if depth > 6 or (whole and (whole.swallows or not whole.rank[0])):
            return whole
        found = [whole] if whole else []
        for left_words, right_words in splits(words):
            left = self._one(left_words) or (self._shared(left_words, before) if before else None)
            if left is None:
                continue
            right = self._joined(right_words, left, depth + 1)
            if right is not None:
                found.append(_join(left, right))
        return min(found, key=lambda clause: clause.rank) if found else None

    def _shared(self, words: Words, before: Clause) -> Clause | None:
        """`words` as an object of the verb before: "and the hall light". Never with open values: "rock and roll" is one."""
        for length in range(len(before.words) - 1, 0, -1):
            if is_number_word(before.words[length - 1]) and is_number_word(words[0]):
                continue  # "pick five bolts and two nuts" is not "pick five two nuts", which would be 52
            found = self._one(before.words[:length] + words)
            if found and found.rank[:2] == (0, 0):
                return found
        return None

    def _one(self, words: Words, *, unknown: bool = False) -> Clause | None:
        """`words` as one clause, politeness put aside."""
        key = (words, unknown)
        if key not in self._tried:
            self._tried[key] = next((c for c in (self._fit(w, unknown) for w in requests(words)) if c), None)
        return self._tried[key]

    def _fit(self, words: Words, unknown: bool) -> Clause | None:
        reader = SlotReader(words, self._tools, self._context, unknown=unknown, memo=self._memo)
        fits, unfinished = self._graph.fits(words, reader)
        self.unfinished |= unfinished and words == self._all[-len(words) :]
        found = (self._clause(fit, words) for fit in fits)
        clauses = sorted((each for each in found if not _chatter(each)), key=lambda clause: clause.rank)
        if not clauses:
            return None
        first = clauses[0]
        rivals = [c for c in clauses[1:] if c.rank == first.rank and not _same(c.calls, first.calls)]
        if not rivals or first.question:
            return first
        named = {c.calls[0].tool for c in (first, *rivals)}
        tools = tuple(name for name in self._tools if name in named)
        if len(tools) == 1:  # one tool, two ways to part open words: the one with the shorter tail
            return min((first, *rivals), key=lambda c: len(list(c.calls[0].evidence.values())[-1].split()))
        return replace(first, calls=(), question=Question(tools[0], "", "ambiguous", " ".join(words), tools))

    def _clause(self, fit: Fit, words: Words) -> Clause:
        tool = self._tools[fit.tool]
        problem: Question | None = None
        stranger: int | None = None
        open_words = typed = 0
        for capture in fit.captures:
            if isinstance(capture.reading, Problem):
                if problem is None:
                    stranger = capture.start
                problem = problem or ask_for(tool, capture.slot, capture.reading)
            if is_open(tool.properties[capture.slot]):
                open_words += capture.end - capture.start
            else:
                typed += capture.end - capture.start
        calls: list[Call] = []
        question = problem
        for captures in _each(fit.captures):
            arguments = {c.slot: c.reading.value for c in captures if isinstance(c.reading, Parsed)}
            evidence = {c.slot: c.reading.evidence for c in captures if isinstance(c.reading, Parsed)}
            call, missing = complete_call(tool, arguments, evidence, self._context)
            calls.append(call)
            question = question or missing
        rank = (open_words, int(problem is not None), int(question is not None), -fit.literal - typed)
        swallows = any(
            is_open(tool.properties[c.slot])
            and c.start
            and words[c.start - 1] in ("to", "that", "saying", "says", "say")
            for c in fit.captures
        )
        spans = tuple((c.start, c.end) for c in fit.captures)
        return Clause(tuple(calls), question, rank, words, spans, stranger, swallows)


def _chatter(clause: Clause) -> bool:
    """Whether an unknown name is all that speaks for the request: it opens the sentence, or only small words come before it.

    "Pick five flugelhorns" is worth a question; "hello there" and "the kitchen is too dark" fit a sentence that begins with a slot.
    """
    if clause.question is None or clause.question.kind != "unknown_value":
        return False
    return clause.words[0] in _SMALL or clause.stranger == 0


def _each(captures: Sequence[Capture]) -> Iterator[list[Capture]]:
    """The captures of each call: one, or one for each of several values said for a slot."""
    several = next((c for c in captures if isinstance(c.reading, Several)), None)
    if several is None or not isinstance(several.reading, Several):
        yield list(captures)
        return
    for value in several.reading.values:
        yield [replace(c, reading=value) if c is several else c for c in captures]


def _join(left: Clause, right: Clause) -> Clause:
    a, b = left.rank, right.rank
    rank = (a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3])
    return Clause(left.calls + right.calls, left.question or right.question, rank, right.words, right.spans)


def _straddles(clause: Clause, tail: int) -> bool:
    """Whether a value reaches over the point where the last `tail` words begin."""
    cut = len(clause.words) - tail
    return any(start < cut < end for start, end in clause.spans)


def _restated(words: Words, found: Clause | None, context: RouteContext) -> DialogueAct | None:
    """CORRECT where a whole request after "no" or "sorry" calls the tool of the last call again."""
    if (
        found is None
        or len(found.calls) != 1
        or not context.last_calls
        or words[0] not in ("no", "sorry", "wait", "nope")
    ):
        return None
    return DialogueAct.CORRECT if found.calls[0].tool == context.last_calls[-1].tool else None


def _same(a: Sequence[Call], b: Sequence[Call]) -> bool:
    return len(a) == len(b) and all(x.same_as(y) for x, y in zip(a, b, strict=True))
