"""Values named only in prose become enums; nothing else is touched. Dialogue acts are tools with distinct names."""

from __future__ import annotations

import copy

import jsonschema
import pytest

from voice_needle.events import DialogueAct
from voice_needle.route.stitch.annotate import annotate
from voice_needle.route.stitch.dialogue import DIALOGUE_TOOLS, act_of


def tool(**properties: dict[str, object]) -> dict[str, object]:
    return {"name": "t", "description": "d", "parameters": {"type": "object", "properties": properties, "required": []}}


def read(schema: dict[str, object], name: str) -> dict[str, object]:
    found: dict[str, object] = annotate(schema)["parameters"]["properties"][name]
    return found


def test_a_list_in_the_description_becomes_an_enum() -> None:
    schema = tool(kind={"type": "string", "description": "Type of media (album, artist, tv_show)"})
    assert read(schema, "kind")["enum"] == ["album", "artist", "tv_show"]


def test_home_assistants_domain_can_be_chosen_from_other_words() -> None:
    found = read(tool(domain={"type": "string", "description": "Domain of devices/entities in an area"}), "domain")
    spoken = found["x-spoken"]
    assert isinstance(spoken, dict) and "lights" in spoken["light"] and "curtains" in spoken["cover"]
    assert set(spoken) == set(found["enum"])  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "prop",
    [
        {"type": "string", "description": "A name (for example Anna, Ben)"},
        {"type": "string", "description": "The city (e.g. Rome, Paris, Oslo)"},
        {"type": "string", "enum": ["x"], "description": "One (a, b, c)"},
        {"type": "integer", "description": "Level (low, mid, high)"},
        {"type": "string", "format": "date", "description": "Day (monday, tuesday, friday)"},
        {"type": "string", "description": "Internet domain"},
    ],
)
def test_what_names_no_values_is_left_alone(prop: dict[str, object]) -> None:
    assert read(tool(domain=prop), "domain") == prop


def test_the_input_is_not_changed_and_odd_schemas_pass() -> None:
    schema = tool(kind={"type": "string", "description": "Type (a1, b2, c3)"})
    before = copy.deepcopy(schema)
    annotate(schema)
    assert schema == before
    for odd in ({"name": "t"}, {"name": "t", "parameters": None}, {"name": "t", "parameters": {"properties": [1]}}):
        assert annotate(odd) == odd


def test_there_is_one_tool_for_every_dialogue_act() -> None:
    assert [act_of(item["name"]) for item in DIALOGUE_TOOLS] == list(DialogueAct)
    for item in DIALOGUE_TOOLS:
        jsonschema.Draft202012Validator.check_schema(item["parameters"])
        assert item["description"]
    assert act_of("light_on") is None
