"""The vendor's engine in its own process: refusals told from failures, hangs and deaths survived, nothing carried over.

Its weights cannot be shipped, so the process holds a stand-in with the package's documented answers (fake_cactus.py).
"""

import json
import os
import select
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from voice_needle.errors import EngineMissing, ModelMissing
from voice_needle.events import Outcome, RouteContext, Transcript
from voice_needle.route.needle import worker
from voice_needle.route.needle.engine import NeedleRouter
from voice_needle.route.needle.package import UNCALIBRATED, PackageRouter
from voice_needle.tools import Toolset

CONTEXT = RouteContext(now=datetime(2026, 11, 21, 10, 0, tzinfo=UTC))
LIGHT = {
    "name": "light_set",
    "description": "Turn on a light.",
    "parameters": {
        "type": "object",
        "properties": {"room": {"enum": ["kitchen", "hall"]}, "level": {"type": "integer", "maximum": 100}},
        "required": ["room"],
    },
}
TOOLS = Toolset([LIGHT])


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The real worker, with the stand-in as its `needle`."""
    folder = tmp_path_factory.mktemp("path")
    (folder / "needle.py").write_text(Path(__file__).with_name("fake_cactus.py").read_text())
    start = f"import sys, runpy; sys.path.insert(0, {str(folder)!r}); runpy.run_path({worker.__file__!r}, run_name='__main__')"
    return (sys.executable, "-c", start)


@pytest.fixture(scope="module")
def router(command):
    found = PackageRouter(command=command)
    yield found
    found.close()


def ask(router, said):
    return router.route(Transcript(said), TOOLS, CONTEXT)


def test_a_call(router):
    decision = ask(router, "kitchen light")
    assert decision.outcome is Outcome.ACT
    assert [(call.tool, dict(call.arguments)) for call in decision.calls] == [("light_set", {"room": "kitchen"})]
    assert decision.confidence == 0.93


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("joke", "no tool fits"),
        ("held", "suppressed by the engine"),
        ("invented", "not grounded: light_set.room"),
        ("not", "negated"),
    ],
)
def test_the_kinds_of_empty_are_kept_apart(router, said, reason):
    decision = ask(router, said)
    assert (decision.outcome, decision.reason, decision.calls) == (Outcome.DECLINE, reason, ())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("cut", "truncated"),
        ("overflow", "context_overflow"),
        ("malformed", "malformed call"),
        ("nothing", "without function_calls"),
        ("raise", "unparseable envelope"),
    ],
)
def test_failures_are_no_refusals(router, said, told):
    decision = ask(router, said)
    assert decision.outcome is Outcome.DECLINE
    assert decision.reason.startswith("needle failed: ")
    assert told in decision.reason
    assert ask(router, "light").calls


def test_low_confidence_is_passed_on_and_none_is_not_certainty(router):
    assert ask(router, "unsure").confidence == 0.2
    assert ask(router, "tuned").confidence == UNCALIBRATED


def test_validation_may_be_missing(router):
    assert ask(router, "old").calls


def test_a_number_that_nobody_said_is_refused(router):
    assert ask(router, "light on fifty").calls[0].arguments == {"room": "kitchen", "level": 50}
    assert ask(router, "light please, not minus fifty").reason == "nobody said light_set.level"


def test_every_request_is_the_first_of_its_conversation(router):
    assert [ask(router, "turns").confidence for _ in range(6)] == [0.1] * 6


def test_nothing_leaves_the_device(router):
    assert ask(router, "telemetry").confidence == 1.0


def ended(pid):
    """Whether a process ends: its descriptor becomes readable then."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 20)[0])
    finally:
        os.close(descriptor)


def test_a_hanging_engine_is_ended_with_its_children_and_started_anew(command, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_PIDS", str(tmp_path / "pids"))
    router = PackageRouter(command=command, timeout_s=1.0)
    decision = ask(router, "hang")
    assert "did not answer in time" in decision.reason
    for pid in (tmp_path / "pids").read_text().split():
        assert ended(int(pid))
    assert ask(router, "light").calls
    router.close()


def test_a_dead_engine_is_started_anew(router):
    assert "ended" in ask(router, "die").reason
    assert ask(router, "light").calls


def test_other_tools_are_prepared_by_themselves(router):
    other = Toolset([{**LIGHT, "name": "light_set", "description": "Another."}])
    assert router.route(Transcript("light"), other, CONTEXT).calls
    assert ask(router, "light").calls


def test_a_call_of_a_tool_that_is_not_offered_is_refused(router):
    decision = router.route(Transcript("light"), Toolset([{"name": "stop"}]), CONTEXT)
    assert (decision.calls, decision.reason) == ((), "no such tool: light_set")


@pytest.mark.parametrize(("said", "reason"), [("", "nothing said"), ("word " * 10_000, "too long")])
def test_bad_input_never_reaches_the_engine(said, reason):
    assert ask(PackageRouter(command=("/nonexistent",)), said).reason == reason


def test_missing_weights_and_engine_are_told_apart(command, tmp_path):
    with pytest.raises(ModelMissing):
        PackageRouter(tmp_path / "absent.cact", command=command).prepare(TOOLS)
    for name, error in (("broken.cact", ModelMissing), ("nolibrary.cact", EngineMissing)):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(error) as caught:
            PackageRouter(tmp_path / name, command=command).prepare(TOOLS)
        assert caught.value.fix


def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("voice_needle.route.needle.package.installed", lambda: False)
    (tmp_path / "needle3.cact").write_bytes(b"x")
    with pytest.raises(EngineMissing) as caught:
        NeedleRouter(tmp_path / "needle3.cact")
    assert caught.value.fix == "pip install cactus-needle==3.2.8"


def test_another_package_of_that_name_is_not_taken_for_it(tmp_path):
    (tmp_path / "needle.py").write_text("")
    start = f"import sys, runpy; sys.path[:0] = [{str(tmp_path)!r}]; sys.modules['cactus'] = None; runpy.run_path({worker.__file__!r}, run_name='__main__')"
    with pytest.raises(EngineMissing, match="cannot be imported"):
        PackageRouter(command=(sys.executable, "-c", start)).prepare(TOOLS)


def test_a_process_that_does_not_read_does_not_hold_us():
    many = Toolset([{"name": f"tool_{n}", "description": "x" * 500} for n in range(500)])
    router = PackageRouter(command=(sys.executable, "-c", "import time; time.sleep(30)"), start_s=0.5)
    assert "did not read in time" in router.route(Transcript("light"), many, CONTEXT).reason


def test_nonsense_on_the_wire_is_a_failure():
    shout = "import os, time; os.write(1, b'\\xff' * 100); time.sleep(30)"
    decision = ask(PackageRouter(command=(sys.executable, "-c", shout), start_s=5.0), "light")
    assert decision.reason.startswith("needle failed")


def test_the_worker_needs_nothing_of_ours():
    done = subprocess.run(
        [sys.executable, "-I", "-S", worker.__file__],
        input=worker.packed({"op": "complete", "text": "x"}),
        capture_output=True,
        timeout=60,
    )
    size = worker.SIZE.size
    assert json.loads(done.stdout[size:])["message"] == "not prepared"
    assert done.returncode == 0
