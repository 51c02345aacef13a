"""From the network's numbers to calls: which tools, where each call starts, and which words or value each parameter gets.

Values come from the words: a span is read by `values.parse_value` against the parameter's schema, a choice needs a spoken form in
the words or a clear verdict of the network. What cannot be read becomes a question, never the nearest guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voice_needle.events import Call, Question, RouteContext
from voice_needle.route.fill import ask_for, complete_call
from voice_needle.route.stitch.cache import ToolVectors
from voice_needle.route.stitch.encoder.hints import mark, padded
from voice_needle.route.stitch.encoder.network import WIDTH, Encoded, Floats, Network, Selected
from voice_needle.route.stitch.encoder.tokens import Pieces
from voice_needle.route.stitch.schema_text import KINDS, ParameterText
from voice_needle.route.values import Parsed, Problem, parse_value
from voice_needle.tools import Tool

CALLS = 6  # more in one breath are not believed
SPAN = 32  # word-pieces of one value
LOOSE, STRICT = 0.6, 0.9  # a value that no word names: how sure the network must be without, with spoken forms declared
_BOOLEAN = KINDS.index("boolean")
_WORD = re.compile(r"\w+(?:[.:,'’/-]\w+)*")


@dataclass(frozen=True)
class Place:
    """Where a call starts and which tool it is of. tool: index into the shortlist."""

    tool: int
    start: int  # word-piece
    present: float  # logit
    sure: float  # logit of the start


@dataclass
class Draft:
    """One call as decoded, with what stands in its way, and how sure the network was of each part."""

    call: Call
    question: Question | None
    margins: list[float] = field(default_factory=list)  # |logit| of given or not, a parameter
    spans: list[float] = field(default_factory=list)  # log-probability, a span
    choices: list[float] = field(default_factory=list)  # log-probability, a choice
    unnamed: int = 0  # values that no word names


def places(selected: Selected, threshold: float = 0.0) -> list[Place]:
    """The calls, in spoken order; of two tools that claim the same start the surer one."""
    found: list[Place] = []
    for tool in np.flatnonzero(selected.present > threshold):
        starts = selected.starts[tool].copy()
        starts[0] = starts[-1] = -1e4
        peaks = [int(at) for at in np.flatnonzero(starts > 0.0) if starts[at] >= starts[max(0, at - 1) : at + 2].max()]
        for at in peaks[:CALLS] or [int(starts.argmax())]:
            found.append(Place(int(tool), at, float(selected.present[tool]), float(starts[at])))
    best: dict[int, Place] = {}
    for place in found:
        held = best.get(place.start)
        if held is None or held.present < place.present:
            best[place.start] = place
    counted = int(selected.count.argmax())
    kept = sorted(best.values(), key=lambda place: -place.sure)
    if 0 < counted < len(selected.count) - 1:  # the last class is "or more"
        kept = kept[:counted]
    return sorted(kept, key=lambda place: place.start)


def best_span(start: Floats, end: Floats) -> tuple[int, int, float]:
    """First and last piece and the log-probability of the best span; the two marks at the ends are no part of any."""
    starts, ends = _log_softmax(start[1:-1]), _log_softmax(end[1:-1])
    grid = starts[:, None] + ends[None, :]
    allowed = np.triu(np.ones(grid.shape, bool)) & ~np.triu(np.ones(grid.shape, bool), SPAN)
    at = int(np.where(allowed, grid, -np.inf).argmax())
    first, last = divmod(at, grid.shape[1])
    return first + 1, last + 1, float(grid[first, last])


def words_of(text: str, pieces: Pieces, first: int, last: int) -> str:
    """The text of some pieces, widened to whole words."""
    start, end = int(pieces.spans[first, 0]), int(pieces.spans[last, 1])
    for match in _WORD.finditer(text):
        if match.start() < start < match.end():
            start = match.start()
        if match.start() < end < match.end():
            end = match.end()
    return text[start:end]


def fill(
    network: Network, encoded: Encoded, text: str, pieces: Pieces, wanted: Sequence[Place], vectors: Sequence[ToolVectors],
    tools: Sequence[Tool], context: RouteContext,
) -> list[Draft]:  # fmt: skip
    """The arguments of each place's call. vectors, tools: one for each place."""
    inputs, matched, choices = _inputs(text, pieces, wanted, vectors)
    present, start, end, value = network.fill(encoded, inputs)
    drafts = []
    for row, (held, tool) in enumerate(zip(vectors, tools, strict=True)):
        reader = _Reader(text, pieces, tool, held, context)
        for column in range(len(held.text.parameters)):
            at = choices.get((row, column))
            logits = None if at is None else value[at]
            reader.read(column, float(present[row, column]), start[row, column], end[row, column], logits, matched[row][column])
        drafts.append(reader.draft())
    return drafts


