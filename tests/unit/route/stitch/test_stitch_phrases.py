"""What becomes of a span that the network marks: numbers take their unit, free text the whole phrase."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from voice_needle.events import RouteContext
from voice_needle.route.amounts import Parsed, Problem
from voice_needle.route.fill import complete_call
from voice_needle.route.stitch.arguments import Reader
from voice_needle.route.stitch.encoder.overlap import ToolWords
from voice_needle.route.stitch.encoder.tokens import Pieces
from voice_needle.route.stitch.schema_text import tool_text
from voice_needle.tools import Tool


def pieces_of(text: str) -> Pieces:
    """One piece a word, between the two marks at the ends."""
    spans = np.array([(0, 0), *(match.span() for match in re.finditer(r"\S+", text)), (len(text), len(text))])
    return Pieces(np.arange(len(spans)), spans)


def read(text: str, said: str, schema: dict[str, Any], name: str = "value") -> Parsed | Problem | None:
    """What the parameter gets where the network is sure that `said` is its span."""
    tool = Tool.from_schema({"name": "t", "parameters": {"properties": {name: schema}, "required": [name]}})
    text_of_tool = tool_text(tool.schema())
    held: Any = SimpleNamespace(text=text_of_tool, words=ToolWords.of(text_of_tool))
    pieces = pieces_of(text)
    first = next(at for at in range(1, len(pieces)) if pieces.spans[at, 0] == text.index(said))
    last = next(at for at in range(1, len(pieces)) if pieces.spans[at, 1] == text.index(said) + len(said))
    start, end = np.full(len(pieces), -20.0, np.float32), np.full(len(pieces), -20.0, np.float32)
    start[first] = end[last] = 20.0
    reader = Reader(text, pieces, tool, held, RouteContext(now=datetime(2026, 11, 21, 10, tzinfo=UTC)), len(text))
    reader.read(0, 5.0, start, end, None, [])
    return reader._options[name][0].found


MINUTES = {"type": "integer", "description": "How long, in minutes."}
COUNT = {"type": "integer"}
WHEN = {"type": "string", "description": "A date or time phrase."}
LONG = {"type": "string", "description": "The duration."}


@pytest.mark.parametrize(
    ("text", "said", "schema", "expected"),
    [
        ("wait 5 minutes", "5", MINUTES, 5),
        ("wait 2 hours", "2", MINUTES, 120),
        ("wait 2 hours", "2 hours", MINUTES, 120),
        ("bring 2 boxes", "2", MINUTES, 2),
        ("bring 2 hours of film", "2", COUNT, 2),
    ],
)
def test_a_number_takes_the_unit_that_follows_it(text: str, said: str, schema: dict[str, Any], expected: int) -> None:
    found = read(text, said, schema)
    assert isinstance(found, Parsed)
    assert found.value == expected


def test_a_number_of_another_unit_is_none() -> None:
    found = read("set the oven to 180 degrees", "180", MINUTES)
    assert isinstance(found, Problem)
    assert found.detail == "180 degrees"


def test_free_text_takes_the_whole_time_phrase() -> None:
    found = read("meet me tomorrow at 3pm sharp", "3pm", WHEN, "start_time")
    assert isinstance(found, Parsed)
    assert found.value == "tomorrow at 3pm"


@pytest.mark.parametrize(
    ("text", "said", "kind"),
    [("timer for the pasta", "pasta", "unsupported"), ("timer for minus 5 minutes", "5 minutes", "out_of_range")],
)
def test_what_is_no_duration_becomes_a_question(text: str, said: str, kind: str) -> None:
    found = read(text, said, LONG, "duration")
    assert isinstance(found, Problem)
    assert found.kind == kind


def test_a_list_in_brackets_is_taken_whole() -> None:
    numbers = {"type": "array", "items": {"type": "integer"}}
    found = read("flows of [-500, 20, 30] a year", "20,", numbers)
    assert isinstance(found, Parsed) and found.value == [-500, 20, 30]
    apart = read("flows of 3 and 20 a year", "20", numbers)
    assert isinstance(apart, Parsed) and apart.value == [20]


def test_a_percent_sign_belongs_to_its_number() -> None:
    found = read("at 5% a year", "5%", {"type": "number", "description": "Rate of interest"})
    assert isinstance(found, Parsed) and found.value == 0.05


def test_a_default_that_is_no_value_of_its_parameter_is_left_out() -> None:
    tool = Tool.from_schema({"name": "t", "parameters": {"properties": {
        "full": {"type": "boolean", "default": "False"}, "count": {"type": "integer", "default": 3}, "unit": {"type": "string", "default": "cm"}}}})  # fmt: skip
    call, question = complete_call(tool, {}, {}, RouteContext(now=datetime(2026, 11, 21, 10, tzinfo=UTC)))
    assert call.arguments == {"count": 3, "unit": "cm"} and question is None
