"""Our own voice out of the microphone: a linear canceller for what is transcribed, and a gate for whether somebody speaks.

Cancellers with a strong suppressor (WebRTC's AEC3) never take the echo for a user, but take the user for echo while both
speak; a linear one (SpeexDSP) keeps the user's words, but lets some echo through before it has learnt the room, after the room
changed, or where the loudspeaker distorts. So the words come from the linear one, and the decision from how much is left of
what was played: in each band the share that usually remains is learnt, and only more than that counts as a person.

The reference is what the speaker really played (its tap), at the delay that is found in `echo_delay`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voice_needle.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ, Samples
from voice_needle.listen.echo_delay import IDLE, REALIGN_S, DelayFinder, Drift, TimeLine
from voice_needle.listen.echo_gate import Gate
from voice_needle.listen.echo_rehearsal import Canceller, Understudy, practise, rehearsal
from voice_needle.listen.echo_saturation import Saturation

_MARGIN = 64  # samples of reference before the direct sound, so that the filter stays causal while the delay wanders
_PRACTICE = 4  # frames of the understudy's rehearsal in each frame of silence


@dataclass(frozen=True)
class Cleaned:
    """One frame after cancellation. samples: (160,) for the words; person: whether more is heard than our own voice explains."""

    samples: Samples
    person: bool


class EchoCanceller:
    """Give it every played block (`tap`) and every frame of the microphone (`process`), each with its time.

    canceller: the linear one; None: nothing is subtracted, and only the gate works. understudy: another of its kind, for the
    moment when a rehearsed delay jumps. delay: samples, where it is known already. bends: learn how the loudspeaker
    saturates, too.
    """

    def __init__(
        self,
        canceller: Canceller | None,
        understudy: Canceller | None = None,
        *,
        delay: int | None = None,
        bends: bool = True,
    ) -> None:
        self._canceller, self._understudy = canceller, Understudy(understudy)
        self._played = TimeLine()
        self._finder = DelayFinder()
        self._drift = Drift()
        self._gate = Gate()
        self._saturation, self._bends = Saturation(), bends
        self._position: int | None = None  # of the next frame on the reference's time line
        self._shift = 0.0
        self._slide = 0.0  # samples a frame by which the shift follows a drifting clock
        if delay is not None:
            self._aim(delay)
        self._silent = 0  # frames in which nothing was played
        self.realigned = 0
        self._before = self._after = 1.0

    @property
    def subtracts(self) -> bool:
        """Whether anything is taken out of the sound, or the gate alone works."""
        return self._canceller is not None

    @property
    def delay_ms(self) -> float | None:
        """From playing to hearing, as far as it is known."""
        return self._finder.found * 1000.0 / SAMPLE_RATE_HZ if self._finder.found is not None else None

    @property
    def drift_ppm(self) -> float:
        """How much slower the speaker's clock runs than the microphone's."""
        return self._drift.per_s / SAMPLE_RATE_HZ * 1e6

    @property
    def limit(self) -> float:
        """At which level the loudspeaker stops following, LSB; inf where it is straight."""
        return self._saturation.limit

    @property
    def removed_db(self) -> float:
        """How much of the echo is gone lately, while we spoke."""
        return 10.0 * float(np.log10(self._before / self._after))

    @property
    def played_to(self) -> int:
        """Samples from the beginning of its time line to the end of what was tapped."""
        return self._played.end

    @property
    def heard_to(self) -> int:
        """Samples on the same time line to the end of what was processed; 0 before the first frame."""
        return self._position or 0

    def tap(self, block: Samples, time_s: float) -> None:
        """A block as it is played, and when its first sample leaves the speaker."""
        self._played.add(block, time_s)

    def mistaken(self) -> None:
        """What was taken for a person just now was our own voice, or nothing: learn from it."""
        self._gate.mistaken()

    def rehearse(self, response: NDArray[np.float64], late: int = 0) -> None:
        """Learn a room that was measured, before anything is said in it; some 60 ms of work on a fast core.

        response: (n,) how the microphone hears one played sample, by its delay. late: samples to add to that delay, by
        `played_to` and `heard_to`: the devices' times wander by more than a filter can bear.
        """
        if self._canceller is None:
            return
        strongest = int(np.argmax(np.abs(response[: len(response) // 2])))
        delay = float(strongest + late)
        self._finder.found = delay
        self._aim(delay)
        self._canceller.reset()
        self._gate.unsure()
        played, heard = rehearsal(np.roll(response, round(delay - self._shift) - strongest))
        self._understudy.learn(played, heard)
        practise(self._canceller, played, heard)

    def process(self, frame: Samples, time_s: float) -> Cleaned:
        """The next (160,) of the microphone; time_s: when its first sample was heard, on the clock of the taps."""
        at = round(time_s * SAMPLE_RATE_HZ)
        if self._position is None or abs(at - self._position) > REALIGN_S * SAMPLE_RATE_HZ:
            self._position = at
        now, self._position = self._position, self._position + FRAME_SAMPLES
        playing = self._played.read(now, FRAME_SAMPLES)
        self._silent = 0 if playing.any() else self._silent + 1
        if self._silent > IDLE + max(0.0, self._shift) / FRAME_SAMPLES:
            self._understudy.practise(_PRACTICE)
            self._finder.rest(frame)
            return Cleaned(frame, self._gate.feed(frame, playing))
        if self._finder.feed(frame, playing):
            self._follow(now)
        if self._slide:
            reference = self._played.read_between(now - self._shift, 1.0 - self._slide / FRAME_SAMPLES, FRAME_SAMPLES)
            self._shift += self._slide
        else:
            reference = self._played.read(now - round(self._shift), FRAME_SAMPLES)
        bent = self._saturation.bend(reference)
        clean = self._canceller.cancel(frame, bent) if self._canceller is not None else frame
        person = self._gate.feed(clean, bent)
        if self._bends and self._saturation.feed(frame, reference, self._gate.voice and not person):
            self._gate.unsure()
        if self._gate.voice and not person:
            self._before = 0.98 * self._before + 0.02 * (1.0 + float(np.mean(frame.astype(np.float32) ** 2)))
            self._after = 0.98 * self._after + 0.02 * (1.0 + float(np.mean(clean.astype(np.float32) ** 2)))
        return Cleaned(clean, person)

    def _follow(self, now: int) -> None:
        """Keep the reference where the echo is: slide along with a drifting clock, jump only out of the canceller's window."""
        found = self._finder.found
        assert found is not None
        time_s = now / SAMPLE_RATE_HZ
        if self._finder.jumped:  # what was measured of the room holds as before, some samples later or earlier
            self._shift += round(self._finder.jumped)
            self._drift = Drift()
            self.realigned += 1
            if self._canceller is not None:
                self._canceller = self._understudy.replace(self._canceller)
            self._gate.unsure()
        self._drift.add(time_s, found)
        expected = self._drift.at(time_s)
        place = expected - self._shift  # of the direct sound within the canceller's window
        if not min(0.0, expected) <= place <= _MARGIN * 16:
            self._aim(expected)
            self.realigned += 1
            if self._canceller is not None:
                self._canceller.reset()
            self._gate.unsure()
            self._saturation.forget()
        self._slide = self._drift.per_s * FRAME_SAMPLES / SAMPLE_RATE_HZ

    def _aim(self, delay: float) -> None:
        # Of a direct sound that is heard as soon as it is played there is nothing before.
        self._shift = float(round(delay - _MARGIN if delay >= _MARGIN else min(delay, 0.0)))
