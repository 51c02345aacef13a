"""What came of it, in one plain spoken sentence, and never more than is true.

A tool's own phrases come first; the rest is said by status. "Done" is said for `ok` only: a call that was sent but not
acknowledged, timed out, or reached only half of its targets is told as exactly that. A tool's `failure` phrase claims that
nothing happened, so it is used only where that is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from voice_needle import errors
from voice_needle.clock import Clock
from voice_needle.events import Call, Question, Status, ToolResult
from voice_needle.speak.spoken_values import joined, quantity, spoken, unit_words
from voice_needle.tools import Tool, Toolset

BY_STATUS: Mapping[Status, str] = {
    Status.OK: "Done.",
    Status.NOT_FOUND: "I could not find that.",
    Status.SEVERAL: "There are several. Which one?",
    Status.BUSY: "It is busy right now.",
    Status.PARTIAL: "Only a part of that was done.",
    Status.REFUSED: errors.ToolRefused.spoken,
    Status.FAILED: errors.ToolFailed.spoken,
    Status.UNREACHABLE: errors.ToolUnreachable.spoken,
    Status.TIMEOUT: errors.ToolTimeout.spoken,
    Status.UNCONFIRMED: errors.ToolUnconfirmed.spoken,
    Status.CANCELLED: "I stopped that.",
}
DID_NOT_HAPPEN = frozenset({Status.FAILED, Status.UNREACHABLE, Status.REFUSED, Status.BUSY, Status.NOT_FOUND})
_GENERAL = frozenset({*BY_STATUS.values(), errors.ToolError.spoken, errors.BadArguments.spoken})

_SLOT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.]*)\}")
_LOWER = {
    "a", "all", "an", "another", "both", "each", "every", "he", "her", "his", "it", "its", "my", "no", "none", "nothing",
    "one", "only", "our", "she", "some", "that", "the", "their", "there", "these", "they", "this", "those", "three", "two",
    "we", "which", "you", "your",
}  # fmt: skip


class Phrasebook:
    """Turns results, questions and confirmations into sentences. clock: tells what "tomorrow" means."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock

    def _today(self) -> date | None:
        return self._clock.now().date() if self._clock is not None else None

    # --- results ---

    def results(self, results: Sequence[ToolResult], tools: Toolset) -> str:
        """What came of all calls of a turn, in their order, in one breath where it fits; nothing for no results."""
        said: list[tuple[str, bool]] = []
        for result in results:
            sentence = self.result(result, tools)
            if sentence and sentence not in (earlier for earlier, _ in said):
                said.append((sentence, result.ok))
        return _breath(said)

    def result(self, result: ToolResult, tools: Toolset) -> str:
        """What came of one call."""
        tool = tools.get(result.call.tool)
        for phrase in self._own_phrases(result, tool):
            sentence = self._filled(phrase, result, tool)
            if sentence:
                return sentence
        values = result.values
        if result.status is Status.PARTIAL and (values.get("done") or values.get("left")):
            done, left = spoken(values.get("done")) or "a part", spoken(values.get("left")) or "the rest"
            return f"I did {done}, but not {left}."
        if result.status is Status.SEVERAL and values.get("options"):
            return f"Which one: {joined([spoken(option) for option in values['options']], 'or')}?"
        return finished(result.error or BY_STATUS[result.status])

    def _own_phrases(self, result: ToolResult, tool: Tool | None) -> list[str]:
        """Phrases that are true for this status, best first."""
        if tool is None:
            return []
        own = [tool.say.on.get(result.status.value, "")]
        if result.status is Status.OK:
            own.append(tool.say.success)
        elif result.error and result.error not in _GENERAL:
            own.append(result.error.replace("{", "(").replace("}", ")"))
        elif result.status in DID_NOT_HAPPEN:
            own.append(tool.say.failure)
        return [phrase for phrase in own if phrase]

    def undone(self, result: ToolResult, tools: Toolset) -> str:
        """What came of taking the last call back."""
        if result.ok:
            return "I took that back."
        if result.status in DID_NOT_HAPPEN:
            reason = result.error if result.error and result.error not in _GENERAL else ""
            return finished(reason) if reason else "I could not take that back."
        return _breath(
            [("I tried to take that back.", True), (finished(result.error or BY_STATUS[result.status]), False)]
        )

    # --- questions ---

    def question(self, question: Question, tools: Toolset) -> str:
        """One short question for what is missing or unclear."""
        tool = tools.get(question.tool)
        schema = tool.properties.get(question.parameter, {}) if tool else {}
        asked = tool.say.questions.get(question.parameter, "") if tool else ""
        name = question.parameter.replace("_", " ")
        asked = asked or (f"Which {name}?" if name else "What shall I do?")
        options = [self._option(option, schema, tools) for option in question.options]
        detail = question.detail.strip()
        match question.kind:
            case "ambiguous" if options:
                return f"{joined(options, 'or')}?".capitalize() if len(options) <= 4 else asked
            case "ambiguous" if detail:
                return finished(f"What do you mean by {detail}", "?")
            case "unknown_value" if detail:
                return f"I do not know {detail}. {asked}"
            case "out_of_range":
                limits = self._limits(schema)
                return f"That must be {limits}. {asked}" if limits else f"I cannot do {detail or 'that'}. {asked}"
            case "same" if detail:
                return f"I heard {detail} again. {asked}"
            case "unsupported":
                return f"I cannot do {detail}." if detail else "I cannot do that."
            case "unsure":
                if options and not question.parameter:
                    return finished(f"Do you mean {joined(options, 'or')}", "?")
                return finished(f"Did you mean {detail}", "?") if detail else "Sorry, what shall I do?"
        return finished(asked, "?")

    def _option(self, option: str, schema: Mapping[str, Any], tools: Toolset) -> str:
        if option in tools and "enum" not in schema:
            return tools[option].name.replace("_", " ")
        return spoken(option, schema, today=self._today())

    def _limits(self, schema: Mapping[str, Any]) -> str:
        low, high, unit = schema.get("minimum"), schema.get("maximum"), str(schema.get("x-unit", ""))
        if low is not None and high is not None:
            return f"between {spoken(low)} and {quantity(high, unit)}"
        if high is not None:
            return f"at most {quantity(high, unit)}"
        return f"at least {quantity(low, unit)}" if low is not None else ""

    def confirmation(self, calls: Sequence[Call], tools: Toolset) -> str:
        """ "Shall I ...?" for one or several calls."""
        asked = []
        for call in calls:
            tool = tools.get(call.tool)
            phrase = (
                self._filled(tool.say.confirm, ToolResult(call, Status.OK), tool) if tool and tool.say.confirm else ""
            )
            asked.append(phrase or f"Shall I {self.request(call, tools)}?")
        if len(asked) == 1:
            return finished(asked[0], "?")
        if all(phrase.startswith("Shall I ") for phrase in asked):
            return f"Shall I {joined([phrase[8:].rstrip('?.') for phrase in asked])}?"
        return " ".join(finished(phrase, "?") for phrase in asked)

    def request(self, call: Call, tools: Toolset) -> str:
        """A call in words, where its tool has no phrase for it: "switch light, with room kitchen and state off"."""
        tool = tools.get(call.tool)
        parts = [
            f"{name.replace('_', ' ')} {spoken(value, tool.properties.get(name) if tool else None, today=self._today())}"
            for name, value in call.arguments.items()
            if value is not None
        ]
        words = f"do {call.tool.replace('_', ' ').replace('.', ' ')}"
        return f"{words}, with {joined(parts)}" if parts else words

    # --- filling ---

    def _filled(self, phrase: str, result: ToolResult, tool: Tool | None) -> str:
        """The phrase with its {slots} said; nothing when one of them has no value."""
        values = {**result.call.arguments, **result.values}
        missing = False

        def say(slot: re.Match[str]) -> str:
            nonlocal missing
            value: Any = values
            for key in slot[1].split("."):
                value = value.get(key) if isinstance(value, Mapping) else None
            if value is None:
                missing = True
                return ""
            schema = tool.properties.get(slot[1], {}) if tool else {}
            after = phrase[slot.end() :].lstrip(" -").lower()
            named = any(after.startswith(word) for word in unit_words(str(schema.get("x-unit", ""))) if word)
            return spoken(value, schema, today=self._today(), unit=not named)

        text = _SLOT.sub(say, phrase)
        return "" if missing else finished(text)


