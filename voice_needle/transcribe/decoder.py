"""pocketsphinx's decoder, called so that the rest of the assistant runs on while it decodes.

The wheel's own binding holds Python's lock for as long as the decoder works: several hundred milliseconds in which no sound moves
and nobody can be interrupted. Its extension module exports pocketsphinx's C functions, too; through ctypes they run without the
lock. Where a build hides them, the binding is used after all: the same words, with the pauses.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

log = logging.getLogger(__name__)

Option = str | int | float | bool


@dataclass(frozen=True)
class Segment:
    """One word, phone or filler of the best path. first, last: its frames of 10 ms, both included."""

    word: str
    first: int
    last: int


@dataclass(frozen=True)
class Found:
    """The best path so far. score: exponential of its scaled log-likelihood. frames: of 10 ms, decoded so far."""

    score: float
    segments: tuple[Segment, ...]
    frames: int


class Decoder(Protocol):
    """One utterance at a time, by one of several searches. Every method raises RuntimeError when pocketsphinx refuses."""

    def add_grammar(self, name: str, file: Path) -> None:
        """A search by a finite-state grammar (.fsg)."""
        ...

    def add_model(self, name: str, file: Path) -> None:
        """A search by an n-gram model (.arpa)."""
        ...

    def add_phones(self, name: str, file: Path) -> None:
        """A search for phones, by an n-gram model of them."""
        ...

    def knows(self, word: str) -> bool:
        """Whether the dictionary has it."""
        ...

    def start(self, search: str) -> None:
        """Begin an utterance with this search."""
        ...

    def process(self, sound: bytes, *, whole: bool = False) -> None:
        """More sound, int16 at 16 kHz. whole: it is the whole utterance, so its own cepstral means are taken."""
        ...

    def end(self) -> None:
        """The utterance is over."""
        ...

    def found(self) -> Found | None:
        """What was read so far; None for nothing."""
        ...

    def means(self) -> str:
        """The cepstral means of the last utterance."""
        ...

    def set_means(self, means: str) -> None:
        """Where the cepstral means of a running utterance begin."""
        ...


def open_decoder(options: Mapping[str, Option]) -> Decoder:
    """A decoder with pocketsphinx's options: the direct one where it can be had. Errors: ImportError, RuntimeError, ValueError."""
    try:
        functions = library()
    except (OSError, AttributeError) as error:
        log.info("pocketsphinx's functions cannot be called directly (%s): it will hold Python's lock", error)
        return BoundDecoder(options)
    return DirectDecoder(options, functions)


# --- through ctypes ---

