"""The doctor's ears: how loud the room is, whether a tone comes back, and how far the user may interrupt."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator

import numpy as np

from voice_needle.audio import FRAME_MS, Samples
from voice_needle.config import Config
from voice_needle.doctor import FAIL, OK, WARN, Check, Finding, Patient, sound_devices

ROOM_MS = 1_500.0
Meter = Callable[[float], None]
"""Called with the level of each tenth of a second, in dB below full scale."""


def level_dbfs(samples: Samples) -> float:
    """RMS in dB below full scale; -96 for digital silence."""
    power = float(np.mean(np.square(samples.astype(np.float64)))) if len(samples) else 0.0
    return max(-96.0, 10.0 * float(np.log10(power / 32768.0**2 + 1e-12)))


def checks(meter: Meter = lambda level: None) -> dict[str, Check]:
    """What --sound adds: it plays a chirp of one second."""

    def listen(patient: Patient) -> Iterator[Finding]:
        missing = [found for found in sound_devices(patient) if found.state == FAIL]
        if missing:
            names = " and ".join(found.check for found in missing)
            yield Finding("sound", WARN, f"neither level, tone nor echo can be measured without the {names}", missing[0].fix)
            return
        room, heard = asyncio.run(record(patient.config, meter))
        yield room_finding(room)
        if heard is not None:
            yield from echo_findings(heard, room)

    return {"sound": listen}


async def record(config: Config, meter: Meter) -> tuple[Samples, Samples | None]:
    """The room, then the room with a chirp in it from the chirp's first sample on; None: it was never played."""
    from voice_needle.assembly import make_sink, make_source
    from voice_needle.clock import RealClock
    from voice_needle.listen import echo_test

    clock = RealClock()
    source, sink = make_source(config, clock), make_sink(config, clock)
    began: list[float] = []

    def first(block: Samples, time_s: float) -> None:
        if not began and block.any():
            began.append(time_s)

    try:
        await sink.start()
        sink.add_tap(first)
        frames = source.frames()
        room = [frame for _, frame in [await _frame(source, frames, meter) for _ in range(round(ROOM_MS / FRAME_MS))]]
        playing = asyncio.ensure_future(sink.play(echo_test.chirp()))
        count = round((echo_test.CHIRP_MS + echo_test.LISTEN_MS + 200.0) / FRAME_MS)
        heard = [await _frame(source, frames, meter) for _ in range(count)]
        await playing
    finally:
        with contextlib.suppress(Exception):
            await sink.close()
        await source.close()
    if not began:
        return np.concatenate(room), None
    after = [frame for time_s, frame in heard if time_s >= began[0] - FRAME_MS / 2000.0]
    return np.concatenate(room), np.concatenate([np.zeros(0, np.int16), *after])


async def _frame(source: object, frames: AsyncIterator[Samples], meter: Meter) -> tuple[float, Samples]:
    frame = await asyncio.wait_for(anext(frames), 5.0)
    meter(level_dbfs(frame))
    return float(getattr(source, "frame_time_s", 0.0)), frame


def room_finding(room: Samples) -> Finding:
    level = level_dbfs(room)
    if level <= -95.0:
        return Finding("level", FAIL, "the microphone gives digital silence: it is muted, or it is the wrong one", "alsamixer; voice-needle devices")
    if np.mean(np.abs(room.astype(np.int32)) >= 32_000) > 0.01:
        return Finding("level", FAIL, "the microphone is overdriven", "lower its gain: alsamixer")
    if level > -35.0:
        return Finding("level", WARN, f"the room is loud: {level:.0f} dB below full scale", "lower the microphone's gain, or move it")
    return Finding("level", OK, f"the room is at {level:.0f} dB below full scale")


def echo_findings(heard: Samples, room: Samples) -> Iterator[Finding]:
    """The self-test that the assistant does at its start. heard: from the chirp's first sample on."""
    from voice_needle.errors import EngineMissing
    from voice_needle.listen import echo_test

    canceller = True
    try:
        from voice_needle.listen.speex import SpeexEcho

        SpeexEcho()
    except EngineMissing:
        canceller = False
    verdict = echo_test.judge(heard, room, canceller=canceller)
    if level_dbfs(heard) - level_dbfs(room) < 3.0:
        yield Finding("tone", WARN, "the microphone did not hear the tone; with headphones that is right", "turn the speaker up: alsamixer")
    else:
        yield Finding("tone", OK, f"heard {level_dbfs(heard) - level_dbfs(room):.0f} dB over the room")
    more = f", {verdict.delay_ms:.0f} ms late, leak {verdict.leak_db:.0f} dB" if verdict.delay_ms is not None and verdict.leak_db is not None else ""
    fix = "" if not verdict.degraded else "sudo apt install libspeexdsp1" if not canceller else "move the microphone away from the speaker, or turn it down"
    yield Finding("interrupting", WARN if verdict.degraded else OK, f"{verdict.mode}: {verdict.why}{more}", fix)
