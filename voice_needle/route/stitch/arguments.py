"""The arguments of one call: which words or value each parameter gets, so that no two take the same words.

Values come from the words: a span is read by `values.parse_value` against the parameter's schema, a choice needs a spoken form in
the words or a clear verdict of the network. What cannot be read becomes a question, never the nearest guess.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from voice_needle.events import Call, Question, RouteContext
from voice_needle.route.amounts import Parsed, Problem, declared_unit
from voice_needle.route.fill import ask_for, complete_call
from voice_needle.route.numbers import tokenize
from voice_needle.route.schemas import NUMBER_TYPES, is_open, type_of
from voice_needle.route.stitch.cache import ToolVectors
from voice_needle.route.stitch.encoder.hints import padded
from voice_needle.route.stitch.encoder.network import Floats
from voice_needle.route.stitch.encoder.overlap import stem
from voice_needle.route.stitch.encoder.tokens import Pieces
from voice_needle.route.stitch.schema_text import KINDS, ParameterText, words
from voice_needle.route.units import read_unit
from voice_needle.route.values import parse_value
from voice_needle.route.whole_number import whole_number
from voice_needle.route.whole_phrase import Wanted, whole
from voice_needle.route.whole_phrase import wanted as wanted_phrase
from voice_needle.tools import Tool

SPAN = 32  # word-pieces of one value
CANDIDATES = 6  # spans tried for one parameter, where the likeliest says nothing of its type or is taken by another
OWN = 7.0  # log-probability that free text loses where it only names the tool
BEHIND = 5.0  # by how much log-probability another span may be behind the likeliest
BEAM = 24
LOOSE, STRICT = 0.6, 0.9  # a value that no word names: how sure the network must be without, with spoken forms declared
POINTED = -1.0  # log-probability of a span from which the network means these very words
_LITTLE = frozenset(map(stem, tokenize("the a an my our your some this that it on off up down in out to for with go going")))  # say nothing beside the tool's own words
_ROOT = 4  # letters that two forms of a word share at least
_BOOLEAN = KINDS.index("boolean")
_UNIT_WORD = re.compile(r" ?(%)| (\w{4,})\b")
_WORD = re.compile(r"\w+(?:[.:,'’/-]\w+)*")


@dataclass
class Draft:
    """One call as decoded, with what stands in its way, and how sure the network was of each part."""

    call: Call
    question: Question | None
    margins: list[float] = field(default_factory=list)  # |logit| of given or not, a parameter
    spans: list[float] = field(default_factory=list)  # log-probability, a span
    choices: list[float] = field(default_factory=list)  # log-probability, a choice
    unnamed: int = 0  # values that no word names


def likely_spans(start: Floats, end: Floats, taken: Sequence[tuple[int, int]] = ()) -> list[tuple[int, int, float]]:
    """First and last piece and log-probability of the likeliest spans; the two marks at the ends are no part of any.

    taken: first and last piece of words that are spoken for: no span holds any of them.
    """
    starts, ends = _log_softmax(start[1:-1]), _log_softmax(end[1:-1])
    grid = starts[:, None] + ends[None, :]
    allowed = np.triu(np.ones(grid.shape, bool)) & ~np.triu(np.ones(grid.shape, bool), SPAN)
    for first, last in taken:
        allowed[:last, first - 1 :] = False
    flat = np.where(allowed, grid, -np.inf).ravel()
    order = np.argsort(-flat, kind="stable")[:CANDIDATES]
    best = flat[order[0]]
    return [
        (int(at) // grid.shape[1] + 1, int(at) % grid.shape[1] + 1, float(flat[at])) for at in order if flat[at] > best - BEHIND
    ]


def bounds_of(text: str, pieces: Pieces, first: int, last: int) -> tuple[int, int]:
    """The characters of some pieces, widened to whole words."""
    start, end = int(pieces.spans[first, 0]), int(pieces.spans[last, 1])
    for match in _WORD.finditer(text):
        if match.start() < start < match.end():
            start = match.start()
        if match.start() < end < match.end():
            end = match.end()
    return start, end


def words_of(text: str, pieces: Pieces, first: int, last: int) -> str:
    """The text of some pieces, widened to whole words."""
    return text[slice(*bounds_of(text, pieces, first, last))]


def _timely(schema: Mapping[str, Any]) -> bool:
    unit = declared_unit(schema)[1]
    return unit is not None and unit.dimension == "time"


@dataclass(frozen=True)
class _Option:
    """One way to give a parameter its value. span: the pieces it takes for itself, None where it takes none."""

    score: float
    span: tuple[int, int] | None
    found: Parsed | Problem | None  # None: the parameter is left out
    choice: float | None = None  # log-probability, of a choice
    unnamed: bool = False
    behind: float = 0.0  # log-probability that it loses against other options, which says nothing of how sure it is


class Reader:
    """Collects the arguments of one call: options for each parameter, then the best set in which no two take the same words."""

    def __init__(
        self, text: str, pieces: Pieces, tool: Tool, held: ToolVectors, context: RouteContext, limit: int, floor: float = 0.0,
        begin: int = 1,
    ) -> None:  # fmt: skip
        self._floor = floor
        self._begin = begin  # piece at which this call's words begin
        self._limit = limit  # character at which the next call's words begin
        self._text, self._pieces, self._tool, self._held, self._context = text, pieces, tool, held, context
        self._options: dict[str, list[_Option]] = {}
        self._pointed: dict[str, tuple[Floats, Floats]] = {}  # logits of first and last piece
        self._margins: list[float] = []

    def read(
        self, column: int, present: float, start: Floats, end: Floats, values: Floats | None, matched: Sequence[bool]
    ) -> None:  # fmt: skip
        """Take in one parameter."""
        parameter = self._held.text.parameters[column]
        schema = self._tool.properties.get(parameter.name)
        self._margins.append(abs(present - self._floor))
        if present <= self._floor or not isinstance(schema, Mapping):
            return
        self._pointed[parameter.name] = (start, end)
        spans = self._spans(parameter.name)
        if values is not None and parameter.values:
            self._options[parameter.name] = [self._chosen(parameter, present, spans, values[: len(parameter.values)], matched)]
        else:
            self._options[parameter.name] = self._spanned(parameter.name, present, spans)

    def _spans(self, name: str, taken: Sequence[tuple[int, int]] = ()) -> list[tuple[int, int, float, Parsed | Problem]]:
        """The likeliest spans of a parameter, but for words that are taken, and what each says."""
        schema = self._tool.properties[name]
        likely = likely_spans(*self._pointed[name], taken)
        counted = type_of(schema) in NUMBER_TYPES and "enum" not in schema
        if counted or schema.get("format") == "duration":
            likely = self._whole_numbers(likely, duration=not counted or _timely(schema))
        spans = [
            (first, last, score, parse_value(words_of(self._text, self._pieces, first, last), schema, self._context))
            for first, last, score in likely
        ]
        if counted:
            return [(first, last, score, self._with_unit(first, last, found, schema)) for first, last, score, found in spans]
        want = wanted_phrase(name, self._tool.properties)
        return [self._widened(*item, want, schema) for item in spans] if want else spans

    def _whole_numbers(self, likely: Sequence[tuple[int, int, float]], *, duration: bool) -> list[tuple[int, int, float]]:
        """Spans that end inside a number, as the whole number; each once."""
        found: dict[tuple[int, int], float] = {}
        for first, last, score in likely:
            begin, stop = int(self._pieces.spans[first, 0]), int(self._pieces.spans[last, 1])
            wide = whole_number(self._text, begin, stop, self._limit, duration=duration)
            if wide != (begin, stop):
                first, last = self._pieces.cover(*wide) or (first, last)
            found.setdefault((first, last), score)
        return [(first, last, score) for (first, last), score in found.items()]

    def _with_unit(self, first: int, last: int, found: Parsed | Problem, schema: Mapping[str, Any]) -> Parsed | Problem:
        """A number with the unit that follows it: "2" of "2 hours" is no two minutes, and "180 degrees" is no duration."""
        if not isinstance(found, Parsed):
            return found
        said = words_of(self._text, self._pieces, first, last)
        end = int(self._pieces.spans[last, 1])
        after = _UNIT_WORD.match(self._text, end)
        word = (after[1] or after[2]) if after is not None else ""
        if read_unit(tokenize(word), 0) is None or read_unit(tokenize(said)[-1:], 0) is not None:
            return found
        whole_value = parse_value(f"{said} {word}", schema, self._context)
        unit = declared_unit(schema)[1]
        return whole_value if isinstance(whole_value, Parsed) or unit is not None else found

    def _widened(
        self, first: int, last: int, score: float, read: Parsed | Problem, want: Wanted, schema: Mapping[str, Any]
    ) -> tuple[int, int, float, Parsed | Problem]:
        """A span of free text as the whole phrase that the parameter asks for. read: what it says as it is."""
        spans, said = self._pieces.spans, bounds_of(self._text, self._pieces, first, last)
        found = whole(self._text, *said, self._limit, want)
        if found is None:
            return first, last, score, Problem("unsupported", self._text[slice(*said)])
        inner = range(1, len(self._pieces) - 1)
        first = min((at for at in inner if spans[at, 1] > found[0]), default=first)
        last = max((at for at in inner if spans[at, 0] < found[1]), default=last)
        value = self._text[found[0] : found[1]]
        if want.kinds and value.lower().startswith(("negative ", "minus ")):
            return first, last, score, Problem("out_of_range", value)
        return first, last, score, read if found == said else parse_value(value, schema, self._context)

    def _spanned(
        self, name: str, present: float, spans: Sequence[tuple[int, int, float, Parsed | Problem]]
    ) -> list[_Option]:  # fmt: skip
        """The spans that say a value of the type; the likeliest as a problem, where it says one that cannot be, or none does."""
        schema = self._tool.properties[name]
        free = is_open(schema) and not schema.get("x-vocabulary")
        first, last, score, found = spans[0]
        optional = name not in self._tool.required
        cannot_be = isinstance(found, Problem) and found.kind in ("out_of_range", "ambiguous")
        least = -math.inf if cannot_be or isinstance(found, Parsed) else score - BEHIND
        options = [
            _Option(score, (first, last), found, behind=OWN if free and self._own(first, last) else 0.0)
            for first, last, score, found in spans
            if isinstance(found, Parsed) and score > least and (optional or not (free and self._asks(first, last)))
        ]  # fmt: skip
        if cannot_be:  # asked about, unless these words are another parameter's
            return [_Option(score, (first, last), found), *(option for option in options if not _overlap(option.span, (first, last)))]
        says_nothing = self._own(first, last) if optional else free and self._asks(first, last)
        if not options and not says_nothing:
            options = [_Option(score, (first, last), found)]
        if optional:
            options.append(_Option(-BEHIND - present, None, None))
        return options

    def _own(self, first: int, last: int) -> bool:
        """Whether some words only name the tool: "the dishwasher" of a tool that starts the dishwasher is hardly one of its programs."""
        found = self._telling(first, last)
        return bool(found) and found <= self._held.words.head

    def _asks(self, first: int, last: int) -> bool:
        """Whether some words are the request itself: "reply" of "send a reply to Maya" is not what to reply, which is missing."""
        named = {stem(word) for word in words(self._tool.name).split()}
        said = self._telling(first, last)
        alone = first <= self._begin <= last or (first > self._begin and said <= named)
        return bool(said) and alone and self._telling(self._begin, last) <= self._held.words.head

    def _telling(self, first: int, last: int) -> set[str]:
        """Stems of the words that say something."""
        return {stem(word) for word in words_of(self._text, self._pieces, first, last).lower().split()} - _LITTLE

    def _chosen(
        self, parameter: ParameterText, present: float, spans: Sequence[tuple[int, int, float, Parsed | Problem]], logits: Floats,
        matched: Sequence[bool],
    ) -> _Option:  # fmt: skip
        shares = _log_softmax(logits)
        best = int(shares.argmax())
        value, share = parameter.values[best], float(np.exp(shares[best]))
        said = [(item, n) for item in spans if isinstance(item[3], Parsed) and item[2] > spans[0][2] - BEHIND
                for n, offered in enumerate(parameter.values) if offered.value == item[3].value]  # fmt: skip
        if said:
            (first, last, score, found), index = next((pair for pair in said if pair[1] == best), said[0])
            if index == best or score > spans[0][2] - 1.0:
                return _Option(score, (first, last), found, float(shares[index]))
        if matched[best] and share >= 0.5:
            form = next((form for form in value.forms if form and f" {form} " in padded(self._text)), self._text)
            return _Option(0.0, None, Parsed(value.value, form), float(shares[best]))
        said_words = words_of(self._text, self._pieces, *spans[0][:2])
        if share >= 0.5 and _akin(said_words, value.forms):
            return _Option(spans[0][2], spans[0][:2], Parsed(value.value, said_words), float(shares[best]))
        declared = self._tool.properties[parameter.name]
        named = parameter.kind != _BOOLEAN and bool(declared.get("x-spoken") or declared.get("x-vocabulary"))
        # Words that are clearly pointed at and are no value are a name that nobody declared: asked about, never the nearest one.
        unknown = parameter.kind != _BOOLEAN and spans[0][2] > POINTED and isinstance(spans[0][3], Problem)
        if not unknown and share >= (STRICT if named else LOOSE):
            return _Option(0.0, None, Parsed(value.value, self._text.strip()), float(shares[best]), unnamed=True)
        if parameter.name not in self._tool.required and (present <= 0.0 or self._own(*spans[0][:2])):
            return _Option(0.0, None, None)
        return _Option(spans[0][2], spans[0][:2], spans[0][3], float(shares[best]))

    def draft(self) -> Draft:
        """The call, its defaults filled in; a question where a value cannot be read or is missing."""
        chosen = self._best()
        for name in self._options:
            if name in self._tool.required and name not in chosen:
                chosen = self._elsewhere(name, chosen)
        kept = {name: option for name, option in chosen.items() if option.found is not None}
        arguments = {name: kept[name].found for name in self._tool.properties if name in kept}
        values = {name: found.value for name, found in arguments.items() if isinstance(found, Parsed)}
        evidence = {name: found.evidence for name, found in arguments.items() if isinstance(found, Parsed)}
        question = next((ask_for(self._tool, name, found) for name, found in arguments.items() if isinstance(found, Problem)), None)
        call, missing = complete_call(self._tool, values, evidence, self._context)
        return Draft(
            call, question or missing, self._margins,
            [option.score for option in kept.values() if option.choice is None],
            [option.choice for option in kept.values() if option.choice is not None],
            sum(option.unnamed for option in kept.values()),
        )  # fmt: skip

    def _loss(self, name: str) -> float:
        """Log-probability that leaving a parameter out costs: least what nobody can read, most a choice, which is found nowhere else."""
        options = self._options[name]
        if name not in self._tool.required and all(isinstance(option.found, Problem) for option in options):
            return BEHIND
        return 2 * BEHIND - (0.0 if self._is_choice(name) else 1.0)

    def _elsewhere(self, name: str, chosen: dict[str, _Option]) -> dict[str, _Option]:
        """The same with a required parameter whose words are all another's, from the words that are left."""
        taken = [option.span for option in chosen.values() if option.span is not None]
        free = [
            _Option(score, (first, last), found) for first, last, score, found in self._spans(name, taken)
            if isinstance(found, Parsed) and not any(_overlap((first, last), span) for span in taken) and self._telling(first, last)
            and not self._asks(first, last)
        ]  # fmt: skip
        return {**chosen, name: free[0]} if free else chosen

    def _best(self) -> dict[str, _Option]:
        """Beam search over the parameters for the likeliest options whose spans do not overlap: first what is required.

        Two values never come from the same words: where every option clashes the parameter is left out. A required one may be even
        where it need not, because its words may be all that another required one has, and its own stand elsewhere.
        """
        required = [name for name in self._options if name in self._tool.required]
        beam: list[tuple[float, dict[str, _Option]]] = [(0.0, {})]
        for name in required:
            beam = self._wider(beam, name, leave=len(required) > 1)
        beam = [item for item in beam if item[1].keys() == beam[0][1].keys()]  # what is optional takes no words from what is required
        for name in self._options:
            if name not in required:
                beam = self._wider(beam, name, leave=False)
        return beam[0][1]

    def _wider(self, beam: list[tuple[float, dict[str, _Option]]], name: str, *, leave: bool) -> list[tuple[float, dict[str, _Option]]]:
        """The likeliest of all that is held with each option of one more parameter. leave: also without it."""
        found = []
        for total, held in beam:
            free = [option for option in self._options[name] if not any(_overlap(option.span, other.span) for other in held.values())]
            found += [(total + option.score - option.behind, {**held, name: option}) for option in free]
            if leave or not free:
                found.append((total - self._loss(name), held))
        return sorted(found, key=lambda item: -item[0])[:BEAM]

    def _is_choice(self, name: str) -> bool:
        return any(option.choice is not None for option in self._options[name])


def _akin(said: str, forms: Sequence[str]) -> bool:
    """Whether one word is a longer or shorter form of another: "weekly" and "week", "automatic" and "auto"."""
    telling = [word for word in said.lower().split() if stem(word) not in _LITTLE]
    if len(telling) != 1 or len(telling[0]) < _ROOT:
        return False
    return any(telling[0].startswith(form) or form.startswith(telling[0]) for form in forms if " " not in form and len(form) >= _ROOT)


def _overlap(a: tuple[int, int] | None, b: tuple[int, int] | None) -> bool:
    return a is not None and b is not None and a[0] <= b[1] and b[0] <= a[1]


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()), dtype=np.float32)
