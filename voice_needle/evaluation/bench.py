"""What this machine needs for each stage: milliseconds, memory, idle load. Figures, not verdicts; a baseline beside each.

Sentences are synthesised, then go through the real parts. Times of one run on a shared machine are noisy: medians and
95th percentiles are given, and ratios between two ways that ran in turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from voice_needle import memory
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
    with tempfile.TemporaryDirectory() as scratch:
        turns = await _turns(replace(config, data_dir=Path(scratch) / "data"), [plugin], limit)
    spoken = [turn for turn in turns if turn.answer]
    stages = {
        name: summary([turn.ms[name] for turn in spoken if name in turn.ms])
        for name in ("endpoint", "transcribe", "route", "act", "voice")
    }
    return {**summary([turn.ms["response"] for turn in spoken]), "stages": stages}


async def _turns(
    config: Config, plugins: Sequence[str], limit: int, started: Callable[[], object] = lambda: None
) -> list[Turn]:
    """The turns of a file with `limit` sentences. The first plugin has its real back end. started: called when all listens."""
    import soundfile

    from voice_needle.assembly import open_assistant, open_registry
    from voice_needle.evaluation.scenarios import effects_of

    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        registry = open_registry(config, plugins)
        gap = np.zeros(to_samples(3500), np.int16)
        parts = [part for utterance in speak(limit).utterances for part in (utterance.samples, gap)]
        soundfile.write(place / "in.wav", np.concatenate(parts), SAMPLE_RATE_HZ, subtype="PCM_16")
        turns = Turns()
        async with effects_of(plugins[0], registry.plugins[plugins[0]].folder).world(place) as world:
            settings = replace(config, plugins={plugins[0]: dict(world.settings)})
            clock = ScriptedClock(RealClock().now())
            async with open_assistant(settings, clock, registry, input_file=place / "in.wav", trace=turns) as assistant:
                started()
                await assistant.run()
    return turns.all


class Turns(Trace):
    """A trace that keeps the turns themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Turn] = []

    def write(self, turn: Turn, at: datetime) -> None:
        self.all.append(turn)


def bench_memory(config: Config) -> dict[str, Any]:
    """Peak resident memory of a fresh process that starts with all configured plugins and answers two requests.

    first_start: its words are compiled, by a process of its own; start: they were before. with_helpers_mb: the same and every
    process that it starts, together, seen every 20 ms. Files are read from the disk, as after a boot: of a library that was
    just installed the kernel maps 15 MB more than is used, because they are in memory anyway.
    """
    forget_files(Path(sysconfig.get_path("purelib")), Path(__file__).parents[1])
    with tempfile.TemporaryDirectory() as scratch:
        code = (
            "import asyncio, json, sys\n"
            "from pathlib import Path\n"
            "from voice_needle import config as c\n"
            "from voice_needle.evaluation import bench as b\n"
            f"config = c.load(profile={config.profile!r})\n"
            f"print(json.dumps(asyncio.run(b.measure_memory(config, {config.dispatch.plugins!r}, Path({scratch!r})))))\n"
        )
        found = {name: _watched(code) for name in ("first_start", "start")}
    return {**found, "plugins": list(config.dispatch.plugins), "budget_mb": config.budget.memory_mb}


def forget_files(*folders: Path) -> None:
    """Have the kernel read these folders' files from the disk when they are wanted again (posix_fadvise(2))."""
    os.sync()  # only what is on the disk can be forgotten
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        with contextlib.suppress(OSError), path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _watched(code: str) -> dict[str, Any]:
    """What Python code prints last as JSON, and the most that its process and its helpers held together."""
    most = 0.0
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as wrong:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=out, stderr=wrong, text=True)
        while process.poll() is None:
            most = max(most, memory.tree_mb(process.pid))
            time.sleep(0.02)  # sampling: there is nothing to wait for
        out.seek(0)
        wrong.seek(0)
        try:
            found: dict[str, Any] = json.loads(out.read().splitlines()[-1])
        except (ValueError, IndexError):
            return {"error": wrong.read().strip().rpartition("\n")[2] or "no output"}
    return {**found, "with_helpers_mb": round(most, 1)}


async def measure_memory(config: Config, plugins: Sequence[str], data_dir: Path) -> dict[str, float]:
    """Of this process, which must be a fresh one: MB when it begins to listen, and at most."""
    started: list[float] = []
    turns = await _turns(replace(config, data_dir=data_dir), plugins, 2, lambda: started.append(memory.resident_mb()))
    return {
        "listening_mb": started[0],
        "peak_rss_mb": memory.peak_mb(),
        "turns": sum(bool(turn.answer) for turn in turns),
    }
