"""Warehouse: every scenario on a real SQLite file; faults and a thousand bookings on a real PostgreSQL."""

from __future__ import annotations

from scenarios import scenario_tests

running, test_scenario = scenario_tests("warehouse")
