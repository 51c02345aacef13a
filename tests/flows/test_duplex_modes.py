"""Where full duplex cannot be had, the assistant falls back to a mode that it names aloud, and goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from voice_needle.config import Config
from voice_needle.errors import DeviceLost
from voice_needle.evaluation.duplex import Ears, Echo, Stage, open_stage, our_echo
from voice_needle.evaluation.room import Acoustics, music
from voice_needle.events import AnswerEnded, AnswerStarted, Event, Fault, SpeechStarted
from voice_needle.hearing import FOREIGN_MS
from voice_needle.listen.echo import EchoCanceller


@pytest.fixture(scope="module")
def ears(tmp_path_factory: pytest.TempPathFactory) -> Ears:
    return Ears.open("desk", Config(data_dir=tmp_path_factory.mktemp("data")), text=False)


def lived(
    ears: Ears,
    acoustics: Acoustics,
    seconds: float,
    prepare: Callable[[Stage], Callable[[], None]],
    echo: Echo = our_echo,
) -> tuple[str, list[Event]]:
    """Some seconds of an assistant. prepare: gets the stage; what it returns is called with every frame."""

    async def live() -> tuple[str, list[Event]]:
        events: list[Event] = []
        async with open_stage(ears, acoustics, emit=events.append, echo=echo) as stage:
            each = prepare(stage)

            def tick() -> None:
                if stage.clock.monotonic() >= seconds:
                    stage.room.source.ended.set()
                each()

            stage.room.source.each_frame = tick
            await stage.assistant.run()
            return stage.assistant.barge_in.mode, events

    return asyncio.run(live())


def without_reference(stage: Stage) -> Callable[[], None]:
    stage.room.sink._taps.clear()
    stage.room.sink.add_tap = lambda tap: None  # type: ignore[method-assign]
    stage.room.sink.remove_tap = lambda tap: None  # type: ignore[method-assign]
    return lambda: None


def untouched(stage: Stage) -> Callable[[], None]:
    return lambda: None


@pytest.mark.parametrize(
    ("acoustics", "prepare", "echo", "mode", "spoken"),
    [
        (Acoustics(echo_db=6.0), without_reference, our_echo, "stop-word", "only stop and cancel count"),
        (Acoustics(echo_db=6.0), untouched, lambda: EchoCanceller(None), "stop-word", "only stop and cancel count"),
        (Acoustics(delay_ms=480.0), untouched, our_echo, "stop-word", "only stop and cancel count"),
        (Acoustics(clip=8.0), untouched, our_echo, "duck-first", "speaker distorts"),
    ],
    ids=["no reference", "no canceller", "echo too late", "a speaker that distorts"],
)  # fmt: skip
def test_the_mode_is_said(
    ears: Ears, acoustics: Acoustics, prepare: Callable[[Stage], Callable[[], None]], echo: Echo, mode: str, spoken: str
):
    found, events = lived(ears, acoustics, 10.0, prepare, echo)
    assert found == mode
    (fault,) = [event for event in events if isinstance(event, Fault)]
    assert fault.error.startswith(f"HalfDuplex ({mode}") and spoken in fault.spoken and fault.fix
    assert any(spoken in event.text for event in events if isinstance(event, AnswerStarted))


def test_an_output_that_is_unplugged_in_an_answer_is_told_and_the_next_answer_is_heard(ears: Ears):
    story = "Here is the news of the house. The washing machine has finished its programme, and all is well."

    def prepare(stage: Stage) -> Callable[[], None]:
        telling: list[asyncio.Task[None]] = []

        def tick() -> None:
            sink, now_s = stage.room.sink, stage.clock.monotonic()
            if stage.assistant.tested and not telling:
                telling.append(asyncio.ensure_future(stage.assistant.announce(story, tone="")))
            if sink._error is None and len(telling) == 1 and "washing" in stage.speaker.so_far.said:
                sink._error = DeviceLost("the loudspeaker was unplugged, or its driver stopped")
                sink._queue.flush()
                sink._moved.set()
            if sink._error is not None and now_s > 12.0:  # plugged in again
                sink._error = None
                telling.append(asyncio.ensure_future(stage.assistant.announce("I am back.", tone="")))

        return tick

    mode, events = lived(ears, Acoustics(), 20.0, prepare)
    assert mode == "full"
    ended = [event for event in events if isinstance(event, AnswerEnded)]
    assert ended[0].unsaid.endswith("all is well.") and "I am back." in ended[-1].said


def test_an_announcement_does_not_wait_for_the_music_to_end(ears: Ears):
    at_s: list[float] = []
    told: list[asyncio.Task[None]] = []

    def music_on(stage: Stage) -> Callable[[], None]:
        def each() -> None:
            if stage.assistant.tested and not at_s:
                at_s.append(stage.clock.monotonic())
                stage.room.make(music(40.0, 1), snr_db=10.0)
            if at_s and not told and stage.clock.monotonic() >= at_s[0] + 3.0:
                told.append(asyncio.ensure_future(stage.assistant.announce("Your egg timer is done.", tone="")))

        return each

    _, events = lived(ears, Acoustics(), 25.0, music_on)
    (said,) = [event for event in events if isinstance(event, AnswerStarted)]
    began_ms = [event.at_ms for event in events if isinstance(event, SpeechStarted)]
    assert began_ms and said.at_ms <= began_ms[0] + FOREIGN_MS + 1_000.0
