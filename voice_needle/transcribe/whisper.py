"""Whisper through faster-whisper (CTranslate2), for boards that can carry it: only from a folder on this device.

Two departures from its own pipeline. The encoder sees the utterance and a margin instead of 30 s padded with silence, which is
twenty times less work for a short request; and what comes out is believed only if the sound supports it. A doubtful result is
heard again at full length once, since the model was trained on nothing shorter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from voice_needle.audio import SAMPLE_RATE_HZ, Samples
from voice_needle.errors import EngineFailed, EngineMissing, ModelCorrupt, ModelMissing
from voice_needle.events import Transcript, Utterance, Word
from voice_needle.tools import Toolset, spoken_forms
from voice_needle.transcribe.engine import Stream
from voice_needle.transcribe.hallucination import Evidence, Limits, loudest_dbfs, verdict
from voice_needle.transcribe.vocabulary import Vocabulary, known_words

FILES = ("model.bin", "config.json", "tokenizer.json")
"""Without tokenizer.json faster-whisper would fetch one from the network."""
FULL_SECONDS = 30.0
TOKENS_PER_SECOND = 8
MOST_TOKENS = 200


@dataclass(frozen=True)
class WhisperSettings:
    """model: folder of a converted model. margin_ms: silence the encoder sees after the utterance. hotword_characters: the
    prompt's length; every token of it costs decoding time. limits: when the text is not believed.
    """

    model: Path
    language: str = "en"
    threads: int = 2
    margin_ms: int = 1000
    hotword_characters: int = 400
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class _Attempt:
    text: str
    words: tuple[Word, ...]
    evidence: Evidence
    doubt: str

    @property
    def confidence(self) -> float:
        sure = math.exp(min(0.0, self.evidence.log_probability)) * (1.0 - self.evidence.no_speech)
        return 0.0 if self.doubt else sure


class WhisperRecogniser:
    """Used from one worker thread. Errors: ModelMissing, ModelCorrupt, EngineMissing when it is made."""

    name = "whisper"

    def __init__(self, settings: WhisperSettings) -> None:
        self._settings = settings
        self._model: Any = _load(settings)
        self._tokenizer: Any = _tokenizer(self._model, settings.language)
        self._hotwords = ""
        self._vocabulary: Vocabulary | None = None

    def prepare(self, tools: Toolset) -> None:
        """Hotwords and the vocabulary for repairs."""
        self._hotwords = hotwords(tools, self._settings.hotword_characters)
        self._vocabulary = Vocabulary(tools, known_words(tools)) if len(tools) else None

    def transcribe(self, utterance: Utterance) -> Transcript:
        """Errors: EngineFailed. Longer than 30 s: only the first 30 s are heard."""
        samples = utterance.samples[: int(FULL_SECONDS * SAMPLE_RATE_HZ)]
        if loudest_dbfs(samples) < self._settings.limits.quiet_dbfs:
            return Transcript("", confidence=0.0, engine=self.name, refused="silence")
        seconds = len(samples) / SAMPLE_RATE_HZ + self._settings.margin_ms / 1000.0
        attempt = self._attempt(samples, min(FULL_SECONDS, seconds))
        if attempt.doubt and seconds < FULL_SECONDS:
            again = self._attempt(samples, FULL_SECONDS)
            if not again.doubt or again.evidence.log_probability > attempt.evidence.log_probability:
                attempt = again
        return self._transcript(attempt)

    def stream(self) -> Stream | None:
        """None: an utterance is heard as a whole."""
        return None

    def close(self) -> None:
        self._model = None
        self._tokenizer = None

    def _transcript(self, attempt: _Attempt) -> Transcript:
        if attempt.doubt in ("silence", "phantom", "repetition"):
            return Transcript("", (), 0.0, engine=self.name, alternatives=_given(attempt.text), refused=attempt.doubt)
        refused = "out of domain" if attempt.doubt else ""
        heard = Transcript(attempt.text, attempt.words, attempt.confidence, engine=self.name, refused=refused)
        return self._vocabulary.repair(heard) if self._vocabulary else heard

    def _attempt(self, samples: Samples, seconds: float) -> _Attempt:
        """Hear the sound in a window of this length."""
        if self._model is None:
            raise EngineFailed("the recogniser was closed")
        try:
            return self._hear(samples, seconds)
        except (RuntimeError, ValueError) as error:
            raise EngineFailed(f"Whisper stopped: {error}") from error

    def _hear(self, samples: Samples, seconds: float) -> _Attempt:
        features = self._features(samples, seconds)
        encoded = self._model.encode(features)
        prompt = self._model.get_prompt(self._tokenizer, [], without_timestamps=True, hotwords=self._hotwords or None)
        room = self._model.max_length - len(prompt)
        length = min(room, MOST_TOKENS, 8 + int(seconds * TOKENS_PER_SECOND))
        result = self._model.model.generate(
            encoded,
            [prompt],
            beam_size=1,
            max_length=len(prompt) + length,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
        )[0]
        tokens = [token for token in result.sequences_ids[0] if token < self._tokenizer.eot]
        text = self._tokenizer.decode(tokens).strip()
        evidence = Evidence(float(result.no_speech_prob), float(result.scores[0]) * len(tokens) / (len(tokens) + 1))
        doubt = verdict(text, samples, evidence, self._settings.limits)
        words = () if doubt else self._words(encoded, tokens, features.shape[-1])
        return _Attempt(text, words, evidence, doubt)

    def _features(self, samples: Samples, seconds: float) -> np.ndarray[Any, Any]:
        """(mels, frames) log-mel of the sound, padded with silence to `seconds`; an even number of frames."""
        whole = np.zeros(int(seconds * SAMPLE_RATE_HZ) // 320 * 320, np.float32)
        kept = min(len(whole), len(samples))
        whole[:kept] = samples[:kept] / 32768.0
        features = self._model.feature_extractor(whole, padding=0)
        return np.ascontiguousarray(features[:, : features.shape[-1] // 2 * 2], dtype=np.float32)

    def _words(self, encoded: Any, tokens: list[int], frames: int) -> tuple[Word, ...]:
        """Words with times from the decoder's attention, in ms."""
        if not tokens:
            return ()
        found = self._model.find_alignment(self._tokenizer, [tokens], encoded, frames)[0]
        return tuple(
            Word(entry["word"].strip(), entry["start"] * 1000.0, entry["end"] * 1000.0, float(entry["probability"]))
            for entry in found
            if entry["word"].strip()
        )


