"""From captured values to whole calls: declared defaults are filled in, and what is still missing becomes a question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voice_needle.events import Call, Question, RouteContext
from voice_needle.route.amounts import Parsed, Problem
from voice_needle.route.names import spoken_index
from voice_needle.route.schemas import LIST_TYPES, NUMBER_TYPES, type_of
from voice_needle.route.values import parse_value
from voice_needle.tools import Tool

HERE = "$room"  # as a default: the room in which the device stands


def complete_call(
    tool: Tool, arguments: Mapping[str, Any], evidence: Mapping[str, str], context: RouteContext
) -> tuple[Call, Question | None]:
    """The call with its declared defaults (evidence "default"), and the question for the first parameter still missing.

    A default of "$room" is the device's own room where that is a value of the parameter; without one it counts as missing.
    A default that is no value of its own parameter ("False" for a boolean) is left out: the tool knows it anyway.
    """
    filled, support = dict(arguments), dict(evidence)
    question: Question | None = None
    for name, schema in tool.properties.items():
        if name in filled or not isinstance(schema, Mapping):
            continue
        default = schema.get("default")
        if default == HERE:
            here = parse_value(context.room, schema, context) if context.room else None
            if isinstance(here, Parsed):
                filled[name], support[name] = here.value, "default"
            else:
                question = question or ask_for(tool, name)
        elif default is not None and _fits(default, schema):
            filled[name], support[name] = default, "default"
        elif name in tool.required:
            question = question or ask_for(tool, name)
    return Call(tool.name, filled, support), question


def _fits(default: Any, schema: Mapping[str, Any]) -> bool:
    kind = type_of(schema)
    if kind == "boolean" or isinstance(default, bool):
        return kind in ("boolean", "any") and isinstance(default, bool)
    if kind in NUMBER_TYPES:
        return isinstance(default, (int, float))
    if kind in LIST_TYPES:
        return isinstance(default, list | tuple)
    return kind != "string" or isinstance(default, str)


def ask_for(tool: Tool, parameter: str, problem: Problem | None = None) -> Question:
    """The question that a missing or unusable parameter raises."""
    if problem is not None:
        return Question(tool.name, parameter, problem.kind, problem.detail, problem.options)
    schema = tool.properties.get(parameter, {})
    options = spoken_index(schema).options if "enum" in schema else ()
    return Question(tool.name, parameter, "missing", "", options)
