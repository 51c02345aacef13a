"""Turns a checked plugin.yaml document into Tools: plain JSON Schema with the annotations of voice_needle.tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voice_needle.tools import Confirm, OnBargeIn, Policy, Risk, Say, Tool, Undo

FORMATS = {
    "duration": "duration",
    "time": "time",
    "date": "date",
    "datetime": "date-time",
    "identifier": "identifier",
}
_RENAMED = {
    "description": "description",
    "minimum": "minimum",
    "maximum": "maximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_items": "minItems",
    "max_items": "maxItems",
    "unit": "x-unit",
}

Forms = dict[str, tuple[str, ...]]


def spoken(declared: Any) -> Forms:
    """Canonical value -> spoken forms, from a mapping, a list or nothing; a value without forms is said as itself."""
    if isinstance(declared, list):
        declared = dict.fromkeys(declared)
    forms: Forms = {}
    for value, given in (declared or {}).items():
        said = [given] if isinstance(given, str | int | float) else list(given or ())
        forms[str(value)] = tuple(str(form) for form in said) or (str(value).replace("_", " "),)
    return forms


def vocabularies(document: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Forms]:
    """The declared vocabularies, each with what was found at run time added."""
    declared = {name: spoken(forms) for name, forms in (document.get("vocabularies") or {}).items()}
    for name, forms in (found or {}).items():
        merged = declared.setdefault(name, {})
        for value, said in spoken(forms).items():
            merged[value] = tuple(dict.fromkeys((*merged.get(value, ()), *said)))
    return declared


def settings(document: Mapping[str, Any]) -> tuple[dict[str, Any], frozenset[str]]:
    """name -> default (or {"secret": name}), and the names of those whose secret may be missing."""
    values: dict[str, Any] = {}
    optional: set[str] = set()
    for name, given in (document.get("settings") or {}).items():
        if not isinstance(given, dict):
            values[name] = given
        elif "secret" in given:
            values[name] = {"secret": given["secret"]}
        else:
            values[name] = given.get("default")
        if isinstance(given, dict) and given.get("required") is False:
            optional.add(name)
    return values, frozenset(optional)


def tools(document: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]] | None = None) -> tuple[Tool, ...]:
    """All tools of a document, in order. found: vocabulary -> value -> spoken forms, known only at run time."""
    known = vocabularies(document, found)
    expansions = dict(document.get("expansions") or {})
    return tuple(_tool(name, raw, document, known, expansions) for name, raw in (document.get("tools") or {}).items())


def _tool(
    name: str, raw: Mapping[str, Any], document: Mapping[str, Any], known: Mapping[str, Forms], expansions: Any
) -> Tool:
    parameters = raw.get("parameters") or {}
    properties = {key: parameter(spec, known) for key, spec in parameters.items()}
    required = [key for key, spec in parameters.items() if spec.get("required", True) and "default" not in spec]
    say = raw.get("say") or {}
    return Tool(
        name=name,
        description=raw["description"],
        parameters={
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        },
        sentences=tuple(raw.get("sentences") or ()),
        expansions=expansions,
        policy=policy(raw.get("policy") or {}),
        say=Say(
            success=say.get("success", ""),
            failure=say.get("failure", ""),
            questions=dict(say.get("questions") or {}),
            confirm=say.get("confirm", ""),
            on=dict(say.get("on") or {}),
        ),
        plugin=document["plugin"],
        handler=raw["handler"],
        result_bindings=dict(raw.get("bindings") or {}),
    )


def parameter(spec: Mapping[str, Any], known: Mapping[str, Forms]) -> dict[str, Any]:
    """One parameter as JSON Schema."""
    schema: dict[str, Any] = {}
    kind = spec.get("type", "string")
    if "vocabulary" in spec:
        forms = known.get(spec["vocabulary"], {})
        schema |= {
            "type": "string",
            "enum": list(forms),
            "x-spoken": {value: list(said) for value, said in forms.items()},
        }
        schema["x-vocabulary"] = spec["vocabulary"]
    elif "enum" in spec:
        schema |= _enum(spec["enum"], kind)
    elif kind == "list":
        schema |= {"type": "array", "items": parameter(spec.get("items") or {"type": "string"}, known)}
    elif kind in FORMATS:
        schema |= {"type": "string", "format": FORMATS[kind]}
    else:
        schema["type"] = kind
    schema |= {written: spec[key] for key, written in _RENAMED.items() if key in spec}
    if "default" in spec:
        schema["default"] = spec["default"]
    return schema


def _enum(declared: Any, kind: str) -> dict[str, Any]:
    forms = spoken(declared)
    cast: Any = {"integer": int, "number": float}.get(kind, str)
    kept = {cast(value): list(said) for value, said in forms.items()}
    return {
        "type": kind if kind in ("integer", "number") else "string",
        "enum": list(kept),
        "x-spoken": {str(value): said for value, said in kept.items()},
    }


def policy(raw: Mapping[str, Any]) -> Policy:
    """The policy block. What is not said is careful: high risk asks always, and a tool is taken to change something."""
    risk = Risk(raw.get("risk", "low"))
    careful = Confirm.ALWAYS if risk is Risk.HIGH else Confirm.UNSURE
    undo = raw.get("undo")
    return Policy(
        risk=risk,
        confirm=Confirm(raw["confirm"]) if "confirm" in raw else careful,
        timeout_ms=raw.get("timeout_ms", 3000),
        retries=raw.get("retries", 0),
        idempotent=raw.get("idempotent", False),
        on_barge_in=OnBargeIn(raw.get("on_barge_in", "finish")),
        undo=Undo(undo["tool"], dict(undo.get("arguments") or {})) if undo else None,
        requires=tuple(raw.get("requires") or ()),
        changes_state=raw.get("changes_state", True),
    )
