"""Needle v1 at work: one encoder pass, then greedy decoding with cached keys and values inside a grammar.

The first ids are fixed (EOS starts the decoder, then <tool_call>). At each step the best id among those that the grammar allows is taken; where only
one is allowed the network is not asked. Positions are limited: an id is only taken if the answer can still be finished after it, byte by
byte if need be, so the text always parses.
"""

from __future__ import annotations

import logging
import math
import shutil
import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from platformdirs import user_cache_dir

from voice_needle.errors import ModelCorrupt
from voice_needle.route.needle.checkpoint import FIX, Checkpoint, Floats, load_checkpoint
from voice_needle.route.needle.grammar import Grammar
from voice_needle.route.needle.model_onnx import build
from voice_needle.route.needle.tokenizer import EOS, TOOL_CALL
from voice_needle.route.needle.tokens import Ids, Tokens

log = logging.getLogger(__name__)

_FAR = np.float32(-1e9)
POSITIONS = 512


@dataclass(frozen=True)
class Answer:
    """text: JSON that the grammar accepts. log_probability: of all choices, among what was allowed. cut: it ran out of positions."""

    text: str
    log_probability: float
    cut: bool
    steps: int  # runs of the decoder

    @property
    def probability(self) -> float:
        return math.exp(self.log_probability)


@dataclass(frozen=True)
class Encoded:
    """An utterance with its tools, as the decoder reads it. encoded: (t, width); keys, values: (layers, kv_heads, t, head)."""

    encoded: Floats
    keys: Floats
    values: Floats


class State:
    """What the decoder remembers of the ids so far. keys, values: (layers, kv_heads, length, head)."""

    def __init__(self, layers: int, kv_heads: int, head: int) -> None:
        self.keys: Floats = np.zeros((layers, kv_heads, 0, head), np.float32)
        self.values: Floats = self.keys

    @property
    def length(self) -> int:
        return int(self.keys.shape[2])


class NeedleModel:
    """Both graphs in ONNX Runtime. encoder, decoder: files or their bytes. Not for two threads at once. Errors: ModelCorrupt."""

    def __init__(self, encoder: bytes | Path, decoder: bytes | Path, *, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._encoder, self._decoder = (
                onnxruntime.InferenceSession(
                    part if isinstance(part, bytes) else str(part), options, providers=["CPUExecutionProvider"]
                )
                for part in (encoder, decoder)
            )
            cache = {each.name: each.shape for each in self._decoder.get_inputs()}["past_k"]
            self._cache = (int(cache[0]), int(cache[1]), int(cache[3]))
        except Exception as problem:  # onnxruntime raises classes of its own, without a common base
            raise ModelCorrupt(f"Needle's graphs cannot be loaded: {problem}", fix=FIX) from problem

    def encode(self, ids: list[int]) -> Encoded:
        """One pass over query and tools."""
        return Encoded(*self._encoder.run(None, {"ids": np.array(ids, np.int64)}))

    def fresh(self) -> State:
        """The state before the first id."""
        return State(*self._cache)

    def logits(self, ids: list[int], encoded: Encoded, state: State) -> Floats:
        """(len(ids), vocabulary): what may follow each of `ids`, which come after those in `state`; `state` then holds them too."""
        count, past = len(ids), state.length
        mask = np.concatenate([np.zeros((count, past), np.float32), np.triu(np.full((count, count), _FAR), 1)], axis=1)
        inputs = {
            "ids": np.array(ids, np.int64),
            "positions": np.arange(past, past + count, dtype=np.int64),
            "mask": mask,
            "cross_k": encoded.keys,
            "cross_v": encoded.values,
            "past_k": state.keys,
            "past_v": state.values,
        }
        logits, state.keys, state.values = self._decoder.run(None, inputs)
        found: Floats = logits
        return found

    def answer(
        self,
        encoded: Encoded,
        grammar: Grammar,
        tokens: Tokens,
        memory: OrderedDict[object, Ids],
        positions: int = POSITIONS,
    ) -> Answer:
        """The likeliest next id, again and again, until the grammar says that the answer is whole."""
        state, at, told = self.fresh(), grammar.start, bytearray()
        waiting, left = [EOS, TOOL_CALL], positions - 2
        total, cut, steps = 0.0, False, 0
        while not grammar.finished(at):
            allowed = tokens.allowed(grammar, at, memory)
            if len(allowed) == 1:
                chosen = int(allowed[0])
            else:
                scores = self.logits(waiting, encoded, state)[-1][allowed]
                waiting, steps = [], steps + 1
                best, pressed = self._best(scores, allowed, grammar, tokens, at, left)
                chosen, cut = int(allowed[best]), cut or pressed
                total += float(scores[best] - scores.max() - np.log(np.exp(scores - scores.max()).sum()))
            waiting.append(chosen)
            left -= 1
            told += tokens.content[chosen]
            at = grammar.walk(at, tokens.content[chosen])
        return Answer(told.decode().strip(), total, cut, steps)

    @staticmethod
    def _best(scores: Floats, allowed: Ids, grammar: Grammar, tokens: Tokens, at: int, left: int) -> tuple[int, bool]:
        """The place of the best id after which `left` positions still suffice, and whether a better one did not."""
        best = int(scores.argmax())
        if left > grammar.longest_detour:
            return best, False
        for place in np.argsort(-scores, kind="stable").tolist():
            after = grammar.walk(at, tokens.content[int(allowed[place])])
            if grammar.shortest(after) <= left - 1:
                return place, place != best
        raise AssertionError("a grammar whose shortest answer no ids spell")


def load_model(path: Path, *, quantise: bool = True, threads: int = 1, cache: Path | None = None) -> NeedleModel:
    """The model of a checkpoint, converted once and kept under the hash of its file.

    Conversion takes about two seconds. A damaged converted file is written anew; a full disk does no harm.
    Errors: ModelMissing, ModelCorrupt.
    """
    checkpoint = load_checkpoint(path)
    folder = (cache or Path(user_cache_dir("voice-needle"))) / "needle"
    return cached_model(checkpoint, folder, quantise=quantise, threads=threads)


def cached_model(checkpoint: Checkpoint, folder: Path, **settings: Any) -> NeedleModel:
    """As `load_model`, for weights already read."""
    quantise, threads = settings.get("quantise", True), settings.get("threads", 1)
    kept = folder / f"{checkpoint.identity[:24]}-{'int8' if quantise else 'float32'}-1"
    if kept.is_dir():
        try:
            return NeedleModel(kept / "encoder.onnx", kept / "decoder.onnx", threads=threads)
        except ModelCorrupt as problem:
            log.warning("converted anew: %s", problem)
            shutil.rmtree(kept, ignore_errors=True)
    encoder, decoder = build(checkpoint, quantise=quantise)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            new = Path(temporary) / "new"
            new.mkdir()
            (new / "encoder.onnx").write_bytes(encoder)
            (new / "decoder.onnx").write_bytes(decoder)
            new.rename(kept)
    except OSError as problem:
        log.warning("Needle's graphs are not kept on disk: %s", problem)
    return NeedleModel(encoder, decoder, threads=threads)