def finished(text: str, mark: str = ".") -> str:
    """A capital at the start, one space between words, a mark at the end."""
    text = re.sub(r"\s+([,.!?])", r"\1", " ".join(text.split()))
    text = text[:1].upper() + text[1:]
    return text if not text or text[-1] in ".!?" else text + mark


def _breath(said: Sequence[tuple[str, bool]]) -> str:
    """Sentences joined: alike with "and", good and bad news with "but"; long ones and questions stay sentences."""
    if not said:
        return ""
    simple = all(re.fullmatch(r"[^.!?]+(?:\d\.\d[^.!?]*)*\.", sentence) for sentence, _ in said)
    if len(said) == 1 or len(said) > 3 or not simple or sum(len(sentence) for sentence, _ in said) > 160:
        return " ".join(sentence for sentence, _ in said)
    text, good = said[0][0].rstrip("."), said[0][1]
    for sentence, ok in said[1:]:
        text += f", {'and' if ok == good else 'but'} {_inner(sentence.rstrip('.'))}"
        good = ok
    return text + "."


def _inner(sentence: str) -> str:
    """The sentence as a clause: "The lamp" -> "the lamp", but "I" and names keep their capital."""
    first = sentence.split(" ", 1)[0]
    return sentence[0].lower() + sentence[1:] if first.lower() in _LOWER else sentence
