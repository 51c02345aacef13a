"""Examines this device: each finding is ok, warn or fail, in one sentence, with the fix to type.

Nothing is repaired and nothing is played unless asked (`sound=True`). `root` and `run` stand between the checks and the machine,
so that a hot board or an absent tool can be shown to them.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from voice_needle import models, remote_config
from voice_needle.budget import check_budget
from voice_needle.clock import Clock, RealClock
from voice_needle.config import Config
from voice_needle.errors import ModelMissing, VoiceNeedleError

OK, WARN, FAIL = "ok", "warn", "fail"
LITTLE_MB, ENOUGH_MB = 64, 300  # free storage: below, fail; below, warn
HOT_C, TOO_HOT_C = 75.0, 82.0  # a Raspberry Pi slows itself down from 80 °C on
BUILT = datetime(2025, 1, 1, tzinfo=UTC)  # no clock that is right shows a time before this
THROTTLED = {0: "the voltage is too low", 1: "the clock is capped", 2: "it is slowed down now", 3: "it is at its soft heat limit"}


@dataclass(frozen=True)
class Finding:
    """One line. state: ok, warn or fail; fix: what to type, empty where all is well."""

    check: str
    state: str
    what: str
    fix: str = ""


@dataclass
class Patient:
    """What is examined, and how the checks reach it."""

    config: Config
    root: Path = Path("/")
    clock: Clock = field(default_factory=RealClock)
    run: Callable[[list[str]], str] = lambda words: subprocess.run(
        words, capture_output=True, text=True, check=True, timeout=10
    ).stdout

    def read(self, path: str) -> str | None:
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace").strip("\0\n ")
        except OSError:
            return None


Check = Callable[[Patient], Iterator[Finding]]


def examine(patient: Patient, more: Mapping[str, Check] | None = None) -> list[Finding]:
    """All findings, in the order of the path of sound. A check that breaks is a finding, not the end."""
    found: list[Finding] = []
    for name, check in {**CHECKS, **(more or {})}.items():
        try:
            found += check(patient)
        except VoiceNeedleError as error:
            found.append(Finding(name, FAIL, str(error), error.fix))
        except Exception as error:
            found.append(Finding(name, FAIL, f"could not be examined: {type(error).__name__}: {error}", "report this line"))
    return found


def spoken(found: list[Finding]) -> str:
    """The same for the ear: what is wrong first, no list of what is well."""
    bad = [each for each in found if each.state == FAIL]
    doubtful = [each for each in found if each.state == WARN]
    if not bad and not doubtful:
        return "I am well. Everything that I need is there."
    parts = [f"{_count(bad, 'problem')}: {_named(bad)}."] if bad else []
    parts += [f"{_count(doubtful, 'warning')}: {_named(doubtful)}."] if doubtful else []
    return " ".join(["I found", *parts]).replace(". ", ", and ", max(0, len(parts) - 1))


def _count(found: list[Finding], word: str) -> str:
    return f"{len(found)} {word}{'' if len(found) == 1 else 's'}"


def _named(found: list[Finding]) -> str:
    return ", ".join(dict.fromkeys(each.check for each in found))


# --- sound ---


def sound_devices(patient: Patient) -> Iterator[Finding]:
    from voice_needle.assembly import device_name
    from voice_needle.sound_devices import Direction, find_device

    wanted: list[tuple[str, Direction, str]] = [
        ("microphone", "input", patient.config.listen.device),
        ("speaker", "output", patient.config.speak.device),
    ]
    for name, direction, device in wanted:
        try:
            found = find_device(device_name(device), direction)
            yield Finding(name, OK, f"{found.name}, {found.channels(direction)} channels, {found.rate_hz} Hz")
        except VoiceNeedleError as error:
            yield Finding(name, FAIL, str(error), error.fix)


# --- the machine ---


def clock(patient: Patient) -> Iterator[Finding]:
    now = patient.clock.now()
    if now < BUILT:
        yield Finding("clock", FAIL, f"it shows {now:%Y-%m-%d %H:%M}, which cannot be", "sudo date -s 'YYYY-MM-DD HH:MM'")
    elif (patient.root / "run/systemd/timesync/synchronized").exists() or (patient.root / "sys/class/rtc/rtc0").exists():
        yield Finding("clock", OK, f"{now:%Y-%m-%d %H:%M %Z}")
    else:
        yield Finding(
            "clock", WARN, f"{now:%Y-%m-%d %H:%M %Z}, with neither a clock chip nor a time server: after a power cut alarms ring late",
            "fit a clock chip (dtoverlay=i2c-rtc), or: timedatectl set-ntp true",
        )  # fmt: skip


def storage(patient: Patient) -> Iterator[Finding]:
    folder = patient.config.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as probe:
            probe.write(bytes(4096))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        yield Finding("storage", FAIL, f"{folder} cannot be written: {error.strerror}", f"df -h {folder}; ls -ld {folder}")
        return
    free = shutil.disk_usage(folder).free // models.MB
    state = FAIL if free < LITTLE_MB else WARN if free < ENOUGH_MB else OK
    yield Finding("storage", state, f"{free} MB free in {folder}", "" if state == OK else "df -h; voice-needle models remove NAME")
    yield from _ledger(folder / "ledger.db")


def _ledger(file: Path) -> Iterator[Finding]:
    if not file.exists():
        yield Finding("ledger", OK, "not begun yet")
        return
    try:
        with sqlite3.connect(f"file:{file}?mode=rw", uri=True, timeout=5.0) as db:
            verdict = db.execute("pragma quick_check").fetchone()[0]
            count = db.execute("select count(*) from calls").fetchone()[0]
            db.execute("begin immediate")
            db.rollback()
    except sqlite3.Error as error:
        yield Finding("ledger", FAIL, f"{file}: {error}", f"ls -l {file}; at its next start a damaged one is set aside")
        return
    finally_ok = verdict == "ok"
    yield Finding(
        "ledger", OK if finally_ok else FAIL, f"{count} calls in {file}" if finally_ok else f"{file}: {verdict}",
        "" if finally_ok else f"mv {file} {file}.damaged",
    )  # fmt: skip


def heat(patient: Patient) -> Iterator[Finding]:
    readings = [patient.read(f"sys/class/thermal/{zone.name}/temp") for zone in (patient.root / "sys/class/thermal").glob("thermal_zone*")]
    degrees = [int(text) / 1000 for text in readings if text and text.lstrip("-").isdigit()]
    if degrees:
        top = max(degrees)
        state = FAIL if top >= TOO_HOT_C else WARN if top >= HOT_C else OK
        yield Finding("temperature", state, f"{top:.0f} °C", "" if state == OK else "give it air, or a heat sink")
    bits = _throttled(patient)
    if bits is not None:
        now = [text for bit, text in THROTTLED.items() if bits >> bit & 1]
        past = [text for bit, text in THROTTLED.items() if bits >> (bit + 16) & 1]
        if now:
            yield Finding("power", FAIL, "; ".join(now), "use the board's own power supply, and give it air")
        elif past:
            yield Finding("power", WARN, f"since it was switched on: {'; '.join(past)}", "use the board's own power supply")
        else:
            yield Finding("power", OK, "steady, never slowed down")


def _throttled(patient: Patient) -> int | None:
    text = patient.read("sys/devices/platform/soc/soc:firmware/get_throttled")
    if text is None:
        try:
            text = patient.run(["vcgencmd", "get_throttled"]).partition("=")[2]
        except (OSError, subprocess.SubprocessError):
            return None
    try:
        return int(text.strip(), 16)
    except ValueError:
        return None


def memory(patient: Patient) -> Iterator[Finding]:
    needed = check_budget(patient.config, len(patient.config.dispatch.plugins))
    lines = dict(line.split(":", 1) for line in (patient.read("proc/meminfo") or "").splitlines() if ":" in line)
    free = int(lines.get("MemAvailable", "0 kB").split()[0]) // 1024
    allowed, profile = patient.config.budget.memory_mb, patient.config.profile
    if lines and free < needed and not _running(patient):
        yield Finding("memory", WARN, f"about {needed} MB are needed and {free} MB are free", "end other programs: ps --sort -rss -e -o rss,comm | head")
    else:
        yield Finding("memory", OK, f"about {needed} of the {allowed} MB of the profile {profile}; {free} MB are free")


def _running(patient: Patient) -> bool:
    try:
        return patient.run(["systemctl", "is-active", "voice-needle.service"]).strip() == "active"
    except (OSError, subprocess.SubprocessError):
        return False


# --- parts ---


def installed_models(patient: Patient) -> Iterator[Finding]:
    folder = patient.config.data_dir / "models"
    names = models.installed(folder)
    for name in names:
        wrong = models.verify(name, folder)
        yield Finding("models", FAIL if wrong else OK, "; ".join(wrong) or f"{name} is whole", f"voice-needle models pull {name}" if wrong else "")
    if not names:
        yield Finding("models", OK, "none installed; the embedded recogniser, router and voice need none")


def recogniser(patient: Patient) -> Iterator[Finding]:
    from voice_needle.assembly import make_recogniser

    made = make_recogniser(patient.config)
    made.close()
    yield Finding("recogniser", OK, made.name)


def router(patient: Patient) -> Iterator[Finding]:
    from voice_needle.assembly import make_router
    from voice_needle.route.stitch.encoder.network import weights_folder

    name = patient.config.route.router
    if name == "auto":
        try:
            weights_folder()
        except ModelMissing as error:
            yield Finding("router", WARN, f"templates only: {error}", error.fix)
            return
        name = "stitch"
    make_router(patient.config, name)
    yield Finding("router", OK, f"{name} can be loaded")


def voice(patient: Patient) -> Iterator[Finding]:
    from voice_needle.assembly import make_voice

    made = make_voice(patient.config)
    for program in {"espeak": ["espeak-ng"], "flite": ["flite"]}.get(made.name, []):
        if shutil.which(program) is None:
            yield Finding("voice", FAIL, f"{program} is not installed", f"sudo apt install {program}")
            return
    yield Finding("voice", OK, made.name)


def plugins(patient: Patient) -> Iterator[Finding]:
    from voice_needle.assembly import open_registry

    registry = open_registry(patient.config)
    for problem in registry.problems:
        yield Finding("plugins", FAIL, str(problem), "voice-needle tools check")
    yield Finding("plugins", OK, f"{', '.join(registry.plugins) or 'none'}: {len(registry.offered())} tools")


def broker(patient: Patient) -> Iterator[Finding]:
    """The MQTT broker of `home`, asked for a session as the plugin does. One that nobody configured may be absent."""
    if "home" not in patient.config.dispatch.plugins:
        return
    settings: Mapping[str, Any] = patient.config.plugins.get("home", {})
    if settings.get("home_assistant"):
        yield from _reachable("home assistant", str(settings["home_assistant"]), 8123)
        return
    url = str(settings.get("broker", "mqtt://localhost:1883"))
    for found in _reachable("broker", url, 8883 if url.startswith("mqtts") else 1883):
        chosen = "broker" in settings
        yield found if found.state == OK or chosen else Finding("broker", WARN, f"{found.what}: the plugin home has nobody to talk to", found.fix)


def _reachable(name: str, url: str, port: int) -> Iterator[Finding]:
    host, port = urlsplit(url).hostname or "localhost", urlsplit(url).port or port
    try:
        with socket.create_connection((host, port), timeout=3.0):
            yield Finding(name, OK, f"{host}:{port} answers")
    except OSError as error:
        here = host in ("localhost", "127.0.0.1", "::1")
        yield Finding(name, FAIL, f"{host}:{port} does not answer ({error})", "sudo systemctl start mosquitto" if here else f"ping {host}")


def fleet(patient: Patient) -> Iterator[Finding]:
    """The fleet's broker, asked for a session as the device would: certificates on both sides, name and password."""
    settings = patient.config.fleet
    if not settings.broker:
        return
    from voice_needle.doctor_fleet import examine as asked

    yield asked(settings)
    remote = remote_config.of(patient.config)
    if remote is None:
        return
    state = remote.state
    if state.state == "rolled back":
        yield Finding("fleet", WARN, f"configuration {state.serial} was rolled back: {state.why}", "voice-needle bundle send, with it corrected")
    elif state.refused:
        yield Finding("fleet", WARN, f"a configuration was refused: {state.refused}", "voice-needle bundle make; voice-needle bundle send")
    elif state.serial:
        yield Finding("fleet", OK, f"configuration {state.serial} is {state.state}")