def _inputs(
    text: str, pieces: Pieces, wanted: Sequence[Place], vectors: Sequence[ToolVectors]
) -> tuple[dict[str, NDArray[Any]], list[list[list[bool]]], dict[tuple[int, int], int]]:
    c, length = len(wanted), len(pieces)
    p = max(1, *(len(held.text.parameters) for held in vectors)) if c > 1 else max(1, len(vectors[0].text.parameters))
    place = np.zeros((c, length), np.int64)
    grid = {name: np.zeros((c, p), np.int64) for name in ("kinds", "required")}
    mask, parameters = np.zeros((c, p), np.float32), np.zeros((c, p, WIDTH), np.float32)
    hints = np.zeros((c, p, length, 2), np.bool_)
    held_text = padded(text)
    matched: list[list[list[bool]]] = []
    chosen: list[tuple[int, int]] = []
    for row, (item, held) in enumerate(zip(wanted, vectors, strict=True)):
        stop = min((other.start for other in wanted if other.start > item.start), default=length)
        place[row, item.start : stop], place[row, stop:], place[row, item.start] = 2, 3, 1
        count = len(held.text.parameters)
        mask[row, :count] = 1.0
        parameters[row, :count] = held.parameters
        grid["kinds"][row, :count] = [parameter.kind for parameter in held.text.parameters]
        grid["required"][row, :count] = [parameter.required for parameter in held.text.parameters]
        matched.append(mark(held_text, pieces, held.text.parameters, hints[row]))
        chosen += [(row, column) for column, parameter in enumerate(held.text.parameters) if parameter.values]
    v = max((len(vectors[row].values[column]) for row, column in chosen), default=1)
    values, matches = np.zeros((len(chosen), v, WIDTH), np.float32), np.zeros((len(chosen), v), np.float32)
    for at, (row, column) in enumerate(chosen):
        values[at, : len(vectors[row].values[column])] = vectors[row].values[column]
        matches[at, : len(matched[row][column])] = matched[row][column]
    if not chosen:  # the graph wants at least one
        chosen, values, matches = [(0, 0)], np.zeros((1, 1, WIDTH), np.float32), np.zeros((1, 1), np.float32)
    inputs = {
        "place": place, "tool": np.stack([held.tool for held in vectors]), "parameters": parameters, **grid,
        "parameter_mask": mask, "hints": hints.astype(np.float32), "values": values,
        "owner": np.array(chosen, dtype=np.int64), "matches": matches,
    }  # fmt: skip
    return inputs, matched, {key: at for at, key in enumerate(chosen)}


class _Reader:
    """Collects the arguments of one call."""

    def __init__(self, text: str, pieces: Pieces, tool: Tool, held: ToolVectors, context: RouteContext) -> None:
        self._text, self._pieces, self._tool, self._held, self._context = text, pieces, tool, held, context
        self._found: dict[str, Parsed | Problem] = {}
        self._logits: dict[str, float] = {}
        self._spans: dict[str, tuple[int, int]] = {}
        self._draft = Draft(Call(tool.name), None)

    def read(
        self, column: int, present: float, start: Floats, end: Floats, values: Floats | None, matched: Sequence[bool]
    ) -> None:  # fmt: skip
        """Take in one parameter."""
        parameter = self._held.text.parameters[column]
        self._draft.margins.append(abs(present))
        if present <= 0.0:
            return
        first, last, sure = best_span(start, end)
        said = words_of(self._text, self._pieces, first, last)
        schema = self._tool.properties.get(parameter.name)
        if not isinstance(schema, Mapping):
            return
        found = parse_value(said, schema, self._context)
        if values is not None and len(parameter.values):
            found = self._chosen(parameter, found, said, sure, values[: len(parameter.values)], matched)
        else:
            self._draft.spans.append(sure)
        if isinstance(found, Parsed) and found.evidence == said or isinstance(found, Problem):
            self._spans[parameter.name] = (first, last)
        self._found[parameter.name], self._logits[parameter.name] = found, present

    def _chosen(
        self, parameter: ParameterText, found: Parsed | Problem, said: str, sure: float, logits: Floats, matched: Sequence[bool]
    ) -> Parsed | Problem:
        shares = _log_softmax(logits)
        best = int(shares.argmax())
        if isinstance(found, Parsed):
            index = next((n for n, item in enumerate(parameter.values) if item.value == found.value), best)
            self._draft.choices.append(float(shares[index]))
            return found
        value, share = parameter.values[best], float(np.exp(shares[best]))
        self._draft.choices.append(float(shares[best]))
        if matched[best] and share >= 0.5:
            form = next((form for form in value.forms if form and f" {form} " in padded(self._text)), said)
            return Parsed(value.value, form)
        declared = self._tool.properties[parameter.name]
        named = parameter.kind != _BOOLEAN and bool(declared.get("x-spoken") or declared.get("x-vocabulary"))
        if share >= (STRICT if named else LOOSE):
            self._draft.unnamed += 1
            return Parsed(value.value, self._text.strip())
        return found

    def draft(self) -> Draft:
        """The call, its defaults filled in; a question where a value cannot be read or is missing."""
        question: Question | None = None
        arguments: dict[str, Any] = {}
        evidence: dict[str, str] = {}
        taken: list[tuple[int, int]] = []
        for name in sorted(self._found, key=lambda key: -self._logits[key]):
            found, span = self._found[name], self._spans.get(name)
            clash = span is not None and any(span[0] <= other[1] and other[0] <= span[1] for other in taken)
            if clash and name not in self._tool.required:
                continue
            if span is not None:
                taken.append(span)
            if isinstance(found, Parsed):
                arguments[name], evidence[name] = found.value, found.evidence
            else:
                question = question or ask_for(self._tool, name, found)
        ordered = {name: arguments[name] for name in self._tool.properties if name in arguments}
        call, missing = complete_call(self._tool, ordered, evidence, self._context)
        self._draft.call, self._draft.question = call, question or missing
        return self._draft


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()), dtype=np.float32)
