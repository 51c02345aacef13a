"""The process that holds the vendor's engine: it answers length-prefixed JSON on its standard output, one answer to each request.

Standard library only, started by its path, so that it needs nothing of ours. The engine keeps one model a process, is not safe between
threads, cannot be unloaded and may end the process when it fails; and it is reset before every request, since it would otherwise carry
each turn into the next.

    {"op": "prepare", "tools": [...], "weights": path} -> {"ok": true, "version": "3.2.8"}
    {"op": "complete", "text": ...}                               -> {"response": the package's own dictionary}
    anything that fails                                           -> {"error": "engine" | "model" | "failed", "message": ...}
"""

from __future__ import annotations

import importlib
import json
import os
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

SIZE = struct.Struct("!I")
LARGEST = 1 << 24


def read(stream: BinaryIO) -> Any:
    """The next message; None at the end."""
    head = stream.read(SIZE.size)
    if len(head) < SIZE.size:
        return None
    (size,) = SIZE.unpack(head)
    body = stream.read(size)
    return json.loads(body) if len(body) == size else None


def packed(message: Any) -> bytes:
    """A message with its length in front."""
    body = json.dumps(message).encode()
    return SIZE.pack(len(body)) + body


class Engine:
    """The package's Needle for one set of tools."""

    def __init__(self) -> None:
        self._needle: Any = None

    def prepare(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            package = _package()
        except ImportError as problem:
            return {"error": "engine", "message": f"cactus-needle cannot be imported: {problem}"}
        if self._needle is not None:
            self._needle.close()
            self._needle = None
        weights = request.get("weights")
        if weights and not os.path.exists(weights):
            return {"error": "model", "message": f"{weights} does not exist"}
        try:
            self._needle = package.Needle(tools=request["tools"], weights=weights, auto_date=False)
        except Exception as problem:
            return {"error": _blame(problem, weights), "message": f"{type(problem).__name__}: {problem}"[:2000]}
        return {"ok": True, "version": getattr(package, "__version__", "")}

    def complete(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._needle is None:
            return {"error": "failed", "message": "not prepared"}
        try:
            self._needle.reset()
            return {"response": self._needle.complete(request["text"], max_new_tokens=512)}
        except Exception as problem:
            return {"error": "failed", "message": f"{type(problem).__name__}: {problem}"[:2000]}


def _package() -> Any:
    """`needle` of cactus-needle, or `cactus`, as it is called from 3.3 on; other packages have these names, too."""
    for name in ("needle", "cactus"):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as problem:
            if problem.name != name:
                raise
            continue
        if hasattr(module, "Needle"):
            return module
    raise ImportError("no module `needle` or `cactus` that has a Needle")


def _blame(problem: Exception, weights: str | None) -> str:
    """Whether it is the engine's library or the weights that is missing. Offline, both fail in the same download helper."""
    told = str(problem).lower()
    trace, where = problem.__traceback__, set()
    while trace is not None:
        where.add(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    if (
        "fetch_weights" in where
        or "_base_weights_path" in where
        or "not a complete .cact" in told
        or "format tag" in told
    ):
        return "model"
    if "fetch_library" in where or "_library_path" in where or "libneedle" in told or isinstance(problem, OSError):
        return "engine"
    return "model" if weights and "needle_load" in told else "failed"


def main() -> int:
    """Serve until the other side closes. What the engine prints goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.path[:] = [each for each in sys.path if each != str(Path(__file__).parent)]
    engine = Engine()
    while (request := read(sys.stdin.buffer)) is not None:
        operation = {"prepare": engine.prepare, "complete": engine.complete}.get(request.get("op"))
        answer = (
            operation(request)
            if operation
            else {"error": "failed", "message": f"unknown operation {request.get('op')}"}
        )
        try:
            answers.write(packed(answer))
        except (TypeError, ValueError) as problem:
            answers.write(packed({"error": "failed", "message": f"an answer that is no JSON: {problem}"}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
