"""Where an utterance begins and ends: a pure state machine on 10 ms frames.

Idle, it keeps the last `pre_roll_ms` of sound. When enough speech was seen, `Onset` gives that pre-roll; from then on each
frame belongs to the utterance, until silence of `end_silence_ms` ends it. How long is waited may change while speech runs:
`expect_more` when the words so far ask for more, `end_after` when they are complete (semantic endpointing). No frame is
lost and none given twice: pre-roll and frames, put together, are the utterance's samples.

A pre-roll in which only the rest of our own voice is heard would be read as words: it is made quiet, up to shortly before the
first speech.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from voice_needle.audio import FRAME_MS, Samples
from voice_needle.events import Utterance


@dataclass(frozen=True)
class Onset:
    """Someone began to speak. pre_roll: (n,) all sound of the utterance so far; start_ms: position of pre_roll[0]."""

    pre_roll: Samples
    start_ms: float
    speech_start_ms: float


@dataclass(frozen=True)
class Continued:
    """One more frame of a running utterance."""

    frame: Samples
    silence_ms: float  # since the last speech


@dataclass(frozen=True)
class Ended:
    """The utterance is over. silence_ms: how much silence it took to be sure."""

    utterance: Utterance
    silence_ms: float


@dataclass(frozen=True)
class Discarded:
    """It was shorter than `min_speech_ms`: a click, a cough, a door."""

    speech_ms: float


LATE_FRAMES = 12  # speech may be noticed so late: no more of a pre-roll is made quiet
QUIET = 0.03

Found: TypeAlias = Onset | Continued | Ended | Discarded


class Endpointer:
    """Cuts a stream of frames with speech probabilities into utterances. Settings in milliseconds.

    pre_roll_ms: sound kept from before the onset. onset_ms: speech needed within the last 2 x onset_ms to begin.
    end_silence_ms: silence that ends it. min_speech_ms: utterances with less speech are discarded. max_length_ms: longer ones
    are cut there (`Utterance.cut`) and go on in the next. threshold: the speech probability from which a frame is speech.
    """

    def __init__(
        self,
        *,
        pre_roll_ms: float = 300.0,
        onset_ms: float = 60.0,
        end_silence_ms: float = 600.0,
        min_speech_ms: float = 120.0,
        max_length_ms: float = 15_000.0,
        threshold: float = 0.5,
    ) -> None:
        self.end_silence_ms = end_silence_ms
        self.min_speech_ms = min_speech_ms
        self.max_length_ms = max_length_ms
        self.threshold = threshold
        self._onset_frames = max(1, round(onset_ms / FRAME_MS))
        window = 2 * self._onset_frames
        self._recent: deque[bool] = deque(maxlen=window)
        self._ring: deque[tuple[Samples, bool]] = deque(maxlen=max(window, round(pre_roll_ms / FRAME_MS) + self._onset_frames))
        self._position = 0  # frames fed so far
        self._clear()

    def _clear(self) -> None:
        self._frames: list[Samples] = []
        self._first = 0  # position of _frames[0]
        self._speech_first = 0
        self._speech_last = 0  # position after the last speech frame
        self._speech_frames = 0
        self._wait_ms: float | None = None
        self._recent.clear()
        self._ring.clear()

    @property
    def in_speech(self) -> bool:
        """An utterance is running."""
        return bool(self._frames)

    @property
    def position_ms(self) -> float:
        """How much sound was fed."""
        return float(self._position * FRAME_MS)

    @property
    def silence_ms(self) -> float:
        """Silence since the last speech of the running utterance; 0 when none runs."""
        return float((self._position - self._speech_last) * FRAME_MS) if self._frames else 0.0

    def end_after(self, silence_ms: float) -> None:
        """The words are complete: this much silence ends the running utterance. Already past it: the next frame does."""
        self._wait_ms = silence_ms

    def expect_more(self, silence_ms: float) -> None:
        """The words ask for more: wait this long, for the running utterance only. Same as end_after, named for its reason."""
        self._wait_ms = silence_ms

    def reset(self) -> None:
        """Forget the running utterance and the pre-roll, as after a wake word. The position goes on."""
        self._clear()

    def feed(self, frame: Samples, probability: float, ours: bool = False) -> list[Found]:
        """The next (160,) frame; what follows from it, in order. ours: it holds nothing but the rest of our own voice."""
        speech = probability >= self.threshold
        self._position += 1
        return self._running(frame, speech) if self._frames else self._idle(frame, speech, ours)

    def end_now(self) -> list[Found]:
        """End the running utterance at once: the button was released, or the source ended."""
        return [self._end(cut=False)] if self._frames else []

    def _idle(self, frame: Samples, speech: bool, ours: bool) -> list[Found]:
        self._ring.append((frame, ours))
        self._recent.append(speech)
        if sum(self._recent) < self._onset_frames:
            return []
        self._first = self._position - len(self._ring)
        self._speech_first = self._position - len(self._recent) + list(self._recent).index(True)
        sure = self._speech_first - LATE_FRAMES - self._first
        self._frames = [
            (each * QUIET).astype(np.int16) if ours and at < sure else each for at, (each, ours) in enumerate(self._ring)
        ]
        self._speech_last = self._position
        self._speech_frames = sum(self._recent)
        pre_roll = np.concatenate(self._frames)
        return [Onset(pre_roll, float(self._first * FRAME_MS), float(self._speech_first * FRAME_MS))]

    def _running(self, frame: Samples, speech: bool) -> list[Found]:
        self._frames.append(frame)
        if speech:
            self._speech_last = self._position
            self._speech_frames += 1
            self._wait_ms = None  # what was expected has come; the words decide anew
        found: list[Found] = [Continued(frame, self.silence_ms)]
        wait_ms = self.end_silence_ms if self._wait_ms is None else self._wait_ms
        if not speech and self.silence_ms >= wait_ms:
            found.append(self._end(cut=False))
        elif len(self._frames) * FRAME_MS >= self.max_length_ms:
            found.append(self._end(cut=True))
        return found

    def _end(self, *, cut: bool) -> Ended | Discarded:
        silence_ms, speech_ms = self.silence_ms, float(self._speech_frames * FRAME_MS)
        utterance = Utterance(
            samples=np.concatenate(self._frames),
            start_ms=float(self._first * FRAME_MS),
            speech_start_ms=float(self._speech_first * FRAME_MS),
            speech_end_ms=float(self._speech_last * FRAME_MS),
            cut=cut,
        )
        self._clear()
        return Discarded(speech_ms) if speech_ms < self.min_speech_ms else Ended(utterance, silence_ms)
