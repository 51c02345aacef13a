"""What this machine needs for each stage: milliseconds, memory, idle load. Figures, not verdicts; a baseline beside each.

Sentences are synthesised, then go through the real parts. Times of one run on a shared machine are noisy: medians and
95th percentiles are given, and ratios between two ways that ran in turn.
"""

from __future__ import annotations

import asyncio
import functools
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from voice_needle.audio import FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE_HZ, Samples, to_ms, to_samples
from voice_needle.clock import RealClock, ScriptedClock
from voice_needle.config import Config
from voice_needle.events import RouteContext, Transcript, Utterance
from voice_needle.tools import Toolset
from voice_needle.trace import Trace
from voice_needle.turn import Turn

SENTENCES = (
    "turn on the kitchen light",
    "switch off the lights in the living room",
    "set the bedroom light to forty percent",
    "make the hall light brighter",
    "close the blinds in the office",
    "set the heating in the bathroom to twenty two degrees",
    "is the kitchen light on",
    "turn on the coffee machine",
    "turn off the kitchen light and the hall light",
    "what is the temperature in the bedroom",
)
VOICES = ("slt", "rms", "awb")


def summary(values: Sequence[float]) -> dict[str, float]:
    """{"n", "p50", "p95"} of milliseconds."""
    if not values:
        return {"n": 0, "p50": 0.0, "p95": 0.0}
    ordered = sorted(values)
    return {
        "n": len(ordered),
        "p50": round(statistics.median(ordered), 2),
        "p95": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 2),
    }


