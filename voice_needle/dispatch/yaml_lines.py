"""Reads YAML so that every value keeps its line, `on`, `off`, `yes` and `no` stay words, and a duplicate key is a mistake.

YAML 1.1 turns `on` into a boolean, `7:30` into 450 and `007` into 7: wrong for what people say. Here only true/false,
plain decimal numbers and null are anything but text (YAML 1.2's core schema, less its hexadecimal and octal).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]
MAX_DEPTH = 40
MAX_NODES = 200_000  # aliases of aliases may not grow without end

_TAG = "tag:yaml.org,2002:"
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BASE):  # type: ignore[misc]
    """A safe loader with YAML 1.2's idea of what is not text."""


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(f"{_TAG}int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    f"{_TAG}float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)
_Loader.add_implicit_resolver(f"{_TAG}null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(f"{_TAG}merge", re.compile(r"^(?:<<)$"), ["<"])


@dataclass
class Document:
    """A parsed file: its value (every key is text), the line of each path, and what was wrong with it as YAML."""

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    mistakes: list[tuple[int, str]] = field(default_factory=list)  # (line, message)

    def line(self, path: Path) -> int:
        """The line (from 1) where `path` stands, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read(text: str) -> Document:
    """Parse one YAML document. Mistakes are collected in it; none is raised."""
    document = Document()
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            _Builder(document).build(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or "cannot be read"
        document.mistakes.append((mark.line + 1 if mark else 1, f"not valid YAML: {what}"))
    except yaml.YAMLError as error:
        document.mistakes.append((1, f"not valid YAML: {str(error).splitlines()[0]}"))
    except (RecursionError, _TooLarge):
        document.mistakes.append((1, "not usable: nested too deep, or aliases without end"))
    finally:
        if loader is not None:
            loader.dispose()
    return document


class _TooLarge(Exception):
    pass


class _Builder:
    """Turns nodes into values and remembers where they stood."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._nodes = 0

    def build(self, node: yaml.Node, path: Path) -> None:
        self._document.value = self._value(node, path)

    def _value(self, node: yaml.Node, path: Path) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES or len(path) > MAX_DEPTH:
            raise _TooLarge
        self._document.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._document.mistakes.append((line, "a key must be a word, not a list or a mapping"))
                continue
            if key_node.tag == f"{_TAG}merge":
                merged |= self._merge(value_node, path, line)
                continue
            key = str(key_node.value)
            if key in found:
                first = self._document.lines[(*path, key)]
                self._document.mistakes.append((line, f"the key '{key}' was already given in line {first}"))
                continue
            self._document.lines[(*path, key)] = line
            found[key] = self._value(value_node, (*path, key))
        return merged | found

    def _merge(self, node: yaml.Node, path: Path, line: int) -> dict[str, Any]:
        value = self._value(node, path)
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, dict) for part in parts):
            self._document.mistakes.append((line, "'<<' takes a mapping"))
            return {}
        merged: dict[str, Any] = {}
        for part in reversed(parts):
            merged |= part
        return merged


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    match node.tag.removeprefix(_TAG):
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text)
        case "float":
            return float(text)
        case "null":
            return None
    return text
