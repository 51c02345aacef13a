"""Gives string parameters the values that their description or a well-known interface already names.

Many schemas say in prose what JSON Schema would say as an enum: "Type of media (album, artist, genre)". Home Assistant's
intents take a `domain` and a `device_class` without listing them (developers.home-assistant.io/docs/intent_builtin). With
an enum a router can choose the value from words that do not contain it ("turn the lights on": domain light).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from voice_needle.tools import Tool

_LISTED = re.compile(r"\((?:one of:? )?([a-z][a-z0-9_]*(?:, (?:or )?[a-z][a-z0-9_]*){2,})\)")

HOME_ASSISTANT: Mapping[str, tuple[str, Mapping[str, tuple[str, ...]]]] = {
    "domain": ("Domain of devices", {
        "light": ("lights", "light", "lamps", "lamp"), "fan": ("fans", "fan"), "switch": ("switches", "switch", "outlets"),
        "cover": ("blinds", "curtains", "shutters", "windows", "garage door", "covers", "shades", "awning", "gate"),
        "lock": ("locks", "lock"), "media_player": ("media players", "speakers", "tv"), "climate": ("thermostat", "heating"),
        "vacuum": ("vacuums", "vacuum"), "valve": ("valves", "valve"), "scene": ("scene",), "script": ("script",),
    }),
    "device_class": ("Device class", {
        "awning": ("awning", "awnings"), "blind": ("blinds", "blind"), "curtain": ("curtains", "curtain", "drapes"),
        "damper": ("damper", "dampers"), "door": ("doors", "door"), "garage": ("garage door", "garage doors", "garage"),
        "gate": ("gate", "gates"), "shade": ("shades", "shade"), "shutter": ("shutters", "shutter"),
        "window": ("windows", "window"),
    }),
}  # fmt: skip
"""Parameter -> (how its description begins, value -> spoken forms)."""


def annotate(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The tool with enums where its own words, or the interface it belongs to, name the values. The input is not changed."""
    parameters = schema.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    if not isinstance(parameters, Mapping) or not isinstance(properties, Mapping):
        return dict(schema)
    read = {name: _property(str(name), found) for name, found in properties.items()}
    return {**schema, "parameters": {**parameters, "properties": read}}


def _property(name: str, schema: Any) -> Any:
    if not isinstance(schema, Mapping) or schema.get("type") != "string" or "enum" in schema or "format" in schema:
        return schema
    description = str(schema.get("description") or "")
    known = HOME_ASSISTANT.get(name)
    if known is not None and description.startswith(known[0]):
        return {**schema, "enum": list(known[1]), "x-spoken": {value: list(forms) for value, forms in known[1].items()}}
    listed = _LISTED.search(description)
    if listed:
        return {**schema, "enum": [value.removeprefix("or ") for value in listed.group(1).split(", ")]}
    return schema


@lru_cache(maxsize=2048)
def _parameters(content_hash: str, tool: _ByContent) -> Mapping[str, Any]:
    found: Mapping[str, Any] = annotate(tool.tool.schema())["parameters"]
    return found


class _ByContent:
    """A tool as a cache argument: equal where the content hash, which stands beside it, is."""

    def __init__(self, tool: Tool) -> None:
        self.tool = tool

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByContent)

    def __hash__(self) -> int:
        return 0


def annotated(tool: Tool) -> Tool:
    """The same tool with `annotate`d parameters; remembered by content."""
    return replace(tool, parameters=_parameters(tool.content_hash, _ByContent(tool)))
