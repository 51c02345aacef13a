"""The engines we load must not report to anybody. ONNX Runtime's reporter leaves a device id and a queue in the home folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROUTE = """
from voice_needle.route import Stitch
tools = [{"name": "stop_pump", "description": "Stop the pump"}]
print(len(Stitch(tools).route("stop the pump").calls))
"""


def test_routing_leaves_no_trace_of_a_reporter(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", ROUTE], env={**environment, "HOME": str(tmp_path)}, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() in ("0", "1")
    left = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert left and all(path.startswith(".cache/voice-needle/") for path in left)


def test_processes_we_start_inherit_the_refusal() -> None:
    import voice_needle

    assert voice_needle.__version__
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
