"""The embedded recogniser: pocketsphinx with a grammar, a language model and a dictionary made from the registered tools."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import re
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from voice_needle.audio import FRAME_MS, SAMPLE_RATE_HZ, Samples
from voice_needle.errors import EngineFailed, StorageError, VoiceNeedleError
from voice_needle.events import Transcript, Utterance, Word
from voice_needle.tools import Toolset
from voice_needle.transcribe import compiled
from voice_needle.transcribe.confidence import Reading, features, logistic, seconded
from voice_needle.transcribe.decoder import Decoder
from voice_needle.transcribe.hallucination import loudest_dbfs
from voice_needle.transcribe.noise import add_floor, floor_rms, loud_between, loud_frames, signal_to_noise_db
from voice_needle.transcribe.reverberation import dereverberate
from voice_needle.transcribe.searches import (
    GRAMMAR,
    PHONES,
    PHONES_BESIDE,
    REPLIES,
    TRIGRAM,
    Decoders,
    SphinxSettings,
    load,
)
from voice_needle.transcribe.stumbles import runs_on

log = logging.getLogger(__name__)

ALTERNATIVES = 4
SCORE_SCALE = 1000.0  # hyp.score is the exponential of a scaled log-likelihood; this makes it a handy number a frame
SHORTEST = SAMPLE_RATE_HZ // 20
COVERS = 0.6  # of the sound that the trigram model finds words in, a reply must explain: the rest would be taken for breath and noise
# Of what is loud in an utterance, words must explain a half, or all but three seconds: of 15 s of music they explain a fifth, of
# long recordings of people in a kitchen at 6 dB at least three quarters.
EXPLAINS, UNEXPLAINED_MS = 0.5, 3_000.0
SCATTERED_MS = 600.0  # of loud sound between the words of a reply: two bars of music were "take - that - back"
NOISY_DB = 16.0  # mean over background as the recordings' level is measured: a kitchen at 10 dB under their speech
WEIGHTS = (8.7, 6.6, 0.3)
"""Of confidence.features: the direction from synthetic speech and the benchmark's `tune` half, scale and offset from that half."""


