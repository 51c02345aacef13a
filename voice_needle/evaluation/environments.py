"""The six acceptance suites of Cactus Compute's own package, run against any router.

    evaluate_environments(get_router("stitch"))["smart_home"]["passed"]     # of 32

The suites are the vendor's and stay in their package: cactus-needle 3.2.8 from PyPI, installed, or as a wheel or a folder it was
unpacked to. They are read in a process of their own, without network and telemetry.

The rules are the vendor's (needle/environments/_harness.py): each case is one request without a conversation; the calls made,
as a multiset, must equal the expected ones; strings compare without regard to case, 22.0 equals 22, nothing else is forgiven. A suite
passes with nine tenths of its cases (29 of 32) and no failure among those marked critical. Their harness counts a call whatever its
confidence; so here a call that waits for a "yes" counts as made. `executed` scores again what would be done without asking.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from voice_needle.errors import ConfigError
from voice_needle.evaluation.metrics import wilson
from voice_needle.evaluation.router import NOW
from voice_needle.events import Call, Outcome, RouteContext, Transcript
from voice_needle.route.engine import Router
from voice_needle.tools import Toolset

NAMES = ("data_capture", "kitchen_appliance", "media_player", "productivity", "smart_home", "wearable")
PACKAGE = "cactus-needle==3.2.8"
FIX = f"pip install {PACKAGE}   (or: pip download {PACKAGE} --no-deps, then --wheel FILE)"
_OFFLINE = {"NEEDLE_TELEMETRY": "0", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "CI": "1"}
_READER = """
import importlib, json, sys
if sys.argv[1]:
    sys.path.insert(0, sys.argv[1])
found = {}
for name in sys.argv[2:]:
    module = importlib.import_module("needle.environments." + name)
    schemas = [getattr(tool, "_needle_tool", tool) for tool in module.TOOLS]
    found[name] = {"tools": schemas, "cases": module.TEST_CASES}
print(json.dumps({"version": importlib.import_module("needle").__version__, "suites": found}))
"""


@dataclass(frozen=True)
class Suite:
    """One environment: its tools, and its cases as the vendor wrote them ({"query", "calls", "category", "critical"?})."""

    name: str
    tools: Toolset
    cases: tuple[Mapping[str, Any], ...]


def evaluate_environments(
    router: Router, wheel: Path | None = None, *, names: Sequence[str] = NAMES, context: RouteContext | None = None
) -> dict[str, Any]:
    """Each environment's {"n", "passed", "ok", "critical", "ci95", "categories", "failures", "executed"}, and "all".

    wheel: a wheel or unpacked folder of the package; the installed one where none is given. executed: {"passed", "critical"}
    when only calls that need no confirmation count. failures: {"query", "category", "critical", "want", "got", "outcome", "reason",
    "confidence"} each. Errors: ConfigError where the suites are not to be found.
    """
    version, suites = read_suites(wheel, names)
    at = context or RouteContext(now=NOW)
    results = {suite.name: run_suite(suite, router, at) for suite in suites}
    n = sum(result["n"] for result in results.values())
    passed = sum(result["passed"] for result in results.values())
    return {
        "router": router.name,
        "package": f"cactus-needle {version}",
        "environments": results,
        "all": {
            "n": n,
            "passed": passed,
            "share": round(passed / n, 4) if n else None,
            "ci95": wilson(passed, n),
            "critical": sum(result["critical"] for result in results.values()),
            "ok": all(result["ok"] for result in results.values()),
        },
    }


def run_suite(suite: Suite, router: Router, context: RouteContext) -> dict[str, Any]:
    """Every case of one suite through the router."""
    router.prepare(suite.tools)
    failures: list[dict[str, Any]] = []
    categories: dict[str, list[int]] = {}
    executed = {"passed": 0, "critical": 0}
    for case in suite.cases:
        decision = router.route(Transcript(case["query"]), suite.tools, context)
        proposes = decision.outcome in (Outcome.ACT, Outcome.CONFIRM) and decision.act is None
        made = decision.calls if proposes else ()
        right = same_calls(made, case["calls"])
        done = same_calls(made if decision.outcome is Outcome.ACT else (), case["calls"])
        executed["passed"] += done
        executed["critical"] += not done and bool(case.get("critical"))
        tally = categories.setdefault(case["category"], [0, 0])
        tally[0] += right
        tally[1] += 1
        if not right:
            failures.append(
                {
                    "query": case["query"],
                    "category": case["category"],
                    "critical": bool(case.get("critical")),
                    "want": case["calls"],
                    "got": [{"name": call.tool, "arguments": dict(call.arguments)} for call in made],
                    "outcome": decision.outcome.value,
                    "reason": decision.reason,
                    "confidence": round(decision.confidence, 3),
                }
            )
    n, critical = len(suite.cases), sum(failure["critical"] for failure in failures)
    passed = n - len(failures)
    return {
        "n": n,
        "passed": passed,
        "ok": passed >= round(0.9 * n) and critical == 0,
        "critical": critical,
        "ci95": wilson(passed, n),
        "categories": {name: {"passed": right, "n": total} for name, (right, total) in categories.items()},
        "failures": failures,
        "executed": executed,
    }


def same_calls(made: Iterable[Call], wanted: Iterable[Mapping[str, Any]]) -> bool:
    """Whether both are the same multiset of calls, under the vendor's folding."""
    ours = sorted(_key({"name": call.tool, "arguments": dict(call.arguments)}) for call in made)
    return ours == sorted(_key(call) for call in wanted)


