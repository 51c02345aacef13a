"""A real PulseAudio daemon with null sinks, reached through PortAudio: sound devices for machines that have none."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SETUP = """\
load-module module-native-protocol-unix auth-anonymous=1 socket={socket}
load-module module-null-sink sink_name=room rate=16000 channels=1 sink_properties=device.description=room
load-module module-null-sink sink_name=loudspeaker rate=16000 channels=1 sink_properties=device.description=loudspeaker
load-module module-null-sink sink_name=hifi rate=48000 channels=2 sink_properties=device.description=hifi
set-default-sink loudspeaker
set-default-source room.monitor
"""

# Every PCM is a PortAudio device: what is played into the null sink "room" is what the microphone hears.
ASOUNDRC = """\
pcm.room_microphone { type pulse device "room.monitor" hint { show on description "room microphone" } }
pcm.room_voice { type pulse device "room" hint { show on description "room voice" } }
pcm.loudspeaker { type pulse device "loudspeaker" hint { show on description "loudspeaker" } }
pcm.hifi_out { type pulse device "hifi" hint { show on description "hifi out" } }
pcm.hifi_in { type pulse device "hifi.monitor" hint { show on description "hifi in" } }
pcm.!default { type pulse }
ctl.!default { type pulse }
"""


class Pulse:
    """The daemon: plug and unplug its devices, speak into them, record them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "native"
        self.env = {
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_RUNTIME_PATH": str(folder),
            "PULSE_SERVER": f"unix:{self.socket}",
            "ALSA_CONFIG_PATH": "/usr/share/alsa/alsa.conf",
        }
        (folder / ".asoundrc").write_text(ASOUNDRC)
        (folder / "setup.pa").write_text(SETUP.format(socket=self.socket))
        self._process: subprocess.Popen[bytes] | None = None
        self._keepers: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        command = [
            "pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disallow-exit",
            "--realtime=no", "--high-priority=no", "--log-level=error", "-F", str(self.folder / "setup.pa"),
        ]  # fmt: skip
        self._process = subprocess.Popen(command, env={**os.environ, **self.env})
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError("pulseaudio ended at once")
            if self.socket.exists() and self.control("info", check=False).returncode == 0:
                for sink in ("room", "loudspeaker", "hifi"):
                    self.keep_awake(sink)
                return
            time.sleep(0.05)
        raise RuntimeError("pulseaudio does not answer")

    def keep_awake(self, sink: str) -> None:
        """An idle null sink renders two seconds ahead, and stalls its first player for as long: keep one listener on it."""
        command = ["parec", "--latency-msec=10", f"--device={sink}.monitor"]
        env = {**os.environ, **self.env}
        heard = self.folder / f"{sink}.{len(self._keepers)}.raw"
        with heard.open("wb") as file:
            self._keepers.append(subprocess.Popen(command, env=env, stdout=file, stderr=subprocess.DEVNULL))
        deadline = time.monotonic() + 10
        while heard.stat().st_size == 0 and time.monotonic() < deadline:
            time.sleep(0.02)

    def stop(self) -> None:
        for keeper in self._keepers:
            keeper.kill()
            keeper.wait()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def control(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """pactl."""
        env = {**os.environ, **self.env}
        return subprocess.run(["pactl", *arguments], env=env, check=check, capture_output=True, text=True, timeout=10)

    def load(self, *module: str) -> str:
        """Load a module; its number."""
        return self.control("load-module", *module).stdout.strip()

    def unplug(self, sink: str) -> None:
        """Take a null sink and its monitor away."""
        for line in self.control("list", "short", "modules").stdout.splitlines():
            number, name, *arguments = line.split("\t")
            if name == "module-null-sink" and f"sink_name={sink} " in " ".join(arguments) + " ":
                self.control("unload-module", number)
                return
        raise LookupError(sink)

    def plug(self, sink: str, *, rate_hz: int = 16_000, channels: int = 1) -> None:
        """Bring a null sink and its monitor (back)."""
        self.load("module-null-sink", f"sink_name={sink}", f"rate={rate_hz}", f"channels={channels}")
        self.keep_awake(sink)

    def play(self, sink: str, wav: Path) -> subprocess.Popen[bytes]:
        """Play a file into a sink, as someone speaking in the room does."""
        return subprocess.Popen(["paplay", f"--device={sink}", str(wav)], env={**os.environ, **self.env})

    def record(self, source: str, wav: Path) -> subprocess.Popen[bytes]:
        """Record a source until terminated."""
        command = ["parecord", f"--device={source}", "--rate=16000", "--channels=1", "--format=s16le",
                   "--latency-msec=20", "--file-format=wav", str(wav)]  # fmt: skip
        return subprocess.Popen(command, env={**os.environ, **self.env})


@pytest.fixture(scope="session")
def pulse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pulse]:
    """The daemon, with PortAudio looking at it."""
    if shutil.which("pulseaudio") is None or shutil.which("pactl") is None:
        pytest.skip("needs PulseAudio: sudo apt install pulseaudio pulseaudio-utils libasound2-plugins")
    import sounddevice

    daemon = Pulse(tmp_path_factory.mktemp("pulse"))
    before = {key: os.environ.get(key) for key in daemon.env}
    os.environ.update(daemon.env)
    try:
        daemon.start()
        sounddevice._terminate()
        sounddevice._initialize()
        yield daemon
    finally:
        sounddevice._terminate()
        sounddevice._initialize()
        daemon.stop()
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
