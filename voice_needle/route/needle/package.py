"""Needle v2 and v3 through the vendor's own package (cactus-needle), in a process of its own, without network and telemetry.

Three kinds of empty answer mean different things and are kept apart in the decision's reason: the model found nothing ("no tool fits"), the
engine held calls back for want of confidence ("suppressed by the engine"), and the engine doubts its own calls ("not grounded", "negated"). None of
them is a failure; a failure ("needle failed: ...") is: a timeout, a process that died, an answer cut short, an error that the engine reports.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voice_needle.errors import EngineError, EngineFailed, EngineMissing, ModelMissing
from voice_needle.events import Decision, RouteContext, Transcript
from voice_needle.route.needle import worker
from voice_needle.route.needle.settle import settled
from voice_needle.route.needle.tokenizer import plain
from voice_needle.tools import Toolset

log = logging.getLogger(__name__)

PACKAGE = "cactus-needle==3.2.8"
QUIET = {
    "NEEDLE_TELEMETRY": "0",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "NEEDLE_TELEMETRY_URL": "http://127.0.0.1:9/",  # were it sent nevertheless, it would reach nobody
}
UNCALIBRATED = 0.6  # what a call counts for whose engine gives no confidence: enough to ask "shall I?", not to act
_START_S, _LONGEST_TEXT = 120.0, 2000
_NO_LIBRARY = "get libneedle3.so of the cactus-needle engine on another machine, then: export NEEDLE3_LIB_PATH=/path/to/libneedle3.so"
_NO_WEIGHTS = "get needle3.cact of Cactus-Compute/needle3 on another machine, then set route.needle_checkpoint to it"


def installed() -> bool:
    """Whether a package of that name can be imported. (`pip install needle` is another one; the process finds out.)"""
    return any(importlib.util.find_spec(name) is not None for name in ("needle", "cactus"))


class PackageRouter:
    """The vendor's engine. weights: a .cact archive, or None for those it keeps in ~/.cache/cactus-needle.

    timeout_s: of one request; a process that takes longer is ended and started anew for the next. start_s: of loading. command: of the process;
    the tests' only. Errors: EngineMissing, ModelMissing from `prepare`, EngineFailed where it does not start.
    """

    name = "needle"

    def __init__(
        self,
        weights: Path | None = None,
        *,
        timeout_s: float = 5.0,
        start_s: float = _START_S,
        command: Sequence[str] | None = None,
    ) -> None:
        if command is None and not installed():
            raise EngineMissing("The vendor's Needle package is not installed.", fix=f"pip install {PACKAGE}")
        self._weights = weights or _kept_weights()
        if self._weights is None and command is None:
            raise ModelMissing("The vendor's package keeps no Needle weights on this device.", fix=_NO_WEIGHTS)
        self._command = tuple(command) if command else (sys.executable, "-P", str(Path(worker.__file__)))
        self._timeout_s, self._start_s = timeout_s, start_s
        self._process: _Process | None = None
        self._prepared = ""

    def prepare(self, tools: Toolset) -> None:
        """Start the engine with these tools. Errors: EngineMissing, ModelMissing, EngineFailed."""
        if self._process is not None and self._prepared == tools.content_hash:
            return
        self._prepared = ""
        if self._process is None:
            self._process = _Process(self._command)
        request = {
            "op": "prepare",
            "tools": [tool.schema() for tool in tools.values()],
            "weights": str(self._weights) if self._weights else None,
        }
        try:
            answer = self._process.ask(request, self._start_s)
        except EngineFailed:
            self.close()
            raise
        if "error" in answer:
            self.close()
            raise _as_error(answer)
        self._prepared = tools.content_hash

    def route(self, transcript: Transcript, tools: Toolset, context: RouteContext) -> Decision:
        """Decide. A technical failure declines with the reason "needle failed: ..."; the next request starts the engine anew."""
        text = plain(transcript.text)
        if not text or len(text) > _LONGEST_TEXT:
            return Decision(reason="too long" if text else "nothing said", confidence=1.0)
        try:
            self.prepare(tools)
            assert self._process is not None
            answer = self._process.ask({"op": "complete", "text": text}, self._timeout_s)
        except EngineError as problem:
            log.warning("needle failed: %s Fix: %s", problem, problem.fix)
            self.close()
            return Decision(reason=f"needle failed: {problem}")
        reading = read_response(answer.get("response") if "error" not in answer else {"error": answer.get("message")})
        if reading.failure:
            log.warning("needle failed: %s", reading.failure)
            return Decision(reason=f"needle failed: {reading.failure}")
        if reading.empty:
            return Decision(reason=reading.empty, confidence=reading.confidence)
        return settled(reading.calls, text, tools, context, reading.confidence)

    def close(self) -> None:
        """End the process, and with it what it started."""
        if self._process is not None:
            self._process.end()
        self._process, self._prepared = None, ""


# --- what the package answers ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """A response: exactly one of failure (technical), empty (why there is no call) and calls is given."""

    calls: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    empty: str = ""
    failure: str = ""
    confidence: float = 0.0


def read_response(response: Any) -> Reading:
    """Tell refusal from failure in a response dictionary of the package (3.2.8)."""
    if not isinstance(response, Mapping):
        return Reading(failure="an answer that is no object")
    problem = response.get("error_code") or response.get("error")
    if problem or response.get("type") == "error" or response.get("success") is False:
        return Reading(failure=str(problem or "unknown error"))
    given = response.get("confidence")
    known = isinstance(given, (int, float)) and not isinstance(given, bool)
    confidence = min(1.0, max(0.0, float(given))) if known and given is not None else UNCALIBRATED
    calls = response.get("function_calls")
    if calls is None and "function_calls" not in response:
        return Reading(failure="an answer without function_calls")
    proposed = []
    for call in calls or ():
        arguments = call.get("arguments") if isinstance(call, Mapping) else None
        if not isinstance(call, Mapping) or not isinstance(call.get("name"), str) or not isinstance(arguments, Mapping):
            return Reading(failure=f"a malformed call: {json.dumps(call, default=str)[:200]}")
        proposed.append((call["name"], arguments))
    if not proposed:
        held_back = response.get("suppressed_calls")
        return Reading(empty="suppressed by the engine" if held_back else "no tool fits", confidence=confidence)
    validation = response.get("validation")
    if isinstance(validation, Mapping):
        if validation.get("negation"):
            return Reading(empty="negated", confidence=confidence)
        if validation.get("ungrounded"):
            return Reading(
                empty=f"not grounded: {', '.join(map(str, validation['ungrounded']))}", confidence=confidence
            )
    return Reading(tuple(proposed), confidence=confidence)


def _as_error(answer: Mapping[str, Any]) -> EngineError:
    told = answer.get("message", "")
    if answer.get("error") == "engine":
        fix = f"pip install {PACKAGE}" if "import" in str(told) else _NO_LIBRARY
        return EngineMissing(f"Needle's engine is not on this device: {told}", fix=fix)
    if answer.get("error") == "model":
        return ModelMissing(f"Needle's weights cannot be used: {told}", fix=_NO_WEIGHTS)
    return EngineFailed(f"Needle's engine does not start: {told}")


def _kept_weights() -> Path | None:
    """The newest archive that the package has downloaded."""
    found = sorted((Path.home() / ".cache" / "cactus-needle").glob("v*/*/needle*.cact"))
    return found[-1] if found else None


# --- its process -----------------------------------------------------------------------------------------------------


class _Process:
    """The worker, in a session of its own so that what it starts ends with it."""

    def __init__(self, command: Sequence[str]) -> None:
        environment = {**os.environ, **QUIET}
        try:
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
                start_new_session=True,
            )  # fmt: skip
        except OSError as problem:
            raise EngineFailed(f"Needle's process does not start: {problem}") from problem
        self.end = weakref.finalize(self, _end, self._child)

    def ask(self, request: Mapping[str, Any], timeout_s: float) -> Mapping[str, Any]:
        """Its answer. Errors: EngineFailed when it takes longer, died, or answers what is no JSON object."""
        until = time.monotonic() + timeout_s
        try:
            self._write(worker.packed(request), until)
            (size,) = worker.SIZE.unpack(self._read(worker.SIZE.size, until))
            if size > worker.LARGEST:
                raise EngineFailed("Needle's process does not keep its protocol.")
            answer = json.loads(self._read(size, until))
        except (OSError, ValueError) as problem:
            raise EngineFailed(f"Needle's process does not answer: {problem}.") from problem
        if not isinstance(answer, Mapping):
            raise EngineFailed("Needle's process answered what is no object.")
        return answer

    def _write(self, message: bytes, until: float) -> None:
        assert self._child.stdin is not None
        descriptor = self._child.stdin.fileno()
        os.set_blocking(descriptor, False)  # a process that does not read must not hold us
        while message:
            left = until - time.monotonic()
            if left <= 0 or not select.select([], [descriptor], [], left)[1]:
                raise EngineFailed("Needle's process did not read in time.")
            message = message[os.write(descriptor, message) :]

    def _read(self, count: int, until: float) -> bytes:
        assert self._child.stdout is not None
        descriptor, found = self._child.stdout.fileno(), bytearray()
        while len(found) < count:
            left = until - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise EngineFailed("Needle's process did not answer in time.")
            part = os.read(descriptor, count - len(found))
            if not part:
                raise EngineFailed("Needle's process ended.")
            found += part
        return bytes(found)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the worker and its own children, and take their exit."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    child.wait()
