"""Reads the template corpus and renders its tools: each time under other names, descriptions and spellings."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from voice_needle.training.examples import Schema
from voice_needle.training.expand import TemplateError, certain_words, parse, slots

CORPUS = Path(__file__).parent / "corpus"
_JSON_TYPES = {
    "integer": "integer",
    "number": "number",
    "percent": "number",
    "temperature": "number",
    "boolean": "boolean",
}
_FORMATS = {"duration": "duration", "time": "time", "date": "date", "datetime": "date-time", "identifier": "identifier"}
TYPES = frozenset(["open", "enum", "list", *_JSON_TYPES, *_FORMATS])
_STOP = frozenset(
    ["a", "an", "the", "to", "of", "in", "on", "at", "for", "my", "please", "i", "you", "it", "is", "and", "me"]
)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml where there is one: ten times faster
    """YAML in which only true and false are booleans: on, off, yes and no are words that people say."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


def load_yaml(path: Path) -> Any:
    """The content of one file of the corpus."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)


class CorpusError(ValueError):
    """A template file says something the expander cannot use."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a tool of the corpus, under its canonical name."""

    name: str
    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    type: str
    values: Any = None  # open, identifier, list: words; enum, boolean: canonical -> spoken forms
    required: bool = False
    spec: Mapping[str, Any] = field(default_factory=dict)  # min, max, step, unit, of

    @cached_property
    def forms(self) -> Mapping[Any, tuple[str, ...]]:
        """Enum or boolean: canonical value -> spoken forms."""
        if isinstance(self.values, Mapping):
            return {key: _texts(said) for key, said in self.values.items()}
        return {str(value).replace(" ", "_"): (str(value),) for value in self.values}


@dataclass(frozen=True, eq=False)
class ToolSpec:
    """One tool of the corpus."""

    domain: str
    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    say: tuple[str, ...]
    near: tuple[str, ...]
    changes: bool = True
    held_out: bool = False

    @property
    def key(self) -> str:
        return f"{self.domain}/{self.names[0]}"

    @cached_property
    def cues(self) -> tuple[frozenset[str], ...]:
        """For every template the words it cannot do without: a text that holds them all might be served by this tool."""
        found = (frozenset(certain_words(template) - _STOP) for template in self.say)
        return tuple(words for words in found if words)

    @property
    def takes_list(self) -> bool:
        """Whether one call may hold several values of a parameter."""
        return any(parameter.type == "list" for parameter in self.parameters.values())

    def may_serve(self, words: frozenset[str]) -> bool:
        """Whether a text of these words looks like a request for this tool."""
        return any(cue <= words for cue in self.cues)


@dataclass(frozen=True, eq=False)
class Domain:
    """One file of the corpus."""

    name: str
    held_out: bool
    values: Mapping[str, Sequence[str]]
    tools: tuple[ToolSpec, ...]
    none: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Variant:
    """A tool as one integrator might have written it. parameters, values: canonical -> as rendered."""

    tool: ToolSpec
    schema: Schema
    parameters: Mapping[str, str]
    values: Mapping[
        str, Mapping[Any, Any]
    ]  # enum parameter -> canonical value -> rendered; those left out are not offered


def read_corpus(folder: Path = CORPUS) -> list[Domain]:
    """All domains of the corpus. Errors: CorpusError with file and tool."""
    shared = shared_lists(folder)
    return [_domain(path, shared) for path in sorted(folder.glob("[a-z]*.yaml"))]


def shared_lists(folder: Path = CORPUS) -> dict[str, list[str]]:
    """The lists that many domains draw from."""
    found = load_yaml(folder / "_shared.yaml")["values"]
    return {name: [str(item) for item in items] for name, items in found.items()}


def read_frames(folder: Path = CORPUS) -> dict[str, Any]:
    """What may be wrapped around any request."""
    return {**load_yaml(folder / "_frames.yaml"), **load_yaml(folder / "_repairs.yaml")}


def _domain(path: Path, shared: Mapping[str, Sequence[str]]) -> Domain:
    try:
        content = load_yaml(path)
        values = {
            **shared,
            **{key: [str(item) for item in found] for key, found in (content.get("values") or {}).items()},
        }
        held_out = bool(content.get("held_out"))
        tools = tuple(_tool(path.stem, item, held_out, values) for item in content["tools"])
        none = tuple(str(line) for line in content.get("none") or ())
        for line in none:
            parse(line)
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, TemplateError) as error:
        raise CorpusError(f"{path.name}: {error!r}") from error
    return Domain(path.stem, held_out, values, tools, none)


def _tool(domain: str, item: Mapping[str, Any], held_out: bool, values: Mapping[str, Any]) -> ToolSpec:
    parameters = {name: _parameter(name, found) for name, found in (item.get("parameters") or {}).items()}
    tool = ToolSpec(
        domain, _texts(item["name"]), _texts(item["description"]), parameters, _texts(item["say"]),
        _texts(item.get("near") or []), bool(item.get("changes", True)), held_out or bool(item.get("held_out")),
    )  # fmt: skip
    for template in (*tool.say, *tool.near):
        parse(template)
        unknown = slots(template) - set(parameters) - set(values)
        if unknown:
            raise CorpusError(f"{domain}.yaml: {tool.names[0]}: no such slot {sorted(unknown)} in {template!r}")
    return tool


