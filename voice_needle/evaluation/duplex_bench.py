"""Two measurements beside the scenarios: commands spoken over our own voice, and our own voice alone for half an hour.

Each is run with several cancellers, so that ours stands beside what it is made of: nothing, SpeexDSP alone, WebRTC's AEC3 alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from voice_needle.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ, Samples
from voice_needle.config import Config
from voice_needle.errors import EngineMissing
from voice_needle.evaluation.duplex import (
    VOICES,
    Ears,
    Echo,
    Performance,
    ducked_after_ms,
    open_stage,
    our_echo,
    perform,
    stopped_after_ms,
)
from voice_needle.evaluation.duplex_report import percentiles, share
from voice_needle.evaluation.duplex_script import Line, Scenario, read_call
from voice_needle.evaluation.room import Acoustics
from voice_needle.events import BargedIn, Ducked, Event
from voice_needle.listen.echo import Cleaned, EchoCanceller
from voice_needle.listen.speex import SpeexEcho

COMMANDS = (
    ("turn on the kitchen light", "light_switch room=kitchen state=on"),
    ("close the living room blinds", "cover_move room=living_room action=close"),
    ("set the bedroom light to forty percent", "light_level room=bedroom level=40"),
    ("turn off the office light", "light_switch room=office state=off"),
    ("open the bedroom curtains", "cover_move room=bedroom action=open"),
    ("lock the front door", "lock_door"),
    ("turn off all the lights", "light_switch room=everywhere state=off"),
)
STORY = (
    "Here is the news of the house. The washing machine has finished its programme, and the dryer will be ready in a quarter of an hour. "
    "Yesterday the heating used eleven kilowatt hours, which is a little less than on the day before. "
    "There was one delivery at the front door in the afternoon, and nobody was at home to take it. "
    "Tomorrow will be cloudy with some rain in the evening, so it may be wise to bring the cushions in. "
)
HARD = (
    Acoustics(echo_db=0.0, delay_ms=0.0),
    Acoustics(echo_db=6.0, delay_ms=80.0, drift_ppm=100.0, seed=1),
    Acoustics(echo_db=12.0, delay_ms=20.0, seed=2),
    Acoustics(echo_db=12.0, delay_ms=300.0, decay_s=0.3, seed=3),
    Acoustics(echo_db=12.0, delay_ms=150.0, drift_ppm=100.0, seed=4),
    Acoustics(echo_db=6.0, delay_ms=40.0, path_change_s=60.0, seed=5),
)


class Ungated(EchoCanceller):
    """A canceller alone: everything that is left counts as a person, if the voice-activity detector says so."""

    def process(self, frame: Samples, time_s: float) -> Cleaned:
        return Cleaned(super().process(frame, time_s).samples, person=True)

    def mistaken(self) -> None: ...


class Aec3:
    """WebRTC's AEC3 through LiveKit's wheel (Apache-2.0), for comparison. Errors: EngineMissing."""

    def __init__(self) -> None:
        try:
            from livekit import rtc
        except ImportError as error:
            raise EngineMissing("livekit is not installed", fix="pip install livekit") from error
        self._rtc = rtc
        self.reset()

    def reset(self) -> None:
        self._module = self._rtc.AudioProcessingModule(
            echo_cancellation=True, noise_suppression=False, high_pass_filter=False, auto_gain_control=False
        )

    def _frame(self, samples: Samples) -> Any:
        return self._rtc.AudioFrame(samples.tobytes(), SAMPLE_RATE_HZ, 1, FRAME_SAMPLES)

    def cancel(self, microphone: Samples, reference: Samples) -> Samples:
        self._module.process_reverse_stream(self._frame(reference))
        frame = self._frame(microphone)
        self._module.process_stream(frame)
        return np.frombuffer(frame.data, np.int16).copy()


def cancellers() -> dict[str, Echo]:
    """Ours and its rivals, by name; AEC3 only where its wheel is installed."""
    found: dict[str, Echo] = {
        "ours": our_echo,
        "off": lambda: Ungated(None),
        "speexdsp alone": lambda: Ungated(SpeexEcho()),
    }
    try:
        Aec3()
    except EngineMissing:
        return found
    return {**found, "aec3 alone": lambda: Ungated(Aec3())}


def double_talk(config: Config, acoustics: Acoustics, echo: Echo, rounds: int = 4) -> dict[str, Any]:
    """Commands over our own voice: how many were carried out exactly, how soon we ducked and fell silent.

    The mode is `full`, whatever the self-test says: cancellers are compared, not modes.
    """
    ears = _ears(config)
    shows: list[Performance] = []
    for number in range(rounds * len(COMMANDS)):
        text, wanted = COMMANDS[number % len(COMMANDS)]
        calls = (read_call("heating_state"), read_call(wanted))
        lines = (Line(say="what is the heating set to"), Line(say=text, over="has" if number % 2 else "heating"))
        scenario = Scenario(text, "home", "double talk", lines, calls, calls)
        voice = VOICES[(number + number // len(VOICES)) % len(VOICES)]
        shows.append(asyncio.run(perform(ears, scenario, voice, replace(acoustics, seed=number), echo=echo)))
    over = [(show, show.said[-1]) for show in shows if len(show.said) == 2]
    return {
        "understood": share(_last_done(show) for show in shows),
        "missed": share(not any(isinstance(e, BargedIn) for e in show.events) for show, _ in over),
        "onset_to_duck_ms": percentiles(ducked_after_ms(show, said) for show, said in over),
        "onset_to_stop_ms": percentiles(stopped_after_ms(show, said) for show, said in over),
    }


def _last_done(show: Performance) -> bool:
    wanted = show.scenario.calls[-1]
    given = [call for call in show.made if call.tool == wanted.tool]
    return len(given) == 1 and all(str(given[0].arguments.get(k)) == str(v) for k, v in wanted.arguments.items())


def monologue(
    config: Config, minutes: float, acoustics: Sequence[Acoustics] = HARD, echo: Echo = our_echo
) -> dict[str, Any]:
    """Only our own voice speaks, and nothing may interrupt it. Minutes are shared among the rooms."""
    ears = _ears(config)
    found = []
    for each in acoustics:
        events: list[Event] = []
        spoken_s, mode, removed_db = asyncio.run(_tell(ears, each, minutes * 60.0 / len(acoustics), events, echo))
        stops = [event for event in events if isinstance(event, BargedIn)]
        ducks = [event for event in events if isinstance(event, Ducked)]
        found.append({**asdict(each), "spoken_s": round(spoken_s, 1), "mode": mode, "removed_db": round(removed_db, 1),
                      "stops": len(stops), "stopped_by": [event.text for event in stops], "ducks": len(ducks)})  # fmt: skip
    return {
        "minutes": round(sum(row["spoken_s"] for row in found) / 60.0, 1),
        "false_stops": sum(row["stops"] for row in found),
        "false_ducks": sum(row["ducks"] for row in found),
        "rooms": found,
    }


async def _tell(
    ears: Ears, acoustics: Acoustics, seconds: float, events: list[Event], echo: Echo
) -> tuple[float, str, float]:
    emit: Callable[[Event], None] = events.append
    async with open_stage(ears, acoustics, emit=emit, echo=echo) as stage:
        room, assistant = stage.room, stage.assistant
        telling: asyncio.Task[None] | None = None
        spoken = 0.0

        def each_frame() -> None:
            nonlocal telling, spoken
            spoken += 0.01 * stage.speaker.speaking
            if spoken >= seconds or stage.clock.monotonic() > 2.0 * seconds + 60.0:
                room.source.ended.set()
                if stage.speaker.speaking:
                    stage.speaker.stop()
            elif assistant.tested and (telling is None or telling.done()):
                telling = asyncio.ensure_future(assistant.announce(STORY, tone=""))

        room.source.each_frame = each_frame
        await assistant.run()
        if telling is not None:
            telling.cancel()
        removed = assistant.parts.echo.removed_db if assistant.parts.echo is not None else 0.0
        return spoken, assistant.barge_in.mode, removed


_EARS: dict[int, Ears] = {}


def _ears(config: Config) -> Ears:
    """Made once: the grammar takes a while."""
    if id(config) not in _EARS:
        _EARS[id(config)] = Ears.open("home", config, text=False)
    return _EARS[id(config)]
