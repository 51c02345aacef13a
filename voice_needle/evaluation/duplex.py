"""The duplex benchmark: whole conversations with interruptions, through a room or on text, judged by what was done and when."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from voice_needle.assembly import make_endpointer, make_recogniser, make_router, make_vad, open_registry
from voice_needle.assistant import Assistant, Parts
from voice_needle.audio import SAMPLE_RATE_HZ
from voice_needle.clock import ScriptedClock
from voice_needle.config import Config
from voice_needle.conversation import Conversation
from voice_needle.dispatch.ledger import Entry, Ledger
from voice_needle.dispatch.registry import Registry
from voice_needle.dispatch.runner import Dispatcher
from voice_needle.dispatch.timers import TimerStore
from voice_needle.evaluation.duplex_script import Director, Line, Said, Scenario
from voice_needle.evaluation.duplex_stage import (
    NAMES,
    Journal,
    RecordingHosts,
    RoomVoice,
    ScriptRecogniser,
    ScriptVad,
    Wordy,
    line_sound,
    line_words,
    own_voice,
)
from voice_needle.evaluation.room import Acoustics, Room, active_rms
from voice_needle.events import BargedIn, Call, Event, SpeechEnded
from voice_needle.listen.echo import EchoCanceller
from voice_needle.listen.engine import Vad
from voice_needle.listen.speex import SpeexEcho
from voice_needle.route.engine import Router
from voice_needle.secrets import Secrets
from voice_needle.speak.speaker import Speaker
from voice_needle.trace import Trace
from voice_needle.transcribe.engine import Recogniser
from voice_needle.turn import Turn
from voice_needle.workers import Workers

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
VOICES = ("slt", "rms", "awb", "kal16")
LONGEST_S = 120.0
SAMPLE = "All right, light switch with room hall and state on has just been done for you, as you wished."
Echo = Callable[[], EchoCanceller | None]


@dataclass
class Ears:
    """What is costly to make and the same for every scenario of a plugin. recogniser None: text mode."""

    plugin: str
    config: Config
    registry: Registry
    router: Router
    recogniser: Recogniser | None

    @classmethod
    def open(cls, plugin: str, config: Config, *, text: bool) -> Ears:
        registry = open_registry(config, [plugin])
        registry.merge_vocabularies(plugin, NAMES.get(plugin, {}))
        router = make_router(config)
        router.prepare(registry.offered())
        recogniser = None if text else make_recogniser(config, "sphinx")
        if recogniser is not None:
            recogniser.prepare(registry.offered())
        return cls(plugin, config, registry, router, recogniser)


@dataclass
class Moment:
    """What our own voice did, frame by frame: its gain, and whether anything is heard of it."""

    at_ms: float
    gain: float
    sounding: bool


@dataclass
class Performance:
    """One scenario as it went."""

    scenario: Scenario
    voice: str
    said: list[Said] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    made: list[Call] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    never_came: list[Line] = field(default_factory=list)
    mode: str = ""
    problems: list[str] = field(default_factory=list)
    length_s: float = 0.0
    wall_s: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.problems

    def events_of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if type(event) is kind]


class _Turns(Trace):
    """Keeps each turn at its end."""

    def __init__(self, turns: list[Turn]) -> None:
        super().__init__()
        self._turns = turns

    def write(self, turn: Turn, at: datetime) -> None:
        self._turns.append(turn)


@dataclass
class Stage:
    """One assistant in one room."""

    room: Room
    clock: ScriptedClock
    assistant: Assistant
    journal: Journal
    ledger: Ledger
    dispatcher: Dispatcher
    recogniser: Recogniser
    speaker: Speaker


def our_echo() -> EchoCanceller | None:
    return EchoCanceller(SpeexEcho(), SpeexEcho())


@asynccontextmanager
async def open_stage(
    ears: Ears,
    acoustics: Acoustics,
    *,
    slow_ms: float = 60.0,
    echo: Echo = our_echo,
    trace: Trace | None = None,
    emit: Callable[[Event], None] = lambda event: None,
    said: list[Said] | None = None,
) -> AsyncIterator[Stage]:
    """An assistant with empty ledger and journal. said: in text mode, the list in which spoken lines appear."""
    text = ears.recogniser is None
    clock, workers = ScriptedClock(START), Workers()
    journal = Journal(workers, slow_ms)
    room = Room(clock, acoustics, voice_rms=active_rms(own_voice(SAMPLE)))
    async with AsyncExitStack() as stack:
        stack.callback(workers.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ledger = Ledger.open(folder / "ledger.db", clock)
        timers = TimerStore(folder / "timers.db", clock)
        stack.callback(timers.close)
        hosts = RecordingHosts(ears.registry, clock, timers, folder, secrets=Secrets({}))
        hosts.journal = journal
        dispatcher = Dispatcher(ears.registry, ledger, hosts, clock, emit)
        stack.push_async_callback(dispatcher.close)
        speaker = Speaker(RoomVoice(silent=text), room.sink)
        stack.push_async_callback(speaker.close)
        now_ms = _microphone_ms(room)
        vad: Vad
        recogniser: Recogniser
        if ears.recogniser is None:
            script = ScriptRecogniser()
            script.said, script.now_ms = said if said is not None else [], now_ms
            recogniser, vad = script, ScriptVad(script.said, now_ms)
        else:
            recogniser, vad = ears.recogniser, make_vad(ears.config.listen)
        conversation = Conversation(
            router=ears.router, tools=ears.registry.toolset, dispatcher=dispatcher, phraser=Wordy(clock), workers=workers,
            clock=clock, question_timeout_ms=ears.config.dispatch.question_timeout_ms,
        )  # fmt: skip
        parts = Parts(
            source=room.source, vad=vad, endpointer=make_endpointer(ears.config.listen), recogniser=recogniser,
            conversation=conversation, speaker=speaker, workers=workers, clock=clock, echo=None if text else echo(),
        )  # fmt: skip
        config = replace(ears.config, barge_in=replace(ears.config.barge_in, mode="full")) if text else ears.config
        assistant = Assistant(parts, config, trace, emit)
        await speaker.start()
        yield Stage(room, clock, assistant, journal, ledger, dispatcher, recogniser, speaker)


def _microphone_ms(room: Room) -> Callable[[], float]:
    return lambda: room.position * 1000.0 / SAMPLE_RATE_HZ


async def perform(
    ears: Ears, scenario: Scenario, voice: str, acoustics: Acoustics, *, echo: Echo = our_echo
) -> Performance:
    """Play one scenario to its end and judge it."""
    began = time.perf_counter()
    show = Performance(scenario, voice)
    async with open_stage(
        ears,
        acoustics,
        slow_ms=scenario.slow_ms,
        echo=echo,
        trace=_Turns(show.turns),
        emit=show.events.append,
        said=show.said,
    ) as stage:
        room, assistant = stage.room, stage.assistant
        now_ms = _microphone_ms(room)
        text = ears.recogniser is None

        def speak(line: Line) -> Said:
            if text:
                return line_words(line, now_ms() + 10.0)
            sound, first_ms, last_ms = line_sound(line, voice)
            level_db = -10.0 if line.noise == "music" else 0.0
            start, _ = room.say(sound, level_db=level_db)
            return Said(line, start / 16.0 + first_ms, start / 16.0 + last_ms)

        def ready() -> bool:
            return assistant.tested and assistant.idle and not stage.speaker.speaking

        director = Director(
            scenario.lines, now_ms=now_ms, quiet=ready, heard_so_far=lambda: stage.speaker.so_far.said, speak=speak
        )
        director.said = show.said

        def each_frame() -> None:
            director.tick()
            queue = room.sink._queue
            sounding = stage.speaker.speaking and not queue.paused
            show.moments.append(Moment(now_ms(), queue.gain, sounding))
            if (director.done and director.quiet_ms() >= 1_500.0) or now_ms() > LONGEST_S * 1000.0:
                room.source.ended.set()

        room.source.each_frame = each_frame
        await assistant.run()
        show.mode = assistant.barge_in.mode
        show.never_came = director.never_came
        show.length_s = now_ms() / 1000.0
        await stage.dispatcher.settled()
        show.entries = list(reversed(stage.dispatcher.history(100)))
        undone_by = {entry.undoes for entry in show.entries if entry.undoes is not None}
        show.made = [call for _, call in stage.journal.done]
        judge(show, stage.journal, {e.id for e in show.entries if e.id in undone_by and e.status == "ok"})
    show.wall_s = time.perf_counter() - began
    return show


# --- judging ---------------------------------------------------------------------------------------------------------


def judge(show: Performance, journal: Journal, undone: set[int]) -> None:
    """What is wrong with a performance: calls, what stands, what must not be, what was said, and the ledger as witness."""
    scenario, problems = show.scenario, show.problems
    for line in show.never_came:
        problems.append(f"we never said {line.over!r}")
    by_key = {f"{entry.id}": entry for entry in show.entries}
    calls, stands = [], []
    for key, call in journal.done:
        entry = None if key.startswith("r-") else by_key.get(key.rsplit("-", 1)[-1])
        if entry is None or entry.undoes is None:  # undoing is no call of its own: it shows in what stands
            calls.append(call)
            if entry is None or entry.id not in undone:
                stands.append(call)
    _compare("calls", scenario.calls, calls, problems)
    _compare("stands", scenario.stands, stands, problems)
    for call in scenario.never:
        if any(_matches(call, made) for made in show.made):
            problems.append(f"carried out, but never should: {written(call)}")
    noted = [key.rsplit("-", 1)[-1] for key, _ in journal.done if not key.startswith("r-")]
    if len(noted) != len(set(noted)):
        problems.append("a side effect happened twice for one ledger entry")
    known = {key for key, entry in by_key.items() if entry.status == "ok"}
    if known != set(noted):
        problems.append(f"the ledger knows of the effects {sorted(known)}, the world of {sorted(noted)}")
    if scenario.said and not any(scenario.said.lower() in turn.answer.lower() for turn in show.turns):
        problems.append(f"not said: {scenario.said!r}; but {[turn.answer for turn in show.turns]}")
    if scenario.within_ms is not None:
        took = silent_after_ms(show)
        if took is None or took > scenario.within_ms:
            problems.append(f"silence took {took} ms, not {scenario.within_ms:.0f}")


def _compare(what: str, wanted: Sequence[Call], found: Sequence[Call], problems: list[str]) -> None:
    if len(wanted) != len(found) or not all(map(_matches, wanted, found)):
        problems.append(f"{what}: wanted {'; '.join(map(written, wanted))}, got {'; '.join(map(written, found))}")


def _matches(wanted: Call, found: Call) -> bool:
    """The same tool with these arguments; others may only be defaults that nobody named (they are not compared)."""
    given = found.arguments
    return wanted.tool == found.tool and all(
        str(given.get(name)) == str(value) for name, value in wanted.arguments.items()
    )


def written(call: Call) -> str:
    return " ".join([call.tool, *(f"{name}={value}" for name, value in call.arguments.items())])


# --- times -----------------------------------------------------------------------------------------------------------


def interruptions(show: Performance) -> list[Said]:
    """The lines that were said over our voice."""
    out = []
    for said in show.said:
        before = [moment for moment in show.moments if moment.at_ms <= said.start_ms + 15.0]
        if said.line.say and any(moment.sounding for moment in before[-2:]):
            out.append(said)
    return out


def ducked_after_ms(show: Performance, said: Said) -> float | None:
    """From the onset of a line to our voice being quieter (or silent): one block more than the decision."""
    for moment in show.moments:
        if moment.at_ms >= said.start_ms and (moment.gain < 1.0 or not moment.sounding):
            return moment.at_ms - said.start_ms + 20.0
    return None


def stopped_after_ms(show: Performance, said: Said) -> float | None:
    """From the onset of a line to the silence of our voice; None where it was never silenced before its own end."""
    if not any(isinstance(e, BargedIn) and said.start_ms <= e.at_ms <= said.end_ms + 4_000.0 for e in show.events):
        return None
    for moment in show.moments:
        if moment.at_ms >= said.start_ms and not moment.sounding:
            return moment.at_ms - said.start_ms + 20.0
    return None


def silent_after_ms(show: Performance) -> float | None:
    """From the end of the last interruption to our silence."""
    over = interruptions(show)
    took = stopped_after_ms(show, over[-1]) if over else None
    return None if took is None else max(0.0, took - (over[-1].end_ms - over[-1].start_ms))


def false_stops(show: Performance) -> int:
    """Interruptions that nobody spoke for."""
    return sum(
        1
        for event in show.events
        if isinstance(event, BargedIn)
        and not any(
            each.line.say and each.start_ms - 200.0 <= event.at_ms <= each.end_ms + 4_000.0 for each in show.said
        )
    )


def cut_off(show: Performance) -> int:
    """Lines in whose middle the turn was ended: an endpoint while the user still had words to say."""
    ends = [event.at_ms for event in show.events if isinstance(event, SpeechEnded)]
    return sum(
        1 for said in show.said if said.line.say and any(said.start_ms < at < said.end_ms - 100.0 for at in ends)
    )


def run_all(
    scenarios: Iterable[Scenario],
    config: Config,
    *,
    text: bool,
    acoustics: Acoustics | None = None,
    progress: Callable[[Performance], None] = lambda show: None,
    make_ears: Callable[..., Ears] = Ears.open,
) -> list[Performance]:
    """Each scenario once, its voice by turns. Errors: ConfigError, EngineMissing."""
    import asyncio

    shows: list[Performance] = []
    ears: Ears | None = None
    for number, scenario in enumerate(scenarios):
        if ears is None or ears.plugin != scenario.plugin:
            ears = make_ears(scenario.plugin, config, text=text)
        voice = scenario.voice or VOICES[number % len(VOICES)]
        show = asyncio.run(perform(ears, scenario, voice, acoustics or Acoustics(echo_db=None if text else 0.0)))
        progress(show)
        shows.append(show)
    return shows
