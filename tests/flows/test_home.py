"""The home: its scenarios against a real Mosquitto, and what it says when the broker or the devices misbehave."""

from __future__ import annotations

from mosquitto import mosquitto  # noqa: F401
from scenarios import scenario_tests

running, test_scenario = scenario_tests("home")
