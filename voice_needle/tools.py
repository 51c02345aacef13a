"""What a tool is, to every stage: a name, a JSON-Schema parameter object, how people say it, and what it may do.

The parameter schema is plain JSON Schema in OpenAI's function form, so any router can read it. What JSON Schema has no word
for is carried in annotations that a validator ignores:

    enum + x-spoken      canonical value -> the forms people say ("living_room": ["living room", "lounge"])
    x-unit               unit of a number: "percent", "celsius", "minute", "piece", ...
    format               of a string value: "duration" (ISO 8601, PT5M), "time" (07:00), "date" (2026-11-21),
                         "date-time" (2026-11-21T07:00), "identifier" (spelled letters and digits, "A14")
    x-vocabulary         name of the vocabulary that the enum came from

Shared by `transcribe` (language model), `route` (decisions) and `dispatch` (execution); none of them imports another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any


class Risk(StrEnum):
    """What a wrong call costs. Thresholds and confirmations follow from it."""

    LOW = "low"  # a lamp: wrong is a nuisance
    MEDIUM = "medium"  # stock, messages, heating: wrong costs work
    HIGH = "high"  # locks, windows in motion, payments: wrong may harm


class Confirm(StrEnum):
    """When the user is asked "shall I?" before a call is executed."""

    NEVER = "never"
    UNSURE = "unsure"  # when the router's confidence is under the risk tier's threshold
    ALWAYS = "always"


class OnBargeIn(StrEnum):
    """What happens to a running call when the user interrupts."""

    CANCEL = "cancel"
    FINISH = "finish"
    ASK = "ask"


@dataclass(frozen=True)
class Undo:
    """How a call is taken back: another tool of the same plugin, its arguments from the call's own and its result's.

    arguments maps a parameter of the undo tool to a literal, "$argument" (of the call) or "$result.key" (of its result).
    """

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """What a tool may do, decided below the router: no phrasing, template or fast path goes round it."""

    risk: Risk = Risk.LOW
    confirm: Confirm = Confirm.UNSURE
    timeout_ms: int = 3000
    retries: int = 0  # after the first attempt, and only where idempotent
    idempotent: bool = False
    on_barge_in: OnBargeIn = OnBargeIn.FINISH
    undo: Undo | None = None
    requires: tuple[str, ...] = ()  # named conditions, such as "stationary", that the plugin evaluates at call time
    changes_state: bool = True  # False: it only tells; questions may call it, and the ledger need not undo it


@dataclass(frozen=True)
class Say:
    """Phrases of one tool; {parameter} and {result_key} are filled in. Several phrases: the first is used."""

    success: str = ""
    failure: str = ""
    questions: Mapping[str, str] = field(default_factory=dict)  # parameter -> the question that asks for it
    confirm: str = ""
    on: Mapping[str, str] = field(default_factory=dict)  # result status (not_found, several, busy, ...) -> phrase


@dataclass(frozen=True)
class Tool:
    """A named function with a JSON-Schema parameter object.

    sentences: hassil templates whose {slots} are parameters. expansions: named fragments for <fragment> in sentences.
    examples: canonical requests, used for language models and documentation.
    """

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}, "required": []})
    sentences: tuple[str, ...] = ()
    expansions: Mapping[str, str] = field(default_factory=dict)
    policy: Policy = Policy()
    say: Say = Say()
    plugin: str = ""
    handler: Mapping[str, Any] = field(default_factory=dict)  # {"python": "handlers:light_on"} | {"mqtt": {...}} | ...
    result_bindings: Mapping[str, str] = field(default_factory=dict)  # parameter -> "tool.key" of the result before

    @property
    def properties(self) -> Mapping[str, Mapping[str, Any]]:
        """Parameter name -> its JSON Schema, in declared order."""
        found = self.parameters.get("properties", {})
        return found if isinstance(found, Mapping) else {}

    @property
    def required(self) -> tuple[str, ...]:
        """Parameters that a call must have and that no default supplies."""
        return tuple(self.parameters.get("required", ()))

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of all a router reads of this tool: the key under which its vectors are cached."""
        text = json.dumps([self.name, self.description, self.parameters], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def schema(self) -> dict[str, Any]:
        """The provider-neutral form: {"name", "description", "parameters"}."""
        return {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}

    @classmethod
    def from_schema(cls, schema: Mapping[str, Any]) -> Tool:
        """Read OpenAI's function form, bare or wrapped in {"type": "function", "function": {...}}.

        Errors: ValueError when there is no name, or parameters is not an object.
        """
        inner = schema.get("function", schema)
        if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str) or not inner["name"]:
            raise ValueError("a tool needs a name")
        parameters = inner.get("parameters") or {}
        if not isinstance(parameters, Mapping):
            raise ValueError(f"the parameters of {inner['name']} are not a JSON Schema object")
        return cls(name=inner["name"], description=str(inner.get("description") or ""), parameters=parameters)


def spoken_forms(schema: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Canonical enum value (as text) -> the forms people say for it; the value itself, with spaces, where none is given."""
    spoken = schema.get("x-spoken") or {}
    forms: dict[str, tuple[str, ...]] = {}
    for value in schema.get("enum", ()):
        given = spoken.get(value, spoken.get(str(value)))
        if isinstance(given, str):
            given = [given]
        forms[str(value)] = tuple(given) if given else (str(value).replace("_", " ").replace("-", " ").lower(),)
    return forms


class Toolset(Mapping[str, Tool]):
    """The tools offered for one decision, by name, in order; hashable by content so that engines can cache by it."""

    def __init__(self, tools: Iterable[Tool | Mapping[str, Any]] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        for item in tools:
            tool = item if isinstance(item, Tool) else Tool.from_schema(item)
            if tool.name in self._tools:
                raise ValueError(f"two tools are called {tool.name}")
            self._tools[tool.name] = tool

    def __getitem__(self, name: str) -> Tool:
        return self._tools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over the tools in order."""
        return hashlib.sha256("".join(tool.content_hash for tool in self._tools.values()).encode()).hexdigest()

    def __hash__(self) -> int:
        return hash(self.content_hash)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Toolset) and self.content_hash == other.content_hash
