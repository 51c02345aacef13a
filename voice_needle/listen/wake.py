"""What opens the ear: nothing (always open), a key (push-to-talk), or a word.

Every frame is fed to the ear before it goes on. Closed, the rest of the pipeline gets nothing and costs nothing. It closes by
itself when an utterance was taken, or when nobody speaks for a while. Time is counted in frames, so it needs no clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from voice_needle.audio import FRAME_MS, Samples
from voice_needle.errors import AudioError, ConfigError, EngineMissing, ModelMissing


class Ear(StrEnum):
    """What a frame did to the ear."""

    CLOSED = "closed"  # drop the frame
    OPENED = "opened"  # it opens with this frame: forget the pre-roll after a wake word; play the listening tone
    OPEN = "open"
    RELEASED = "released"  # the key was let go: end the running utterance now
    EXPIRED = "expired"  # nobody spoke in time: it closes


class Wake(Protocol):
    """off, push-to-talk, word."""

    name: str

    async def start(self) -> None:
        """Errors: EngineMissing, ModelMissing, AudioError."""
        ...

    def feed(self, frame: Samples, in_speech: bool) -> Ear:
        """The next (160,) frame; in_speech: an utterance is running, so the ear stays open."""
        ...

    def utterance_ended(self) -> None:
        """An utterance was taken: close, unless told to stay open."""
        ...

    def keep_open(self, ms: float) -> None:
        """Stay open for `ms` without a key or a word: a question was asked, or a follow-up is welcome."""
        ...

    async def close(self) -> None: ...


class AlwaysOpen:
    """No wake word: every utterance counts."""

    name = "off"

    async def start(self) -> None: ...

    def feed(self, frame: Samples, in_speech: bool) -> Ear:
        return Ear.OPEN

    def utterance_ended(self) -> None: ...

    def keep_open(self, ms: float) -> None: ...

    async def close(self) -> None: ...


class _Window:
    """How long the ear still is open, in frames."""

    def __init__(self) -> None:
        self._left = 0

    @property
    def open(self) -> bool:
        return self._left > 0

    def extend(self, ms: float) -> None:
        self._left = max(self._left, round(ms / FRAME_MS))

    def shut(self) -> None:
        self._left = 0

    def tick(self, in_speech: bool) -> Ear:
        if not self.open:
            return Ear.CLOSED
        if not in_speech:
            self._left -= 1
        return Ear.OPEN if self.open else Ear.EXPIRED


class Trigger:
    """A key: pressed and released by whoever has one (GPIO, a signal, the socket). May be called from any thread."""

    def __init__(self) -> None:
        self.pressed = False
        self._presses = 0
        self._releases = 0

    def press(self) -> None:
        self.pressed = True
        self._presses += 1

    def release(self) -> None:
        if self.pressed:
            self.pressed = False
            self._releases += 1

    def take_press(self) -> bool:
        """Whether it was pressed since last asked."""
        taken, self._presses = self._presses > 0, 0
        return taken

    def take_release(self) -> bool:
        """Whether it was released since last asked."""
        taken, self._releases = self._releases > 0, 0
        return taken


class PushToTalk:
    """A key opens the ear, until it is released or the utterance ends.

    socket: a local socket that takes the lines `press`, `release` and `tap`, for keys of other programs. use_signal: SIGUSR1 is
    a tap. window_ms: after a tap, or after a press that nothing follows, how long somebody may take to begin to speak.
    """

    name = "push-to-talk"

    def __init__(
        self,
        trigger: Trigger | None = None,
        *,
        socket: str | Path | None = None,
        use_signal: bool = True,
        window_ms: float = 8_000.0,
    ) -> None:
        self.trigger = trigger or Trigger()
        self._socket = Path(socket) if socket else None
        self._use_signal, self._window_ms = use_signal, window_ms
        self._window = _Window()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        if self._use_signal:
            with contextlib.suppress(ValueError, NotImplementedError):  # not the main thread
                asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self.tap)
        if self._socket is not None:
            self._socket.unlink(missing_ok=True)
            try:
                self._server = await asyncio.start_unix_server(self._serve, str(self._socket))
            except OSError as error:
                fix = "set listen.wake to off, or make the folder writable"
                raise AudioError(f"the push-to-talk socket {self._socket} cannot be made: {error}", fix=fix) from error
            self._socket.chmod(0o660)

    def tap(self) -> None:
        """A short press: the ear opens and closes by itself."""
        self.trigger.press()
        self.trigger.pressed = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        actions: dict[str, Callable[[], None]] = {
            "press": self.trigger.press,
            "release": self.trigger.release,
            "tap": self.tap,
        }
        with contextlib.suppress(ConnectionError, ValueError):  # ValueError: a line without end
            while line := await reader.readline():
                action = actions.get(line.decode(errors="replace").strip().lower())
                if action is not None:
                    action()
                writer.write(b"ok\n" if action else b"error: say press, release or tap\n")
                await writer.drain()
        writer.close()

    def feed(self, frame: Samples, in_speech: bool) -> Ear:
        released = self.trigger.take_release()
        if self.trigger.take_press():
            was_open = self._window.open
            self._window.extend(self._window_ms)
            return Ear.OPEN if was_open else Ear.OPENED
        if released and self._window.open:
            if not in_speech:
                self._window.shut()
            return Ear.RELEASED
        return self._window.tick(in_speech or self.trigger.pressed)

    def utterance_ended(self) -> None:
        if not self.trigger.pressed:
            self._window.shut()

    def keep_open(self, ms: float) -> None:
        self._window.extend(ms)

    async def close(self) -> None:
        if self._use_signal:
            with contextlib.suppress(ValueError, NotImplementedError):
                asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)
        if self._server is not None and self._socket is not None:
            self._server.close()
            self._socket.unlink(missing_ok=True)


class WakeWord:
    """microWakeWord (Kevin Ahrendt; Apache-2.0) through pymicro-wakeword: 0.2 % of a core.

    word: a model of its wheel (okay_nabu, hey_jarvis, hey_mycroft, alexa) or the path of a model's .json. window_ms: how long
    somebody may take to begin to speak after it. threshold: probability that counts; None: the model's own.
    """

    name = "word"

    def __init__(self, word: str = "okay_nabu", *, window_ms: float = 8_000.0, threshold: float | None = None) -> None:
        self.word, self._window_ms, self._threshold = word, window_ms, threshold
        self._window = _Window()
        self._detector: Any = None
        self._features: Any = None
        self.detections = 0

    async def start(self) -> None:
        try:
            from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model
        except ImportError as error:
            raise EngineMissing("wake words are not installed", fix="pip install 'voice-needle[wake]'") from error
        if self.word.endswith(".json"):
            try:
                self._detector = MicroWakeWord.from_config(self.word)
            except (OSError, KeyError, ValueError) as error:
                raise ModelMissing(f"the wake word {self.word} cannot be read: {error}") from error
        else:
            known = [str(model.value) for model in Model]
            if self.word not in known:
                raise ConfigError(f"there is no wake word {self.word!r}; there are {', '.join(known)}")
            self._detector = MicroWakeWord.from_builtin(Model(self.word))
        self._features = MicroWakeWordFeatures()

    def feed(self, frame: Samples, in_speech: bool) -> Ear:
        if self._hears(frame):
            self.detections += 1
            self._window.shut()
            self._window.extend(self._window_ms)
            return Ear.OPENED
        return self._window.tick(in_speech)

    def _hears(self, frame: Samples) -> bool:
        """Runs all the time, so that its window of sound has no gaps; heard once, it starts anew."""
        for features in self._features.process_streaming(frame.tobytes()):
            probability = self._detector.process_streaming_prob(features)
            limit = self._detector.probability_cutoff if self._threshold is None else self._threshold
            if probability is not None and probability > limit:
                self._detector.reset()
                return True
        return False

    def utterance_ended(self) -> None:
        self._window.shut()

    def keep_open(self, ms: float) -> None:
        self._window.extend(ms)

    async def close(self) -> None:
        if self._detector is not None:
            self._detector.close()


def make_wake(
    name: str = "off", *, word: str = "okay_nabu", window_ms: float = 8_000.0, socket: str | Path | None = None
) -> Wake:
    """off | push-to-talk | word. Errors: ConfigError for another name."""
    match name:
        case "off":
            return AlwaysOpen()
        case "push-to-talk":
            return PushToTalk(socket=socket, window_ms=window_ms)
        case "word":
            return WakeWord(word, window_ms=window_ms)
    raise ConfigError(f"there is no way to wake {name!r}; there are off, push-to-talk and word")
