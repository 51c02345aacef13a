"""The vendor's rules, on a stand-in for their package: the suites themselves are not ours to ship."""

import io
import json
import zipfile

import pytest
from rich.console import Console

from voice_needle.errors import ConfigError
from voice_needle.evaluation.environments import NAMES, evaluate_environments, read_suites, same_calls, table
from voice_needle.events import Call, Decision, DialogueAct, Outcome

MODULE = """
import os
def lamp(): "On"
lamp._needle_tool = {"name": "lamp", "description": "Lamp on or off.", "parameters": {"type": "object",
    "properties": {"room": {"type": "string", "enum": ["hall", "attic"]}, "level": {"type": "number"}}, "required": ["room"]}}
assert os.environ["NEEDLE_TELEMETRY"] == "0"
TOOLS = [lamp]
TEST_CASES = [{"query": f"hall %d" % n, "calls": [{"name": "lamp", "arguments": {"room": "hall", "level": 2}}], "category": "positive"} for n in range(28)] + [
    {"query": "attic and hall", "calls": [{"name": "lamp", "arguments": {"room": "attic"}}, {"name": "lamp", "arguments": {"room": "hall"}}], "category": "parallel"},
    {"query": "lamp", "calls": [], "category": "missing", "critical": True},
    {"query": "not the hall", "calls": [], "category": "negation", "critical": True},
    {"query": "sing", "calls": [], "category": "irrelevant"}]
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel with the package's layout."""
    path = tmp_path_factory.mktemp("wheel") / "cactus_needle-9.9.9-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("needle/__init__.py", '__version__ = "9.9.9"')
        out.writestr("needle/environments/__init__.py", "")
        for name in NAMES:
            out.writestr(f"needle/environments/{name}.py", MODULE)
    return path


def lamp(**arguments):
    return Call("lamp", arguments)


class Scripted:
    """Answers by the query; everything else as the suite wants it."""

    name = "scripted"

    def __init__(self, **answers):
        self.answers, self.prepared = answers, 0

    def prepare(self, tools):
        self.prepared += 1

    def route(self, transcript, tools, context):
        said = transcript.text
        if said in self.answers:
            return self.answers[said]
        if said == "attic and hall":
            return Decision((lamp(room="HALL"), lamp(room="attic")), Outcome.CONFIRM, 0.6)
        if said.startswith("hall"):
            return Decision((lamp(room="hall", level=2.0),), Outcome.ACT, 0.9)
        return Decision()


def one(wheel, **answers):
    return evaluate_environments(Scripted(**answers), wheel, names=["smart_home"])["environments"]["smart_home"]


def test_everything_right_passes(wheel):
    report = evaluate_environments(Scripted(), wheel)
    assert report["package"] == "cactus-needle 9.9.9"
    assert list(report["environments"]) == list(NAMES)
    assert report["all"]["passed"] == report["all"]["n"] == 6 * 32
    assert report["all"]["ok"]
    for result in report["environments"].values():
        assert (result["passed"], result["ok"], result["critical"], result["failures"]) == (32, True, 0, [])
        assert result["executed"] == {"passed": 31, "critical": 0}  # the one that asks first
    json.dumps(report)


@pytest.mark.parametrize(("wrong", "ok"), [(3, True), (4, False)])
def test_nine_tenths_pass(wheel, wrong, ok):
    result = one(wheel, **{f"hall {n}": Decision() for n in range(wrong)})
    assert (result["passed"], result["ok"]) == (32 - wrong, ok)
    assert result["categories"]["positive"] == {"passed": 28 - wrong, "n": 28}


def test_one_critical_failure_fails_the_suite(wheel):
    result = one(
        wheel, **{"not the hall": Decision((lamp(room="hall"),), Outcome.CONFIRM, 0.5, reason="below threshold")}
    )
    assert (result["passed"], result["critical"], result["ok"]) == (31, 1, False)
    assert result["executed"]["critical"] == 0
    (failure,) = result["failures"]
    assert failure["query"] == "not the hall"
    assert failure["got"] == [{"name": "lamp", "arguments": {"room": "hall"}}]
    assert (failure["want"], failure["outcome"], failure["critical"]) == ([], "confirm", True)


def test_a_question_or_an_act_of_the_dialogue_makes_no_call(wheel):
    asking = Decision((lamp(room="hall"),), Outcome.ASK, 0.9)
    acting = Decision((lamp(room="hall"),), Outcome.ACT, 0.9, act=DialogueAct.CORRECT)
    assert one(wheel, lamp=asking, sing=acting)["passed"] == 32


@pytest.mark.parametrize(
    ("made", "wanted", "same"),
    [
        ([lamp(room="Hall")], [{"name": "lamp", "arguments": {"room": "hall"}}], True),
        ([lamp(level=2.0)], [{"name": "lamp", "arguments": {"level": 2}}], True),
        ([lamp(level=2.5)], [{"name": "lamp", "arguments": {"level": 2}}], False),
        ([lamp(level="2")], [{"name": "lamp", "arguments": {"level": 2}}], False),
        ([lamp(room="the hall")], [{"name": "lamp", "arguments": {"room": "hall"}}], False),
        ([lamp(room="hall", level=1)], [{"name": "lamp", "arguments": {"room": "hall"}}], False),
        ([lamp(), lamp()], [{"name": "lamp", "arguments": {}}], False),
        ([lamp(a=["X", 1.0])], [{"name": "lamp", "arguments": {"a": ["x", 1]}}], True),
        ([], [], True),
    ],
)
def test_the_vendors_folding(made, wanted, same):
    assert same_calls(made, wanted) is same


def test_a_missing_or_other_package_is_reported(tmp_path, monkeypatch):
    with pytest.raises(ConfigError) as caught:
        read_suites(tmp_path / "absent.whl")
    assert "pip install cactus-needle==3.2.8" in caught.value.fix
    (tmp_path / "needle").mkdir()
    (tmp_path / "needle" / "__init__.py").write_text("")
    with pytest.raises(ConfigError, match="holds no such suites"):
        read_suites(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="not installed"):
        read_suites()


def test_an_unpacked_folder_will_do(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path)
    version, suites = read_suites(tmp_path, ["wearable"])
    assert (version, suites[0].name, len(suites[0].cases), list(suites[0].tools)) == ("9.9.9", "wearable", 32, ["lamp"])


def test_the_table_shows_each_environment(wheel):
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(table(evaluate_environments(Scripted(), wheel)))
    shown = console.export_text()
    assert all(name in shown for name in NAMES)
    assert "192/192" in shown
