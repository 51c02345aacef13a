"""The file on the boot partition becomes the configuration, once, whole or not at all; the limits follow the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from voice_needle import config as configuration
from voice_needle import provision

GOOD = """\
hostname: kitchen
time_zone: Europe/Zurich
profile: pi4
plugins: [home, desk]
ssh_key: ssh-ed25519 AAAA me
wifi: {ssid: "Café 5", password: correct horse, country: CH}
config:
  route: {room: kitchen}
  plugins: {home: {broker: "mqtt://192.0.2.7:1883"}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("boot/firmware", "etc", "run", "var", "usr/share/zoneinfo/Europe"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "usr/share/zoneinfo/Europe/Zurich").write_text("TZif")
    return tmp_path


def boot(root: Path, text: str) -> int:
    (root / "boot/firmware/voice-needle.yaml").write_text(text)
    return provision.main(root, lambda: None)


def drop_in(root: Path, name: str) -> str:
    return (root / provision.DROP_INS / name).read_text()


def test_first_boot(root: Path):
    assert boot(root, GOOD) == 0
    loaded = configuration.load(root / "etc/voice-needle/config.yaml")
    assert (loaded.profile, loaded.dispatch.plugins, loaded.route.room) == ("pi4", ["home", "desk"], "kitchen")
    assert (root / "etc/hostname").read_text() == "kitchen\n"
    assert str((root / "etc/localtime").readlink()) == "/usr/share/zoneinfo/Europe/Zurich"
    assert (root / "etc/voice-needle/authorized_keys").read_text() == "ssh-ed25519 AAAA me\n"
    wifi = root / "etc/wpa_supplicant/wpa_supplicant-wlan0.conf"
    assert f"ssid={'Café 5'.encode().hex()}" in wifi.read_text() and 'psk="correct horse"' in wifi.read_text()
    assert wifi.stat().st_mode & 0o777 == 0o600
    assert "MemoryMax=900M" in drop_in(root, "50-profile.conf") and "PROFILE=pi4" in drop_in(root, "50-profile.conf")
    assert drop_in(root, "60-network.conf") == "[Service]\nIPAddressAllow=192.0.2.7\n"


def test_a_key_taken_out_of_the_file_opens_nothing_any_more(root: Path):
    boot(root, GOOD)
    boot(root, GOOD.replace("ssh_key", "#ssh_key"))
    assert not (root / "etc/voice-needle/authorized_keys").exists()


def test_it_is_applied_once_and_again_when_it_changes(root: Path):
    boot(root, GOOD)
    config = root / "etc/voice-needle/config.yaml"
    config.write_text("profile: pi5\n")  # the owner's own change
    assert boot(root, GOOD) == 0
    assert config.read_text() == "profile: pi5\n"
    assert "MemoryMax=1500M" in drop_in(root, "50-profile.conf")
    assert boot(root, GOOD.replace("kitchen", "hall")) == 0
    assert yaml.safe_load(config.read_text())["route"] == {"room": "hall"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("plugin: [home]", "did you mean `plugins`"),
        ("time_zone: Europe/Zürich", "no time zone"),
        ("config: {lisen: {}}", "did you mean `listen`"),
        ("profile: pi6", "no device profile `pi6`"),
        ("wifi: {ssid: x, password: short}", "8 to 63 characters"),
    ],
)
def test_a_mistake_is_told_and_the_old_configuration_stays(root: Path, capsys: pytest.CaptureFixture[str], wrong: str, said: str):
    boot(root, GOOD)
    before = (root / "etc/voice-needle/config.yaml").read_text()
    assert boot(root, wrong + "\n") == 1
    err = capsys.readouterr().err
    assert said in err and "Fix: " in err
    assert "MemoryMax=" in drop_in(root, "50-profile.conf")
    assert (root / "etc/voice-needle/config.yaml").read_text() == before
    assert list((root / "etc/voice-needle").glob("*.new")) == []


def test_without_a_file_nothing_but_the_limits_is_written(root: Path):
    assert provision.main(root, lambda: None) == 0
    assert not (root / "etc/voice-needle").exists()
    assert drop_in(root, "60-network.conf") == "[Service]\n"


def test_the_smallest_board_gets_all_plugins_unless_told(root: Path):
    boot(root, "profile: pi-zero-2w\n")
    config = configuration.load(root / "etc/voice-needle/config.yaml")
    assert config.profile == "pi-zero-2w" and len(config.dispatch.plugins) == 4
    boot(root, "profile: pi-zero-2w\nplugins: [desk]\n")
    assert configuration.load(root / "etc/voice-needle/config.yaml").dispatch.plugins == ["desk"]


def test_hosts_on_this_machine_open_nothing_and_unknown_ones_are_told(root: Path, capsys: pytest.CaptureFixture[str]):
    config = "config: {route: {escalate_url: 'http://198.51.100.3:8000/v1'}, plugins: {home: {broker: 'mqtt://localhost'}, a: {u: ['x://no.invalid/']}}}\n"
    assert boot(root, config) == 1
    assert drop_in(root, "60-network.conf") == "[Service]\nIPAddressAllow=198.51.100.3\n"
    assert "no.invalid" in capsys.readouterr().err


def test_the_machine_id_of_the_first_boot_is_kept(root: Path):
    (root / "proc").mkdir()
    (root / "boot/firmware/a").mkdir()
    (root / "etc/machine-id").write_text("")
    (root / "proc/cmdline").write_text("root=/dev/mmcblk0p2 ro vn.slot=a\n")
    line = root / "boot/firmware/a/cmdline.txt"
    line.write_text("root=/dev/mmcblk0p2 ro vn.slot=a\n")
    (root / "run/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    provision.main(root, lambda: None)
    assert (root / "etc/machine-id").read_text() == "0123456789abcdef0123456789abcdef\n"
    assert line.read_text() == "root=/dev/mmcblk0p2 ro vn.slot=a systemd.machine_id=0123456789abcdef0123456789abcdef\n"
    before = line.read_text()
    provision.main(root, lambda: None)
    assert line.read_text() == before


def test_what_came_over_the_fleets_broker_may_be_reached_after_a_boot(root: Path):
    boot(root, "profile: pi4\nconfig: {fleet: {broker: 'mqtt://192.0.2.1', remote: true}}\n")
    assert "192.0.2.9" not in drop_in(root, "60-network.conf")
    afar = root / "var/lib/voice-needle/fleet/config.yaml"
    afar.parent.mkdir(parents=True)
    afar.write_text("plugins: {home: {broker: 'mqtt://192.0.2.9'}}\nfleet: {broker: 'mqtt://192.0.2.66'}\n")
    assert provision.main(root, lambda: None) == 0
    allowed = drop_in(root, "60-network.conf")
    assert "192.0.2.9" in allowed and "192.0.2.1" in allowed and "192.0.2.66" not in allowed
    afar.write_text("plgins: {}\n")  # which the assistant takes back by itself
    assert provision.main(root, lambda: None) == 1
