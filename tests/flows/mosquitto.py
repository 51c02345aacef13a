"""A real Mosquitto for a test: `mosquitto.stop()`, `.pause()` (SIGSTOP), `.resume()`, `.restart()`, `.url`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from voice_needle.evaluation.mosquitto import Mosquitto


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running broker, gone after the test."""
    with Mosquitto(tmp_path) as broker:
        yield broker
