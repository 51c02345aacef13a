"""From the network's numbers to calls: which tools, where each call starts, and what `fill` is asked about each (see arguments)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voice_needle.events import RouteContext
from voice_needle.route.schemas import type_of
from voice_needle.route.stitch.arguments import Draft, Reader
from voice_needle.route.stitch.cache import ToolVectors
from voice_needle.route.stitch.encoder.hints import mark, padded
from voice_needle.route.stitch.encoder.network import WIDTH, Encoded, Network, Selected
from voice_needle.route.stitch.encoder.tokens import Pieces
from voice_needle.tools import Tool

FLOOR = -3.0  # logit under which nothing is even proposed
CALLS = 6  # more in one breath are not believed


@dataclass(frozen=True)
class Place:
    """Where a call starts and which tool it is of. tool: index into the shortlist."""

    tool: int
    start: int  # word-piece
    present: float  # logit
    sure: float  # logit of the start


def places(selected: Selected) -> list[Place]:
    """The calls, in spoken order: as many as the network counts, from the likeliest tools and starts, no two from one word on.

    The count is about the sentence, and holds for tools never seen; whether a tool is meant at all is less certain there. So a
    likeliest tool is proposed down to FLOOR, and whether it is believed is for the calibrated confidence to say.
    """
    if selected.servable <= FLOOR or not len(selected.present):
        return []
    counted = int(selected.count.argmax())
    first: list[Place] = []  # the likeliest start of each tool that is likelier meant than not
    others: list[Place] = []
    for tool in np.flatnonzero(selected.present > FLOOR).tolist():
        starts = selected.starts[tool].copy()
        starts[0] = starts[-1] = -1e4
        for rank, at in enumerate(np.argsort(-starts, kind="stable")[: len(starts) - 2][: CALLS if counted > 1 else 1].tolist()):
            place = Place(tool, at, float(selected.present[tool]), float(starts[at]))
            if rank and (place.sure < FLOOR or starts[at] < starts[at - 1 : at + 2].max()):
                continue  # no peak
            (others if rank or place.present <= 0.0 else first).append(place)
    first.sort(key=lambda place: -place.present)
    others.sort(key=lambda place: -(log_share(place.present) + log_share(place.sure)))
    found = first + others
    more = len(selected.count) - 1  # the last class: so many, or more
    kept: list[Place] = []
    for place in found:
        enough = len(kept) >= max(1, counted)
        sure = place.present > 0.0 and place.sure > 0.0
        if enough and not (counted == more and sure and len(kept) < CALLS):
            continue
        if all(place.start != other.start and (place.tool != other.tool or abs(place.start - other.start) > 1) for other in kept):
            kept.append(place)
    return sorted(kept, key=lambda place: place.start)


def log_share(logit: float) -> float:
    """Log-probability of what the logit speaks for."""
    return -math.log1p(math.exp(-logit)) if logit > -30 else float(logit)


def fill(
    network: Network, encoded: Encoded, text: str, pieces: Pieces, wanted: Sequence[Place], vectors: Sequence[ToolVectors],
    tools: Sequence[Tool], context: RouteContext, floor: float = 0.0,
) -> list[Draft]:  # fmt: skip
    """The arguments of each place's call. vectors, tools: one for each place. floor: logit from which a parameter is given."""
    inputs, matched, choices = _inputs(text, pieces, wanted, vectors)
    present, start, end, value = network.fill(encoded, inputs)
    drafts = []
    for row, (held, tool) in enumerate(zip(vectors, tools, strict=True)):
        later = min((other.start for other in wanted if other.start > wanted[row].start), default=len(pieces))
        limit = int(pieces.spans[later, 0]) if later < len(pieces) - 1 else len(text)
        reader = Reader(text, pieces, tool, held, context, limit, floor, wanted[row].start)
        for column in range(len(held.text.parameters)):
            at = choices.get((row, column))
            logits = None if at is None else value[at]
            reader.read(column, float(present[row, column]), start[row, column], end[row, column], logits, matched[row][column])
        drafts.append(reader.draft())
    return drafts


def lists(draft: Draft, tool: Tool) -> int:
    """Items of the longest list among a call's arguments."""
    names = [name for name, schema in tool.properties.items() if isinstance(schema, Mapping) and type_of(schema) == "array"]
    return max((len(value) for name in names if isinstance(value := draft.call.arguments.get(name), list | tuple)), default=0)


def one_list(drafts: Sequence[Draft], tools: Sequence[Tool]) -> int | None:
    """The first call that may be the rest of the list of the call before: of the same tool, both with one item."""
    for number in range(1, len(drafts)):
        same = tools[number].name == tools[number - 1].name
        if same and lists(drafts[number], tools[number]) and lists(drafts[number - 1], tools[number - 1]):
            return number
    return None


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
    inputs: dict[str, NDArray[Any]] = {
        "place": place, "tool": np.stack([held.tool for held in vectors]), "parameters": parameters, **grid,
        "parameter_mask": mask, "hints": hints.astype(np.float32), "values": values,
        "owner": np.array(chosen, dtype=np.int64), "matches": matches,
    }  # fmt: skip
    return inputs, matched, {key: at for at, key in enumerate(chosen)}
