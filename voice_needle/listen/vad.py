"""Is somebody speaking in this frame: webrtc (light, the default), silero (neural, for noise), and an energy gate before them."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from voice_needle.audio import SAMPLE_RATE_HZ, Samples
from voice_needle.errors import ConfigError, EngineMissing
from voice_needle.listen.engine import Vad


class EnergyGate:
    """Passes a frame on to a detector only when it stands out from silence; quiet frames cost one dot product.

    floor_dbfs: below this nobody speaks, whatever the room. margin_db: how far a frame must rise above the room's own noise,
    which is tracked as the minimum of the last 2 s (minimum statistics, after Martin 2001). hold_ms: stays open so long after
    the last loud frame, so that soft word endings reach the detector.
    """

    def __init__(self, *, floor_dbfs: float = -60.0, margin_db: float = 3.0, hold_ms: float = 300.0) -> None:
        self._floor_power = _power(floor_dbfs)
        self._margin = 10.0 ** (margin_db / 10.0)
        self._hold_frames = round(hold_ms / 10.0)
        self._minima: deque[float] = deque(maxlen=20)  # of 100 ms each
        self._level = 0.0
        self._low = float("inf")
        self._count = 0
        self._open_for = 0

    def passes(self, frame: Samples) -> bool:
        """Whether the frame is loud enough to be worth a look."""
        values = frame.astype(np.float32)
        power = float(values @ values) / len(values)
        self._level += 0.3 * (power - self._level)  # 30 ms smoothing: a single quiet frame is no new floor
        self._low = min(self._low, self._level)
        self._count += 1
        if self._count % 10 == 0:
            self._minima.append(self._low)
            self._low = self._level
        noise = min(self._minima, default=0.0)
        if power > self._floor_power and power > noise * self._margin:
            self._open_for = self._hold_frames
        elif self._open_for:
            self._open_for -= 1
        return self._open_for > 0


class WebRtcVad:
    """WebRTC's Gaussian-mixture detector: 3 us a frame. Its yes/no decisions are averaged over `smoothing_ms`.

    mode: 0 (lets everything through) to 3 (strictest).
    """

    name = "webrtc"

    def __init__(self, *, mode: int = 3, smoothing_ms: float = 50.0, gate: EnergyGate | None = None) -> None:
        try:
            import webrtcvad
        except ImportError as error:
            raise EngineMissing("the webrtc detector is not installed", fix="pip install webrtcvad-wheels") from error
        if mode not in (0, 1, 2, 3):
            raise ConfigError(f"vad mode {mode} is not one of 0, 1, 2, 3")
        self._library: Any = webrtcvad
        self._mode = mode
        self._gate = gate
        self._votes: deque[bool] = deque(maxlen=max(1, round(smoothing_ms / 10.0)))
        self.reset()

    def speech_probability(self, frame: Samples) -> float:
        """Share of speech frames within the smoothing window, 0 to 1."""
        heard = self._gate is None or self._gate.passes(frame)
        self._votes.append(heard and bool(self._vad.is_speech(frame.tobytes(), SAMPLE_RATE_HZ)))
        return sum(self._votes) / (self._votes.maxlen or 1)

    def reset(self) -> None:
        self._vad = self._library.Vad(self._mode)
        self._votes.clear()


class SileroVad:
    """Silero's network (MIT), as faster-whisper ships it: ONNX, one probability for every 32 ms, recurrent.

    It is run through ONNX Runtime on one thread. The model's inputs are `input` (1, 576): 64 samples of context and 512 new
    ones, and the state `h`, `c` (1, 1, 128).
    """

    name = "silero"
    _NEW, _CONTEXT = 512, 64

    def __init__(self, *, model: Path | None = None, gate: EnergyGate | None = None) -> None:
        path = model or _silero_path()
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineMissing("the silero detector needs ONNX Runtime", fix="pip install onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._gate = gate
        self.reset()

    def reset(self) -> None:
        self._input = np.zeros((1, self._CONTEXT + self._NEW), np.float32)
        self._h = np.zeros((1, 1, 128), np.float32)
        self._c = np.zeros((1, 1, 128), np.float32)
        self._filled = 0
        self._awake = False
        self._probability = 0.0

    def speech_probability(self, frame: Samples) -> float:
        """The probability of the last complete 32 ms: it lags by up to three frames."""
        self._awake |= self._gate is None or self._gate.passes(frame)
        scaled = frame.astype(np.float32) / 32768.0
        while len(scaled):
            taken = min(len(scaled), self._NEW - self._filled)
            start = self._CONTEXT + self._filled
            self._input[0, start : start + taken] = scaled[:taken]
            self._filled += taken
            scaled = scaled[taken:]
            if self._filled == self._NEW:
                self._infer()
        return self._probability

    def _infer(self) -> None:
        if self._awake:
            # A copy: the session may write into what it is given.
            feeds = {"input": self._input.copy(), "h": self._h, "c": self._c}
            output, self._h, self._c = self._session.run(None, feeds)
            self._probability = float(np.asarray(output).ravel()[-1])
        else:
            self._h, self._c = np.zeros_like(self._h), np.zeros_like(self._c)
            self._probability = 0.0
        self._awake = False
        self._input[0, : self._CONTEXT] = self._input[0, -self._CONTEXT :]
        self._filled = 0


def make_vad(
    name: str = "webrtc", *, mode: int = 3, smoothing_ms: float = 50.0, gate_dbfs: float | None = -60.0
) -> Vad:
    """The detector of that name. gate_dbfs: the energy gate's floor; None: no gate. Errors: ConfigError, EngineMissing."""
    gate = EnergyGate(floor_dbfs=gate_dbfs) if gate_dbfs is not None else None
    if name == "webrtc":
        return WebRtcVad(mode=mode, smoothing_ms=smoothing_ms, gate=gate)
    if name == "silero":
        return SileroVad(gate=gate)
    raise ConfigError(f"there is no voice-activity detector {name!r}; there are webrtc and silero")


def _power(dbfs: float) -> float:
    return float(32768.0**2 * 10.0 ** (dbfs / 10.0))


def _silero_path() -> Path:
    from importlib.util import find_spec

    spec = find_spec("faster_whisper")  # found without importing it: that would load its whole inference engine
    if spec is None or spec.origin is None:
        raise EngineMissing("the silero detector is not installed", fix="pip install 'voice-needle[whisper]'")
    models = sorted((Path(spec.origin).parent / "assets").glob("silero_vad_v*.onnx"))
    if not models:
        raise EngineMissing("this faster-whisper has no silero model in it", fix="pip install -U faster-whisper")
    return models[-1]
