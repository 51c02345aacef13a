"""What the duplex scenarios run on: the real assistant, dispatcher, ledger and policies in a room, with tools that only record.

The manifests are the plugins' own. Only the last step is replaced: a handler takes its time on the scripted clock, then notes
what it did, so that notes and ledger can be held against each other.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import soundfile
import soxr

from voice_needle.audio import SAMPLE_RATE_HZ, Samples, to_samples
from voice_needle.dispatch.hosts import Hosts
from voice_needle.dispatch.manifest import Manifest
from voice_needle.dispatch.watch import Watch
from voice_needle.errors import EngineFailed, ToolUnreachable
from voice_needle.evaluation.duplex_script import PAUSE_MS, WORD_MS, Line, Said
from voice_needle.evaluation.synthetic_speech import cache_folder, speak
from voice_needle.events import Call, Status, ToolResult, Transcript, Utterance, Word
from voice_needle.plugin import Context, Result
from voice_needle.speak.phrasing import Phrasebook
from voice_needle.tools import Tool, Toolset
from voice_needle.workers import Workers

# --- tools that record -----------------------------------------------------------------------------------------------

NAMES: Mapping[
    str, Mapping[str, Mapping[str, list[str]]]
] = {  # what the plugins' back ends would name: plural, name, aliases
    "warehouse": {
        "item": {
            "hex bolts": ["hex bolts", "hex bolt", "bolts"],
            "work gloves": ["work gloves", "work glove", "gloves"],
            "packing tape": ["packing tape", "tape"],
            "safety helmets": ["safety helmets", "safety helmet", "helmets"],
        }
    }
}


@dataclass
class Journal:
    """What the world knows of: each call that was carried out, with the key of its ledger entry, in order."""

    workers: Workers
    slow_ms: float = 60.0
    done: list[tuple[str, Call]] = field(default_factory=list)


class RecordingHost:
    """A plugin whose every tool takes `slow_ms` and is then written into the journal."""

    def __init__(self, manifest: Manifest, context: Context, journal: Journal) -> None:
        self.manifest, self.context, self._journal = manifest, context, journal

    async def ready(self) -> None: ...

    async def call(self, context: Context, tool: Tool, arguments: Mapping[str, Any], watch: Watch) -> Result:
        if not watch.begin():
            raise ToolUnreachable("it was given up before it began")
        with self._journal.workers.waiting():
            await context.clock.sleep(self._journal.slow_ms / 1000.0)
        self._journal.done.append((context.call_id, Call(tool.name, dict(arguments))))
        return Result(**undo_values(tool, self.manifest, len(self._journal.done)))

    async def condition(self, context: Context, name: str) -> str | None:
        return None

    async def vocabularies(self) -> Mapping[str, Mapping[str, Any]]:
        return {}

    async def found_tools(self) -> tuple[Tool, ...]:
        return ()

    async def close(self) -> None: ...


def undo_values(tool: Tool, manifest: Manifest, number: int) -> dict[str, Any]:
    """Result values that the tool's undo asks for, valid in the undo tool's schema."""
    undo = tool.policy.undo
    if undo is None:
        return {}
    schemas = next((other.properties for other in manifest.tools if other.name == undo.tool), {})
    values: dict[str, Any] = {}
    for name, wanted in undo.arguments.items():
        if isinstance(wanted, str) and wanted.startswith("$result."):
            schema = schemas.get(name, {})
            if schema.get("enum"):
                values[wanted[8:]] = schema["enum"][0]
            elif schema.get("type") in ("number", "integer"):
                values[wanted[8:]] = schema.get("minimum", 0)
            else:
                values[wanted[8:]] = f'{{"{number}"}}'
    return values


class RecordingHosts(Hosts):
    """Hosts whose plugins record."""

    journal: Journal

    def _start(self, manifest: Manifest) -> Any:
        return RecordingHost(manifest, self._context(manifest), self.journal)


class Wordy(Phrasebook):
    """Answers long enough to be interrupted, which name what was done."""

    def result(self, result: ToolResult, tools: Toolset) -> str:
        if result.status is not Status.OK:
            return super().result(result, tools)
        what = self.request(result.call, tools).removeprefix("do ")
        return f"All right, {what} has just been done for you, as you wished."


# --- voices ----------------------------------------------------------------------------------------------------------


def own_voice(text: str) -> Samples:
    """Our own voice: espeak-ng, cached by its words."""
    path = cache_folder() / f"espeak-{hashlib.sha256(text.encode()).hexdigest()[:24]}.npy"
    if path.exists():
        cached: Samples = np.load(path)
        return cached
    wav = path.with_suffix(".wav")
    command = ["espeak-ng", "-v", "en-gb", "-s", "170", "-w", str(wav), text]
    if subprocess.run(command, check=False, capture_output=True, timeout=60).returncode:
        raise EngineFailed(f"espeak-ng could not say {text!r}")
    sound, rate = soundfile.read(wav, dtype="float32")
    wav.unlink()
    samples = np.asarray(np.rint(soxr.resample(sound, rate, SAMPLE_RATE_HZ) * 20_000.0), np.int16)
    np.save(path, samples)
    return samples


class RoomVoice:
    """espeak-ng from the cache, at once. silent: only its length counts (text mode)."""

    name = "espeak"

    def __init__(self, silent: bool = False) -> None:
        self._silent = silent

    async def start(self) -> None: ...

    async def synthesise(self, sentence: str) -> AsyncGenerator[Samples]:
        sound = np.full(len(sentence) * 1_100, 100, np.int16) if self._silent else own_voice(sentence)
        for at in range(0, len(sound), 4_000):
            yield sound[at : at + 4_000]

    async def close(self) -> None: ...


def line_sound(line: Line, voice: str) -> tuple[Samples, float, float]:
    """The line as sound, and where in it speech begins and ends, in ms."""
    from voice_needle.evaluation import room

    if line.noise:
        sound = {"cough": room.cough, "door": room.door, "music": lambda: room.music(2.0)}[line.noise]()
        return sound, 0.0, len(sound) / 16.0
    pause = np.zeros(to_samples(PAUSE_MS - 400.0), np.int16)  # each piece has 200 ms of silence at both ends
    parts: list[Samples] = []
    for piece in line.pieces:
        parts += [speak(piece, voice), pause]
    sound = np.concatenate(parts[:-1])
    loud = np.flatnonzero(np.abs(sound.astype(np.int32)) > 0.05 * np.max(np.abs(sound.astype(np.int32))))
    return sound, float(loud[0]) / 16.0, float(loud[-1]) / 16.0


# --- text mode: ears that know the script ----------------------------------------------------------------------------


def line_words(line: Line, start_ms: float) -> Said:
    """The line on a time line of words, for ears that need no sound."""
    at = start_ms
    words: list[tuple[str, float, float]] = []
    for piece in line.pieces:
        for word in re.findall(r"[\w']+", piece.lower()):
            words.append((word, at, at + WORD_MS))
            at += WORD_MS
        at += PAUSE_MS
    return Said(line, start_ms, at - PAUSE_MS if words else start_ms + 250.0, words)


class ScriptVad:
    """Hears whoever is speaking according to the script. One call a frame."""

    name = "script"

    def __init__(self, said: list[Said], now_ms: Any) -> None:
        self._said, self._now_ms = said, now_ms

    def speech_probability(self, frame: Samples) -> float:
        now = self._now_ms() - 5.0
        for each in self._said[-2:]:
            spans = [(start, end) for _, start, end in each.words] or [(each.start_ms, each.end_ms)]
            if any(start <= now < end for start, end in spans):
                return 1.0
        return 0.0

    def reset(self) -> None: ...


class ScriptRecogniser:
    """Knows the words of the script by their times; partial ones, too."""

    name = "script"

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.now_ms: Any = lambda: 0.0

    def prepare(self, tools: Toolset) -> None: ...

    def transcribe(self, utterance: Utterance) -> Transcript:
        now = self.now_ms()  # scripted time stands still while somebody reads: the sound ends now
        return self._heard(now - utterance.duration_ms, now, final=True)

    def _heard(self, start_ms: float, end_ms: float, *, final: bool) -> Transcript:
        words = [
            (word, start, end)
            for each in self.said
            for word, start, end in each.words
            if start_ms <= (start + end) / 2 and end <= end_ms + 1.0
        ]
        text = " ".join(word for word, _, _ in words)
        timed = tuple(Word(word, start - start_ms, end - start_ms) for word, start, end in words)
        return Transcript(text, timed, final=final, refused="" if text else "silence")

    def stream(self) -> ScriptStream:
        return ScriptStream(self, self.now_ms())

    def close(self) -> None: ...


class ScriptStream:
    """One utterance as it is spoken. began_ms: when its onset was noticed; its words began up to 400 ms before."""

    def __init__(self, recogniser: ScriptRecogniser, began_ms: float) -> None:
        self._recogniser, self._from_ms = recogniser, began_ms - 400.0

    ended = False

    def feed(self, samples: Samples) -> None: ...

    def partial(self) -> Transcript:
        return self._recogniser._heard(self._from_ms, self._recogniser.now_ms(), final=False)

    def finish(self) -> Transcript:
        return self._recogniser._heard(self._from_ms, self._recogniser.now_ms(), final=True)
