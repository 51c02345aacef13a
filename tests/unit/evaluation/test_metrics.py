"""The benchmark's metrics against cases worked out by hand, and its files against what goes wrong with files."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from voice_needle.errors import ConfigError
from voice_needle.evaluation.metrics import Answer, Line, f1_interval, norm, read_answer, summarise, wilson
from voice_needle.evaluation.router import compare, evaluate
from voice_needle.route import get_router

KEYS = ["n", "tool_accuracy", "argument_f1", "exact_match", "refusal_precision", "refusal_recall", "executed", "wrong_executed",
        "coverage", "chained_success", "ci95", "ms_p50", "ms_p95"]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("The  Kitchen!", "kitchen"), ("living_room", "living room"), ("twenty two", "22"), ("22", "22"), (22, "22"), (22.0, "22"), (22.5, "22.5"),
        ("22.5", "22.5"), (True, "true"), ("True", "true"), ("half an hour", "half an hour"), ("New York, NY", "new york ny"), (["a", 2], "[a,2]"),
        ({"b": 1, "a": "The X"}, "{a=x,b=1}"), ("7:30 pm", "7:30 pm"), (None, ""), ("one hundred and five apples", "105 apples"), ("a", "a"),
    ],
)  # fmt: skip
def test_norm(value: Any, form: str) -> None:
    assert norm(value) == form


def line(
    expected: list[tuple[str, dict[str, Any]]], proposed: list[tuple[str, dict[str, Any]]], executes: bool = True
) -> Line:
    answers = tuple(read_answer({"name": n, "arguments": a}, lists=False) for n, a in expected)
    calls = tuple((n, {k: norm(v) for k, v in a.items()}) for n, a in proposed)
    return Line(answers, calls, executes and bool(calls), 1.0)


A, B = ("a", {"x": 1}), ("b", {"y": "two", "z": "q"})
WRONG = ("a", {"x": 9})


def test_worked_by_hand() -> None:
    found = summarise(
        [
            line([A], [A]),  # right
            line([A], [WRONG]),  # right tool, wrong value
            line([A, B], [B, A]),  # right, out of order
            line([A, B], [A, B]),  # right, in order
            line([], []),  # rightly refused
            line([], [A]),  # wrongly acted
            line([B], []),  # wrongly refused
            line([A], [A], executes=False),  # only to be confirmed
        ]
    )
    assert list(found) == KEYS
    assert (found["n"], found["executed"]) == (8, 7)
    assert found["tool_accuracy"] == 6 / 8
    assert found["exact_match"] == 5 / 8
    # right: 1+0+3+3+0+0+0+1; proposed: 1+1+3+3+0+1+0+1; expected: 1+1+3+3+0+0+2+1
    assert found["argument_f1"] == pytest.approx(2 * 8 / (10 + 11), abs=1e-4)
    assert (found["refusal_precision"], found["refusal_recall"]) == (1 / 2, 1 / 2)
    assert found["wrong_executed"] == pytest.approx(2 / 7, abs=1e-4)
    assert found["coverage"] == pytest.approx(4 / 6, abs=1e-4)
    assert found["chained_success"] == 1 / 2
    assert found["ci95"]["exact_match"] == wilson(5, 8)
    assert set(found["ci95"]) == {*KEYS[1:6], *KEYS[7:10]}


def test_undefined_is_null() -> None:
    found = summarise([line([A], [A])])
    assert (found["refusal_precision"], found["refusal_recall"], found["chained_success"]) == (None, None, None)
    assert summarise([line([], [])])["wrong_executed"] is None
    assert summarise([line([], [])])["argument_f1"] is None
    assert summarise([])["ms_p50"] is None


def test_the_same_call_twice_must_be_said_twice() -> None:
    assert summarise([line([A, A], [A])])["exact_match"] == 0
    assert summarise([line([A], [A, A])])["wrong_executed"] == 1 / 2


def test_accepted_lists() -> None:
    answer = read_answer(
        {"name": "f", "arguments": {"unit": ["cm", ""], "size": [5, "five"], "at": [[1, 2], [3]]}}, lists=True
    )
    assert answer == Answer(
        "f",
        {"unit": frozenset({"cm"}), "size": frozenset({"5"}), "at": frozenset({"[1,2]", "[3]"})},
        frozenset({"unit"}),
    )
    for arguments, right in (
        ({"unit": "cm", "size": "5", "at": "[3]"}, 1.0),
        ({"size": "5", "at": "[1,2]"}, 1.0),
        ({"unit": "m", "size": "5", "at": "[3]"}, 0.0),
        ({"unit": "cm", "at": "[3]"}, 0.0),
        ({"size": "5", "at": "[3]", "more": "1"}, 0.0),
    ):
        assert summarise([Line((answer,), (("f", arguments),), True, 1.0)])["exact_match"] == right


def test_a_nested_accepted_object() -> None:
    answer = read_answer({"name": "f", "arguments": {"o": [{"a": ["x", "y"], "b": [1, ""]}]}}, lists=True)
    assert answer.accepted["o"] == {"{a=x,b=1}", "{a=x}", "{a=y,b=1}", "{a=y}"}


def test_intervals() -> None:
    assert wilson(0, 0) is None
    assert wilson(8, 10) == [0.4902, 0.9433]  # Wilson without continuity correction, from a published table
    assert wilson(0, 10) == [0.0, 0.2775]
    wide, narrow = f1_interval([(1, 1, 1), (0, 1, 1)] * 5), f1_interval([(1, 1, 1), (0, 1, 1)] * 500)
    assert wide is not None
    assert narrow is not None
    assert wide[0] < narrow[0] < 0.5 < narrow[1] < wide[1]


# --- files -----------------------------------------------------------------------------------------------------------

TOOL = {"name": "light", "description": "Switch the light on", "parameters": {"type": "object", "properties": {}}}
ROWS = [
    {"query": "switch the light on", "tools": [TOOL], "answers": [{"name": "light", "arguments": {}}]},
    {"query": "good morning", "tools": [TOOL], "answers": []},
]


def test_evaluates_plain_and_packed_files_alike(tmp_path: Path) -> None:
    text = "\n".join(map(json.dumps, ROWS)) + "\n\n"
    plain, packed = tmp_path / "one.jsonl", tmp_path / "two.jsonl.xz"
    plain.write_text(text, "utf-8")
    packed.write_bytes(lzma.compress(text.encode()))
    found = evaluate([plain, packed], get_router("bm25"))
    assert list(found) == ["router", "files", "all"]
    assert found["router"] == "bm25"
    assert list(found["files"]) == ["one", "two"]
    assert (found["all"]["n"], found["all"]["exact_match"], found["all"]["executed"]) == (4, 1.0, 2)
    json.dumps(found)


def test_compares_routers(tmp_path: Path) -> None:
    file = tmp_path / "one.jsonl"
    file.write_text("\n".join(map(json.dumps, ROWS)), "utf-8")
    found = compare([file], [get_router("bm25"), get_router("always-decline")])
    assert (found["bm25"]["all"]["coverage"], found["always-decline"]["all"]["coverage"]) == (1.0, 0.0)
    assert found["always-decline"]["all"]["refusal_recall"] == 1.0


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (json.dumps(ROWS[0]) + "\n{\n", ":2 is not JSON"),
        ("[]\n", ":1 is not an object"),
        ('{"query": 1}\n', ":1 has no 'query'"),
        ('{"query": "x", "tools": [{}], "answers": []}\n', ":1 has a tool"),
        ('{"query": "x", "tools": [], "answers": [{}]}\n', ":1 has a tool or an answer"),
        ("", " has no lines"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, where: str) -> None:
    file = tmp_path / "wrong.jsonl"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        evaluate([file], get_router("always-decline"))
    assert f"wrong.jsonl{where}" in str(caught.value)


def test_a_missing_and_a_damaged_file_are_named(tmp_path: Path) -> None:
    damaged = tmp_path / "cut.jsonl.xz"
    damaged.write_bytes(lzma.compress(json.dumps(ROWS[0]).encode())[:-20])
    for file in (tmp_path / "none.jsonl", damaged):
        with pytest.raises(ConfigError) as caught:
            evaluate([file], get_router("always-decline"))
        assert file.name in str(caught.value)
