"""Checks the shape of a plugin.yaml against plugin.schema.json and says each mistake in a sentence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from voice_needle import __version__
from voice_needle.dispatch.problem import Problem, nearest
from voice_needle.dispatch.yaml_lines import Document

_KINDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


@cache
def _schema_text() -> str:
    return resources.files("voice_needle.dispatch").joinpath("plugin.schema.json").read_text(encoding="utf-8")


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of plugin.yaml."""
    loaded: dict[str, Any] = json.loads(_schema_text())
    return loaded


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(schema())


@cache
def fingerprint() -> bytes:
    """Changes whenever the checks may: part of the key of the manifest cache."""
    return hashlib.sha256(f"{__version__}\0{_schema_text()}".encode()).digest()


def problems(document: Document, file: Path) -> list[Problem]:
    """Every breach of the schema, one Problem each."""
    found: list[Problem] = []
    for error in _validator().iter_errors(document.value):
        found.extend(_explain(error, document, file))
    return found


def _explain(error: ValidationError, document: Document, file: Path) -> Iterator[Problem]:
    path = tuple(error.absolute_path)
    where = ".".join(str(part) for part in path) or "the file"
    line = document.line(path)
    rule: Any = error.validator_value
    instance: Any = error.instance
    schema_here: Any = error.schema
    match error.validator:
        case "additionalProperties":
            valid = tuple(schema_here.get("properties", ()))
            for key in instance:
                if key not in valid:
                    near = nearest(str(key), valid)
                    listed = "" if near else f"; valid here: {', '.join(valid)}"
                    yield Problem(file, document.line((*path, key)), f"unknown key '{key}' in {where}{listed}", near)
        case "required":
            missing = [key for key in rule if key not in instance]
            for key in missing:
                yield Problem(file, line, f"{where} needs '{key}'")
        case "type":
            yield Problem(file, line, f"{where} must be {_wanted(rule)}, not {_is(instance)}")
        case "enum":
            valid = tuple(str(value) for value in rule)
            message = f"{where} is '{instance}', but must be one of {', '.join(valid)}"
            yield Problem(file, line, message, nearest(str(instance), valid))
        case "minProperties" | "maxProperties" if path[-1:] == ("handler",):
            yield Problem(file, line, f"{where} must be exactly one of python, command, http, mqtt, mcp")
        case "minLength" | "minItems" | "minProperties":
            yield Problem(file, line, f"{where} is empty")
        case "pattern":
            yield Problem(file, line, f"{where} is '{instance}', which is not {_form(path)}")
        case _:
            yield Problem(file, line, f"{where}: {error.message}")


def _form(path: tuple[str | int, ...]) -> str:
    if path[-1:] == ("python",):
        return "of the form file.py:function"
    if len(path) > 1 and path[-2] == "bindings":
        return "of the form tool.value"
    return "a name of small letters, digits and _"


def _wanted(types: str | list[str]) -> str:
    names = [types] if isinstance(types, str) else types
    return " or ".join(_KINDS[name] for name in names if name != "null")


def _is(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return f"{str(value).lower()} (true or false)"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case str():
            return f"text ('{value[:40]}')"
    return f"the number {value}"
