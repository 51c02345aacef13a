"""Dialogue acts as built-in tools: what an utterance does to the conversation rather than to the world.

Stitch offers them beside the user's tools; `act_of` turns their names into `DialogueAct`. The descriptions are part of what
the model was trained on: changing one changes its behaviour.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voice_needle.events import DialogueAct

PREFIX = "dialogue."


def _act(name: DialogueAct, description: str, properties: Mapping[str, Any] | None = None) -> dict[str, Any]:
    parameters = {"type": "object", "properties": dict(properties or {}), "required": list(properties or {})}
    return {"name": PREFIX + name.value, "description": description, "parameters": parameters}


DIALOGUE_TOOLS: tuple[dict[str, Any], ...] = (
    _act(DialogueAct.YES, "The user agrees or confirms: yes, go ahead, that's right."),
    _act(DialogueAct.NO, "The user refuses or denies: no, don't, that's wrong."),
    _act(DialogueAct.CANCEL, "The user drops what was being asked: never mind, forget it, cancel that."),
    _act(DialogueAct.STOP, "The user wants the assistant to be silent or to stop at once: stop, be quiet, enough."),
    _act(DialogueAct.REPEAT, "The user asks to hear the last answer again: say that again, pardon, what did you say."),
    _act(DialogueAct.UNDO, "The user wants the last action taken back: undo that, put it back how it was."),
    _act(
        DialogueAct.CORRECT,
        "The user corrects a value of the last request: no the kitchen, I meant twenty, make that blue.",
        {"value": {"type": "string", "description": "The right value"}},
    ),
    _act(DialogueAct.BACKCHANNEL, "The user only shows that they are listening, or says thanks: uh huh, okay, I see."),
)
"""One schema a dialogue act, in the provider-neutral form of `Tool.schema`."""


def act_of(tool: str) -> DialogueAct | None:
    """The dialogue act behind a tool's name; None for a tool of the user's."""
    return DialogueAct(tool.removeprefix(PREFIX)) if tool.startswith(PREFIX) else None
