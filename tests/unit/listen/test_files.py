"""Sound files of every common shape are read; those that are none say so; long ones are streamed."""

from __future__ import annotations

import asyncio
import io
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voice_needle.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ, Samples
from voice_needle.clock import ScriptedClock
from voice_needle.errors import BadAudioFile
from voice_needle.listen.files import FileSource, RawSource


def tone(rate_hz: int, seconds: float = 1.0, channels: int = 1) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(rate_hz * seconds)) / rate_hz)
    return np.stack([wave] * channels, axis=1)


async def read(source: FileSource | RawSource) -> Samples:
    return np.concatenate([frame async for frame in source.frames()])


def frequency_hz(samples: Samples) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * SAMPLE_RATE_HZ / len(samples))


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize(
    ("name", "subtype", "channels"),
    [
        ("a.wav", "PCM_16", 1),
        ("a.wav", "PCM_24", 2),
        ("a.wav", "FLOAT", 2),
        ("a.wav", "PCM_U8", 1),
        ("a.flac", "PCM_24", 2),
    ],
)
async def test_rates_widths_and_channels_all_become_the_same_sound(tmp_path, rate_hz, name, subtype, channels):
    soundfile.write(tmp_path / name, tone(rate_hz, channels=channels), rate_hz, subtype=subtype)
    heard = await read(FileSource(tmp_path / name, tail_ms=0))
    assert heard.dtype == np.int16
    assert abs(len(heard) - SAMPLE_RATE_HZ) < FRAME_SAMPLES
    assert abs(frequency_hz(heard[1600:14400]) - 440) < 3
    assert abs(np.abs(heard[1600:14400]).max() - 16384) < 400


async def test_16_khz_mono_comes_through_bit_for_bit(tmp_path):
    samples = np.random.default_rng(1).integers(-20000, 20000, 1600 * 7).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", samples, SAMPLE_RATE_HZ)
    assert np.array_equal(await read(FileSource(tmp_path / "a.wav", tail_ms=0)), samples)


async def test_one_channel_can_be_picked(tmp_path):
    both = np.stack([np.zeros(16000), tone(16000)[:, 0]], axis=1)
    soundfile.write(tmp_path / "a.wav", both, SAMPLE_RATE_HZ)
    assert not (await read(FileSource(tmp_path / "a.wav", channel=0, tail_ms=0))).any()
    assert np.abs(await read(FileSource(tmp_path / "a.wav", channel=1, tail_ms=0))).max() > 16000
    with pytest.raises(BadAudioFile, match="channel 2"):
        FileSource(tmp_path / "a.wav", channel=2)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"not a sound at all " * 100, b"RIFF\x00\x00\x00\x00WAVE"])
def test_what_is_no_sound_file_says_so(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(BadAudioFile) as caught:
        FileSource(tmp_path / "a.wav")
    assert "a.wav" in str(caught.value) and caught.value.fix


def test_missing_files_folders_and_files_without_a_sample_say_so(tmp_path):
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.int16), SAMPLE_RATE_HZ)
    soundfile.write(tmp_path / "fast.wav", np.zeros(1000, np.int16), 96_000)
    for name, reason in (("gone.wav", "not exist"), (".", "folder"), ("none.wav", "no sound"), ("fast.wav", "96000")):
        with pytest.raises(BadAudioFile, match=reason):
            FileSource(tmp_path / name)


def test_a_truncated_wav_is_refused_and_one_of_unknown_length_is_not(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16000), SAMPLE_RATE_HZ)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    (tmp_path / "a.wav").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadAudioFile, match="truncated"):
        FileSource(tmp_path / "a.wav")
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"  # as written into a pipe
    (tmp_path / "a.wav").write_bytes(data)
    assert FileSource(tmp_path / "a.wav").duration_ms == pytest.approx(1000, abs=1)


async def test_a_flac_that_breaks_off_gives_what_it_holds_then_says_so(tmp_path):
    name = "a.flac"
    noise = np.random.default_rng(2).integers(-20000, 20000, SAMPLE_RATE_HZ * 3).astype(np.int16)
    soundfile.write(tmp_path / name, noise, SAMPLE_RATE_HZ)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    heard = 0
    with pytest.raises(BadAudioFile, match=r"breaks off|truncated"):
        async for frame in FileSource(tmp_path / name, tail_ms=0).frames():
            heard += len(frame)
    assert heard >= SAMPLE_RATE_HZ // 2  # what it holds was given


async def test_ten_hours_are_streamed_not_loaded(tmp_path):
    path = tmp_path / "long.wav"
    header = io.BytesIO()
    soundfile.write(header, np.zeros(1, np.int16), 8_000, format="WAV", subtype="PCM_16")
    data_bytes = 10 * 3600 * 8_000 * 2
    head = bytearray(header.getvalue()[:44])
    head[4:8], head[40:44] = (36 + data_bytes).to_bytes(4, "little"), data_bytes.to_bytes(4, "little")
    with path.open("wb") as file:  # sparse
        file.write(head)
        file.truncate(44 + data_bytes)
    source = FileSource(path)
    assert source.duration_ms == 36_000_000
    tracemalloc.start()
    count = 0
    async for _ in source.frames():
        count += 1
        if count == 3000:
            break
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 3000 and peak < 20_000_000


async def test_the_sound_drives_a_scripted_clock(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16000), SAMPLE_RATE_HZ)
    clock = ScriptedClock(datetime(2026, 1, 1, tzinfo=UTC))
    woken: list[float] = []

    async def sleeper() -> None:
        await clock.sleep(0.5)
        woken.append(clock.monotonic())

    task = asyncio.create_task(sleeper())
    source = FileSource(tmp_path / "a.wav", clock=clock, tail_ms=250)
    frames = [frame async for frame in source.frames()]
    await task
    assert len(frames) == 125
    assert clock.monotonic() == pytest.approx(1.25)
    assert woken == [pytest.approx(0.5)]
    assert not any(frame.any() for frame in frames[101:])


async def test_in_real_time_frames_wait_for_the_clock(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16000), SAMPLE_RATE_HZ)
    clock = ScriptedClock(datetime(2026, 1, 1, tzinfo=UTC))
    taken = 0

    async def take() -> None:
        nonlocal taken
        async for _ in FileSource(tmp_path / "a.wav", clock=clock, realtime=True, tail_ms=0).frames():
            taken += 1

    task = asyncio.create_task(take())
    await clock.advance(0.3)
    assert taken in (29, 30)  # a step of 0.3 s in floating point
    await clock.advance(0.8)
    await task
    assert taken == 100


async def test_standard_input_is_read_to_its_end_even_an_odd_one():
    samples = (tone(48_000, channels=2) * 32767).astype("<i2")
    source = RawSource(io.BytesIO(samples.tobytes() + b"\x01"), rate_hz=48_000, channels=2, tail_ms=0)
    heard = await read(source)
    assert abs(len(heard) - SAMPLE_RATE_HZ) < FRAME_SAMPLES
    assert abs(frequency_hz(heard[1600:14400]) - 440) < 3


async def test_a_closed_source_ends(tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", tone(16000), SAMPLE_RATE_HZ)
    source = FileSource(tmp_path / "a.wav", tail_ms=float("inf"))
    count = 0
    async for _ in source.frames():
        count += 1
        if source.ended.is_set():
            await source.close()
    assert 100 <= count <= 102
