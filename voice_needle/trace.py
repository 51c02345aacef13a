"""One JSON line a turn: every stage in milliseconds, what was heard, decided, done and said.

Lines go to standard output or to a file that the user named, and nowhere else: words are private.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from enum import Enum
from typing import IO, Any

from voice_needle.events import Call, Decision, ToolResult, Transcript
from voice_needle.turn import Turn


class Trace:
    """Writes turns to `out`; a Trace without one keeps silent. Lines are flushed: a reader sees each at once."""

    def __init__(self, out: IO[str] | None = None) -> None:
        self._out = out

    def write(self, turn: Turn, at: datetime) -> None:
        if self._out is not None:
            self._out.write(json.dumps(as_line(turn, at), ensure_ascii=False, default=plain) + "\n")
            self._out.flush()


def as_line(turn: Turn, at: datetime) -> dict[str, Any]:
    """The turn as a JSON-able object. Shares and confidences 0 to 1; every time in ms."""
    return {
        "turn": turn.number,
        "at": at.isoformat(timespec="milliseconds"),
        "state": turn.state.value,
        "transcript": transcript_line(turn.transcript) if turn.transcript else None,
        "decision": decision_line(turn.decision) if turn.decision else None,
        "results": [result_line(each) for each in turn.results],
        "said": turn.said,
        "unsaid": turn.unsaid,
        "interrupted_by": turn.interrupted_by or None,
        "ms": {stage: round(ms, 1) for stage, ms in turn.ms.items()},
    }


def transcript_line(transcript: Transcript) -> dict[str, Any]:
    line: dict[str, Any] = {
        "text": transcript.text,
        "confidence": round(transcript.confidence, 3),
        "engine": transcript.engine,
    }
    if transcript.alternatives:
        line["alternatives"] = list(transcript.alternatives)
    if transcript.repairs:
        line["repairs"] = [asdict(each) for each in transcript.repairs]
    if transcript.refused:
        line["refused"] = transcript.refused
    return line


def call_line(call: Call) -> dict[str, Any]:
    return {"tool": call.tool, "arguments": dict(call.arguments), "evidence": dict(call.evidence)}


def decision_line(decision: Decision) -> dict[str, Any]:
    return {
        "outcome": decision.outcome.value,
        "calls": [call_line(each) for each in decision.calls],
        "confidence": round(decision.confidence, 3),
        "act": decision.act.value if decision.act else None,
        "question": asdict(decision.question) if decision.question else None,
        "reason": decision.reason,
        "router": decision.router,
        "ms": round(decision.elapsed_ms, 2),
    }


def result_line(result: ToolResult) -> dict[str, Any]:
    return {
        "tool": result.call.tool,
        "status": result.status.value,
        "values": dict(result.values),
        "error": result.error or None,
        "ledger_id": result.ledger_id,
        "ms": round(result.elapsed_ms, 1),
    }


def plain(value: Any) -> Any:
    """What json does not know: enums by value, everything else by its text."""
    return value.value if isinstance(value, Enum) else str(value)
