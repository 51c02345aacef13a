"""Reading JSON Schema as it is found: local references, foreign type names, missing types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NUMBER_TYPES = frozenset(["integer", "number", "float", "double", "int", "long", "decimal"])
LIST_TYPES = frozenset(["array", "tuple", "list", "set"])


def resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """`schema` with a local $ref followed, once for each definition."""
    seen: set[str] = set()
    while isinstance(reference := schema.get("$ref"), str) and reference not in seen:
        seen.add(reference)
        definitions = {**schema.get("definitions", {}), **schema.get("$defs", {})}
        target = definitions.get(reference.rsplit("/", 1)[-1])
        if not isinstance(target, Mapping):
            return {"type": "object"}
        schema = {"$defs": definitions, **target}
    return {"type": "object"} if "$ref" in schema else schema


def type_of(schema: Mapping[str, Any]) -> str:
    declared = schema.get("type")
    if isinstance(declared, Sequence) and not isinstance(declared, str):
        declared = next((t for t in declared if t != "null"), "string")
    if isinstance(declared, str):
        return declared.lower()
    if "items" in schema:
        return "array"
    if "properties" in schema:
        return "object"
    return "number" if any(k in schema for k in ("minimum", "maximum", "multipleOf", "x-unit")) else "string"


def is_open(schema: Mapping[str, Any]) -> bool:
    """Whether any words can be the value: a string without enum, format or pattern."""
    return type_of(schema) == "string" and not any(
        key in schema for key in ("enum", "const", "format", "pattern", "$ref")
    )


def texts(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(str(v) for v in value or ())
