"""An example while it is being written: tokens that know which value and which call they belong to."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from voice_needle.training.examples import Answer, Span, Value
from voice_needle.training.expand import sample
from voice_needle.training.spoken_values import GENERATORS, Spoken, joined
from voice_needle.training.templates import Parameter, Variant

_ARTICLES = ("the", "a", "an")
_PIECES = re.compile(r"([^\s{]*)\{(\w+)\}(\S*)|(\S+)")


@dataclass(frozen=True)
class Style:
    """How one example is written. digits: figures for number words; written: capitals and punctuation; clear: only
    values with one meaning, as the development sets need them."""

    digits: bool = False
    written: bool = False
    clear: bool = False


@dataclass(frozen=True)
class Token:
    """A word. value: the number of the value it is part of; call: the number of the call it asks for; -1 is none.
    before, after: punctuation, which belongs to no value."""

    word: str
    value: int = -1
    call: int = -1
    after: str = ""
    before: str = ""


@dataclass
class Call:
    """A call that is right. arguments: canonical parameter -> (value, number of the tokens' value or -1)."""

    variant: Variant
    arguments: dict[str, tuple[Any, int]] = field(default_factory=dict)


@dataclass
class Draft:
    """Tokens and calls. Numbers of values and calls are unique within a draft."""

    tokens: list[Token]
    calls: list[Call]
    values: int = 0

    @property
    def text(self) -> str:
        return " ".join(token.before + token.word + token.after for token in self.tokens)

    def shifted(self, values: int, calls: int) -> Draft:
        """The same with numbers moved up, for joining it behind another draft that has so many values and calls."""
        tokens = [
            replace(token, value=token.value + values if token.value >= 0 else -1,
                    call=token.call + calls if token.call >= 0 else -1)
            for token in self.tokens
        ]  # fmt: skip
        moved = [
            Call(call.variant, {name: (value, group + values if group >= 0 else -1) for name, (value, group) in call.arguments.items()})
            for call in self.calls
        ]  # fmt: skip
        return Draft(tokens, moved, self.values)

    def where(self, group: int) -> list[int]:
        """The tokens of a value."""
        return [index for index, token in enumerate(self.tokens) if token.value == group and group >= 0]


def plain(words: str) -> list[Token]:
    """Tokens that belong to nothing."""
    return [Token(word) for word in words.split()]


class Filler:
    """Fills the slots of a template for one tool, in one style."""

    def __init__(self, rng: random.Random, style: Style, lists: Mapping[str, Sequence[str]],
                 more: Mapping[str, Sequence[str]]) -> None:  # fmt: skip
        self.rng, self.style, self.lists, self.more = rng, style, lists, more

    def request(self, template: str, variant: Variant, avoid: Mapping[str, Any] | None = None, *,
                silent: bool = False) -> Draft | None:  # fmt: skip
        """The template with values and their labels; None when it needs a value that this variant does not offer.
        avoid: parameter -> value that must not be drawn again. silent: it asks for nothing, so a slot may stand twice."""
        draft = Draft([], [Call(variant)])
        for prefix, slot, suffix, word in _PIECES.findall(sample(template, self.rng)):
            if word:
                draft.tokens.append(Token(word, call=0))
                continue
            if slot in draft.calls[0].arguments and not silent:
                return None
            if slot in variant.tool.parameters:
                drawn = self.value(variant, variant.tool.parameters[slot], (avoid or {}).get(slot))
                if drawn is None:
                    return None
                value, spoken = drawn
                if prefix == "$" and not self.style.digits:
                    prefix, spoken = "", replace(spoken, after="dollars")
                if suffix.startswith("%") and not self.style.digits:
                    suffix, spoken = suffix[1:], replace(spoken, after="percent")
                said = self.said(spoken, draft.values, suffix)
                draft.tokens += [replace(said[0], before=prefix), *said[1:]]
                draft.calls[0].arguments[slot] = (value, draft.values)
                draft.values += 1
            else:
                words = self.words(slot).split()
                words[0] = prefix + words[0]
                draft.tokens += [Token(item, call=0) for item in words[:-1]] + [Token(words[-1], call=0, after=suffix)]
        return draft if draft.tokens else None

    def value(self, variant: Variant, parameter: Parameter, avoid: Any = None) -> tuple[Any, Spoken] | None:
        """A value as the variant renders it, with its words."""
        for _ in range(8):
            drawn = self._value(variant, parameter)
            if drawn is None or avoid is None or drawn[0] != avoid:
                return drawn
        return None

    def _value(self, variant: Variant, parameter: Parameter) -> tuple[Any, Spoken] | None:
        rng, kind = self.rng, parameter.type
        if kind == "enum":
            offered = variant.values[parameter.name]
            canonical = rng.choice(list(offered))
            return offered[canonical], Spoken(offered[canonical], rng.choice(parameter.forms[canonical]), name=True)
        if kind == "boolean":
            key = rng.choice(list(parameter.forms))
            truth = key if isinstance(key, bool) else str(key).lower() == "true"
            return truth, Spoken(truth, rng.choice(parameter.forms[key]))
        if kind == "list":
            return self._list(parameter)
        if parameter.values:
            words = self._open(parameter.values)
            meant = spelled(words) if kind == "identifier" else _bare(words)
            if kind == "identifier" and self.style.digits:
                words = meant
            return meant, Spoken(meant, words, name=kind == "open")
        if kind == "open":
            return None
        clear = {"clear": self.style.clear} if kind in ("time", "date", "datetime") else {}
        spoken = GENERATORS[kind](rng, parameter.spec, self.style.digits, **clear)
        return spoken.value, spoken

    def _list(self, parameter: Parameter) -> tuple[Any, Spoken] | None:
        rng, of = self.rng, parameter.spec.get("of")
        count = rng.choice([2, 3, 4, 5]) if of else rng.choice([1, 1, 2, 2, 3])
        if of:
            drawn = [GENERATORS[of](rng, parameter.spec, self.style.digits) for _ in range(count)]
            words = joined(rng, [item.words for item in drawn], True)
            return [item.value for item in drawn], Spoken(None, words)
        items = list(dict.fromkeys(self._open(parameter.values) for _ in range(count)))
        values = [_bare(item) for item in items]
        return values, Spoken(values, joined(rng, items, self.style.digits), name=True)

    def _open(self, values: Any) -> str:
        chosen = values if isinstance(values, str) else self.rng.choice([str(item) for item in values])
        pieces = _PIECES.findall(sample(chosen, self.rng))
        return " ".join(lead + self.words(slot) + rest if slot else word for lead, slot, rest, word in pieces)

    def words(self, name: str) -> str:
        """An entry of a named list; sometimes one of the many more that public lists hold."""
        if name in self.more and not self.style.clear and self.rng.random() < 0.45:
            return self.rng.choice(self.more[name])
        words = sample(self.rng.choice(self.lists[name]), self.rng)
        return self._open([words]) if "{" in words else words

    def said(self, spoken: Spoken, number: int, suffix: str = "", call: int = 0) -> list[Token]:
        """The tokens of a value: a leading article and the unit's word stay outside it."""
        words = spoken.words.split()
        lead = 1 if spoken.name and len(words) > 1 and words[0] in _ARTICLES else 0
        tokens = [Token(word, call=call) for word in words[:lead]] + [
            Token(word, number, call) for word in words[lead:]
        ]
        if spoken.after == "%":
            suffix = "%" + suffix
        elif spoken.after:
            tokens += [Token(word, call=call) for word in spoken.after.split()]
        if suffix:
            tokens[-1] = replace(tokens[-1], after=suffix)
        return tokens


def _bare(words: str) -> str:
    head, _, rest = words.partition(" ")
    return rest if rest and head in _ARTICLES else words


_UNITS = {"zero": 0, "oh": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
          "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
          "seventeen": 17, "eighteen": 18, "nineteen": 19}  # fmt: skip
_TENS = {"twenty": 2, "thirty": 3, "forty": 4, "fifty": 5, "sixty": 6, "seventy": 7, "eighty": 8, "ninety": 9}


def spelled(words: str) -> str:
    """A code as it was meant: "a fourteen" -> "A14", "p o four one nine" -> "PO419", "eight hundred and twelve" -> "812"."""
    out = ""
    pending = 0  # tens or hundreds that smaller numbers may follow
    for word in words.lower().split():
        number = _UNITS.get(word, _TENS.get(word, 0) * 10 if word in _TENS else None)
        if word in ("and", "double") or (word == "hundred" and out[-1:].isdigit()):
            if word == "hundred":
                pending, out = int(out[-1]) * 100, out[:-1]
            continue
        if pending and number is not None and 0 < number < (100 if pending >= 100 else 10):
            pending += number
            if pending % 10 or number < 20:
                out, pending = out + str(pending), 0
            continue
        out, pending = out + (str(pending) if pending else ""), 0
        if number is not None and number >= 20:
            pending = number
        elif number is not None:
            out += str(number)
        else:
            out += "-" if word in ("dash", "hyphen") else word.upper()
    return out + (str(pending) if pending else "")


def finish(draft: Draft) -> tuple[str, tuple[Answer, ...]]:
    """The text and its answers in spoken order, with character spans."""
    text, places = "", []
    for token in draft.tokens:
        text += " " if text else ""
        text += token.before
        places.append(Span(len(text), len(text) + len(token.word)))
        text += token.word + token.after
    answers = []
    for number, call in enumerate(draft.calls):
        clause = _extent(places, [index for index, token in enumerate(draft.tokens) if token.call == number])
        arguments = {}
        for name, (value, group) in call.arguments.items():
            span, shown = _extent(places, draft.where(group)), call.variant.parameters[name]
            if span is not None and _free_text(call.variant.schema["parameters"]["properties"][shown], value):
                value = text[span.start : span.end]
            arguments[shown] = Value(value, span)
        answers.append(Answer(call.variant.schema["name"], arguments, clause or Span(0, len(text))))
    if len(answers) == 1:
        answers = [replace(answers[0], clause=Span(0, len(text)))]
    return text, tuple(sorted(answers, key=lambda answer: answer.clause.start))


def _free_text(schema: Mapping[str, Any], value: Any) -> bool:
    """Whether the schema takes the words themselves: a string that names neither its values nor its form."""
    return isinstance(value, str) and schema.get("type") == "string" and not {"enum", "format"} & set(schema)


def _extent(places: Sequence[Span], indices: Iterable[int]) -> Span | None:
    found = list(indices)
    return Span(places[found[0]].start, places[found[-1]].end) if found else None
