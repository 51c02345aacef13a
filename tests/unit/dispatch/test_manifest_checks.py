from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from voice_needle.dispatch import manifest
from voice_needle.errors import ManifestError
from voice_needle.tools import Confirm, Risk

GOOD = """\
plugin: home
description: Lights.
settings:
  broker: {default: "mqtt://localhost:1883", description: "URL"}
  token: {secret: home_token, required: false}
vocabularies:
  room:
    living_room: [living room, lounge]
    kitchen:
expansions:
  light: "(light|lights|lamp)"
tools:
  light_switch:
    description: Turn the lights of a room on or off.
    parameters:
      room: {vocabulary: room, description: The room, default: $room}
      state: {enum: {on: [on], off: [off, out]}, description: On or off}
      level: {type: number, unit: percent, minimum: 0, maximum: 100, required: false}
    sentences:
      - "(turn|switch) {state} [the] [{room}] <light>"
    handler: {python: "handlers.py:light_switch"}
    policy: {timeout_ms: 2000, retries: 1, idempotent: true,
             undo: {tool: light_switch, arguments: {room: $room, state: $result.previous}}}
    say: {success: "The {room} light is {state}.", questions: {room: "Which room?"}, on: {not_found: "None."}}
"""
HANDLERS = "async def light_switch(ctx, room, state, level=None):\n    ...\n"


def write(folder: Path, text: str, handlers: str = HANDLERS) -> Path:
    (folder / "handlers.py").write_text(handlers)
    (folder / "plugin.yaml").write_text(textwrap.dedent(text))
    return folder


def problems(folder: Path, text: str, handlers: str = HANDLERS) -> list[tuple[int, str, str]]:
    _, found = manifest.load(write(folder, text, handlers))
    return [(problem.line, problem.message, problem.nearest) for problem in found]


def test_a_good_manifest_becomes_tools(tmp_path: Path) -> None:
    loaded = manifest.load_or_raise(write(tmp_path, GOOD))
    (tool,) = loaded.tools
    assert loaded.settings == {"broker": "mqtt://localhost:1883", "token": {"secret": "home_token"}}
    assert tool.properties["room"] == {
        "type": "string",
        "enum": ["living_room", "kitchen"],
        "x-spoken": {"living_room": ["living room", "lounge"], "kitchen": ["kitchen"]},
        "x-vocabulary": "room",
        "description": "The room",
        "default": "$room",
    }
    assert tool.properties["state"]["enum"] == ["on", "off"]  # not YAML 1.1's true and false
    assert tool.properties["level"]["x-unit"] == "percent"
    assert tool.required == ("state",)
    assert tool.policy.undo and tool.policy.undo.arguments == {"room": "$room", "state": "$result.previous"}
    assert tool.say.on == {"not_found": "None."}


def test_high_risk_asks_always_unless_told_otherwise(tmp_path: Path) -> None:
    careful = GOOD.replace("timeout_ms: 2000", "risk: high")
    assert manifest.load_or_raise(write(tmp_path, careful)).tools[0].policy.confirm is Confirm.ALWAYS
    told = GOOD.replace("timeout_ms: 2000", "risk: high, confirm: unsure")
    policy = manifest.load_or_raise(write(tmp_path, told)).tools[0].policy
    assert (policy.risk, policy.confirm) == (Risk.HIGH, Confirm.UNSURE)


@pytest.mark.parametrize(
    ("old", "new", "line", "words", "nearest"),
    [
        ("    sentences:", "    sentances:", 19, "unknown key 'sentances'", "sentences"),
        ("timeout_ms: 2000", "timeout_ms: fast", 22, "must be a whole number", ""),
        ("timeout_ms: 2000", "risk: hihg", 22, "must be one of low, medium, high", "high"),
        ("{vocabulary: room,", "{vocabulary: rom,", 16, "no vocabulary 'rom'", "room"),
        ("[{room}] <light>", "[{rooms}] <light>", 20, "{rooms} is no parameter", "room"),
        ("[{room}] <light>", "[{room} <light>", 20, "is never closed", ""),
        ("[{room}] <light>", "{room}] <light>", 20, "closes nothing", ""),
        ("<light>", "<lights>", 20, "no expansion <lights>", "light"),
        ("undo: {tool: light_switch", "undo: {tool: light_swich", 23, "unknown tool 'light_swich'", "light_switch"),
        ("{room: $room, state", "{rom: $room, state", 23, "'rom' is not a parameter of light_switch", "room"),
        ("{room: $room, state", "{room: $romo, state", 23, "'$romo' is neither", "room"),
        ("handlers.py:light_switch", "handlers.py:light_swich", 21, "no function light_swich", "light_switch"),
        ("handlers.py:light_switch", "handler.py:light_switch", 21, "no file handler.py", ""),
        ("questions: {room:", "questions: {rom:", 24, "'rom' is not a parameter", "room"),
        ("idempotent: true,", "", 22, "only an idempotent tool may be retried", ""),
        ("default: $room}", "default: attic}", 16, "default 'attic' is not one", ""),
        ("minimum: 0,", "minimum: 200,", 18, "minimum 200 is over maximum 100", ""),
        ("    kitchen:", "    kitchen: [lounge]", 9, "'lounge' stands for both", ""),
        ("plugin: home", "plugin: Home Stuff", 1, "a name of small letters", ""),
        ("{python: ", "{pyhton: ", 21, "unknown key 'pyhton'", "python"),
    ],
)
def test_each_mistake_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, words: str, nearest: str
) -> None:
    found = problems(tmp_path, GOOD.replace(old, new))
    matching = [problem for problem in found if words in problem[1]]
    assert matching, found
    assert (matching[0][0], matching[0][2]) == (line, nearest)


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    text = (
        GOOD.replace("sentences:", "sentances:").replace("2000", "soon").replace("vocabulary: room,", "vocabulary: r,")
    )
    assert [line for line, _, _ in problems(tmp_path, text)] == [16, 19, 22]


