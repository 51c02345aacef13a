"""Writes requests: one call in plain words, with politeness and stumbles around it, and several calls in one sentence."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from voice_needle.training import several
from voice_needle.training.draft import Call, Draft, Filler, Style, Token, plain
from voice_needle.training.templates import CORPUS, Domain, ToolSpec, Variant

_VERBS = frozenset((CORPUS / "_verbs.txt").read_text(encoding="utf-8").split())  # a request may begin with them
_LOOSE = ["{a} and {b}", "{a} and then {b}", "{a} then {b}", "{a} and also {b}", "{a} {b}", "{a} oh and {b}"]


@dataclass
class Case:
    """A draft and what may be offered with it. barred: tools that could serve it, or would make the label doubtful."""

    draft: Draft
    kind: str
    offered: list[Variant]
    domain: Domain | None = None
    barred: set[ToolSpec] = field(default_factory=set)
    meta: dict[str, Any] = field(default_factory=dict)


def imperative(draft: Draft) -> bool:
    """Whether the draft begins with a verb, so that "could you ..." and "don't ..." fit before it."""
    words = [token.word for token in draft.tokens[:2]]
    return words[0] in _VERBS and words[-1] not in ("you", "i", "we", "they", "he", "she")


class Requests:
    """Drafts of requests for the tools of some domains.

    variants: the renderings of every tool, drawn once, so that a training run meets each of them often enough to cache.
    """

    def __init__(self, rng: random.Random, domains: Sequence[Domain], variants: Mapping[ToolSpec, Sequence[Variant]],
                 frames: Mapping[str, Any], more: Mapping[str, Sequence[str]]) -> None:  # fmt: skip
        self.rng, self.domains, self.variants, self.frames, self.more = rng, domains, variants, frames, more
        self.written = False
        self.owner = {tool: domain for domain in domains for tool in domain.tools}
        self.tools = [tool for tool in self.owner if tool in variants]

    # --- requests ---

    def _pick(self, tool: ToolSpec | None = None) -> Variant:
        return self.rng.choice(self.variants[tool or self.rng.choice(self.tools)])

    def _filler(self, variant: Variant, style: Style) -> Filler:
        return Filler(self.rng, style, self.owner[variant.tool].values, self.more)

    def _request(self, style: Style, variant: Variant | None = None, *, imperative_only: bool = False,
                 avoid: Mapping[str, Any] | None = None) -> Draft | None:  # fmt: skip
        variant = variant or self._pick()
        filler = self._filler(variant, style)
        for _ in range(6):
            draft = filler.request(self.rng.choice(variant.tool.say), variant, avoid)
            if draft is not None and (not imperative_only or imperative(draft)):
                return draft
        return None

    def _case(self, draft: Draft, kind: str, offered: Sequence[Variant] | None = None, **meta: Any) -> Case:
        offered = [call.variant for call in draft.calls] if offered is None else offered
        unique = list({id(variant.tool): variant for variant in offered}.values())
        return Case(draft, kind, unique, self.owner[unique[0].tool] if unique else None, meta=meta)

    def intent(self, style: Style) -> Case | None:
        draft = self._request(style)
        if draft is None:
            return None
        return self._case(self.wrapped(draft), "intent")

    def wrapped(self, draft: Draft) -> Draft:
        """Politeness, false starts, fillers and repeats around a request: they change nothing."""
        roll = self.rng.random()
        if roll < 0.24 and imperative(draft):
            draft = self._framed(self.rng.choice(self.frames["polite"]), [draft])
        elif roll < 0.30:
            draft = self._framed(self.rng.choice(self.frames["false_start"]), [draft])
        if self.rng.random() < 0.15:
            self._filled(draft)
        if self.rng.random() < 0.04:
            self._stammered(draft)
        return draft

    def _framed(self, frame: str, parts: Sequence[Draft]) -> Draft:
        """One frame with {request}, or {a} and {b}, filled by drafts in the order in which they stand in it."""
        whole = Draft([], [])
        names = {"request": 0, "a": 0, "b": 1}
        for piece in re.split(r"(\{\w+\})", frame):
            if not piece.startswith("{"):
                whole.tokens += plain(piece)
                continue
            part = parts[names[piece[1:-1]]]
            moved = part.shifted(whole.values, len(whole.calls))
            whole.tokens += moved.tokens
            whole.calls += moved.calls
            whole.values += part.values
        return whole

    def _filled(self, draft: Draft) -> None:
        """Put one or two fillers between words, never inside a value."""
        for _ in range(self.rng.choice([1, 1, 2])):
            at = self.rng.randrange(len(draft.tokens))
            before = draft.tokens[at - 1].value if at else -1
            if draft.tokens[at].value < 0 or draft.tokens[at].value != before:
                draft.tokens[at:at] = plain(self.rng.choice(self.frames["fillers"]))

    def _stammered(self, draft: Draft) -> None:
        """Say one or two words twice, outside values."""
        at = self.rng.randrange(len(draft.tokens))
        words = draft.tokens[max(0, at - self.rng.choice([0, 1])) : at + 1]
        if all(token.value < 0 and not token.after for token in words):
            draft.tokens[at + 1 : at + 1] = words

    # --- several calls ---

    def _partner(self, variant: Variant) -> Variant:
        """Another tool, of the same domain more often than not."""
        siblings = [
            tool for tool in self.owner[variant.tool].tools if tool is not variant.tool and tool in self.variants
        ]
        if siblings and self.rng.random() < 0.65:
            return self._pick(self.rng.choice(siblings))
        while (other := self._pick()).tool is variant.tool:
            pass
        return other

    def _several(self, style: Style, count: int) -> list[Draft] | None:
        first = self._pick()
        chosen = [first]
        while len(chosen) < count:
            other = self._partner(chosen[-1])
            if any(other.tool is item.tool for item in chosen):
                return None
            if other.schema["name"] in {item.schema["name"] for item in chosen}:
                return None
            chosen.append(other)
        drafts = [self._request(style, item, imperative_only=self.rng.random() < 0.8) for item in chosen]
        return None if None in drafts else [draft for draft in drafts if draft]

    def _chained(self, drafts: Sequence[Draft]) -> Draft:
        whole = drafts[0]
        for part in drafts[1:]:
            if self.written and self.rng.random() < 0.5:
                whole = self._sentences(whole, part)
                continue
            verbs = imperative(whole) and imperative(part)
            frames = self.frames["chain"] if verbs else _LOOSE
            whole = self._framed(self.rng.choice(frames), [whole, part])
        return whole

    def _sentences(self, first: Draft, second: Draft) -> Draft:
        """Two sentences with their marks, as people type."""
        lead = self.rng.choice(["", "", "also, ", "then ", "and ", "after that, "])
        mark = "," if lead in ("then ", "and ") else "."
        first.tokens[-1] = replace(first.tokens[-1], after=first.tokens[-1].after + mark)
        if not lead:
            head = second.tokens[0]
            second.tokens[0] = replace(head, word=head.word.capitalize()) if head.value < 0 else head
        elif mark == ".":
            lead = lead.capitalize()
        return self._framed("{a} " + lead + "{b}", [first, second])

    def chain(self, style: Style) -> Case | None:
        drafts = self._several(style, self.rng.choices([2, 3, 4], [75, 18, 7])[0])
        if drafts is None:
            return None
        whole = self._chained(drafts)
        if self.rng.random() < 0.15:
            self._filled(whole)
        return self._case(whole, "chain")

    def same_tool(self, style: Style) -> Case | None:
        """The same tool twice with other values, in two clauses."""
        first = self._request(style, imperative_only=True)
        if first is None or not first.calls[0].arguments:
            return None
        name = self.rng.choice(list(first.calls[0].arguments))
        call = first.calls[0]
        second = self._request(style, call.variant, imperative_only=True, avoid={name: call.arguments[name][0]})
        if second is None or name not in second.calls[0].arguments or same(first, second):
            return None
        return self._case(self._chained([first, second]), "chain")

    def two_objects(self, style: Style) -> Case | None:
        """One verb with two or three objects: "turn on the lamp and the fan"."""
        draft = self._request(style)
        if draft is None:
            return None
        call = draft.calls[0]
        tool = call.variant.tool
        names = [name for name in call.arguments if _is_object(tool, name)
                 and draft.where(call.arguments[name][1])[-1:] == [len(draft.tokens) - 1]]  # fmt: skip
        if not names or tool.takes_list:
            return None
        parameter = tool.parameters[names[0]]
        filler = self._filler(call.variant, style)
        drawn = filler.value(call.variant, parameter, call.arguments[parameter.name][0])
        if drawn is None or " and " in drawn[1].words or len(drawn[1].words.split()) > 3:
            return None
        value, spoken = drawn
        bare = spoken.words.split()[0] not in ("the", "a", "an")
        article = [Token("the")] if bare and _has_article(draft, call.arguments[parameter.name][1]) else []
        tokens = filler.said(spoken, draft.values, call=1)
        draft.tokens += [*plain(self.rng.choice(["and", "and", "and also", "as well as"])), *article, *tokens]
        draft.calls.append(Call(call.variant, {**call.arguments, parameter.name: (value, draft.values)}))
        draft.values += 1
        if self.rng.random() < 0.3 and imperative(draft):
            draft = self._framed(self.rng.choice(self.frames["polite"]), [draft])
        return self._case(draft, "chain")

    def several_objects(self, style: Style) -> Case | None:
        return self._multiplied(style, several.several_objects)

    def respectively(self, style: Style) -> Case | None:
        return self._multiplied(style, several.respectively)

    def _multiplied(self, style: Style, how: Callable[..., Draft | None]) -> Case | None:
        draft = self._request(style)
        made = how(self.rng, draft, self._filler(draft.calls[0].variant, style), _is_object) if draft else None
        return self._case(made, "chain") if made else None

    def ellipsis(self, style: Style) -> Case | None:
        """The same tool again, of which only the part with the values is said."""
        variant = self._pick()
        if variant.tool.takes_list:
            return None
        filler, template = self._filler(variant, style), self.rng.choice(variant.tool.say)
        drafts = [filler.request(template, variant) for _ in range(self.rng.choices([2, 3], [4, 1])[0])]
        found = [draft for draft in drafts if draft is not None and draft.calls[0].arguments]
        if len(found) < len(drafts) or any(set(draft.calls[0].arguments) != set(found[0].calls[0].arguments) for draft in found):
            return None
        made = several.ellipsis(self.rng, found[0], found[1:])
        return self._case(made, "chain") if made else None


def _is_object(tool: ToolSpec, name: str) -> bool:
    """Whether one verb may have two of them: things with names do, directions and modes do not."""
    kind = tool.parameters[name].type
    if kind == "enum":
        return any(re.search(rf"\b(the|a|an|my)\]? \{{{name}\}}", template) for template in tool.say)
    return kind in ("open", "identifier") or (kind == "integer" and tool.domain.startswith("general"))


def same(first: Draft, second: Draft) -> bool:
    a, b = first.calls[0], second.calls[0]
    values = [{name: value for name, (value, _) in call.arguments.items()} for call in (a, b)]
    return a.variant.tool is b.variant.tool and (values[0] == values[1] or not values[0] or not values[1])


def _has_article(draft: Draft, group: int) -> bool:
    at = draft.where(group)[0]
    return at > 0 and draft.tokens[at - 1].word == "the"
