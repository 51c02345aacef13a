"""The units under a real systemd: hardened, fed by consumed frames, cut off from every network, back after every death."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from booted import REPOSITORY, Machine, Microphone, Unavailable

FOLDERS = (REPOSITORY / "systemd", REPOSITORY / "devices/image/units")
UNITS = sorted(each for folder in FOLDERS for each in folder.iterdir() if each.suffix in (".service", ".timer", ".target"))
MOST_EXPOSURE = 1.5

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")


@needs_systemd
def test_the_units_say_nothing_that_systemd_does_not_know(tmp_path: Path):
    units = tmp_path / "units"
    units.mkdir()
    for unit in UNITS:  # the programs are not installed on this machine
        text = re.sub(r"(?m)^(ExecStart=)/opt/voice-needle/bin/\w[\w-]*", r"\1/bin/true", unit.read_text())
        (units / unit.name).write_text(text)

    def verify() -> subprocess.CompletedProcess[str]:
        command = ["systemd-analyze", "verify", "--recursive-errors=yes", "--man=no", *map(str, sorted(units.iterdir()))]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    done = verify()
    assert (done.returncode, done.stderr) == (0, "")
    service = units / "voice-needle.service"
    service.write_text(service.read_text().replace("ProtectClock=", "ProtectClok="))
    assert "ProtectClok" in verify().stderr  # this check does find mistakes


@needs_systemd
@pytest.mark.parametrize("unit", [each for each in UNITS if each.suffix == ".service"], ids=lambda each: each.stem)
def test_the_services_are_exposed_little(unit: Path):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert found and float(found[1]) <= MOST_EXPOSURE, done.stdout


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    booted = Machine()
    try:
        booted.start()
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield booted
    booted.stop()


# The same program, its limits and its sandbox; only the sound comes from a pipe, and systemd's patience is shorter.
LISTEN = """\
[Service]
ExecStart=
ExecStart=/opt/voice-needle/bin/voice-needle run --input - --plugin desk
StandardInput=file:/room.fifo
WatchdogSec=4
RestartSec=100ms
"""


@pytest.fixture(scope="module")
def room(machine: Machine) -> Iterator[Microphone]:
    microphone = Microphone(machine.root / "room.fifo")
    machine.write("etc/voice-needle/config.yaml", "speak: {engine: espeak}\ntranscribe: {engine: sphinx}\nlisten: {vad: webrtc}\n")
    machine.drop_in(LISTEN)
    done = machine.run("systemctl", "start", "voice-needle.service", seconds=200)
    assert done.returncode == 0, machine.journal()
    yield microphone
    microphone.close()


def died(machine: Machine) -> int:
    return int(machine.show("NRestarts"))


def listening(machine: Machine) -> bool:
    return machine.show("SubState") == "running" and machine.show("StatusText") == "Listening"


def wait_for_restart(machine: Machine, since: int) -> None:
    try:
        machine.until(lambda: died(machine) > since and listening(machine), 90)
    except TimeoutError:
        pytest.fail(machine.journal())


@pytest.mark.slow
def test_it_is_ready_when_frames_flow_and_stays(machine: Machine, room: Microphone):
    assert listening(machine)
    assert machine.show("User") == "voice-needle"
    before, stamp = died(machine), int(machine.show("WatchdogTimestampMonotonic"))
    machine.until(lambda: int(machine.show("WatchdogTimestampMonotonic")) > stamp + 5_000_000, 30)  # past WatchdogSec
    assert died(machine) == before


@pytest.mark.slow
def test_a_pipeline_without_frames_is_restarted_by_the_watchdog(machine: Machine, room: Microphone):
    before = died(machine)
    room.flowing.clear()  # nothing crashed, the loop turns, only no sound arrives
    machine.until(lambda: "Watchdog timeout" in machine.journal(), 30)
    room.flowing.set()
    wait_for_restart(machine, before)
    assert "Current thread" in machine.journal()  # where it stood, for whoever reads the journal


@pytest.mark.slow
def test_a_frozen_process_is_restarted(machine: Machine, room: Microphone):
    before = died(machine)
    machine.drop_in("[Service]\nTimeoutAbortSec=1\n", name="91-abort.conf")
    machine.run("kill", "-STOP", machine.show("MainPID"))
    wait_for_restart(machine, before)


@pytest.mark.slow
def test_a_killed_process_is_restarted(machine: Machine, room: Microphone):
    before, pid = died(machine), machine.show("MainPID")
    machine.run("kill", "-KILL", pid)
    wait_for_restart(machine, before)
    assert machine.show("MainPID") != pid


PROBE = """\
import json, os, socket
found = {"uid": os.getuid()}
for address in ("127.0.0.1", "10.9.9.1"):
    with socket.socket() as link:
        link.settimeout(2)
        try:
            link.connect((address, 7777))
            found[address] = "connected"
        except OSError as error:
            found[address] = "refused"
