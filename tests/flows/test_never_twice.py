"""Never twice, never lost: conversations interrupted at random moments, with the ledger as witness.

VOICE_NEEDLE_INTERRUPTIONS=2000 runs the whole proof (minutes); by default a tenth of it.

The turns are the assistant's own, on the scripted clock; router, policies, dispatcher and ledger are real. Only ears and
loudspeaker are left out, and the tools' last step is a world that counts what is really done to it: on time, late, or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from voice_needle.assembly import make_endpointer, make_router, open_registry
from voice_needle.assistant import Assistant, Parts
from voice_needle.audio import to_ms
from voice_needle.clock import ScriptedClock
from voice_needle.config import BargeIn as BargeInSettings
from voice_needle.config import Config, Route
from voice_needle.conversation import Conversation
from voice_needle.dispatch.hosts import Hosts
from voice_needle.dispatch.ledger import Ledger
from voice_needle.dispatch.runner import Dispatcher
from voice_needle.dispatch.timers import TimerStore
from voice_needle.errors import ToolUnreachable
from voice_needle.evaluation.duplex import START
from voice_needle.evaluation.duplex_stage import NAMES, RecordingHost, Wordy, undo_values
from voice_needle.events import LateResultRefused, Outcome, Transcript, Utterance
from voice_needle.hearing import Ahead, Hearing
from voice_needle.plugin import Result
from voice_needle.secrets import Secrets
from voice_needle.speak.speaker import Spoken
from voice_needle.turn import Scope, Turn
from voice_needle.workers import Workers

INTERRUPTIONS = int(os.environ.get("VOICE_NEEDLE_INTERRUPTIONS", "210"))
SAY = {
    "home": ["turn on the hall light", "set the kitchen light to thirty percent", "open the garage door", "lock the front door",
             "close the bedroom blinds and turn off the office light"],
    "warehouse": ["pick five boxes of work gloves", "pick nine hex bolts", "how many hex bolts do we have",
                  "what is running low and pick three boxes of work gloves"],
    "in_car": ["open the driver window", "set the car temperature to twenty degrees", "unlock the car", "how fast are we going"],
}  # fmt: skip
INTERRUPT = {
    "home": ["no, the kitchen", "make that fifty percent", "no, the bedroom"],
    "warehouse": ["make that twelve", "no, seven", "no, twelve"],
    "in_car": ["no, the passenger window", "make that twenty two"],
}
ALWAYS = [
    "stop",
    "cancel",
    "cancel that",
    "no",
    "yes",
    "undo that",
    "uh huh",
    "what did you say",
    "never mind",
    "no, both",
]


@dataclass
class World:
    """Counts what is done to it. behaviour: of the coming calls, in turn."""

    clock: ScriptedClock
    workers: Workers
    rng: random.Random
    effects: list[str] = field(default_factory=list)  # ledger keys

    async def carry_out(self, key: str) -> None:
        how = self.rng.choices(["prompt", "slow", "late answer", "unreachable"], [5, 3, 1, 1])[0]
        before_s = {"prompt": 0.03, "slow": self.rng.uniform(0.1, 2.5), "late answer": 0.2, "unreachable": 0.3}[how]
        with self.workers.waiting():
            await self.clock.sleep(before_s)
        if how == "unreachable":
            raise ToolUnreachable("the world is out of reach")
        self.effects.append(key)
        if how == "late answer":  # done, but told when nobody waits any more; cancelling does not help
            with self.workers.waiting(), contextlib.suppress(asyncio.CancelledError):
                await self.clock.sleep(30.0)


class WorldHost(RecordingHost):
    world: World

    async def call(self, context: Any, tool: Any, arguments: Mapping[str, Any], watch: Any) -> Result:
        if not watch.begin():
            raise ToolUnreachable("it was given up before it began")
        await self.world.carry_out(context.call_id)
        return Result(**undo_values(tool, self.manifest, len(self.world.effects)))


class WorldHosts(Hosts):
    world: World

    def _start(self, manifest: Any) -> Any:
        host = WorldHost(manifest, self._context(manifest), None)  # type: ignore[arg-type]
        host.world = self.world
        return host


class QuickSpeaker:
    """Takes as long as the words do, and can be stopped."""

    def __init__(self, clock: ScriptedClock) -> None:
        self.clock, self.speaking, self.answer = clock, False, ""

    async def say(self, text: str, *, on_start: Any = None) -> Spoken:
        self.speaking, self.answer = True, text
        on_start()
        try:
            await self.clock.sleep(len(text) / 40.0)
        finally:
            self.speaking = False
        return Spoken(said=text)

    async def tone(self, name: str) -> None: ...

    def stop(self) -> Spoken:
        return Spoken(unsaid=self.answer)

    def duck(self, db: float) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Talk:
    """One conversation: an assistant without ears, told what was said."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.turns = bench, []
        conversation = Conversation(
            router=bench.router, tools=bench.registry.toolset, dispatcher=bench.dispatcher, phraser=Wordy(bench.clock),
            workers=bench.workers, clock=bench.clock,
        )  # fmt: skip
        parts = Parts(
            source=None, vad=None, endpointer=make_endpointer(Config().listen), recogniser=None, conversation=conversation,
            speaker=QuickSpeaker(bench.clock), workers=bench.workers, clock=bench.clock,
        )  # type: ignore[arg-type]  # fmt: skip
        self.assistant = Assistant(parts, Config(barge_in=BargeInSettings(mode="full")), emit=bench.events.append)

    def hear(self, text: str) -> asyncio.Task[None]:
        self.bench.turns += 1
        turn = Turn(Scope(self.bench.turns), self.bench.clock.monotonic())
        self.turns.append(turn)
        transcript = Transcript(text)

        async def ahead() -> Ahead:
            return Ahead(transcript, await self.assistant.conversation.decide(transcript))

        hearing = Hearing(turn)
        hearing.ahead = asyncio.ensure_future(ahead())
        sound = Utterance(samples=b"", start_ms=0.0, speech_start_ms=0.0, speech_end_ms=to_ms(0))  # type: ignore[arg-type]
        return asyncio.ensure_future(self.assistant._take(hearing, sound, 250.0))