_PS = _POINTER = ctypes.c_void_p
_TEXT, _INT = ctypes.c_char_p, ctypes.c_int
_INT_OUT = ctypes.POINTER(ctypes.c_int)
_FUNCTIONS: Mapping[str, tuple[Any, tuple[Any, ...]]] = {  # pocketsphinx.h and pocketsphinx/model.h, 5.0 and 5.1
    "ps_config_init": (_POINTER, (_POINTER,)),
    "ps_config_set_str": (_POINTER, (_POINTER, _TEXT, _TEXT)),
    "ps_config_set_int": (_POINTER, (_POINTER, _TEXT, ctypes.c_long)),
    "ps_config_set_bool": (_POINTER, (_POINTER, _TEXT, _INT)),
    "ps_config_set_float": (_POINTER, (_POINTER, _TEXT, ctypes.c_double)),
    "ps_config_float": (ctypes.c_double, (_POINTER, _TEXT)),
    "ps_config_free": (_INT, (_POINTER,)),
    "ps_init": (_PS, (_POINTER,)),
    "ps_free": (_INT, (_PS,)),
    "ps_get_config": (_POINTER, (_PS,)),
    "ps_get_logmath": (_POINTER, (_PS,)),
    "logmath_exp": (ctypes.c_double, (_POINTER, _INT)),
    "fsg_model_readfile": (_POINTER, (_TEXT, _POINTER, ctypes.c_float)),
    "fsg_model_free": (_INT, (_POINTER,)),
    "ps_add_fsg": (_INT, (_PS, _TEXT, _POINTER)),
    "ps_add_lm_file": (_INT, (_PS, _TEXT, _TEXT)),
    "ps_add_allphone_file": (_INT, (_PS, _TEXT, _TEXT)),
    "ps_lookup_word": (_POINTER, (_PS, _TEXT)),
    "ckd_free": (None, (_POINTER,)),
    "ps_activate_search": (_INT, (_PS, _TEXT)),
    "ps_start_utt": (_INT, (_PS,)),
    "ps_process_raw": (_INT, (_PS, ctypes.c_char_p, ctypes.c_size_t, _INT, _INT)),
    "ps_end_utt": (_INT, (_PS,)),
    "ps_get_hyp": (_TEXT, (_PS, _INT_OUT)),
    "ps_get_n_frames": (_INT, (_PS,)),
    "ps_seg_iter": (_POINTER, (_PS,)),
    "ps_seg_next": (_POINTER, (_POINTER,)),
    "ps_seg_word": (_TEXT, (_POINTER,)),
    "ps_seg_frames": (None, (_POINTER, _INT_OUT, _INT_OUT)),
    "ps_get_cmn": (_TEXT, (_PS, _INT)),
    "ps_set_cmn": (_INT, (_PS, _TEXT)),
}


@functools.cache
def library() -> ctypes.CDLL:
    """The functions in the wheel's extension module, or in the library that it is linked to.

    Errors: ImportError without pocketsphinx, OSError where the module cannot be opened, AttributeError for a hidden function.
    """
    from pocketsphinx import _pocketsphinx

    functions = ctypes.CDLL(_pocketsphinx.__file__)
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(functions, name)
        function.restype, function.argtypes = result, arguments
    return functions


