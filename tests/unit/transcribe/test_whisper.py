"""The real loading and decoding code on a tiny Whisper with random weights, converted by CTranslate2 as a real one would be.

What it hears is nonsense by design, so the tests ask what is done with nonsense; texts that matter are given in one place only.
"""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from voice_needle.audio import Samples, to_ms
from voice_needle.config import Transcribe
from voice_needle.errors import EngineFailed, ModelCorrupt, ModelMissing
from voice_needle.events import Utterance
from voice_needle.tools import Tool, Toolset
from voice_needle.transcribe import get_recogniser
from voice_needle.transcribe.hallucination import Evidence
from voice_needle.transcribe.whisper import WhisperRecogniser, WhisperSettings, hotwords

TOOLS = Toolset([
    Tool("light", "", {"type": "object", "properties": {"room": {"enum": ["kitchen", "den"], "x-spoken": {"den": ["den", "study"]}}}})
])  # fmt: skip


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A multilingual-free Whisper of one layer and 64 dimensions, random but the same every time."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from ctranslate2.converters import TransformersConverter
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("whisper")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>"]
    special += ["<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    tokenizer.add_special_tokens(special)
    tokenizer.add_special_tokens([f"<|{step * 0.02:.2f}|>" for step in range(1501)])
    source = folder / "source"
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|endoftext|>", unk_token="<|endoftext|>"
    )
    fast.save_pretrained(source)
    number = tokenizer.token_to_id
    torch.manual_seed(4)
    config = transformers.WhisperConfig(
        vocab_size=tokenizer.get_vocab_size(), num_mel_bins=80, encoder_layers=1, decoder_layers=1, d_model=64,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64,
        decoder_start_token_id=number("<|startoftranscript|>"), eos_token_id=number("<|endoftext|>"),
        pad_token_id=number("<|endoftext|>"), bos_token_id=number("<|endoftext|>"),
        suppress_tokens=[], begin_suppress_tokens=[],
    )  # fmt: skip
    model = transformers.WhisperForConditionalGeneration(config)
    model.generation_config.alignment_heads = [[0, 0]]
    model.generation_config.no_timestamps_token_id = number("<|notimestamps|>")
    model.generation_config.lang_to_id = {"<|en|>": number("<|en|>")}
    model.save_pretrained(source)
    (source / "preprocessor_config.json").write_text(json.dumps({"feature_size": 80, "sampling_rate": 16000}))
    target = folder / "whisper-tiny-random"
    TransformersConverter(str(source), copy_files=["tokenizer.json"]).convert(str(target), quantization="int8")
    return target


def utterance(seconds: float = 1.5, level: float = 3000.0) -> Utterance:
    samples: Samples = np.random.default_rng(2).normal(0, level, int(16_000 * seconds)).astype(np.int16)
    return Utterance(samples, 0.0, 0.0, to_ms(len(samples)))


@pytest.mark.slow
def test_hears_without_a_network_and_cuts_the_encoders_context(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    recogniser = WhisperRecogniser(WhisperSettings(tiny, threads=1))
    recogniser.prepare(TOOLS)
    frames: list[int] = []
    encode = recogniser._model.encode
    monkeypatch.setattr(
        recogniser._model, "encode", lambda features: frames.append(features.shape[-1]) or encode(features)
    )
    transcript = recogniser.transcribe(utterance(1.5))
    assert frames[0] == 250  # 1.5 s and a margin of 1 s, at 100 frames a second
    assert transcript.engine == "whisper"
    assert transcript.refused  # random weights: whatever they say is not believed
    assert transcript.text == "" or transcript.confidence == 0.0
    assert frames[1:] == [3000]  # and it was heard again at full length first


@pytest.mark.slow
def test_what_the_decoder_says_becomes_words_with_times(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only here is the decoder's output given: random weights cannot say a sentence."""
    recogniser = WhisperRecogniser(WhisperSettings(tiny, threads=1))
    recogniser.prepare(TOOLS)
    generate = recogniser._model.model.generate
    said = recogniser._tokenizer.encode(" light in the kichin")

    class Model:
        def __getattr__(self, name: str) -> Any:
            return getattr(original, name)

        def generate(self, *args: Any, **kwargs: Any) -> list[Any]:
            assert generate(*args, **kwargs)  # the real one runs, and takes the shortened context
            return [SimpleNamespace(sequences_ids=[said], scores=[-0.1], no_speech_prob=0.01)]

    original = recogniser._model.model
    monkeypatch.setattr(recogniser._model, "model", Model())
    transcript = recogniser.transcribe(utterance(2.0))
    assert transcript.text == "light in the kitchen"
    assert [repair.heard for repair in transcript.repairs] == ["kichin"]
    assert [word.text for word in transcript.words] == ["light", "in", "the", "kitchen"]
    assert all(0 <= word.start_ms <= word.end_ms <= 3000 for word in transcript.words)
    assert 0.8 < transcript.confidence < 1.0
    assert not transcript.refused


@pytest.mark.slow
def test_silence_costs_no_inference(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recogniser = WhisperRecogniser(WhisperSettings(tiny, threads=1))
    monkeypatch.setattr(recogniser, "_attempt", None)
    assert recogniser.transcribe(utterance(level=5)).refused == "silence"


@pytest.mark.slow
def test_a_full_length_hearing_replaces_a_doubtful_one(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from voice_needle.transcribe.whisper import _Attempt

    recogniser = WhisperRecogniser(WhisperSettings(tiny, threads=1))
    short = _Attempt("thank you", (), Evidence(0.7, -0.9), "phantom")
    full = _Attempt("turn it off", (), Evidence(0.05, -0.1), "")
    asked: list[float] = []
    monkeypatch.setattr(
        recogniser, "_attempt", lambda _, seconds: asked.append(seconds) or (short if seconds < 30 else full)
    )
    assert recogniser.transcribe(utterance(2.0)).text == "turn it off"
    assert asked == [3.0, 30.0]
    full = replace(full, doubt="repetition")
    refused = recogniser.transcribe(utterance(2.0))
    assert (refused.text, refused.refused) == ("", "repetition")


def test_a_missing_model_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing) as caught:
        get_recogniser("whisper", Transcribe(), data_dir=tmp_path)
    assert caught.value.fix == "voice-needle models pull whisper-tiny.en"
    assert get_recogniser("auto", Transcribe(), data_dir=tmp_path).name == "sphinx"


def test_half_a_model_is_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "whisper-tiny.en"
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(b"not a model")
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelCorrupt, match=r"tokenizer\.json"):
        get_recogniser("whisper", Transcribe(), data_dir=tmp_path)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelCorrupt, match="cannot be loaded"):
        get_recogniser(
            "auto", Transcribe(), data_dir=tmp_path
        )  # damaged is not missing: it is not passed over in silence


@pytest.mark.slow
def test_a_closed_recogniser_says_so(tiny: Path) -> None:
    recogniser = WhisperRecogniser(WhisperSettings(tiny, threads=1))
    recogniser.close()
    with pytest.raises(EngineFailed, match="closed"):
        recogniser.transcribe(utterance())


def test_hotwords_take_first_forms_first() -> None:
    assert hotwords(TOOLS, 400) == "kitchen, den, study"
    assert hotwords(TOOLS, 14) == "kitchen, den"
