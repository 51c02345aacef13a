"""The endpointer loses no frame and gives none twice, keeps a pre-roll, and waits as long as it is told."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from voice_needle.audio import FRAME_SAMPLES, Samples
from voice_needle.listen.endpoint import Continued, Discarded, Ended, Endpointer, Found, Onset


def frame(number: int) -> Samples:
    """A frame that tells its own number."""
    return np.full(FRAME_SAMPLES, number, np.int16)


def feed(endpointer: Endpointer, speech: list[bool], first: int = 0) -> list[Found]:
    return [found for i, said in enumerate(speech) for found in endpointer.feed(frame(first + i), 0.9 if said else 0.1)]


def numbers(samples: Samples) -> list[int]:
    return [int(value) for value in samples[::FRAME_SAMPLES]]


runs = st.lists(st.tuples(st.booleans(), st.integers(1, 90)), max_size=12)


@settings(deadline=None, max_examples=150)
@given(
    runs, st.integers(0, 500), st.integers(10, 100), st.integers(100, 800), st.integers(0, 300), st.integers(500, 3000)
)
def test_every_utterance_is_one_unbroken_stretch_and_none_overlap(script, pre_roll, onset, silence, least, longest):
    endpointer = Endpointer(
        pre_roll_ms=pre_roll, onset_ms=onset, end_silence_ms=silence, min_speech_ms=least, max_length_ms=longest
    )
    speech = [said for said, count in script for _ in range(count)]
    streamed: list[int] = []
    last_end = 0
    for found in feed(endpointer, speech) + endpointer.end_now():
        match found:
            case Onset():
                streamed = numbers(found.pre_roll)
                assert found.start_ms == streamed[0] * 10
                assert found.speech_start_ms >= found.start_ms
            case Continued():
                streamed.append(numbers(found.frame)[0])
            case Ended():
                got = numbers(found.utterance.samples)
                assert got == streamed == list(range(got[0], got[0] + len(got)))
                assert got[0] >= last_end and found.utterance.start_ms == got[0] * 10
                assert speech[int(found.utterance.speech_start_ms // 10)]
                assert speech[int(found.utterance.speech_end_ms // 10) - 1]
                last_end = got[-1] + 1


def test_the_pre_roll_is_what_came_before_the_speech():
    found = feed(Endpointer(pre_roll_ms=200, onset_ms=50), [False] * 100 + [True] * 50)
    onset = found[0]
    assert isinstance(onset, Onset)
    assert onset.speech_start_ms == 1000
    assert onset.start_ms == 800  # 200 ms before the first speech frame
    assert numbers(onset.pre_roll) == list(range(80, 105))


def test_silence_ends_it_and_is_told():
    found = feed(Endpointer(end_silence_ms=300), [True] * 40 + [False] * 60)
    ended = found[-1]
    assert isinstance(ended, Ended)
    assert ended.silence_ms == 300
    assert ended.utterance.speech_end_ms == 400
    assert not ended.utterance.cut


def test_a_pause_shorter_than_the_silence_does_not_end_it():
    found = feed(Endpointer(end_silence_ms=300), [True] * 40 + [False] * 29 + [True] * 40 + [False] * 30)
    assert [type(each) for each in found if not isinstance(each, Continued)] == [Onset, Ended]


def test_a_click_is_discarded():
    found = feed(Endpointer(onset_ms=30, min_speech_ms=200, end_silence_ms=200), [True] * 6 + [False] * 40)
    assert isinstance(found[-1], Discarded)
    assert found[-1].speech_ms == 60


def test_the_maximum_length_cuts_and_the_rest_follows_without_a_gap():
    found = feed(Endpointer(max_length_ms=1000, end_silence_ms=300), [True] * 150 + [False] * 80)
    first, second = (each.utterance for each in found if isinstance(each, Ended))
    assert first.cut and not second.cut
    assert first.duration_ms == 1000
    assert second.start_ms == first.start_ms + first.duration_ms


def test_complete_words_end_it_early_and_only_once():
    endpointer = Endpointer(end_silence_ms=600)
    feed(endpointer, [True] * 40 + [False] * 10)
    endpointer.end_after(200)
    found = feed(endpointer, [False] * 30, 50)
    assert next(each.silence_ms for each in found if isinstance(each, Ended)) == 200
    found = feed(endpointer, [True] * 40 + [False] * 60, 80)
    assert next(each.silence_ms for each in found if isinstance(each, Ended)) == 600


def test_already_past_the_shorter_silence_the_next_frame_ends_it():
    endpointer = Endpointer(end_silence_ms=600)
    feed(endpointer, [True] * 40 + [False] * 40)
    endpointer.end_after(200)
    assert isinstance(feed(endpointer, [False], 80)[-1], Ended)


def test_unfinished_words_wait_longer_until_speech_goes_on():
    endpointer = Endpointer(end_silence_ms=300)
    feed(endpointer, [True] * 40)
    endpointer.expect_more(1000)
    assert not any(isinstance(each, Ended) for each in feed(endpointer, [False] * 99, 40))
    found = feed(endpointer, [True] * 20 + [False] * 30, 139)
    assert isinstance(found[-1], Ended) and found[-1].silence_ms == 300


def test_a_reset_forgets_the_pre_roll_but_not_the_time():
    endpointer = Endpointer(onset_ms=30)
    feed(endpointer, [False] * 50)
    endpointer.reset()
    onset = feed(endpointer, [True] * 10, 50)[0]
    assert isinstance(onset, Onset) and onset.start_ms == 500


def test_a_pre_roll_of_our_own_voice_is_made_quiet_up_to_shortly_before_the_first_speech():
    endpointer = Endpointer(pre_roll_ms=300.0, onset_ms=60.0)
    found: list[Found] = []
    for number in range(100, 140):
        found += endpointer.feed(frame(1_000), 0.1, number < 130)
    for _ in range(6):
        found += endpointer.feed(frame(2_000), 0.9)
    (onset,) = [each for each in found if isinstance(each, Onset)]
    levels = numbers(onset.pre_roll)
    assert levels[-6:] == [2_000] * 6
    assert levels[-18:-6] == [1_000] * 12  # somebody may have begun before it was noticed
    assert set(levels[:-18]) == {30}
    assert len(levels) == 36