class SphinxRecogniser:
    """Four searches of the same sound. Used from one worker thread; a new stream or utterance ends the one before."""

    name = "sphinx"

    def __init__(self, settings: SphinxSettings | None = None) -> None:
        self._settings = settings or SphinxSettings()
        self._decoders: Decoders | None = None
        self._beside = ThreadPoolExecutor(1, "recogniser-beside")  # the other decoder's thread
        self._folder: Path | None = None  # what the decoders were made from
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._open: SphinxStream | None = None
        self._means: str | None = None  # cepstral means of the last utterance: where a live stream starts

    def prepare(self, tools: Toolset) -> None:
        """Learn the tools' words: grammar, language model and dictionary. Nothing is done for those it already knows.

        The decoders before go first: these and new ones, or they and the compiler, are more than a small board can hold. When
        the new words cannot be compiled the old ones are loaded again. Errors: BadToolSchema, EngineFailed, EngineMissing.
        """
        root = self._settings.cache or self._own_root()
        before = self._folder
        if before is not None and before.name == compiled.key(tools, full=self._settings.full):
            return
        self._abandon()
        self._decoders = self._folder = None
        try:
            folder = self._compiled(tools, root)
        except VoiceNeedleError:
            if before is not None:
                self._decoders, self._folder = load(before, self._settings), before
            raise
        self._decoders, self._folder = load(folder, self._settings), folder

    def compile_ahead(self, tools: Toolset) -> None:
        """Compile new words while the old ones are listened for; from any thread. `prepare` then finds them on disk."""
        if self._settings.cache is not None:
            self._compiled(tools, self._settings.cache)

    def transcribe(self, utterance: Utterance) -> Transcript:
        """Errors: EngineFailed when `prepare` was not called or the decoder cannot go on."""
        return self.read(utterance.samples, reply=utterance.reply)

    def read(self, samples: Samples, *, reply: bool = False) -> Transcript:
        """The words of a whole utterance with its confidence; refused when it is not about the registered tools.

        reply: it may be an answer, a correction or a stop: these are listened for in a small grammar of their own, too.
        """
        along = self._settled(samples)
        if loudest_dbfs(samples) < self._settings.quiet_dbfs:
            return Transcript("", confidence=0.0, engine=self.name, refused="silence")
        return replace(self._searched(samples, along, reply), noisy=signal_to_noise_db(samples) < NOISY_DB)

    def _searched(
        self, samples: Samples, along: tuple[Reading, tuple[Word, ...]] | None, reply: bool
    ) -> Transcript:
        """`read` of sound that is no silence. along: what `_settled` found."""
        sound = self._with_floor(samples)
        trigram_read = self._beside.submit(self.decode, TRIGRAM, sound)
        loud = loud_frames(samples)
        loud_ms = loud.sum() * FRAME_MS
        in_replies = reply and self._settings.full
        if not in_replies:
            phones, _ = self._decode_here(PHONES, sound)
        if loud_ms > UNEXPLAINED_MS:  # where the freest search finds no words, the others are spared
            trigram, free_words = trigram_read.result()
            if loud_ms - _covered_ms(free_words) > max(UNEXPLAINED_MS, (1.0 - EXPLAINS) * loud_ms):
                return self._transcript(trigram, free_words, (), 0.0, "noise")
        if in_replies:
            phones_read = self._beside.submit(self.decode, PHONES_BESIDE, sound)
            short, short_words = self.decode(REPLIES, sound)
            phones, _ = phones_read.result()
        else:
            short, short_words = Reading((), 0.0), ()
        trigram, free_words = trigram_read.result()
        last = TRIGRAM
        if along is None or not along[0].words or along[0].words != trigram.words:
            along, last = self._decode_here(GRAMMAR, sound), GRAMMAR
        if self._decoders is not None:
            self._means = self._decoders.of(last).means()
        grammar, words = along
        if not grammar.words and not trigram.words:
            return Transcript("", confidence=0.0, engine=self.name, refused="silence")
        confidence = logistic(features(grammar, trigram, phones.score), WEIGHTS)
        covers = _covered_ms(short_words) >= COVERS * _covered_ms(free_words)
        if short.words and covers and loud_between(short_words, loud) <= SCATTERED_MS:
            sure = logistic(seconded(short, (trigram, grammar), phones.score), WEIGHTS)
            if sure > confidence or not grammar.words:
                return self._transcript(short, short_words, (grammar, trigram), sure)
        if not grammar.words:  # the trigram model's words where the grammar found no whole sentence
            grammar, words, trigram = trigram, free_words, grammar
        return self._transcript(grammar, words, (trigram,), confidence)

    def _settled(self, samples: Samples) -> tuple[Reading, tuple[Word, ...]] | None:
        """What the grammar heard along, where that is the beginning of these samples: the trigram model's agreement spares the search.

        Without it that counts for little, since it was heard with the means of the utterance before.
        """
        stream, self._open = self._open, None
        if stream is None or stream.ended:
            return None
        if not self._settings.full:  # one decoder: what it heard along would spoil the trigram model's reading
            stream.abandon()
            return None
        return stream.settle(samples)

    def stream(self) -> SphinxStream:
        """Partial words by the grammar alone; the final words by all searches."""
        self._abandon()
        self._open = SphinxStream(self, self._settings.noise_floor)
        return self._open

    def close(self) -> None:
        self._abandon()
        self._beside.shutdown()
        self._decoders = self._folder = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    # --- building ----------------------------------------------------------------------------------------------------

    def _own_root(self) -> Path:
        self._temporary = self._temporary or tempfile.TemporaryDirectory(prefix="voice-needle-sphinx-")
        return Path(self._temporary.name)

    def _compiled(self, tools: Toolset, root: Path) -> Path:
        """A full or read-only disk costs a compilation at each start, nothing else."""
        try:
            return compiled.compiled(tools, root, full=self._settings.full)
        except StorageError as error:
            if root == self._own_root():
                raise
            log.warning("the compiled words cannot be kept: %s", error)
            return compiled.compiled(tools, self._own_root(), full=self._settings.full)

    # --- decoding ----------------------------------------------------------------------------------------------------

    def _with_floor(self, samples: Samples) -> Samples:
        """The sound, drier where that is wanted, plus white noise: the same for the same sound, on whatever processor.

        The noise is drawn from what the microphone gave. What dereverberation makes of it may differ in a last bit between processors.
        """
        seed = int.from_bytes(hashlib.blake2b(samples.tobytes(), digest_size=8).digest(), "little")
        dry = dereverberate(samples) if self._settings.dereverberate else samples
        level = floor_rms(dry, self._settings.noise_floor, self._settings.noise_share)
        return add_floor(dry, level, np.random.default_rng(seed))

    def decode(self, search: str, sound: Samples) -> tuple[Reading, tuple[Word, ...]]:
        """One search over a whole utterance. Errors: EngineFailed."""
        if len(sound) < SHORTEST:
            return Reading((), 0.0), ()
        decoder = self.begin(search)
        try:
            decoder.process(sound.tobytes(), whole=True)
            decoder.end()
            return self.result(search)
        except RuntimeError as error:
            with contextlib.suppress(RuntimeError):
                decoder.end()  # or no other utterance could begin
            raise EngineFailed(f"pocketsphinx stopped: {error}") from error

    def _decode_here(self, search: str, sound: Samples) -> tuple[Reading, tuple[Word, ...]]:
        """`decode` in this thread, where that has a decoder of its own."""
        if self._settings.full:
            return self.decode(search, sound)
        return self._beside.submit(self.decode, search, sound).result()

    def begin(self, search: str) -> Decoder:
        """The decoder, with an utterance of this search begun."""
        if self._decoders is None:
            raise EngineFailed("the recogniser was not told about any tools", fix="voice-needle tools list")
        decoder = self._decoders.of(search)
        try:
            decoder.start(search)
        except RuntimeError as error:
            raise EngineFailed(f"pocketsphinx cannot start: {error}") from error
        return decoder

    def result(self, search: str) -> tuple[Reading, tuple[Word, ...]]:
        """What this search has read so far. Scores count speech only: frames that a word (or phone) covers."""
        found = self._decoders.of(search).found() if self._decoders is not None else None
        if found is None:
            return Reading((), 0.0), ()
        words = tuple(
            Word(re.sub(r"\(\d+\)$", "", part.word), part.first * 10.0, (part.last + 1) * 10.0)
            for part in found.segments
            if not _is_filler(part.word)
        )
        score = math.log(max(found.score, 1e-300)) * SCORE_SCALE / max(1, found.frames)
        return Reading(tuple(word.text for word in words), score), words

    def _transcript(
        self, chosen: Reading, words: tuple[Word, ...], others: tuple[Reading, ...], confidence: float, refused: str = ""
    ) -> Transcript:
        refused = refused or ("" if confidence >= self._settings.accept else "out of domain")
        if runs_on(chosen.words):
            refused = "repetition"
        texts = dict.fromkeys(" ".join(reading.words) for reading in others if reading.words != chosen.words)
        return Transcript(
            text=" ".join(chosen.words),
            words=tuple(replace(word, confidence=confidence) for word in words),
            confidence=confidence,
            engine=self.name,
            alternatives=tuple(text for text in texts if text)[:ALTERNATIVES],
            refused=refused,
        )

    def _abandon(self) -> None:
        if self._open is not None:
            self._open.abandon()
            self._open = None

    @property
    def means(self) -> str | None:
        return self._means


