"""A plugin in a process of its own (`isolation: process`): it can hang, leak or crash, and takes nothing else along.

Its memory is limited; a handler past its time is cancelled, and killed with its process when it does not let go. The next
call starts a fresh process.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from voice_needle import errors
from voice_needle.dispatch import manifest as manifests
from voice_needle.dispatch.host import PluginHost
from voice_needle.dispatch.manifest import Manifest
from voice_needle.dispatch.watch import Watch
from voice_needle.errors import ToolFailed, ToolTimeout, ToolUnreachable, VoiceNeedleError
from voice_needle.events import Status
from voice_needle.plugin import Context, Result
from voice_needle.tools import Tool

_LET_GO_S = 0.5  # from the cancellation of a handler to the end of its process
_LINE = 1 << 24


class _Running:
    """One process of the plugin and what was asked of it. reader: ends when the process is gone."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.letting_go: set[asyncio.Future[dict[str, Any]]] = set()  # cancelled handlers that have not ended yet
        self.condemned = False  # it was killed, or says nothing more
        self.reader: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether it can still answer. The system is asked: the loop hears of an end only some time after it."""
        if self.condemned or self.process.returncode is not None:
            return False
        try:
            return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:  # it ended, and asyncio is about to be told
            return False

    def write(self, message: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message, default=str).encode() + b"\n")

    def kill(self) -> None:
        self.condemned = True
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    async def gone(self) -> None:
        """Return when whoever waited for an answer has been told; after five seconds in any case."""
        if self.reader is not None:
            await asyncio.wait({self.reader}, timeout=5.0)


class ProcessHost(PluginHost):
    """Like PluginHost, but the plugin's Python runs elsewhere. timers: the file that both processes share."""

    def __init__(self, manifest: Manifest, context: Context, timers: str) -> None:
        super().__init__(manifest, context)
        self._timers = timers
        self._running: _Running | None = None
        self._numbers = itertools.count(1)
        self._starting = asyncio.Lock()

    async def ready(self) -> None:
        """A process that can be asked: the one that runs, or a fresh one. Errors: ToolUnreachable, ToolFailed.

        A cancelled handler first has its half second to let go: until then nobody knows whether its process stays.
        """
        async with self._starting:
            if (running := self._running) is not None:
                if running.letting_go:
                    await asyncio.wait(set(running.letting_go), timeout=_LET_GO_S)
                if running.alive:
                    return
                await self._kill()
            await self._start()
            try:
                async with asyncio.timeout(self.manifest.setup_timeout_ms / 1000):
                    await self._ask("hook", function="setup")
            except TimeoutError as error:
                await self._kill()
                raise ToolUnreachable(f"{self.manifest.plugin} did not get ready in time") from error
            except ToolTimeout as error:
                raise ToolFailed(f"{self.manifest.plugin} cannot be set up: {error}") from error
            except BaseException:
                await self._kill()
                raise

    async def _start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "CREDENTIALS_DIRECTORY"}
        environment |= {"VOICE_NEEDLE_MEMORY_MB": str(self.manifest.memory_mb)}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "voice_needle.dispatch.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,
            limit=_LINE,
        )
        self._running = running = _Running(process)
        running.reader = asyncio.create_task(self._read(running))
        running.write(
            {
                "plugin": self.manifest.plugin,
                "folder": str(self.manifest.folder),
                "version": manifests.content_hash(self.manifest.folder),
                "settings": dict(self.context.settings),
                "data_dir": str(self.context.data_dir),
                "timers": self._timers,
                "room": self.context.room,
            }
        )

    async def _read(self, running: _Running) -> None:
        """Hand each answer to whoever waits; when the process is gone, tell them all."""
        process = running.process
        assert process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            while line := await process.stdout.readline():
                answer = json.loads(line)
                future = running.waiting.pop(answer["id"], None)
                if future is not None and not future.done():
                    future.set_result(answer)
        running.kill()
        await process.wait()
        gone = f"the process of {self.manifest.plugin} ended ({process.returncode})"
        for future in running.waiting.values():
            if not future.done():
                future.set_result({"error": "ToolTimeout", "what": gone})
        running.waiting.clear()

    async def _ask(self, do: str, **request: Any) -> dict[str, Any]:
        """One request and its answer. Cancelled: the handler is cancelled too, and killed when it does not let go."""
        running = self._running
        if running is None or running.condemned:
            raise ToolUnreachable(f"the process of {self.manifest.plugin} is not running")
        number = next(self._numbers)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        running.waiting[number] = future
        running.write({"id": number, "do": do, **request})
        try:
            answer = await asyncio.shield(future)
        except asyncio.CancelledError:
            await self._let_go(running, number, future)
            raise
        if "error" in answer:
            raise _error(answer)
        return answer

    async def _look(self, function: str, **request: Any) -> dict[str, Any]:
        """A hook that only looks: where its process ends meanwhile, a fresh one is asked, once."""
        running = self._running
        try:
            return await self._ask("hook", function=function, **request)
        except ToolTimeout:
            if running is None or not running.condemned:
                raise
        await self.ready()
        return await self._ask("hook", function=function, **request)

    async def _let_go(self, running: _Running, number: int, future: asyncio.Future[dict[str, Any]]) -> None:
        if not running.alive or future.done():
            return
        running.write({"id": number, "do": "cancel"})
        running.letting_go.add(future)
        try:
            done, _ = await asyncio.wait({future}, timeout=_LET_GO_S)
            if not done:
                self.context.log.warning("%s hangs; its process is killed", self.manifest.plugin)
                running.kill()
                await running.gone()
        finally:
            running.letting_go.discard(future)

    async def _kill(self) -> None:
        if (running := self._running) is not None:
            running.kill()
            await running.gone()

    async def call(self, context: Context, tool: Tool, arguments: Mapping[str, Any], watch: Watch) -> Result:
        kind, declared = next(iter(tool.handler.items()))
        if kind != "python":
            return await self._declared(kind, declared, context, tool, arguments, watch)
        watch.unanswered = ToolUnreachable(f"the process of {self.manifest.plugin} is not ready")
        await self.ready()
        watch.unanswered = None
        if not watch.begin():
            raise asyncio.CancelledError
        own = {"call_id": context.call_id, "heard": context.heard, "room": context.room}
        answer = await self._ask("call", function=declared, arguments=dict(arguments), context=own)
        _wake(self.context.timers)
        return Result(Status(answer["status"]), **answer["values"])

    async def condition(self, context: Context, name: str) -> str | None:
        answer = await self._look(f"condition_{name}", context={"heard": context.heard})
        if not answer["there"]:
            raise ToolFailed(f"{self.manifest.plugin} cannot tell whether it is {name}")
        return None if answer["value"] is None else str(answer["value"])

    async def vocabularies(self) -> Mapping[str, Mapping[str, Any]]:
        value = (await self._look("vocabularies"))["value"]
        return value if isinstance(value, Mapping) else {}

    async def close(self) -> None:
        if self._running is not None and self._running.alive:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(5.0):
                    await self._ask("hook", function="teardown")
        await self._kill()
        await self._close_servers()


def _wake(timers: Any) -> None:
    """The other process may have set a timer."""
    wake = getattr(timers, "wake", None)
    if wake is not None:
        wake()


def _error(answer: Mapping[str, Any]) -> VoiceNeedleError:
    kind = getattr(errors, answer["error"], ToolFailed)
    if not (isinstance(kind, type) and issubclass(kind, VoiceNeedleError)):
        kind = ToolFailed
    return kind(answer["what"], fix=answer.get("fix"), spoken=answer.get("spoken"))
