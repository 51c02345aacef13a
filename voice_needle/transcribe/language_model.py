"""Registered tools -> a trigram model (ARPA) of what they can be told: freer than the grammar, and so a second opinion.

Sentences are drawn from the same patterns; pocketsphinx's own builder estimates the back-off model from them.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterable, Sequence

from voice_needle.transcribe.grammar import Grammar
from voice_needle.transcribe.patterns import draw

SENTENCES = 12_000
SEED = 20  # the same grammar gives the same model


def draw_sentences(grammar: Grammar, count: int = SENTENCES, seed: int = SEED) -> list[tuple[str, ...]]:
    """Random sentences of the grammar."""
    rng = random.Random(seed)
    drawn = (draw(grammar.top, grammar.rules, rng) for _ in range(count))
    return [words for words in drawn if words]


def arpa_text(sentences: Iterable[Sequence[str]], words: Iterable[str]) -> str:
    """The trigram model of `sentences` in ARPA format; each of `words` occurs at least once."""
    from pocketsphinx.lm import ArpaBoLM

    lines = [*(" ".join(sentence) for sentence in sentences), *sorted(words)]
    model = ArpaBoLM(text="\n".join(f"<s> {line} </s>" for line in lines), discount_mass=0.5)
    model.compute()
    written = io.StringIO()
    model.write(written)
    return written.getvalue()
