"""The last line before a decision leaves the route stage: schema, support, confidence and confirmation.

A call that names an unknown tool or parameter, breaks its schema, or holds open words that nobody said is refused whatever engine
made it and however sure it was. What is left acts, asks for confirmation, or is declined, by its confidence against the threshold
of the riskiest tool in it. Thresholds come from an engine's calibration file where there is one.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError

from voice_needle.errors import ConfigError
from voice_needle.events import Call, Decision, Outcome, RouteContext
from voice_needle.route.numbers import tokenize
from voice_needle.route.phrases import without_fillers
from voice_needle.route.schemas import is_open
from voice_needle.route.stitch.annotate import annotated
from voice_needle.tools import Confirm, Risk, Tool

_RISKS = (Risk.LOW, Risk.MEDIUM, Risk.HIGH)
_TYPES = {"float": "number", "double": "number", "decimal": "number", "int": "integer", "long": "integer", "dict": "object",
          "map": "object", "tuple": "array", "list": "array", "set": "array", "str": "string", "bool": "boolean",
          "date": "string", "char": "string"}  # fmt: skip
_KNOWN_TYPES = frozenset(["string", "number", "integer", "boolean", "array", "object", "null"])
_DURATION = re.compile(r"P(?=.)(?:\d+(?:\.\d+)?[YMWD])*(?:T(?=.)(?:\d+(?:\.\d+)?[HMS])+)?")


@dataclass(frozen=True)
class Thresholds:
    """Confidence (0 to 1) from which a call of each risk is executed, and from which it is at least asked about."""

    act: Mapping[Risk, float] = field(default_factory=lambda: {Risk.LOW: 0.70, Risk.MEDIUM: 0.85, Risk.HIGH: 0.95})
    confirm: Mapping[Risk, float] = field(default_factory=lambda: {Risk.LOW: 0.45, Risk.MEDIUM: 0.50, Risk.HIGH: 0.60})

    @classmethod
    def load(cls, path: Path) -> Thresholds:
        """Read {"act": {"low": 0.7, ...}, "confirm": {...}}; the defaults where the file or a key is missing.

        Errors: ConfigError for a file that is not that.
        """
        default = cls()
        if not path.is_file():
            return default
        try:
            given = json.loads(path.read_text("utf-8"))
            given = given.get("thresholds", given)
            tables = [
                {risk: float(given.get(name, {}).get(risk.value, table[risk])) for risk in _RISKS}
                for name, table in (("act", default.act), ("confirm", default.confirm))
            ]
        except (ValueError, AttributeError, TypeError) as problem:
            raise ConfigError(
                f"The calibration {path} cannot be read: {problem}", fix="voice-needle models verify"
            ) from problem
        return cls(*tables)


def gate(
    decision: Decision,
    text: str,
    tools: Mapping[str, Tool],
    context: RouteContext,
    thresholds: Thresholds | None = None,
) -> Decision:
    """`decision` with the outcome that its calls, their tools' policies and its confidence allow. text: what was said."""
    if decision.outcome in (Outcome.DECLINE, Outcome.ASK):
        calls = tuple(c for c in decision.calls if not broken(c, tools, text, context, whole=False))
        return decision if len(calls) == len(decision.calls) else replace(decision, calls=calls)
    if not decision.calls:
        return replace(decision, outcome=Outcome.DECLINE)
    for call in decision.calls:
        fault = broken(call, tools, text, context)
        if fault:
            return replace(decision, calls=(), outcome=Outcome.DECLINE, reason=fault)
    used = [tools[call.tool] for call in decision.calls]
    outcome, reason = _outcome(decision, used, thresholds or Thresholds())
    calls = () if outcome is Outcome.DECLINE else decision.calls
    return replace(decision, calls=calls, outcome=outcome, reason=reason or decision.reason)


def _outcome(decision: Decision, tools: Sequence[Tool], thresholds: Thresholds) -> tuple[Outcome, str]:
    risk = max((tool.policy.risk for tool in tools), key=_RISKS.index)
    confirms = {tool.policy.confirm for tool in tools}
    act, ask = thresholds.act[risk], thresholds.confirm[risk]
    if decision.confidence >= act:
        confirm = Confirm.ALWAYS in confirms or decision.outcome is Outcome.CONFIRM
        return (Outcome.CONFIRM, "") if confirm else (Outcome.ACT, "")
    if decision.confidence >= ask and Confirm.NEVER not in confirms:
        return Outcome.CONFIRM, f"below threshold {act:.2f}"
    return Outcome.DECLINE, f"below threshold {act:.2f}"


# --- what a call must keep -------------------------------------------------------------------------------------------


