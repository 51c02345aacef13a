"""Half a simulated hour of everything, through the command; and a judge that sees what is wrong."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command import Home

from voice_needle.clock import ScriptedClock
from voice_needle.dispatch.ledger import Ledger
from voice_needle.dispatch.registry import bundled_folder
from voice_needle.dispatch.timers import TimerStore
from voice_needle.evaluation.scenarios import effects_of
from voice_needle.evaluation.soak import START, Diary
from voice_needle.evaluation.soak_day import LAMPS, happenings
from voice_needle.evaluation.soak_report import judge, slope
from voice_needle.events import Call, Status
from voice_needle.tools import Tool

needed = pytest.mark.skipif(not (shutil.which("flite") and shutil.which("mosquitto")), reason="needs flite and Mosquitto")


@needed
@pytest.mark.slow
def test_half_an_hour_of_speech_noise_silence_unplugging_and_broker_restarts(tmp_path: Path):
    plot, kept = tmp_path / "soak.png", tmp_path / "soak.json"
    done = Home(tmp_path).run(
        "eval", "soak", "--minutes", "30", "--profile", "pi-zero-2w", "--plot", plot, "--report", kept, "--json", seconds=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["ok"] and found["problems"] == [] and found["crashes"] == 0
    assert found["happened"] == {"say": 7, "speaker": 1, "noise": 1, "microphone": 1, "broker": 1}
    assert found["utterances"] >= 7 and found["simulated_hours"] >= 0.5
    assert found["timers"]["set"] == found["timers"]["rung"] + found["timers"]["still_running"] >= 1
    calls = found["calls"]
    assert calls["lamp_commands"] >= 2 and calls["statuses"]["ok"] >= 4 and calls["statuses"]["unreachable"] >= 1
    assert found["faults"] == {"DeviceLost": 1}  # the speaker, in the middle of an answer
    assert found["memory"]["most_mb"] < 300
    assert plot.read_bytes().startswith(b"\x89PNG") and json.loads(kept.read_text())["memory_mb"]


def test_a_day_is_the_same_for_the_same_seed_and_has_everything():
    day = happenings(24, 1)
    assert day == happenings(24, 1) != happenings(24, 2)
    kinds = [each.what for each in day]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "say": 7 * 48, "noise": 48, "speaker": 48, "microphone": 48, "broker": 48,
    }  # fmt: skip
    assert all(each.at_s + each.lasts_s < 24 * 3600 - 120 for each in day)


LAMP = Tool("light_switch", "", plugin="home")
TIMER = Tool("timer_set", "", plugin="desk")


HOUSE = {"kitchen": {"kitchen light"}, "bedroom": {"bedroom light", "reading lamp"}}


def lamps_of(tool: str, arguments: Mapping[str, Any]) -> frozenset[str] | None:
    return frozenset(HOUSE[arguments["room"]]) if tool == "light_switch" else None


async def bedroom(ledger: Ledger, diary: Diary, status: Status) -> int:
    """One more call, for two lamps."""
    row = await ledger.begin(LAMP, Call("light_switch", {"room": "bedroom", "state": "on"}))
    await ledger.settle(row, status, {})
    diary.ended.append((row, status.value))
    return row


def searching(minute: int) -> float:
    """MB that come and go with what is heard."""
    rng = random.Random(minute)
    return rng.choice((0.0, 3.0, 6.0, 25.0, 50.0)) + rng.uniform(0.0, 1.0)


async def made(tmp_path: Path, wrong: str) -> list[str]:
    """The problems of a run with one lamp call and one timer, in which one thing went wrong."""
    clock = ScriptedClock(START)
    ledger, timers, diary = Ledger.open(tmp_path / "ledger.db", clock), TimerStore(tmp_path / "timers.db", clock), Diary()
    lamp = await ledger.begin(LAMP, Call("light_switch", {"room": "kitchen", "state": "on"}))
    await ledger.settle(lamp, Status.OK, {})
    number = timers.add(clock.now() + timedelta(minutes=1), "egg")
    timer = await ledger.begin(TIMER, Call("timer_set", {}))
    await ledger.settle(timer, Status.OK, {"number": number + (wrong == "timer lost")})
    diary.ended = [(lamp, "ok"), (timer, "ok")]
    kitchen = ("kitchen light", '{"state": "ON"}')
    diary.sent = [(lamp, [kitchen]), (timer, [])]
    due = clock.now() + timedelta(minutes=1)
    await clock.advance(120.0)
    if wrong != "timer missed":
        timers._end(number, "rung")
        diary.rang = [(due, due + timedelta(seconds=40 if wrong == "timer late" else 0))]
    match wrong:
        case "ledger doubled":
            await ledger.settle(lamp, Status.OK, {})
        case "ledger lost":
            diary.ended.append((99, "ok"))
        case "never told":
            diary.ended.pop(0)
        case "told twice":
            diary.ended.append((lamp, "ok"))
        case "ledger open":
            diary.ended.append((await ledger.begin(LAMP, Call("light_switch", {"room": "kitchen"})), "ok"))
        case "done twice":
            diary.sent[0][1].append(kitchen)
        case "two lamps":
            both = [("bedroom light", "ON"), ("reading lamp", "ON")]
            diary.sent.append((await bedroom(ledger, diary, Status.OK), both))
        case "one of two lamps":
            diary.sent.append((await bedroom(ledger, diary, Status.OK), [("bedroom light", "ON")]))
        case "the other lamp":
            diary.sent[0] = (lamp, [("hall light", "ON")])
        case "doubled here, lost there":
            diary.sent[0][1].append(kitchen)
            diary.sent.append((await bedroom(ledger, diary, Status.OK), []))
        case "uncalled":
            diary.sent.append((0, [kitchen]))
        case "late":
            unsure = await bedroom(ledger, diary, Status.UNCONFIRMED)
            diary.sent += [(unsure, [("bedroom light", "ON")]), (0, [("reading lamp", "ON")])]
        case "timer given up":
            diary.rang = []
        case "timer twice":
            diary.rang *= 2
        case "timer without a speaker":
            diary.rang = [(due, due + timedelta(seconds=45))]
            diary.mute = [(due - timedelta(seconds=20), due + timedelta(seconds=40))]
        case "crash":
            diary.crashes.append("KeyError")
        case "fault":
            diary.faults["EngineFailed"] += 1
        case "leak":
            diary.memory = [(minute / 60, 200.0 + 0.3 * minute / 60 + searching(minute)) for minute in range(24 * 60)]
        case "a leak that is none":
            diary.memory = [(minute / 60, 200.0 + 0.05 * minute / 60 + searching(minute)) for minute in range(24 * 60)]
        case "too short to tell":
            diary.memory = [(minute / 60, 200.0 + 1.0 * minute / 60 + searching(minute)) for minute in range(6 * 60)]
    ledger.close()
    timers.close()
    report = judge(diary, tmp_path / "ledger.db", tmp_path / "timers.db", clock.now(), lamps_of)
    assert report["ok"] == (not report["problems"])
    return list(report["problems"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("timer lost", "the store has"), ("timer missed", "did not ring"), ("timer late", "40 s late"),
        ("ledger doubled", "has the end ok,ok"), ("ledger lost", "is not in the ledger"), ("never told", "was never told"),
        ("told twice", "told 2 times"), ("ledger open", "has the end None"), ("done twice", "kitchen light got ON 2 times, not 1"),
        ("one of two lamps", "reading lamp never got ON"), ("the other lamp", "hall light got ON 1 times, not 0"),
        ("doubled here, lost there", "bedroom light never got ON"), ("uncalled", "without a call: kitchen light got ON"),
        ("timer given up", "was given up: nobody heard it"), ("timer twice", "rang 2 times"),
        ("crash", "KeyError"), ("fault", "1 faults EngineFailed"), ("leak", "memory grows by 0.3"),
    ],
)  # fmt: skip
async def test_the_judge_sees(tmp_path: Path, wrong: str, said: str):
    problems = await made(tmp_path, wrong)
    assert any(said in problem for problem in problems), problems


@pytest.mark.parametrize("right", ["nothing", "two lamps", "late", "timer without a speaker", "a leak that is none", "too short to tell"])
async def test_the_judge_is_content_with_a_good_run(tmp_path: Path, right: str):
    assert await made(tmp_path, right) == []


def test_the_house_of_the_soak_has_two_lamps_in_the_bedroom():
    home = effects_of("home", bundled_folder() / "home")
    world = home.World(SimpleNamespace(url=""), home.Simulator("mqtt://localhost"))
    asked = {room: world.lamps_of("light_switch", {"room": room, "state": "on"}) for room in LAMPS}
    assert asked == {
        "kitchen": {"kitchen light"}, "hall": {"hall light"}, "office": {"office light"},
        "bedroom": {"bedroom light", "reading lamp"},
    }  # fmt: skip
    assert world.lamps_of("timer_set", {"duration": 60}) is None


def test_the_slope_is_found_under_noise_and_its_interval_holds_the_truth():
    rng, held = random.Random(4), 0
    for _ in range(40):
        samples = [(minute / 60, 250 + 0.2 * minute / 60 + rng.gauss(0, 1)) for minute in range(24 * 60)]
        low, high = slope(samples)["slope_mb_h_ci95"]
        held += low <= 0.2 <= high and high - low < 0.15
    assert held >= 34
    assert "slope_mb_h" not in slope([(minute / 60, 200.0) for minute in range(60)])
