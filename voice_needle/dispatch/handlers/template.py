"""Fills {parameter} and {settings.name} into what a manifest declares for a command, an HTTP request or an MQTT message."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from voice_needle.errors import ToolFailed
from voice_needle.plugin import Context

_SLOT = re.compile(r"(?<!\{)\{([A-Za-z_][A-Za-z0-9_.]*)\}")
_MISSING = object()


def as_text(value: Any) -> str:
    """How a value stands in text: true/false and numbers as JSON has them, whole numbers without a fraction."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return ",".join(as_text(item) for item in value)
    return "" if value is None else str(value)


class Filler:
    """The values of one call. An optional parameter that was not given is empty text."""

    def __init__(self, context: Context, arguments: Mapping[str, Any]) -> None:
        self._settings = context.settings
        self._arguments = arguments

    def value(self, name: str) -> Any:
        """Errors: ToolFailed when a setting is not there."""
        if name.startswith("settings."):
            found = self._settings.get(name.removeprefix("settings."), _MISSING)
            if found is _MISSING:
                raise ToolFailed(f"there is no setting {name}", fix="voice-needle tools check")
            return found
        return self._arguments.get(name)

    def text(self, template: str, encode: Callable[[str], str] = str) -> str:
        """`template` filled in. encode: applied to the value of each parameter, not to settings."""

        def put(match: re.Match[str]) -> str:
            name = match.group(1)
            value = as_text(self.value(name))
            return value if name.startswith("settings.") else encode(value)

        return _SLOT.sub(put, template)

    def deep(self, template: Any) -> Any:
        """Filled in throughout mappings and lists. A text that is one slot and nothing else keeps the value's type;
        a mapping's key whose value is an optional parameter that was not given is left out."""
        if isinstance(template, str):
            whole = _SLOT.fullmatch(template)
            return self.value(whole.group(1)) if whole else self.text(template)
        if isinstance(template, Mapping):
            return {key: self.deep(item) for key, item in template.items() if not self._absent(item)}
        if isinstance(template, list):
            return [self.deep(item) for item in template if not self._absent(item)]
        return template

    def _absent(self, template: Any) -> bool:
        whole = _SLOT.fullmatch(template) if isinstance(template, str) else None
        return whole is not None and self.value(whole.group(1)) is None


def pick(document: Any, path: str) -> Any:
    """A value inside a JSON document, by `a.b.0.c`. Errors: KeyError when there is none."""
    for part in path.split(".") if path else ():
        if isinstance(document, Mapping) and part in document:
            document = document[part]
        elif isinstance(document, list) and part.isdigit() and int(part) < len(document):
            document = document[int(part)]
        else:
            raise KeyError(path)
    return document
