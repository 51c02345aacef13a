"""Sound cards through PortAudio: finding one by name, streams with a callback or a thread, and unplugging.

PortAudio lists devices once, when it is initialised; a device that is plugged in later shows only after it is terminated and
initialised again, which ends every stream of the process. `refresh` does that for all streams at once, and, while others
still run, only after a short-lived process has seen that the wanted device is really back.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

import numpy as np

from voice_needle.audio import BLOCK_MS, SAMPLE_RATE_HZ, Samples
from voice_needle.errors import AudioError, EngineMissing, NoMicrophone, NoSpeaker, UnknownDevice

log = logging.getLogger(__name__)

Direction: TypeAlias = Literal["input", "output"]
OnBlock: TypeAlias = Callable[[Samples, float, bool], None]
"""(block, device time in s of its first sample, xrun). block: (frames, channels) int16, a view: read it for input, fill it for
output. Runs in the audio thread: copy and return."""


@dataclass(frozen=True)
class SoundDevice:
    """One entry of PortAudio's list."""

    index: int
    name: str
    inputs: int
    outputs: int
    rate_hz: int  # its own
    default: bool  # of the system, for either direction

    def channels(self, direction: Direction) -> int:
        return self.inputs if direction == "input" else self.outputs


def portaudio() -> Any:
    """The sounddevice module. Errors: EngineMissing when it or PortAudio is not installed."""
    try:
        import sounddevice
    except ImportError as error:
        raise EngineMissing("sounddevice is not installed", fix="pip install sounddevice") from error
    except OSError as error:
        raise EngineMissing("PortAudio is not installed", fix="sudo apt install libportaudio2") from error
    return sounddevice


def list_devices() -> list[SoundDevice]:
    """All sound devices, as PortAudio saw them when it was last initialised."""
    sd = portaudio()
    try:
        defaults = set(sd.default.device)
        return [
            SoundDevice(
                index=index,
                name=str(entry["name"]),
                inputs=int(entry["max_input_channels"]),
                outputs=int(entry["max_output_channels"]),
                rate_hz=round(entry["default_samplerate"]),
                default=index in defaults,
            )
            for index, entry in enumerate(sd.query_devices())
        ]
    except sd.PortAudioError as error:
        raise AudioError(f"PortAudio does not answer: {error}") from error


def find_device(wanted: str | int | None, direction: Direction) -> SoundDevice:
    """The device of that index, or whose name is or contains `wanted` (any case); None: the system's default.

    Errors: NoMicrophone or NoSpeaker when there is no device at all; UnknownDevice, with the nearest name.
    """
    usable = [device for device in list_devices() if device.channels(direction) > 0]
    if not usable:
        missing = NoMicrophone if direction == "input" else NoSpeaker
        raise missing(f"there is no sound {direction} device")
    if wanted in (None, "", "default"):
        sd = portaudio()
        chosen = sd.default.device[0 if direction == "input" else 1]
        return next((device for device in usable if device.index == chosen), usable[0])
    if isinstance(wanted, str) and wanted.isdigit():
        wanted = int(wanted)
    if isinstance(wanted, int):
        matches = [device for device in usable if device.index == wanted]
    else:
        folded = wanted.casefold()
        matches = [device for device in usable if device.name.casefold() == folded]
        matches = matches or [device for device in usable if folded in device.name.casefold()]
    if matches:
        return matches[0]
    raise UnknownDevice(_unknown(wanted, usable, direction))


def _unknown(wanted: str | int, usable: list[SoundDevice], direction: Direction) -> str:
    names = [device.name for device in usable]
    by_folded = {name.casefold(): name for name in names}
    near = get_close_matches(str(wanted).casefold(), list(by_folded), n=1, cutoff=0.4)
    hint = f"did you mean {by_folded[near[0]]!r}?" if near else "there are: " + ", ".join(map(repr, names))
    return f"there is no sound {direction} device {wanted!r}; {hint}"


