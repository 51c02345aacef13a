"""Our own voice is taken out, found again when it moves, and never taken for a person; a person over it is heard."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from voice_needle.audio import BLOCK_SAMPLES, FRAME_SAMPLES, SAMPLE_RATE_HZ, Samples
from voice_needle.clock import ScriptedClock
from voice_needle.errors import EngineMissing
from voice_needle.evaluation.room import Acoustics, Room, active_rms
from voice_needle.listen import echo_test, speex
from voice_needle.listen.echo import EchoCanceller
from voice_needle.listen.echo_delay import DelayFinder, TimeLine
from voice_needle.listen.speex import SpeexEcho


def babble(seconds: float, seed: int = 0) -> Samples:
    """Speech-like: noise with a formant or two, in syllables."""
    rng = np.random.default_rng(seed)
    count = round(seconds * SAMPLE_RATE_HZ)
    noise = np.convolve(rng.normal(size=count), np.hanning(9), "same")
    syllables = np.repeat(rng.choice([0.05, 0.5, 1.0], count // 2_400 + 1), 2_400)[:count]
    return np.asarray(np.rint(noise / np.std(noise) * syllables * 3_000.0), np.int16)


class Played:
    """Our voice in a room, with a canceller that listens."""

    def __init__(self, acoustics: Acoustics, canceller: EchoCanceller | None = None, seconds: float = 12.0) -> None:
        self.voice = babble(seconds)
        self.room = Room(ScriptedClock(datetime.now(UTC)), acoustics, voice_rms=active_rms(self.voice))
        self.echo = canceller or EchoCanceller(SpeexEcho(), SpeexEcho())
        self.heard: list[Samples] = []
        self.clean: list[Samples] = []
        self.person: list[bool] = []

    def run(self) -> Played:
        for number in range(len(self.voice) // BLOCK_SAMPLES):
            block = self.voice[number * BLOCK_SAMPLES :][:BLOCK_SAMPLES]
            self.room.play(block)
            self.echo.tap(block, self.room.position / SAMPLE_RATE_HZ)
            for _ in range(2):
                at_s = self.room.position / SAMPLE_RATE_HZ
                frame = self.room.frame()
                cleaned = self.echo.process(frame, at_s)
                self.heard.append(frame)
                self.clean.append(cleaned.samples)
                self.person.append(cleaned.person)
        return self

    def removed_db(self, from_s: float) -> float:
        begin = round(from_s * 100)
        before, after = (np.mean(np.concatenate(f[begin:]).astype(float) ** 2) for f in (self.heard, self.clean))
        return float(10.0 * np.log10(before / after))


@pytest.mark.parametrize(
    ("acoustics", "at_least_db"),
    [
        (Acoustics(), 25.0),
        (Acoustics(echo_db=12.0, delay_ms=0.0), 25.0),
        (Acoustics(echo_db=12.0, delay_ms=300.0), 25.0),
        (Acoustics(echo_db=6.0, drift_ppm=100.0), 20.0),
        (Acoustics(path_change_s=4.0), 20.0),
    ],
)
def test_most_of_our_voice_is_gone_after_some_seconds(acoustics: Acoustics, at_least_db: float):
    played = Played(acoustics, seconds=16.0).run()
    assert played.removed_db(12.0) > at_least_db
    assert played.echo.delay_ms == pytest.approx(acoustics.delay_ms, abs=2.0 + 16.0 * abs(acoustics.drift_ppm) * 1e-3)


def test_a_clock_that_drifts_is_measured():
    played = Played(Acoustics(drift_ppm=100.0), seconds=16.0).run()
    assert played.echo.drift_ppm == pytest.approx(100.0, abs=15.0)
    assert played.echo.realigned == 0


def test_without_a_canceller_nothing_is_subtracted_and_it_says_so():
    played = Played(Acoustics(), EchoCanceller(None)).run()
    assert not played.echo.subtracts
    assert played.removed_db(3.0) == pytest.approx(0.0, abs=0.01)


def test_our_voice_is_no_person_and_a_person_over_it_is_one():
    alone = Played(Acoustics(), seconds=12.0).run()
    assert np.mean(alone.person[400:]) < 0.02
    both = Played(Acoustics(), seconds=12.0)
    both.room.say(babble(2.0, seed=7), at=8 * SAMPLE_RATE_HZ)
    both.run()
    assert np.mean(both.person[810:1000]) > 0.9
    assert np.mean(both.person[400:790]) < 0.02


def test_a_tone_of_ours_is_no_person():
    played = Played(Acoustics(echo_db=6.0), seconds=6.0)
    time_s = np.arange(len(played.voice)) / SAMPLE_RATE_HZ
    played.voice = np.asarray(np.rint(5_000 * np.sin(2 * np.pi * 880 * time_s)), np.int16)
    played.run()
    assert np.mean(played.person[100:]) < 0.05


def test_the_time_line_keeps_gaps_and_forgets_the_past():
    line = TimeLine(keep_s=0.1)
    line.add(np.full(320, 1, np.int16), 1.0)
    line.add(np.full(320, 2, np.int16), 1.02)
    assert list(line.read(16_318, 4)) == [1, 1, 2, 2]
    line.add(np.full(320, 3, np.int16), 1.5)
    assert line.gaps == 1
    assert line.read(16_000 + 400, 3).tolist() == [0, 0, 0]
    assert line.read(24_000, 2).tolist() == [3, 3]


def test_no_delay_is_claimed_without_an_echo():
    finder, rng = DelayFinder(), np.random.default_rng(0)
    for _ in range(300):
        finder.feed(*(np.asarray(rng.normal(0, 500, FRAME_SAMPLES), np.int16) for _ in range(2)))
    assert finder.found is None


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(speex, "_library", None)
    monkeypatch.setattr(speex, "LIBRARY", "libnowhere.so.1")
    with pytest.raises(EngineMissing) as raised:
        SpeexEcho()
    assert "libspeexdsp1" in raised.value.fix


def test_frames_of_another_length_are_refused():
    with pytest.raises(ValueError):
        SpeexEcho().cancel(np.zeros(80, np.int16), np.zeros(80, np.int16))


# --- the self-test ---


def self_test(acoustics: Acoustics, **known: bool) -> echo_test.Verdict:
    sound = np.pad(echo_test.chirp(), (0, 16_000))
    room = Room(ScriptedClock(datetime.now(UTC)), acoustics, voice_rms=2_000.0)
    noise = np.concatenate([room.frame() for _ in range(20)])
    room._played_blocks = 10
    heard = []
    for number in range(90):
        room.play(sound[number * BLOCK_SAMPLES :][:BLOCK_SAMPLES])
        heard += [room.frame(), room.frame()]
    return echo_test.judge(np.concatenate(heard), noise, **known)


@pytest.mark.parametrize("delay_ms", [0.0, 37.5, 300.0])
def test_the_self_test_measures_delay_and_leak(delay_ms: float):
    verdict = self_test(Acoustics(echo_db=6.0, delay_ms=delay_ms))
    assert verdict.mode == "full"
    assert verdict.delay_ms == pytest.approx(delay_ms, abs=0.2)
    louder = self_test(Acoustics(echo_db=12.0, delay_ms=delay_ms))
    assert louder.leak_db - verdict.leak_db == pytest.approx(6.0, abs=0.3)


def test_the_self_test_picks_the_mode():
    assert self_test(Acoustics(echo_db=None)).why == "no echo reaches the microphone"
    assert self_test(Acoustics(clip=8.0)).mode == "duck-first"
    assert self_test(Acoustics(), reference=False).mode == "stop-word"
    assert self_test(Acoustics(), canceller=False).mode == "stop-word"
    assert self_test(Acoustics(delay_ms=500.0)).mode == "stop-word"
    deaf = echo_test.judge(np.zeros(0, np.int16), np.zeros(0, np.int16))
    assert (deaf.mode, deaf.degraded) == ("off", True)
    assert "wait until I have finished" in deaf.spoken


def test_noise_is_not_taken_for_distortion():
    assert self_test(Acoustics(echo_db=-20.0, noise_dbfs=-50.0)).mode == "full"


# --- bad conditions: each ends in a mode that is told ---


def test_without_a_reference_a_loud_echo_leaves_only_stop_words():
    verdict = self_test(Acoustics(echo_db=12.0), reference=False)
    assert (verdict.mode, verdict.degraded) == ("stop-word", True)
    assert "what the speaker plays is not known" in verdict.why and "only stop and cancel count" in verdict.spoken
    unknown = echo_test.judge(
        np.zeros(0, np.int16), np.zeros(0, np.int16), reference=False
    )  # not even when it was played
    assert unknown.mode == "stop-word" and "not known" in unknown.why


def test_a_reference_that_stops_coming_is_taken_for_a_user_not_for_silence():
    """The tap is gone in the middle of an answer: what is heard then must not pass for silence."""
    played = Played(Acoustics(), seconds=8.0)
    tap = played.echo.tap
    played.echo.tap = lambda block, time_s: tap(block, time_s) if time_s < 5.0 else None  # type: ignore[method-assign]
    played.run()
    assert np.mean(played.person[400:490]) < 0.1
    assert np.mean(played.person[600:]) > 0.9


def test_nothing_is_spent_on_cancelling_where_nothing_is_played(monkeypatch: pytest.MonkeyPatch):
    canceller = SpeexEcho()
    calls: list[int] = []
    cancel = canceller.cancel
    monkeypatch.setattr(canceller, "cancel", lambda *sound: calls.append(1) or cancel(*sound))
    played = Played(Acoustics(), EchoCanceller(canceller), seconds=12.0)
    played.voice[4 * SAMPLE_RATE_HZ : 8 * SAMPLE_RATE_HZ] = 0
    played.run()
    assert len(calls) < 1_000  # of 1,200 frames: the second and third second of silence cost nothing
    assert played.removed_db(9.0) > 20.0  # and what was learnt is not forgotten over it


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
def test_a_microphone_at_another_rate_than_the_speaker_is_cancelled_as_well(rate_hz: int):
    from voice_needle.listen.resample import Framer, Resampler

    played = Played(Acoustics(), seconds=10.0)
    import soxr

    heard = []
    for number in range(len(played.voice) // BLOCK_SAMPLES):
        played.room.play(played.voice[number * BLOCK_SAMPLES :][:BLOCK_SAMPLES])
        heard += [played.room.frame(), played.room.frame()]
    at_rate = soxr.resample(np.concatenate(heard), SAMPLE_RATE_HZ, rate_hz)
    resampler, framer, frames = Resampler(rate_hz), Framer(), []
    for at in range(0, len(at_rate), rate_hz // 50):
        frames += framer.feed(resampler.feed(at_rate[at : at + rate_hz // 50].reshape(-1, 1)))
    for number, frame in enumerate(frames):
        if number % 2 == 0:
            block = played.voice[number * FRAME_SAMPLES :][:BLOCK_SAMPLES]
            played.echo.tap(block, number * 0.01)
        played.clean.append(played.echo.process(frame, number * 0.01).samples)
    played.heard = frames
    assert played.removed_db(6.0) > 20.0


PAUSE_S = 4.5  # between the self-test and the first answer: the understudy practises in it


def first_second(acoustics: Acoustics, *, rehearsed: bool, later_ms: float = 0.0, skip_s: float = 0.0) -> float:
    """dB of echo removed in the first second of our voice, which comes some seconds after the self-test.

    later_ms: by how much the devices' delay has changed since the test. skip_s: of the voice, what is not counted.
    """
    quiet, chirp = np.zeros(SAMPLE_RATE_HZ * 4 // 5, np.int16), echo_test.chirp()
    played = Played(acoustics)
    voice = played.voice
    played.voice = np.concatenate([chirp, quiet])
    played.run()
    heard = np.concatenate(played.heard)
    if rehearsed:
        played.echo.rehearse(echo_test.impulse_response(heard))
    played.voice = np.zeros(round(PAUSE_S * SAMPLE_RATE_HZ), np.int16)
    played.run()
    played.room.acoustics = replace(acoustics, delay_ms=acoustics.delay_ms + later_ms)
    begin = len(played.heard)
    played.voice = voice[: round((1.0 + skip_s) * SAMPLE_RATE_HZ)]
    played.run()
    return played.removed_db(begin / 100.0 + skip_s)


@pytest.mark.parametrize("acoustics", [Acoustics(), Acoustics(delay_ms=250.0), Acoustics(echo_db=12.0, delay_ms=60.0)])
def test_what_the_self_test_measured_is_practised_before_the_first_word(acoustics: Acoustics):
    before, after = (first_second(acoustics, rehearsed=rehearsed) for rehearsed in (False, True))
    assert after > before + 8.0
    assert after > 15.0


@pytest.mark.parametrize("acoustics", [Acoustics(), Acoustics(echo_db=12.0, delay_ms=60.0), Acoustics(delay_ms=60.0, decay_s=0.4)])
@pytest.mark.parametrize("later_ms", [-3.2, 0.4, 8.6, 40.0])
def test_what_was_practised_holds_where_the_devices_delay_has_changed_since(acoustics: Acoustics, later_ms: float):
    """From the second half second on: in the first one the new delay is found."""
    unlearnt = first_second(acoustics, rehearsed=False, later_ms=later_ms, skip_s=0.5)
    moved = first_second(acoustics, rehearsed=True, later_ms=later_ms, skip_s=0.5)
    assert moved > 16.0
    assert moved > unlearnt + 2.0


def test_a_canceller_that_is_not_there_practises_nothing():
    EchoCanceller(None).rehearse(np.ones(8_000))
