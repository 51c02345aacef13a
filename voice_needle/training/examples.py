"""What one training example is: words, the tools on offer, the right calls, and the words that prove each value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Schema = Mapping[str, Any]
Loss = Literal["all", "span"]


@dataclass(frozen=True)
class Span:
    """A stretch of the text: characters `start` to `end`, end not included."""

    start: int
    end: int


@dataclass(frozen=True)
class Value:
    """An argument. span: its words; None where the words as a whole imply it (an enum or boolean: the verb, say)."""

    value: Any
    span: Span | None = None


@dataclass(frozen=True)
class Answer:
    """One call that is right. clause: the stretch of the text that asks for it; answers stand in spoken order."""

    tool: str
    arguments: Mapping[str, Value]
    clause: Span


@dataclass(frozen=True)
class Example:
    """One utterance with its label.

    loss: "all" trains tool choice and arguments; "span" only the arguments of the one tool that is given.
    kind: what it exercises (intent, chain, removed, none, negation, unknown_value, ...). source: where it comes from.
    pool: the family whose schemas may be added as distractors without making the label wrong.
    """

    text: str
    tools: tuple[Schema, ...]
    answers: tuple[Answer, ...] = ()
    loss: Loss = "all"
    kind: str = "intent"
    source: str = ""
    pool: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)

    def words(self, value: Value) -> str:
        """The words of a value, "" where it is only implied."""
        return self.text[value.span.start : value.span.end] if value.span else ""

    def problems(self) -> Iterator[str]:
        """Everything that makes the label impossible: unknown tools or parameters, values not in the enum, bad spans."""
        offered = {tool["name"]: tool for tool in self.tools}
        if len(offered) != len(self.tools):
            yield "two tools of one name"
        last = 0
        for answer in self.answers:
            if answer.tool not in offered:
                yield f"{answer.tool} is not offered"
                continue
            if not 0 <= answer.clause.start < answer.clause.end <= len(self.text):
                yield f"the clause of {answer.tool} is outside the text"
            if answer.clause.start < last:
                yield f"{answer.tool} is out of spoken order"
            last = answer.clause.start
            yield from self._bad_arguments(offered[answer.tool], answer)

    def _bad_arguments(self, tool: Schema, answer: Answer) -> Iterator[str]:
        properties = tool.get("parameters", {}).get("properties", {})
        for name, value in answer.arguments.items():
            where = f"{answer.tool}.{name}"
            if name not in properties:
                yield f"{where} is no parameter"
                continue
            choices = properties[name].get("enum")
            if choices is not None and value.value not in choices:
                yield f"{where}={value.value!r} is not in its enum"
            if value.span is None:
                if choices is None and properties[name].get("type") != "boolean":
                    yield f"{where}={value.value!r} is open, but no words carry it"
            elif not 0 <= value.span.start < value.span.end <= len(self.text):
                yield f"the span of {where} is outside the text"


def to_json(example: Example) -> dict[str, Any]:
    """A plain object, without the tools (they are stored once, by number)."""
    answers = [
        {
            "tool": answer.tool,
            "clause": [answer.clause.start, answer.clause.end],
            "arguments": {
                name: [value.value, value.span.start, value.span.end] if value.span else [value.value]
                for name, value in answer.arguments.items()
            },
        }
        for answer in example.answers
    ]
    return {"text": example.text, "answers": answers, "loss": example.loss, "kind": example.kind,
            "source": example.source, "pool": example.pool, "meta": dict(example.meta)}  # fmt: skip


def from_json(record: Mapping[str, Any], tools: tuple[Schema, ...]) -> Example:
    """The inverse of `to_json`."""
    answers = tuple(
        Answer(
            tool=item["tool"],
            arguments={
                name: Value(found[0], Span(found[1], found[2]) if len(found) > 1 else None)
                for name, found in item["arguments"].items()
            },
            clause=Span(*item["clause"]),
        )
        for item in record["answers"]
    )
    return Example(record["text"], tools, answers, record["loss"], record["kind"], record["source"], record["pool"],
                   record.get("meta", {}))  # fmt: skip
