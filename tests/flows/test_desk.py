"""The desk: its scenarios against the dispatcher's own timers and the lists' database."""

from __future__ import annotations

from scenarios import scenario_tests

running, test_scenario = scenario_tests("desk")
