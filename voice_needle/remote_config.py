"""Configuration from afar: a signed bundle off the fleet's broker goes on trial, and is taken back if the assistant does not start.

What a bundle brings lies in the data folder (`fleet/config.yaml`, `fleet/tools.d`), which the service may write, and goes over the
configuration of this device. It is signed by a key in /etc/voice-needle/bundle.signers, which no bundle can change; nor can it
change where data lies, the board, or the fleet's own settings: a device that was told nonsense stays within reach.

    received -> trial -> applied       after it has listened for a while
                      -> rolled back   the start failed, or ended TRIES times before it listened
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from voice_needle import bundle as bundles
from voice_needle.config import REMOTE_DIR, SYSTEM_DIR, Config
from voice_needle.errors import ConfigError, VoiceNeedleError

log = logging.getLogger(__name__)

TRIES = 3
LARGEST_BYTES = 1 << 20
STATE = "remote.json"
ALLOWED = ("config.yaml", "tools.d")


@dataclass(frozen=True)
class State:
    """What the fleet is told. state: none, trial, applied or rolled back; why: what went wrong; refused: the last bundle that was."""

    state: str = "none"
    serial: int = 0
    why: str = ""
    tries: int = 0
    refused: str = ""


class RemoteConfig:
    """The bundles that came over the broker. data_dir: of the configuration. signers: the keys that may sign."""

    def __init__(self, data_dir: Path, signers: Path = SYSTEM_DIR / "bundle.signers") -> None:
        self.folder = data_dir / REMOTE_DIR
        self._signers = signers

    @property
    def state(self) -> State:
        try:
            return State(**json.loads((self.folder / STATE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return State()

    def receive(self, payload: bytes) -> bool:
        """Put a bundle on trial. True: it takes effect with a restart; False: known already, or refused (see `state`)."""
        if not payload:
            return False  # the retained message was taken away; what was applied stays
        try:
            return self._receive(payload)
        except (VoiceNeedleError, OSError) as error:
            log.warning("a configuration was refused: %s", error)
            self._put(State(**{**asdict(self.state), "refused": str(error)}))
            return False

    def _receive(self, payload: bytes) -> bool:
        if len(payload) > LARGEST_BYTES:
            raise ConfigError(f"a remote configuration of {len(payload)} bytes is too large")
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".bundle-") as held:
            held.write(payload)
            held.flush()
            bundle = bundles.read(Path(held.name), self._signers)
            if bundle.serial <= (bundles.applied(self.folder) or 0):
                return False  # retained: it comes again at each connection
            for name in bundle.files:
                if name.split("/")[0] not in ALLOWED:
                    raise ConfigError(f"{name} cannot come over a broker", fix="voice-needle bundle apply FILE, on the device")
            bundles.apply(Path(held.name), self.folder, self._signers)
        self._put(State("trial", bundle.serial))
        log.warning("configuration %d came over the broker; it goes on trial", bundle.serial)
        return True

    # --- at the start, and after it ---

    def starting(self) -> None:
        """Called before the configuration is read: a trial that never came to listen is over."""
        state = self.state
        if state.state != "trial":
            return
        if state.tries >= TRIES:
            self.roll_back(f"it did not come to listen in {TRIES} starts")
        else:
            self._put(State("trial", state.serial, tries=state.tries + 1))

    def failed(self, error: Exception) -> bool:
        """The start failed. True: that ended a trial, and the configuration before is back."""
        if self.state.state != "trial":
            return False
        self.roll_back(str(error))
        return True

    def roll_back(self, why: str) -> None:
        serial = self.state.serial
        with contextlib.suppress(VoiceNeedleError):
            bundles.rollback(self.folder)
        self._put(State("rolled back", serial, why))
        log.error("configuration %d was rolled back: %s", serial, why)

    def settled(self) -> bool:
        """It has listened for a while. True: that ended a trial well."""
        state = self.state
        if state.state != "trial":
            return False
        self._put(State("applied", state.serial))
        return True

    def _put(self, state: State) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f"{STATE}.part"
        with part.open("w", encoding="utf-8") as out:
            json.dump(asdict(state), out)
            out.flush()
            os.fsync(out.fileno())
        part.replace(self.folder / STATE)


def of(config: Config) -> RemoteConfig | None:
    """None where no configuration may come from afar."""
    return RemoteConfig(config.data_dir, config.fleet.signers) if config.fleet.remote else None
