"""Calls that belong together: arguments taken from an earlier result, what to skip after a failure, how to take one back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from voice_needle.errors import BadArguments
from voice_needle.events import Call, ToolResult
from voice_needle.tools import Risk, Tool

_RESULT = "$result."


def bind(tool: Tool, call: Call, before: Sequence[ToolResult]) -> dict[str, Any]:
    """The call's arguments, those that the words did not give taken from earlier results of the same chain.

    Errors: BadArguments when the earlier call worked but has not the value.
    """
    arguments = dict(call.arguments)
    for parameter, source in tool.result_bindings.items():
        if parameter in arguments:
            continue
        name, _, key = source.partition(".")
        earlier = next((result for result in reversed(before) if result.call.tool == name), None)
        if earlier is None or not earlier.ok:
            continue
        if key not in earlier.values:
            raise BadArguments(f"{name} gave no {key} for {tool.name}", spoken=f"I did not get the {key} that I need.")
        arguments[parameter] = earlier.values[key]
    return arguments


def skip(tool: Tool, call: Call, before: Sequence[ToolResult], tools: Mapping[str, Tool]) -> str:
    """Why this call must not be made after those before it; "" when it may.

    It is skipped when it needs a value of a call that failed, or when an earlier call to the same plugin failed and this
    one may cost work or harm (medium or high risk): putting away what was never picked.
    """
    failed = [result for result in before if not result.ok]
    if not failed:
        return ""
    needed = {
        source.partition(".")[0]
        for parameter, source in tool.result_bindings.items()
        if parameter not in call.arguments
    }
    for result in failed:
        earlier = tools.get(result.call.tool)
        same = earlier is not None and earlier.plugin == tool.plugin
        if result.call.tool in needed or (same and tool.policy.risk is not Risk.LOW):
            return "I left out the rest, because the step before it did not work."
    return ""


def undo_call(tool: Tool, call: Call, result: ToolResult) -> Call | None:
    """The call that takes this one back, or None when there is none or its values are not known."""
    plan = tool.policy.undo
    if plan is None:
        return None
    arguments: dict[str, Any] = {}
    for name, given in plan.arguments.items():
        value = given
        if isinstance(given, str) and given.startswith(_RESULT):
            value = result.values.get(given.removeprefix(_RESULT))
        elif isinstance(given, str) and given.startswith("$"):
            value = call.arguments.get(given[1:])
        if value is None:
            return None
        arguments[name] = value
    return Call(plan.tool, arguments, dict.fromkeys(arguments, "undo"))
