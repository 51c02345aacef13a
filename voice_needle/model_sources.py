"""Where a model's files can be had: the hub, a mirror on the local network, a folder, a USB stick, or a bundle (tar).

Every source tells each file's size and checksum before a byte of it is copied. A mirror, folder or bundle holds
NAME/FILE and NAME/SHA256SUMS, in the format of sha256sum. The hub gives a SHA-256 for large files (the header X-Linked-ETag)
and git's own blob hash for small ones (ETag).
"""

from __future__ import annotations

import http.client
import io
import tarfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from voice_needle.errors import ConfigError, ModelCorrupt, ModelMissing

HUB = "https://huggingface.co"
SUMS = "SHA256SUMS"
TIMEOUT_S = 20.0
STICKS = ("media/*", "media/*/*", "run/media/*/*", "mnt", "mnt/*")
STICK_FOLDER = "voice-needle-models"
_AGAIN = "check the network, then type the same again: it goes on where it stopped"


@dataclass(frozen=True)
class RemoteFile:
    """One file before it is copied. algorithm: sha256, or git (SHA-1 of git's blob)."""

    name: str
    size: int
    algorithm: str
    digest: str


class Source(Protocol):
    """hub, mirror, folder, bundle."""

    where: str

    def files(self, name: str) -> list[RemoteFile]:
        """The files of a model. Errors: ModelMissing where it is not there, ModelCorrupt for a broken list."""
        ...

    def open(self, name: str, file: RemoteFile, offset: int) -> tuple[AbstractContextManager[IO[bytes]], int]:
        """The bytes from `offset` on, and where they really begin: 0 where a server cannot go on in the middle."""
        ...


def read_sums(text: str, where: str) -> dict[str, str]:
    """File -> SHA-256. Errors: ModelCorrupt for a line that is not one of sha256sum's, or a file outside the folder."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        digest, _, name = line.partition(" ")
        name = name.removeprefix(" ").removeprefix("*")
        if len(digest) != 64 or not name or name in (".", "..") or "/" in name or "\\" in name:
            raise ModelCorrupt(f"{where} is not a list of checksums: {line[:80]!r}", fix=f"sha256sum * > {SUMS}")
        found[name] = digest.lower()
    if not found:
        raise ModelCorrupt(f"{where} lists no file", fix=f"sha256sum * > {SUMS}")
    return found


def open_source(text: str | None, catalogue: Mapping[str, Any], root: Path = Path("/")) -> Source:
    """The source that --from names: nothing (the hub), a URL, `usb`, a folder, or a bundle. Errors: ConfigError, ModelMissing."""
    if text is None:
        return Hub(HUB, catalogue)
    if text.startswith(("http://", "https://")):
        return Mirror(text.rstrip("/"))
    if text == "usb":
        sticks = [place / STICK_FOLDER for pattern in STICKS for place in sorted(root.glob(pattern))]
        found = next((stick for stick in sticks if stick.is_dir()), None)
        if found is None:
            raise ModelMissing(
                f"No USB stick with a folder {STICK_FOLDER} is mounted", fix="mount the stick, or give its folder: --from /media/STICK"
            )
        return Folder(found)
    path = Path(text).expanduser()
    if path.is_dir():
        inside = path / STICK_FOLDER
        return Folder(inside if inside.is_dir() else path)
    if path.is_file():
        return Bundle(path)
    raise ConfigError(f"There is no folder, bundle or URL `{text}`", fix="--from URL, --from FOLDER, --from FILE.tar or --from usb")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The hub answers for a large file with a redirect whose own headers hold size and checksum."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _request(url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, redirect: bool = True) -> Any:
    opener = urllib.request.build_opener(*([] if redirect else [_NoRedirect]))
    request = urllib.request.Request(url, method=method, headers={"User-Agent": "voice-needle", **(headers or {})})
    try:
        return opener.open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if not redirect and 300 <= error.code < 400:
            return error
        if error.code in (404, 401, 403, 410):
            raise ModelMissing(f"{url} is not there (HTTP {error.code})", fix="voice-needle models list") from error
        raise OSError(f"{url}: HTTP {error.code}") from error
    except http.client.HTTPException as error:
        raise OSError(f"{url}: {error!r}") from error


def _ranged(url: str, offset: int) -> tuple[AbstractContextManager[IO[bytes]], int]:
    response = _request(url, headers={"Range": f"bytes={offset}-"} if offset else {})
    return response, offset if response.status == 206 else 0


class Hub:
    """A Hugging Face hub: URL/REPOSITORY/resolve/REVISION/FILE. One commit for all files of a pull."""

    def __init__(self, url: str, catalogue: Mapping[str, Any]) -> None:
        self.where, self._catalogue = url, catalogue
        self._commit: dict[str, str] = {}

    def files(self, name: str) -> list[RemoteFile]:
        try:
            return [self._head(name, file) for file in self._catalogue[name].files]
        except OSError as error:
            raise ModelMissing(f"{self.where} cannot be reached: {error}", fix=_AGAIN) from error

    def open(self, name: str, file: RemoteFile, offset: int) -> tuple[AbstractContextManager[IO[bytes]], int]:
        return _ranged(self._url(name, file.name), offset)

    def _url(self, name: str, file: str) -> str:
        model = self._catalogue[name]
        revision = self._commit.get(name, model.revision)
        path = "/".join(part for part in (model.repository, "resolve", revision, model.folder, file) if part)
        return f"{self.where}/{urllib.parse.quote(path)}"

    def _head(self, name: str, file: str) -> RemoteFile:
        url = self._url(name, file)
        with _request(url, method="HEAD", headers={"Accept-Encoding": "identity"}, redirect=False) as response:
            headers = response.headers
        if "X-Linked-ETag" not in headers and headers.get("Location"):  # a renamed repository: ask at its new place
            with _request(url, method="HEAD", headers={"Accept-Encoding": "identity"}) as response:
                headers = response.headers
        self._commit.setdefault(name, headers.get("X-Repo-Commit") or self._catalogue[name].revision)
        digest = (headers.get("X-Linked-ETag") or headers.get("ETag") or "").removeprefix("W/").strip('"').lower()
        size = headers.get("X-Linked-Size") or headers.get("Content-Length") or ""
        algorithm = {64: "sha256", 40: "git"}.get(len(digest))
        if algorithm is None or not size.isdigit():
            raise ModelCorrupt(f"{url} comes without a checksum, so it is not taken", fix="use a mirror with SHA256SUMS: --from URL")
        return RemoteFile(file, int(size), algorithm, digest)


class Mirror:
    """Any web server: URL/NAME/SHA256SUMS and URL/NAME/FILE."""

    def __init__(self, url: str) -> None:
        self.where = url

    def files(self, name: str) -> list[RemoteFile]:
        try:
            with _request(self._url(name, SUMS)) as response:
                sums = read_sums(response.read().decode("utf-8", "replace"), self._url(name, SUMS))
            return [RemoteFile(file, self._size(name, file), "sha256", digest) for file, digest in sums.items()]
        except OSError as error:
            raise ModelMissing(f"{self.where} cannot be reached: {error}", fix=_AGAIN) from error

    def open(self, name: str, file: RemoteFile, offset: int) -> tuple[AbstractContextManager[IO[bytes]], int]:
        return _ranged(self._url(name, file.name), offset)

    def _size(self, name: str, file: str) -> int:
        with _request(self._url(name, file), method="HEAD") as response:
            return int(response.headers.get("Content-Length") or 0)

    def _url(self, name: str, file: str) -> str:
        return f"{self.where}/{urllib.parse.quote(name)}/{urllib.parse.quote(file)}"


class Folder:
    """A folder of NAME/FILE with NAME/SHA256SUMS: a network share, a USB stick, another device's models."""

    def __init__(self, folder: Path) -> None:
        self.where, self._folder = str(folder), folder

    def files(self, name: str) -> list[RemoteFile]:
        place = self._folder / name
        try:
            sums = read_sums((place / SUMS).read_text(encoding="utf-8"), str(place / SUMS))
            return [RemoteFile(file, (place / file).stat().st_size, "sha256", digest) for file, digest in sums.items()]
        except FileNotFoundError as error:
            raise ModelMissing(f"{error.filename} is not there", fix=f"ls {self._folder}") from error

    def open(self, name: str, file: RemoteFile, offset: int) -> tuple[AbstractContextManager[IO[bytes]], int]:
        stream = (self._folder / name / file.name).open("rb")
        stream.seek(offset)
        return stream, offset


