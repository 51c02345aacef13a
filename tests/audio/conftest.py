"""PortAudio on a real PulseAudio daemon, for every test of this folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from pulse_daemon import ASOUNDRC, USB_SINKS, Pulse


@pytest.fixture(scope="session")
def pulse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pulse]:
    """The daemon, with PortAudio looking at it."""
    if shutil.which("pulseaudio") is None or shutil.which("pactl") is None:
        pytest.skip("needs PulseAudio: sudo apt install pulseaudio pulseaudio-utils libasound2-plugins")
    import sounddevice

    daemon, second = Pulse(tmp_path_factory.mktemp("pulse")), Pulse(tmp_path_factory.mktemp("usb"), USB_SINKS)
    (daemon.folder / ".asoundrc").write_text(ASOUNDRC.replace("%USB%", str(second.socket)))
    daemon.usb = second
    before = {key: os.environ.get(key) for key in daemon.env}
    os.environ.update(daemon.env)
    try:
        daemon.start()
        daemon.control("set-default-sink", "loudspeaker")
        daemon.control("set-default-source", "room.monitor")
        second.start()
        sounddevice._terminate()
        sounddevice._initialize()
        yield daemon
    finally:
        sounddevice._terminate()
        sounddevice._initialize()
        daemon.stop()
        second.stop()
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
