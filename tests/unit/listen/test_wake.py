"""The ear opens by key, signal, socket or word, closes by itself, and stays open when asked to."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from voice_needle.audio import FRAME_SAMPLES, Samples
from voice_needle.errors import ConfigError
from voice_needle.listen.wake import AlwaysOpen, Ear, PushToTalk, WakeWord, make_wake

SILENT = np.zeros(FRAME_SAMPLES, np.int16)


def test_off_is_always_open():
    assert AlwaysOpen().feed(SILENT, False) is Ear.OPEN


def test_a_tap_opens_for_a_while():
    wake = PushToTalk(use_signal=False, window_ms=100)
    assert wake.feed(SILENT, False) is Ear.CLOSED
    wake.tap()
    fed = [wake.feed(SILENT, False) for _ in range(13)]
    assert fed[0] is Ear.OPENED
    assert fed.count(Ear.OPEN) == 9 and fed[10] is Ear.EXPIRED and fed[11] is Ear.CLOSED


def test_speech_holds_it_open_and_the_end_of_the_utterance_closes_it():
    wake = PushToTalk(use_signal=False, window_ms=50)
    wake.tap()
    wake.feed(SILENT, False)
    assert all(wake.feed(SILENT, True) is Ear.OPEN for _ in range(50))
    wake.utterance_ended()
    assert wake.feed(SILENT, False) is Ear.CLOSED


def test_held_it_stays_open_and_the_release_ends_the_utterance():
    wake = PushToTalk(use_signal=False, window_ms=50)
    wake.trigger.press()
    wake.feed(SILENT, False)
    assert all(wake.feed(SILENT, False) is Ear.OPEN for _ in range(50))
    wake.trigger.release()
    assert wake.feed(SILENT, True) is Ear.RELEASED


def test_a_question_keeps_it_open_without_a_key():
    wake = PushToTalk(use_signal=False)
    wake.keep_open(30)
    assert [wake.feed(SILENT, False) for _ in range(4)] == [Ear.OPEN, Ear.OPEN, Ear.EXPIRED, Ear.CLOSED]


async def test_other_programs_press_through_a_socket_and_by_signal(tmp_path: Path):
    wake = make_wake("push-to-talk", socket=tmp_path / "talk.sock")
    await wake.start()
    try:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "talk.sock"))
        writer.write(b"press\nhello\nrelease\n")
        assert [await reader.readline() for _ in range(3)] == [b"ok\n", b"error: say press, release or tap\n", b"ok\n"]
        assert wake.feed(SILENT, False) is Ear.OPENED
        writer.close()
        wake.utterance_ended()
        for _ in range(3):
            wake.feed(SILENT, False)
        os.kill(os.getpid(), signal.SIGUSR1)
        async with asyncio.timeout(5):
            while wake.feed(SILENT, False) is not Ear.OPENED:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
    finally:
        await wake.close()
    assert not (tmp_path / "talk.sock").exists()


def said(text: str, voice: str, folder: Path) -> Samples:
    subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(folder / "w.wav")], check=True)
    samples, rate_hz = soundfile.read(folder / "w.wav", dtype="int16")
    samples = samples if rate_hz == 16_000 else soxr.resample(samples, rate_hz, 16_000)
    padding = np.random.default_rng(0).normal(0, 5, 24_000).astype(np.int16)
    return np.concatenate([padding, samples, padding])


@pytest.mark.parametrize(("text", "opens"), [("okay nabu", True), ("turn on the kitchen light now", False)])
async def test_the_word_opens_it_and_other_words_do_not(tmp_path: Path, text: str, opens: bool):
    wake = WakeWord("okay_nabu")
    await wake.start()
    sound = said(text, "rms", tmp_path)
    fed = [wake.feed(sound[i : i + 160], False) for i in range(0, len(sound) - 160, 160)]
    await wake.close()
    assert (Ear.OPENED in fed) is opens
    assert wake.detections == opens


async def test_an_unknown_word_names_those_there_are():
    with pytest.raises(ConfigError, match="okay_nabu"):
        await WakeWord("computer").start()
    with pytest.raises(ConfigError, match="push-to-talk"):
        make_wake("clap")