def _parameter(name: str, item: Mapping[str, Any]) -> Parameter:
    if item["type"] not in TYPES:
        raise CorpusError(f"{name}: no such type {item['type']!r}")
    if item["type"] in ("open", "enum", "boolean", "list") and not item.get("values") and "of" not in item:
        raise CorpusError(f"{name}: {item['type']} needs values")
    spec = {key: item[key] for key in ("min", "max", "step", "unit", "of") if key in item}
    return Parameter(name, _texts(item.get("names") or [name]), _texts(item.get("description") or [""]), item["type"],
                     item.get("values"), bool(item.get("required")), spec)  # fmt: skip


def _texts(found: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in found) if isinstance(found, list | tuple) else (str(found),)


# --- rendering -------------------------------------------------------------------------------------------------------


def camel(name: str, first: bool = False) -> str:
    """set_fan_speed -> setFanSpeed, or SetFanSpeed."""
    head, *rest = name.split("_")
    return (head.capitalize() if first else head) + "".join(part.capitalize() for part in rest)


def render(tool: ToolSpec, rng: random.Random, *, plain: bool = False) -> Variant:
    """One way to write the tool down. plain: the canonical names and first descriptions, complete."""
    style = "snake" if plain else rng.choices(["snake", "camel", "dotted", "pascal"], [70, 12, 12, 6])[0]
    name = tool.names[0] if plain else rng.choice(tool.names)
    blank = not plain and rng.random() < 0.1
    if blank:
        name = tool.names[0]
    if "." not in name:
        short = tool.domain.split("_")[0]
        name = {"snake": name, "camel": camel(name), "dotted": f"{short}.{name}", "pascal": camel(name, True)}[style]
    description = "" if blank else tool.descriptions[0] if plain else rng.choice(tool.descriptions)
    bare = not plain and rng.random() < 0.12
    properties: dict[str, Any] = {}
    names: dict[str, str] = {}
    values: dict[str, Mapping[Any, Any]] = {}
    for parameter in tool.parameters.values():
        shown = parameter.names[0] if plain else rng.choice(parameter.names)
        shown = camel(shown) if style in ("camel", "pascal") else shown
        if shown in properties:
            shown = parameter.name
        names[parameter.name] = shown
        properties[shown], values[parameter.name] = _property(parameter, rng, plain)
        if not bare or blank:
            properties[shown]["description"] = (
                parameter.descriptions[0] if plain else rng.choice(parameter.descriptions)
            )
    required = [names[item.name] for item in tool.parameters.values() if item.required]
    parameters = {"type": "object", "properties": properties, "required": required}
    return Variant(tool, {"name": name, "description": description, "parameters": parameters}, names, values)


def _property(parameter: Parameter, rng: random.Random, plain: bool) -> tuple[dict[str, Any], dict[Any, Any]]:
    kind = parameter.type
    if kind == "enum":
        return _enum(parameter, rng, plain)
    if kind == "list":
        of = parameter.spec.get("of", "string")
        return {"type": "array", "items": {"type": {"number": "number", "integer": "integer"}.get(of, "string")}}, {}
    schema: dict[str, Any] = {"type": _JSON_TYPES.get(kind, "string")}
    if kind == "boolean" and parameter.values and (plain or rng.random() < 0.5):
        schema["x-spoken"] = {str(key).lower(): list(said) for key, said in parameter.forms.items()}
    if kind in _FORMATS and (plain or rng.random() < 0.85):
        schema["format"] = _FORMATS[kind]
    unit = "percent" if kind == "percent" else "celsius" if kind == "temperature" else parameter.spec.get("unit")
    if unit and kind not in _FORMATS and (plain or rng.random() < 0.8):
        schema["x-unit"] = {"degrees": "celsius"}.get(str(unit), str(unit))
    if kind in ("integer", "number", "percent", "temperature") and (plain or rng.random() < 0.7):
        for ours, theirs in (("min", "minimum"), ("max", "maximum")):
            if ours in parameter.spec:
                schema[theirs] = parameter.spec[ours]
    if not plain and kind == "number" and rng.random() < 0.25:
        schema["type"] = "float"
    return schema, {}


def _enum(parameter: Parameter, rng: random.Random, plain: bool) -> tuple[dict[str, Any], dict[Any, Any]]:
    kept = list(parameter.forms)
    if not plain and len(kept) >= 3 and rng.random() < 0.45:
        kept = sorted(rng.sample(kept, rng.randint(2, len(kept) - 1)), key=kept.index)
    style = "as is" if plain else rng.choices(["as is", "spaces", "upper", "spoken"], [75, 10, 5, 10])[0]
    rendered: dict[Any, Any] = {}
    for value in kept:
        if style == "as is" or not isinstance(value, str):
            shown: Any = value
        elif style == "upper":
            shown = re.sub(r"\W", "_", value).upper()
        else:
            shown = value.replace("_", " ") if style == "spaces" else parameter.forms[value][0]
        rendered[value] = str(shown) if shown not in rendered.values() else str(value)
    schema: dict[str, Any] = {"type": "string", "enum": list(rendered.values())}
    if plain or rng.random() < 0.75:
        schema["x-spoken"] = {rendered[value]: list(parameter.forms[value]) for value in kept}
    return schema, rendered
