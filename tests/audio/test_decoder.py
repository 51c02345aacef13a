"""pocketsphinx called directly: the same words as through its binding, while everything else runs on, and nothing is leaked."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from voice_needle import memory
from voice_needle.errors import EngineFailed
from voice_needle.tools import Tool, Toolset
from voice_needle.transcribe import decoder as decoding
from voice_needle.transcribe.searches import GRAMMAR, PHONES, REPLIES, TRIGRAM, SphinxSettings
from voice_needle.transcribe.sphinx import SphinxRecogniser

sys.path.insert(0, str(Path(__file__).parent))
from voices import BARISTA, mix, pink_noise, speak

SENTENCES = (
    "can i have a large iced mocha with a lot of skim milk please",
    "i'd like a double shot espresso",
    "no wait make that a small one",
    "stop",
    "the committee decided to postpone the vote until next year",
)


def hidden() -> None:
    raise AttributeError("undefined symbol: ps_init")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("words")


@pytest.fixture(scope="module")
def direct(cache: Path) -> Iterator[SphinxRecogniser]:
    recogniser = SphinxRecogniser(SphinxSettings(cache=cache))
    recogniser.prepare(BARISTA)
    assert recogniser._decoders is not None and isinstance(recogniser._decoders.own, decoding.DirectDecoder)
    yield recogniser
    recogniser.close()


@pytest.fixture(scope="module")
def bound(cache: Path) -> Iterator[SphinxRecogniser]:
    """Where a build of pocketsphinx hides its functions."""
    recogniser = SphinxRecogniser(SphinxSettings(cache=cache))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "library", hidden)
        recogniser.prepare(BARISTA)
    assert recogniser._decoders is not None and isinstance(recogniser._decoders.own, decoding.BoundDecoder)
    yield recogniser
    recogniser.close()


def sounds() -> list[np.ndarray]:
    clean = [speak(sentence, voice) for sentence in SENTENCES for voice in ("slt", "rms")]
    return [*clean, mix(clean[0], pink_noise(64_000, seed=3), 10.0), pink_noise(16_000), np.zeros(900, np.int16)]


def test_the_same_words_times_and_scores_as_through_the_binding(
    direct: SphinxRecogniser, bound: SphinxRecogniser
) -> None:
    read = 0
    for sound in sounds():
        for search in (GRAMMAR, REPLIES, TRIGRAM, PHONES):
            found = direct.decode(search, sound)
            assert found == bound.decode(search, sound)
            read += bool(found[0].words)
        assert direct.means == bound.means
        assert direct.read(sound, reply=True) == bound.read(sound, reply=True)
    assert read > 30
    for recogniser in (direct, bound):
        assert recogniser._decoders is not None
        decoder = recogniser._decoders.own
        assert decoder.knows("espresso") and not decoder.knows("zorblax")


def test_the_same_partial_words(direct: SphinxRecogniser, bound: SphinxRecogniser) -> None:
    for sound in sounds()[:4]:
        streams = direct.stream(), bound.stream()
        for at in range(0, len(sound), 1_600):
            for stream in streams:
                stream.feed(sound[at : at + 1_600])
            assert streams[0].partial() == streams[1].partial()
        assert streams[0].finish() == streams[1].finish()


def test_python_runs_on_while_it_decodes(direct: SphinxRecogniser) -> None:
    sound = np.concatenate([speak(SENTENCES[0]), speak(SENTENCES[1]), speak(SENTENCES[4])])
    ticks, done = 0, threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not done.wait(0.002):
            ticks += 1

    counting = threading.Thread(target=tick)
    decoder = direct.begin(GRAMMAR)
    counting.start()
    while not ticks:
        time.sleep(0.001)
    before = ticks
    decoder.process(sound.tobytes(), whole=True)  # a tenth of a second, at the least
    during = ticks - before
    done.set()
    counting.join()
    decoder.end()
    assert during >= 5  # with the lock held: 0


def test_a_second_thread_waits_and_breaks_nothing(direct: SphinxRecogniser) -> None:
    """Nobody should, but the price must not be a crash of the whole assistant."""
    sound = speak(SENTENCES[1])

    def meddle(number: int) -> None:
        with contextlib.suppress(EngineFailed):
            direct.decode(GRAMMAR if number % 2 else TRIGRAM, sound)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(meddle, range(16)))
    with contextlib.suppress(EngineFailed):
        direct.decode(GRAMMAR, sound)  # ends what was left open
    assert direct.decode(GRAMMAR, sound)[0].words[-3:] == ("double", "shot", "espresso")


def test_nothing_is_leaked(direct: SphinxRecogniser) -> None:
    sound = speak(SENTENCES[1])
    for _ in range(3):
        direct.read(sound, reply=True)
    before = memory.resident_mb()
    for _ in range(40):
        direct.read(sound, reply=True)
    assert memory.resident_mb() - before < 5.0


def test_a_decoder_gives_its_memory_back(tmp_path: Path) -> None:
    tools = Toolset([Tool("hatch", "Open a hatch.", sentences=("open the hatch",))])

    def once() -> None:
        recogniser = SphinxRecogniser(SphinxSettings(cache=tmp_path))
        recogniser.prepare(tools)
        recogniser.close()

    once()
    once()
    before = memory.resident_mb()
    for _ in range(5):
        once()
    assert memory.resident_mb() - before < 10.0  # one is 30 MB


def test_a_wrong_option_and_a_missing_file_are_told(tmp_path: Path) -> None:
    with pytest.raises((ValueError, RuntimeError)):
        decoding.open_decoder({"no_such_option": 3, "loglevel": "FATAL"})
    with pytest.raises(RuntimeError):
        decoding.open_decoder({"dict": str(tmp_path / "none"), "loglevel": "FATAL"})
