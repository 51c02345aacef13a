"""What the model reads of a tool: one text a tool, a parameter and a value, and what kind of value each parameter takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from voice_needle.tools import spoken_forms

KINDS = ("string", "integer", "number", "boolean", "enum", "array", "time", "date", "date-time", "duration", "identifier",
         "percent", "quantity", "other")  # fmt: skip
VALUE_LIMIT = 256  # values of one enum that the model scores; further ones are only matched by their words
PARAMETER_LIMIT = 48  # parameters of one tool that the model fills

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_YES_NO_WORDS = (("true", "yes, on, true, with"), ("false", "no, off, false, without"))
_YES_NO: tuple[tuple[bool, str], ...] = ((True, _YES_NO_WORDS[0][1]), (False, _YES_NO_WORDS[1][1]))


@dataclass(frozen=True)
class ValueText:
    """One value of an enum or boolean. forms: how it is said, lower case, [] for booleans."""

    value: Any
    text: str
    forms: tuple[str, ...]


@dataclass(frozen=True)
class ParameterText:
    """One parameter. kind: index into KINDS."""

    name: str
    text: str
    kind: int
    required: bool
    values: tuple[ValueText, ...]


@dataclass(frozen=True)
class ToolText:
    """One tool."""

    name: str
    text: str
    parameters: tuple[ParameterText, ...]


def words(name: str) -> str:
    """ "HassTurnOn", "set_volume", "math.sum" -> "hass turn on", "set volume", "math sum"."""
    return " ".join(re.split(r"[\s_.\-/:]+", _CAMEL.sub(" ", name))).strip().lower()


def resolve(schema: Any, depth: int = 0) -> Mapping[str, Any]:
    """The schema itself, or the first usable branch of anyOf/oneOf/allOf; {} for what is no object or too deep."""
    if not isinstance(schema, Mapping) or depth > 4:
        return {}
    if "type" not in schema and "enum" not in schema:
        for key in ("anyOf", "oneOf", "allOf"):
            branches = schema.get(key)
            if isinstance(branches, list | tuple):
                for branch in branches:
                    found = resolve(branch, depth + 1)
                    if found and found.get("type") != "null":
                        return {**schema, **found}
    return schema


def kind_of(schema: Mapping[str, Any]) -> str:
    """One of KINDS."""
    if isinstance(schema.get("enum"), list | tuple) and schema["enum"]:
        return "enum"
    name = schema.get("type")
    if isinstance(name, list | tuple):
        name = next((item for item in name if item != "null"), None)
    form = schema.get("format")
    if form in KINDS:
        return str(form)
    if name in ("integer", "number", "float"):
        unit = schema.get("x-unit")
        return "percent" if unit == "percent" else "quantity" if unit else "integer" if name == "integer" else "number"
    if name in ("array", "tuple"):
        return "array"
    return str(name) if name in ("string", "boolean") else "other" if name else "string"


def tool_text(schema: Mapping[str, Any]) -> ToolText:
    """Everything the model reads of one tool in OpenAI's function form. Never raises: what cannot be read is left out."""
    name = words(str(schema.get("name", "")))
    parameters = schema.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    required = parameters.get("required") if isinstance(parameters, Mapping) else None
    required = set(map(str, required)) if isinstance(required, list | tuple) else set()
    found = []
    if isinstance(properties, Mapping):
        for key, inner in list(properties.items())[:PARAMETER_LIMIT]:
            found.append(_parameter(name, str(key), resolve(inner), str(key) in required))
    description = str(schema.get("description") or "").strip()
    listed = ", ".join(words(item.name) for item in found[:8])
    text = f"{name}: {description}" if description else name
    return ToolText(str(schema.get("name", "")), f"{text} ({listed})" if listed else text, tuple(found))


def _parameter(tool: str, name: str, schema: Mapping[str, Any], required: bool) -> ParameterText:
    kind = kind_of(schema)
    spoken = words(name)
    description = str(schema.get("description") or "").strip()
    unit = schema.get("x-unit")
    text = f"{spoken}: {description}" if description else spoken
    text += f" ({unit})" if unit else ""
    return ParameterText(name, f"{text}, to {tool}", KINDS.index(kind), required, _values(spoken, kind, schema))


def _values(parameter: str, kind: str, schema: Mapping[str, Any]) -> tuple[ValueText, ...]:
    if kind == "boolean":
        return tuple(ValueText(value, f"{parameter}: {text}", ()) for value, text in _YES_NO)
    if kind != "enum":
        return ()
    forms = spoken_forms(schema)
    found = []
    for value in list(schema["enum"])[:VALUE_LIMIT]:
        said = tuple(str(form).lower() for form in forms.get(str(value), (str(value),)))
        told = dict(_YES_NO_WORDS).get(str(value).lower(), ", ".join(said[:4]))
        found.append(ValueText(value, f"{parameter}: {told}", said))
    return tuple(found)
