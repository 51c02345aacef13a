"""Names of a vocabulary by their spoken forms: exact, then but for plural, then by equal sound; never merely the nearest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jellyfish

from voice_needle.route.numbers import tokenize
from voice_needle.route.schemas import texts
from voice_needle.tools import spoken_forms

_ARTICLES = frozenset(["the", "a", "an", "my", "our", "your"])
_MAX_OPTIONS = 12


def plain(text: str) -> str:
    """Words as they are compared: tokenised, without a leading article."""
    return without_article(tokenize(text))


def without_article(words: Sequence[str]) -> str:
    return " ".join(words[1:] if len(words) > 1 and words[0] in _ARTICLES else words)


def _stem(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def stems(text: str) -> str:
    return " ".join(_stem(word) for word in text.split() if word != "'s")


class SpokenIndex:
    """The spoken forms of one vocabulary, looked up in constant time."""

    def __init__(self, forms: Mapping[str, Sequence[str]]) -> None:
        self.options = tuple(spoken[0] for spoken in forms.values() if spoken)[:_MAX_OPTIONS]
        self.first = {name: spoken[0] if spoken else name for name, spoken in forms.items()}
        self.longest = 1
        self._first_stems: set[str] = set()
        self._first_sounds: set[str] = set()
        self._exact: dict[str, dict[str, None]] = {}
        self._stemmed: dict[str, dict[str, None]] = {}
        self._sound: dict[str, list[tuple[str, str]]] = {}
        for name, spoken in forms.items():
            for form in {plain(form) for form in (*spoken, name.replace("_", " "))} - {""}:
                self.longest = max(self.longest, len(form.split()) + 1)
                self._exact.setdefault(form, {})[name] = None
                self._stemmed.setdefault(stems(form), {})[name] = None
                first = form.split()[0]
                self._first_stems.add(_stem(first))
                self._first_sounds.add(jellyfish.metaphone(first))
                joined = form.replace(" ", "")
                self._sound.setdefault(jellyfish.metaphone(joined), []).append((joined, name))

    def may_start(self, word: str) -> bool:
        """Whether a form can begin with `word`, article aside; quick, and never wrongly False for a form said in its own words."""
        return _stem(word) in self._first_stems or word in _ARTICLES or jellyfish.metaphone(word) in self._first_sounds

    def find(self, text: str) -> tuple[str, ...]:
        """The names of which `text` is a spoken form: exactly, else but for plural, else by equal sound. Several: ambiguous."""
        wanted = plain(text)
        found = self._exact.get(wanted) or self._stemmed.get(stems(wanted))
        if found:
            return tuple(found)
        joined = wanted.replace(" ", "")
        alike = self._sound.get(jellyfish.metaphone(joined), ()) if len(joined) >= 5 else ()
        return tuple(dict.fromkeys(name for form, name in alike if _spelled_alike(joined, form)))


_INDEXES: dict[int, tuple[object, SpokenIndex]] = {}


def spoken_index(schema: Mapping[str, Any]) -> SpokenIndex:
    """The index of a schema's enum, or of a boolean's or number's x-spoken; built once for each schema object."""
    kept = _INDEXES.get(id(schema))
    if kept is None or kept[0] is not schema:
        if len(_INDEXES) > 4096:
            _INDEXES.clear()
        kept = _INDEXES[id(schema)] = (schema, SpokenIndex(_all_forms(schema)))
    return kept[1]


def _all_forms(schema: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
    if "enum" in schema or "const" in schema:
        return spoken_forms({**schema, "enum": schema.get("enum", [schema.get("const")])})
    return {
        str(k).lower() if isinstance(k, bool) else str(k): texts(v) for k, v in (schema.get("x-spoken") or {}).items()
    }


def longest_form(schema: Mapping[str, Any]) -> int:
    """Words of the longest spoken form of an enum (article included); 0 where the schema has none."""
    return spoken_index(schema).longest if "enum" in schema or "const" in schema else 0


def _spelled_alike(heard: str, form: str) -> bool:
    """Beside an equal Metaphone code: "kitchin" is the kitchen, "lift" is too short to be left."""
    return len(form) >= 5 and heard[0] == form[0] and jellyfish.jaro_winkler_similarity(heard, form) >= 0.88
