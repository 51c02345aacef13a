"""A certificate authority of one's own, brokers that want it, and a bundle that devices trust: for the tests of the fleet."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from voice_needle import bundle as bundles
from voice_needle.evaluation.mosquitto import Mosquitto


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


@dataclass(frozen=True)
class Authority:
    """Signs certificates into its folder with openssl."""

    folder: Path
    name: str = "ca"

    def __post_init__(self) -> None:
        openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN=voice-needle test {self.name}", "-keyout", self.file("key"), "-out", self.file("pem"),
        )  # fmt: skip

    def file(self, kind: str, name: str = "") -> Path:
        return self.folder / f"{name or self.name}.{kind}"

    @property
    def certificate(self) -> Path:
        return self.file("pem")

    def sign(self, name: str, alternative: str = "") -> tuple[Path, Path]:
        """(certificate, key) for `name`; alternative: as subjectAltName has it, such as "IP:127.0.0.1"."""
        request, extensions = self.file("csr", name), self.file("ext", name)
        openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", self.file("key", name), "-out", request,
        )  # fmt: skip
        extensions.write_text(f"subjectAltName={alternative}\n" if alternative else "basicConstraints=CA:FALSE\n")
        openssl(
            "x509", "-req", "-days", "2", "-in", request, "-CA", self.certificate, "-CAkey", self.file("key"), "-CAcreateserial",
            "-extfile", extensions, "-out", self.file("pem", name),
        )  # fmt: skip
        return self.file("pem", name), self.file("key", name)


class TlsMosquitto(Mosquitto):
    """Listens with TLS only, and lets in only whoever has a certificate of `authority`."""

    def __init__(self, folder: Path, authority: Authority, certificate: Path, key: Path) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder)
        self._conf.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest none\nuser root\n"
            f"cafile {authority.certificate}\ncertfile {certificate}\nkeyfile {key}\nrequire_certificate true\n"
        )

    @property
    def url(self) -> str:
        return f"mqtts://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Signer:
    """A key of ssh-keygen, and the file that makes devices trust it."""

    folder: Path
    name: str = "signer"

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)
        self.trusted.write_text(f"bundle {self.key.with_suffix('.pub').read_text()}")

    @property
    def key(self) -> Path:
        return self.folder / self.name

    @property
    def trusted(self) -> Path:
        return self.folder / f"{self.name}.signers"

    def bundle(self, serial: int, files: dict[str, str]) -> bytes:
        """A signed bundle of these files."""
        source = self.folder / f"bundle-{serial}"
        shutil.rmtree(source, ignore_errors=True)
        for name, text in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(text)
        out = self.folder / f"{serial}.bundle"
        bundles.make(source, self.key, out, serial)
        return out.read_bytes()