class DirectDecoder:
    """The C functions. A second thread waits until the first one's call has ended: without Python's lock, only this one guards."""

    def __init__(self, options: Mapping[str, Option], functions: ctypes.CDLL) -> None:
        self._c, self._lock = functions, threading.Lock()
        config = self._c.ps_config_init(None)
        try:
            for name, value in {"hmm": _acoustic_model(), **options}.items():
                self._set(config, name, value)
            self._ps = self._c.ps_init(config)  # keeps the configuration itself
        finally:
            self._c.ps_config_free(config)
        if not self._ps:
            raise RuntimeError("the decoder cannot be made")
        weakref.finalize(self, self._c.ps_free, self._ps)

    def _set(self, config: int, name: str, value: Option) -> None:
        key = name.encode()
        match value:
            case bool():
                done = self._c.ps_config_set_bool(config, key, value)
            case int():
                done = self._c.ps_config_set_int(config, key, value)
            case float():
                done = self._c.ps_config_set_float(config, key, value)
            case _:
                done = self._c.ps_config_set_str(config, key, value.encode())
        if not done:
            raise ValueError(f"pocketsphinx has no option {name}={value!r}")

    @contextmanager
    def _alone(self) -> Iterator[Any]:
        with self._lock:
            yield self._ps

    def add_grammar(self, name: str, file: Path) -> None:
        c = self._c
        with self._alone() as ps:
            weight = c.ps_config_float(c.ps_get_config(ps), b"lw")
            grammar = c.fsg_model_readfile(str(file).encode(), c.ps_get_logmath(ps), weight)
            if not grammar:
                raise RuntimeError(f"{file} cannot be read")
            try:
                _checked(c.ps_add_fsg(ps, name.encode(), grammar), f"the grammar {file} is refused")
            finally:
                c.fsg_model_free(grammar)

    def add_model(self, name: str, file: Path) -> None:
        with self._alone() as ps:
            _checked(
                self._c.ps_add_lm_file(ps, name.encode(), str(file).encode()), f"the language model {file} is refused"
            )

    def add_phones(self, name: str, file: Path) -> None:
        with self._alone() as ps:
            _checked(self._c.ps_add_allphone_file(ps, name.encode(), str(file).encode()), f"{file} is refused")

    def knows(self, word: str) -> bool:
        with self._alone() as ps:
            phones = self._c.ps_lookup_word(ps, word.encode())
            self._c.ckd_free(phones)
            return bool(phones)

    def start(self, search: str) -> None:
        with self._alone() as ps:
            _checked(self._c.ps_activate_search(ps, search.encode()), f"there is no search {search!r}")
            _checked(self._c.ps_start_utt(ps), "an utterance cannot begin")

    def process(self, sound: bytes, *, whole: bool = False) -> None:
        with self._alone() as ps:
            _checked(self._c.ps_process_raw(ps, sound, len(sound) // 2, False, whole), "the sound is refused")

    def end(self) -> None:
        with self._alone() as ps:
            _checked(self._c.ps_end_utt(ps), "no utterance has begun")

    def found(self) -> Found | None:
        c, score, first, last = self._c, ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        with self._alone() as ps:
            if c.ps_get_hyp(ps, ctypes.byref(score)) is None:
                return None
            segments, segment = [], c.ps_seg_iter(ps)
            while segment:
                c.ps_seg_frames(segment, ctypes.byref(first), ctypes.byref(last))
                segments.append(Segment(c.ps_seg_word(segment).decode(), first.value, last.value))
                segment = c.ps_seg_next(segment)  # frees itself at the end
            likelihood = c.logmath_exp(c.ps_get_logmath(ps), score)
            return Found(likelihood, tuple(segments), c.ps_get_n_frames(ps))

    def means(self) -> str:
        with self._alone() as ps:
            return str(self._c.ps_get_cmn(ps, False).decode())

    def set_means(self, means: str) -> None:
        with self._alone() as ps:
            _checked(self._c.ps_set_cmn(ps, means.encode()), f"{means!r} are no cepstral means")


def _checked(code: int, otherwise: str) -> None:
    if code < 0:
        raise RuntimeError(otherwise)


def _acoustic_model() -> str:
    import pocketsphinx

    return str(pocketsphinx.get_model_path("en-us/en-us"))


# --- through the binding ---


class BoundDecoder:
    """The wheel's own binding."""

    def __init__(self, options: Mapping[str, Option]) -> None:
        import pocketsphinx

        self._decoder: Any = pocketsphinx.Decoder(lm=None, **options)

    def add_grammar(self, name: str, file: Path) -> None:
        self._decoder.add_fsg(name, self._decoder.read_fsg(str(file)))

    def add_model(self, name: str, file: Path) -> None:
        self._decoder.add_lm_file(name, str(file))

    def add_phones(self, name: str, file: Path) -> None:
        self._decoder.add_allphone_file(name, str(file))

    def knows(self, word: str) -> bool:
        return self._decoder.lookup_word(word) is not None

    def start(self, search: str) -> None:
        try:
            self._decoder.activate_search(search)
        except KeyError as error:
            raise RuntimeError(f"there is no search {search!r}") from error
        self._decoder.start_utt()

    def process(self, sound: bytes, *, whole: bool = False) -> None:
        if sound:
            self._decoder.process_raw(sound, full_utt=whole)

    def end(self) -> None:
        self._decoder.end_utt()

    def found(self) -> Found | None:
        best = self._decoder.hyp()
        if best is None:
            return None
        segments = tuple(Segment(each.word, each.start_frame, each.end_frame) for each in self._decoder.seg())
        return Found(best.score, segments, self._decoder.n_frames())

    def means(self) -> str:
        return str(self._decoder.get_cmn())

    def set_means(self, means: str) -> None:
        try:
            self._decoder.set_cmn(means)
        except ValueError as error:
            raise RuntimeError(str(error)) from error