class SphinxStream:
    """One utterance as it arrives: the grammar listens along with the cepstral means of the utterance before."""

    def __init__(self, recogniser: SphinxRecogniser, noise_floor: float) -> None:
        self._recogniser = recogniser
        self._floor = noise_floor
        self._rng = np.random.default_rng(SHORTEST)
        self._heard: list[Samples] = []
        self._decoder: Decoder | None = recogniser.begin(GRAMMAR)
        if recogniser.means:
            self._decoder.set_means(recogniser.means)

    @property
    def ended(self) -> bool:
        return self._decoder is None

    def feed(self, samples: Samples) -> None:
        """Errors: EngineFailed when the stream is spent or the decoder cannot go on."""
        if self._decoder is None:
            raise EngineFailed("this stream has ended")
        self._heard.append(samples)
        try:
            self._decoder.process(add_floor(samples, self._floor, self._rng).tobytes())
        except RuntimeError as error:
            raise EngineFailed(f"pocketsphinx stopped: {error}") from error

    def partial(self) -> Transcript:
        """The words so far. Their confidence is not known before the end: 0.5."""
        if self._decoder is None:
            raise EngineFailed("this stream has ended")
        reading, words = self._recogniser.result(GRAMMAR)
        return Transcript(" ".join(reading.words), words, 0.5, final=False, engine=self._recogniser.name)

    def finish(self) -> Transcript:
        """As `transcribe` of all the sound: searched again with the means of this utterance itself, where the readings differ."""
        empty = np.zeros(0, np.int16)
        return self._recogniser.read(np.concatenate(self._heard) if self._heard else empty)

    def settle(self, samples: Samples) -> tuple[Reading, tuple[Word, ...]] | None:
        """Hear the rest of an utterance and end: the words as far as they make a whole sentence; None where another was heard so far."""
        beginning = np.concatenate(self._heard) if self._heard else samples[:0]
        heard = len(beginning)
        if not 0 < heard <= len(samples) or not np.array_equal(beginning, samples[:heard]):
            self.abandon()
            return None
        if heard < len(samples):
            self.feed(samples[heard:])
        self.abandon()
        return self._recogniser.result(GRAMMAR)

    def abandon(self) -> None:
        """End without a result. Safe to call twice."""
        if self._decoder is not None:
            decoder, self._decoder = self._decoder, None
            decoder.end()


def _covered_ms(words: Sequence[Word]) -> float:
    """How much of the sound is words."""
    return sum(word.end_ms - word.start_ms for word in words)


def _is_filler(word: str) -> bool:
    return word[0] in "<[(+" or word == "SIL"
