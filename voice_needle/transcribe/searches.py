"""What the embedded recogniser searches with: its settings, the searches by name, and the pocketsphinx decoders that hold them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from voice_needle.errors import EngineFailed, EngineMissing
from voice_needle.transcribe import compiled
from voice_needle.transcribe.decoder import Decoder, Option, open_decoder

GRAMMAR, REPLIES, TRIGRAM, PHONES = "grammar", "replies", "trigram", "phones"
PHONES_BESIDE = "phones beside"  # the same search, by the other decoder
SMALL_WORD_BEAM = (
    1e-35  # where memory is short: each end of a word that is kept costs 64 bytes until the utterance ends
)


@dataclass(frozen=True)
class SphinxSettings:
    """noise_floor, noise_share: RMS in LSB of the white noise added to the sound, and how much of the background's RMS more;
    the acoustic model was trained on rooms, not on silence.

    beam, word_beam: how far under the best path a search state, a word end, may be (smaller is wider). most_states: phone
    models a frame beyond which the beams narrow, so that many tools cost little more than few. language_weight: weight of
    grammar and language model against the sound. silence, filler: chance of a pause, of a breath or cough, between words.
    accept: confidence under which an utterance is refused as out of domain. cache: where compiled grammars are kept; a
    temporary folder when None. full: hear people who stumble, too, and replies in a grammar of their own; twice the memory.
    dereverberate: take a room's late echo out of what is heard.
    quiet_dbfs: an utterance whose loudest 100 ms is under this is silence.
    """

    noise_floor: float = 25.0
    noise_share: float = 0.4
    beam: float = 1e-60
    word_beam: float = 1e-40
    most_states: int = 3000
    language_weight: float = 6.5
    silence: float = 0.3
    filler: float = 0.01
    accept: float = 0.5
    quiet_dbfs: float = -55.0
    full: bool = True
    dereverberate: bool = True
    cache: Path | None = None


@dataclass(frozen=True)
class Decoders:
    """own: the grammars', which also listens along. other: the trigram model's, so that both can search at once; where memory is
    short, the same one."""

    own: Decoder
    other: Decoder

    def of(self, search: str) -> Decoder:
        return self.other if search in (TRIGRAM, PHONES_BESIDE) else self.own


def load(folder: Path, chosen: SphinxSettings) -> Decoders:
    """The searches of what was compiled into this folder. Errors: EngineFailed, EngineMissing."""
    try:
        import pocketsphinx
    except ImportError as error:
        raise EngineMissing("pocketsphinx is not installed", fix="pip install pocketsphinx") from error
    options: dict[str, Option] = {
        "dict": str(folder / compiled.DICTIONARY),
        "fdict": str(folder / compiled.FILLERS),
        "loglevel": "FATAL",
        "beam": chosen.beam,
        "pbeam": chosen.beam,
        "wbeam": chosen.word_beam,
        "maxhmmpf": chosen.most_states,
        "lw": chosen.language_weight,
        "silprob": chosen.silence,
        "fillprob": chosen.filler,
        "bestpath": False,  # its lattice may end where the grammar does not
    }
    try:
        own = open_decoder(options)
        other = open_decoder(options) if chosen.full else own
        own.add_grammar(GRAMMAR, folder / compiled.GRAMMAR)
        if chosen.full:
            own.add_grammar(REPLIES, folder / compiled.REPLIES)
        other.add_model(TRIGRAM, folder / compiled.MODEL)
        phones = Path(pocketsphinx.get_model_path("en-us/en-us-phone.lm.bin"))
        own.add_phones(PHONES, phones)
        if chosen.full:
            other.add_phones(PHONES_BESIDE, phones)
    except (RuntimeError, ValueError) as error:
        raise EngineFailed(f"pocketsphinx cannot load {folder}: {error}") from error
    return Decoders(own, other)
