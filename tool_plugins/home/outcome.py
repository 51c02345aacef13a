"""From what the devices told to a Result: done, partly done with names, or the truth about why not."""

from __future__ import annotations

import json
from typing import Any

from voice_needle.errors import ToolFailed, ToolUnconfirmed
from voice_needle.plugin import Result

from . import speech
from .house import Change, House

NEVER_RESTORED = ("lock", "scene")  # taking back "lock the door" would unlock it without a question


async def carried_out(house: House, changes: list[Change], **values: Any) -> Result:
    """Apply the changes and tell. values: for the phrases. The result's `snapshot` is what undo puts back.

    Errors: ToolUnreachable (nothing was sent), ToolFailed (every device is offline: nothing was sent), ToolUnconfirmed.
    """
    await house.apply(changes)
    done = [change for change in changes if change.told]
    left = [change for change in changes if not change.told]
    values |= {"count": len(done), "snapshot": snapshot(changes)}
    if not left:
        return Result(**values)
    if done:
        return Result.partial(done=names(done), left=names(left), **values)
    if all(change.offline for change in left):
        raise ToolFailed(
            f"offline: {names(left)}", spoken=f"The {names(left)} {_verb(left, 'is', 'are')} offline. Nothing was done."
        )
    sent = [change for change in left if not change.offline]
    blind = [change for change in sent if not all(change.device.confirms(key) for key in change.expected)]
    if blind == sent:
        spoken = f"I sent it, but the {names(sent)} {_verb(sent, 'does', 'do')} not report back, so I cannot tell."
    elif any(change.heard for change in sent):
        spoken = f"I sent it, but the {names(sent)} did not change."
    else:
        spoken = f"I sent it, but the {names(sent)} did not answer."
    raise ToolUnconfirmed(f"no confirmation from {names(sent)}", spoken=spoken)


def common(changes: list[Change], key: str, told: str, otherwise: str) -> str:
    """`told`, its {} filled with the value that all are set to, or `otherwise` where they differ."""
    values = {change.wanted[key] for change in changes}
    return told.format(speech.said(values.pop())) if len(values) == 1 else otherwise


def snapshot(changes: list[Change]) -> str:
    """What was reported before the change, as JSON, for undo. A state that nobody knew is left out."""
    before = {
        change.device.id: {key: value for key, value in change.before.items() if change.device.can(key)}
        for change in changes
        if not change.offline and change.device.kind not in NEVER_RESTORED
    }
    before = {device: state for device, state in before.items() if state}
    return json.dumps(before, separators=(",", ":"))


def names(changes: list[Change]) -> str:
    """ "ceiling light and floor lamp"."""
    said = [spoken_name(change.device.name) for change in changes]
    return said[0] if len(said) == 1 else ", ".join(said[:-1]) + " and " + said[-1]


def spoken_name(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("/", " ").replace("-", " ").split()).lower()


def _verb(changes: list[Change], one: str, several: str) -> str:
    return one if len(changes) == 1 else several
