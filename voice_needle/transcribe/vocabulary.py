"""Puts misheard names right: "lift the bin in the kitten" -> kitchen, when exactly one registered name sounds that way.

A word that anybody could have meant is left alone: only words that no sentence, value or dictionary of the registered tools
knows are looked at, and a known name is never turned into another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import jellyfish
from rapidfuzz.distance import JaroWinkler, Levenshtein

from voice_needle.events import Repair, Transcript, Word
from voice_needle.tools import Toolset, spoken_forms
from voice_needle.transcribe.patterns import spoken_words

CLOSE = 0.78  # alike enough to be the same name misheard
MARGIN = 0.08  # by which it must beat every name of another value
LONGEST = 4  # words of a name


@dataclass(frozen=True)
class Name:
    """One spoken form of one value."""

    form: str
    value: str
    vocabulary: str
    sound: str


class Vocabulary:
    """The names of a toolset and the words it knows."""

    def __init__(self, tools: Toolset, known_words: Iterable[str] = ()) -> None:
        names: dict[tuple[str, str], Name] = {}
        for tool in tools.values():
            for parameter, schema in tool.properties.items():
                vocabulary = str(schema.get("x-vocabulary") or parameter)
                for value, forms in spoken_forms(schema).items():
                    for form in forms:
                        text = " ".join(spoken_words(form))
                        if text:
                            names.setdefault((vocabulary, text), Name(text, value, vocabulary, sound_of(text)))
        self._names = tuple(names.values())
        self._forms = {name.form for name in self._names}
        self._known = set(known_words) | {word for form in self._forms for word in form.split()}

    def repair(self, transcript: Transcript) -> Transcript:
        """The transcript with misheard names replaced and each replacement noted in `repairs`."""
        words = transcript.text.lower().split()
        repairs: list[Repair] = []
        at = 0
        kept: list[str] = []
        while at < len(words):
            length, repair = self._at(words, at)
            if repair is None:
                kept.append(words[at])
                at += 1
            else:
                kept.extend(repair.repaired.split())
                repairs.append(repair)
                at += length
        if not repairs:
            return transcript
        return replace(
            transcript,
            text=" ".join(kept),
            words=_realigned(transcript.words, kept),
            repairs=(*transcript.repairs, *repairs),
        )

    def _at(self, words: list[str], at: int) -> tuple[int, Repair | None]:
        """The best repair of a run of words that starts here: longest run first, and only where a word is unknown."""
        for length in range(min(LONGEST, len(words) - at), 0, -1):
            run = words[at : at + length]
            strange = [_plain(word) not in self._known for word in run]
            if not (strange[0] or strange[-1]) or sum(strange) * 2 < length:
                continue
            repair = self._closest(" ".join(_plain(word) for word in run))
            if repair is not None:
                return length, repair
        return 0, None

    def _closest(self, heard: str) -> Repair | None:
        if not heard or heard in self._forms or len(heard) < 3:
            return None
        sound = sound_of(heard)
        scored = sorted(((likeness(heard, sound, name), name) for name in self._names), key=lambda pair: -pair[0])
        if not scored or scored[0][0] < CLOSE:
            return None
        best_score, best = scored[0]
        others = [
            (score, name) for score, name in scored if (name.vocabulary, name.value) != (best.vocabulary, best.value)
        ]
        if any(name.sound == best.sound or best_score - score < MARGIN for score, name in others):
            return None
        return Repair(heard, best.form, best.vocabulary, round(best_score, 3))


def sound_of(text: str) -> str:
    """Metaphone of each word, joined without spaces: where a name is cut into words is not heard, nor is y after a vowel."""
    return "".join(jellyfish.metaphone(word).replace("Y", "") for word in text.split())


def likeness(heard: str, sound: str, name: Name) -> float:
    """0 to 1: half how alike they sound, half how alike they are spelled (white space aside)."""
    spelled = JaroWinkler.similarity(heard.replace(" ", ""), name.form.replace(" ", ""))
    spoken = Levenshtein.normalized_similarity(sound, name.sound)
    return 0.5 * spelled + 0.5 * spoken


def known_words(tools: Toolset) -> set[str]:
    """Every word that the tools' sentences, fragments and names are made of."""
    texts: list[str] = []
    for tool in tools.values():
        texts += [*tool.sentences, *tool.expansions.values()]
    return {word for text in texts for word in re.findall(r"[a-z']+", re.sub(r"\{[^}]*\}|<[^>]*>", " ", text.lower()))}


def _plain(word: str) -> str:
    return word.strip(".,!?;:\"'")


def _realigned(words: tuple[Word, ...], kept: list[str]) -> tuple[Word, ...]:
    """Words with times where their number is unchanged; without, times would be guesses."""
    if len(words) != len(kept):
        return ()
    return tuple(replace(word, text=text) for word, text in zip(words, kept, strict=True))


__all__ = ["Name", "Vocabulary", "known_words", "likeness", "sound_of"]
