"""The embedded recogniser on synthetic speech: commands heard, other talk refused, partial words, new tools learned."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from voice_needle.audio import Samples, to_ms
from voice_needle.errors import EngineFailed
from voice_needle.evaluation.room import music
from voice_needle.events import Utterance
from voice_needle.tools import Tool, Toolset
from voice_needle.transcribe.searches import SphinxSettings
from voice_needle.transcribe.sphinx import SphinxRecogniser

sys.path.insert(0, str(Path(__file__).parent))
import itertools

from voices import BARISTA, FLITE_VOICES, mix, pink_noise, speak

ORDERS = (
    "can i have a large iced mocha with a lot of skim milk please",
    "i'd like a double shot espresso",
    "give me a medium roast house coffee with some brown sugar",
)
FOREIGN = (
    "the committee decided to postpone the vote until next year",
    "have you read the article about the new railway station",
    "our neighbours bought a dog that barks all night long",
    "she plays the violin in a small orchestra downtown",
    "could somebody explain why the numbers do not add up",
    "yesterday evening we watched a documentary about volcanoes",
)


def utterance(samples: Samples) -> Utterance:
    return Utterance(samples, 0.0, 0.0, to_ms(len(samples)))


def alike(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a.split(), b.split()).ratio()


@pytest.fixture(scope="module")
def barista() -> Iterator[SphinxRecogniser]:
    recogniser = SphinxRecogniser()
    recogniser.prepare(BARISTA)
    yield recogniser
    recogniser.close()


@pytest.mark.parametrize("voice", FLITE_VOICES)
def test_orders_are_heard(barista: SphinxRecogniser, voice: str) -> None:
    heard = [barista.transcribe(utterance(speak(order, voice))) for order in ORDERS]
    assert not [transcript for transcript in heard if transcript.refused]
    likeness = [alike(order, transcript.text) for order, transcript in zip(ORDERS, heard, strict=True)]
    assert sum(likeness) / len(likeness) > 0.85, heard


@pytest.mark.parametrize("voice", ["rms", "awb"])
@pytest.mark.parametrize("said", ["can i have um a large iced mocha", "i'd like um a double shot espresso"])
def test_a_hesitation_is_no_word(barista: SphinxRecogniser, said: str, voice: str) -> None:
    """ "Um" was heard as "some" or "an"."""
    heard = barista.transcribe(utterance(speak(said, voice)))
    assert not heard.refused and set(heard.text.split()) <= set(said.split()) - {"um"}, heard
    assert len(heard.text.split()) >= 5


def test_words_have_times_in_order(barista: SphinxRecogniser) -> None:
    sound = speak(ORDERS[1])
    words = barista.transcribe(utterance(sound)).words
    assert len(words) >= 4
    assert all(a.start_ms < a.end_ms <= b.start_ms + 10 for a, b in itertools.pairwise(words))
    assert words[-1].end_ms <= to_ms(len(sound))


@pytest.mark.parametrize(
    ("said", "heard"), [("stop", "stop"), ("yes please", "yes please"), ("make that a latte", "make that")]
)
def test_the_conversation_is_always_understood(barista: SphinxRecogniser, said: str, heard: str) -> None:
    assert barista.transcribe(utterance(speak(said))).text.startswith(heard)


def test_other_talk_is_refused(barista: SphinxRecogniser) -> None:
    results = [barista.transcribe(utterance(speak(said, voice))) for said in FOREIGN for voice in ("slt", "rms")]
    accepted = [result.text for result in results if not result.refused]
    assert len(accepted) <= 1, accepted
    assert max(result.confidence for result in results if result.refused) < 0.5


@pytest.mark.parametrize("level", [0, 30, 1500])
def test_no_words_in_noise(barista: SphinxRecogniser, level: int) -> None:
    noise = (pink_noise(32_000) / 1000.0 * level).astype(np.int16)
    assert barista.transcribe(utterance(noise)).refused


def test_noise_at_15_db_leaves_the_order(barista: SphinxRecogniser) -> None:
    sound = mix(speak(ORDERS[0]), pink_noise(64_000, seed=7), 15.0)
    assert alike(barista.transcribe(utterance(sound)).text, ORDERS[0]) > 0.8


@pytest.mark.parametrize(("snr_db", "noisy"), [(30.0, False), (8.0, True)])
def test_noise_in_which_words_are_misread_is_told(barista: SphinxRecogniser, snr_db: float, noisy: bool) -> None:
    quiet = np.zeros(8_000, np.int16)
    sound = mix(np.concatenate([quiet, speak(ORDERS[0]), quiet]), pink_noise(80_000, seed=7), snr_db)
    assert barista.transcribe(utterance(sound)).noisy is noisy


def test_partial_words_grow_into_the_final_ones(barista: SphinxRecogniser) -> None:
    sound = speak(ORDERS[0])
    stream = barista.stream()
    partials = []
    for at in range(0, len(sound), 1600):
        stream.feed(sound[at : at + 1600])
        partials.append(stream.partial())
    final = stream.finish()
    assert not any(partial.final for partial in partials)
    assert final.final
    assert alike(final.text, ORDERS[0]) > 0.85
    assert any("iced mocha" in partial.text for partial in partials[: len(partials) * 3 // 4])
    with pytest.raises(EngineFailed, match="ended"):
        stream.feed(sound[:1600])


def test_a_new_utterance_ends_the_stream_before(barista: SphinxRecogniser) -> None:
    old = barista.stream()
    old.feed(speak("stop"))
    assert barista.transcribe(utterance(speak("stop"))).text == "stop"
    with pytest.raises(EngineFailed):
        old.partial()


def searches(recogniser: SphinxRecogniser, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every search of a whole utterance from now on, as it happens."""
    searched: list[str] = []
    decode = recogniser.decode

    def spy(search: str, samples: Samples) -> object:
        searched.append(search)
        return decode(search, samples)

    monkeypatch.setattr(recogniser, "decode", spy)
    return searched


