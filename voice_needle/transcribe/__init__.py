"""utterance -> words.

recogniser = get_recogniser("auto", config.transcribe, data_dir=config.data_dir)
recogniser.prepare(tools)
transcript = recogniser.transcribe(utterance)
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from voice_needle.config import Transcribe
from voice_needle.errors import ConfigError, EngineMissing, ModelMissing
from voice_needle.transcribe.engine import Recogniser, Stream


def get_recogniser(
    name: str = "auto", settings: Transcribe | None = None, *, data_dir: Path | None = None
) -> Recogniser:
    """auto | sphinx | whisper. data_dir: where installed models (`models/`) and compiled grammars (`grammars/`) live.

    Errors: ConfigError for another name; ModelMissing, EngineMissing for what a chosen engine needs.
    """
    settings = settings or Transcribe()
    if name not in ("auto", "sphinx", "whisper"):
        raise ConfigError(f"there is no recogniser called {name}", fix="transcribe.engine: auto, sphinx or whisper")
    if name in ("auto", "whisper"):
        try:
            return _whisper(settings, data_dir)
        except (ModelMissing, EngineMissing):
            if name == "whisper":
                raise
    from voice_needle.transcribe.searches import SMALL_WORD_BEAM, SphinxSettings
    from voice_needle.transcribe.sphinx import SphinxRecogniser

    chosen = SphinxSettings(cache=data_dir / "grammars" if data_dir else None, dereverberate=settings.dereverberate)
    if settings.grammar == "small":
        chosen = replace(chosen, full=False, word_beam=SMALL_WORD_BEAM)
    return SphinxRecogniser(chosen)


def _whisper(settings: Transcribe, data_dir: Path | None) -> Recogniser:
    from voice_needle.transcribe.whisper import WhisperRecogniser, WhisperSettings, model_folder

    folder = model_folder(settings.whisper_model, data_dir)
    return WhisperRecogniser(WhisperSettings(folder, settings.language, settings.threads or 2))


__all__ = ["Recogniser", "Stream", "get_recogniser"]
