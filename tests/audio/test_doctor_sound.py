"""doctor --sound on a real daemon: the tone that leaves the speaker is heard by the microphone, or it is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pulse_daemon import Pulse

from voice_needle.config import Config, Listen, Speak
from voice_needle.doctor import OK, WARN, Patient
from voice_needle.doctor_sound import checks

pytestmark = pytest.mark.audio


def examined(tmp_path: Path, speaker: str) -> dict[str, tuple[str, str]]:
    config = replace(Config(), data_dir=tmp_path, listen=Listen(device="room_microphone"), speak=Speak(device=speaker))
    levels: list[float] = []
    found = {each.check: (each.state, each.what) for each in checks(levels.append)["sound"](Patient(config))}
    assert len(levels) > 300
    return found


def test_a_speaker_in_the_room_is_heard_and_one_elsewhere_is_not(pulse: Pulse, tmp_path: Path):
    heard = examined(tmp_path, "room_voice")
    assert heard["tone"][0] == OK and "late" in heard["interrupting"][1]
    away = examined(tmp_path, "loudspeaker")
    assert away["tone"][0] == WARN and "no echo" in away["interrupting"][1]
