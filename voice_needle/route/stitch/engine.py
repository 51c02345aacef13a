"""Stitch as a router: words and tools in, one Decision out, in one pass through a small network and without generating text."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from voice_needle.events import Call, Decision, DialogueAct, Outcome, RouteContext, Transcript
from voice_needle.route import guards
from voice_needle.route.gate import Thresholds
from voice_needle.route.stitch.annotate import annotated
from voice_needle.route.stitch.arguments import Draft
from voice_needle.route.stitch.cache import TOOLSETS, SchemaCache, ToolsetVectors, ToolVectors
from voice_needle.route.stitch.clauses import best_parting, contrast, cuts, linked
from voice_needle.route.stitch.confidence import (
    FEATURES,
    Calibration,
    features,
    log_counts,
    reading_score,
    together,
    with_left,
)
from voice_needle.route.stitch.decode import Place, fill, lists, one_list, places
from voice_needle.route.stitch.dialogue import DIALOGUE_TOOLS, act_of
from voice_needle.route.stitch.encoder.network import Encoded, Floats, Network, Selected
from voice_needle.route.stitch.encoder.tokens import Pieces
from voice_needle.route.stitch.leftover import idle_clauses, unexplained
from voice_needle.tools import Tool, Toolset

_HOPELESS = 1e3  # a reading that only asks is worse than any parting that can be done
_MISSED = 3.0  # log-probability that a reading loses for each request that was announced ("and then ...") and is not in it
_SURELY = -0.05  # log-probability that one call is meant, from which the words are not parted
SHORTLIST = 16  # tools that are compared with one another; more are first cut down by a dot product
_ACTS = tuple(Tool.from_schema(schema) for schema in DIALOGUE_TOOLS)
_DANGLING = frozenset(["and", "then", "the", "a", "an", "to", "in", "on", "at", "for", "with", "of", "or", "my", "into", "from", "by", "set", "turn", "please", "as"])


@dataclass(frozen=True)
class Reading:
    """Everything that a decision rests on; `calibrate` fits confidence to `features`."""

    drafts: tuple[Draft, ...]
    act: DialogueAct | None
    features: Floats
    reason: str = ""
    clauses: tuple[str, ...] = ()  # the words of each draft, from the first of its own to the next one's
    forbidden: str = ""  # why the words are no request (see guards), where that is sure

    @property
    def firm(self) -> bool:
        """Whether the network finds the request servable, and every tool likelier called than not: enough to ask about it."""
        return bool(self.features[FEATURES.index("present")] > 0.0 and self.features[FEATURES.index("servable")] > 0.0)


@dataclass(frozen=True)
class _Look:
    """What one pass over some words found. starts: the character at which each call begins."""

    wanted: list[Place]
    drafts: list[Draft]
    called: list[ToolVectors]
    starts: list[int]
    selected: Selected
    support: Floats
    act: DialogueAct | None

    def row(self) -> Floats:
        return features(self.selected, self.support, self.wanted, self.drafts)

    def counted(self, calls: int) -> float:
        """Log-probability that so many calls are meant."""
        return log_counts(self.selected)[min(calls, len(self.selected.count) - 1)]

    @property
    def score(self) -> float:
        """Log-probability of all that was read, as far as the network says."""
        return reading_score(self.selected, self.wanted, self.drafts)


class StitchRouter:
    """The embedded router. Not for use by two threads at once.

    folder: of the weights; the packaged ones, or those of VOICE_NEEDLE_STITCH, where none is given. cache: where schema vectors
    are kept; the platform's cache folder by default. threads: of one inference. dialogue: also recognise yes, no, stop, ...
    Errors: ModelMissing, ModelCorrupt.
    """

    name = "stitch"

    def __init__(
        self, folder: Path | None = None, *, cache: Path | None = None, threads: int = 1, dialogue: bool = True
    ) -> None:
        self.network = Network(folder, threads)
        self.calibration = Calibration.load(self.network.folder / "calibration.json")
        self.thresholds = Thresholds.load(self.network.folder / "calibration.json")
        self._cache = SchemaCache(self.network, cache)
        self._acts = _ACTS if dialogue else ()
        self._known: OrderedDict[str, Toolset] = OrderedDict()
        self.network.encode(self.network.pieces.utterance("warm up").ids)

    def prepare(self, tools: Toolset) -> None:
        """Encode the tools' schemas, or read their vectors from disk."""
        self._vectors(self._annotated(tools))

    def similar(self, tools: Toolset, alike: float) -> list[tuple[str, str, float]]:
        """Pairs of tools that the network can hardly tell apart: cosine of their schema vectors (0 to 1) of at least `alike`."""
        held = self._cache.toolset(self._annotated(tools))
        rows = held.vectors / np.maximum(np.linalg.norm(held.vectors, axis=1, keepdims=True), 1e-9)
        names, cosine = list(tools), rows @ rows.T
        pairs = [(names[i], names[j], float(cosine[i, j])) for i in range(len(names)) for j in range(i + 1, len(names))]
        return sorted((pair for pair in pairs if pair[2] >= alike), key=lambda pair: -pair[2])

    def route(self, transcript: Transcript, tools: Toolset, context: RouteContext) -> Decision:
        """Decide; the gate behind it applies thresholds and confirmations."""
        started = time.perf_counter()
        decision = self.observed(transcript.text, tools, context)[0]
        return replace(decision, router=self.name, elapsed_ms=(time.perf_counter() - started) * 1000)

    def _vectors(self, tools: Toolset) -> ToolsetVectors:
        return self._cache.toolset(tools, [act for act in self._acts if act.name not in tools])

    def _annotated(self, tools: Toolset) -> Toolset:
        """The same tools with the values that their descriptions list."""
        if tools.content_hash not in self._known:
            self._known[tools.content_hash] = Toolset(annotated(tool) for tool in tools.values())
            while len(self._known) > TOOLSETS:
                self._known.popitem(last=False)
        return self._known[tools.content_hash]

    def observed(self, text: str, tools: Toolset, context: RouteContext) -> tuple[Decision, Reading | None]:
        """The decision and what it rests on; no reading where the words were not looked at."""
        pieces = self.network.pieces.utterance(text)
        if len(pieces) <= 2:
            return Decision(reason="nothing said", confidence=1.0), None
        if pieces.truncated:
            return Decision(reason="too long", confidence=1.0), None
        tools = self._annotated(tools)
        reading = self.read(text, pieces, tools, context)
        return self._decide(text, pieces, reading, tools, context), reading

    def _decide(self, text: str, pieces: Pieces, reading: Reading, tools: Toolset, context: RouteContext) -> Decision:
        if reading.act is DialogueAct.CORRECT:
            return self._corrected(text, pieces, reading, tools, context)
        if reading.act is not None:
            return Decision(confidence=self.calibration.act(reading.features), act=reading.act, reason="dialogue")
        if not reading.drafts:
            return Decision(confidence=self.calibration.decline(reading.features), reason=reading.reason)
        sure = self.calibration.act(reading.features)
        calls = tuple(draft.call for draft in reading.drafts)
        question = next((draft.question for draft in reading.drafts if draft.question is not None), None)
        if question is not None:
            meant = 1.0 - self.calibration.decline(reading.features)
            dangling = question.kind == "missing" or text.lower().split()[-1] in _DANGLING
            if not reading.firm:
                return Decision(confidence=1.0 - meant, reason="no tool fits", complete=not dangling)
            return Decision(calls, Outcome.ASK, meant, question, reason="stitch", complete=not dangling, clauses=reading.clauses)
        return Decision(calls, Outcome.ACT, sure, reason="stitch", complete=text.lower().split()[-1] not in _DANGLING, clauses=reading.clauses)

    def read(self, text: str, pieces: Pieces, tools: Toolset, context: RouteContext) -> Reading:
        """What the network makes of the words, as one or clause by clause, before any threshold on confidence."""
        held = self._vectors(tools)
        look = self._look(text, pieces, held, tools, context)
        if look is None:
            return Reading((), None, np.zeros(len(FEATURES), np.float32), "no tools")
        reading = self._reading(text, tools, *self._best(text, look, held, tools, context), act=look.act)
        meant = contrast(text) if reading.forbidden == "negated" else None
        if meant is None:
            return reading
        part = text[meant[0] : meant[1]]
        inner = self._look(part, self.network.pieces.utterance(part), held, tools, context)
        if inner is None or inner.act is not None or not inner.drafts:
            return reading
        drafts, called, starts, row = self._best(part, inner, held, tools, context)
        other = self._reading(text, tools, drafts, called, [meant[0] + start for start in starts], row, meant[1])
        return reading if other.forbidden else other

    def _best(
        self, text: str, look: _Look, held: ToolsetVectors, tools: Toolset, context: RouteContext
    ) -> tuple[list[Draft], list[ToolVectors], list[int], Floats]:
        """Calls, their tools, the character at which each begins, and the features: of the words as one, or part by part."""
        parts = self._parted(text, look, held, tools, context) if look.act is None else []
        if not parts:
            return look.drafts, look.called, look.starts, look.row()
        drafts = [draft for _, part in parts for draft in part.drafts]
        called = [item for _, part in parts for item in part.called]
        starts = [begin + start for begin, part in parts for start in part.starts]
        return drafts, called, starts, together([part.row() for _, part in parts], look.counted(len(drafts)))

    def _reading(
        self, text: str, tools: Toolset, drafts: Sequence[Draft], called: Sequence[ToolVectors], starts: Sequence[int],
        row: Floats, end: int | None = None, act: DialogueAct | None = None,
    ) -> Reading:  # fmt: skip
        edges = [*starts[1:], len(text) if end is None else end]
        clauses = tuple(text[start:stop] for start, stop in zip(starts, edges, strict=True)) if drafts else ()
        evidence = [words for draft in drafts for words in draft.call.evidence.values()]
        idle = idle_clauses(text, starts, evidence) if drafts else 0
        strange = unexplained(text, self.network.overlap, [held.words for held in called], evidence)
        verdict = guards.Judgement()
        if drafts and act is None:
            calls = tuple(draft.call for draft in drafts)
            verdict = guards.judge(text, Decision(calls, Outcome.ACT, clauses=clauses), tools)
        row = with_left(row, float(idle), strange, float(verdict.reason != ""))
        forbidden = verdict.reason if verdict.firm else ""
        return Reading(tuple(drafts), act, row, "" if drafts else "no tool fits", clauses, forbidden)

    def _parted(
        self, text: str, whole: _Look, held: ToolsetVectors, tools: Toolset, context: RouteContext
    ) -> list[tuple[int, _Look]]:
        """Where each part begins, and its reading; [] where the words are better read as one."""
        asks = any(draft.question for draft in whole.drafts)
        if len(whole.drafts) == 1 and not asks and whole.counted(1) > _SURELY:
            return []
        places = cuts(text, whole.starts)
        if not places or not whole.wanted:
            return []
        looks: dict[tuple[int, int], _Look | None] = {}

        def score(part: tuple[int, int]) -> float | None:
            words = text[part[0] : part[1]]
            pieces = self.network.pieces.utterance(words)
            looks[part] = look = self._look(words, pieces, held, tools, context) if len(pieces) > 2 else None
            if look is None or look.act is not None or not look.drafts or any(draft.question for draft in look.drafts):
                return None
            return look.score

        announced, known = linked(text), -_HOPELESS if asks else whole.score

        def least(count: int) -> float:
            return known - whole.counted(count) - _MISSED * max(0, min(announced, count) - len(whole.drafts))

        found = best_parting(text, places, score, least)
        return [(part[0], look) for part in found if (look := looks[part]) is not None] if found else []

    def _look(
        self, text: str, pieces: Pieces, held: ToolsetVectors, tools: Toolset, context: RouteContext
    ) -> _Look | None:
        """One pass of the network over some words; None where no tool is offered."""
        encoded = self.network.encode(pieces.ids)
        index, selected, support = self.select(text, pieces, encoded, held)
        if selected is None:
            return None
        wanted = places(selected)
        vectors = [held.tools[index[place.tool]] for place in wanted]
        acts = [act_of(item.text.name) if item.text.name not in tools else None for item in vectors]
        top = max(range(len(wanted)), key=lambda number: wanted[number].present, default=-1)
        keep = [top] if top >= 0 and acts[top] is not None else [n for n, act in enumerate(acts) if act is None]
        wanted, vectors = [wanted[n] for n in keep], [vectors[n] for n in keep]
        act = acts[top] if top >= 0 and wanted[0].present > 0.0 else None
        if act is None and top >= 0 and acts[top] is not None:
            wanted, vectors = [], []
        drafts: list[Draft] = []
        if wanted:
            offered: Mapping[str, Tool] = {**{item.name: item for item in self._acts}, **tools}
            named = [offered[item.text.name] for item in vectors]
            given = self.calibration.given
            drafts = fill(self.network, encoded, text, pieces, wanted, vectors, named, context, given)
            if (single := one_list(drafts, named)) is not None:  # "soup and salad" is one order where the tool takes a list
                fewer = [n for n in range(len(wanted)) if n != single]
                fewer_vectors, fewer_named = [vectors[n] for n in fewer], [named[n] for n in fewer]
                whole = fill(self.network, encoded, text, pieces, [wanted[n] for n in fewer], fewer_vectors, fewer_named, context, given)
                if lists(whole[single - 1], fewer_named[single - 1]) > 1:
                    wanted, drafts = [wanted[n] for n in fewer], whole
        if repeated := _repeated(drafts):  # asking for one thing twice in a breath is asking for it once
            wanted, drafts = [wanted[n] for n in range(len(wanted)) if n not in repeated], [draft for n, draft in enumerate(drafts) if n not in repeated]
        called = [held.tools[index[place.tool]] for place in wanted]
        starts = [int(pieces.spans[place.start, 0]) for place in wanted]
        return _Look(wanted, drafts, called, starts, selected, support, act)

    def observe_tools(self, text: str, pieces: Pieces, tools: Toolset) -> tuple[list[str], Selected | None, Floats]:
        """`select` with the tools' names, for calibration."""
        held = self._vectors(self._annotated(tools))
        index, selected, support = self.select(text, pieces, self.network.encode(pieces.ids), held)
        return [held.tools[number].text.name for number in index], selected, support

    def select(self, text: str, pieces: Pieces, encoded: Encoded, held: ToolsetVectors) -> tuple[list[int], Selected | None, Floats]:
        """The shortlist, its logits with the prior in them, and what the prior rests on (k, 3)."""
        if not held.tools:
            return [], None, np.zeros((0, 3), np.float32)
        shares = self.network.overlap.shares(text, [tool.words for tool in held.tools])
        support = np.column_stack([held.vectors @ encoded.untuned, np.array(shares, dtype=np.float32)])
        said = held.said(text, pieces.ids)
        rough = self.network.rough(encoded, held.aims, held.offered, said)
        prior = self.calibration.prior
        index = np.argsort(-prior(rough, support), kind="stable")[:SHORTLIST]
        slots, kinds = held.offered.slots[index], held.offered.kinds[index]
        selected = self.network.select(encoded, held.vectors[index], held.means[index], rough[index], slots, kinds, said[index])
        return index.tolist(), replace(selected, present=prior(selected.present, support[index])), support[index]

    def _corrected(
        self, text: str, pieces: Pieces, reading: Reading, tools: Toolset, context: RouteContext
    ) -> Decision:
        """ "no, the kitchen": the last call with what the words give for its parameters."""
        sure = self.calibration.act(reading.features)
        last = (*context.last_calls, *context.pending_calls)[-1:]
        if not last or last[0].tool not in tools:
            return Decision(confidence=sure, act=DialogueAct.CORRECT, reason="correction of nothing")
        tool = tools[last[0].tool]
        held = self._cache.toolset(Toolset([tool])).tools
        place = [Place(0, 1, 0.0, 0.0)]
        (draft,) = fill(self.network, self.network.encode(pieces.ids), text, pieces, place, held, [tool], context)
        given = {name: value for name, value in draft.call.arguments.items() if draft.call.evidence.get(name) != "default"}
        if not given:
            return Decision((), Outcome.ASK, sure, draft.question, DialogueAct.CORRECT, reason="correction")
        evidence = {**dict.fromkeys(last[0].arguments, "context"), **{name: draft.call.evidence[name] for name in given}}
        call = Call(tool.name, {**last[0].arguments, **given}, evidence)
        return Decision((call,), Outcome.ACT, sure, act=DialogueAct.CORRECT, reason="correction")


def _repeated(drafts: Sequence[Draft]) -> set[int]:
    """The calls that equal one before them, or say in the same words a part of what another call of the tool says."""
    calls = [draft.call for draft in drafts]
    again = {number for number, call in enumerate(calls) if any(call.tool == other.tool and call.arguments == other.arguments for other in calls[:number])}
    return again | {number for number, call in enumerate(calls) if any(_within(call, other) for other in calls)}


def _within(call: Call, other: Call) -> bool:
    """Whether each argument is the other's from the same words, and the other has more."""
    said = {name: (value, call.evidence.get(name)) for name, value in call.arguments.items()}
    more = {name: (value, other.evidence.get(name)) for name, value in other.arguments.items()}
    return call.tool == other.tool and 0 < len(said) < len(more) and all(more.get(name) == pair for name, pair in said.items())
