"""Runs the scenarios of one plugin in a test module, one test each:

from scenarios import scenario_tests

running, test_scenario = scenario_tests("home")
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from voice_needle.dispatch.registry import bundled_folder
from voice_needle.evaluation import scenarios


class Running:
    """A stage that is opened once for all scenarios of a plugin, on a loop of its own."""

    def __init__(self, plugin: str) -> None:
        self._runner = asyncio.Runner()
        self._stack = contextlib.AsyncExitStack()
        self.stage = self._runner.run(self._stack.enter_async_context(scenarios.open_stage(plugin)))

    def run(self, scenario: dict[str, Any]) -> scenarios.Outcome:
        return self._runner.run(scenarios.run(self.stage, scenario))

    def close(self) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()


def scenario_tests(plugin: str) -> tuple[Any, Callable[..., None]]:
    """(fixture, test): assign both in the test module, the fixture under the name `running`."""

    @pytest.fixture(scope="module")
    def running() -> Iterator[Running]:
        opened = Running(plugin)
        yield opened
        opened.close()

    listed = scenarios.load(bundled_folder() / plugin)

    @pytest.mark.parametrize("scenario", listed, ids=[str(step["say"]) for step in listed])
    def test(running: Running, scenario: dict[str, Any]) -> None:
        outcome = running.run(scenario)
        assert outcome.passed, "\n".join(outcome.problems)

    return running, test
