"""In the car: every scenario on a virtual CAN bus with a simulated vehicle; faults of that vehicle; an ELM327 adapter."""

from __future__ import annotations

from scenarios import scenario_tests

running, test_scenario = scenario_tests("in_car")