class Bench:
    """Clock, world, ledger and dispatcher that the conversations of one plugin share, one after the other."""

    def __init__(self, plugin: str, folder: Path, seed: int) -> None:
        self.clock, self.workers, self.turns, self.events = ScriptedClock(START), Workers(), 0, []
        self.registry = open_registry(Config(data_dir=folder), [plugin])
        self.registry.merge_vocabularies(plugin, NAMES.get(plugin, {}))
        self.router = make_router(Config(route=Route(router="templates")))
        self.router.prepare(self.registry.offered())
        self.rng = random.Random(seed)
        self.world = World(self.clock, self.workers, self.rng)
        self.ledger = Ledger.open(folder / "ledger.db", self.clock)
        self.timers = TimerStore(folder / "timers.db", self.clock)
        hosts = WorldHosts(self.registry, self.clock, self.timers, folder, secrets=Secrets({}))
        hosts.world = self.world
        self.dispatcher = Dispatcher(self.registry, self.ledger, hosts, self.clock, self.events.append)

    async def until(self, done: Any, at_most_s: float = 300.0) -> None:
        end = self.clock.monotonic() + at_most_s
        while not done() and self.clock.monotonic() < end:
            with contextlib.suppress(TimeoutError):  # a retry waits for the clock while its turn counts as busy
                await asyncio.wait_for(self.workers.quiet(), 0.03)
            await self.clock.advance(0.05)
        assert done(), "the conversation does not end"

    async def close(self) -> None:
        closing = asyncio.ensure_future(self.dispatcher.close())
        await self.until(closing.done)
        self.timers.close()
        self.workers.close()


async def converse(bench: Bench, plugin: str) -> tuple[list[Turn], list[str]]:
    """A request, and one to three interruptions at random moments of it."""
    talk, rng = Talk(bench), bench.rng
    first = rng.choice(SAY[plugin])
    tasks, script = [talk.hear(first)], [f"0.00 {first}"]
    began = bench.clock.monotonic()
    for _ in range(rng.randint(1, 3)):
        wait_s = rng.choice([0.0, rng.uniform(0.0, 0.3), rng.uniform(0.0, 3.0), rng.uniform(0.0, 6.0)])
        until = bench.clock.monotonic() + wait_s
        await bench.until(lambda until=until: bench.clock.monotonic() >= until)
        text = rng.choice([*ALWAYS, *INTERRUPT[plugin] * 3, *SAY[plugin]])
        script.append(f"{bench.clock.monotonic() - began:.2f} {text}")
        tasks.append(talk.hear(text))
    await bench.until(lambda: all(task.done() for task in tasks))
    for task in tasks:
        task.result()
    settled = asyncio.ensure_future(bench.dispatcher.settled())
    await bench.until(settled.done)
    return talk.turns, script


