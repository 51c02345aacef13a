"""The echo cancellers that ours is measured against: nothing, SpeexDSP with its own suppressor, WebRTC's AEC3.

Each gets the reference that our alignment found, which is more than it has by itself.
"""

from __future__ import annotations

import ctypes
import importlib.util
from typing import Any

import numpy as np

from voice_needle.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ, Samples
from voice_needle.errors import EngineMissing
from voice_needle.evaluation.duplex import Echo, our_echo
from voice_needle.listen.echo import Cleaned, EchoCanceller
from voice_needle.listen.echo_rehearsal import Canceller
from voice_needle.listen.speex import SpeexEcho, library

_SET_ECHO_STATE = 24  # speex_preprocess.h


class Ungated(EchoCanceller):
    """A canceller alone: everything that is left counts as a person, if the voice-activity detector says so."""

    def __init__(self, canceller: Canceller | None) -> None:
        super().__init__(canceller, bends=False)

    def process(self, frame: Samples, time_s: float) -> Cleaned:
        return Cleaned(super().process(frame, time_s).samples, person=True)

    def mistaken(self) -> None: ...


class SpeexSuppressed(SpeexEcho):
    """SpeexDSP as its own example (testecho.c) has it: the canceller, then its preprocessor for the echo that remains."""

    def __init__(self) -> None:
        super().__init__()
        self._preprocess = library()
        self._preprocess.speex_preprocess_state_init.restype = ctypes.c_void_p
        self._preprocess.speex_preprocess_state_init.argtypes = [ctypes.c_int, ctypes.c_int]
        self._preprocess.speex_preprocess_ctl.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
        self._preprocess.speex_preprocess_run.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_int16)]
        self._preprocess.speex_preprocess_state_destroy.argtypes = [ctypes.c_void_p]
        self._cleaner = self._preprocess.speex_preprocess_state_init(FRAME_SAMPLES, SAMPLE_RATE_HZ)
        self._preprocess.speex_preprocess_ctl(self._cleaner, _SET_ECHO_STATE, self._state)

    def cancel(self, microphone: Samples, reference: Samples) -> Samples:
        out = super().cancel(microphone, reference)
        self._preprocess.speex_preprocess_run(self._cleaner, out.ctypes.data_as(ctypes.POINTER(ctypes.c_int16)))
        return out

    def close(self) -> None:
        if self._state and self._cleaner:
            self._preprocess.speex_preprocess_state_destroy(self._cleaner)
            self._cleaner = None
        super().close()


class Aec3:
    """WebRTC's AEC3 through LiveKit's wheel (Apache-2.0). Errors: EngineMissing."""

    def __init__(self) -> None:
        try:
            from livekit import rtc
        except ImportError as error:
            raise EngineMissing("livekit is not installed", fix="pip install livekit") from error
        self._rtc = rtc
        self.reset()

    def reset(self) -> None:
        self._module = self._rtc.AudioProcessingModule(
            echo_cancellation=True, noise_suppression=False, high_pass_filter=False, auto_gain_control=False
        )

    def _frame(self, samples: Samples) -> Any:
        return self._rtc.AudioFrame(samples.tobytes(), SAMPLE_RATE_HZ, 1, FRAME_SAMPLES)

    def cancel(self, microphone: Samples, reference: Samples) -> Samples:
        self._module.process_reverse_stream(self._frame(reference))
        frame = self._frame(microphone)
        self._module.process_stream(frame)
        return np.frombuffer(frame.data, np.int16).copy()


def cancellers() -> dict[str, Echo]:
    """Ours and its rivals, by name; AEC3 only where its wheel is installed."""
    found: dict[str, Echo] = {
        "ours": our_echo,
        "aec3 alone": lambda: Ungated(Aec3()),
        "speexdsp alone": lambda: Ungated(SpeexSuppressed()),
        "speexdsp linear": lambda: Ungated(SpeexEcho()),
        "none": lambda: Ungated(None),
    }
    if importlib.util.find_spec("livekit") is None:  # not imported to know: its threads can abort the process at its end
        del found["aec3 alone"]
    return found
