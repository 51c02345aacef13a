"""A small house and warehouse of tools that the route tests share."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from voice_needle.events import Call, Decision, RouteContext, Transcript
from voice_needle.route import get_router
from voice_needle.tools import Confirm, Policy, Risk, Tool, Toolset

NOW = datetime(2026, 11, 21, 10, 0)
ROOM: dict[str, Any] = {
    "enum": ["living_room", "kitchen", "hall", "bedroom"],
    "x-spoken": {"living_room": ["living room", "lounge"], "hall": ["hall", "hallway"]},
}


def tool(name: str, properties: dict[str, Any], *sentences: str, required: tuple[str, ...] = (), **extra: Any) -> Tool:
    """A tool of a plugin, with sentences."""
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    description = extra.pop("description", name.replace("_", " "))
    return Tool(name, description, parameters, tuple(sentences), plugin="house", **extra)


LIGHT = tool(
    "light_switch",
    {"room": {**ROOM, "default": "$room"}, "state": {"enum": ["on", "off"], "x-spoken": {"off": ["off", "out"]}}},
    "(turn|switch) {state} [the] [{room}] <light> [in the {room}]",
    "(turn|switch) [the] [{room}] <light> {state}",
    required=("state",),
    expansions={"light": "(light|lamp)[s]"},
    description="Turn the lights of a room on or off.",
)
HEATING = tool(
    "heating_set",
    {
        "room": {**ROOM, "default": "$room"},
        "temperature": {"type": "number", "x-unit": "celsius", "minimum": 5, "maximum": 30},
    },
    "set [the] {room} [heating] to {temperature}",
    "(set|turn) the heating [in the {room}] to {temperature}",
    "set the heating",
    required=("temperature",),
    description="Set the heating of a room.",
)
STATE = tool(
    "light_state",
    {"room": ROOM},
    "is the {room} light on",
    required=("room",),
    policy=Policy(changes_state=False),
)
LIST = tool(
    "list_add", {"item": {"type": "string"}}, "add {item} to (the|my) shopping list", "add {item}", required=("item",)
)
REMIND = tool(
    "remind",
    {
        "text": {"type": "string"},
        "delay": {"type": "string", "format": "duration"},
        "at": {"type": "string", "format": "time"},
    },
    "remind me to {text} in {delay}",
    "remind me to {text} at {at}",
    "remind me to {text}",
    required=("text",),
)
TIMER = tool(
    "timer_set",
    {"length": {"type": "string", "format": "duration"}},
    "set a timer for {length}",
    "set a {length} timer",
    required=("length",),
)
PICK = tool(
    "pick",
    {"count": {"type": "integer", "minimum": 1, "maximum": 100}, "bin": {"type": "string", "format": "identifier"}},
    "pick {count} from [bin] {bin}",
    required=("count", "bin"),
    policy=Policy(risk=Risk.MEDIUM),
)
LOCK = tool(
    "lock", {}, "(un;lock) the front door", "lock the front door", policy=Policy(risk=Risk.HIGH, confirm=Confirm.ALWAYS)
)
TOOLS = Toolset([LIGHT, HEATING, STATE, LIST, REMIND, TIMER, PICK, LOCK])


def route(text: str, name: str = "templates", **context: Any) -> Decision:
    """What the guarded router called `name` decides."""
    return get_router(name).route(Transcript(text), TOOLS, RouteContext(now=NOW, **context))


def calls(decision: Decision) -> list[tuple[str, dict[str, Any]]]:
    return [(call.tool, dict(call.arguments)) for call in decision.calls]


def light(room: str, state: str = "on") -> Call:
    return Call("light_switch", {"room": room, "state": state})
