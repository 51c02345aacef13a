"""The two system slots: only what is signed and whole is written, only into the slot that rests, and it must prove itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SLOTS = Path(__file__).parents[2] / "devices/image/slots"
needs_tools = pytest.mark.skipif(not shutil.which("ssh-keygen") or not shutil.which("zstd"), reason="needs ssh-keygen and zstd")
pytestmark = needs_tools


class Card:
    """A card with its partitions as files, as seen from slot a."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.boot = folder, folder / "boot"
        (self.boot / "a").mkdir(parents=True)
        (self.boot / "a/cmdline.txt").write_text("console=tty0 root=/dev/mmcblk0p2 ro vn.slot=a\n")
        (self.boot / "config.txt").write_text("arm_64bit=1\nos_prefix=a/\nkernel=vmlinuz\n")
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

    def untouched(self) -> bool:
        disks = [(self.folder / name).read_bytes() for name in ("a", "b")]
        rest = not (self.boot / "b").exists() and not (self.boot / "tryboot.txt").exists()
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
    assert (card.boot / "b/cmdline.txt").read_text() == "console=tty0 root=/dev/mmcblk0p3 ro vn.slot=b\n"
    assert "os_prefix=b/" in (card.boot / "tryboot.txt").read_text()
    assert "os_prefix=a/" in (card.boot / "config.txt").read_text()  # not before it has proved itself
    assert (card.folder / "rebooted").exists() and not file.exists()


def test_it_stays_when_the_assistant_listens_and_goes_when_it_does_not(card: Card):
    card.pack()
    card.update()
    assert card.slots("confirm", "0", slot="b", healthy="false").returncode == 1
    assert "os_prefix=a/" in (card.boot / "config.txt").read_text()
    assert card.slots("confirm", "0", slot="b").returncode == 0
    assert "os_prefix=b/" in (card.boot / "config.txt").read_text()
    assert not (card.boot / "tryboot.txt").exists()


def test_an_update_that_does_not_start_is_told_and_not_tried_again(card: Card):
    card.pack()
    card.update()
    done = card.slots("confirm", "0", slot="a")  # the firmware fell back
    assert "did not start" in done.stdout
    assert "os_prefix=a/" in (card.boot / "config.txt").read_text() and not (card.boot / "tryboot.txt").exists()


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
    assert card.slots("confirm", "0").returncode == 0
    assert card.update().returncode == 0 and card.untouched()
