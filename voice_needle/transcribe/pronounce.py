"""How words are pronounced, in CMUdict's phones: looked up where the dictionary has them, by letter-to-sound where not."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

RULES = (
    ("tion", "SH AH N"), ("sion", "ZH AH N"), ("ight", "AY T"), ("ough", "AO"), ("augh", "AO"), ("tch", "CH"), ("sch", "SH"),
    ("dge", "JH"), ("igh", "AY"), ("eau", "OW"), ("que", "K"), ("ch", "CH"), ("sh", "SH"), ("th", "TH"), ("ph", "F"), ("gh", "G"),
    ("ck", "K"), ("ng", "NG"), ("qu", "K W"), ("wh", "W"), ("wr", "R"), ("kn", "N"), ("ee", "IY"), ("ea", "IY"), ("oo", "UW"),
    ("ou", "AW"), ("ow", "OW"), ("oi", "OY"), ("oy", "OY"), ("ai", "EY"), ("ay", "EY"), ("ei", "AY"), ("ie", "IY"), ("ey", "IY"),
    ("au", "AO"), ("aw", "AO"), ("oa", "OW"), ("ue", "UW"), ("ew", "UW"), ("er", "ER"), ("ir", "ER"), ("ur", "ER"), ("ar", "AA R"),
    ("or", "AO R"), ("ce", "S"), ("ci", "S IH"), ("cy", "S IY"), ("a", "AE"), ("b", "B"), ("c", "K"), ("d", "D"), ("e", "EH"),
    ("f", "F"), ("g", "G"), ("h", "HH"), ("i", "IH"), ("j", "JH"), ("k", "K"), ("l", "L"), ("m", "M"), ("n", "N"), ("o", "OW"),
    ("p", "P"), ("q", "K"), ("r", "R"), ("s", "S"), ("t", "T"), ("u", "AH"), ("v", "V"), ("w", "W"), ("x", "K S"), ("y", "IY"), ("z", "Z"),
)  # fmt: skip
"""Spelling -> phones, longest first: the fallback of the fallback."""


def shipped_pronunciations(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Of these words, those that the CMUdict of pocketsphinx has: their pronunciations, main one first.

    Read line by line: 134,000 words in memory would be a tenth of a small board's.
    """
    import pocketsphinx

    wanted, found = set(words), dict[str, list[str]]()
    with Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict")).open(encoding="utf-8") as lines:
        for line in lines:
            entry, _, phones = line.strip().partition(" ")
            word = entry.partition("(")[0] if entry.endswith(")") else entry
            if phones and word in wanted:
                found.setdefault(word, []).append(phones)
    return {word: tuple(phones) for word, phones in found.items()}


def pronunciations(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Each word's pronunciations ("L AE M P"), main one first."""
    wanted = list(words)
    known = shipped_pronunciations(wanted)
    return {word: known.get(word) or (spell_out(word),) for word in wanted}


def spell_out(word: str) -> str:
    """A guess from the letters alone."""
    letters = "".join(letter for letter in word.lower() if letter.isalpha())
    phones: list[str] = []
    at = 0
    while at < len(letters):
        fitting = (rule for rule in RULES if letters.startswith(rule[0], at))
        spelling, sound = next(fitting, (letters[at], ""))  # a letter of another alphabet is silent
        final_e = spelling == "e" and at == len(letters) - 1 and len(letters) > 2
        doubled = at > 0 and len(spelling) == 1 and letters[at - 1] == spelling
        if sound and not final_e and not doubled:
            phones.append(sound)
        at += len(spelling)
    return " ".join(phones) or "AH"


def dictionary_text(words: Iterable[str]) -> str:
    """A Sphinx dictionary of these words, with numbered alternatives."""
    lines: list[str] = []
    for word, sounds in sorted(pronunciations(words).items()):
        lines += [f"{word}{f'({number})' if number > 1 else ''} {phones}" for number, phones in enumerate(sounds, 1)]
    return "\n".join(lines) + "\n"


HESITATIONS = {"[UH]": "AH", "[ER]": "ER", "[UM]": "AH M", "[HM]": "HH M"}
"""Sounds of somebody who looks for a word, possible between any two; without them a breath is some short word: "an", "bring"."""


def fillers_text(*, hesitating: bool) -> str:
    """A Sphinx dictionary of what is no word: silence and noise as the acoustic model has them; hesitating: and HESITATIONS."""
    import pocketsphinx

    shipped = Path(pocketsphinx.get_model_path("en-us/en-us/noisedict")).read_text(encoding="utf-8")
    sounds = HESITATIONS if hesitating else {}
    return "\n".join([shipped.strip(), *(f"{name} {phones}" for name, phones in sounds.items())]) + "\n"
