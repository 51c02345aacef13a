"""What Needle v1's own graph costs on this machine, without its weights: the released sizes, generated numbers, the same prompts.

Time does not depend on what the numbers are. How many ids a prompt has does depend on the tokenizer; where none is given, lengths are
estimated from the characters an id stands for (measured: a SentencePiece BPE of 8,192 pieces over tool schemas and requests).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from voice_needle.route.needle.checkpoint import Shape, generated
from voice_needle.route.needle.decoder import NeedleModel
from voice_needle.route.needle.model_onnx import build
from voice_needle.route.needle.prompt import POSITIONS, flat_schema, snake_case
from voice_needle.route.needle.tokenizer import EOS, TOOL_CALL, Tokenizer
from voice_needle.tools import Toolset

TOOL_CHARACTERS, QUERY_CHARACTERS, ANSWER_CHARACTERS = 4.6, 4.2, 4.4  # an id


@dataclass(frozen=True)
class Cost:
    """One request. prompt_ids includes the tools'; steps: decoder runs, one for each id of the answer."""

    prompt_ids: int
    steps: int
    encoder_ms: float
    decoder_ms: float

    @property
    def total_ms(self) -> float:
        return self.encoder_ms + self.decoder_ms


class NeedleGraph:
    """The graph of the released sizes with generated weights; building it takes about two seconds. size_bytes: of both files."""

    def __init__(self, *, threads: int = 1, quantise: bool = True, tokenizer: Tokenizer | None = None) -> None:
        parts = build(generated(Shape()), quantise=quantise)
        self.size_bytes = sum(map(len, parts))
        self._model = NeedleModel(*parts, threads=threads)
        self._tokenizer = tokenizer
        self._random = np.random.default_rng(0)

    def cost(self, query: str, tools: Toolset, calls: Sequence[Mapping[str, Any]]) -> Cost:
        """Milliseconds to read `query` with `tools` and to write `calls` ({"name", "arguments"}), cached keys and values, no grammar."""
        told = json.dumps([flat_schema(tool, snake_case(name)) for name, tool in tools.items()], separators=(",", ":"))
        said = json.dumps(list(calls), separators=(",", ":"), default=str)
        count = 1 + self._ids(query, QUERY_CHARACTERS) + self._ids(told, TOOL_CHARACTERS)
        prompt = self._random.integers(6, Shape().vocabulary, min(POSITIONS, count)).tolist()
        answer = self._random.integers(6, Shape().vocabulary, self._ids(said, ANSWER_CHARACTERS)).tolist()
        started = time.perf_counter()
        encoded = self._model.encode(prompt)
        read = time.perf_counter()
        state, waiting = self._model.fresh(), [EOS, TOOL_CALL]
        for number in answer:
            self._model.logits(waiting, encoded, state)
            waiting = [number]
        ended = time.perf_counter()
        return Cost(len(prompt), len(answer), (read - started) * 1000, (ended - read) * 1000)

    def _ids(self, text: str, characters: float) -> int:
        return len(self._tokenizer.encode(text)) if self._tokenizer else max(1, round(len(text) / characters))