def _key(call: Mapping[str, Any]) -> str:
    return json.dumps(_folded(call), sort_keys=True, default=str)


def _folded(value: Any) -> Any:
    if isinstance(value, str):
        return value.casefold()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: _folded(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_folded(inner) for inner in value]
    return value


def read_suites(wheel: Path | None = None, names: Sequence[str] = NAMES) -> tuple[str, list[Suite]]:
    """The package's version and its suites. Errors: ConfigError where the package is not there, or is another one."""
    if wheel is not None and not wheel.exists():
        raise ConfigError(f"{wheel} does not exist.", fix=FIX)
    if wheel is None and importlib.util.find_spec("needle") is None:
        raise ConfigError("The vendor's acceptance suites are not here: cactus-needle is not installed.", fix=FIX)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _READER, str(wheel.resolve()) if wheel else "", *names],
            env={**os.environ, **_OFFLINE},
            capture_output=True,
            timeout=120,
            check=True,
        )
        found = json.loads(done.stdout)
        suites = [
            Suite(name, Toolset(found["suites"][name]["tools"]), tuple(found["suites"][name]["cases"]))
            for name in names
        ]
    except subprocess.CalledProcessError as problem:
        said = problem.stderr.decode(errors="replace").strip().splitlines()
        where = wheel or "the installed package `needle`"
        raise ConfigError(f"{where} holds no such suites: {said[-1] if said else problem}", fix=FIX) from problem
    except (ValueError, LookupError, TypeError, subprocess.TimeoutExpired) as problem:
        raise ConfigError(f"The vendor's suites cannot be read: {problem}", fix=FIX) from problem
    return str(found["version"]), suites


def table(report: Mapping[str, Any]) -> Table:
    """A report of evaluate_environments, for a screen."""
    shown = Table(title=f"{report['package']}: acceptance suites, {report['router']} (executed: without asking)")
    for heading in ("environment", "passed", "critical", "executed", ""):
        shown.add_column(heading, no_wrap=True)
    for name, result in report["environments"].items():
        executed = f"{result['executed']['passed']}/{result['n']}"
        verdict = "passes" if result["ok"] else "fails"
        shown.add_row(name, f"{result['passed']}/{result['n']}", str(result["critical"]), executed, verdict)
    whole = report["all"]
    interval = whole["ci95"] or [0.0, 0.0]
    shown.add_row(
        "all", f"{whole['passed']}/{whole['n']} [{interval[0]:.1%}, {interval[1]:.1%}]", str(whole["critical"]), "", ""
    )
    return shown
