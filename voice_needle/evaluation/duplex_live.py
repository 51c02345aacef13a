"""The duplex scenarios on real sound devices: the same scripts and the same judge as in the simulated room, in real time.

The assistant plays into a loudspeaker and listens to a microphone; somebody brings the user's lines into that microphone. Where
the machine cannot keep up with its sound, the gaps are counted: a performance with gaps says nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from voice_needle.assembly import make_echo, make_endpointer, make_vad
from voice_needle.assistant import Assistant, Parts
from voice_needle.audio import Samples
from voice_needle.clock import RealClock
from voice_needle.conversation import Conversation
from voice_needle.dispatch.ledger import Ledger
from voice_needle.dispatch.runner import Dispatcher
from voice_needle.dispatch.timers import TimerStore
from voice_needle.evaluation.bench import Turns
from voice_needle.evaluation.duplex import LONGEST_S, Ears, Moment, Performance, judge
from voice_needle.evaluation.duplex_script import Director, Line, Said, Scenario
from voice_needle.evaluation.duplex_stage import Journal, RecordingHosts, Wordy, line_sound
from voice_needle.listen.engine import Source
from voice_needle.secrets import Secrets
from voice_needle.speak.device import DeviceSink
from voice_needle.speak.engine import Voice
from voice_needle.speak.speaker import Speaker
from voice_needle.workers import Workers

STALL_MS = 250.0  # without a frame; nothing in the assistant takes the loop for so long
STARVED = 0.1  # of the time of a performance that one of its threads waited for a processor
LATE_MS = 60.0  # from giving a line to a player until its first sample is in the microphone, about


@dataclass
class Live:
    """What a live performance needs beside the scenario. play: brings sound to the microphone, and returns at once."""

    source: Source
    sink: DeviceSink
    voice: Voice
    play: Callable[[Samples], None]


@dataclass
class LivePerformance(Performance):
    """A performance on real devices, and how far it can be trusted: not at all where the machine stood still meanwhile.

    gaps: stretches of sound that were lost. stalls: how often the assistant heard nothing for STALL_MS. starved: share of the time
    that its most waiting thread, the recogniser as a rule, was ready to run and got no processor.
    """

    gaps: int = 0
    stalls: int = 0
    starved: float = 0.0
    verdict: str = ""  # of the echo self-test
    delay_ms: float | None = None

    @property
    def disturbances(self) -> int:
        """0: what the assistant did is its own doing."""
        return self.gaps + self.stalls + (self.starved > STARVED)


class Starvation:
    """How long threads of this process were ready to run and had to wait, or the whole machine stood still for another one."""

    def __init__(self) -> None:
        self._began_s, self._stolen_s, self._waited_s = time.monotonic(), _stolen_s(), _waited_s()

    def share(self) -> float:
        """Since it was made: of that time, the most that one thread waited, and what was stolen from one processor."""
        waited = max((now - self._waited_s.get(thread, 0.0) for thread, now in _waited_s().items()), default=0.0)
        stolen = (_stolen_s() - self._stolen_s) / (os.cpu_count() or 1)
        return (waited + stolen) / max(1e-3, time.monotonic() - self._began_s)


def _waited_s() -> dict[str, float]:
    """Of each thread: seconds on the run queue (proc(5), schedstat); nothing where the kernel does not count them."""
    found = {}
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError, IndexError, ValueError):
            found[thread.name] = int((thread / "schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    return found


def _stolen_s() -> float:
    """Seconds that a hypervisor gave to others, of all processors together."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path("/proc/stat").read_text(encoding="ascii").split()[8]) / os.sysconf("SC_CLK_TCK")
    return 0.0


class _FromNow(RealClock):
    """The real clock, with 0 at its making: events and lines are on one time line."""

    def __init__(self) -> None:
        self._start = super().monotonic()

    def monotonic(self) -> float:
        return super().monotonic() - self._start


