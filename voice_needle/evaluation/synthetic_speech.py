"""Text -> speech of several voices (flite, festival) at 16 kHz, for demonstrations, tests and fitting; cached by content."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr

from voice_needle.audio import SAMPLE_RATE_HZ, Samples
from voice_needle.errors import EngineFailed, EngineMissing

FLITE_VOICES = ("slt", "rms", "awb", "kal16")
VOICES = (*FLITE_VOICES, "festival")
PAUSE = SAMPLE_RATE_HZ // 5  # 200 ms of near-silence before and after, as an endpointer leaves it


def cache_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / "voice-needle-speech"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def available(voice: str) -> bool:
    return shutil.which("text2wave" if voice == "festival" else "flite") is not None


def speak(text: str, voice: str = "slt") -> Samples:
    """(n,) int16 at 16 kHz, 200 ms of silence at both ends. Errors: EngineMissing, EngineFailed, ValueError for a voice."""
    if voice not in VOICES:
        raise ValueError(f"there is no voice {voice}; there are {', '.join(VOICES)}")
    path = cache_folder() / f"{voice}-{hashlib.sha256(text.encode()).hexdigest()[:24]}.npy"
    if path.exists():
        stored: Samples = np.load(path)
        return stored
    samples = np.pad(_synthesise(text, voice), PAUSE)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npy", delete=False) as part:
        np.save(part, samples)
    Path(part.name).replace(path)
    return samples


def _synthesise(text: str, voice: str) -> Samples:
    program = "festival" if voice == "festival" else "flite"
    if not available(voice):
        raise EngineMissing(f"{program} is not installed", fix=f"sudo apt-get install {program}")
    with tempfile.TemporaryDirectory() as folder:
        wav = str(Path(folder, "said.wav"))
        if voice == "festival":
            command = ["text2wave", "-o", wav]
        else:
            command = ["flite", "-voice", voice, "-t", text, "-o", wav]
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=60, check=False)
        if done.returncode or not Path(wav).exists():
            raise EngineFailed(f"{program} could not say {text!r}: {done.stderr.decode(errors='replace').strip()}")
        said, rate = soundfile.read(wav, dtype="float32", always_2d=True)
    mono = soxr.resample(said.mean(axis=1), rate, SAMPLE_RATE_HZ)
    said_16: Samples = np.clip(np.round(mono * 32767.0), -32768, 32767).astype(np.int16)
    return said_16


def mix(speech: Samples, noise: Samples, snr_db: float, offset: int = 0) -> Samples:
    """speech plus noise from `offset` on (repeated where it is too short), at this ratio of mean powers."""
    if not noise.size:
        raise ValueError("there is no noise in an empty array")
    cut = np.take(noise.astype(np.float64), np.arange(offset, offset + len(speech)), mode="wrap")
    power = float(np.mean(cut**2))
    signal = float(np.mean(speech.astype(np.float64) ** 2))
    gain = np.sqrt(signal / power / 10 ** (snr_db / 10)) if power > 0 else 0.0
    return np.clip(np.round(speech + gain * cut), -32768, 32767).astype(np.int16)


def pink_noise(samples: int, seed: int = 0) -> Samples:
    """(n,) int16 noise with equal power in each octave, RMS 1,000 LSB."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.normal(size=samples))
    spectrum /= np.sqrt(np.maximum(1.0, np.arange(spectrum.size)))
    wave = np.fft.irfft(spectrum, samples)
    return np.asarray(np.round(wave / np.std(wave) * 1000.0)).astype(np.int16)
