"""One signed configuration for many devices: made on a desk, checked and applied on each device, taken back in one step.

A bundle is a tar of FILES below /etc/voice-needle, with SHA256SUMS (whose first line is the serial number) and its signature by
an ssh key (ssh-keygen -Y sign, OpenSSH's sshsig). Devices trust the keys in bundle.signers, each line `bundle KEYTYPE KEY`, which a
bundle cannot change. A serial number that is not higher than the last one is refused, so that an old bundle cannot come back.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from voice_needle import config as configuration
from voice_needle.errors import ConfigError, EngineMissing, VoiceNeedleError

SUMS, SIGNATURE = "SHA256SUMS", "SHA256SUMS.sig"
NAMESPACE, IDENTITY = "voice-needle-bundle", "bundle"
TOP = ("config.yaml", "secrets", "tools.d", "devices.d")
LARGEST_BYTES = 64 << 20
PREVIOUS = "bundle.previous"  # folder beside what it replaced: the files as they were, and which there were not
STATE = "bundle.json"


@dataclass(frozen=True)
class Bundle:
    """What was signed. files: path below /etc/voice-needle -> content."""

    serial: int
    files: Mapping[str, bytes]


def make(folder: Path, key: Path, out: Path, serial: int | None = None) -> Bundle:
    """Sign the configuration in `folder`. serial: seconds since 1970 where none is given.

    Errors: ConfigError for a mistake in it, for a file that does not belong there, or a key that cannot sign.
    """
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    check(files, str(folder))
    bundle = Bundle(int(time.time()) if serial is None else serial, files)
    with tempfile.TemporaryDirectory() as scratch:
        sums = Path(scratch) / SUMS
        sums.write_text(_sums(bundle), encoding="utf-8")
        _ssh_keygen(["-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(sums)], f"{key} cannot sign", "ssh-keygen -t ed25519 -f KEY")
        signature = Path(f"{sums}.sig").read_bytes()
    with tarfile.open(out, "w:gz") as tar:
        for name, data in {SUMS: _sums(bundle).encode(), SIGNATURE: signature, **files}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, fileobj=_stream(data))
    return bundle


def _stream(data: bytes) -> tempfile.SpooledTemporaryFile[bytes]:
    stream = tempfile.SpooledTemporaryFile(LARGEST_BYTES)  # noqa: SIM115 (tarfile reads it at once)
    stream.write(data)
    stream.seek(0)
    return stream


def _sums(bundle: Bundle) -> str:
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in sorted(bundle.files.items())]
    return "\n".join([f"# serial {bundle.serial}", *lines, ""])


def read(file: Path, signers: Path) -> Bundle:
    """The checked content of a bundle. Nothing of it is believed before the signature is.

    Errors: ConfigError when it is damaged, not signed, or signed by a stranger.
    """
    try:
        with tarfile.open(file, "r:gz") as tar:
            found = {m.name: _read(tar, m, file) for m in tar.getmembers()}
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ConfigError(f"{file} is not a bundle, or damaged: {error}", fix="copy it again, or: voice-needle bundle make") from error
    sums, signature = found.pop(SUMS, b""), found.pop(SIGNATURE, b"")
    _verify(sums, signature, signers, file)
    head, _, _ = sums.decode("utf-8", "replace").partition("\n")
    serial = head.removeprefix("# serial ")
    bundle = Bundle(int(serial) if serial.isdigit() else -1, found)
    if _sums(bundle).encode() != sums:
        raise ConfigError(f"{file} holds other files than those that were signed", fix="voice-needle bundle make")
    return bundle


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo, file: Path) -> bytes:
    stream = tar.extractfile(member) if member.isfile() and member.size <= LARGEST_BYTES else None
    if stream is None:
        raise ConfigError(f"{file} holds {member.name}, which is not a plain file of at most 64 MB", fix="voice-needle bundle make")
    return stream.read()


def _verify(sums: bytes, signature: bytes, signers: Path, file: Path) -> None:
    if not signers.is_file() or not signers.read_text(encoding="utf-8").strip():
        raise ConfigError(f"This device trusts nobody: {signers} holds no key", fix=f'echo "bundle $(cat KEY.pub)" | sudo tee {signers}')
    with tempfile.NamedTemporaryFile() as signed:
        signed.write(signature)
        signed.flush()
        words = ["-Y", "verify", "-f", str(signers), "-I", IDENTITY, "-n", NAMESPACE, "-s", signed.name]
        _ssh_keygen(words, f"{file} is not signed by anybody in {signers}", "voice-needle bundle make --key KEY", sums)


def _ssh_keygen(words: list[str], wrong: str, fix: str, data: bytes = b"") -> None:
    try:
        done = subprocess.run(["ssh-keygen", "-q", *words], input=data, capture_output=True, timeout=30, check=False)
    except FileNotFoundError as error:
        raise EngineMissing("ssh-keygen is not installed", fix="sudo apt install openssh-client") from error
    if done.returncode:
        raise ConfigError(f"{wrong}: {done.stderr.decode('utf-8', 'replace').strip() or 'no valid signature'}", fix=fix)


def check(files: Mapping[str, bytes], where: str) -> None:
    """Errors: ConfigError with file:line for a configuration that no device could load, or a path that does not belong."""
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or path.parts[0] not in TOP:
            raise ConfigError(f"{where}: {name} does not belong into a bundle", fix=f"a bundle holds {', '.join(TOP)}")
    if not files:
        raise ConfigError(f"{where} is empty", fix=f"put config.yaml into {where}")
    if "config.yaml" in files:
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "config.yaml"
            file.write_bytes(files["config.yaml"])
            configuration.load(file)


# --- on the device ---


def apply(file: Path, folder: Path = configuration.SYSTEM_DIR, signers: Path | None = None) -> Bundle:
    """Put a bundle's files in place, each whole; what was there before is kept for `rollback`.

    Errors: those of `read` and `check`, and ConfigError for an old serial number; nothing has changed then.
    """
    bundle = read(file, signers or folder / "bundle.signers")
    check(bundle.files, str(file))
    last = applied(folder)
    if last is not None and bundle.serial <= last:
        raise ConfigError(f"{file} has the serial number {bundle.serial}, and {last} was applied already", fix="voice-needle bundle make")
    previous = folder / PREVIOUS
    shutil.rmtree(previous, ignore_errors=True)
    previous.mkdir(parents=True, mode=0o700)
    absent = [name for name in bundle.files if not (folder / name).exists()]
    for name in set(bundle.files) - set(absent):
        (previous / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(folder / name, previous / "files" / name)
    _write(previous / "absent.json", json.dumps(absent).encode())
    for name, data in bundle.files.items():
        _write(folder / name, data, 0o600 if name == "secrets" else 0o644)
    _write(folder / STATE, json.dumps({"serial": bundle.serial}).encode())
    return bundle


def rollback(folder: Path = configuration.SYSTEM_DIR) -> int:
    """Put back what the last bundle replaced; how many files. Its serial number stays used. Errors: VoiceNeedleError."""
    previous = folder / PREVIOUS
    if not (previous / "absent.json").is_file():
        raise VoiceNeedleError("There is no bundle to take back", fix="voice-needle bundle apply FILE")
    absent = json.loads((previous / "absent.json").read_text(encoding="utf-8"))
    kept = previous / "files"
    names = [path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file()] if kept.is_dir() else []
    for name in names:
        _write(folder / name, (kept / name).read_bytes(), (kept / name).stat().st_mode & 0o777)
    for name in absent:
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(previous)
    return len(names) + len(absent)


def applied(folder: Path = configuration.SYSTEM_DIR) -> int | None:
    """The serial number last applied; None before the first bundle."""
    try:
        return int(json.loads((folder / STATE).read_text(encoding="utf-8"))["serial"])
    except (OSError, ValueError, KeyError):
        return None


def _write(file: Path, data: bytes, mode: int = 0o644) -> None:
    """Whole or not at all. A secret keeps its owner."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as out:
        os.fchmod(descriptor, mode)
        out.write(data)
        out.flush()
        os.fsync(descriptor)
    if file.exists() and os.geteuid() == 0:
        owner = file.stat()
        os.chown(part, owner.st_uid, owner.st_gid)
    part.replace(file)