class _Heartbeat:
    """The microphone, with something to do before each frame."""

    def __init__(self, source: Source, each_frame: Callable[[], None]) -> None:
        self._source, self._each_frame = source, each_frame
        self.name, self.ended = source.name, asyncio.Event()
        self.overruns = 0

    @property
    def frame_time_s(self) -> float:
        return float(getattr(self._source, "frame_time_s", 0.0))

    async def frames(self) -> AsyncIterator[Samples]:
        async for frame in self._source.frames():
            self.overruns = self._source.overruns
            self._each_frame()
            yield frame

    async def close(self) -> None:
        await self._source.close()


async def perform_live(ears: Ears, scenario: Scenario, voice: str, live: Live) -> LivePerformance:
    """Play one scenario to its end and judge it. Errors: those of the devices."""
    began = time.perf_counter()
    show, clock, turns = LivePerformance(scenario, voice), _FromNow(), Turns()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        workers = Workers()
        stack.callback(workers.close)
        ledger, timers = Ledger.open(folder / "ledger.db", clock), TimerStore(folder / "timers.db", clock)
        stack.callback(timers.close)
        journal = Journal(workers, scenario.slow_ms)
        hosts = RecordingHosts(ears.registry, clock, timers, folder, secrets=Secrets({}))
        hosts.journal = journal
        dispatcher = Dispatcher(ears.registry, ledger, hosts, clock, show.events.append)
        stack.push_async_callback(dispatcher.close)
        speaker = Speaker(live.voice, live.sink)
        stack.push_async_callback(speaker.close)
        source = _Heartbeat(live.source, lambda: each_frame())
        stack.push_async_callback(source.close)
        assert ears.recogniser is not None, "live, there are no words without sound"
        conversation = Conversation(
            router=ears.router, tools=ears.registry.toolset, dispatcher=dispatcher, phraser=Wordy(clock), workers=workers,
            clock=clock, question_timeout_ms=ears.config.dispatch.question_timeout_ms,
        )  # fmt: skip
        echo, why_not = make_echo()
        parts = Parts(
            source=source, vad=make_vad(ears.config.listen), endpointer=make_endpointer(ears.config.listen),
            recogniser=ears.recogniser, conversation=conversation, speaker=speaker, workers=workers, clock=clock,
            echo=echo, no_echo_reason=why_not,
        )  # fmt: skip
        assistant = Assistant(parts, ears.config, turns, show.events.append)

        last_ms = 0.0

        def now_ms() -> float:
            return clock.monotonic() * 1000.0

        def speak(line: Line) -> Said:
            sound, first_ms, last_ms = line_sound(line, voice)
            live.play(sound)
            now = now_ms() + LATE_MS
            return Said(line, now + first_ms, now + last_ms)

        director = Director(
            scenario.lines,
            now_ms=now_ms,
            quiet=lambda: assistant.tested and assistant.idle and not speaker.speaking,
            heard_so_far=lambda: speaker.so_far.said,
            speak=speak,
        )
        director.said = show.said

        def each_frame() -> None:
            nonlocal last_ms
            show.stalls += last_ms > 0.0 and now_ms() - last_ms > STALL_MS
            last_ms = now_ms()
            director.tick()
            sounding = speaker.speaking and not live.sink._queue.paused
            show.moments.append(Moment(now_ms(), live.sink._queue.gain, sounding))
            if (director.done and director.quiet_ms() >= 1_500.0) or now_ms() > LONGEST_S * 1000.0:
                source.ended.set()

        await speaker.start()
        starvation = Starvation()
        await assistant.run()
        await dispatcher.settled()
        show.starved = starvation.share()
        show.gaps = live.sink.underruns + live.source.overruns
        show.mode = assistant.barge_in.mode
        if assistant.duplex is not None:
            show.verdict, show.delay_ms = assistant.duplex.why, assistant.duplex.delay_ms
        show.never_came, show.length_s = director.never_came, now_ms() / 1000.0
        show.entries = list(reversed(dispatcher.history(100)))
        show.made = [call for _, call in journal.done]
        undone_by = {entry.undoes for entry in show.entries if entry.undoes is not None}
        show.turns = turns.all
        judge(show, journal, {e.id for e in show.entries if e.id in undone_by and e.status == "ok"})
    show.wall_s = time.perf_counter() - began
    return show
