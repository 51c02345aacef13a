"""The two system slots: only what is signed and whole is written, only into the slot that rests, and it must prove itself.

The boot loader's part is played by the boot loader itself, U-Boot under emulation; `make boot-test` does all of it in one machine.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

IMAGE = Path(__file__).parents[2] / "devices/image"
SLOTS = IMAGE / "slots"
needs_tools = pytest.mark.skipif(not shutil.which("ssh-keygen") or not shutil.which("zstd"), reason="needs ssh-keygen and zstd")
pytestmark = needs_tools


class Card:
    """A card with its partitions as files, as seen from slot a."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.boot = folder, folder / "boot"
        (self.boot / "a").mkdir(parents=True)
        (self.boot / "a/cmdline.txt").write_text("bootargs=root=PARTUUID=12ab02cd-02 ro vn.slot=a systemd.machine_id=7\n")
        (self.boot / "slot.env").write_text("slot=a\n")
        for name in ("a", "b"):
            (folder / name).write_bytes(bytes(4_000_000))
        self.key = self.new_key("key")
        (folder / "signers").write_text(f"update {(folder / 'key.pub').read_text()}")
        self.image = b"new system" * 100_000
        (folder / "slot.ext4").write_bytes(self.image)
        (folder / "newboot").mkdir()
        (folder / "newboot/vmlinuz").write_text("new kernel")
        (folder / "update").mkdir()

    def new_key(self, name: str) -> Path:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)], check=True)
        return self.folder / name

    def pack(self, key: Path | None = None) -> Path:
        out = self.folder / "update/1.vnu"
        words = [key or self.key, self.folder / "slot.ext4", self.folder / "newboot", out]
        subprocess.run([str(SLOTS), "pack", *map(str, words)], check=True)
        return out

    def slots(self, *words: str, slot: str = "a", healthy: str = "true") -> subprocess.CompletedProcess[str]:
        env = {
            **os.environ, "BOOT": str(self.boot), "DISK_A": str(self.folder / "a"), "DISK_B": str(self.folder / "b"), "SLOT": slot,
            "SIGNERS": str(self.folder / "signers"), "TMPDIR": str(self.folder), "HEALTHY": healthy,
            "REBOOT": f"touch {self.folder / 'rebooted'}",
        }  # fmt: skip
        return subprocess.run([str(SLOTS), *words], env=env, capture_output=True, text=True, check=False)

    def update(self) -> subprocess.CompletedProcess[str]:
        return self.slots("update", str(self.folder / "update"))

    def says(self) -> dict[str, str]:
        """The small files on the boot partition: what the boot loader and `slots` tell each other."""
        return {each.name: each.read_text() for each in self.boot.iterdir() if each.is_file()}

    def untouched(self) -> bool:
        disks = [(self.folder / name).read_bytes() for name in ("a", "b")]
        rest = not (self.boot / "b").exists() and self.says() == {"slot.env": "slot=a\n"}
        return disks == [bytes(4_000_000)] * 2 and rest and not (self.folder / "rebooted").exists()


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return Card(tmp_path)


def test_an_update_goes_into_the_resting_slot_and_is_tried_once(card: Card):
    file = card.pack()
    done = card.update()
    assert done.returncode == 0, done.stderr
    assert (card.folder / "b").read_bytes().startswith(card.image)
    assert (card.folder / "a").read_bytes() == bytes(4_000_000)
    assert (card.boot / "b/vmlinuz").read_text() == "new kernel"
    cmdline = (card.boot / "b/cmdline.txt").read_text()
    assert cmdline == "bootargs=root=PARTUUID=12ab02cd-03 ro vn.slot=b systemd.machine_id=7\n"
    assert card.says() == {"slot.env": "slot=a\n", "try.env": "try=b\n", "tried.txt": "b 1.vnu\n"}  # a until b has proved itself
    assert (card.folder / "rebooted").exists() and not file.exists()


def test_it_stays_when_the_assistant_listens(card: Card):
    card.pack()
    card.update()
    (card.boot / "try.env").unlink()  # by the boot loader
    assert card.slots("confirm", "1", "9", slot="b").returncode == 0
    assert card.says() == {"slot.env": "slot=b\n"}


def test_it_goes_back_by_itself_when_the_assistant_does_not_listen(card: Card):
    card.pack()
    card.update()
    (card.boot / "try.env").unlink()
    (card.folder / "rebooted").unlink()
    done = card.slots("confirm", "1", "1", slot="b", healthy="false")
    assert done.returncode == 1 and "back to the other slot" in done.stdout
    assert (card.folder / "rebooted").exists() and card.says()["slot.env"] == "slot=a\n"


