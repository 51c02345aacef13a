"""Errors and answers of a handler as the result of a call: one status, one true sentence."""

from __future__ import annotations

from voice_needle.errors import (
    BadArguments,
    ToolRefused,
    ToolTimeout,
    ToolUnconfirmed,
    ToolUnreachable,
    UnknownTool,
    VoiceNeedleError,
)
from voice_needle.events import Call, Status, ToolResult

_STATUS: tuple[tuple[type[VoiceNeedleError], Status], ...] = (
    (ToolUnreachable, Status.UNREACHABLE),
    (ToolUnconfirmed, Status.UNCONFIRMED),
    (ToolTimeout, Status.TIMEOUT),
    (ToolRefused, Status.REFUSED),
    (BadArguments, Status.REFUSED),
    (UnknownTool, Status.REFUSED),
)


def from_error(call: Call, error: VoiceNeedleError) -> ToolResult:
    """The result of a call that ended in an error. A missing argument names its parameter in values["parameter"]."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), Status.FAILED)
    parameter = getattr(error, "parameter", None)
    return ToolResult(call, status, {"parameter": parameter} if parameter else {}, error.spoken)


def needs_yes(call: Call) -> ToolResult:
    """The result of a call that nobody confirmed."""
    return ToolResult(call, Status.REFUSED, {"unconfirmed": True}, "I need your yes before I do that.")


def cancelled(call: Call, *, may_have_happened: bool) -> ToolResult:
    said = "I stopped it, but part of it may have happened." if may_have_happened else "I did not do it."
    return ToolResult(call, Status.CANCELLED, {"may_have_happened": may_have_happened}, said)