def timed(work: Callable[[], object]) -> float:
    """Milliseconds that `work` takes."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def peak_rss_mb() -> float:
    """The most memory this process ever held, in MB (2**20 bytes)."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def rss_mb() -> float:
    """The memory that this process holds now, in MB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


@dataclass
class Spoken:
    """The sentences as sound, cut as the assistant cuts them."""

    texts: list[str] = field(default_factory=list)
    utterances: list[Utterance] = field(default_factory=list)


def speak(limit: int) -> Spoken:
    """Sentences in several voices. Errors: EngineMissing without flite."""
    from voice_needle.evaluation import synthetic_speech

    spoken = Spoken()
    for index, text in enumerate(SENTENCES[:limit]):
        samples = synthetic_speech.speak(text, VOICES[index % len(VOICES)])
        quiet = np.zeros(to_samples(300), np.int16)
        sound: Samples = np.concatenate([quiet, samples, quiet])
        spoken.texts.append(text)
        spoken.utterances.append(Utterance(sound, 0.0, 300.0, 300.0 + to_ms(len(samples))))
    return spoken


def bench_stages(config: Config, tools: Toolset, limit: int = 10) -> dict[str, Any]:
    """Each stage by itself, one after the other."""
    from voice_needle.assembly import make_recogniser, make_router

    spoken = speak(limit)
    recogniser, router = make_recogniser(config), make_router(config)
    loading = {"recogniser": timed(lambda: recogniser.prepare(tools)), "router": timed(lambda: router.prepare(tools))}
    context = RouteContext(now=RealClock().now())
    transcribe, right, sound_ms, route = [], 0, 0.0, []
    for text, utterance in zip(spoken.texts, spoken.utterances, strict=True):
        started = time.perf_counter()
        transcript = recogniser.transcribe(utterance)
        transcribe.append((time.perf_counter() - started) * 1000)
        right += transcript.text == text
        sound_ms += utterance.duration_ms
        asked = functools.partial(router.route, Transcript(text), tools, context)
        route += [timed(asked) for _ in range(5)]
    recogniser.close()
    return {
        "loading_ms": {name: round(ms, 1) for name, ms in loading.items()},
        "transcribe": {**summary(transcribe), "real_time_factor": round(sum(transcribe) / sound_ms, 3)},
        "sentences_right": f"{right} of {len(spoken.texts)}",
        "route": summary(route),
        "voice_first_audio": asyncio.run(_voice(config, spoken.texts)),
        "tools": len(tools),
    }


async def _voice(config: Config, texts: Sequence[str]) -> dict[str, float]:
    from voice_needle.assembly import make_voice

    voice, first = make_voice(config), []
    await voice.start()
    for text in texts:
        started = time.perf_counter()
        pieces = voice.synthesise(text)
        async for _ in pieces:
            first.append((time.perf_counter() - started) * 1000)
            break
        await pieces.aclose()
        await asyncio.sleep(0.05)
    await voice.close()
    return summary(first)


def bench_listening(config: Config, seconds: float = 60.0) -> dict[str, Any]:
    """Processor time that listening costs, as a share of one core: digital silence, room noise, speech."""
    from voice_needle.assembly import make_endpointer, make_vad

    rng = np.random.default_rng(0)
    count = round(seconds * 1000 / FRAME_MS)
    shares = {}
    for name, level in (("silence", 0.0), ("room_noise", 40.0)):
        sound = np.rint(rng.normal(0.0, level, count * FRAME_SAMPLES)).astype(np.int16)
        vad, endpointer = make_vad(config.listen), make_endpointer(config.listen)
        started = time.process_time()
        for at in range(0, len(sound), FRAME_SAMPLES):
            frame = sound[at : at + FRAME_SAMPLES]
            endpointer.feed(frame, vad.speech_probability(frame))
        shares[name] = round((time.process_time() - started) / seconds, 5)
    return {"cpu_share_of_one_core": shares, "seconds": seconds}


async def bench_path(config: Config, plugin: str = "home", limit: int = 10) -> dict[str, Any]:
    """End of speech to first audio through the whole assistant, with semantic endpointing and with a fixed silence."""
    ours = await _whole_path(config, plugin, limit)
    listen = config.listen
    fixed = replace(
        listen,
        read_ahead_ms=5000,
        complete_silence_ms=listen.end_silence_ms,
        incomplete_silence_ms=listen.end_silence_ms,
    )
    baseline = await _whole_path(replace(config, listen=fixed), plugin, limit)
    answered = min(ours["n"], baseline["n"])
    return {
        "semantic_endpoint": ours,
        "fixed_silence": baseline,
        "ratio_p50": round(ours["p50"] / baseline["p50"], 3) if answered else None,
    }


async def _whole_path(config: Config, plugin: str, limit: int) -> dict[str, Any]:
    """Response times of a file with all sentences: waited silence plus what was really computed after it."""
    import soundfile

    from voice_needle.assembly import open_assistant, open_registry
    from voice_needle.evaluation.scenarios import effects_of

    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        registry = open_registry(config, [plugin])
        gap = np.zeros(to_samples(3500), np.int16)
        parts = [part for utterance in speak(limit).utterances for part in (utterance.samples, gap)]
        soundfile.write(place / "in.wav", np.concatenate(parts), SAMPLE_RATE_HZ, subtype="PCM_16")
        turns = Turns()
        async with effects_of(plugin, registry.plugins[plugin].folder).world(place) as world:
            settings = replace(config, data_dir=place / "data", plugins={plugin: dict(world.settings)})
            clock = ScriptedClock(RealClock().now())
            async with open_assistant(settings, clock, registry, input_file=place / "in.wav", trace=turns) as assistant:
                await assistant.run()
    spoken = [turn for turn in turns.all if turn.answer]
    stages = {
        name: summary([turn.ms[name] for turn in spoken if name in turn.ms])
        for name in ("endpoint", "transcribe", "route", "act", "voice")
    }
    return {**summary([turn.ms["response"] for turn in spoken]), "stages": stages}


class Turns(Trace):
    """A trace that keeps the turns themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Turn] = []

    def write(self, turn: Turn, at: datetime) -> None:
        self.all.append(turn)


def bench_memory(config: Config) -> dict[str, Any]:
    """Peak resident memory of a fresh process that runs one request through the whole path."""
    code = (
        "import asyncio, json\n"
        "from voice_needle import config as c\n"
        "from voice_needle.evaluation import bench as b\n"
        f"config = c.load(profile={config.profile!r})\n"
        "result = asyncio.run(b._whole_path(config, 'home', 2))\n"
        "print(json.dumps({'peak_rss_mb': b.peak_rss_mb(), 'turns': result['n']}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    import json

    try:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return {"error": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no output"}
    return {**found, "budget_mb": config.budget.memory_mb}
