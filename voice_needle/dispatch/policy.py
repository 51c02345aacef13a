"""What may be executed: arguments that fit the schema, confirmation where risk asks for it. Below the router, always."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from voice_needle.errors import BadArguments
from voice_needle.tools import Confirm, Risk, Tool, spoken_forms

ROOM = "$room"


@dataclass(frozen=True)
class Thresholds:
    """The router's confidence (0 to 1) under which a tool with `confirm: unsure` asks first, for each risk."""

    low: float = 0.5
    medium: float = 0.8
    high: float = 0.95

    def of(self, risk: Risk) -> float:
        return float(getattr(self, risk.value))


class MissingArgument(BadArguments):
    """A required parameter has no value. parameter: its name; spoken: the question that asks for it."""

    def __init__(self, tool: Tool, parameter: str) -> None:
        self.parameter = parameter
        question = tool.say.questions.get(parameter) or f"Which {parameter.replace('_', ' ')}?"
        super().__init__(f"{tool.name} needs {parameter}", spoken=question)


@dataclass(frozen=True)
class Checked:
    """Arguments that fit the schema, and which of them came from a declared default."""

    arguments: Mapping[str, Any]
    defaulted: frozenset[str] = field(default_factory=frozenset)


def must_confirm(tool: Tool, confidence: float, thresholds: Thresholds | None = None) -> bool:
    """Whether the user has to say yes before this tool runs. confidence: of the whole decision, 0 to 1."""
    match tool.policy.confirm:
        case Confirm.ALWAYS:
            return True
        case Confirm.UNSURE:
            return confidence < (thresholds or Thresholds()).of(tool.policy.risk)
    return False


def complete(tool: Tool, arguments: Mapping[str, Any], room: str | None) -> Checked:
    """Fill in declared defaults and check everything. room: where the device stands, for `$room`.

    Errors: MissingArgument, BadArguments (one sentence for the ear).
    """
    filled = {name: value for name, value in arguments.items() if value is not None}
    defaulted = set()
    for name, schema in tool.properties.items():
        if name in filled or "default" not in schema:
            continue
        value = room if schema["default"] == ROOM else schema["default"]
        if value is None and schema["default"] == ROOM:
            raise MissingArgument(tool, name)
        filled[name] = value
        defaulted.add(name)
    for name in tool.required:
        if name not in filled:
            raise MissingArgument(tool, name)
    check(tool, filled)
    return Checked(filled, frozenset(defaulted))


def check(tool: Tool, arguments: Mapping[str, Any]) -> None:
    """Errors: BadArguments when the arguments break the tool's schema."""
    for name in arguments:
        if name not in tool.properties and tool.parameters.get("additionalProperties") is False:
            raise BadArguments(f"{tool.name} takes no {name}")
    error = next(iter(sorted(_validator(tool).iter_errors(dict(arguments)), key=_first_then_shallow)), None)
    if error is None:
        return
    name = str(error.absolute_path[0]) if error.absolute_path else ""
    said = _sentence(error, name.replace("_", " ") or "value", tool.properties.get(name, {}))
    raise BadArguments(f"{tool.name}: {name or 'arguments'}: {error.message[:200]}", spoken=said)


def _first_then_shallow(error: ValidationError) -> tuple[str, int]:
    return str(next(iter(error.absolute_path), "")), len(error.absolute_path)


_compiled: dict[str, Draft202012Validator] = {}


def _validator(tool: Tool) -> Draft202012Validator:
    """Compiled once for each content of a tool; forgotten all at once when hot reloads have left too many behind."""
    found = _compiled.get(tool.content_hash)
    if found is None:
        if len(_compiled) > 2000:
            _compiled.clear()
        found = _compiled[tool.content_hash] = Draft202012Validator(dict(tool.parameters))
    return found


def _sentence(error: ValidationError, name: str, schema: Mapping[str, Any]) -> str:
    unit = f" {schema['x-unit']}" if schema.get("x-unit") else ""
    value, limit = error.instance, error.validator_value
    match error.validator:
        case "minimum" | "exclusiveMinimum":
            return f"{value}{unit} is too low; the lowest {name} is {limit}."
        case "maximum" | "exclusiveMaximum":
            return f"{value}{unit} is too high; the highest {name} is {limit}."
        case "enum":
            forms = [said[0] for said in spoken_forms(schema).values()]
            choice = ", ".join(forms[:-1]) + f" or {forms[-1]}" if 1 < len(forms) <= 5 else ""
            return f"I do not know the {name} {value}." + (f" It can be {choice}." if choice else "")
        case "type":
            return f"{value} is not a {name} that I can use."
    return f"I cannot use {value} as the {name}."