def test_what_was_heard_along_and_confirmed_is_not_searched_for_again(
    barista: SphinxRecogniser, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = speak(ORDERS[0])
    plain = barista.transcribe(utterance(sound))
    searched = searches(barista, monkeypatch)
    stream = barista.stream()
    for at in range(0, len(sound) - 3_200, 1_600):
        stream.feed(sound[at : at + 1_600])  # the rest is heard at the end
    assert barista.transcribe(utterance(sound)).text == plain.text
    assert sorted(searched) == ["phones", "trigram"]
    searched.clear()
    barista.stream().feed(speak(ORDERS[1]))  # another utterance, and longer
    assert barista.transcribe(utterance(sound[: len(sound) // 2])).text != plain.text
    assert "grammar" in searched
    searched.clear()
    stream = barista.stream()  # what followed the beginning of the utterance, and no more
    stream.feed(sound[len(sound) // 2 :])
    assert barista.transcribe(utterance(sound)).text == plain.text
    assert "grammar" in searched


@pytest.mark.parametrize("reply", [False, True])
def test_long_music_is_refused_by_the_freest_search_alone(
    barista: SphinxRecogniser, monkeypatch: pytest.MonkeyPatch, reply: bool
) -> None:
    searched = searches(barista, monkeypatch)
    sound = (music(10.0, seed=3) // 8).astype(np.int16)
    heard = barista.transcribe(Utterance(sound, 0.0, 0.0, to_ms(len(sound)), reply=reply))
    assert heard.refused == "noise" and heard.confidence == 0.0
    assert not {"grammar", "replies"} & set(searched)
    quiet = (music(10.0, seed=3) // 400).astype(np.int16)
    speech = speak(ORDERS[0])
    quiet[16_000 : 16_000 + len(speech)] += speech
    assert alike(barista.transcribe(utterance(quiet)).text, ORDERS[0]) > 0.8


def test_replies_are_listened_for_where_one_is_likely(
    barista: SphinxRecogniser, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = searches(barista, monkeypatch)
    sound = speak("stop talking")
    heard = barista.transcribe(Utterance(sound, 0.0, 0.0, to_ms(len(sound)), reply=True))
    assert heard.text == "stop talking" and not heard.refused
    assert "replies" in searched
    searched.clear()
    barista.transcribe(utterance(sound))
    assert "replies" not in searched


def test_the_same_sound_gives_the_same_words(barista: SphinxRecogniser) -> None:
    sound = utterance(speak(ORDERS[2], "rms"))
    first, second = barista.transcribe(sound), barista.transcribe(sound)
    assert first.text == second.text
    assert first.confidence == pytest.approx(second.confidence, abs=0.02)


def test_new_tools_are_learned_and_compiled_once(tmp_path: Path) -> None:
    recogniser = SphinxRecogniser(SphinxSettings(cache=tmp_path))
    with pytest.raises(EngineFailed, match="not told"):
        recogniser.transcribe(utterance(speak("open the hatch")))
    first = Tool("hatch", "Open a hatch.", sentences=("open the hatch",))
    second = Tool("zorblax", "Start the zorblax.", sentences=("start the zorblax machine",))
    recogniser.prepare(Toolset([first]))
    assert recogniser.transcribe(utterance(speak("open the hatch"))).text == "open the hatch"
    recogniser.prepare(Toolset([first, second]))
    assert recogniser.transcribe(utterance(speak("start the zorblax machine"))).text == "start the zorblax machine"
    compiled = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("tools.*")}
    assert len(compiled) == 6
    again = SphinxRecogniser(SphinxSettings(cache=tmp_path))
    again.prepare(Toolset([first, second]))
    assert again.transcribe(utterance(speak("open the hatch"))).text == "open the hatch"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("tools.*")} == compiled