class Bundle:
    """A tar written by `voice-needle models bundle`. Errors: ModelCorrupt when it is not one."""

    def __init__(self, file: Path) -> None:
        self.where = str(file)
        try:
            self._tar = tarfile.open(file, "r:")  # noqa: SIM115 (open as long as the source)
            self._members = {member.name: member for member in self._tar.getmembers() if member.isfile()}
        except (tarfile.TarError, OSError) as error:
            raise ModelCorrupt(f"{file} is not a bundle of models: {error}", fix=f"copy {file.name} again") from error

    def files(self, name: str) -> list[RemoteFile]:
        listing = self._members.get(f"{name}/{SUMS}")
        if listing is None:
            raise ModelMissing(f"{self.where} holds no {name}", fix=f"it holds: {', '.join(self.names())}")
        sums = read_sums(self._read(listing).read().decode("utf-8", "replace"), f"{self.where}:{listing.name}")
        missing = [file for file in sums if f"{name}/{file}" not in self._members]
        if missing:
            raise ModelCorrupt(f"{self.where} lacks {name}/{missing[0]}", fix="make the bundle again: voice-needle models bundle")
        return [RemoteFile(f, self._members[f"{name}/{f}"].size, "sha256", digest) for f, digest in sums.items()]

    def open(self, name: str, file: RemoteFile, offset: int) -> tuple[AbstractContextManager[IO[bytes]], int]:
        stream = self._read(self._members[f"{name}/{file.name}"])
        stream.seek(offset)
        return stream, offset

    def names(self) -> Iterable[str]:
        return sorted({member.partition("/")[0] for member in self._members})

    def _read(self, member: tarfile.TarInfo) -> IO[bytes]:
        return self._tar.extractfile(member) or io.BytesIO()