def test_duplicate_tools_and_keys_are_mistakes(tmp_path: Path) -> None:
    twice = GOOD + GOOD[GOOD.index("  light_switch:") :]
    assert problems(tmp_path, twice) == [(25, "the key 'light_switch' was already given in line 13", "")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plugin: [",
        "- a\n- b\n",
        "\t\n:",
        "plugin: &a [*a]\n",
        "a: &a [x, x]\nb: &b [*a, *a]\n",
        "? [a]\n: b\n",
        "42",
    ],
)
def test_garbage_is_a_problem_not_a_crash(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text)


def test_aliases_without_end_are_refused(tmp_path: Path) -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 9)]
    found = problems(tmp_path, "\n".join(["l0: &l0 [x]", *levels]))
    assert any("aliases without end" in message for _, message, _ in found)


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    (tmp_path / "plugin.yaml").write_bytes(b"plugin: \xff\xfe")
    _, found = manifest.load(tmp_path)
    assert "UTF-8" in found[0].message


def test_a_handler_that_does_not_take_the_parameters(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD, "def light_switch(ctx, room, level=None): ...\n")
    assert found == [(21, "light_switch in handlers.py:1 does not take 'state'", "")]
    found = problems(tmp_path, GOOD, "def light_switch(ctx, room, state, level): ...\n")
    assert found == [(21, "light_switch in handlers.py:1 needs 'level', which a call may leave out", "")]
    found = problems(tmp_path, GOOD, "def light_switch(ctx, room, state, level, colour): ...\n")
    assert any("wants 'colour'" in message for _, message, _ in found)
    assert problems(tmp_path, GOOD, "def light_switch(ctx, **given): ...\n") == []


def test_a_handler_file_with_a_syntax_error(tmp_path: Path) -> None:
    ((_, message, _),) = problems(tmp_path, GOOD, "def light_switch(ctx:\n")
    assert message.startswith("handlers.py:1:")


def test_slots_inside_expansions_are_parameters_too(tmp_path: Path) -> None:
    text = GOOD.replace('light: "(light|lights|lamp)"', 'light: "{colour} light"')
    assert [message for _, message, _ in problems(tmp_path, text)] == ["{colour} is no parameter of this tool"]


def test_a_binding_needs_a_known_tool(tmp_path: Path) -> None:
    text = GOOD + "    bindings: {room: find_romo.room}\n"
    assert [message for _, message, _ in problems(tmp_path, text)] == ["there is no tool 'find_romo'"]


def test_a_missing_condition_is_named(tmp_path: Path) -> None:
    text = GOOD.replace("timeout_ms: 2000", "requires: [stationery]")
    found = problems(tmp_path, text, HANDLERS + "def condition_stationary(ctx): ...\n")
    assert found == [(22, "handlers.py has no function condition_stationery", "condition_stationary")]


def test_load_or_raise_names_every_mistake(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"plugin.yaml:19: unknown key 'sentances'.*did you mean 'sentences'"):
        manifest.load_or_raise(write(tmp_path, GOOD.replace("sentences:", "sentances:")))


def test_enum_values_keep_the_type_that_is_declared(tmp_path: Path) -> None:
    text = GOOD.replace(
        "{type: number, unit: percent, minimum: 0, maximum: 100,", "{type: integer, enum: {1: [low], 2: },"
    )
    schema = manifest.load_or_raise(write(tmp_path, text)).tools[0].properties["level"]
    assert schema["enum"] == [1, 2] and schema["x-spoken"] == {"1": ["low"], "2": ["2"]}


def test_identifiers_keep_their_zeros_and_times_stay_text(tmp_path: Path) -> None:
    text = GOOD.replace("    kitchen:", "    007: [double o seven]\n    7:30:\n    yes:")
    room = manifest.load_or_raise(write(tmp_path, text)).tools[0].properties["room"]
    assert room["enum"] == ["living_room", "007", "7:30", "yes"]
