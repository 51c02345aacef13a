"""Debian's libspeexdsp (BSD) through ctypes: a linear echo canceller of 10 ms frames, with nothing to compile.

The library is the multidelay block frequency-domain filter of Soo and Pang with Valin's double-talk-robust learning rate
(J.-M. Valin, "On Adjusting the Learning Rate in Frequency Domain Echo Cancellation With Double-Talk", 2007).
"""

from __future__ import annotations

import ctypes
import ctypes.util
from typing import Any

import numpy as np

from voice_needle.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ, Samples
from voice_needle.errors import EngineFailed, EngineMissing

LIBRARY = "libspeexdsp.so.1"
TAIL_SAMPLES = 4_096  # 256 ms of room after the aligned direct sound
_SET_SAMPLING_RATE = 24

_library: Any = None


def library() -> Any:
    """The loaded library with its signatures. Errors: EngineMissing."""
    global _library
    if _library is None:
        try:
            found = ctypes.CDLL(LIBRARY)
        except OSError as error:
            fix = "sudo apt-get install libspeexdsp1"
            raise EngineMissing("libspeexdsp is not installed, so echo cannot be cancelled", fix=fix) from error
        int16s = ctypes.POINTER(ctypes.c_int16)
        found.speex_echo_state_init.restype = ctypes.c_void_p
        found.speex_echo_state_init.argtypes = [ctypes.c_int, ctypes.c_int]
        found.speex_echo_state_destroy.argtypes = [ctypes.c_void_p]
        found.speex_echo_state_reset.argtypes = [ctypes.c_void_p]
        found.speex_echo_cancellation.argtypes = [ctypes.c_void_p, int16s, int16s, int16s]
        found.speex_echo_ctl.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
        _library = found
    return _library


class SpeexEcho:
    """One echo state. tail: how many samples of echo it can model. Errors: EngineMissing, EngineFailed at construction."""

    def __init__(self, tail: int = TAIL_SAMPLES) -> None:
        self._library = library()
        self._state = self._library.speex_echo_state_init(FRAME_SAMPLES, tail)
        if not self._state:
            raise EngineFailed("libspeexdsp could not make an echo canceller")
        rate = ctypes.c_int(SAMPLE_RATE_HZ)
        self._library.speex_echo_ctl(self._state, _SET_SAMPLING_RATE, ctypes.byref(rate))

    def cancel(self, microphone: Samples, reference: Samples) -> Samples:
        """(160,) of the microphone less what is explained by (160,) of the reference of the same moment. Errors: ValueError."""
        if len(microphone) != FRAME_SAMPLES or len(reference) != FRAME_SAMPLES:
            raise ValueError(f"frames of {FRAME_SAMPLES} samples are wanted")
        heard, played = np.ascontiguousarray(microphone, np.int16), np.ascontiguousarray(reference, np.int16)
        out = np.empty(FRAME_SAMPLES, np.int16)
        self._library.speex_echo_cancellation(self._state, _pointer(heard), _pointer(played), _pointer(out))
        return out

    def reset(self) -> None:
        """Forget the room."""
        self._library.speex_echo_state_reset(self._state)

    def close(self) -> None:
        """Give its memory back. Safe to call twice."""
        if self._state:
            self._library.speex_echo_state_destroy(self._state)
            self._state = None

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self.close()


def _pointer(samples: Samples) -> Any:
    return samples.ctypes.data_as(ctypes.POINTER(ctypes.c_int16))