for folder in ("/etc", "/usr", "/opt/voice-needle", "/var/lib/voice-needle"):
    try:
        open(folder + "/probe", "w").close()
        found[folder] = "written"
    except OSError as error:
        found[folder] = "refused"
try:
    os.listdir("/root")
    found["/root"] = "seen" if os.listdir("/root") else "empty"
except OSError:
    found["/root"] = "refused"
print("PROBE", json.dumps(found))
"""
LISTENER = "import socket\\nserver = socket.create_server(('0.0.0.0', 7777))\\nwhile True: server.accept()[0].close()"


@pytest.mark.slow
def test_no_network_but_this_machine_and_the_configured_broker(machine: Machine):
    """The unit's own sandbox with a probe in it. The address is reachable from outside of the sandbox."""
    machine.run("systemctl", "stop", "voice-needle.service")
    machine.run("ip", "link", "set", "lo", "up")
    machine.run("ip", "addr", "add", "10.9.9.1/32", "dev", "lo")
    machine.write("opt/voice-needle/probe.py", PROBE)
    machine.run("systemd-run", "/opt/voice-needle/bin/python", "-c", LISTENER.encode().decode("unicode_escape"))
    control = "import socket; socket.create_connection(('10.9.9.1', 7777), 2)"
    machine.until(lambda: machine.run("/opt/voice-needle/bin/python", "-c", control).returncode == 0, 10)

    def probe(more: str = "") -> dict[str, object]:
        machine.drop_in(
            "[Service]\nType=oneshot\nRestart=no\nStandardInput=null\nExecStart=\n"
            f"ExecStart=/opt/voice-needle/bin/python /opt/voice-needle/probe.py\n{more}"
        )
        machine.run("systemctl", "restart", "voice-needle.service", seconds=60)
        lines = [line for line in machine.journal().splitlines() if line.startswith("PROBE")]
        return json.loads(lines[-1].removeprefix("PROBE"))

    found = probe()
    assert found.pop("uid") != 0
    assert found == {
        "127.0.0.1": "connected", "10.9.9.1": "refused", "/etc": "refused", "/usr": "refused",
        "/opt/voice-needle": "refused", "/var/lib/voice-needle": "written", "/root": "refused",
    }  # fmt: skip
    assert probe("IPAddressAllow=10.9.9.1\n")["10.9.9.1"] == "connected"




@pytest.mark.slow
def test_the_file_on_the_boot_partition_sets_the_limits_before_the_assistant_starts(machine: Machine):
    machine.write("boot/firmware/voice-needle.yaml", "profile: pi4\nconfig: {plugins: {home: {broker: 'mqtt://192.0.2.7'}}}\n")
    try:
        done = machine.run("systemctl", "restart", "voice-needle-setup.service", seconds=60)
        assert done.returncode == 0, machine.journal("voice-needle-setup.service")
        assert machine.show("MemoryMax") == str(900 << 20)
        assert "192.0.2.7" in machine.show("IPAddressAllow") and "any" not in machine.show("IPAddressAllow")
        assert "VOICE_NEEDLE_PROFILE=pi4" in machine.show("Environment")
        machine.write("boot/firmware/voice-needle.yaml", "profil: pi5\n")
        machine.run("systemctl", "restart", "voice-needle-setup.service", seconds=60)
        assert "did you mean `profile`" in machine.journal("voice-needle-setup.service")
        assert machine.show("MemoryMax") == str(900 << 20)  # the last good one
    finally:
        (machine.root / "boot/firmware/voice-needle.yaml").unlink()


@pytest.mark.slow
def test_the_name_of_the_boot_file_is_the_machines_name_at_every_boot(machine: Machine):
    """Also where systemd, which looks for a name first of all, saw another file: on the card /etc is mounted later."""
    assert "voice-needle-hostname.service" in machine.show("Wants", "voice-needle-setup.service")
    before = machine.run("hostname").stdout.strip()
    machine.write("boot/firmware/voice-needle.yaml", "hostname: pantry\n")

    def name() -> str:
        return machine.run("hostname").stdout.strip()

    def boot() -> str:
        # Both, as a boot starts them, which has counted no starts yet: one that has run is not always started with what wants it.
        both = ("voice-needle-setup.service", "voice-needle-hostname.service")
        machine.run("systemctl", "reset-failed", *both)
        machine.run("systemctl", "restart", *both, seconds=60)
        with contextlib.suppress(TimeoutError):
            machine.until(lambda: name() == "pantry", 30)
        return name()

    try:
        assert before != "pantry" and boot() == "pantry", machine.journal("voice-needle-hostname.service")
        machine.run("hostname", "voice-needle")
        assert boot() == "pantry"  # the file is not new any more
    finally:
        (machine.root / "boot/firmware/voice-needle.yaml").unlink()
        machine.run("hostname", before)
