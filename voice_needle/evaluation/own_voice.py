"""Our own voice for half an hour in hard rooms, or with noises that are no words: nothing may stop it.

Doors, coughs and music are synthesised (`room`); a recorded background may be given. Cut into sessions that can be kept and
resumed, like `duplex_bench`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voice_needle.audio import SAMPLE_RATE_HZ, Samples
from voice_needle.config import Config
from voice_needle.evaluation.duplex import Ears, Echo, Stage, open_stage, our_echo
from voice_needle.evaluation.duplex_bench import Progress, read_kept
from voice_needle.evaluation.duplex_trials import STORY
from voice_needle.evaluation.room import Acoustics, cough, door, music
from voice_needle.events import BargedIn, Ducked, Event

SESSION_S = 300.0
HARD = (
    Acoustics(echo_db=0.0, delay_ms=0.0),
    Acoustics(echo_db=6.0, delay_ms=80.0, drift_ppm=100.0, seed=1),
    Acoustics(echo_db=12.0, delay_ms=20.0, seed=2),
    Acoustics(echo_db=12.0, delay_ms=300.0, decay_s=0.3, seed=3),
    Acoustics(echo_db=12.0, delay_ms=150.0, drift_ppm=100.0, seed=4),
    Acoustics(echo_db=6.0, delay_ms=40.0, path_change_s=60.0, seed=5),
)
NOISES = ("door", "cough", "music")
SNR_DB = 10.0  # of the noises, under the usual level of a user's speech


@dataclass(frozen=True)
class Session:
    """Some minutes of our voice in one room. noise: door | cough | music | recorded; empty: none."""

    seconds: float
    acoustics: Acoustics
    noise: str = ""
    snr_db: float = SNR_DB

    @property
    def key(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)


def in_hard_rooms(minutes: float) -> list[Session]:
    """The minutes shared among the rooms, each from its own beginning: an unknown room is the hardest."""
    return [Session(minutes * 60.0 / len(HARD), acoustics) for acoustics in HARD]


def with_noises(minutes: float, recorded: bool, snr_db: float = SNR_DB) -> list[Session]:
    """The minutes shared among the noises, at 0 dB of echo, a new room every five minutes."""
    kinds = (*NOISES, "recorded") if recorded else NOISES
    each_s = minutes * 60.0 / len(kinds)
    parts = max(1, round(each_s / SESSION_S))
    return [
        Session(each_s / parts, Acoustics(echo_db=0.0, delay_ms=30.0, seed=seed), kind, snr_db)
        for kind in kinds
        for seed in range(parts)
    ]


def run(
    sessions: Sequence[Session],
    config: Config,
    *,
    keep: Path | None = None,
    background: Samples | None = None,
    echo: Echo = our_echo,
    progress: Progress = lambda line, done, of: None,
) -> dict[str, Any]:
    """All sessions. background: (n,), the recorded noise, repeated. Errors: EngineMissing."""
    known = read_kept(keep)
    ears: Ears | None = None
    rows = []
    for done, session in enumerate(sessions, 1):
        row = known.get(session.key)
        if row is None:
            ears = ears or Ears.open("home", config, text=False)
            began = time.perf_counter()
            row = {"key": session.key, **asyncio.run(_tell(ears, session, background, echo))}
            row["wall_s"] = round(time.perf_counter() - began, 1)
            if keep is not None:
                with keep.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
        rows.append({**asdict(session), **{name: value for name, value in row.items() if name != "key"}})
        progress(
            f"{session.noise or session.acoustics}: {row['stops']} stops in {row['spoken_s']} s", done, len(sessions)
        )
    return {
        "minutes": round(sum(row["spoken_s"] for row in rows) / 60.0, 1),
        "false_stops": sum(row["stops"] for row in rows),
        "false_ducks": sum(row["ducks"] for row in rows),
        "false_calls": sum(row["calls"] for row in rows),
        "sessions": rows,
    }


async def _tell(ears: Ears, session: Session, background: Samples | None, echo: Echo) -> dict[str, Any]:
    events: list[Event] = []
    async with open_stage(ears, session.acoustics, emit=events.append, echo=echo) as stage:
        teller = _Teller(stage, session, background)
        stage.room.source.each_frame = teller.tick
        await stage.assistant.run()
        stops = [event for event in events if isinstance(event, BargedIn)]
        removed = stage.assistant.parts.echo
        return {
            "spoken_s": round(teller.spoken_s, 1),
            "mode": stage.assistant.barge_in.mode,
            "removed_db": round(removed.removed_db, 1) if removed is not None else 0.0,
            "stops": len(stops),
            "stopped_by": [event.text for event in stops],
            "ducks": sum(isinstance(event, Ducked) for event in events),
            "calls": len(stage.journal.done),
        }


class _Teller:
    """Tells the story from another sentence each time, and makes the noises, until it has spoken for long enough."""

    def __init__(self, stage: Stage, session: Session, background: Samples | None) -> None:
        self._stage, self._session, self._background = stage, session, background
        self._rng = np.random.default_rng(session.acoustics.seed)
        self._telling: asyncio.Task[None] | None = None
        self._next_noise = 0
        self.spoken_s = 0.0

    def tick(self) -> None:
        stage = self._stage
        self.spoken_s += 0.01 * stage.speaker.speaking
        if self.spoken_s >= self._session.seconds or stage.clock.monotonic() > 2.0 * self._session.seconds + 60.0:
            stage.room.source.ended.set()
            if stage.speaker.speaking:
                stage.speaker.stop()
            return
        if not stage.assistant.tested:
            return
        if self._session.noise and stage.room.position >= self._next_noise:
            self._make_noise()
        if self._telling is None or self._telling.done():
            at = int(self._rng.integers(len(STORY)))
            self._telling = asyncio.ensure_future(stage.assistant.announce(" ".join(STORY[at:] + STORY[:at]), tone=""))

    def _make_noise(self) -> None:
        seed, room = int(self._rng.integers(1 << 30)), self._stage.room
        makers: dict[str, Callable[[], Samples]] = {
            "door": lambda: door(seed),
            "cough": lambda: cough(seed),
            "music": lambda: music(30.0, seed),
            "recorded": lambda: self._piece(30.0),
        }
        sound = makers[self._session.noise]()
        room.make(sound, snr_db=self._session.snr_db)
        short = self._session.noise in ("door", "cough")
        wait_s = float(self._rng.uniform(4.0, 8.0)) if short else 0.0  # 450 to 900 of them an hour
        self._next_noise = room.position + (round(wait_s * SAMPLE_RATE_HZ) if short else len(sound))

    def _piece(self, seconds: float) -> Samples:
        assert self._background is not None
        at = int(self._rng.integers(len(self._background)))
        return np.take(self._background, np.arange(at, at + round(seconds * SAMPLE_RATE_HZ)), mode="wrap")
