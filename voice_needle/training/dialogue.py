"""Writes dialogue acts: yes, no, cancel, stop, repeat, undo, a corrected value, a backchannel."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

from voice_needle.route.stitch.dialogue import PREFIX
from voice_needle.training.draft import Filler, Style
from voice_needle.training.examples import Answer, Span, Value
from voice_needle.training.hard_cases import Writer
from voice_needle.training.readers import normalised


class DialogueWriter:
    """Draws from the phrases of `_frames.yaml`; a corrected value is one of any tool of the corpus."""

    def __init__(self, rng: random.Random, frames: Mapping[str, Any], writer: Writer) -> None:
        self.rng, self.writer = rng, writer
        phrases = frames["dialogue"]
        self.phrases = {
            name: [str(phrase) for phrase in found] for name, found in phrases.items() if name != "correction"
        }
        self.corrections = [str(phrase) for phrase in phrases["correction"]]
        counts: dict[str, int] = {}
        for found in self.phrases.values():
            for phrase in found:
                counts[phrase] = counts.get(phrase, 0) + 1
        self.doubtful = {phrase for phrase, count in counts.items() if count > 1}
        self.known = {normalised(phrase) for found in self.phrases.values() for phrase in found}

    def may_be(self, text: str) -> bool:
        """Whether a text is, or begins or ends with, a dialogue act: then these tools are not offered beside it."""
        words = normalised(text)
        return words in self.known or words.split(" ", 1)[0] in ("no", "sorry", "actually", "stop", "undo", "cancel")

    def draw(self, style: Style) -> tuple[str, tuple[Answer, ...], bool, str]:
        """Text, answers, whether the dialogue tools are to be offered, kind. Not offered: nothing is right."""
        offered = self.rng.random() < 0.85
        if self.rng.random() < 0.35:
            text, span = self._correction(style)
            name, arguments = "correct", {"value": Value(text[span.start : span.end], span)}
        else:
            name = self.rng.choice(list(self.phrases))
            text = self.rng.choice([phrase for phrase in self.phrases[name] if phrase not in self.doubtful])
            arguments = {}
            if self.rng.random() < 0.1:
                text = self.rng.choice(["um ", "uh ", "oh ", "hey ", "okay "]) + text
        if not offered:
            return text, (), False, "removed"
        return text, (Answer(PREFIX + name, arguments, Span(0, len(text))),), True, "dialogue"

    def _correction(self, style: Style) -> tuple[str, Span]:
        while True:
            tool = self.rng.choice(self.writer.tools)
            variant = self.writer.variants[tool][0]
            parameters = [item for item in tool.parameters.values() if item.type not in ("boolean", "list")]
            if not parameters:
                continue
            parameter = self.rng.choice(parameters)
            filler = Filler(self.rng, style, self.writer.owner[tool].values, self.writer.more)
            right = filler.value(variant, parameter)
            wrong = filler.value(variant, parameter, right[0]) if right else None
            if right and wrong and right[1].words != wrong[1].words and len(right[1].words.split()) < 7:
                break
        text, span = "", Span(0, 0)
        for piece in re.split(r"(\{\w+\})", self.rng.choice(self.corrections)):
            if piece == "{value}":
                words = filler.said(right[1], 0)
                lead = " ".join(token.word for token in words if token.value < 0 and not right[1].after)
                said = " ".join(token.word for token in words if token.value == 0)
                text += lead + " " if lead and not text.endswith("the ") else ""
                span = Span(len(text), len(text) + len(said))
                text += said
                if right[1].after:
                    text += right[1].after if right[1].after == "%" else " " + right[1].after
            else:
                text += " ".join(_bare(wrong[1].words)) if piece == "{wrong}" else piece
        return text, span


def _bare(words: str) -> list[str]:
    found = words.split()
    return found[1:] if len(found) > 1 and found[0] in ("the", "a", "an") else found
