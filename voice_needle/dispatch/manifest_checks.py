"""Checks what a plugin.yaml means: every name it uses must exist, every sentence template must balance."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from voice_needle.dispatch import python_source
from voice_needle.dispatch.problem import Problem, nearest
from voice_needle.dispatch.yaml_lines import Document
from voice_needle.dispatch.yaml_lines import Path as Where

_CLOSES = {")": "(", "]": "[", "}": "{", ">": "<"}
_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]*$")
_TOOL_NAME = re.compile(r"^[a-zA-Z][a-zA-Z0-9_-]{0,63}$")  # what OpenAI's function form allows


def problems(document: Document, file: Path, *, across: bool) -> list[Problem]:
    """Every mistake of meaning. Parts whose shape is wrong are passed over: the schema has reported them."""
    return list(_Checks(document, file, across).run())


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


class _Checks:
    def __init__(self, document: Document, file: Path, across: bool) -> None:
        root = _mapping(document.value)
        self._document = document
        self._file = file
        self._across = across
        self._vocabularies = _mapping(root.get("vocabularies"))
        self._expansions = _mapping(root.get("expansions"))
        self._tools = {name: _mapping(raw) for name, raw in _mapping(root.get("tools")).items()}
        self._settings = _mapping(root.get("settings"))
        self._mcp = root.get("mcp")
        self._source = python_source.Source(file.parent)

    def _problem(self, where: Where, message: str, near: str = "") -> Problem:
        return Problem(self._file, self._document.line(where), message, near)

    def run(self) -> Iterator[Problem]:
        for name, text in self._expansions.items():
            yield from self._template(("expansions", name), text, None)
        if not self._tools and not self._mcp:
            yield self._problem((), "the plugin has no tools")
        for vocabulary, forms in self._vocabularies.items():
            yield from self._ambiguous(vocabulary, forms)
        for name, raw in self._tools.items():
            yield from self._tool(name, raw)

    def _ambiguous(self, vocabulary: str, forms: Any) -> Iterator[Problem]:
        seen: dict[str, str] = {}
        for value, said in _mapping(forms).items():
            for form in said if isinstance(said, list) else [said or value.replace("_", " ")]:
                first = seen.setdefault(str(form).lower(), value)
                if first != value:
                    message = f"'{form}' stands for both {first} and {value} in the vocabulary {vocabulary}"
                    yield self._problem(("vocabularies", vocabulary, value), message)

    def _tool(self, name: str, raw: Mapping[str, Any]) -> Iterator[Problem]:
        at: Where = ("tools", name)
        if not _TOOL_NAME.match(name):
            yield self._problem(at, f"'{name}' is not a tool name: letters, digits, _ and -, at most 64")
        parameters = {key: _mapping(spec) for key, spec in _mapping(raw.get("parameters")).items()}
        for key, spec in parameters.items():
            yield from self._parameter((*at, "parameters", key), key, spec)
        sentences = raw.get("sentences")
        for index, sentence in enumerate(sentences if isinstance(sentences, list) else []):
            yield from self._template((*at, "sentences", index), sentence, parameters)
        questions = _mapping(_mapping(raw.get("say")).get("questions"))
        yield from self._names((*at, "say", "questions"), questions, parameters, "parameter of this tool")
        yield from self._undo(at, _mapping(_mapping(raw.get("policy")).get("undo")), parameters)
        yield from self._policy(at, _mapping(raw.get("policy")))
        yield from self._bindings(at, name, _mapping(raw.get("bindings")), parameters)
        yield from self._handler(at, _mapping(raw.get("handler")), parameters)

    def _names(self, at: Where, used: Any, valid: Any, kind: str) -> Iterator[Problem]:
        for key in used:
            if key not in valid:
                yield self._problem((*at, key), f"'{key}' is not a {kind}", nearest(key, valid))

    def _parameter(self, at: Where, key: str, spec: Mapping[str, Any]) -> Iterator[Problem]:
        if not _NAME.match(key):
            yield self._problem(at, f"'{key}' is not a parameter name: letters, digits and _")
        vocabulary = spec.get("vocabulary")
        if isinstance(vocabulary, str) and vocabulary not in self._vocabularies:
            near = nearest(vocabulary, self._vocabularies)
            yield self._problem((*at, "vocabulary"), f"there is no vocabulary '{vocabulary}'", near)
        if not {"type", "vocabulary", "enum"} & set(spec):
            yield self._problem(at, f"the parameter '{key}' needs a type, a vocabulary or an enum")
        low, high = spec.get("minimum"), spec.get("maximum")
        if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
            yield self._problem((*at, "minimum"), f"minimum {low} is over maximum {high}")
        if isinstance(spec.get("pattern"), str):
            try:
                re.compile(spec["pattern"])
            except re.error as error:
                yield self._problem((*at, "pattern"), f"not a regular expression: {error}")
        if "default" in spec:
            yield from self._default(at, spec)
        if isinstance(spec.get("enum"), dict | list) and spec.get("type") in ("integer", "number"):
            for value in spec["enum"]:
                if not re.fullmatch(r"-?\d+(\.\d+)?", str(value)):
                    yield self._problem((*at, "enum"), f"'{value}' is not a number")
        if isinstance(spec.get("items"), dict):
            yield from self._parameter((*at, "items"), key, spec["items"])

    def _default(self, at: Where, spec: Mapping[str, Any]) -> Iterator[Problem]:
        default, line = spec["default"], (*at, "default")
        if isinstance(default, str) and default.startswith("$"):
            if default != "$room":
                yield self._problem(line, f"'{default}' is not known; only $room is", nearest(default, ["$room"]))
            return
        values: Any = spec.get("enum")
        if isinstance(spec.get("vocabulary"), str):
            values = self._vocabularies.get(spec["vocabulary"])
        if values and str(default) not in (valid := [str(value) for value in values]):
            yield self._problem(line, f"the default '{default}' is not one of the values", nearest(str(default), valid))
        kinds: dict[str, Any] = {"integer": int, "number": int | float, "boolean": bool, "list": list}
        kind = spec.get("type", "string") if not values else "string"
        wrong = not isinstance(default, kinds.get(kind, str)) or (kind != "boolean" and isinstance(default, bool))
        if wrong and not values and default is not None:
            yield self._problem(line, f"the default '{default}' is not a {kind}")

    def _template(self, at: Where, text: Any, parameters: Mapping[str, Any] | None) -> Iterator[Problem]:
        """hassil syntax: (a|b) [optional] {slot} <expansion>. parameters: None for an expansion standing alone."""
        if not isinstance(text, str):
            return
        if mistake := unbalanced(text):
            yield self._problem(at, mistake)
            return
        for name in re.findall(r"<([^<>]*)>", text):
            if name not in self._expansions:
                yield self._problem(at, f"there is no expansion <{name}>", nearest(name, self._expansions))
        if parameters is None:
            return
        for slot in sorted(self._slots(text, frozenset())):
            if slot not in parameters:
                message = f"{{{slot}}} is no parameter of this tool"
                yield self._problem(at, message, nearest(slot, parameters))

    def _slots(self, text: str, seen: frozenset[str]) -> set[str]:
        slots = {found.rpartition(":")[2].strip() for found in re.findall(r"\{([^{}]*)\}", text)}
        for name in re.findall(r"<([^<>]*)>", text):
            inner = self._expansions.get(name)
            if isinstance(inner, str) and name not in seen:
                slots |= self._slots(inner, seen | {name})
        return slots

    def _undo(self, at: Where, undo: Mapping[str, Any], parameters: Mapping[str, Any]) -> Iterator[Problem]:
        tool = undo.get("tool")
        if not isinstance(tool, str):
            return
        line = (*at, "policy", "undo")
        if tool not in self._tools:
            yield self._problem((*line, "tool"), f"undo names an unknown tool '{tool}'", nearest(tool, self._tools))
            return
        taken = _mapping(self._tools[tool].get("parameters"))
        given = _mapping(undo.get("arguments"))
        yield from self._names((*line, "arguments"), given, taken, f"parameter of {tool}")
        for key, value in given.items():
            if isinstance(value, str) and value.startswith("$") and not value.startswith("$result."):
                source = value[1:]
                if source not in parameters:
                    message = f"'{value}' is neither a parameter of this tool nor $result.<value>"
                    yield self._problem((*line, "arguments", key), message, nearest(source, parameters))

    def _policy(self, at: Where, policy: Mapping[str, Any]) -> Iterator[Problem]:
        if policy.get("retries") and policy.get("idempotent") is not True:
            yield self._problem((*at, "policy", "retries"), "only an idempotent tool may be retried")
        requires = policy.get("requires")
        for index, condition in enumerate(requires if isinstance(requires, list) else []):
            function = f"condition_{condition}"
            if isinstance(condition, str) and self._source.lacks("handlers.py", function):
                near = self._source.nearest("handlers.py", function)
                message = f"handlers.py has no function {function}"
                yield self._problem((*at, "policy", "requires", index), message, near)

    def _bindings(
        self, at: Where, name: str, bindings: Mapping[str, Any], parameters: Mapping[str, Any]
    ) -> Iterator[Problem]:
        line = (*at, "bindings")
        yield from self._names(line, bindings, parameters, "parameter of this tool")
        for key, source in bindings.items():
            tool = str(source).partition(".")[0]
            if tool == name:
                yield self._problem((*line, key), "a tool cannot take a parameter from its own result")
            elif tool not in self._tools and not self._across and not self._mcp:
                yield self._problem((*line, key), f"there is no tool '{tool}'", nearest(tool, self._tools))

    def _handler(self, at: Where, handler: Mapping[str, Any], parameters: Mapping[str, Any]) -> Iterator[Problem]:
        kind = next(iter(handler), None)
        line = (*at, "handler")
        if kind == "python" and isinstance(handler["python"], str) and ":" in handler["python"]:
            module, _, function = handler["python"].partition(":")
            given = {
                key: "default" in spec or spec.get("required", True) is not False for key, spec in parameters.items()
            }
            module = module if module.endswith(".py") else f"{module}.py"
            for message, near in self._source.mistakes(module, function, given):
                yield self._problem((*line, "python"), message, near)
        elif kind == "mcp" and not self._mcp:
            yield self._problem(line, "an mcp handler needs the server: a top-level 'mcp:' with command or url")
        elif kind in ("command", "http", "mqtt"):
            for slot in sorted(placeholders(handler[kind])):
                if slot.startswith("settings."):
                    yield from self._names(line, [slot.removeprefix("settings.")], self._settings, "setting")
                elif slot not in parameters:
                    message = f"{{{slot}}} is no parameter of this tool (a setting is {{settings.name}})"
                    yield self._problem(line, message, nearest(slot, parameters))


def unbalanced(text: str) -> str:
    """What is wrong with the brackets of a sentence template; "" when they balance."""
    open_: list[tuple[str, int]] = []
    escaped = False
    for index, char in enumerate(text):
        if escaped or char == "\\":
            escaped = not escaped
        elif char in "([{<":
            open_.append((char, index))
        elif char in _CLOSES:
            if not open_ or open_[-1][0] != _CLOSES[char]:
                return f"'{char}' at character {index + 1} of '{text}' closes nothing"
            open_.pop()
    return f"'{open_[-1][0]}' at character {open_[-1][1] + 1} of '{text}' is never closed" if open_ else ""


def placeholders(value: Any) -> set[str]:
    """The {names} in every string of a handler's declaration, except in what it reads from the answer."""
    if isinstance(value, str):
        return set(re.findall(r"(?<!\{)\{([A-Za-z_][A-Za-z0-9_.]*)\}", value))
    if isinstance(value, dict):
        return set().union(*(placeholders(item) for key, item in value.items() if key != "result"))
    if isinstance(value, list):
        return set().union(*(placeholders(item) for item in value))
    return set()