def model_folder(name: str, data_dir: Path | None) -> Path:
    """Where a model lies: `name` itself if it is a folder, else models/whisper-NAME under the data folder.

    Errors: ModelMissing with what to type.
    """
    plain = name.removeprefix("whisper-")
    places = [Path(name)] + ([data_dir / "models" / f"whisper-{plain}"] if data_dir else [])
    for place in places:
        if place.is_dir():
            return place
    raise ModelMissing(f"the Whisper model {plain} is not installed", fix=f"voice-needle models pull whisper-{plain}")


def hotwords(tools: Toolset, characters: int) -> str:
    """Names of the registry, first forms first, as many as fit."""
    ranked: dict[str, None] = {}
    forms = [list(spoken_forms(schema).values()) for tool in tools.values() for schema in tool.properties.values()]
    for rank in (0, 1):
        for values in forms:
            ranked.update(dict.fromkeys(said[rank] for said in values if len(said) > rank and len(said[rank]) > 2))
    return _fit(ranked, characters)


def _fit(words: Iterable[str], characters: int) -> str:
    kept: list[str] = []
    for word in words:
        if sum(map(len, kept)) + 2 * len(kept) + len(word) > characters:
            break
        kept.append(word)
    return ", ".join(kept)


def _given(text: str) -> tuple[str, ...]:
    return (text,) if text else ()


def _load(settings: WhisperSettings) -> Any:
    name = settings.model.name
    for file in FILES:
        if not (settings.model / file).is_file():
            kind = ModelMissing if file == "model.bin" else ModelCorrupt
            pull = name if name.startswith("whisper-") else f"whisper-{name}"
            raise kind(f"{settings.model} has no {file}", fix=f"voice-needle models pull {pull}")
    try:
        from faster_whisper import WhisperModel
    except ImportError as error:
        raise EngineMissing("faster-whisper is not installed", fix="pip install 'voice-needle[whisper]'") from error
    try:
        return WhisperModel(
            str(settings.model),
            device="cpu",
            compute_type="int8",
            cpu_threads=settings.threads,
            local_files_only=True,
        )
    except (RuntimeError, ValueError, OSError, KeyError) as error:
        raise ModelCorrupt(f"{settings.model} cannot be loaded: {error}") from error


def _tokenizer(model: Any, language: str) -> Any:
    from faster_whisper.tokenizer import Tokenizer

    return Tokenizer(model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language=language)