class DeviceStream:
    """One open PortAudio stream of int16 blocks, in one direction.

    blocking: read and write in a thread of our own instead of PortAudio's callback, for services with
    MemoryDenyWriteExecute=yes, under which callbacks from C into Python cannot be made.
    """

    def __init__(
        self,
        device: SoundDevice,
        direction: Direction,
        on_block: OnBlock,
        *,
        rate_hz: int,
        channels: int,
        block_ms: float = BLOCK_MS,
        latency_ms: float = 60.0,
        blocking: bool = False,
    ) -> None:
        sd = portaudio()
        self.device, self.rate_hz, self.channels = device, rate_hz, channels
        self.blocks = 0  # delivered so far: the watchdog's heartbeat
        self._direction, self._on_block = direction, on_block
        self._frames = round(rate_hz * block_ms / 1000.0)
        self._stopping = False
        self._thread: threading.Thread | None = None
        kind = sd.RawInputStream if direction == "input" else sd.RawOutputStream
        self._stream: Any = kind(
            samplerate=rate_hz,
            blocksize=self._frames,
            device=device.index,
            channels=channels,
            dtype="int16",
            latency=latency_ms / 1000.0,
            callback=None if blocking else (self._input if direction == "input" else self._output),
        )
        try:
            self._stream.start()
        except sd.PortAudioError:
            self._stream.close(ignore_errors=True)
            raise
        if blocking:
            work = self._read if direction == "input" else self._write
            self._thread = threading.Thread(target=work, name=f"sound-{direction}", daemon=True)
            self._thread.start()

    @property
    def latency_s(self) -> float:
        """What PortAudio believes to lie between its buffer and the air."""
        return float(self._stream.latency)

    @property
    def time_s(self) -> float:
        """The device's clock now."""
        return float(self._stream.time)

    def _input(self, data: Any, frames: int, time: Any, status: Any) -> None:
        self.blocks += 1
        at = time.inputBufferAdcTime or time.currentTime - frames / self.rate_hz
        self._on_block(np.frombuffer(data, np.int16).reshape(frames, -1), at, bool(status.input_overflow))

    def _output(self, data: Any, frames: int, time: Any, status: Any) -> None:
        self.blocks += 1
        block = np.frombuffer(data, np.int16).reshape(frames, -1)
        self._on_block(block, time.outputBufferDacTime or time.currentTime, bool(status.output_underflow))

    def _read(self) -> None:
        sd = portaudio()
        while not self._stopping:
            try:
                data, overflow = self._stream.read(self._frames)
            except sd.PortAudioError:
                return  # the watchdog notices
            self.blocks += 1
            at = self._stream.time - self._frames / self.rate_hz - self.latency_s
            self._on_block(np.frombuffer(data, np.int16).reshape(self._frames, -1), at, overflow)

    def _write(self) -> None:
        sd = portaudio()
        block = np.zeros((self._frames, self.channels), np.int16)
        underflow = False
        while not self._stopping:
            self.blocks += 1
            self._on_block(block, self._stream.time + self.latency_s, underflow)
            try:
                underflow = bool(self._stream.write(block.tobytes()))
            except sd.PortAudioError:
                return

    def close(self) -> None:
        """Stop at once and give the device back. May block for as long as a vanished driver does: see close_stream."""
        self._stopping = True
        if self._thread is not None:
            self._thread.join(timeout=1.0)
        self._stream.abort(ignore_errors=True)
        self._stream.close(ignore_errors=True)


_streams: dict[DeviceStream, Callable[[], None]] = {}
_lock = threading.Lock()


def open_stream(make: Callable[[], DeviceStream], on_refresh: Callable[[], None]) -> DeviceStream:
    """Open a stream and keep it in the list that `refresh` closes; on_refresh tells its owner, in any thread."""
    with _lock:
        stream = make()
        _streams[stream] = on_refresh
    return stream


async def close_stream(stream: DeviceStream, *, timeout_s: float = 2.0) -> None:
    """Close it in a thread, as the driver of a vanished device may hang; after `timeout_s` it is left behind."""
    with _lock:
        _streams.pop(stream, None)
    try:
        await asyncio.wait_for(asyncio.to_thread(stream.close), timeout_s)
    except TimeoutError:
        log.warning("the driver of %s does not let go of it", stream.device.name)


async def refresh(wanted: str | int | None, direction: Direction) -> bool:
    """Look for devices again. False: others still play or listen, and `wanted` is not back, so nothing was done."""
    if _streams and not await _probe(wanted, direction):
        return False
    await asyncio.to_thread(_restart_portaudio)
    return True


def _restart_portaudio() -> None:
    sd = portaudio()
    with _lock:
        owners = list(_streams.items())
        _streams.clear()
        for stream, on_refresh in owners:
            on_refresh()
            stream.close()
        sd._terminate()
        sd._initialize()


async def _probe(wanted: str | int | None, direction: Direction) -> bool:
    """Whether a fresh PortAudio, in a process of its own, finds the device and gets it moving."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "voice_needle.sound_devices", json.dumps([wanted, direction]),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        return await asyncio.wait_for(process.wait(), 10.0) == 0
    except TimeoutError:
        process.kill()
        await process.wait()
        return False


def pick_rate(device: SoundDevice, direction: Direction, channels: int, rate_hz: int | None) -> int:
    """`rate_hz` if given; else 16 kHz where the device takes it, else its own rate."""
    if rate_hz is not None:
        return rate_hz
    sd = portaudio()
    check = sd.check_input_settings if direction == "input" else sd.check_output_settings
    try:
        check(device=device.index, channels=channels, dtype="int16", samplerate=SAMPLE_RATE_HZ)
    except (sd.PortAudioError, ValueError):
        return device.rate_hz
    return SAMPLE_RATE_HZ


def _main() -> int:
    wanted, direction = json.loads(sys.argv[1])
    moved = threading.Event()
    try:
        device = find_device(wanted, direction)
        rate_hz = pick_rate(device, direction, 1, None)
        stream = DeviceStream(device, direction, lambda *_: moved.set(), rate_hz=rate_hz, channels=1)
    except (AudioError, portaudio().PortAudioError, ValueError):
        return 1
    found = moved.wait(3.0)
    stream.close()
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(_main())
