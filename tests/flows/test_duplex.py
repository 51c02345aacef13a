"""Conversations with interruptions, on text: who says what over which word, and what is done in the end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from voice_needle.config import Config
from voice_needle.errors import ConfigError
from voice_needle.evaluation import duplex, duplex_report
from voice_needle.evaluation.duplex import Ears, Performance, perform
from voice_needle.evaluation.duplex_script import Scenario, load, load_all, read_call
from voice_needle.evaluation.room import Acoustics
from voice_needle.events import BargedIn, Call, Ducked, Resumed

SILENT = Acoustics(echo_db=None)
EARS: dict[str, Ears] = {}


def scenario(name: str, kind: str, plugin: str = "home") -> Scenario:
    return next(s for s in load_all((plugin,)) if s.name == name and s.kind == kind)


def played(chosen: Scenario, tmp_path: Path) -> Performance:
    if chosen.plugin not in EARS:
        EARS[chosen.plugin] = Ears.open(chosen.plugin, Config(data_dir=tmp_path), text=True)
    return asyncio.run(perform(EARS[chosen.plugin], chosen, "slt", SILENT))


KINDS = sorted({(s.plugin, s.kind) for s in load_all()})


@pytest.mark.parametrize(("plugin", "kind"), KINDS)
def test_one_scenario_of_each_kind(plugin: str, kind: str, tmp_path: Path):
    chosen = next(s for s in load_all((plugin,)) if s.kind == kind)
    assert played(chosen, tmp_path).problems == []


def test_there_are_enough_of_every_kind():
    scenarios = load_all()
    assert len(scenarios) >= 120
    assert {s.plugin for s in scenarios} == {"home", "warehouse", "in_car"}
    for kind in (
        *duplex_report.DISFLUENCIES,
        "stop",
        "cancel",
        "correction",
        "request",
        "backchannel",
        "noise",
        "aside",
    ):
        assert sum(s.kind == kind for s in scenarios) >= 3, kind
    assert {1, 2, 3} <= {len(s.calls) for s in scenarios if s.kind in ("chain", "plain", "filler")}
    assert len({(s.plugin, s.name, s.kind) for s in scenarios}) == len(scenarios)


def test_a_stop_is_silence_within_half_a_second_and_what_was_not_said_is_known(tmp_path: Path):
    show = played(scenario("stop early", "stop"), tmp_path)
    (over,) = duplex.interruptions(show)
    took = duplex.stopped_after_ms(show, over)
    assert took is not None and took <= 600.0
    assert (duplex.ducked_after_ms(show, over) or 999.0) <= 120.0
    answer = next(turn for turn in show.turns if turn.answer)
    assert answer.said and answer.unsaid and answer.said + " " + answer.unsaid == answer.answer


def test_a_backchannel_ducks_and_resumes_and_all_is_said(tmp_path: Path):
    show = played(scenario("uh-huh", "backchannel"), tmp_path)
    kinds = [type(event) for event in show.events]
    assert Ducked in kinds and Resumed in kinds and BargedIn not in kinds
    assert next(turn for turn in show.turns if turn.answer).unsaid == ""


def test_a_yes_over_our_voice_counts_where_something_was_asked(tmp_path: Path):
    listening = scenario("uh-huh", "backchannel")
    first, over = listening.lines
    show = played(replace(listening, lines=(first, replace(over, say="yeah"))), tmp_path)
    assert show.problems == [] and not [event for event in show.events if isinstance(event, BargedIn)]
    asked = scenario("unlock needs a yes", "question", "in_car")
    request, yes = asked.lines
    show = played(replace(asked, lines=(request, replace(yes, over="unlock"))), tmp_path)
    assert show.problems == []
    assert [event.kind for event in show.events if isinstance(event, BargedIn)] == ["request"]


def test_a_wrong_expectation_is_found(tmp_path: Path):
    right = scenario("the other room", "self-correction")
    wrong = replace(right, calls=(read_call("light_switch room=hall state=on"),), never=(Call("light_switch"),))
    problems = " ".join(played(wrong, tmp_path).problems)
    assert "calls: wanted light_switch room=hall" in problems and "never should" in problems


def test_the_report_counts(tmp_path: Path):
    shows = [played(scenario(name, kind), tmp_path) for name, kind in (("stop early", "stop"), ("a cough", "noise"))]
    report = duplex_report.summary(shows)
    assert report["pass_at_1"] == {"share": 1.0, "n": 2, "of": 2}
    assert report["missed_interruptions"]["of"] == 1 and report["missed_interruptions"]["n"] == 0
    assert report["onset_to_stop_ms"]["n"] == 1
    picture = duplex_report.picture(shows[0], tmp_path)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "text",
    ["- {name: x, kind: y}", "- {name: x, kind: y, lines: [{noise: bang}]}", "- {name: x, kind: y, lines: [a], wrong: 1}",
     "- {name: x, kind: y, lines: [a], calls: [tool on]}"],
)  # fmt: skip
def test_a_broken_script_is_refused_with_its_place(text: str, tmp_path: Path):
    file = tmp_path / "home.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"home\.yaml, scenario 1"):
        load(file)
