"""What happens around a device for a day: requests, noise, strangers, unplugged devices, a broker that goes; from a seed.

Half an hour has six parts of five minutes, each with something that goes wrong or is asked for; the rest is a quiet room.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

PART_S = 300.0
VOICES = ("slt", "rms", "awb")
TIMERS = ("one minute", "two minutes", "three minutes", "five minutes", "seven minutes", "ten minutes", "twenty minutes", "forty minutes")
LAMPS = ("kitchen", "hall", "office", "bedroom")
QUESTIONS = ("what time is it", "how much time is left on the timer", "what day is it")
STRANGE = (
    "the committee will meet again in the autumn to discuss the report",
    "my sister said that the garden was full of butterflies last year",
    "prices rose slightly in the third quarter after a weak spring",
)


@dataclass(frozen=True)
class Happening:
    """what: say, noise, microphone (away), speaker (away), broker (away). lasts_s: of what lasts."""

    at_s: float
    what: str
    lasts_s: float = 0.0
    text: str = ""
    voice: str = ""
    level: float = 0.0  # of noise: RMS in LSB


def happenings(hours: float, seed: int) -> list[Happening]:
    """All of them, in order; the last two minutes are left quiet, so that everything has an end."""
    found = [each for half in range(int(hours * 2 + 0.999)) for each in _half_hour(half, random.Random(f"{seed} {half}"))]
    return sorted((each for each in found if each.at_s + each.lasts_s < hours * 3600.0 - 120.0), key=lambda each: each.at_s)


def _half_hour(number: int, rng: random.Random) -> Iterator[Happening]:
    start = number * 6 * PART_S
    at = [start + part * PART_S + rng.uniform(20.0, 60.0) for part in range(6)]
    yield _said(at[0], f"set a timer for {rng.choice(TIMERS[:4] if number % 2 else TIMERS)}", rng)
    yield _said(at[0] + 90.0, rng.choice(QUESTIONS), rng)
    yield _said(at[1], _lamp(rng), rng)
    yield Happening(at[1] + rng.uniform(1.8, 4.0), "speaker", rng.uniform(5.0, 60.0))  # in the middle of the answer
    yield Happening(at[2], "noise", rng.uniform(3.0, 15.0), level=rng.choice((200.0, 600.0, 1500.0)))
    yield _said(at[2] + 60.0, rng.choice(STRANGE), rng)
    yield _said(at[3], _lamp(rng), rng)
    gone = at[3] + rng.uniform(0.3, 1.5) if number % 2 else at[3] + 30.0  # in the middle of the request, or of silence
    yield Happening(gone, "microphone", rng.uniform(5.0, 120.0))
    yield Happening(at[4], "broker", 60.0)
    yield _said(at[4] + 15.0, _lamp(rng), rng)
    yield _said(at[5], _lamp(rng), rng)


def _said(at_s: float, text: str, rng: random.Random) -> Happening:
    return Happening(at_s, "say", text=text, voice=rng.choice(VOICES))


def _lamp(rng: random.Random) -> str:
    return f"turn {rng.choice(('on', 'off'))} the {rng.choice(LAMPS)} light"
