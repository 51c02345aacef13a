"""Speech benchmark: recordings with labels -> whole-call accuracy, clean, in noise and in rooms; the metrics of the data's README.

Labels (Picovoice's speech-to-intent benchmark, Apache-2.0): {"file.flac": {"intent": "orderDrink", "slots": {"coffeeDrink": ...}}}.
Names are compared without case and underscores, values by `metrics.norm`. A "text" beside the slots, where there is one, gives
the word error rate.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from rapidfuzz.distance import Levenshtein

from voice_needle.audio import SAMPLE_RATE_HZ, Samples, as_samples, to_ms
from voice_needle.errors import BadAudioFile
from voice_needle.evaluation.metrics import Answer, Line, norm, summarise
from voice_needle.evaluation.room import convolved, response
from voice_needle.evaluation.synthetic_speech import mix
from voice_needle.events import Decision, Outcome, RouteContext, Transcript, Utterance
from voice_needle.readings import final_reading
from voice_needle.route.engine import Router
from voice_needle.tools import Toolset
from voice_needle.transcribe.engine import Recogniser

SNRS_DB = (24, 18, 12, 6)
PARTS = ("all", "tune", "held_out")


@dataclass(frozen=True)
class Recording:
    """One labelled file. text: what was said, where it is known."""

    name: str
    samples: Samples
    intent: str
    slots: Mapping[str, str]
    text: str | None = None

    @property
    def part(self) -> str:
        """tune or held_out, by a hash of the file's name."""
        return "tune" if hashlib.sha256(self.name.encode()).digest()[0] % 2 == 0 else "held_out"


def read_sound(path: Path) -> Samples:
    """(n,) int16 at 16 kHz mono. Errors: BadAudioFile."""
    try:
        sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise BadAudioFile(f"{path} cannot be read as sound: {error}") from error
    mono = sound.mean(axis=1)
    if rate != SAMPLE_RATE_HZ:
        mono = soxr.resample(mono, rate, SAMPLE_RATE_HZ)
    samples: Samples = np.clip(np.round(mono * 32768.0), -32768, 32767).astype(np.int16)
    return samples


def read_recordings(folder: Path) -> list[Recording]:
    """All recordings that labels.json names, in order. Errors: BadAudioFile for one that is missing, or for no labels."""
    try:
        labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadAudioFile(
            f"{folder}/labels.json cannot be read: {error}", fix="give a folder with labels.json"
        ) from error
    return [
        Recording(name, read_sound(folder / name), label["intent"], label.get("slots", {}), label.get("text"))
        for name, label in sorted(labels.items())
    ]


