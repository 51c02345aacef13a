"""Carries out one call: conditions first, then the handler under its time limit, again where its policy allows it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from voice_needle.clock import Clock
from voice_needle.dispatch.host import Host, for_call
from voice_needle.dispatch.outcome import cancelled, from_error
from voice_needle.dispatch.watch import Watch
from voice_needle.errors import ToolFailed, ToolRefused, ToolTimeout, ToolUnconfirmed, ToolUnreachable, VoiceNeedleError
from voice_needle.events import Call, Status, ToolResult
from voice_needle.plugin import Context, Result
from voice_needle.tools import Tool

log = logging.getLogger(__name__)
_AGAIN = frozenset({Status.UNREACHABLE, Status.TIMEOUT, Status.UNCONFIRMED})
_UNKNOWN = frozenset({Status.TIMEOUT, Status.UNCONFIRMED})
_FIRST_PAUSE_S = 0.1  # doubled before each further attempt


class _Scope(Protocol):
    def live(self) -> bool: ...


class Attempt:
    """One call on its way through its plugin. stop: set to cancel it."""

    def __init__(self, tool: Tool, call: Call, clock: Clock, stop: asyncio.Event) -> None:
        self._tool = tool
        self._call = call
        self._clock = clock
        self._stop = stop
        self._host: Host | None = None
        self._scope: _Scope | None = None
        self._context: Context | None = None
        self._work: asyncio.Task[Result] | None = None
        self._watch: Watch | None = None
        self.running = False  # the handler may have begun

    @property
    def answered(self) -> bool:
        """The handler has ended by itself: too late to stop it."""
        return self.running and self._work is not None and self._work.done()

    def cancel(self) -> None:
        """Settle as cancelled, then stop the work at once."""
        self._stop.set()
        if self._work is not None and self._watch is not None:
            self._watch.give_up()
            self._work.cancel()

    async def prepare(self, host: Host, scope: _Scope, heard: str, room: str | None) -> ToolResult | None:
        """Set the plugin up and ask its conditions; nothing is done to the world yet. A result means: it ends here."""
        self._host, self._scope = host, scope
        self._context = for_call(host.context, call_id="", heard=heard, room=room)
        watch = Watch()

        async def work() -> Result:
            await host.ready()
            for name in self._tool.policy.requires:
                await self._require(host, name)
            return Result()

        limit_s = max(self._tool.policy.timeout_ms, host.manifest.setup_timeout_ms) / 1000
        ended = await self._race(work(), watch, limit_s, lambda result: None)
        if ended.status is Status.TIMEOUT:
            return from_error(self._call, ToolUnreachable(f"{self._tool.plugin} is not ready"))
        if not ended.ok:
            return ended
        return None if self._may_begin() else cancelled(self._call, may_have_happened=False)

    async def _require(self, host: Host, name: str) -> None:
        assert self._context is not None
        try:
            reason = await host.condition(self._context, name)
        except VoiceNeedleError:
            raise
        except Exception as error:
            log.exception("the condition %s of %s raised", name, self._tool.plugin)
            raise ToolRefused(
                f"cannot tell whether it is {name}: {error}", spoken="I cannot tell whether that is safe now."
            ) from error
        if reason is not None:
            raise ToolRefused(f"{self._tool.name}: {reason}", spoken=f"I may not do that now: {reason}.")

    def _may_begin(self) -> bool:
        return not self._stop.is_set() and (self._scope is None or self._scope.live())

    async def run(self, call_id: str, late: Callable[[ToolResult], None]) -> ToolResult:
        """Run the handler; repeat it where that is safe. late: told of an end that came after the call was settled."""
        assert self._host is not None and self._context is not None
        if not self._may_begin():
            return cancelled(self._call, may_have_happened=False)
        policy = self._tool.policy
        self._context.call_id = call_id
        attempts = 1 + (policy.retries if policy.idempotent else 0)
        pause_s = _FIRST_PAUSE_S
        self.running = True
        unknown: ToolResult | None = None  # of an attempt that may have worked: a later failure does not undo it
        try:
            while True:
                result = await self._once(late)
                attempts -= 1
                if result.status in _UNKNOWN:
                    unknown = result
                elif unknown is not None and not result.ok:
                    result = unknown
                if attempts <= 0 or result.status not in _AGAIN or not self._may_begin():
                    return result
                await self._clock.sleep(pause_s)
                pause_s *= 2
                if not self._may_begin():
                    return result
        finally:
            self.running = False

    async def _once(self, late: Callable[[ToolResult], None]) -> ToolResult:
        assert self._host is not None and self._context is not None

        def ended_late(value: Any, error: BaseException | None) -> None:
            late(self._result(value, error))

        watch = Watch(ended_late)
        work = self._host.call(self._context, self._tool, self._call.arguments, watch)
        return await self._race(work, watch, self._tool.policy.timeout_ms / 1000, late)

    async def _race(self, work: Any, watch: Watch, limit_s: float, late: Callable[[ToolResult], None]) -> ToolResult:
        """Whichever comes first settles: the answer, the limit, a cancellation. Only then is the work cancelled."""
        task: asyncio.Task[Result] = asyncio.ensure_future(work)
        limit = asyncio.ensure_future(self._clock.sleep(limit_s))
        stop = asyncio.ensure_future(self._stop.wait())
        self._work, self._watch = task, watch
        try:
            await asyncio.wait({task, limit, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            limit.cancel()
            stop.cancel()
        if task.done() and not task.cancelled() and not self._stop.is_set():
            return self._result(None if task.exception() else task.result(), task.exception())
        begun = watch.give_up()
        if self._stop.is_set():
            settled = cancelled(self._call, may_have_happened=begun)
        elif watch.unanswered is not None:
            settled = from_error(self._call, watch.unanswered)
        elif begun:
            settled = from_error(self._call, ToolTimeout(f"{self._tool.name} did not answer in {limit_s:.1f} s"))
        else:
            busy = "It is still busy with something else. Nothing was done."
            settled = from_error(self._call, ToolUnreachable(f"{self._tool.plugin} was busy", spoken=busy))
        task.add_done_callback(lambda done: self._after(done, late))  # called later, also where it is done already
        if not task.cancelling():
            task.cancel()
        return settled

    def _after(self, task: asyncio.Task[Result], late: Callable[[ToolResult], None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            late(self._result(task.result(), None))

    def _result(self, value: Any, error: BaseException | None) -> ToolResult:
        if isinstance(error, VoiceNeedleError):
            log.info("%s: %s", self._tool.name, error)
            return from_error(self._call, error)
        if error is not None:
            log.error("%s raised", self._tool.name, exc_info=error)
            return from_error(self._call, ToolFailed(f"{self._tool.name}: {type(error).__name__}: {error}"))
        if not isinstance(value, Result):
            return from_error(self._call, ToolUnconfirmed(f"{self._tool.name} answered nothing usable"))
        return ToolResult(self._call, value.status, dict(value.values))
