"""A voice that is interrupted: quieter at once, silent for words, back after a noise, and never stopped by itself."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from voice_needle.audio import FRAME_SAMPLES, Samples
from voice_needle.barge_in import VOICED_FRAMES, BargeIn, Pitch, Verdict
from voice_needle.clock import ScriptedClock
from voice_needle.config import BargeIn as Settings
from voice_needle.evaluation.room import door
from voice_needle.events import BargedIn, Call, Decision, DialogueAct, Ducked, Outcome, Resumed, Transcript
from voice_needle.listen.echo import Cleaned
from voice_needle.turn import Scope, Turn, TurnState

REQUEST = Decision((Call("light"),), Outcome.ACT, 1.0)
STOP = Decision(act=DialogueAct.STOP)
UH_HUH = Decision(act=DialogueAct.BACKCHANNEL)
HALF = Decision(complete=False)
ASIDE = Decision()


class Voice:
    def __init__(self) -> None:
        self.speaking, self.gain_db, self.paused = True, 0.0, False

    def duck(self, db: float) -> None:
        self.gain_db = -db

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False


class Vad:
    name, probability = "test", 1.0

    def speech_probability(self, frame: Samples) -> float:
        return self.probability

    def reset(self) -> None: ...


class Echo:
    """Says what it is told about who speaks. removed_db: how well it works."""

    subtracts = True

    def __init__(self) -> None:
        self.person, self.removed_db, self.mistakes = True, 5.0, 0

    def process(self, frame: Samples, time_s: float) -> Cleaned:
        return Cleaned(frame, self.person)

    def mistaken(self) -> None:
        self.mistakes += 1


class Scene:
    def __init__(self, mode: str = "full") -> None:
        self.voice, self.echo, self.vad, self.events = Voice(), Echo(), Vad(), []
        self.clock = ScriptedClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.turn = Turn(Scope(1), 0.0, TurnState.ANSWERING)
        self.barge_in = BargeIn(
            self.voice, lambda: self.turn, Settings(), self.clock, self.events.append, mode, self.echo,  # type: ignore[arg-type]
        )  # fmt: skip
        self.at = 0

    def hear(self, frames: int, hz: float = 150.0) -> list[float]:
        """A voice with a pitch, or (0 Hz) a hiss."""
        probabilities = []
        for _ in range(frames):
            time_s = (np.arange(FRAME_SAMPLES) + self.at) / 16_000
            wave = (
                np.sign(np.sin(2 * np.pi * hz * time_s))
                if hz
                else np.random.default_rng(self.at).normal(size=FRAME_SAMPLES)
            )
            self.at += FRAME_SAMPLES
            frame = np.asarray(wave * 2_000, np.int16)
            probabilities.append(self.barge_in.listen(frame, self.vad, self.at / 16_000)[1])
        return probabilities

    def said(
        self, text: str, decision: Decision, *, final: bool = True, refused: str = "", confidence: float = 1.0
    ) -> Verdict:
        heard = Transcript(text, confidence=confidence, refused=refused)
        return self.barge_in.words(heard, decision, final=final)

    def kinds(self) -> list[type]:
        return [type(event) for event in self.events]


def test_two_frames_of_speech_make_us_quieter():
    scene = Scene()
    scene.hear(1)
    assert scene.voice.gain_db == 0.0
    scene.hear(1)
    assert scene.voice.gain_db == -15.0 and scene.kinds() == [Ducked]


@pytest.mark.parametrize("still_speaking", [True, False])
def test_a_cough_read_as_a_no_does_not_stop_us_though_our_sentence_ends_meanwhile(still_speaking: bool):
    scene = Scene()
    scene.hear(40, hz=0.0)
    scene.hear(9)
    scene.barge_in.onset(Turn(Scope(2), 0.0))
    scene.voice.speaking = still_speaking
    assert scene.said("no", Decision(act=DialogueAct.NO)) is Verdict.RESUME
    scene.voice.speaking = True
    scene.hear(25)
    scene.barge_in.onset(Turn(Scope(3), 0.0))
    scene.voice.speaking = still_speaking
    assert scene.said("no", Decision(act=DialogueAct.NO)) is Verdict.CANCEL


@pytest.mark.parametrize(("act", "frames", "verdict"), [
    (DialogueAct.NO, 25, Verdict.RESUME), (DialogueAct.NO, 60, Verdict.CANCEL), (DialogueAct.STOP, 25, Verdict.STOP),
])  # fmt: skip
def test_a_doubtful_no_must_be_a_long_one_a_stop_need_not(act: DialogueAct, frames: int, verdict: Verdict):
    scene = Scene()
    scene.hear(frames)
    scene.barge_in.onset(Turn(Scope(2), 0.0))
    assert scene.said("do not", Decision(act=act), confidence=0.77) is verdict


def test_our_own_echo_does_not():
    scene = Scene()
    scene.echo.person = False
    assert scene.hear(50) == [0.0] * 50
    assert scene.events == []


async def test_a_short_noise_is_over_soon_and_we_go_on():
    scene = Scene()
    scene.hear(3)
    await scene.clock.advance(0.31)
    scene.barge_in.tick()
    assert scene.voice.gain_db == 0.0 and scene.kinds() == [Ducked, Resumed]


async def test_an_utterance_without_words_is_waited_for_longer_but_not_for_ever():
    scene = Scene()
    scene.hear(10)
    scene.barge_in.onset(Turn(Scope(2), 0.0))
    await scene.clock.advance(0.5)
    scene.barge_in.tick()
    assert scene.voice.gain_db == -15.0
    await scene.clock.advance(0.5)
    scene.barge_in.tick()
    assert scene.voice.gain_db == 0.0


@pytest.mark.parametrize(
    ("decision", "silent"), [(HALF, True), (REQUEST, True), (STOP, True), (UH_HUH, False), (ASIDE, False)]
)
def test_partial_words_that_may_be_meant_for_us_silence_us(decision: Decision, silent: bool):
    scene = Scene()
    scene.hear(20)
    scene.barge_in.onset(Turn(Scope(2), 0.0))
    assert scene.said("turn on", decision, final=False) is Verdict.NONE
    assert scene.voice.paused is silent


@pytest.mark.parametrize(
    ("text", "decision", "verdict"),
    [("stop", STOP, Verdict.STOP), ("uh huh", UH_HUH, Verdict.RESUME), ("turn on the light", REQUEST, Verdict.REQUEST),
     ("nice weather", ASIDE, Verdict.RESUME), ("no", Decision(act=DialogueAct.NO), Verdict.CANCEL)],
)  # fmt: skip
def test_final_words_decide(text: str, decision: Decision, verdict: Verdict):
    scene = Scene()
    scene.hear(30)
    scene.barge_in.onset(Turn(Scope(2), 0.0))
    assert scene.said(text, decision) is verdict
    assert scene.voice.gain_db == 0.0
    assert (BargedIn in scene.kinds()) is (verdict is not Verdict.RESUME)


def test_a_paused_answer_goes_on_after_a_backchannel():
    scene = Scene()
    scene.hear(30)
    scene.barge_in.onset(Turn(Scope(2), 0.0))
    scene.said("turn", HALF, final=False)
    assert scene.voice.paused
    scene.said("right", UH_HUH)
    assert not scene.voice.paused and Resumed in scene.kinds()


def test_a_hiss_is_no_request_whatever_the_recogniser_made_of_it():
    scene = Scene()
    scene.hear(60, hz=0.0)
    assert scene.said("fan on", REQUEST) is Verdict.RESUME
    assert scene.echo.mistakes == 1


def test_words_that_we_are_saying_are_ours_unless_the_echo_is_gone():
    scene = Scene()
    scene.barge_in.answer("Shall I unlock the front door?")
    scene.hear(60)
    assert scene.said("unlock the front door", REQUEST) is Verdict.RESUME
    scene.hear(60)
    assert scene.said("unlock the back door", REQUEST) is Verdict.REQUEST
    scene.echo.removed_db = 30.0
    scene.hear(60)
    assert scene.said("unlock the front door", REQUEST) is Verdict.REQUEST


def test_words_from_all_over_a_long_answer_are_not_ours():
    scene = Scene()
    scene.barge_in.answer("I will lock up at ten. There was a parcel for the neighbours at the front, and the back door is open.")
    scene.hear(60)
    assert scene.said("lock the front door", REQUEST) is Verdict.REQUEST
    scene.hear(60)
    assert scene.said("lock at ten", REQUEST) is Verdict.RESUME  # a grammar leaves out of our sentence what it does not know


def test_in_the_stop_word_mode_only_stop_counts():
    scene = Scene("stop-word")
    scene.hear(60)
    assert scene.said("turn on the light", REQUEST) is Verdict.RESUME
    scene.hear(60)
    assert scene.said("stop", STOP) is Verdict.STOP


def test_duck_first_waits_for_the_final_words():
    scene = Scene("duck-first")
    scene.hear(30)
    scene.barge_in.onset(Turn(Scope(2), 0.0))
    scene.said("turn on the light", REQUEST, final=False)
    assert not scene.voice.paused and scene.voice.gain_db == -15.0
    assert scene.said("turn on the light", REQUEST) is Verdict.REQUEST


def test_off_hears_nothing_while_we_speak():
    scene = Scene("off")
    assert scene.hear(5) == [0.0] * 5
    scene.voice.speaking = False
    assert scene.hear(5) == [1.0] * 5


def test_a_door_that_falls_shut_has_no_pitch_of_a_voice():
    for seed in range(5):
        pitch, thump = Pitch(), door(seed) // 4
        assert sum(pitch.feed(thump[at : at + 160]) for at in range(0, len(thump) - 160, 160)) < VOICED_FRAMES


def test_pitch_tells_a_vowel_from_a_hiss():
    pitch, rng = Pitch(), np.random.default_rng(0)
    wave = np.sign(np.sin(2 * np.pi * 120 * np.arange(16 * FRAME_SAMPLES) / 16_000)) * 3_000
    vowel = [pitch.feed(np.asarray(wave[i * 160 : i * 160 + 160], np.int16)) for i in range(16)]
    hiss = [pitch.feed(np.asarray(rng.normal(0, 3_000, 160), np.int16)) for _ in range(100)]
    assert all(vowel[4:]) and np.mean(hiss[4:]) < 0.05