DID_NOTHING = frozenset(["unreachable", "refused", "failed", "not_found", "busy"])


def check(bench: Bench, turns: list[Turn], first_entry: int, first_effect: int) -> list[str]:
    """What is wrong: effects without an entry, entries that deny their effect, effects done twice, claims without effect."""
    wrong: list[str] = []
    entries = {entry.id: entry for entry in bench.dispatcher.history(200) if entry.id > first_entry}
    effects = [key for key in bench.world.effects[first_effect:] if not key.startswith("r-")]
    for key, count in Counter(effects).items():
        entry = entries.get(int(key.rsplit("-", 1)[-1]))
        if entry is None:
            wrong.append(f"lost: an effect without an entry ({key})")
        elif count > 1 and not entry.idempotent:
            wrong.append(f"twice: {entry.call} was done {count} times")
        elif entry.status in DID_NOTHING or (entry.status == "cancelled" and not entry.values.get("may_have_happened")):
            wrong.append(f"lost: {entry.call} happened, the ledger says {entry.status}")
        elif entry.status == "":
            wrong.append(f"lost: {entry.call} was never settled")
    happened = {int(key.rsplit("-", 1)[-1]) for key in effects}
    for entry in entries.values():
        if entry.status == "ok" and entry.id not in happened:
            wrong.append(f"claimed: {entry.call} is said to be done, and is not")
    asked = Counter(
        (e.turn, e.call.tool, str(sorted(e.call.arguments.items()))) for e in entries.values() if e.undoes is None
    )
    wrong += [f"twice: {what} within one turn" for what, count in asked.items() if count > 1]
    undone = Counter(e.undoes for e in entries.values() if e.undoes is not None and e.status == "ok")
    wrong += [f"twice: entry {number} taken back {count} times" for number, count in undone.items() if count > 1]
    numbers = [turn.number for turn in turns]
    strangers = [entry for entry in entries.values() if entry.turn not in numbers]
    wrong += [
        f"a side effect in the name of turn {entry.turn}, which is not of this conversation" for entry in strangers
    ]
    wrong += standing_twice(turns, list(entries.values()))
    return wrong


def standing_twice(turns: list[Turn], entries: list[Any]) -> list[str]:
    """A correction stands in the place of what it corrects: no more may stand than was asked for, unless the user said yes."""
    said = [turn.transcript.text for turn in turns if turn.transcript]
    if any(text == "yes" or "both" in text for text in said):
        return []
    undone = {entry.undoes for entry in entries if entry.undoes is not None and entry.status == "ok"}
    standing = Counter(
        entry.call.tool
        for entry in entries
        if entry.status == "ok" and entry.undoes is None and entry.id not in undone and not overwritten(entry)
    )
    asked = Counter(
        call.tool
        for turn in turns
        if turn.decision is not None and turn.decision.act is None and turn.decision.outcome is Outcome.ACT
        for call in turn.decision.calls
    )
    return [f"{n} {tool} stand, {asked[tool]} were asked for" for tool, n in standing.items() if n > asked[tool]]


def overwritten(entry: Any) -> bool:
    """Of tools that set something, the last call counts, and the one before need not be taken back."""
    return entry.call.tool not in ("stock_pick",)


@pytest.mark.parametrize("plugin", ["home", "warehouse", "in_car"])
async def test_whatever_interrupts_it_nothing_is_done_twice_or_forgotten(plugin: str, tmp_path: Path) -> None:
    bench = Bench(plugin, tmp_path, seed=20261121)
    failures: list[str] = []
    effects = interrupted = spoken = trial = 0
    while spoken < INTERRUPTIONS / 3:
        trial += 1
        first_entry = max((entry.id for entry in bench.dispatcher.history(1)), default=0)
        first_effect = len(bench.world.effects)
        turns, script = await converse(bench, plugin)
        spoken += len(turns) - 1
        interrupted += sum(bool(turn.interrupted_by) for turn in turns)
        effects += len(bench.world.effects) - first_effect
        failures += [f"trial {trial}: {why}; {script}" for why in check(bench, turns, first_entry, first_effect)]
    await bench.close()
    assert not failures, "\n".join(failures[:10]) + f"\n{len(failures)} in all"
    assert interrupted > spoken / 8 and effects > trial / 2  # it did act, and it was interrupted
    assert any(isinstance(event, LateResultRefused) for event in bench.events)
