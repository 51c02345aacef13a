"""espeak-ng and flite, each as a process of its own (espeak-ng is GPL: never in this process).

espeak-ng takes most of its time to start. So the next process is started in advance and waits with its voice loaded; a
sentence on its standard input gives the first sound in under a millisecond. flite takes its text on the command line only,
and starts fast.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator

import numpy as np

from voice_needle.audio import SAMPLE_RATE_HZ, Samples
from voice_needle.errors import EngineFailed, EngineMissing

READ_BYTES = 4_096
SENTENCE_LIMIT_S = 30.0  # a process that is silent for so long hangs


async def wav_pieces(stream: asyncio.StreamReader, name: str) -> AsyncIterator[Samples]:
    """16 kHz mono int16 pieces of a WAV that arrives on a pipe; lengths in its header are not believed.

    Errors: EngineFailed when it is not 16-bit PCM, or stalls.
    """
    import soxr

    try:
        async with asyncio.timeout(SENTENCE_LIMIT_S):
            header = await stream.readexactly(12)
            if header[:4] != b"RIFF" or header[8:12] != b"WAVE":
                raise EngineFailed(f"{name} wrote something that is no sound")
            rate_hz, channels = SAMPLE_RATE_HZ, 1
            while (kind := await stream.readexactly(8))[:4] != b"data":
                chunk = await stream.readexactly(int.from_bytes(kind[4:], "little"))
                if kind[:4] == b"fmt ":
                    channels, rate_hz = int.from_bytes(chunk[2:4], "little"), int.from_bytes(chunk[4:8], "little")
                    if int.from_bytes(chunk[14:16], "little") != 16:
                        raise EngineFailed(f"{name} wrote sound that is not 16 bits wide")
    except (asyncio.IncompleteReadError, TimeoutError) as error:
        raise EngineFailed(f"{name} wrote no sound") from error
    same = rate_hz == SAMPLE_RATE_HZ
    resampler = None if same else soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="int16", quality="HQ")
    rest = b""
    while True:
        try:
            data = await asyncio.wait_for(stream.read(READ_BYTES), SENTENCE_LIMIT_S)
        except TimeoutError as error:
            raise EngineFailed(f"{name} stopped in the middle of a sentence") from error
        whole = len(rest + data) // (2 * channels) * (2 * channels)
        block = np.frombuffer((rest + data)[:whole], "<i2").reshape(-1, channels)[:, 0]
        rest = (rest + data)[whole:]
        piece = block if resampler is None else resampler.resample_chunk(block, last=not data)
        if len(piece):
            yield np.ascontiguousarray(piece, np.int16)
        if not data:
            return


async def collect(process: asyncio.subprocess.Process) -> None:
    """Wait for a killed process. Its pipe is read to the end first: asyncio never ends one whose reader had enough for now."""
    with contextlib.suppress(RuntimeError):  # somebody else reads it
        while process.stdout is not None and await process.stdout.read(65_536):
            pass
    await process.wait()


class ProcessVoice(ABC):
    """A voice that is one process a sentence: what espeak-ng and flite share."""

    name: str
    program: str
    package: str  # of Debian

    def __init__(self) -> None:
        self._running: set[asyncio.subprocess.Process] = set()

    async def start(self) -> None:
        """Errors: EngineMissing."""
        if shutil.which(self.program) is None:
            raise EngineMissing(f"{self.program} is not installed", fix=f"sudo apt install {self.package}")

    async def _spawn(self, *arguments: str) -> asyncio.subprocess.Process:
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        try:
            process = await asyncio.create_subprocess_exec(
                self.program, *arguments, stdin=pipe, stdout=pipe, stderr=null
            )
        except OSError as error:
            raise EngineMissing(
                f"{self.program} cannot be started: {error}", fix=f"sudo apt install {self.package}"
            ) from error
        self._running.add(process)
        return process

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Kill it, if it still runs, and collect it."""
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await collect(process)
        self._running.discard(process)

    @abstractmethod
    async def _process_for(self, sentence: str) -> asyncio.subprocess.Process:
        """A process that speaks this sentence to its standard output as a WAV."""

    def _prepare_next(self) -> None:  # noqa: B027 - most voices have nothing to get ready
        """Called when the first sound is out: time to get ready for the next sentence."""

    async def synthesise(self, sentence: str) -> AsyncGenerator[Samples, None]:
        """Sound of one sentence at 16 kHz, as it is made. Closing the generator kills the process. Errors: EngineFailed."""
        if not sentence.strip():
            return
        process = await self._process_for(sentence)
        assert process.stdout is not None
        try:
            async for piece in wav_pieces(process.stdout, self.name):
                yield piece
                self._prepare_next()
            if await process.wait() != 0:
                raise EngineFailed(f"{self.name} ended with code {process.returncode}")
        finally:
            await self._end(process)

    async def close(self) -> None:
        for process in list(self._running):
            await self._end(process)


class Espeak(ProcessVoice):
    """espeak-ng. voice: `espeak-ng --voices` lists them; rate_wpm: words a minute; pitch: 0 to 99; volume: 0 to 200."""

    name = "espeak"
    program = "espeak-ng"
    package = "espeak-ng"

    def __init__(self, *, voice: str = "en-gb", rate_wpm: int = 165, pitch: int = 50, volume: int = 100) -> None:
        super().__init__()
        self._arguments = ("--stdout", "-v", voice, "-s", str(rate_wpm), "-p", str(pitch), "-a", str(volume), "--stdin")
        self._spare: asyncio.subprocess.Process | None = None
        self._refill: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await super().start()
        await self._fill()

    async def _fill(self) -> None:
        if self._spare is None:
            self._spare = await self._spawn(*self._arguments)

    def _prepare_next(self) -> None:
        if self._spare is None and (self._refill is None or self._refill.done()):
            self._refill = asyncio.get_running_loop().create_task(self._fill())

    async def _process_for(self, sentence: str) -> asyncio.subprocess.Process:
        if self._refill is not None:
            await self._refill
        process, self._spare = self._spare, None
        if process is not None and process.returncode is not None:  # it died while it waited
            await self._end(process)
            process = None
        process = process or await self._spawn(*self._arguments)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # told by the missing sound instead
            process.stdin.write(sentence.encode() + b"\n")
            process.stdin.close()
        return process

    async def close(self) -> None:
        if self._refill is not None:
            with contextlib.suppress(EngineMissing):
                await self._refill
        await super().close()
        self._spare = None


class Flite(ProcessVoice):
    """flite. voice: slt, rms, awb, kal, kal16; stretch: 1.0 is the voice's own speed, more is slower."""

    name = "flite"
    program = "flite"
    package = "flite"

    def __init__(self, *, voice: str = "slt", stretch: float = 1.0) -> None:
        super().__init__()
        self._arguments = ("-voice", voice, "--setf", f"duration_stretch={stretch}")

    async def _process_for(self, sentence: str) -> asyncio.subprocess.Process:
        return await self._spawn(*self._arguments, "-t", sentence, "-o", "/dev/stdout")
