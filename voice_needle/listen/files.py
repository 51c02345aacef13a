"""Sound from a WAV or FLAC file, or raw from standard input, in place of a microphone.

Files are streamed block by block: ten hours cost no more memory than ten seconds. With `realtime` a frame comes every 10 ms
of the clock. Without, frames come as fast as they are taken; a scripted clock is then driven by the sound: it moves 10 ms
with every frame, so everything that waits for time wakes at its proper place.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from voice_needle.audio import FRAME_MS, FRAME_SAMPLES, Samples, to_samples
from voice_needle.clock import Clock, RealClock, ScriptedClock
from voice_needle.errors import BadAudioFile
from voice_needle.listen.resample import Framer, Resampler

READ_MS = 250  # how much is read from the disk at once
MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 48_000


class Pacer:
    """Hands out frame times: waits for the clock (`realtime`), or moves a scripted clock on, or only yields to the loop."""

    def __init__(self, clock: Clock, *, realtime: bool) -> None:
        self._clock = clock
        self._realtime = realtime
        self._due = clock.monotonic()

    async def frame(self) -> None:
        """Return when the next frame's 10 ms have passed."""
        self._due += FRAME_MS / 1000.0
        if self._realtime:
            await self._clock.sleep(self._due - self._clock.monotonic())
        elif isinstance(self._clock, ScriptedClock):
            await self._clock.advance(FRAME_MS / 1000.0)
        else:
            await asyncio.sleep(0)


class _Paced:
    """What a file and a pipe share: frames at the pace of the clock, and silence after the end."""

    overruns = 0

    def __init__(self, name: str, clock: Clock | None, realtime: bool, tail_ms: float) -> None:
        self.name = name
        self.ended = asyncio.Event()  # set when the sound itself has been given; silence may follow
        self._clock = clock or RealClock()
        self._realtime = realtime
        self._tail_ms = tail_ms
        self._closed = False

    async def _tail(self, pacer: Pacer) -> AsyncIterator[Samples]:
        """The sound has ended: frames of silence, until closed."""
        self.ended.set()
        async for frame in silence(pacer, self._tail_ms):
            if self._closed:
                return
            yield frame

    async def close(self) -> None:
        self._closed = True


