"""The embedded recogniser: pocketsphinx with a grammar, a language model and a dictionary made from the registered tools."""

from __future__ import annotations

import hashlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voice_needle.audio import SAMPLE_RATE_HZ, Samples
from voice_needle.errors import EngineFailed, EngineMissing
from voice_needle.events import Transcript, Utterance, Word
from voice_needle.tools import Toolset
from voice_needle.transcribe.automaton import compile_patterns, fsg_text
from voice_needle.transcribe.engine import Stream
from voice_needle.transcribe.grammar import Grammar, build_grammar
from voice_needle.transcribe.language_model import arpa_text
from voice_needle.transcribe.pronounce import dictionary_text

FRAME_SECONDS = 0.01
SILENCES = frozenset({"<s>", "</s>", "<sil>", "(NULL)", "[NOISE]", "[COUGH]", "[SMACK]", "[UM]", "[UH]"})


@dataclass(frozen=True)
class SphinxSettings:
    """noise_floor: RMS in LSB of the white noise added to the sound; the acoustic model was trained on rooms, not on silence.

    beam, word_beam: how far under the best path a search state, a word end, may be (log-linear; smaller is wider).
    cache: where compiled grammars are kept; a temporary folder when None.
    """

    noise_floor: float = 25.0
    beam: float = 1e-44
    word_beam: float = 1e-22
    cache: Path | None = None


class SphinxRecogniser:
    """Used from one worker thread."""

    name = "sphinx"

    def __init__(self, settings: SphinxSettings | None = None) -> None:
        self._settings = settings or SphinxSettings()
        self._decoder: Any = None
        self._grammar: Grammar | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    def prepare(self, tools: Toolset) -> None:
        """Build grammar, language model and dictionary. Nothing is done for the tools it already knows."""
        grammar = build_grammar(tools)
        if self._grammar is not None and grammar.content_hash == self._grammar.content_hash:
            return
        folder = self._build(grammar)
        self._decoder = self._load(folder)
        self._grammar = grammar

    def transcribe(self, utterance: Utterance) -> Transcript:
        """Errors: EngineFailed when `prepare` was not called or the decoder cannot go on."""
        samples = self._with_floor(utterance.samples)
        text, words = self._decode("grammar", samples)
        return Transcript(text=text, words=words, engine=self.name, refused="" if text else "silence")

    def stream(self) -> Stream | None:
        return None

    def close(self) -> None:
        self._decoder = None
        self._grammar = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    # --- building ----------------------------------------------------------------------------------------------------

    def _build(self, grammar: Grammar) -> Path:
        """Write what the decoder reads into a folder named after the grammar's content."""
        if self._settings.cache is not None:
            root = self._settings.cache
        else:
            self._temporary = self._temporary or tempfile.TemporaryDirectory(prefix="voice-needle-sphinx-")
            root = Path(self._temporary.name)
        folder = root / grammar.content_hash[:24]
        if not (folder / "complete").exists():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "tools.dict").write_text(dictionary_text(grammar.words), encoding="utf-8")
            (folder / "tools.fsg").write_text(fsg_text(compile_patterns(grammar.top, grammar.rules)), encoding="utf-8")
            (folder / "tools.arpa").write_text(arpa_text(grammar), encoding="utf-8")
            (folder / "complete").touch()
        return folder

    def _load(self, folder: Path) -> Any:
        try:
            import pocketsphinx
        except ImportError as error:
            raise EngineMissing("pocketsphinx is not installed", fix="pip install pocketsphinx") from error
        wide, word = self._settings.beam, self._settings.word_beam
        try:
            decoder = pocketsphinx.Decoder(
                dict=str(folder / "tools.dict"), lm=None, loglevel="FATAL", beam=wide, pbeam=wide, wbeam=word
            )
            decoder.add_fsg("grammar", decoder.read_fsg(str(folder / "tools.fsg")))
            decoder.add_lm_file("words", str(folder / "tools.arpa"))
        except (RuntimeError, ValueError) as error:
            raise EngineFailed(f"pocketsphinx cannot load {folder}: {error}") from error
        return decoder

    # --- decoding ----------------------------------------------------------------------------------------------------

    def _with_floor(self, samples: Samples) -> Samples:
        """The sound plus white noise, the same for the same sound."""
        seed = int.from_bytes(hashlib.blake2b(samples.tobytes(), digest_size=8).digest(), "little")
        noise = np.random.default_rng(seed).normal(0.0, self._settings.noise_floor, len(samples))
        return np.clip(samples + noise, -32768, 32767).astype(np.int16)

    def _decode(self, search: str, samples: Samples) -> tuple[str, tuple[Word, ...]]:
        decoder = self._decoder
        if decoder is None:
            raise EngineFailed("the recogniser was not told about any tools", fix="voice-needle tools list")
        if len(samples) < SAMPLE_RATE_HZ // 20:
            return "", ()
        try:
            decoder.activate_search(search)
            decoder.start_utt()
            decoder.process_raw(samples.tobytes(), full_utt=True)
            decoder.end_utt()
            found = decoder.hyp()
            if found is None:
                return "", ()
            return found.hypstr, tuple(
                Word(re.sub(r"\(\d+\)$", "", part.word), part.start_frame * 10.0, (part.end_frame + 1) * 10.0)
                for part in decoder.seg()
                if part.word not in SILENCES
            )
        except RuntimeError as error:
            raise EngineFailed(f"pocketsphinx stopped: {error}") from error
