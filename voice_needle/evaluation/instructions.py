"""Instructions that one request takes, counted by valgrind: a figure that does not depend on how fast or busy the machine is.

The same requests are routed once in one process and twice in another; what the second executes more, all is for them.
Valgrind's processor has AVX2 and no AVX-512, so that ONNX Runtime takes the kernels that most machines have.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import Any

from voice_needle.config import Config
from voice_needle.errors import VoiceNeedleError
from voice_needle.events import RouteContext, Transcript

TOOLS = 10
REQUESTS = {"stitch": 10, "needle_v1": 1}  # Needle's graph takes minutes for each
_TOTAL = re.compile(r"I\s+refs:\s+([\d,]+)")


def count_instructions(*, quick: bool = False) -> dict[str, Any]:
    """Millions of instructions a request with ten tools offered, on one thread, of Stitch and of Needle v1's graph (generated weights).

    quick: without Needle's. Errors: VoiceNeedleError where valgrind is missing or counts nothing.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise VoiceNeedleError("valgrind, which counts instructions, is not installed.", fix="sudo apt-get install valgrind")
    found = {name: _difference(valgrind, name) for name in REQUESTS if name == "stitch" or not quick}
    report: dict[str, Any] = {f"{name}_million_instructions": round(each / 1e6, 1) for name, each in found.items()}
    if "needle_v1" in found:
        report["needle_v1_over_stitch_instructions"] = round(found["needle_v1"] / found["stitch"], 1)
    return report


def _difference(valgrind: str, name: str) -> float:
    once, twice = (_executed(valgrind, name, times) for times in (1, 2))
    return (twice - once) / REQUESTS[name]


def _executed(valgrind: str, name: str, times: int) -> int:
    command = [valgrind, "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", sys.executable, "-m", __name__, name, str(times)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}  # the same sets in the same order each time
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    total = _TOTAL.search(done.stderr)
    if done.returncode or total is None:
        raise VoiceNeedleError(f"valgrind could not count what {name} executes.", fix=" ".join(command))
    return int(total[1].replace(",", ""))


def run(name: str, times: int) -> None:
    """Route the first bundled requests so many times; what valgrind watches."""
    from voice_needle.clock import RealClock
    from voice_needle.evaluation.bench_router import around, bundled_requests

    config = Config()
    offered, requests = bundled_requests(config)
    chosen = [(text, call, around(offered, call.tool, TOOLS)) for text, call in requests[: REQUESTS[name]]]
    if name == "stitch":
        from voice_needle.route.stitch.engine import StitchRouter

        router, context = StitchRouter(cache=config.data_dir / "cache", threads=1), RouteContext(now=RealClock().now())
        for _, _, tools in chosen:
            router.prepare(tools)
        for text, _, tools in chosen * times:
            router.route(Transcript(text), tools, context)
        return
    from voice_needle.route.needle.bench import NeedleGraph

    graph = NeedleGraph(threads=1)
    for text, call, tools in chosen * times:
        graph.cost(text, tools, [{"name": call.tool, "arguments": dict(call.arguments)}])


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]))
