"""YAML -> frozen dataclasses, with every mistake reported at once: file, line, what is wrong, the nearest valid key.

`config` uses it for the configuration and for device profiles. A dataclass field made with `option(...)` carries its
explanation, unit and limits, which are also what `voice-needle devices --options` prints.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from voice_needle.errors import ConfigError

T = TypeVar("T")


def option(
    default: Any,
    doc: str,
    *,
    unit: str = "",
    at_least: float | None = None,
    at_most: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A dataclass field with its documentation beside its default."""
    metadata = {"doc": doc, "unit": unit, "at_least": at_least, "at_most": at_most, "choices": choices}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Mistake:
    """One thing wrong in a file. line counts from 1."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads on, off, yes and no as booleans; a person who writes `wake: off` means the word."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_TRUE, _FALSE = {"true", "yes", "on"}, {"false", "no", "off"}


def nearest(word: str, known: list[str]) -> str:
    """ "; did you mean `x`?" for the known word most like this one, or nothing."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else ""


class Reader:
    """Reads one file into dataclasses and collects the mistakes on the way."""

    def __init__(self, file: str | Path) -> None:
        self.file = str(file)
        self.mistakes: list[Mistake] = []

    def parse(self, text: str) -> yaml.MappingNode | None:
        """The file's top mapping; None for an empty file or one that is not YAML."""
        try:
            node = yaml.compose(text, Loader=_Loader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            self._wrong(mark.line + 1 if mark else 1, f"this is not YAML: {getattr(error, 'problem', error)}")
            return None
        if node is None:
            return None
        if not isinstance(node, yaml.MappingNode):
            self._wrong(node.start_mark.line + 1, "the file must be a mapping of settings")
            return None
        return node

    def _wrong(self, line: int, message: str) -> None:
        self.mistakes.append(Mistake(self.file, line, message))

    def build(self, kind: type[T], node: yaml.MappingNode | None, base: T | None = None, path: str = "") -> T:
        """A `kind` from `node`; what the node does not name comes from `base`, or from the defaults."""
        hints = typing.get_type_hints(kind)
        fields = {each.name: each for each in dataclasses.fields(kind)}  # type: ignore[arg-type]
        values: dict[str, Any] = {}
        seen: set[str] = set()
        for key_node, value_node in node.value if node is not None else ():
            key, line = str(key_node.value), key_node.start_mark.line + 1
            where = f"{path}{key}"
            if key in seen:
                self._wrong(line, f"`{where}` is given twice")
            elif key not in fields:
                self._wrong(line, f"there is no setting `{where}`{nearest(key, list(fields))}")
            else:
                inherited = getattr(base, key) if base is not None else None
                known, value = self._value(hints[key], value_node, where, fields[key].metadata, inherited)
                if known:
                    values[key] = value
            seen.add(key)
        if base is not None:
            return dataclasses.replace(base, **values)  # type: ignore[type-var]
        for name, each in fields.items():
            if name not in values and each.default is MISSING and each.default_factory is MISSING:
                self._wrong(node.start_mark.line + 1 if node is not None else 1, f"`{path}{name}` is missing")
                values[name] = None
        return kind(**values)

    def _value(
        self, hint: Any, node: yaml.Node, where: str, metadata: Mapping[str, Any], inherited: Any
    ) -> tuple[bool, Any]:
        line = node.start_mark.line + 1
        if dataclasses.is_dataclass(hint):
            if not isinstance(node, yaml.MappingNode):
                self._wrong(line, f"`{where}` must be a mapping")
                return False, None
            return True, self.build(typing.cast(type[Any], hint), node, inherited, f"{where}.")
        try:
            value = _convert(hint, _plain(node))
        except ValueError as error:
            self._wrong(line, f"`{where}` must be {error}")
            return False, None
        problem = _limits(value, metadata)
        if problem:
            self._wrong(line, f"`{where}` {problem}")
            return False, None
        return True, value


def _plain(node: yaml.Node) -> Any:
    loader = _Loader("")
    try:
        return loader.construct_object(node, deep=True)
    finally:
        loader.dispose()


def _convert(hint: Any, value: Any) -> Any:
    """`value` as the type `hint`; ValueError("a number") and the like where it is not one."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        branches = typing.get_args(hint)
        if value is None and type(None) in branches:
            return None
        problems = []
        for branch in branches:
            if branch is not type(None):
                try:
                    return _convert(branch, value)
                except ValueError as error:
                    problems.append(str(error))
        raise ValueError(" or ".join(problems))
    if hint is Any:
        return value
    if hint is bool:
        text = str(value).lower()
        if text in _TRUE | _FALSE:
            return text in _TRUE
        raise ValueError("true or false")
    if hint in (int, float):
        if isinstance(value, bool) or not isinstance(value, int | float) or (hint is int and value != int(value)):
            raise ValueError("a whole number" if hint is int else "a number")
        return hint(value)
    if hint is str or hint is Path:
        if isinstance(value, dict | list) or value is None:
            raise ValueError("text")
        return Path(str(value)).expanduser() if hint is Path else str(value)
    if origin in (list, tuple):
        if not isinstance(value, list):
            raise ValueError("a list")
        return origin(_convert(typing.get_args(hint)[0], each) for each in value)
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise ValueError("a mapping")
        inner = typing.get_args(hint)[1]
        return {str(key): _convert(inner, each) for key, each in value.items()}
    raise TypeError(f"settings_file cannot read a {hint}")


def _limits(value: Any, metadata: Mapping[str, Any]) -> str:
    choices, unit = metadata.get("choices") or (), metadata.get("unit", "")
    if choices and value not in choices:
        return f"must be one of {', '.join(choices)}{nearest(str(value), list(choices))}"
    low, high = metadata.get("at_least"), metadata.get("at_most")
    if isinstance(value, int | float):
        if low is not None and value < low:
            return f"must be at least {low:g} {unit}".rstrip()
        if high is not None and value > high:
            return f"must be at most {high:g} {unit}".rstrip()
    return ""


def read_yaml(kind: type[T], file: Path, base: T | None = None, error: type[ConfigError] = ConfigError) -> T:
    """Read `file` into `kind`. Errors: `error`, listing every mistake with file:line."""
    reader = Reader(file)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise error(f"I cannot read {file}: {problem}", fix=f"check that {file} exists and is UTF-8 text") from problem
    node = reader.parse(text)
    result = reader.build(kind, node, base) if not reader.mistakes else None
    if reader.mistakes:
        first = reader.mistakes[0]
        raise error("\n".join(str(each) for each in reader.mistakes), fix=f"edit {first.file}, line {first.line}")
    assert result is not None
    return result
