"""Sets a device up at every boot: the file on the boot partition becomes its configuration, the board its limits.

Run as root by voice-needle-setup.service, before the assistant. The file, voice-needle.yaml on the FAT partition, is applied when
its content is new; one with a mistake is reported and changes nothing. The limits go to /run, so they never outlive a change.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from voice_needle import config as configuration
from voice_needle.config import Config
from voice_needle.errors import ConfigError, VoiceNeedleError
from voice_needle.settings_file import option, read_yaml

BOOT_FILES = ("boot/firmware/voice-needle.yaml", "boot/voice-needle.yaml")
STAMP = "var/lib/voice-needle-setup/applied"
STATE = "var/lib/voice-needle"  # of the service, which root has elsewhere
DROP_INS = "run/systemd/system/voice-needle.service.d"


@dataclass(frozen=True)
class WiFi:
    ssid: str = option("", "name of the network")
    password: str = option("", "its key")
    country: str = option("GB", "two letters: which channels may be used")


@dataclass(frozen=True)
class FirstBoot:
    """voice-needle.yaml on the boot partition."""

    hostname: str = option("", "name of the device on its network")
    time_zone: str = option("", "for example Europe/Zurich")
    profile: str = option("auto", "a board of devices/")
    sound_card: str = option("", "a sound card of devices/")
    plugins: list[str] = option([], "enabled plugins; none given: all four that come with it")
    ssh_key: str = option("", "a public key; without one nobody can log in over the network")
    wifi: WiFi = field(default_factory=WiFi)
    config: dict[str, Any] = option({}, "anything else of config.yaml, as it stands there")


def main(root: Path = Path("/"), reload: Callable[[], None] | None = None) -> int:
    """0, or 1 when something was wrong; the assistant is started in any case."""
    problems: list[str] = []
    try:
        keep_machine_id(root)
    except OSError as error:
        problems.append(f"The machine's id could not be kept: {error}\nFix: check the boot partition: fsck -a LABEL=VN-BOOT")
    try:
        boot = next((root / name for name in BOOT_FILES if (root / name).is_file()), None)
        if boot is not None and is_new(boot, root):
            apply(read_yaml(FirstBoot, boot), root)
            _write(root / STAMP, _digest(boot))
            print(f"applied {boot}")
    except VoiceNeedleError as error:
        problems.append(f"{error}\nFix: {error.fix}")
    try:
        config = configuration.load(_config_file(root))
        problems += limit(configuration.with_remote(config, root / STATE), root)
    except VoiceNeedleError as error:
        problems.append(f"{error}\nFix: {error.fix}")
    (reload or _reload)()
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def keep_machine_id(root: Path) -> None:
    """One machine-id(5) for journal and programs: on a read-only root systemd makes up a new one at each boot, and an overlay
    over /etc hides it. It goes into this slot's kernel command line, where systemd finds it before anything else.
    """
    try:
        running = (root / "run/machine-id").read_text(encoding="ascii").strip()
        command = (root / "proc/cmdline").read_text(encoding="utf-8").split()
    except OSError:
        return  # the machine has a permanent one
    permanent = root / "etc/machine-id"
    if not permanent.is_file() or permanent.read_text(encoding="ascii").strip() != running:
        _write(permanent, running + "\n", 0o444)
    slot = next((word.removeprefix("vn.slot=") for word in command if word.startswith("vn.slot=")), "")
    line = root / "boot/firmware" / slot / "cmdline.txt"
    if slot and line.is_file() and "systemd.machine_id=" not in line.read_text(encoding="utf-8"):
        _write(line, f"{line.read_text(encoding='utf-8').strip()} systemd.machine_id={running}\n")


def is_new(boot: Path, root: Path) -> bool:
    try:
        return (root / STAMP).read_text(encoding="ascii") != _digest(boot)
    except OSError:
        return True


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _config_file(root: Path) -> Path | None:
    file = root / "etc/voice-needle/config.yaml"
    return file if file.is_file() else None


# --- the file on the boot partition ---


def apply(wanted: FirstBoot, root: Path) -> None:
    """Errors: ConfigError, before anything is written."""
    text, wifi = config_text(wanted), wifi_text(wanted.wifi) if wanted.wifi.ssid else ""
    staged = root / "etc/voice-needle/config.yaml.new"
    _write(staged, text)
    try:
        configuration.load(staged)
    except ConfigError:
        staged.unlink()
        raise
    zone = root / "usr/share/zoneinfo" / wanted.time_zone
    if wanted.time_zone and not zone.is_file():
        staged.unlink()
        raise ConfigError(f"There is no time zone `{wanted.time_zone}`", fix="timedatectl list-timezones")
    staged.rename(root / "etc/voice-needle/config.yaml")
    if wanted.time_zone:
        link = root / "etc/localtime"
        link.unlink(missing_ok=True)
        link.symlink_to(f"/usr/share/zoneinfo/{wanted.time_zone}")
    if wanted.hostname:
        _write(root / "etc/hostname", wanted.hostname + "\n")  # voice-needle-hostname.service makes it the machine's
    keys = root / "etc/voice-needle/authorized_keys"
    if wanted.ssh_key:
        _write(keys, wanted.ssh_key.strip() + "\n")
    else:
        keys.unlink(missing_ok=True)  # a key that was taken out of the file opens nothing any more
    if wifi:
        _write(root / "etc/wpa_supplicant/wpa_supplicant-wlan0.conf", wifi, 0o600)


def config_text(wanted: FirstBoot) -> str:
    """config.yaml: what the file says under `config`, and over it the profile, card and plugins."""
    chosen: dict[str, Any] = dict(wanted.config)
    chosen["profile"] = configuration.detect_profile() if wanted.profile == "auto" else wanted.profile
    if wanted.sound_card:
        chosen["sound_card"] = wanted.sound_card
    if wanted.plugins:
        chosen["dispatch"] = {**chosen.get("dispatch", {}), "plugins": wanted.plugins}
    return "# made from voice-needle.yaml on the boot partition\n" + yaml.safe_dump(chosen, sort_keys=False)


def wifi_text(wifi: WiFi) -> str:
    """wpa_supplicant.conf(5). The SSID goes in as hex: it may hold any byte. The key as a passphrase, or as 64 hex digits."""
    if not 8 <= len(wifi.password) <= 64 or '"' in wifi.password or "\n" in wifi.password:
        raise ConfigError("`wifi.password` must have 8 to 63 characters, and no quotation mark", fix="edit voice-needle.yaml")
    key = wifi.password if len(wifi.password) == 64 else f'"{wifi.password}"'
    return (
        f"ctrl_interface=DIR=/run/wpa_supplicant\ncountry={wifi.country}\n"
        f"network={{\n\tssid={wifi.ssid.encode().hex()}\n\tpsk={key}\n}}\n"
    )


# --- limits of this boot ---


def limit(config: Config, root: Path) -> list[str]:
    """Write the drop-ins for memory and network; what could not be found out, a sentence each."""
    folder = root / DROP_INS
    _write(
        folder / "50-profile.conf",
        f"[Service]\nEnvironment=VOICE_NEEDLE_PROFILE={config.profile}\nMemoryMax={config.budget.memory_mb}M\n",
    )
    addresses, problems = [], []
    for host in sorted(set(hosts(config))):
        try:
            addresses += sorted({str(entry[4][0]) for entry in socket.getaddrinfo(host, None)})
        except OSError as error:
            problems.append(f"The address of {host} is not known ({error}), so the assistant may not reach it\nFix: use its IP address")
    remote = [each for each in addresses if not ipaddress.ip_address(each.partition("%")[0]).is_loopback]
    _write(folder / "60-network.conf", "[Service]\n" + "".join(f"IPAddressAllow={each}\n" for each in remote))
    return problems


def hosts(config: Config) -> Iterator[str]:
    """Hosts that the configuration itself names in a URL: brokers, databases, the local model server."""
    for text in (config.route.escalate_url, config.fleet.broker, *_texts(config.plugins)):
        if "://" in text:
            host = urlsplit(text).hostname
            if host:
                yield host


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _write(file: Path, text: str, mode: int = 0o644) -> None:
    """All or nothing, on disk when it returns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    part.replace(file)


def _reload() -> None:
    subprocess.run(["systemctl", "daemon-reload"], check=False, timeout=60)


if __name__ == "__main__":
    sys.exit(main())
