"""A simulated sound card for long runs: microphone and speaker on one scripted clock, which either can be unplugged from.

The microphone drives the clock, 10 ms a frame, as a file source does. The speaker behaves as speak.device's does: unplugged, the
answer in progress fails with DeviceLost, and the next one plays when it is back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np

from voice_needle.audio import BLOCK_SAMPLES, FRAME_MS, FRAME_SAMPLES, SAMPLE_RATE_HZ, Samples
from voice_needle.clock import ScriptedClock
from voice_needle.errors import DeviceLost
from voice_needle.speak.sinks import QueueSink
from voice_needle.workers import Workers

FLOOR_RMS = 12.0  # LSB: a quiet room through a cheap microphone
FLOOR_S = 20


class CardSpeaker(QueueSink):
    """Moved by the card, two frames a block."""

    name = "simulated speaker"

    def __init__(self) -> None:
        super().__init__()
        self._heard = 0

    @property
    def heard(self) -> int:
        return self._heard

    async def start(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    def move(self, time_s: float) -> None:
        """20 ms have passed."""
        if self._heard < self._queue.read:
            self._heard = self._queue.read
            self._moved.set()
        if self._error is None and (self._queue.waiting or self._queue.read < self._queue.written):
            block, _ = self._queue.take(BLOCK_SAMPLES)
            self._played(block, time_s)

    def unplug(self) -> None:
        self._error = DeviceLost("the simulated speaker was unplugged")
        self._queue.flush()
        self._moved.set()

    def plug_in(self) -> None:
        self._error = None


class CardMicrophone:
    """A source of frames. step(seconds): awaited before each frame; what happens to the card happens there. False: the end."""

    name = "simulated microphone"
    overruns = 0

    def __init__(
        self, clock: ScriptedClock, workers: Workers, speaker: CardSpeaker, step: Callable[[float], Awaitable[bool]], seed: int
    ) -> None:
        self._clock, self._workers, self._speaker, self._step = clock, workers, speaker, step
        rng = np.random.default_rng(seed)
        floor = np.rint(rng.normal(0.0, FLOOR_RMS, FLOOR_S * SAMPLE_RATE_HZ)).astype(np.int16)
        self._floor = floor.reshape(-1, FRAME_SAMPLES)
        self._sounds: list[list[Samples]] = []  # frames of what is heard now, last first
        self._number = 0
        self.plugged = True
        self._closed = False

    def hear(self, sound: Samples) -> None:
        """From the next frame on, beside whatever else is to be heard."""
        whole = np.pad(sound, (0, -len(sound) % FRAME_SAMPLES)).reshape(-1, FRAME_SAMPLES)
        self._sounds.append(list(whole[::-1]))

    @property
    def silent(self) -> bool:
        """Nothing but the room is to be heard."""
        return not self._sounds

    async def frames(self) -> AsyncIterator[Samples]:
        while not self._closed and await self._step(self._clock.monotonic()):
            frame = self._floor[self._number % len(self._floor)]
            self._number += 1
            if self._sounds:
                frame = self._mixed(frame)
            if not self._clock.skip(FRAME_MS / 1000.0):
                await self._clock.advance(FRAME_MS / 1000.0)
            if self._number % 2 == 0:
                self._speaker.move(self._clock.monotonic())
            if self.plugged:
                yield frame
            else:
                await self._workers.quiet()

    def _mixed(self, floor: Samples) -> Samples:
        heard = np.sum([floor, *(sound.pop() for sound in self._sounds)], axis=0, dtype=np.int32)
        self._sounds = [sound for sound in self._sounds if sound]
        return np.clip(heard, -32768, 32767).astype(np.int16)

    async def close(self) -> None:
        self._closed = True
