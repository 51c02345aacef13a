"""The dispatcher: carries out calls under their policy and tells the truth about what came of them.

A call passes, in this order: confirmation, bindings, arguments, the circuit breaker, the plugin's set-up, its conditions,
the ledger; then the handler runs under its time limit. Whatever ends it first (an answer, the limit, a cancellation)
settles it, in the ledger and in an event; what arrives later is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from voice_needle.clock import Clock
from voice_needle.dispatch import chain, policy
from voice_needle.dispatch.attempt import Attempt
from voice_needle.dispatch.hosts import Hosts
from voice_needle.dispatch.ledger import Entry, Ledger
from voice_needle.dispatch.outcome import from_error, needs_yes
from voice_needle.dispatch.policy import Thresholds
from voice_needle.dispatch.registry import Registry
from voice_needle.errors import StorageError, ToolError, VoiceNeedleError
from voice_needle.events import Call, CallEnded, CallStarted, Event, Fault, LateResultRefused, Status, ToolResult
from voice_needle.tools import OnBargeIn, Tool

log = logging.getLogger(__name__)
Emit = Callable[[Event], None]


class Scope(Protocol):
    """The turn that calls belong to."""

    @property
    def turn(self) -> int: ...

    def live(self) -> bool:
        """False once the turn was cancelled or another has taken its place: nothing more may begin."""
        ...


@dataclass(frozen=True)
class NoTurn:
    """Calls from outside a conversation (the command line, a test)."""

    turn: int = 0

    def live(self) -> bool:
        return True


@dataclass(frozen=True)
class Cancelled:
    """What a cancellation did. stopped: settled as cancelled; finishing: run on; asking: the user decides."""

    stopped: tuple[Call, ...] = ()
    finishing: tuple[Call, ...] = ()
    asking: tuple[Call, ...] = ()


@dataclass
class _Job:
    """One call on its way."""

    call: Call
    scope: Scope
    heard: str
    room: str | None
    undoes: int | None = None
    attempt: Attempt | None = None
    tool: Tool | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def cancel(self) -> None:
        self.stop.set()
        if self.attempt is not None:
            self.attempt.cancel()


class Dispatcher:
    """Executes calls. emit: gets CallStarted, CallEnded, LateResultRefused and Fault, on the loop.

    room: where the device stands. undo_window_s: how long a call can be taken back by "undo".
    """

    def __init__(
        self,
        registry: Registry,
        ledger: Ledger,
        hosts: Hosts,
        clock: Clock,
        emit: Emit,
        *,
        room: str | None = None,
        thresholds: Thresholds | None = None,
        undo_window_s: float = 900.0,
    ) -> None:
        self._registry = registry
        self._ledger = ledger
        self._hosts = hosts
        self._clock = clock
        self._emit = emit
        self._room = room
        self._thresholds = thresholds or Thresholds()
        self._undo_window = timedelta(seconds=undo_window_s)
        self._jobs: list[_Job] = []
        self._taken_back: set[int] = set()  # entries that are being undone, or were
        self._chains: set[asyncio.Task[list[ToolResult]]] = set()
        self._writing: set[asyncio.Task[None]] = set()

    # --- doing ---

    def to_confirm(self, calls: Sequence[Call], confidence: float) -> tuple[Call, ...]:
        """The calls that the user has to say yes to. confidence: of the decision, 0 to 1."""
        known = self._registry.toolset()
        return tuple(
            call
            for call in calls
            if call.tool in known and policy.must_confirm(known[call.tool], confidence, self._thresholds)
        )

    async def execute(
        self,
        calls: Sequence[Call],
        scope: Scope | None = None,
        *,
        heard: str = "",
        confidence: float = 1.0,
        confirmed: bool = False,
        room: str | None = None,
    ) -> list[ToolResult]:
        """Carry out `calls` one after the other; one result each, in order. Never raises for a call that goes wrong.

        confirmed: the user said yes to these calls; without it, those that need a yes are refused. Cancelling the waiting
        task stops only the waiting: to stop the calls themselves, use `cancel`.
        """
        where = room if room is not None else self._room
        jobs = [_Job(call, scope or NoTurn(), heard, where) for call in calls]
        return await self._shielded(jobs, confidence, confirmed)

    async def _shielded(self, jobs: list[_Job], confidence: float, confirmed: bool) -> list[ToolResult]:
        self._jobs += jobs
        task = asyncio.create_task(self._chain(jobs, confidence, confirmed))
        self._chains.add(task)
        task.add_done_callback(self._chains.discard)
        return await asyncio.shield(task)

    async def _chain(self, jobs: list[_Job], confidence: float, confirmed: bool) -> list[ToolResult]:
        results: list[ToolResult] = []
        try:
            for job in jobs:
                started = self._clock.monotonic()
                result = await self._one(job, results, confidence, confirmed)
                elapsed = (self._clock.monotonic() - started) * 1000
                result = ToolResult(result.call, result.status, result.values, result.error, elapsed, result.ledger_id)
                results.append(result)
                self._jobs.remove(job)
                self._emit(CallEnded(job.scope.turn, self._now_ms(), result))
        finally:
            for job in jobs:
                with contextlib.suppress(ValueError):
                    self._jobs.remove(job)
        return results

    async def _one(self, job: _Job, before: Sequence[ToolResult], confidence: float, confirmed: bool) -> ToolResult:
        try:
            tool = job.tool = self._registry.tool(job.call.tool)
            if reason := chain.skip(tool, job.call, before, self._registry.toolset()):
                return ToolResult(job.call, Status.CANCELLED, error=reason)
            if not confirmed and policy.must_confirm(tool, confidence, self._thresholds):
                return needs_yes(job.call)
            bound = chain.bind(tool, job.call, before)
            checked = policy.complete(tool, bound, job.room)
            job.call = Call(tool.name, checked.arguments, job.call.evidence)
            return await self._admitted(job, tool)
        except VoiceNeedleError as error:
            if not isinstance(error, ToolError):
                self._emit(Fault(job.scope.turn, self._now_ms(), type(error).__name__, error.spoken, error.fix))
            return from_error(job.call, error)

    async def _admitted(self, job: _Job, tool: Tool) -> ToolResult:
        """Under the circuit breaker."""
        breaker = self._hosts.breaker(tool.plugin)
        breaker.admit()
        result = None
        try:
            result = await self._attempts(job, tool)
            return result
        finally:
            if result is None:
                breaker.release()
            else:
                breaker.record(result.status)

    async def _attempts(self, job: _Job, tool: Tool) -> ToolResult:
        """Prepare, write down, run (again where that is safe), write down."""
        attempt = job.attempt = Attempt(tool, job.call, self._clock, job.stop)
        host = self._hosts.host(tool.plugin)
        refused = await attempt.prepare(host, job.scope, job.heard, job.room)
        if refused is not None:
            return refused
        number: int | None = None
        if tool.policy.changes_state:
            number = await asyncio.shield(
                self._ledger.begin(tool, job.call, turn=job.scope.turn, heard=job.heard, undoes=job.undoes)
            )
        call_id = f"{self._ledger.uid}-{number}" if number else f"r-{uuid.uuid4().hex[:12]}"
        self._emit(CallStarted(job.scope.turn, self._now_ms(), job.call))

        def late(result: ToolResult) -> None:
            self._refuse(job, number, result)

        result = await attempt.run(call_id, late)
        if number is not None:  # queued behind nothing that could overtake it; the answer need not wait for the disk
            writing = asyncio.create_task(self._settle(job, tool, number, result))
            self._writing.add(writing)
            writing.add_done_callback(self._writing.discard)
        return ToolResult(result.call, result.status, result.values, result.error, 0.0, number)

    async def _settle(self, job: _Job, tool: Tool, number: int, result: ToolResult) -> None:
        undo = chain.undo_call(tool, job.call, result)
        try:
            await self._ledger.settle(number, result.status, result.values, result.error, undo)
        except StorageError as error:  # it is done all the same, and said; the ledger will call it unknown
            log.error("the end of call %d could not be written down: %s", number, error)
            self._emit(Fault(job.scope.turn, self._now_ms(), type(error).__name__, error.spoken, error.fix))

    def _refuse(self, job: _Job, number: int | None, result: ToolResult) -> None:
        log.warning("%s ended (%s) after it was settled", job.call.tool, result.status.value)
        self._emit(LateResultRefused(job.scope.turn, self._now_ms(), job.call))
        if number is not None:
            task = asyncio.ensure_future(self._ledger.late(number, result.status, result.values, result.error))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _now_ms(self) -> float:
        return self._clock.monotonic() * 1000

    # --- stopping ---

    def cancel(self, turn: int, *, everything: bool = False) -> Cancelled:
        """Stop the calls of a turn as their policies say. everything: also those that would finish, or ask.

        A call that has not begun never will; one that has is settled as cancelled first, and stopped then.
        """
        stopped, finishing, asking = [], [], []
        for job in [job for job in self._jobs if job.scope.turn == turn]:
            if job.attempt is not None and job.attempt.answered:
                finishing.append(job.call)
                continue
            running = job.attempt is not None and job.attempt.running
            wish = job.tool.policy.on_barge_in if job.tool else OnBargeIn.CANCEL
            if not running or everything or wish is OnBargeIn.CANCEL:
                job.cancel()
                stopped.append(job.call)
            elif wish is OnBargeIn.FINISH:
                finishing.append(job.call)
            else:
                asking.append(job.call)
        return Cancelled(tuple(stopped), tuple(finishing), tuple(asking))

    def stop(self, call: Call) -> bool:
        """Stop one running call (the user was asked, and said so). False when it has already ended."""
        found = [
            job
            for job in self._jobs
            if job.call.same_as(call) and not (job.attempt is not None and job.attempt.answered)
        ]
        for job in found:
            job.cancel()
        return bool(found)

    # --- taking back ---

    def undoable(self, number: int | None = None) -> tuple[Entry | None, Call | None]:
        """What "undo" would take back (or the call with this ledger number), and the call that would do it.

        (None, None): nothing was done lately. (entry, None): that cannot be taken back.
        """
        if number is not None:
            entry = self._ledger.entry(number)
        else:
            entry = self._ledger.last_done(self._clock.now() - self._undo_window)
        if entry is None or entry.undo is None or entry.undo.tool not in self._registry.toolset():
            return entry, None
        if entry.id in self._taken_back:
            return entry, None
        return entry, entry.undo

    async def undo(
        self, scope: Scope | None = None, *, number: int | None = None, confirmed: bool = False, heard: str = "undo"
    ) -> ToolResult:
        """Take back the last call that did something, or the one with this ledger number. Says so when it cannot.

        An older call is never taken back in place of the last one.
        """
        entry, call = self.undoable(number)
        if entry is None:
            return ToolResult(Call("undo"), Status.NOT_FOUND, error="There is nothing to undo.")
        if call is None:
            return ToolResult(entry.call, Status.REFUSED, error="I cannot take that back.", ledger_id=entry.id)
        self._taken_back.add(entry.id)  # before anything is awaited: two corrections at once take it back once
        job = _Job(call, scope or NoTurn(), heard, self._room, undoes=entry.id)
        return await asyncio.shield(asyncio.ensure_future(self._take_back(entry.id, job, confirmed)))

    async def _take_back(self, number: int, job: _Job, confirmed: bool) -> ToolResult:
        result = (await self._shielded([job], 1.0, confirmed))[0]
        if result.status in (Status.REFUSED, Status.UNREACHABLE, Status.FAILED) or (
            result.status is Status.CANCELLED and not result.values.get("may_have_happened")
        ):
            self._taken_back.discard(number)  # nothing happened: it may be tried again
        return result

    # --- life ---

    def recover(self) -> list[Entry]:
        """Once, at the start: calls cut off by the last power cut that the user must be told of. Then `told` for each."""
        return self._ledger.recover()

    async def told(self, entry: Entry) -> None:
        await self._ledger.told(entry.id)

    def history(self, limit: int = 20) -> list[Entry]:
        """What was done, newest first."""
        return self._ledger.history(limit)

    async def refresh(self) -> bool:
        """Ask every plugin for names and tools found at run time. True when the offered tools changed."""
        return await self._hosts.refresh()

    async def reload(self) -> Sequence[Any]:
        """Read the manifests again; plugins that changed are closed and start afresh at their next call."""
        problems = self._registry.reload()
        await self._hosts.sync()
        return problems

    async def settled(self) -> None:
        """Return when everything that was begun has ended and is written down."""
        while self._chains or self._writing:
            await asyncio.wait([*self._chains, *self._writing])

    async def close(self) -> None:
        """Wait for what is running (its own time limit ends it), then tear the plugins down and close the ledger."""
        if self._chains:
            await asyncio.wait(self._chains)
        await self._hosts.close()
        if self._writing:
            await asyncio.wait(self._writing)
        self._ledger.close()
