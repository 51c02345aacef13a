"""Trials over our own voice: an assistant tells stories, and somebody speaks commands into them. What was done, heard, and when.

One session is one room, one voice and one assistant, as on a shelf: the echo self-test first, then trial after trial. Each
trial begins a story, speaks its line a while later, and waits until all is quiet again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from voice_needle.audio import SAMPLE_RATE_HZ
from voice_needle.evaluation.duplex import Ears, Echo, Stage, open_stage, our_echo
from voice_needle.evaluation.duplex_script import Line, read_call
from voice_needle.evaluation.duplex_stage import line_sound
from voice_needle.evaluation.room import Acoustics
from voice_needle.events import BargedIn, Call, Ducked, Event, Fault, Heard
from voice_needle.turn import Turn

COMMANDS: tuple[tuple[str, str], ...] = (
    ("turn on the kitchen light", "light_switch room=kitchen state=on"),
    ("close the living room blinds", "cover_move room=living_room action=close"),
    ("set the bedroom light to forty percent", "light_level room=bedroom level=40"),
    ("turn off the office light", "light_switch room=office state=off"),
    ("open the bedroom curtains", "cover_move room=bedroom action=open"),
    ("lock the front door", "lock_door"),
    ("turn off all the lights", "light_switch room=everywhere state=off"),
    ("turn on the hall light", "light_switch room=hall state=on"),
    ("close the bedroom blinds", "cover_move room=bedroom action=close"),
    ("set the kitchen light to seventy percent", "light_level room=kitchen level=70"),
    ("turn on the coffee machine", "device_switch device=coffee_machine state=on"),
    ("switch off the light in the bathroom", "light_switch room=bathroom state=off"),
    ("open the living room blinds", "cover_move room=living_room action=open"),
    ("turn off the bedroom lights", "light_switch room=bedroom state=off"),
    ("set the heating in the office to twenty degrees", "heating_set room=office temperature=20"),
    ("turn on the living room light", "light_switch room=living_room state=on"),
)
STOPS = ("stop", "stop talking", "be quiet", "cancel", "stop it", "cancel that", "that's enough", "never mind")
STORY = (
    "Here is the news of the house.",
    "The washing machine has finished its programme, and the dryer will be ready in a quarter of an hour.",
    "Yesterday the heating used eleven kilowatt hours, which is a little less than on the day before.",
    "There was one delivery at the front door in the afternoon, and nobody was at home to take it.",
    "Tomorrow will be cloudy with some rain in the evening, so it may be wise to bring the cushions in.",
    "The kitchen light was on all night, and the bedroom window is still open.",
    "Your next appointment is at half past three, and the drive takes about twenty minutes.",
    "I closed the living room blinds at sunset, and set the heating to nineteen degrees.",
    "The shopping list has seven items: bread, butter, two lemons, rice, coffee, soap and a light bulb.",
    "A timer for the oven is running, with four minutes left.",
    "No lamp needs a new battery, but the lock of the garage door does.",
    "That was all, unless you would like to hear the weather of the week.",
)
WAIT_MS = 700.0  # of quiet, before the next trial
LIMIT_MS = 9_000.0  # after the line's end: by then it was understood, or never will be


@dataclass(frozen=True)
class Spoken:
    """One line that is said over our voice: what must be done of it; nothing for a stop."""

    text: str
    call: str = ""


@dataclass
class Trial:
    """How one line went. Times in ms from the onset of its speech; None where it did not happen.

    over: our voice was to be heard at its onset. understood: exactly its call was carried out, or for a stop, nothing was and we
    fell silent. noticed: it took the floor. early: interruptions before anybody spoke. others: calls nobody asked for.
    """

    text: str
    voice: str
    over: bool = False
    understood: bool = False
    noticed: bool = False
    duck_ms: float | None = None
    stop_ms: float | None = None
    early: int = 0
    early_ducks: int = 0
    others: int = 0
    heard: list[str] = field(default_factory=list)


class Steady:
    """Our voice, deaf to every wish to be quieter: what is said over it stays under it to the end of the words."""

    def __init__(self, voice: object) -> None:
        self._voice = voice

    @property
    def speaking(self) -> bool:
        return bool(self._voice.speaking)  # type: ignore[attr-defined]

    def duck(self, db: float) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Session:
    """Drives one stage, a frame at a time. seed: when in the story each line is said, and which sentence begins it."""

    def __init__(self, stage: Stage, lines: Sequence[Spoken], voice: str, events: list[Event], seed: int) -> None:
        self.stage, self.voice, self.events = stage, voice, events
        self.trials: list[Trial] = []
        self.mode = ""  # what the self-test chose
        self._lines = list(lines)
        self._rng = np.random.default_rng(seed)
        self._turn: Turn | None = None
        self._telling: asyncio.Task[None] | None = None
        self._step = self._rest
        self._quiet_ms = self._due_ms = self._start_ms = self._end_ms = 0.0
        self._events_before = self._calls_before = 0

    @property
    def _now_ms(self) -> float:
        return self.stage.room.position * 1000.0 / SAMPLE_RATE_HZ

    def tick(self) -> None:
        """Before each frame of the microphone."""
        quiet = self.stage.assistant.idle and not self.stage.speaker.speaking
        self._quiet_ms = self._quiet_ms + 10.0 if quiet else 0.0
        self._step()

    def _rest(self) -> None:
        if not self.stage.assistant.tested or self._quiet_ms < WAIT_MS:
            self._hush_if_endless()
            return
        if not self.mode:
            self._choose_mode()
        if not self._lines:
            self.stage.room.source.ended.set()
            return
        self._events_before, self._calls_before = len(self.events), len(self.stage.journal.done)
        at = int(self._rng.integers(len(STORY)))
        self._telling = asyncio.ensure_future(
            self.stage.assistant.announce(" ".join(STORY[at:] + STORY[:at][:4]), tone="")
        )
        self._due_ms = self._now_ms + float(self._rng.uniform(1_500.0, 5_000.0))
        self._step = self._tell

    def _choose_mode(self) -> None:
        """The self-test's, unless that would not listen to commands: cancellers are compared, not modes."""
        barge_in = self.stage.assistant.barge_in
        self.mode = barge_in.mode
        if self.mode in ("stop-word", "off"):
            barge_in.mode = "full"

    def _tell(self) -> None:
        if self._now_ms < self._due_ms:
            return
        line, stage = self._lines.pop(0), self.stage
        before = self.events[self._events_before :]
        trial = Trial(line.text, self.voice, over=stage.speaker.speaking and not stage.room.sink._queue.paused)
        trial.early = sum(isinstance(event, BargedIn) for event in before)
        trial.early_ducks = sum(isinstance(event, Ducked) for event in before)
        trial.others = len(stage.journal.done) - self._calls_before
        self.trials.append(trial)
        self._line = line
        sound, first_ms, last_ms = line_sound(Line(say=line.text), self.voice)
        start, _ = stage.room.say(sound)
        self._start_ms, self._end_ms = start / 16.0 + first_ms, start / 16.0 + last_ms
        self._events_before, self._calls_before = len(self.events), len(stage.journal.done)
        self._step = self._listen

    def _listen(self) -> None:
        now, trial, queue = self._now_ms, self.trials[-1], self.stage.room.sink._queue
        sounding = self.stage.speaker.speaking and not queue.paused
        if now >= self._start_ms and trial.over:
            if trial.duck_ms is None and (queue.gain < 1.0 or not sounding):
                trial.duck_ms = now - self._start_ms + 20.0  # the block that is being played is out already
            if trial.stop_ms is None and not sounding:
                trial.stop_ms = now - self._start_ms + 20.0
        if now < self._end_ms + 300.0:
            return
        if self._quiet_ms >= WAIT_MS or now > self._end_ms + LIMIT_MS:
            self._judge(trial)
            self._hush()
            self._step = self._rest

    def _judge(self, trial: Trial) -> None:
        events = self.events[self._events_before :]
        trial.noticed = any(
            isinstance(e, BargedIn) and self._start_ms <= e.at_ms <= self._end_ms + 4_000.0 for e in events
        )
        trial.heard = [e.transcript.text for e in events if isinstance(e, Heard) and e.transcript.final]
        made = [call for _, call in self.stage.journal.done[self._calls_before :]]
        if self._line.call:
            right = [call for call in made if fits(read_call(self._line.call), call)]
            trial.understood = len(right) == 1 and len(made) == 1
            trial.others += len(made) - min(1, len(right))
        else:
            trial.understood = trial.noticed and not made
            trial.others += len(made)
        if not trial.noticed:
            trial.stop_ms = None  # it was the story's own end

    def _hush_if_endless(self) -> None:
        """A canceller that hears itself may answer itself for ever."""
        if self._quiet_ms == 0.0 and self._now_ms > self._end_ms + LIMIT_MS + 5_000.0 and self.mode:
            self._hush()

    def _hush(self) -> None:
        turn = self.stage.assistant.current
        if turn is not None:
            turn.scope.cancel("the next trial")
        if self.stage.speaker.speaking:
            self.stage.speaker.stop()


def fits(wanted: Call, made: Call) -> bool:
    """The same tool, with the arguments that matter."""
    given = made.arguments
    return wanted.tool == made.tool and all(
        str(given.get(name)) == str(value) for name, value in wanted.arguments.items()
    )


async def talk(
    ears: Ears,
    lines: Sequence[Spoken],
    voice: str,
    acoustics: Acoustics,
    *,
    echo: Echo = our_echo,
    steady: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """One session. steady: our voice does not become quieter until a line is understood. What is written for it in JSON."""
    events: list[Event] = []
    async with open_stage(ears, acoustics, emit=events.append, echo=echo) as stage:
        if steady:
            stage.assistant.barge_in.voice = Steady(stage.speaker)
        session = Session(stage, lines, voice, events, seed)
        stage.room.source.each_frame = session.tick
        await stage.assistant.run()
        parts = stage.assistant.parts
        return {
            "mode": session.mode,
            "removed_db": round(parts.echo.removed_db, 1) if parts.echo is not None else 0.0,
            "faults": [event.error for event in events if isinstance(event, Fault)],
            "conversation_s": round(stage.room.position / SAMPLE_RATE_HZ, 1),
            "trials": [asdict(trial) for trial in session.trials],
        }