def evaluate_speech(
    folder: Path,
    tools: Toolset,
    recogniser: Recogniser,
    router: Router,
    *,
    noise: Path | None = None,
    snrs_db: Sequence[int] = SNRS_DB,
    decays_s: Sequence[float] = (),
    beside: Mapping[str, Recogniser] | None = None,
    part: str = "all",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """{"clean": M, "snr_24": M, ...}; M also has real_time_factor, refused, empty and word_error_rate (None without texts).

    noise: mixed in at each of `snrs_db`, from a place in it that depends on the file's name only; without it none is. decays_s:
    reverberation times of rooms, "decay_0.3", each a response of its own a file (`room.response`). beside: other recognisers that
    hear the clean files and those rooms, too, "decay_0.3 NAME". part: "tune" or "held_out" for half of the files. The processor
    time of one thread counts for real_time_factor.
    """
    if part not in PARTS:
        raise ValueError(f"part is one of {', '.join(PARTS)}, not {part}")
    router.prepare(tools)
    recordings = [each for each in read_recordings(folder) if part in ("all", each.part)]
    conditions: dict[str, Callable[[Recording], Samples]] = {"clean": lambda recording: recording.samples}
    if noise is not None:
        background = read_sound(noise)
        conditions |= {f"snr_{snr}": partial(_in_noise, background, snr) for snr in snrs_db}
    rooms: dict[str, Callable[[Recording], Samples]] = {f"decay_{decay_s:g}": partial(_in_a_room, decay_s) for decay_s in decays_s}
    clean = {"clean": conditions["clean"]}
    runs = [(name, recogniser, sound) for name, sound in (conditions | rooms).items()]
    for name, other in (beside or {}).items():
        runs += [(f"{condition} {name}", other, sound) for condition, sound in (clean | rooms).items()]
    report: dict[str, Any] = {}
    done = 0
    for each in (recogniser, *(beside or {}).values()):
        each.prepare(tools)
    for name, ears, sound in runs:
        run = _Run(tools, ears, router)
        for recording in recordings:
            run.add(recording, sound(recording))
            done += 1
            if progress:
                progress(done, len(runs) * len(recordings))
        report[name] = run.summary()
    return report


def _in_noise(background: Samples, snr_db: int, recording: Recording) -> Samples:
    return mix(recording.samples, background, snr_db, _offset(recording.name, len(background)))


def _in_a_room(decay_s: float, recording: Recording) -> Samples:
    """As loud as before; the same room for the same file."""
    path = response(decay_s, np.random.default_rng(_offset(recording.name, 1 << 32)))
    there = convolved(recording.samples, path)
    dry = recording.samples.astype(np.float64)
    return as_samples(there * np.sqrt(np.mean(dry**2) / max(float(np.mean(there**2)), 1e-9)))


def refusals(samples: Iterable[Samples], tools: Toolset, recogniser: Recogniser) -> dict[str, Any]:
    """How much of speech that is not for these tools is refused: {"n", "refused", "share"}. Everything here is foreign."""
    recogniser.prepare(tools)
    results = [recogniser.transcribe(_utterance(each)) for each in samples]
    refused = sum(bool(result.refused) for result in results)
    return {"n": len(results), "refused": refused, "share": round(refused / len(results), 4) if results else None}


def word_errors(said: str, heard: str) -> tuple[int, int]:
    """(word edit distance, number of words said), after `norm`."""
    expected, got = norm(said).split(), norm(heard).split()
    return Levenshtein.distance(expected, got), len(expected)


class _Run:
    """All recordings under one condition."""

    def __init__(self, tools: Toolset, recogniser: Recogniser, router: Router) -> None:
        self._tools, self._recogniser, self._router = tools, recogniser, router
        self._context = RouteContext(now=datetime.now().astimezone())
        self._lines: list[Line] = []
        self._busy_s = self._sound_s = 0.0
        self._refused = self._empty = self._errors = self._words = 0

    def add(self, recording: Recording, samples: Samples) -> None:
        started, busy = time.perf_counter(), time.process_time()
        heard = self._recogniser.transcribe(_utterance(samples))
        self._busy_s += time.process_time() - busy
        self._sound_s += to_ms(len(samples)) / 1000.0
        self._refused += bool(heard.refused)
        self._empty += not heard.text
        if recording.text is not None:
            errors, words = word_errors(recording.text, heard.text)
            self._errors, self._words = self._errors + errors, self._words + words
        self._lines.append(self._line(recording, heard, (time.perf_counter() - started) * 1000.0))

    def _line(self, recording: Recording, heard: Transcript, elapsed_ms: float) -> Line:
        """What was refused is not routed: the assistant would say that it did not understand."""
        expected = Answer(
            _plain(recording.intent), {_plain(k): frozenset({norm(v)}) for k, v in recording.slots.items()}
        )
        if heard.refused or not heard.text:
            return Line((expected,), (), False, elapsed_ms)
        decision = asyncio.run(self._decided(heard))
        acts = decision.outcome in (Outcome.ACT, Outcome.CONFIRM)
        proposed = tuple(
            (_plain(call.tool), {_plain(name): norm(value) for name, value in call.arguments.items()})
            for call in (decision.calls if acts else ())
        )
        return Line((expected,), proposed, decision.outcome is Outcome.ACT, elapsed_ms)

    async def _decided(self, heard: Transcript) -> Decision:
        """As the assistant decides: other readings of the sound may mend a first one that means nothing, or contest it."""

        async def decide(read: Transcript) -> Decision:
            return self._router.route(read, self._tools, self._context)

        return (await final_reading(heard, decide, self._tools))[1]

    def summary(self) -> dict[str, Any]:
        return {
            **summarise(self._lines),
            "real_time_factor": round(self._busy_s / self._sound_s, 4) if self._sound_s else None,
            "refused": self._refused,
            "empty": self._empty,
            "word_error_rate": round(self._errors / self._words, 4) if self._words else None,
        }


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _offset(name: str, length: int) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") % max(1, length)


def _utterance(samples: Samples) -> Utterance:
    return Utterance(samples, 0.0, 0.0, to_ms(len(samples)))
