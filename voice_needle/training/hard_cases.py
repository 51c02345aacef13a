"""Writes drafts of every kind: requests, requests with repairs, and all that must not be acted on."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from voice_needle.training.draft import Draft, Filler, Style, Token, plain
from voice_needle.training.spoken_requests import Case, Requests, same
from voice_needle.training.spoken_values import Spoken
from voice_needle.training.templates import Domain, ToolSpec, Variant

_TALK = {"negation": 3.5, "reported": 1.6, "hypothetical": 2.0, "conditional": 2.5, "question_about": 2.5, "past": 1.6}


class Writer(Requests):
    """Writes cases of every kind for the tools of some domains.

    wide: also several values of one tool in a sentence in every way there is, and more of what no tool, or only half, can serve (the
    development sets keep to what they were).
    """

    def __init__(self, rng: random.Random, domains: Sequence[Domain], variants: Mapping[ToolSpec, Sequence[Variant]],
                 frames: Mapping[str, Any], more: Mapping[str, Sequence[str]], *, wide: bool = False) -> None:  # fmt: skip
        super().__init__(rng, domains, variants, frames, more)
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
        if not at:  # a value that is meant, but not said
            return None
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
        if second is None or same(first, second):
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


def _bare_words(spoken: Spoken) -> list[str]:
    words = spoken.words.split()
    return words[1:] if spoken.name and len(words) > 1 and words[0] in ("the", "a", "an") else words
