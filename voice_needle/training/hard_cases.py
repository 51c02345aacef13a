"""Writes drafts of every kind: plain requests, chains, corrections, and all that must not be acted on."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from voice_needle.training import several
from voice_needle.training.draft import Call, Draft, Filler, Style, Token, plain
from voice_needle.training.spoken_values import Spoken
from voice_needle.training.templates import CORPUS, Domain, ToolSpec, Variant

_VERBS = frozenset((CORPUS / "_verbs.txt").read_text(encoding="utf-8").split())  # a request may begin with them
_TALK = {"negation": 3.5, "reported": 1.6, "hypothetical": 2.0, "conditional": 2.5, "question_about": 2.5, "past": 1.6}
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


class Writer:
    """Writes cases for the tools of some domains.

    variants: the renderings of every tool, drawn once, so that a training run meets each of them often enough to cache.
    wide: also several values of one tool in a sentence in every way there is, and more of what no tool, or only half, can serve (the
    development sets keep to what they were).
    """

    def __init__(self, rng: random.Random, domains: Sequence[Domain], variants: Mapping[ToolSpec, Sequence[Variant]],
                 frames: Mapping[str, Any], more: Mapping[str, Sequence[str]], *, wide: bool = False) -> None:  # fmt: skip
        self.rng, self.domains, self.variants, self.frames, self.more = rng, domains, variants, frames, more
        self.written = False
        self.owner = {tool: domain for domain in domains for tool in domain.tools}
        self.tools = [tool for tool in self.owner if tool in variants]
        self.kinds: dict[str, tuple[float, Callable[[Style], Case | None]]] = {
            "intent": (34, self.intent), "chain": (14, self.chain), "two_objects": (5, self.two_objects),
            "same_tool": (5, self.same_tool), "correction": (6, self.correction), "last_wins": (1.5, self.last_wins),
            "but_not": (2.5, self.but_not), "taken_back": (1.5, self.taken_back), "removed": (9, self.removed),
            "near": (8, self.near), "none": (4, self.none), "unknown_value": (5, self.unknown_value), "half": (4.5, self.half),
            **{kind: (weight, partial(self.talk, kind=kind)) for kind, weight in _TALK.items()},
        }  # fmt: skip
        if wide:
            self.kinds |= {"several_objects": (4, self.several_objects), "respectively": (1.5, self.respectively),
                           "ellipsis": (3, self.ellipsis), "half": (9, self.half), "removed": (13, self.removed)}  # fmt: skip

    def case(self, kind: str, style: Style) -> Case:
        """A case of one kind; tried again with other tools until one can be written."""
        self.written = style.written
        while True:
            made = self.kinds[kind][1](style)
            if made is not None and len(made.draft.tokens) < 60:
                return made

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
        if second is None or name not in second.calls[0].arguments or _same(first, second):
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
                 and draft.tokens[-1].value == call.arguments[name][1]]  # fmt: skip
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

    # --- repairs ---

    def correction(self, style: Style) -> Case | None:
        """A value said wrong first: only the last one counts."""
        draft = self._request(style)
        if draft is None or not draft.calls[0].arguments:
            return None
        call = draft.calls[0]
        name = self.rng.choice(list(call.arguments))
        parameter, (value, group) = call.variant.tool.parameters[name], call.arguments[name]
        if parameter.type == "list":
            return None
        wrong = self._filler(call.variant, style).value(call.variant, parameter, value)
        if wrong is None or wrong[1].words in draft.text:
            return None
        at = draft.where(group)
        right = draft.tokens[at[0] : at[-1] + 1]
        tokens: list[Token] = []
        for piece in re.split(r"(\{\w+\})", self.rng.choice(self.frames["correction_value"])):
            if piece == "{right}":
                tokens += right
            elif piece == "{wrong}":
                tokens += [Token(word, call=0) for word in _bare_words(wrong[1])]
            else:
                tokens += [Token(word, call=0) for word in piece.split()]
        draft.tokens[at[0] : at[-1] + 1] = tokens
        return self._case(draft, "correction")

    def _pair(self, style: Style) -> tuple[Draft, Draft] | None:
        first = self._request(style, imperative_only=True)
        if first is None:
            return None
        variant = first.calls[0].variant
        other = variant if self.rng.random() < 0.4 else self._partner(variant)
        second = self._request(style, other, imperative_only=True)
        if second is None or _same(first, second):
            return None
        return first, second

    def _only_second(self, frame: str, pair: tuple[Draft, Draft], kind: str) -> Case:
        variants = [draft.calls[0].variant for draft in pair]
        first = Draft([replace(token, value=-1, call=-1) for token in pair[0].tokens], [])
        return self._case(self._framed(frame, [first, pair[1]]), kind, variants)

    def last_wins(self, style: Style) -> Case | None:
        pair = self._pair(style)
        return self._only_second(self.rng.choice(self.frames["last_wins"]), pair, "correction") if pair else None

    def but_not(self, style: Style) -> Case | None:
        pair = self._pair(style)
        return self._only_second(self.rng.choice(self.frames["but_not"]), pair, "negation") if pair else None

    def taken_back(self, style: Style) -> Case | None:
        draft = self._request(style, imperative_only=True)
        if draft is None:
            return None
        variants = [call.variant for call in draft.calls]
        return self._case(self._silent(self._framed(self.rng.choice(self.frames["taken_back"]), [draft])), "taken_back", variants)

    def _silent(self, draft: Draft) -> Draft:
        """The words without any call."""
        return Draft([replace(token, value=-1, call=-1) for token in draft.tokens], [])

    # --- not to be acted on ---

    def removed(self, style: Style) -> Case | None:
        """The right tool is not on offer."""
        draft = self._request(style)
        if draft is None:
            return None
        tool = draft.calls[0].variant.tool
        case = self._case(self._silent(self.wrapped(draft)), "removed", [])
        case.domain, case.barred = self.owner[tool], {tool}
        return case

    def near(self, style: Style) -> Case | None:
        variant = self._pick()
        if not variant.tool.near:
            return None
        draft = self._filler(variant, style).request(self.rng.choice(variant.tool.near), variant, silent=True)
        return self._case(self._silent(draft), "near", [variant]) if draft else None

    def none(self, style: Style) -> Case | None:
        domain = self.rng.choice(self.domains)
        if domain.none and self.rng.random() < 0.5:
            filler = Filler(self.rng, style, domain.values, self.more)
            words = filler._open(list(domain.none))
        else:
            words = str(self.rng.choice(self.frames["not_a_request"]))
        case = self._case(Draft(plain(words), []), "none", [])
        case.domain = domain
        return case

    def unknown_value(self, style: Style) -> Case | None:
        """A request whose enum value this tool does not offer: asking is right, another value never is."""
        variant = self._pick()
        gone = [name for name, kept in variant.values.items()
                if kept and len(kept) < len(variant.tool.parameters[name].forms)]  # fmt: skip
        if not gone:
            return None
        name = self.rng.choice(gone)
        full = replace(variant, values={**variant.values, name: {
            value: value for value in variant.tool.parameters[name].forms if value not in variant.values[name]}})  # fmt: skip
        draft = self._request(style, full)
        if draft is None or name not in draft.calls[0].arguments:
            return None
        group = draft.calls[0].arguments[name][1]
        words = " ".join(token.word for token in draft.tokens if token.value == group)
        parameter = variant.tool.parameters[name]
        if any(words == form for kept in variant.values[name] for form in parameter.forms[kept]):
            return None
        shown = variant.parameters[name]
        return self._case(self._silent(draft), "unknown_value", [variant],
                          tool=variant.schema["name"], parameter=shown, words=words)  # fmt: skip

    def half(self, style: Style) -> Case | None:
        """Two requests of which one has no tool: nothing is done by halves."""
        drafts = self._several(style, 2)
        if drafts is None:
            return None
        kept = self.rng.randrange(2)
        variants = [draft.calls[0].variant for draft in drafts]
        case = self._case(self._silent(self._chained(drafts)), "half", [variants[kept]])
        case.barred = {variants[1 - kept].tool}
        return case

    def talk(self, style: Style, kind: str) -> Case | None:
        """Words about a request that are none: negated, reported, supposed, conditional, asked about, past."""
        draft = self._request(style, imperative_only=True)
        if draft is None or len(draft.tokens) > 16:
            return None
        variant = draft.calls[0].variant
        framed = self._framed(self.rng.choice(self.frames[kind]), [draft])
        return self._case(self._silent(framed), kind, [variant])


def _is_object(tool: ToolSpec, name: str) -> bool:
    """Whether one verb may have two of them: things with names do, directions and modes do not."""
    kind = tool.parameters[name].type
    if kind == "enum":
        return any(re.search(rf"\b(the|a|an|my)\]? \{{{name}\}}", template) for template in tool.say)
    return kind in ("open", "identifier") or (kind == "integer" and tool.domain.startswith("general"))


def _same(first: Draft, second: Draft) -> bool:
    a, b = first.calls[0], second.calls[0]
    values = [{name: value for name, (value, _) in call.arguments.items()} for call in (a, b)]
    return a.variant.tool is b.variant.tool and (values[0] == values[1] or not values[0] or not values[1])


def _has_article(draft: Draft, group: int) -> bool:
    at = draft.where(group)[0]
    return at > 0 and draft.tokens[at - 1].word == "the"


def _bare_words(spoken: Spoken) -> list[str]:
    words = spoken.words.split()
    return words[1:] if spoken.name and len(words) > 1 and words[0] in ("the", "a", "an") else words