def broken(call: Call, tools: Mapping[str, Tool], text: str, context: RouteContext, *, whole: bool = True) -> str:
    """Why this call may not leave, or "". whole: also require what the schema requires (not so while a question is open)."""
    tool = tools.get(call.tool)
    if tool is None:
        return f"no such tool: {call.tool}"
    unknown = [name for name in call.arguments if name not in tool.properties]
    if unknown:
        return f"no such parameter: {call.tool}.{unknown[0]}"
    for problem in _validator(tool).iter_errors(dict(call.arguments)):
        if whole or problem.validator != "required":
            where = ".".join(str(part) for part in problem.absolute_path)
            return f"breaks the schema of {call.tool}{'.' + where if where else ''}: {problem.validator}"
    said = without_fillers(tokenize(text))
    properties = annotated(tool).properties  # values that only the description lists are the schema's own, too
    for name, value in call.arguments.items():
        if not supported(name, value, call, properties[name], said, context):
            return f"nobody said {call.tool}.{name}"
    return ""


def supported(
    name: str, value: Any, call: Call, schema: Mapping[str, Any], said: Sequence[str], context: RouteContext
) -> bool:
    """Whether the words, a declared default or the conversation support a value. Only open strings can be unsupported words."""
    evidence = call.evidence.get(name, "")
    if evidence == "default":
        return value == schema.get("default") or schema.get("default") == "$room"
    if evidence == "context":
        before = (*context.last_calls, *context.pending_calls)
        return any(old.tool == call.tool and old.arguments.get(name) == value for old in before)
    if not isinstance(value, str) or not isinstance(schema, Mapping) or not is_open(schema):
        return not (isinstance(schema, Mapping) and isinstance(schema.get("enum"), list)) or value in schema["enum"]
    wanted = without_fillers(tokenize(value))
    return any(tuple(said[at : at + len(wanted)]) == wanted for at in range(len(said) - len(wanted) + 1)) and bool(
        wanted
    )


_VALIDATORS: OrderedDict[str, Draft202012Validator] = OrderedDict()
_FORMATS = FormatChecker(formats=())


def _validator(tool: Tool) -> Draft202012Validator:
    """A validator for the tool's parameters; its schema mended where it uses types that JSON Schema does not know."""
    found = _VALIDATORS.get(tool.content_hash)
    if found is None:
        schema = {**_mended(tool.parameters), "type": "object"}
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError:
            schema = {"type": "object", "required": [r for r in tool.required if isinstance(r, str)]}
        found = _VALIDATORS[tool.content_hash] = Draft202012Validator(schema, format_checker=_FORMATS)
        while len(_VALIDATORS) > 2048:
            _VALIDATORS.popitem(last=False)
    return found


def _mended(schema: Any) -> Any:
    """`schema` with foreign types mapped ("float" -> "number"), unknown ones dropped, and $refs that lead nowhere removed."""
    if isinstance(schema, list):
        return [_mended(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "type" and isinstance(value, str):
            kind = _TYPES.get(value.lower(), value.lower())
            if kind in _KNOWN_TYPES:
                out[key] = kind
        elif key in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
            out[key] = {name: _mended(inner) for name, inner in value.items()}
        elif key in ("items", "anyOf", "oneOf", "allOf", "additionalProperties"):
            out[key] = _mended(value)
        elif (
            key in ("enum", "const", "default", "examples", "description", "title", "format", "pattern")
            or key in _LIMITS
        ):
            if _well_formed(key, value):
                out[key] = value
        elif key == "required" and isinstance(value, list):
            out[key] = value
    return out


_LIMITS = frozenset(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
                     "minItems", "maxItems", "uniqueItems"])  # fmt: skip


def _well_formed(key: str, value: Any) -> bool:
    if key in _LIMITS:
        return isinstance(value, (int, float))
    if key == "pattern":
        try:
            re.compile(value)
        except (re.error, TypeError):
            return False
    return key != "enum" or isinstance(value, list)


def _is_time(value: object) -> bool:
    return not isinstance(value, str) or bool(time.fromisoformat(value)) or value.startswith("00:00")


def _is_date(value: object) -> bool:
    return not isinstance(value, str) or bool(date.fromisoformat(value))


def _is_datetime(value: object) -> bool:
    return not isinstance(value, str) or bool(datetime.fromisoformat(value))


def _is_duration(value: object) -> bool:
    return not isinstance(value, str) or bool(_DURATION.fullmatch(value))


_FORMATS.checks("time", ValueError)(_is_time)
_FORMATS.checks("date", ValueError)(_is_date)
_FORMATS.checks("date-time", ValueError)(_is_datetime)
_FORMATS.checks("datetime", ValueError)(_is_datetime)
_FORMATS.checks("duration")(_is_duration)
