"""Every event carries its units in its names and becomes JSON."""

import dataclasses
import json
import typing

import pytest

from voice_needle import events
from voice_needle.trace import plain


def example(hint: object) -> object:
    """A value of an event field's type."""
    samples = {
        int: 3,
        float: 2.5,
        str: "words",
        events.Transcript: events.Transcript("turn on the light"),
        events.Decision: events.Decision(calls=(events.Call("light", {"room": "hall"}),)),
        events.Call: events.Call("light", {"room": "hall"}),
        events.ToolResult: events.ToolResult(events.Call("light"), events.Status.OK),
    }
    if hint in samples:
        return samples[hint]  # type: ignore[index]
    from datetime import UTC, datetime

    return datetime(2026, 3, 1, tzinfo=UTC)


def test_the_list_of_events_is_complete():
    assert set(events.EVENTS) == set(events.Event.__subclasses__())


@pytest.mark.parametrize("kind", events.EVENTS, ids=lambda kind: kind.__name__)
def test_each_event_is_frozen_and_becomes_json(kind: type[events.Event]):
    hints = typing.get_type_hints(kind)
    event = kind(**{each.name: example(hints[each.name]) for each in dataclasses.fields(kind)})
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.turn = 9  # type: ignore[misc]
    read = json.loads(json.dumps(events.as_json(event), default=plain))
    assert read["event"] == kind.__name__
    assert read["turn"] == 3


@pytest.mark.parametrize("kind", events.EVENTS, ids=lambda kind: kind.__name__)
def test_every_number_that_is_a_time_says_its_unit(kind: type[events.Event]):
    for name, hint in typing.get_type_hints(kind).items():
        if hint is float:
            assert name.endswith("_ms"), f"{kind.__name__}.{name}"
