"""A real PulseAudio daemon with null sinks: sound devices for machines that have none."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

SINKS = {"room": (16_000, 1), "loudspeaker": (16_000, 1), "hifi": (48_000, 2)}  # name -> rate in Hz, channels
USB_SINKS = {"usb": (16_000, 1)}  # the only one of its daemon: unplugged, its streams have nowhere to move to

# Every PCM is a PortAudio device: what is played into the null sink "room" is what the microphone hears.
ASOUNDRC = """\
pcm.room_microphone { type pulse device "room.monitor" hint { show on description "room microphone" } }
pcm.room_voice { type pulse device "room" hint { show on description "room voice" } }
pcm.loudspeaker { type pulse device "loudspeaker" hint { show on description "loudspeaker" } }
pcm.hifi_out { type pulse device "hifi" hint { show on description "hifi out" } }
pcm.hifi_in { type pulse device "hifi.monitor" hint { show on description "hifi in" } }
pcm.usb_microphone { type pulse server "unix:%USB%" device "usb.monitor" hint { show on description "usb microphone" } }
pcm.usb_speaker { type pulse server "unix:%USB%" device "usb" hint { show on description "usb speaker" } }
pcm.!default { type pulse }
ctl.!default { type pulse }
"""


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for what a device's thread, or another process, brings about."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.01)


def real_time() -> list[str]:
    """What a command is preceded by to be served before all others, where that is allowed: sound does not wait."""
    command = ["chrt", "--rr", "10"]
    allowed = (
        shutil.which("chrt") is not None
        and not subprocess.run([*command, "true"], check=False, capture_output=True).returncode
    )
    return command if allowed else []


class Pulse:
    """A daemon: plug and unplug its devices, speak into them, record them."""

    def __init__(self, folder: Path, sinks: Mapping[str, tuple[int, int]] = SINKS) -> None:
        self.folder, self.sinks = folder, sinks
        self.socket = folder / "native"
        self.env = {
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_RUNTIME_PATH": str(folder),
            "PULSE_SERVER": f"unix:{self.socket}",
            "ALSA_CONFIG_PATH": "/usr/share/alsa/alsa.conf",
        }
        lines = [f"load-module module-native-protocol-unix auth-anonymous=1 socket={self.socket}"]
        lines += [
            f"load-module module-null-sink sink_name={name} rate={rate_hz} channels={channels}"
            for name, (rate_hz, channels) in sinks.items()
        ]
        (folder / "setup.pa").write_text("\n".join(lines) + "\n")
        self.usb: Pulse | None = None  # the second daemon: a device that can be unplugged
        self._process: subprocess.Popen[bytes] | None = None
        self._keepers: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        command = [
            "pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disallow-exit",
            "--realtime=no", "--high-priority=no", "--log-level=error", "-F", str(self.folder / "setup.pa"),
        ]  # fmt: skip
        self._process = subprocess.Popen([*real_time(), *command], env={**os.environ, **self.env})
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError("pulseaudio ended at once")
            if self.socket.exists() and self.control("info", check=False).returncode == 0:
                for sink in self.sinks:
                    self.keep_awake(sink)
                return
            time.sleep(0.05)
        raise RuntimeError("pulseaudio does not answer")

    def keep_awake(self, sink: str) -> None:
        """An idle null sink renders two seconds ahead, and stalls its first player for as long: keep one listener and a silent player on it."""
        command = ["parec", "--latency-msec=10", f"--device={sink}.monitor"]
        env = {**os.environ, **self.env}
        heard = self.folder / f"{sink}.{len(self._keepers)}.raw"
        with heard.open("wb") as file:
            self._keepers.append(subprocess.Popen(command, env=env, stdout=file, stderr=subprocess.DEVNULL))
        silence = ["pacat", "--latency-msec=10", f"--device={sink}", "/dev/zero"]
        self._keepers.append(subprocess.Popen(silence, env=env, stderr=subprocess.DEVNULL))
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

    def plug(self, sink: str) -> None:
        """Bring a null sink and its monitor back."""
        rate_hz, channels = self.sinks[sink]
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
