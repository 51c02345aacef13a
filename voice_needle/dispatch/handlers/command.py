"""Runs a program: an argument list, never a shell, so that nothing said can become a command of its own.

    handler: {command: [wakeonlan, "{mac}"]}
    handler: {command: {argv: [...], environment: {TOKEN: "{settings.token}"}, folder: ".", answer: json}}

answer: none (default), text (its output becomes {text}), or json (an object whose values fill the phrases; its "status"
may be any status of a result). Exit status 0 is success. The whole process group ends with the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping
from typing import Any

from voice_needle.dispatch.handlers.template import Filler
from voice_needle.dispatch.watch import Watch
from voice_needle.errors import BadArguments, ToolFailed
from voice_needle.events import Status
from voice_needle.plugin import Context, Result

_MOST_OUTPUT = 1 << 20
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "XDG_RUNTIME_DIR", "USER")


async def call(context: Context, declared: Any, arguments: Mapping[str, Any], watch: Watch, folder: str) -> Result:
    """Run it and wait. folder: the plugin's own, where relative programs and folders start.

    Errors: BadArguments (a value would be read as an option), ToolFailed (not there, or exit status not 0).
    """
    spec: Mapping[str, Any] = declared if isinstance(declared, Mapping) else {"argv": declared}
    filler = Filler(context, arguments)
    argv = _argv(spec["argv"], filler)
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment |= {name: filler.text(value) for name, value in (spec.get("environment") or {}).items()}
    environment["VOICE_NEEDLE_CALL"] = context.call_id
    if not watch.begin():
        raise asyncio.CancelledError
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=os.path.join(folder, filler.text(spec.get("folder", "."))),
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolFailed(f"{argv[0]} cannot be run: {error.strerror}", fix=f"which {argv[0]}") from error
    try:
        output, complaint, _ = await asyncio.gather(_read(process.stdout), _read(process.stderr), process.wait())
    finally:
        _end(process)
    if process.returncode != 0:
        lines = complaint.decode(errors="replace").strip().splitlines()
        raise ToolFailed(f"{argv[0]} ended with status {process.returncode}: {lines[-1] if lines else 'no message'}")
    return _result(output.decode(errors="replace"), spec.get("answer", "none"), argv[0])


def _argv(templates: list[str], filler: Filler) -> list[str]:
    argv = [filler.text(templates[0])]
    for template in templates[1:]:
        value = filler.text(template)
        if value.startswith("-") and template.startswith("{") and not template.startswith("{settings."):
            try:
                float(value)
            except ValueError:
                raise BadArguments(f"'{value}' would be read as an option of {argv[0]}") from None
        argv.append(value)
    return argv


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    """Everything the program writes, of which the first megabyte is kept."""
    kept = b""
    while stream is not None and (block := await stream.read(1 << 16)):
        kept = kept if len(kept) >= _MOST_OUTPUT else kept + block
    return kept


def _end(process: asyncio.subprocess.Process) -> None:
    """Whatever the program has started ends with it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _result(output: str, answer: str, program: str) -> Result:
    if answer == "text":
        return Result(text=output.strip())
    if answer == "json":
        try:
            values = json.loads(output)
            status = Status(values.pop("status", "ok"))
            return Result(status, **values)
        except (ValueError, TypeError, AttributeError) as error:
            raise ToolFailed(f"{program} did not answer with a JSON object: {error}") from error
    return Result()