class FileSource(_Paced):
    """A WAV or FLAC file (whatever libsndfile reads) of 8 to 48 kHz, any width, any channel count.

    channel: which one to take, from 0; None: their mean. tail_ms: silence after the end, so that a last word is ended by
    silence as on a microphone; math.inf: silence until closed. A file that breaks off in the middle gives what it holds, then
    BadAudioFile; a WAV that does so is refused at once. Errors at construction: BadAudioFile.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        clock: Clock | None = None,
        realtime: bool = False,
        channel: int | None = None,
        tail_ms: float = 1_500.0,
    ) -> None:
        super().__init__(str(path), clock, realtime, tail_ms)
        self._file = _open(Path(path))
        if channel is not None and channel >= self._file.channels:
            count = self._file.channels
            self._file.close()
            raise BadAudioFile(f"{path} has {count} channel(s); channel {channel} is not one of them")
        self._resampler = Resampler(self._file.samplerate, channel=channel)
        self.duration_ms = self._file.frames * 1000.0 / self._file.samplerate

    async def frames(self) -> AsyncIterator[Samples]:
        """(160,) frames of the file, then of the silent tail. Errors: BadAudioFile when the file breaks off."""
        pacer = Pacer(self._clock, realtime=self._realtime)
        framer = Framer()
        for block, last in self._blocks():
            for frame in framer.feed(self._resampler.feed(block, last=last), last=last):
                if self._closed:
                    return
                await pacer.frame()
                yield frame
        async for frame in self._tail(pacer):
            yield frame

    def _blocks(self) -> Iterator[tuple[Any, bool]]:
        import soundfile

        size = self._file.samplerate * READ_MS // 1000
        left = self._file.frames
        while left > 0 and not self._closed:
            try:
                block = self._file.read(min(size, left), dtype="float32" if self._wide() else "int16", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise BadAudioFile(f"{self.name} breaks off: {error}") from error
            if not len(block):
                raise BadAudioFile(f"{self.name} breaks off before the length that its header promises")
            left -= len(block)
            yield block, left <= 0

    def _wide(self) -> bool:
        return str(self._file.subtype) not in {"PCM_16", "PCM_S8", "PCM_U8"}

    async def close(self) -> None:
        await super().close()
        self._file.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class RawSource(_Paced):
    """Headerless little-endian int16 from standard input, as `arecord -t raw` or `sox ... -t raw -` write it.

    Errors at construction: ValueError for a rate outside 8 to 48 kHz. The stream ends when the pipe is closed.
    """

    def __init__(
        self,
        stream: BinaryIO | None = None,
        *,
        rate_hz: int = 16_000,
        channels: int = 1,
        channel: int | None = None,
        clock: Clock | None = None,
        realtime: bool = False,
        tail_ms: float = 1_500.0,
    ) -> None:
        if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            raise ValueError(f"a raw stream of {rate_hz} Hz is outside {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz")
        super().__init__("standard input", clock, realtime, tail_ms)
        self._stream = stream if stream is not None else sys.stdin.buffer
        self._resampler = Resampler(rate_hz, channel=channel)
        self._channels = channels
        self._read_bytes = rate_hz * 20 // 1000 * channels * 2

    async def frames(self) -> AsyncIterator[Samples]:
        """(160,) frames until the pipe is closed, then the silent tail."""
        pacer = Pacer(self._clock, realtime=self._realtime)
        framer = Framer()
        rest = b""
        last = False
        while not last and not self._closed:
            data = await asyncio.to_thread(self._stream.read, self._read_bytes)
            last = not data
            data = rest + data
            whole = len(data) - len(data) % (2 * self._channels)
            rest = data[whole:]
            block = np.frombuffer(data[:whole], "<i2").reshape(-1, self._channels)
            for frame in framer.feed(self._resampler.feed(block, last=last), last=last):
                await pacer.frame()
                yield frame
        async for frame in self._tail(pacer):
            yield frame


async def silence(pacer: Pacer, length_ms: float) -> AsyncIterator[Samples]:
    """Silent frames for `length_ms`, which may be infinite."""
    quiet = np.zeros(FRAME_SAMPLES, np.int16)
    left = to_samples(length_ms) if length_ms != float("inf") else None
    while left is None or left > 0:
        await pacer.frame()
        yield quiet
        if left is not None:
            left -= FRAME_SAMPLES


def _check_whole(path: Path) -> None:
    """A WAV must hold the sound that its header promises; libsndfile silently reads what is there.

    Lengths of 2 GiB and more, and 0, are what programs write that do not know it yet, to a pipe: they promise nothing.
    """
    with path.open("rb") as file:
        if (head := file.read(12))[:4] != b"RIFF" or head[8:] != b"WAVE":
            return
        while len(chunk := file.read(8)) == 8:
            size = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                there = path.stat().st_size - file.tell()
                if there < size < 0x7FFF_0000:
                    raise BadAudioFile(f"{path} is truncated: {there} of {size} bytes of sound are there")
                return
            file.seek(size + size % 2, 1)


def _open(path: Path) -> Any:
    import soundfile

    if not path.exists():
        raise BadAudioFile(f"{path} does not exist", fix="give the path of a WAV or FLAC file")
    if path.is_dir():
        raise BadAudioFile(f"{path} is a folder, not a sound file")
    if path.stat().st_size == 0:
        raise BadAudioFile(f"{path} is empty")
    _check_whole(path)
    try:
        file = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        raise BadAudioFile(f"{path} is not a sound file that can be read: {error}") from error
    if file.frames == 0:
        file.close()
        raise BadAudioFile(f"{path} holds no sound")
    if not MIN_RATE_HZ <= file.samplerate <= MAX_RATE_HZ:
        file.close()
        raise BadAudioFile(f"{path} has {file.samplerate} Hz, outside {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz")
    return file
