"""The voices that tests speak with: flite (slt, rms, awb, kal16) and festival, 16 kHz int16, cached in a temporary folder."""

from __future__ import annotations

from pathlib import Path

import pytest

import voice_needle
from voice_needle.audio import Samples
from voice_needle.dispatch.manifest import load_or_raise
from voice_needle.errors import EngineMissing
from voice_needle.evaluation.synthetic_speech import FLITE_VOICES, VOICES, mix, pink_noise
from voice_needle.evaluation.synthetic_speech import speak as synthesise
from voice_needle.tools import Toolset

__all__ = ["BARISTA", "FLITE_VOICES", "VOICES", "mix", "pink_noise", "speak"]

BARISTA = Toolset(load_or_raise(Path(voice_needle.__file__).parent / "evaluation" / "manifests" / "barista").tools)


def speak(text: str, voice: str = "slt") -> Samples:
    """Speech as (n,) int16 at 16 kHz; the test is skipped where the program is not installed."""
    try:
        return synthesise(text, voice)
    except EngineMissing as missing:
        pytest.skip(str(missing))
