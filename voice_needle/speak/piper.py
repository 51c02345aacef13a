"""Piper's neural voices, in a process of their own (GPL-3.0: never in this one), sentence by sentence.

A sentence that is stopped is silent at once. The process gets a moment to finish what it computes in vain; if it has not,
or has died, the next sentence starts a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
from collections.abc import AsyncGenerator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from voice_needle.audio import SAMPLE_RATE_HZ, Samples
from voice_needle.errors import EngineFailed, EngineMissing, ModelCorrupt, ModelMissing
from voice_needle.speak.espeak import collect
from voice_needle.speak.piper_worker import FAILED, HEADER

PULL = "voice-needle models pull piper-en_US-lessac-low"
PIECE_BYTES = 4_096


def installed_voices(models_dir: Path) -> list[Path]:
    """Piper models (X.onnx beside X.onnx.json) anywhere under `models_dir`, by name."""
    return sorted(Path(str(config)[: -len(".json")]) for config in models_dir.glob("**/*.onnx.json"))


def find_voice(models_dir: Path, voice: str = "") -> Path:
    """The model of that name or file; without one, the first installed. Errors: ModelMissing."""
    if voice.endswith(".onnx"):
        path = Path(voice).expanduser()
        if path.exists() and Path(f"{path}.json").exists():
            return path
        raise ModelMissing(f"there is no Piper voice {path} with a {path.name}.json beside it", fix=PULL)
    found = [path for path in installed_voices(models_dir) if path.exists() and (not voice or voice in path.name)]
    if not found:
        wanted = f"The Piper voice {voice}" if voice else "A Piper voice"
        raise ModelMissing(f"{wanted} is not installed in {models_dir}", fix=PULL)
    return found[0]


class Piper:
    """One Piper voice. length_scale: 1.0 is its own speed, more is slower; None: as the voice says. speaker: of a voice with
    several. cancel_grace_ms: how long a stopped sentence may still be computed before the process is killed.
    """

    name = "piper"

    def __init__(
        self,
        model: Path,
        *,
        threads: int = 1,
        length_scale: float | None = None,
        speaker: int | None = None,
        start_timeout_s: float = 30.0,
        sentence_timeout_s: float = 30.0,
        cancel_grace_ms: float = 500.0,
    ) -> None:
        self.model = model
        options = {"--threads": threads, "--length-scale": length_scale, "--speaker": speaker}
        self._arguments = [item for key, value in options.items() if value is not None for item in (key, str(value))]
        self._start_timeout_s, self._sentence_timeout_s = start_timeout_s, sentence_timeout_s
        self._grace_s = cancel_grace_ms / 1000.0
        self._process: asyncio.subprocess.Process | None = None
        self._rate_hz = SAMPLE_RATE_HZ
        self._numbers = itertools.count(1)
        self._lock = asyncio.Lock()
        self._clearing: asyncio.Task[None] | None = None
        self.restarts = 0

    async def start(self) -> None:
        """Load the voice and let it speak once, unheard. Errors: EngineMissing, ModelMissing, ModelCorrupt."""
        if find_spec("piper") is None:
            raise EngineMissing("Piper is not installed", fix="pip install 'voice-needle[piper]'")
        find_voice(self.model.parent, str(self.model))
        async with self._lock:
            await self._ready()

    async def _ready(self) -> asyncio.subprocess.Process:
        """The running process; a new one where it died."""
        if self._clearing is not None:
            await self._clearing
            self._clearing = None
        if self._process is not None and self._process.returncode is None:
            return self._process
        self.restarts += self._process is not None
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "voice_needle.speak.piper_worker", str(self.model), *self._arguments,
            stdin=pipe, stdout=pipe, stderr=null,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), self._start_timeout_s)
            self._rate_hz = int(json.loads(line)["rate_hz"])
        except (TimeoutError, ValueError, KeyError) as error:
            await self._kill()
            raise ModelCorrupt(f"the Piper voice {self.model} cannot be loaded") from error
        except BaseException:
            await self._kill()
            raise
        return process

    async def synthesise(self, sentence: str) -> AsyncGenerator[Samples, None]:
        """Sound of one sentence at 16 kHz. Closing the generator stops it. Errors: EngineFailed, ModelCorrupt."""
        if not sentence.strip():
            return
        async with self._lock:
            process = await self._ready()
            assert process.stdin is not None and process.stdout is not None
            number, done = next(self._numbers), False
            try:
                process.stdin.write(json.dumps({"id": number, "text": sentence}).encode() + b"\n")
                await process.stdin.drain()
                resampler = self._resampler()
                while chunk := await asyncio.wait_for(self._chunk(process.stdout, number), self._sentence_timeout_s):
                    for piece in self._pieces(chunk, resampler):
                        yield piece
                done = True
                if resampler is not None and len(rest := resampler.resample_chunk(np.empty(0, np.int16), last=True)):
                    yield rest
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                await self._kill()
                done = True
                raise EngineFailed("Piper stopped in the middle of a sentence") from error
            finally:
                if not done:
                    self._clearing = asyncio.get_running_loop().create_task(self._clear(process, number))

    def _resampler(self) -> Any:
        if self._rate_hz == SAMPLE_RATE_HZ:
            return None
        import soxr

        return soxr.ResampleStream(self._rate_hz, SAMPLE_RATE_HZ, 1, dtype="int16", quality="HQ")

    def _pieces(self, chunk: bytes, resampler: Any) -> Iterator[Samples]:
        for start in range(0, len(chunk), PIECE_BYTES):
            piece = np.frombuffer(chunk[start : start + PIECE_BYTES], "<i2")
            piece = piece if resampler is None else resampler.resample_chunk(piece)
            if len(piece):
                yield piece

    async def _chunk(self, stream: asyncio.StreamReader, number: int) -> bytes:
        """The next piece of sentence `number`; empty at its end."""
        while True:
            got, size = HEADER.unpack(await stream.readexactly(HEADER.size))
            if size == FAILED:
                if got == number:
                    raise EngineFailed("Piper could not say a sentence")
                continue
            data = await stream.readexactly(size)
            if got == number:
                return data

    async def _clear(self, process: asyncio.subprocess.Process, number: int) -> None:
        """Read the rest of a stopped sentence; kill the process if that takes too long."""
        assert process.stdout is not None
        try:
            async with asyncio.timeout(self._grace_s):
                while await self._chunk(process.stdout, number):
                    pass
        except EngineFailed:
            return
        except (TimeoutError, asyncio.IncompleteReadError):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await collect(process)

    async def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await collect(self._process)

    async def close(self) -> None:
        if self._clearing is not None:
            self._clearing.cancel()
        await self._kill()
