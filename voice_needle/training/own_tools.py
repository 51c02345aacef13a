"""Makes training examples from someone's own manifests: their tools, sentences and vocabularies, beside the template corpus.

The corpus keeps what Stitch knows (refusals above all); it ships with the package, so nothing else is needed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from voice_needle.dispatch.manifest import FILE_NAME, load_or_raise
from voice_needle.errors import ConfigError
from voice_needle.tools import Tool, spoken_forms
from voice_needle.training.augment import Mishearing
from voice_needle.training.catalogue import Catalogue, Entry, corpus_words
from voice_needle.training.dialogue import DialogueWriter
from voice_needle.training.examples import Example
from voice_needle.training.expand import TemplateError, parse, slots, unfolded
from voice_needle.training.hard_cases import Writer
from voice_needle.training.mixture import Mixture, corpus, renderings
from voice_needle.training.templates import Domain, Parameter, ToolSpec, Variant, read_frames, shared_lists

_FRAGMENT = re.compile(r"<(\w+)>")
_KINDS = {"duration": "duration", "time": "time", "date": "date", "date-time": "datetime", "identifier": "identifier"}
_SHARED = ("person", "city", "song", "task", "film", "company", "book")  # words for open parameters whose values nobody listed
KEPT_ASIDE = 5  # one way in so many is kept for the measurement, of tools that can be asked for in that many


def read_tools(folder: Path) -> dict[str, tuple[Tool, ...]]:
    """Plugin -> tools, from every plugin.yaml below a folder. Errors: ManifestError, ConfigError where there is none."""
    files = sorted(folder.rglob(FILE_NAME)) if folder.is_dir() else [folder] if folder.name == FILE_NAME else []
    found = {manifest.plugin: manifest.tools for manifest in map(load_or_raise, files) if manifest.tools}
    if not found:
        raise ConfigError(f"{folder} holds no {FILE_NAME} with tools", fix="voice-needle train --tools FOLDER")
    return found


def as_spec(tool: Tool, domain: str, lists: Mapping[str, Sequence[str]], aside: bool | None = None) -> ToolSpec | None:
    """The tool as one of the corpus. aside: only the ways of asking kept for measuring (True), or only the others (False).

    None where no sentence of it can be used.
    """
    parameters = {name: _parameter(tool, name, schema, lists) for name, schema in tool.properties.items()}
    written = [_written_out(item, tool.expansions) for item in tool.sentences]
    usable = [sentence for sentence in written if _fits(sentence, parameters)]
    while aside is not None and len(usable) < KEPT_ASIDE:  # two sentences with alternatives are many ways
        before, usable = usable, [way for sentence in usable for way in unfolded(sentence)]
        if len(usable) == len(before):
            break
    if aside is not None and len(usable) >= KEPT_ASIDE:
        usable = [item for number, item in enumerate(usable) if (number % KEPT_ASIDE == KEPT_ASIDE - 1) == aside]
    elif aside:
        usable = []
    if not usable:
        return None
    return ToolSpec(domain, (tool.name,), (tool.description,), parameters, tuple(usable), (), tool.policy.changes_state)


def _as_specs(
    plugins: Mapping[str, Sequence[Tool]], lists: Mapping[str, Sequence[str]], aside: bool | None
) -> dict[str, dict[ToolSpec, Tool]]:
    """Of each plugin, the tools of which sentences can be used."""
    return {plugin: {spec: tool for tool in tools if (spec := as_spec(tool, plugin, lists, aside))} for plugin, tools in plugins.items()}


def _written_out(sentence: str, fragments: Mapping[str, str]) -> str:
    for _ in range(6):
        sentence = _FRAGMENT.sub(lambda match: fragments.get(match[1], match[0]), sentence)
    return re.sub(r"\{\w+:(\w+)\}", r"{\1}", sentence).lower()


def _fits(sentence: str, parameters: Mapping[str, Parameter]) -> bool:
    try:
        parse(sentence)
        return slots(sentence) <= set(parameters)
    except TemplateError:
        return False


def _parameter(tool: Tool, name: str, schema: Mapping[str, Any], lists: Mapping[str, Sequence[str]]) -> Parameter:
    described, required = (str(schema.get("description") or ""),), name in tool.required
    spec = {mine: schema[theirs] for mine, theirs in (("min", "minimum"), ("max", "maximum"), ("step", "multipleOf")) if theirs in schema}
    if schema.get("enum"):
        return Parameter(name, (name,), described, "enum", dict(spoken_forms(schema)), required)
    kind = schema.get("type")
    if kind == "boolean":
        said = schema.get("x-spoken") or {True: ("on", "yes"), False: ("off", "no")}
        forms = {str(key).lower() == "true": tuple(value) if isinstance(value, list | tuple) else (str(value),) for key, value in said.items()}
        return Parameter(name, (name,), described, "boolean", forms, required)
    if kind in ("integer", "number"):
        if schema.get("x-unit") not in (None, "percent"):
            spec["unit"] = schema["x-unit"]
        return Parameter(name, (name,), described, "percent" if schema.get("x-unit") == "percent" else str(kind), None, required,
                         {"min": 1, "max": 100, **spec})  # fmt: skip
    words = [word for key in _SHARED for word in lists.get(key, ())]
    if kind == "array":
        return Parameter(name, (name,), described, "list", words, required)
    form = _KINDS.get(str(schema.get("format")))
    return Parameter(name, (name,), described, form or "open", None if form else words, required)


def _variant(spec: ToolSpec, tool: Tool) -> Variant:
    """The tool exactly as it is declared: nothing is renamed."""
    values = {
        name: {str(value): value for value in tool.properties[name]["enum"]} for name, item in spec.parameters.items() if item.type == "enum"
    }
    return Variant(spec, tool.schema(), {name: name for name in spec.parameters}, values)


def with_plugins(plugins: Mapping[str, Sequence[Tool]], examples: Iterator[Example], seed: int, share: float = 0.06) -> Iterator[Example]:
    """`examples`, among them `share` about the tools of `plugins`: those that come with the assistant, said in other words."""
    mixture = OwnTools(plugins, seed)
    while True:
        yield mixture.example() if mixture.rng.random() < share else next(examples)


class OwnTools(Mixture):
    """Examples of someone's tools (`mine`), and of the corpus.

    aside: of what is kept for measuring: every fifth sentence, and the corpus tools that no training sees.
    """

    def __init__(self, plugins: Mapping[str, Sequence[Tool]], seed: int = 0, aside: bool = False) -> None:
        # Mixture's own constructor reads the public sets, which are not needed here and may not be there.
        self.rng = random.Random(f"{seed} {aside}")
        self.held_out = aside
        self.excluded: frozenset[str] = frozenset()
        self.sets, self.more, self.frames = {}, {}, read_frames()
        lists = shared_lists()
        shipped = corpus()
        self.variants = {tool: list(renderings(tool))[:6] for domain in shipped for tool in domain.tools if tool.held_out == aside}
        own: list[Domain] = []
        written = _as_specs(plugins, lists, aside)
        if aside and not any(written.values()):  # of one or two ways of asking none can be spared: measure on all
            written = _as_specs(plugins, lists, None)
        for plugin, specs in written.items():
            own.append(Domain(plugin, False, lists, tuple(specs), ()))
            self.variants.update({spec: [_variant(spec, tool)] for spec, tool in specs.items()})
        self.domains = [*shipped, *own]
        self.offered = dict(self.variants)
        known = {tool: found for tool, found in self.variants.items() if not any(tool in domain.tools for domain in own)}
        self.writer = Writer(self.rng, [d for d in shipped if any(tool in known for tool in d.tools)], known, self.frames, {})
        self.general = self.writer
        mine = {tool: self.variants[tool] for domain in own for tool in domain.tools}
        if not mine:
            raise ConfigError("none of these tools has sentences to learn from", fix="add sentences to plugin.yaml")
        self.mine = Writer(self.rng, own, mine, self.frames, {})
        self.dialogue = DialogueWriter(self.rng, self.frames, self.writer)
        entries = [
            Entry(domain.name, [variant.schema for variant in self.variants[tool]], corpus_words(tool, domain.values), tool)
            for domain in self.domains for tool in domain.tools if tool in self.variants
        ]  # fmt: skip
        self.catalogue = Catalogue(entries)
        self.mishearing = Mishearing({word for entry in entries for word in entry.words.split()})

    def example(self) -> Example:
        """One about their tools. A kind that these tools cannot give (one tool, no vocabulary) is passed over."""
        kinds = [kind for kind in self.mine.kinds if kind not in ("near", "none")]  # only the corpus writes those
        while True:
            style = self.style()
            kind = self.rng.choices(kinds, [self.mine.kinds[name][0] for name in kinds])[0]
            case = self.mine.kinds[kind][1](style)
            if case is not None and len(case.draft.tokens) < 60:
                made = self.made(case, style, "mine")
                if not any(made.problems()):
                    return made

    def _own_pools(self) -> list[str]:
        return [domain.name for domain in self.domains if domain.name in self.catalogue.by_pool]

    def mixed(self, share: float = 0.6) -> Iterator[Example]:
        """Without end: `share` about their tools, the rest what Stitch knew before."""
        while True:
            roll = self.rng.random()
            yield self.example() if roll < share else self.from_dialogue() if roll > 0.97 else self.own()