def test_an_update_that_does_not_start_is_told_and_not_tried_again(card: Card):
    card.pack()
    card.update()
    done = card.slots("confirm", slot="a")  # the boot loader is back at the old one
    assert done.stdout == "the update 1.vnu did not start; slot a goes on\n"
    assert card.says() == {"slot.env": "slot=a\n", "failed.txt": "b 1.vnu\n"}


@pytest.mark.parametrize("fault", ["flipped", "cut", "unsigned", "stranger", "no signers"])
def test_what_is_not_signed_and_whole_is_not_written(card: Card, fault: str):
    file = card.pack(card.new_key("other") if fault == "stranger" else None)
    data = bytearray(file.read_bytes())
    if fault == "flipped":
        data[data.find(b"\x28\xb5\x2f\xfd") + 40] ^= 1  # inside the compressed system
    if fault == "cut":
        data = data[: len(data) // 2]
    if fault == "unsigned":
        data = data.replace(b"-----BEGIN SSH SIGNATURE", b"-----BEGIN SSH SIGNATURA")
    if fault == "no signers":
        (card.folder / "signers").write_text("")
    file.write_bytes(data)
    done = card.update()
    assert done.returncode == 1 and "slots: " in done.stderr
    assert card.untouched()


def test_without_an_update_nothing_happens(card: Card):
    assert card.slots("confirm").returncode == 0
    assert card.update().returncode == 0 and card.untouched()


def test_a_second_part_of_the_same_name_is_not_written(card: Card):
    """What is checked must be what is written: an archive may hold two files of one name."""
    file = card.pack()
    (card.folder / "slot.ext4.zst").write_bytes(b"another system")
    subprocess.run(["tar", "-C", str(card.folder), "-rf", str(file), "slot.ext4.zst"], check=True)
    assert "is damaged" in card.update().stderr and card.untouched()


UBOOT = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")


class Loader:
    """U-Boot with the card's script and a boot partition whose kernels it can read but not start."""

    def __init__(self, folder: Path) -> None:
        self.disk = folder / "disk.img"
        table = bytearray(512)  # one bootable FAT partition from 1 MB on
        table[446:462] = struct.pack("<B3sB3sII", 0x80, b"", 0x0C, b"", 2048, 65536)
        table[510:] = b"\x55\xaa"
        self.disk.write_bytes(bytes(table) + bytes((33 << 20) - 512))
        self.boot = f"{self.disk}@@1M"
        subprocess.run(["mformat", "-i", self.boot, "-T", "65536", "::"], check=True)
        script = folder / "boot.scr"
        words = ["mkimage", "-A", "arm64", "-T", "script", "-C", "none", "-d", str(IMAGE / "boot.cmd"), str(script)]
        subprocess.run(words, check=True, capture_output=True)
        subprocess.run(["mcopy", "-i", self.boot, str(script), "::"], check=True)
        for slot in "ab":
            subprocess.run(["mmd", "-i", self.boot, f"::{slot}"], check=True)
            for name in ("vmlinuz", "initrd.img", "cmdline.txt"):
                self.write(f"{slot}/{name}", f"bootargs=root=1 vn.slot={slot}\n")

    def write(self, name: str, text: str) -> None:
        subprocess.run(["mcopy", "-o", "-i", self.boot, "-", f"::{name}"], input=text, text=True, check=True)

    def has(self, name: str) -> bool:
        return subprocess.run(["mdir", "-b", "-i", self.boot, f"::{name}"], capture_output=True, check=False).returncode == 0

    def start(self) -> list[str]:
        """The slots in the order in which it tried to start them."""
        words = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53", "-m", "512", "-nographic", "-nic", "none"]
        drive = f"file={self.disk},format=raw,if=virtio"
        machine = subprocess.Popen(
            [*words, "-bios", str(UBOOT), "-drive", drive], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace"
        )
        assert machine.stdout is not None
        tried = []
        for line in machine.stdout:
            if line.startswith("vn: slot "):
                tried.append(line.split()[-1])
            if line.startswith("vn: neither"):
                break
        machine.kill()
        machine.wait()
        machine.stdout.close()
        return tried


@pytest.mark.slow
@pytest.mark.skipif(
    not UBOOT.exists() or not all(map(shutil.which, ("qemu-system-aarch64", "mkimage", "mcopy"))),
    reason="needs qemu-system-arm, u-boot-qemu, u-boot-tools, mtools",
)
def test_the_boot_loader_tries_a_new_slot_once_and_starts_the_other_one_when_it_cannot(tmp_path: Path):
    loader = Loader(tmp_path)
    assert loader.start() == ["a", "b"]  # no word from anybody, and nothing starts
    loader.write("slot.env", "slot=b\n")
    assert loader.start() == ["b", "a"]
    loader.write("try.env", "try=a\n")
    assert loader.start()[:2] == ["a", "b"] and not loader.has("try.env")
    assert loader.start() == ["b", "a"]  # once only
