"""Runs a plugin's own Python functions: async ones on the loop, sync ones in the plugin's one thread.

A plugin's folder is imported as a package, so `from . import simulator` works in handlers.py. Sync functions of one plugin
run one at a time and always in the same thread, so that what `setup` opened (an SQLite connection, say) may be used there.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import queue
import sys
import threading
import types
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from voice_needle.dispatch.watch import Watch
from voice_needle.errors import ToolFailed
from voice_needle.plugin import Context, Result

_PACKAGES = "voice_needle_plugins"
Function = Callable[..., Any]


class Code:
    """The functions in a plugin's Python files, imported at first use."""

    def __init__(self, plugin: str, folder: Path, version: str) -> None:
        self._folder = folder
        self._package = f"{_PACKAGES}.{plugin}_{version[:12]}"
        self.thread = PluginThread(plugin)

    def function(self, reference: str) -> Function:
        """`file.py:name` -> the function. Errors: ToolFailed when it cannot be imported."""
        module, _, name = reference.partition(":")
        found = getattr(self._module(module.removesuffix(".py")), name, None)
        if not callable(found):
            raise ToolFailed(f"{self._folder / module} has no function {name}", fix="voice-needle tools check")
        return found  # type: ignore[no-any-return]

    def optional(self, name: str) -> Function | None:
        """A hook of handlers.py (setup, teardown, vocabularies, condition_...), where the plugin has it."""
        if not (self._folder / "handlers.py").is_file():
            return None
        found = getattr(self._module("handlers"), name, None)
        return found if callable(found) else None

    def _module(self, name: str) -> types.ModuleType:
        _package(_PACKAGES, None)
        _package(self._package, self._folder)
        try:
            return importlib.import_module(f"{self._package}.{name}")
        except Exception as error:
            what = f"{self._folder / name}.py cannot be imported: {type(error).__name__}: {error}"
            raise ToolFailed(what, fix="voice-needle tools check") from error

    async def run(self, function: Function, /, *arguments: Any, watch: Watch | None = None, **keywords: Any) -> Any:
        """Call it wherever it belongs. watch: told when it begins, and of what a sync function does after it was given up."""
        watch = watch or Watch()
        if inspect.iscoroutinefunction(function):
            if not watch.begin():
                raise asyncio.CancelledError
            try:
                return await function(*arguments, **keywords)
            except SystemExit as error:  # asyncio would end the whole assistant
                raise ToolFailed(f"the handler called exit({error.code})") from error
        answer = await self.thread.run(lambda: function(*arguments, **keywords), watch)
        return await answer if inspect.isawaitable(answer) else answer

    def close(self) -> None:
        """Stop the thread and forget the modules."""
        self.thread.close()
        for name in [name for name in sys.modules if name == self._package or name.startswith(f"{self._package}.")]:
            del sys.modules[name]


def _package(name: str, folder: Path | None) -> None:
    if name not in sys.modules:
        package = types.ModuleType(name)
        package.__path__ = [str(folder)] if folder else []
        sys.modules[name] = package


class _Job:
    def __init__(self, work: Callable[[], Any], loop: asyncio.AbstractEventLoop, watch: Watch) -> None:
        self.work = work
        self.loop = loop
        self.watch = watch
        self.future: asyncio.Future[Any] = loop.create_future()

    def finish(self, result: Any, error: BaseException | None) -> None:
        """On the loop: hand over the result, or tell of it as late."""
        if self.watch.given_up:
            self.watch.late(result, error)
        elif not self.future.done():
            self.future.set_exception(error) if error else self.future.set_result(result)


class PluginThread:
    """One daemon thread with a queue. A job that hangs is abandoned with its thread, and the next gets a fresh one."""

    def __init__(self, plugin: str) -> None:
        self._plugin = plugin
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._alive = False
        self.generation = 0  # how many threads were given up

    async def run(self, work: Callable[[], Any], watch: Watch) -> Any:
        """Run `work` in the thread. Cancelled before it began: it never runs. Cancelled later: the thread is given up."""
        job = _Job(work, asyncio.get_running_loop(), watch)
        if not self._alive:
            self._alive = True
            threading.Thread(target=_serve, args=(self._jobs,), name=f"plugin {self._plugin}", daemon=True).start()
        jobs = self._jobs
        jobs.put(job)
        try:
            return await job.future
        except asyncio.CancelledError:
            if watch.give_up() and jobs is self._jobs:
                self._replace()
            raise

    def _replace(self) -> None:
        abandoned, self._jobs, self._alive = self._jobs, queue.SimpleQueue(), False
        self.generation += 1
        with contextlib.suppress(queue.Empty):  # what waits behind the hanging job moves on to the new thread
            while True:
                job = abandoned.get_nowait()
                self._jobs.put(job)
        abandoned.put(None)
        if not self._jobs.empty():
            self._alive = True
            threading.Thread(target=_serve, args=(self._jobs,), name=f"plugin {self._plugin}", daemon=True).start()

    def close(self) -> None:
        if self._alive:
            self._jobs.put(None)
            self._jobs, self._alive = queue.SimpleQueue(), False


def _serve(jobs: queue.SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        if not job.watch.begin():
            continue
        result: Any = None
        error: BaseException | None = None
        try:
            result = job.work()
        except Exception as caught:  # handed to whoever waits
            error = RuntimeError("StopIteration") if isinstance(caught, StopIteration) else caught
        except BaseException as caught:  # asyncio would end the whole assistant
            error = ToolFailed(f"the handler ended with {type(caught).__name__}: {caught}")
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            job.loop.call_soon_threadsafe(job.finish, result, error)


async def as_result(answer: Any, where: str) -> Result:
    """What a handler returned, as a Result. Errors: ToolFailed when it is none."""
    if inspect.isawaitable(answer):
        answer = await _awaited(answer)
    if answer is None:
        return Result()
    if isinstance(answer, Result):
        return answer
    if isinstance(answer, Mapping) and all(isinstance(key, str) for key in answer):
        return Result(**answer)
    raise ToolFailed(f"{where} returned {type(answer).__name__}, not a Result")


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


async def call(code: Code, context: Context, reference: str, arguments: Mapping[str, Any], watch: Watch) -> Result:
    """Call the handler `file.py:function` with (context, **arguments)."""
    return await as_result(await code.run(code.function(reference), context, watch=watch, **arguments), reference)
