"""Tells speech from text that a generative recogniser made up: on silence and noise Whisper writes what subtitles end with.

Signals, each from a published observation: no_speech_prob and the mean log probability (Radford et al. 2022, section 4.5),
compression ratio of repeated text (the same), and a list of phrases that occur in subtitles but not in requests (Barański et al.
2025, "Investigation of Whisper ASR Hallucinations Induced by Non-Speech Audio").
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from dataclasses import dataclass

from voice_needle.audio import FRAME_SAMPLES, Samples, rms_dbfs

PHANTOMS = frozenset({
    "thank you", "thanks for watching", "thank you for watching", "thank you very much", "thanks", "bye", "bye bye", "you", "so", "the end",
    "please subscribe", "subscribe", "like and subscribe", "see you next time", "see you in the next video", "i'll see you next time",
    "subtitles by the amara org community", "transcription by castingwords", "music", "applause", "laughter", "silence", "oh", "hmm",
    "thank you so much for watching", "don't forget to subscribe", "thanks for watching and see you next time", "okay", "ok", "mm-hmm",
})  # fmt: skip
"""Whole transcripts, normalised, that are believed only when the sound itself is clearly speech."""


@dataclass(frozen=True)
class Limits:
    """quiet_dbfs: loudest 100 ms of an utterance under this is silence. The others are Whisper's own fall-back thresholds.

    words_per_second: nobody speaks faster. phantom_no_speech: the stricter limit for a phantom phrase.
    """

    quiet_dbfs: float = -55.0
    no_speech: float = 0.6
    mean_log_probability: float = -1.0
    compression: float = 2.4
    words_per_second: float = 7.0
    phantom_no_speech: float = 0.2
    phantom_log_probability: float = -0.6


@dataclass(frozen=True)
class Evidence:
    """What the recogniser said about its own text. no_speech: 0 to 1; log_probability: mean per token, natural log."""

    no_speech: float
    log_probability: float


def loudest_dbfs(samples: Samples, window: int = 10 * FRAME_SAMPLES) -> float:
    """Level of the loudest 100 ms, in dB relative to full scale."""
    if samples.size <= window:
        return rms_dbfs(samples)
    return max(rms_dbfs(samples[at : at + window]) for at in range(0, samples.size - window + 1, window // 2))


def compression_ratio(text: str) -> float:
    """Bytes of the text over bytes when compressed: repeated text compresses well."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) if raw else 0.0


def repeats(text: str, times: int = 4) -> bool:
    """Whether a word, or a run of two or three, is said `times` or more in a row, or one run of four makes up most of it."""
    words = _normal(text).split()
    for length in (1, 2, 3, 4):
        for start in range(len(words) - length * times + 1):
            run = words[start : start + length]
            if all(words[start + k * length : start + (k + 1) * length] == run for k in range(times)):
                return True
    fours = Counter(tuple(words[at : at + 4]) for at in range(len(words) - 3))
    return bool(fours) and max(fours.values()) >= times


def verdict(text: str, samples: Samples, evidence: Evidence, limits: Limits | None = None) -> str:
    """Why the text is not believed ("silence", "phantom", "repetition", "unsure"); empty when it is."""
    limits = limits or Limits()
    plain = _normal(text)
    if not plain or loudest_dbfs(samples) < limits.quiet_dbfs:
        return "silence"
    if evidence.no_speech > limits.no_speech and evidence.log_probability < limits.mean_log_probability:
        return "silence"
    doubtful = (
        evidence.no_speech > limits.phantom_no_speech or evidence.log_probability < limits.phantom_log_probability
    )
    if plain in PHANTOMS and doubtful:
        return "phantom"
    if repeats(text) or compression_ratio(text) > limits.compression:
        return "repetition"
    seconds = max(0.1, samples.size / 16_000)
    if len(plain.split()) > 3 and len(plain.split()) / seconds > limits.words_per_second:
        return "phantom"
    if evidence.log_probability < limits.mean_log_probability:
        return "unsure"
    return ""


def _normal(text: str) -> str:
    return " ".join(re.findall(r"[\w'-]+", text.lower()))
