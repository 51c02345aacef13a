"""A device takes its configuration only from whom it trusts, only whole, only newer, and can take it back."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from voice_needle import bundle
from voice_needle.cli.bundle import bundle as command
from voice_needle.errors import ConfigError, VoiceNeedleError

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")


class Desk:
    """Where bundles are made, and a device that trusts its key."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.source, self.device = folder, folder / "source", folder / "device"
        (self.source / "tools.d/lamp").mkdir(parents=True)
        self.device.mkdir()
        (self.source / "config.yaml").write_text("profile: pi4\n")
        (self.source / "secrets").write_text("mqtt_password=x\n")
        (self.source / "tools.d/lamp/plugin.yaml").write_text("plugin: lamp\n")
        self.key = self.new_key("key")
        (self.device / "bundle.signers").write_text("bundle " + (folder / "key.pub").read_text())

    def new_key(self, name: str) -> Path:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)], check=True)
        return self.folder / name

    def make(self, serial: int = 1, key: Path | None = None) -> Path:
        out = self.folder / f"{serial}.vnb"
        bundle.make(self.source, key or self.key, out, serial)
        return out

    def files(self) -> dict[str, str]:
        """The device's configuration."""
        paths = [path for path in self.device.rglob("*") if path.is_file() and path.name != "bundle.signers"]
        kept = [path for path in paths if not path.relative_to(self.device).parts[0].startswith("bundle.")]
        return {path.relative_to(self.device).as_posix(): path.read_text() for path in kept}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_bundle_is_applied_and_taken_back(desk: Desk):
    (desk.device / "config.yaml").write_text("profile: pi5\n")
    before = desk.files()
    bundle.apply(desk.make(), desk.device)
    after = desk.files()
    assert after["config.yaml"] == "profile: pi4\n" and after["tools.d/lamp/plugin.yaml"] == "plugin: lamp\n"
    assert (desk.device / "secrets").stat().st_mode & 0o777 == 0o600
    bundle.rollback(desk.device)
    assert desk.files() == before
    with pytest.raises(VoiceNeedleError, match="no bundle to take back"):
        bundle.rollback(desk.device)


def test_an_old_bundle_cannot_come_back(desk: Desk):
    bundle.apply(desk.make(7), desk.device)
    for serial in (7, 6):
        with pytest.raises(ConfigError, match="applied already"):
            bundle.apply(desk.make(serial), desk.device)
    bundle.apply(desk.make(8), desk.device)
    assert bundle.applied(desk.device) == 8


def repacked(file: Path, change: dict[str, bytes | None]) -> Path:
    """The same signature over other content; None: a file that is left out."""
    with tarfile.open(file) as tar:
        content: dict[str, bytes | None] = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}  # type: ignore[union-attr]
    content |= change
    with tarfile.open(file, "w:gz") as tar:
        for name, data in content.items():
            if data is not None:
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    return file


@pytest.mark.parametrize(
    "change",
    [
        {"config.yaml": b"profile: pi5\n"}, {"config.yaml": None}, {"tools.d/more/plugin.yaml": b"plugin: more\n"},
        {"bundle.signers": b"bundle ssh-ed25519 AAAA\n"}, {bundle.SIGNATURE: b""}, {bundle.SUMS: b"# serial 9\n"},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_what_was_not_signed_changes_nothing(desk: Desk, change: dict[str, bytes | None]):
    with pytest.raises(ConfigError):
        bundle.apply(repacked(desk.make(), change), desk.device)
    assert desk.files() == {}


def test_strangers_and_torn_files_are_refused(desk: Desk):
    with pytest.raises(ConfigError, match="not signed by anybody"):
        bundle.apply(desk.make(1, desk.new_key("stranger")), desk.device)
    torn = desk.make(2)
    torn.write_bytes(torn.read_bytes()[:-40])
    with pytest.raises(ConfigError):
        bundle.apply(torn, desk.device)
    good = desk.make(3)
    (desk.device / "bundle.signers").unlink()
    with pytest.raises(ConfigError, match="trusts nobody"):
        bundle.apply(good, desk.device)
    assert desk.files() == {}


@pytest.mark.parametrize("name", ["bundle.signers", "passwd", "update.signers"])
def test_only_configuration_goes_into_a_bundle(desk: Desk, name: str):
    (desk.source / name).write_text("x")
    with pytest.raises(ConfigError, match="does not belong"):
        desk.make()


def test_a_mistake_is_found_on_the_desk(desk: Desk):
    (desk.source / "config.yaml").write_text("listn: {}\n")
    with pytest.raises(ConfigError, match="did you mean `listen`"):
        desk.make()


def test_the_command_line(desk: Desk):
    out = desk.folder / "all.vnb"
    made = CliRunner().invoke(command, ["make", str(desk.source), str(out), "--key", str(desk.key)])
    assert made.exit_code == 0 and "3 files" in made.output
    seen = CliRunner().invoke(command, ["verify", str(out), "--signers", str(desk.device / "bundle.signers")])
    assert seen.exit_code == 0 and "well signed" in seen.output and "secrets" in seen.output
    assert CliRunner().invoke(command, ["apply", str(out), "--to", str(desk.device)]).exit_code == 0
    assert CliRunner().invoke(command, ["rollback", "--to", str(desk.device)]).exit_code == 0
    assert desk.files() == {}
