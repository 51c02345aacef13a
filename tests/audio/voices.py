"""The voices that tests speak with: flite (slt, rms, awb, kal16) and festival, 16 kHz int16, cached in a temporary folder."""

from __future__ import annotations

import pytest

from voice_needle.audio import Samples
from voice_needle.errors import EngineMissing
from voice_needle.evaluation.synthetic_speech import FLITE_VOICES, VOICES, mix, pink_noise
from voice_needle.evaluation.synthetic_speech import speak as synthesise

__all__ = ["FLITE_VOICES", "VOICES", "mix", "pink_noise", "speak"]


def speak(text: str, voice: str = "slt") -> Samples:
    """Speech as (n,) int16 at 16 kHz; the test is skipped where the program is not installed."""
    try:
        return synthesise(text, voice)
    except EngineMissing as missing:
        pytest.skip(str(missing))
