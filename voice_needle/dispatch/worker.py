"""The other end of `isolation: process`: runs one plugin's Python functions in a process of their own.

    python -m voice_needle.dispatch.worker

Speaks JSON, one object a line, on what were its standard input and output; whatever the plugin prints goes to standard
error. First comes {"folder", "version", "plugin", "settings", "data_dir", "timers", "room", "memory_mb"}; then requests
{"id", "do", "function", "arguments", "context"}, each answered by {"id", "status", "values"} or {"id", "error", "what",
"spoken", "fix"}, and {"id", "do": "cancel"}, which is answered by the cancelled request once it has really ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import resource
import sys
from pathlib import Path
from typing import Any, BinaryIO

from voice_needle import errors
from voice_needle.clock import RealClock
from voice_needle.dispatch.handlers import python
from voice_needle.dispatch.timers import TimerStore
from voice_needle.plugin import Context


class Worker:
    """Answers the requests of one dispatcher."""

    def __init__(self, first: dict[str, Any], answers: BinaryIO) -> None:
        clock = RealClock()
        self._answers = answers
        self._code = python.Code(first["plugin"], Path(first["folder"]), first["version"])
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._context = Context(
            plugin=first["plugin"],
            settings=first["settings"],
            data_dir=Path(first["data_dir"]),
            clock=clock,
            timers=TimerStore(Path(first["timers"]), clock),
            log=logging.getLogger(f"voice_needle.plugins.{first['plugin']}"),
            room=first["room"],
        )

    def take(self, request: dict[str, Any]) -> None:
        number = request["id"]
        if request["do"] == "cancel":
            if task := self._tasks.get(number):
                task.cancel()
            return
        task = self._tasks[number] = asyncio.create_task(self._answer(number, request))
        task.add_done_callback(lambda done: self._never_began(number) if done.cancelled() else None)

    def _never_began(self, number: int) -> None:
        """Cancelled in the moment it came: its coroutine never ran, and whoever waits must not think that it hangs."""
        self._tasks.pop(number, None)
        self._send({"id": number, "error": "Cancelled", "what": "cancelled before it began"})

    async def _answer(self, number: int, request: dict[str, Any]) -> None:
        try:
            answer = await self._do(request)
        except asyncio.CancelledError:
            answer = {"error": "Cancelled", "what": "cancelled"}
        except errors.VoiceNeedleError as error:
            kind = type(error).__name__
            answer = {"error": kind, "what": str(error), "spoken": error.spoken, "fix": error.fix}
        except MemoryError:
            answer = {"error": "ToolFailed", "what": "it needs more memory than its limit allows"}
        except BaseException as error:
            logging.getLogger(__name__).exception("the handler raised")
            answer = {"error": "ToolFailed", "what": f"{type(error).__name__}: {error}"}
        self._tasks.pop(number, None)
        self._send({"id": number, **answer})

    async def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        context = dataclasses.replace(self._context, **request.get("context") or {})
        match request["do"]:
            case "call":
                function = self._code.function(request["function"])
                answer = await self._code.run(function, context, **request["arguments"])
                result = await python.as_result(answer, request["function"])
                return {"status": result.status.value, "values": result.values}
            case "hook":
                hook = self._code.optional(request["function"])
                if hook is None:
                    return {"there": False, "value": None}
                shared = self._context if request["function"] in ("setup", "teardown") else context
                return {"there": True, "value": await self._code.run(hook, shared)}
        raise errors.ToolFailed(f"unknown request {request['do']}")

    def _send(self, answer: dict[str, Any]) -> None:
        self._answers.write(json.dumps(answer, default=str).encode() + b"\n")
        self._answers.flush()


async def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), requests)
    worker = Worker(json.loads(await reader.readline()), answers)
    while line := await reader.readline():
        worker.take(json.loads(line))


def main() -> None:
    """Serve until standard input ends."""
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the plugin prints must not be taken for an answer
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")
    memory = int(os.environ.get("VOICE_NEEDLE_MEMORY_MB", "0")) << 20
    if memory:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(requests, answers))
    os._exit(0)  # a handler that hangs must not keep the process


if __name__ == "__main__":
    main()