def version(patient: Patient) -> Iterator[Finding]:
    from voice_needle import __version__

    engines = []
    for package in ("onnxruntime", "pocketsphinx", "faster-whisper", "piper-tts"):
        try:
            engines.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    yield Finding("version", OK, f"voice_needle {__version__} with {', '.join(engines)}; profile {patient.config.profile}")


def update(patient: Patient) -> Iterator[Finding]:
    """The last update of the card image, as devices/image/slots left it on the boot partition (which only root may read)."""
    failed, tried = patient.read("boot/firmware/failed.txt"), patient.read("boot/firmware/tried.txt")
    if failed:
        what = f"{failed.partition(' ')[2]} did not start, so the system before it goes on"
        yield Finding("update", WARN, what, "journalctl -u voice-needle-confirm; then: sudo rm /boot/firmware/failed.txt")
    elif tried:
        yield Finding("update", OK, f"{tried.partition(' ')[2]} is on trial")


CHECKS: dict[str, Check] = {
    "version": version,
    "update": update,
    "microphone": sound_devices,
    "recogniser": recogniser,
    "router": router,
    "voice": voice,
    "models": installed_models,
    "plugins": plugins,
    "broker": broker,
    "fleet": fleet,
    "clock": clock,
    "storage": storage,
    "memory": memory,
    "temperature": heat,
}
