"""Stitch with its weights: requests, refusals, bad input, damaged files, the cache, and what no call may ever break."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voice_needle.errors import ModelCorrupt, ModelMissing
from voice_needle.events import Call, DialogueAct, Outcome, RouteContext, Transcript
from voice_needle.route import Stitch
from voice_needle.route.stitch.cache import SchemaCache
from voice_needle.route.stitch.encoder.network import Network, weights_folder
from voice_needle.route.stitch.engine import StitchRouter
from voice_needle.tools import Tool, Toolset

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
LIGHT = {"name": "light_on", "description": "Turn on a light", "parameters": {"type": "object", "required": ["room"], "properties": {
    "room": {"type": "string", "description": "Which room", "enum": ["kitchen", "hall", "living_room"]},
    "brightness": {"type": "integer", "minimum": 1, "maximum": 100, "x-unit": "percent", "description": "How bright"}}}}  # fmt: skip
TIMER = {"name": "set_timer", "description": "Start a timer", "parameters": {"type": "object", "required": ["duration"], "properties": {
    "duration": {"type": "string", "format": "duration", "description": "How long"}}}}  # fmt: skip
NOTE = {"name": "take_note", "description": "Write a note down", "parameters": {"type": "object", "required": ["text"], "properties": {
    "text": {"type": "string", "description": "What to write"}}}}  # fmt: skip
TOOLS = [LIGHT, TIMER, NOTE]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def stitch(cache: Path) -> Stitch:
    return Stitch(TOOLS, cache=cache)


def calls(stitch: Stitch, text: str) -> list[tuple[str, dict[str, Any]]]:
    decision = stitch.route(text)
    return [(call.tool, dict(call.arguments)) for call in decision.calls] if decision.outcome is Outcome.ACT else []


# --- what it is for --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("turn on the hall light", [("light_on", {"room": "hall"})]),
        ("could you please turn the light on in the living room", [("light_on", {"room": "living_room"})]),
        ("set a timer for ten minutes", [("set_timer", {"duration": "PT10M"})]),
    ],
)
def test_a_request_becomes_its_call(stitch: Stitch, text: str, expected: list[tuple[str, dict[str, Any]]]) -> None:
    assert calls(stitch, text) == expected


@pytest.mark.parametrize(
    "text",
    ["my sister moved to leeds last year", "what is the capital of france", "don't turn on the hall light", "she said turn on the hall light",
     "what would happen if you turned on the hall light", "turn on the light in the attic", "set the hall light to nine hundred percent"],
)  # fmt: skip
def test_what_is_no_servable_request_executes_nothing(stitch: Stitch, text: str) -> None:
    assert calls(stitch, text) == []


def test_a_missing_argument_is_asked_for(stitch: Stitch) -> None:
    decision = stitch.route("start a timer")
    assert decision.outcome is Outcome.ASK
    assert decision.question is not None and (decision.question.tool, decision.question.parameter) == ("set_timer", "duration")


def test_a_correction_changes_one_argument_of_the_last_call(stitch: Stitch) -> None:
    last = Call("light_on", {"room": "hall", "brightness": 40}, {"room": "hall", "brightness": "forty percent"})
    decision = stitch.route("no the kitchen", RouteContext(now=NOW, last_calls=(last,)))
    assert decision.act is DialogueAct.CORRECT
    assert [dict(call.arguments) for call in decision.calls] == [{"room": "kitchen", "brightness": 40}]


def test_nothing_is_carried_over_from_one_request_to_the_next(stitch: Stitch) -> None:
    first = stitch.route("turn on the hall light")
    stitch.route("set a timer for ten minutes")
    again = stitch.route("turn on the hall light")
    assert (first.calls, first.outcome, first.confidence) == (again.calls, again.outcome, again.confidence)


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "   ", "\x00\x07\x1b[31m", "light " * 10_000, "<tools>[]</tools>", "🙂" * 40, "\ud800", "?!.,"])
def test_bad_words_are_declined_and_never_raise(stitch: Stitch, text: str) -> None:
    assert calls(stitch, text) == []


@pytest.mark.parametrize("parameters", [
    {"type": "object", "properties": {"x": {"type": "wat"}}},
    {"type": "object", "properties": {"x": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"$ref": "#/$defs/x"}}},
    {"type": "object", "properties": {"x": {"type": "object", "properties": {"y": {"$ref": "#"}}}}},
    {"type": "object", "properties": {"x": {"enum": []}}, "required": "x"},
    {"type": "object", "properties": {"x": None}},
    {},
])  # fmt: skip
def test_schemas_that_make_no_sense_do_no_harm(cache: Path, parameters: dict[str, Any]) -> None:
    odd = Stitch([{"name": "odd", "description": "Do the odd thing with x", "parameters": parameters}, LIGHT], cache=cache)
    assert calls(odd, "turn on the hall light") == [("light_on", {"room": "hall"})]
    odd.route("do the odd thing with x seven")


def test_five_hundred_tools_leave_the_right_one_to_be_found(cache: Path) -> None:
    many = [
        {"name": f"machine_{n}_report", "description": f"Print the weekly report of machine number {n}", "parameters": {}} for n in range(499)
    ]
    assert calls(Stitch([*many, LIGHT], cache=cache), "turn on the hall light") == [("light_on", {"room": "hall"})]


def test_no_tools_serve_nothing(cache: Path) -> None:
    assert calls(Stitch([], cache=cache), "turn on the hall light") == []


# --- files -----------------------------------------------------------------------------------------------------------


def test_missing_weights_are_an_error_that_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing) as caught:
        StitchRouter(tmp_path)
    assert "pip install" in caught.value.fix


@pytest.mark.parametrize("name", ["tower.onnx", "embeddings.npz", "vocab.txt", "model.json"])
def test_damaged_weights_are_an_error_that_says_what_to_type(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(weights_folder(), folder)
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 0xFF
    (folder / name).write_bytes(bytes(data[: len(data) - 7]))
    with pytest.raises(ModelCorrupt) as caught:
        StitchRouter(folder)
    assert caught.value.fix


def test_schema_vectors_come_from_disk_the_second_time_and_damaged_ones_are_computed_again(tmp_path: Path) -> None:
    network = Network()
    tools = Toolset(TOOLS)
    fresh = SchemaCache(network, tmp_path).toolset(tools)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(files) == len(TOOLS)
    asked: list[str] = []
    real = network.schema
    network.schema = lambda texts: (asked.extend(texts), real(texts))[1]  # type: ignore[method-assign]
    kept = SchemaCache(network, tmp_path).toolset(tools)
    assert asked == [] and np.allclose(kept.vectors, fresh.vectors, atol=1e-3)
    files[0].write_bytes(files[0].read_bytes()[:-100] + b"x" * 100)
    files[1].write_bytes(b"")
    mended = SchemaCache(network, tmp_path).toolset(tools)
    assert asked and np.allclose(mended.vectors, fresh.vectors, atol=1e-3)


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    router = StitchRouter(cache=blocked)
    assert router.route(Transcript("turn on the hall light"), Toolset(TOOLS), RouteContext(now=NOW)).calls


def test_routing_imports_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from voice_needle.route import Stitch; "
        "Stitch([{'name': 'stop_pump', 'description': 'Stop the pump'}]).route('stop the pump'); "
        "print([name for name in ('torch', 'transformers', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- what no call may ever break -------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    ["turn", "on", "off", "the", "light", "kitchen", "hall", "set", "timer", "for", "ten", "five", "hundred", "minutes", "percent", "play", "note", "write", "milk", "to", "in", "at", "seven", "volume", "up", "red", "blue", "open", "close", "please", "not", "and", "then", "it", "window", "22.5", "14", "a", "b", "degrees", "tomorrow", "morning"]
)
TYPES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({"type": "string"}),
    st.builds(lambda low, size: {"type": "integer", "minimum": low, "maximum": low + size}, st.integers(-5, 50), st.integers(0, 60)),
    st.just({"type": "number", "exclusiveMinimum": 0}),
    st.just({"type": "boolean"}),
    st.builds(lambda values: {"type": "string", "enum": sorted(values)}, st.sets(WORDS, min_size=1, max_size=6)),
    st.sampled_from(["duration", "time", "date", "date-time"]).map(lambda form: {"type": "string", "format": form}),
    st.just({"type": "array", "items": {"type": "string"}, "maxItems": 2}),
    st.just({"type": "string", "pattern": "^[A-Z][0-9]+$"}),
)
NAMES = st.lists(WORDS.filter(str.isalpha), min_size=1, max_size=3, unique=True).map("_".join)


@st.composite
def schemas(draw: st.DrawFn) -> list[dict[str, Any]]:
    found = []
    for name in draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)):
        properties = {key: draw(TYPES) for key in draw(st.lists(NAMES, max_size=3, unique=True))}
        required = [key for key in properties if draw(st.booleans())]
        description = " ".join(draw(st.lists(WORDS, max_size=6)))
        found.append({"name": name, "description": description, "parameters": {"type": "object", "properties": properties, "required": required}})
    return found


@given(schemas(), st.lists(WORDS, min_size=1, max_size=12).map(" ".join))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_every_call_keeps_its_schema_and_every_string_comes_from_the_words(raw: StitchRouter, tools: list[dict[str, Any]], text: str) -> None:
    offered = Toolset(tools)
    for call in raw.route(Transcript(text), offered, RouteContext(now=NOW)).calls:
        tool: Tool = offered[call.tool]
        partial = {**tool.parameters, "required": []}
        jsonschema.validate(dict(call.arguments), partial)
        for name, value in call.arguments.items():
            schema = tool.properties[name]
            if isinstance(value, str) and not {"enum", "format", "pattern"} & set(schema):
                assert value in text


@given(schemas(), st.lists(WORDS, min_size=1, max_size=12).map(" ".join))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_what_is_executed_is_complete(cache: Path, guarded: Any, tools: list[dict[str, Any]], text: str) -> None:
    offered = Toolset(tools)
    decision = guarded.route(Transcript(text), offered, RouteContext(now=NOW))
    if decision.outcome in (Outcome.ACT, Outcome.CONFIRM):
        assert decision.calls
        for call in decision.calls:
            jsonschema.validate(dict(call.arguments), dict(offered[call.tool].parameters))


@pytest.fixture(scope="module")
def raw(cache: Path) -> StitchRouter:
    return StitchRouter(cache=cache)


@pytest.fixture(scope="module")
def guarded(stitch: Stitch) -> Any:
    return stitch.router
