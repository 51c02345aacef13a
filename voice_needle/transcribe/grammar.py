"""Registered tools -> one closed grammar (JSGF, https://www.w3.org/TR/jsgf/) of everything they can be told.

Grammar and language model come from the same patterns, so what one can say the other can too. The words that steer a
conversation (yes, stop, "make that twelve") belong to every grammar.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from voice_needle.errors import BadToolSchema
from voice_needle.tools import Tool, Toolset, spoken_forms
from voice_needle.transcribe import stumbles
from voice_needle.transcribe.identifiers import shape
from voice_needle.transcribe.patterns import (
    NOTHING,
    Choice,
    Loop,
    Node,
    Ref,
    Seq,
    Words,
    choice,
    draw,
    parse,
    sequence,
    spoken_words,
    words_of,
)  # fmt: skip
from voice_needle.transcribe.spoken_values import EVERYDAY_WORDS, EXPANSIONS, IDENTIFIER_PARTS, SHARES, value_rule

DIALOGUE: dict[str, float] = {
    "(yes|yeah|yep|yes please|sure|okay|ok|right|correct|do it|go ahead)": 0.2,
    "(no|nope|no thanks|don't|do not)": 0.15,
    "(stop|stop it|stop that|stop talking|enough|that's enough|quiet|be quiet|shut up)": 0.2,
    "(cancel|cancel that|cancel it|never mind|forget it|abort)": 0.15,
    "(undo|undo that|undo it|take that back)": 0.07,
    "(repeat that|say that again|say again|what did you say|pardon)": 0.08,
    "(uh-huh|mm-hmm|thanks|thank you|i see|got it|great|good|all right|hello|help|what can you do)": 0.1,
    "[no] (both|both of them|all of them)": 0.05,
}
"""Said to the conversation, not to a tool, and how often each kind is."""

FRAME = frozenset({"command", "value"})
"""Rules that belong to the frame of a sentence; the others are values."""

CORRECTION = (
    "(no|no wait|wait|sorry|actually|i mean|i meant|make that|make it|[no] not that|no (make|i) (that|it|mean|meant|said)"
    "|(change|set) (that|it) to)"
)
"""Opens an amendment; any value of any tool may follow, or a whole new command."""

AMENDMENTS, AMENDED = 3_000, 80
"""Commands drawn to see what follows their last value ("the kitchen light"), and how many such endings a reply may have."""

POLITE_START = "(please|can you|could you|would you|will you|can you please|could you please|hey|ok|okay|i want you to)"
POLITE_END = "(please|now|thanks|thank you|for me)"
JOIN = "(and|and then|then|and also|also)"


@dataclass(frozen=True)
class Grammar:
    """top: what one utterance may be. reply: what it may be to somebody who was just answered or asked. rules: named parts of both.
    words: everything that needs a pronunciation.

    content_hash: SHA-256 over the patterns; the key under which whatever is built from them is cached.
    """

    top: Node
    reply: Node
    rules: Mapping[str, Node]
    words: frozenset[str]
    content_hash: str
    open_words: frozenset[str] = field(default=frozenset())  # those that only a free-text slot brought in

    def jsgf(self) -> str:
        """The grammar in JSGF, public rule <utterance>."""
        lines = ["#JSGF V1.0;", "grammar tools;"]
        lines += [f"<{name}> = {_jsgf(node)};" for name, node in self.rules.items()]
        lines.append(f"public <utterance> = {_jsgf(self.top)};")
        return "\n".join(lines) + "\n"


def build_grammar(tools: Toolset) -> Grammar:
    """Everything that can be said to these tools.

    A tool without sentences contributes its examples of words only (its vocabularies), since nobody wrote how it is asked
    for. Errors: BadToolSchema naming the tool and the pattern that cannot be read.
    """
    return _Builder(tools).build()


class _Builder:
    def __init__(self, tools: Toolset) -> None:
        self._tools = tools
        self._rules: dict[str, Node] = {}
        self._free_text_used = False
        self._values: list[Node] = []

    def build(self) -> Grammar:
        commands = [node for tool in self._tools.values() for node in self._commands(tool)]
        start = self._seldom(POLITE_START)
        end, join = self._seldom(POLITE_END), self._parse(JOIN)
        dialogue = Choice(tuple(self._parse(template) for template in DIALOGUE), tuple(DIALOGUE.values()))
        ways: list[tuple[Node, float]] = [(dialogue, 0.05)]
        if commands:
            self._rules["command"] = choice(commands)
            one = sequence([start, Ref("command"), end])
            more = Choice((NOTHING, Loop(sequence([one, join]), 1)), (0.97, 0.03))
            ways.append((sequence([more, one]), 0.92))
        if self._free_text_used:
            self._rules["free_text"] = self._free_text()
        reply: Node = dialogue
        if self._values:
            self._rules["value"] = choice(self._values)
            article = Choice((self._parse("the"), NOTHING, self._parse("(a|an)")), (0.6, 0.3, 0.1))
            named = sequence([article, self._named_value()])
            amended = Choice((named, Ref("command")), (0.6, 0.4)) if commands else named
            ways.append((sequence([self._parse(CORRECTION), amended]), 0.03))
            reply = Choice((dialogue, self._amendment(named)), (0.55, 0.45))
        root = Choice(tuple(node for node, _ in ways), tuple(weight for _, weight in ways))
        words = set(stumbles.words()).union(*(words_of(node) for node in (root, reply, *self._rules.values())))
        open_words = words_of(self._rules.get("free_text", NOTHING))
        closed = set().union(
            *(words_of(node) for name, node in self._rules.items() if name != "free_text"), words_of(root)
        )
        key = hashlib.sha256(
            json.dumps([repr(root), repr(reply), {k: repr(v) for k, v in self._rules.items()}]).encode()
        ).hexdigest()
        return Grammar(root, reply, dict(self._rules), frozenset(words), key, frozenset(open_words - closed))

    def _named_value(self) -> Node:
        """A value by itself, or with what follows it at the end of commands: "the kitchen", "the kitchen light"."""
        rng = random.Random(1)
        slots = frozenset(self._rules) - FRAME
        after: Counter[tuple[str, ...]] = Counter()
        for _ in range(AMENDMENTS if "command" in self._rules else 0):
            said = draw(Ref("command"), self._rules, rng, slots)
            places = [at for at, word in enumerate(said) if word[:1] == "<"]
            if places and places[-1] < len(said) - 1 <= places[-1] + 3:
                after[said[places[-1] :]] += 1
        named = [sequence([Ref(said[0][1:-1]), Words(said[1:])]) for said, _ in after.most_common(AMENDED)]
        return Choice((Ref("value"), choice(named)), (0.6, 0.4)) if named else Ref("value")

    def _amendment(self, value: Node) -> Node:
        """An answer to "which room?", "no, the kitchen light", "and the bedroom too"."""
        corrected = sequence([self._parse(CORRECTION), value])
        more = sequence([self._parse("(and|also|and also)"), value, self._parse("[(too|as well)]")])
        bare = sequence([value, self._parse("[please]")])
        return Choice((corrected, bare, more), (0.5, 0.4, 0.1))

    def _commands(self, tool: Tool) -> list[Node]:
        found: list[Node] = []
        for template in tool.sentences:
            try:
                found.append(parse(template, partial(self._slot, tool), tool.expansions))
            except ValueError as error:
                raise BadToolSchema(f"tool {tool.name}, pattern {template!r}: {error}") from error
        for name in tool.properties:  # values that no sentence mentions can still be said in a correction
            self._slot(tool, name, name)
        return found

    def _slot(self, tool: Tool, list_name: str, slot_name: str) -> Node:
        schema = tool.properties.get(slot_name, tool.properties.get(list_name))
        if schema is None:
            known = ", ".join(tool.properties) or "none"
            raise ValueError(f"{{{slot_name}}} is not a parameter (there are: {known})")
        node = self._value(schema)
        if isinstance(node, Ref) and node not in self._values and node.name != "free_text":
            self._values.append(node)
        return node

    def _value(self, schema: Mapping[str, Any]) -> Node:
        if schema.get("type") == "array" and isinstance(schema.get("items"), Mapping):
            item = self._value(schema["items"])
            return sequence([item, choice([NOTHING, sequence([choice([NOTHING, Words(("and",))]), item])])])
        if schema.get("enum"):
            return self._rule(_names(schema), "names")
        template = value_rule(schema)
        if template is None:
            self._free_text_used = True
            return Ref("free_text")
        if template == "<identifier>":
            return self._rule(self._identifier(str(schema.get("pattern", ""))), "identifier")
        return self._rule(self._parse(template), template.split(">")[0].strip("<(").replace("-", "_") or "value")

    def _identifier(self, pattern: str) -> Node:
        """Mostly what the parameter's pattern lets be said; a wrong identifier must be heard, too, to be refused."""
        any_parts = Loop(self._parse("<identifier_part>"), IDENTIFIER_PARTS)
        shaped = shape(pattern, self._parse) if pattern else None
        return any_parts if shaped is None or shaped == NOTHING else Choice((shaped, any_parts), (0.9, 0.1))

    def _rule(self, node: Node, kind: str) -> Ref:
        """The same pattern gets the same rule, whichever tool brings it."""
        name = f"{kind.split('|')[0]}_{hashlib.sha256(repr(node).encode()).hexdigest()[:8]}"
        self._rules.setdefault(name, node)
        return Ref(name)

    def _seldom(self, template: str) -> Node:
        """An optional part that most people leave out."""
        return Choice((NOTHING, self._parse(template)), (0.9, 0.1))

    def _parse(self, template: str) -> Node:
        def no_slot(_: str, name: str) -> Node:
            raise ValueError(f"{{{name}}} has no place here")

        return parse(template, no_slot, EXPANSIONS, shares=SHARES)

    def _free_text(self) -> Node:
        return Loop(choice([Words((word,)) for word in EVERYDAY_WORDS]), 5)


def _names(schema: Mapping[str, Any]) -> Node:
    """Each value as often as any other; the form given first as often as its other forms together."""
    shares: dict[Node, float] = {}
    for said in spoken_forms(schema).values():
        for number, form in enumerate(said):
            words = Words(spoken_words(form))
            if words.words:
                share = 1.0 if len(said) == 1 else 0.5 if number == 0 else 0.5 / (len(said) - 1)
                shares[words] = shares.get(words, 0.0) + share
    return Choice(tuple(shares), tuple(shares.values())) if len(shares) > 1 else next(iter(shares), NOTHING)


def _jsgf(node: Node) -> str:
    if isinstance(node, Words):
        return " ".join(node.words) or "<NULL>"
    if isinstance(node, Ref):
        return f"<{node.name}>"
    if isinstance(node, Loop):
        return f"({_jsgf(node.item)})+"
    if isinstance(node, Seq):
        return " ".join(_jsgf(item) for item in node.items)
    rest = [item for item in node.items if item != NOTHING]
    inner = " | ".join(_jsgf(item) for item in rest)
    return f"[{inner}]" if len(rest) < len(node.items) else f"({inner})"


__all__ = ["FRAME", "Grammar", "build_grammar"]
