"""Invented text is told from speech."""

from __future__ import annotations

import numpy as np
import pytest

from voice_needle.transcribe.hallucination import Evidence, compression_ratio, repeats, verdict

SURE = Evidence(0.02, -0.2)
SPEECH = (np.random.default_rng(0).normal(0, 3000, 32_000)).astype(np.int16)
SILENCE = np.random.default_rng(0).normal(0, 3, 32_000).astype(np.int16)


@pytest.mark.parametrize(
    ("text", "samples", "evidence", "expected"),
    [
        ("turn on the kitchen light", SPEECH, SURE, ""),
        ("Thank you.", SPEECH, SURE, ""),  # really said, clearly
        ("Thank you.", SPEECH, Evidence(0.5, -0.3), "phantom"),
        ("Thanks for watching!", SPEECH, Evidence(0.1, -0.8), "phantom"),
        ("turn on the kitchen light", SILENCE, SURE, "silence"),
        ("", SPEECH, SURE, "silence"),
        ("mumble", SPEECH, Evidence(0.9, -1.4), "silence"),
        ("go go go go go", SPEECH, SURE, "repetition"),
        ("the door the door the door the door", SPEECH, SURE, "repetition"),
        ("hard to tell", SPEECH, Evidence(0.1, -1.3), "unsure"),
        (
            "a quick brown fox jumps over my lazy dog while seven wizards box with quiet judges in phoenix",
            SPEECH,
            SURE,
            "phantom",
        ),  # 9 words a second
    ],
)
def test_verdict(text: str, samples: np.ndarray, evidence: Evidence, expected: str) -> None:
    assert verdict(text, samples, evidence) == expected


def test_repetition_and_compression() -> None:
    assert repeats("one two one two one two one two")
    assert not repeats("two two four four six six")
    assert compression_ratio("na " * 60) > 2.4 > compression_ratio("turn on the kitchen light please")
