"""Registered tools -> a trigram model (ARPA) of what they can be told: freer than the grammar, and so a second opinion.

Sentences are drawn from the same patterns; pocketsphinx's own builder estimates the back-off model from them.
"""

from __future__ import annotations

import contextlib
import io
import random
import tempfile
from pathlib import Path

from voice_needle.transcribe.grammar import Grammar
from voice_needle.transcribe.patterns import draw

SENTENCES = 12_000
SEED = 20  # the same grammar gives the same model


def draw_sentences(grammar: Grammar, count: int = SENTENCES, seed: int = SEED) -> list[str]:
    """Random sentences of the grammar, each choice with equal chances."""
    rng = random.Random(seed)
    return [" ".join(words) for words in (draw(grammar.top, grammar.rules, rng) for _ in range(count)) if words]


def arpa_text(grammar: Grammar, count: int = SENTENCES) -> str:
    """The trigram model in ARPA format. Every word of the grammar occurs at least once."""
    from pocketsphinx.lm import ArpaBoLM

    sentences = draw_sentences(grammar, count) + sorted(grammar.words)
    text = "\n".join(f"<s> {sentence} </s>" for sentence in sentences) + "\n"
    with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
        model = ArpaBoLM(text=text, discount_mass=0.5)
        model.compute()
        path = Path(folder, "model.arpa")
        model.write_file(str(path))
        return path.read_text(encoding="utf-8")
