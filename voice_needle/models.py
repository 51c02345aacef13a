"""Models on this device: what there is to have, pulling it, checking it, and carrying it to a place without a network.

Only `voice-needle models pull` fetches anything; nothing does at run time. A file is copied to `models.partial/NAME/FILE.part`, goes
on there after an interruption, and is compared with the source's checksum. The folder gets its name when all files are right, so a
model is either whole or not there. SHA256SUMS in it is what `verify` compares with later.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import shutil
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voice_needle.errors import ConfigError, ModelCorrupt, ModelMissing, StorageError
from voice_needle.model_sources import SUMS, RemoteFile, Source, read_sums
from voice_needle.settings_file import Reader, nearest, option

CATALOGUE = Path(__file__).with_name("models.yaml")
CHUNK_BYTES = 1 << 18
RESERVE_MB = 64  # left free for the ledger
ATTEMPTS = 5  # without one byte of progress between them
MB = 1 << 20

Progress = Callable[[str, int, int], None]
"""(file, bytes there, bytes in all)."""


def no_progress(file: str, done: int, total: int) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class Model:
    """One entry of models.yaml."""

    kind: str = option("", "what it is for", choices=("recogniser", "voice", "router"))
    what: str = option("", "for whom")
    repository: str = option("", "owner/name on the hub")
    revision: str = option("main", "branch, tag or commit on the hub")
    folder: str = option("", "inside the repository")
    files: list[str] = option([], "all it needs")
    size_mb: int = option(0, "on disk", unit="MB")
    memory_mb: int = option(0, "resident when loaded", unit="MB")
    licence: str = option("", "of the weights")


def catalogue(file: Path = CATALOGUE) -> dict[str, Model]:
    """Name -> model. Errors: ConfigError with file:line."""
    reader = Reader(file)
    node = reader.parse(file.read_text(encoding="utf-8"))
    found = {key.value: reader.build(Model, value, path=f"{key.value}.") for key, value in (node.value if node else ())}
    if reader.mistakes:
        raise ConfigError("\n".join(map(str, reader.mistakes)), fix=f"edit {reader.mistakes[0].file}")
    return found


def installed(models_dir: Path) -> list[str]:
    """Names of the models on this device, whole or damaged."""
    if not models_dir.is_dir():
        return []
    return sorted(each.name for each in models_dir.iterdir() if each.is_dir())


def check_name(name: str, known: Iterable[str]) -> None:
    """Errors: ConfigError for a name that no catalogue lists, with the nearest."""
    names = list(known)
    if name not in names:
        raise ConfigError(f"There is no model `{name}`{nearest(name, names)}", fix="voice-needle models list")


# --- pull ---


def pull(name: str, source: Source, models_dir: Path, progress: Progress = no_progress) -> Path:
    """Copy a model to this device; its folder. One that is there and whole is left alone.

    Errors: ModelMissing (not there, or the network went and stayed away: what came so far is kept), ModelCorrupt (it is not
    what its checksum says), StorageError (no room).
    """
    _plain_name(name)
    target = models_dir / name
    if target.is_dir() and not verify(name, models_dir):
        return target
    files = source.files(name)
    partial = _partial(models_dir) / name
    try:
        partial.mkdir(parents=True, exist_ok=True)
        _check_room(name, files, partial)
        sums = []
        for file in files:
            sums.append(f"{_fetch(name, file, source, partial, progress)}  {file.name}\n")
        (partial / SUMS).write_text(f"# from {source.where}\n" + "".join(sums), encoding="utf-8")
        models_dir.mkdir(parents=True, exist_ok=True)
        return _install(partial, target, [file.name for file in files])
    except OSError as error:
        raise _storage(error, models_dir) from error


def _partial(models_dir: Path) -> Path:
    """Beside the models, on the same disk, where no engine looks for one."""
    return models_dir.with_name(models_dir.name + ".partial")


def _plain_name(name: str) -> None:
    if not name or name.startswith(".") or "/" in name or "\\" in name:
        raise ConfigError(f"`{name}` is not the name of a model", fix="voice-needle models list")


def _check_room(name: str, files: list[RemoteFile], partial: Path) -> None:
    there = sum(each.stat().st_size for each in partial.iterdir() if each.is_file())
    needed = max(0, sum(file.size for file in files) - there) // MB + RESERVE_MB
    free = shutil.disk_usage(partial).free // MB
    if free < needed:
        raise StorageError(
            f"{name} needs {needed} MB, and {partial.parent} has {free} MB free",
            fix="df -h; free some space, or: voice-needle models remove NAME",
            spoken="There is no room for that model.",
        )


def _fetch(name: str, file: RemoteFile, source: Source, partial: Path, progress: Progress) -> str:
    """Copy one file, going on where an earlier attempt stopped; its SHA-256. Errors as `pull`."""
    done, part = partial / file.name, partial / f"{file.name}.part"
    if not done.is_file():
        resumed = part.is_file() and part.stat().st_size > 0
        _complete(name, file, source, part, progress)
        if not _matches(part, file) and resumed:  # the source has changed since the first half was copied
            part.unlink()
            _complete(name, file, source, part, progress)
        if not _matches(part, file):
            part.unlink()
            raise ModelCorrupt(
                f"{file.name} of {name} from {source.where} is not what its checksum says", fix=f"voice-needle models pull {name}"
            )
        part.rename(done)
    elif not _matches(done, file):
        done.unlink()
        return _fetch(name, file, source, partial, progress)
    progress(file.name, file.size, file.size)
    return digest_of(done, "sha256")


def _complete(name: str, file: RemoteFile, source: Source, part: Path, progress: Progress) -> None:
    """Read until all bytes are there; a broken connection is taken up again for as long as each attempt brings some."""
    fruitless, reason = 0, ""
    while (before := part.stat().st_size if part.is_file() else 0) < file.size or not part.is_file():
        try:
            _append(name, file, source, part, before, progress)
        except _Interrupted as error:
            reason = str(error)
        fruitless = 0 if part.is_file() and part.stat().st_size > before else fruitless + 1
        if fruitless >= ATTEMPTS:
            raise ModelMissing(
                f"{file.name} of {name} could not be fetched from {source.where}: {reason or 'it ends early'}",
                fix=f"voice-needle models pull {name} goes on where it stopped",
            )


class _Interrupted(Exception):
    """The source stopped in the middle, which is not the disk's fault."""


def _append(name: str, file: RemoteFile, source: Source, part: Path, have: int, progress: Progress) -> None:
    try:
        opened, offset = source.open(name, file, have)
    except OSError as error:
        raise _Interrupted(str(error)) from error
    with opened as stream, part.open("r+b" if part.is_file() else "w+b") as out:
        out.truncate(offset)
        out.seek(offset)
        while True:
            try:
                chunk = stream.read(CHUNK_BYTES)
            except http.client.IncompleteRead as error:
                out.write(error.partial)
                raise _Interrupted("the connection was cut") from error
            except (OSError, EOFError, ValueError) as error:
                raise _Interrupted(str(error)) from error
            if not chunk:
                return
            out.write(chunk)
            progress(file.name, min(out.tell(), file.size), file.size)
            if out.tell() > file.size:  # a source that sends more than it said is told apart by the checksum
                return


def _matches(path: Path, file: RemoteFile) -> bool:
    return path.stat().st_size == file.size and digest_of(path, file.algorithm) == file.digest


def digest_of(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal SHA-256, or (algorithm `git`) the SHA-1 that git gives the file as a blob."""
    digest = hashlib.sha256() if algorithm == "sha256" else hashlib.sha1(usedforsecurity=False)
    if algorithm == "git":
        digest.update(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _install(partial: Path, target: Path, files: list[str]) -> Path:
    """Everything on disk first, then the name: after a power cut there is the old model, or the new one."""
    for stray in partial.iterdir():
        if stray.name not in (*files, SUMS):
            stray.unlink()
    for path in (*partial.iterdir(), partial):
        _sync(path)
    aside = partial.with_name(f"{target.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    if target.exists():
        target.rename(aside)
    partial.rename(target)
    _sync(target.parent)
    shutil.rmtree(aside, ignore_errors=True)
    return target


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _storage(error: OSError, models_dir: Path) -> StorageError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    what = f"{models_dir} is full" if full else f"{error.filename or models_dir}: {error.strerror or error}"
    return StorageError(what, fix="df -h; free some space, then type the same again: it goes on where it stopped")


# --- verify, remove, bundle ---


def verify(name: str, models_dir: Path) -> list[str]:
    """What is wrong with an installed model, a sentence each; nothing when it is whole. Errors: ModelMissing."""
    folder = models_dir / name
    if not folder.is_dir():
        raise ModelMissing(f"the model {name} is not installed", fix=f"voice-needle models pull {name}")
    try:
        sums = read_sums((folder / SUMS).read_text(encoding="utf-8"), str(folder / SUMS))
    except OSError:
        return [f"{folder} has no {SUMS}, so nobody can tell whether it is whole"]
    except ModelCorrupt as error:
        return [str(error)]
    wrong = []
    for file, digest in sums.items():
        path = folder / file
        if not path.is_file():
            wrong.append(f"{path} is missing")
        elif digest_of(path) != digest:
            wrong.append(f"{path} is not what its checksum says")
    return wrong


def remove(name: str, models_dir: Path) -> int:
    """Delete a model and what was begun of it; bytes freed. Errors: ModelMissing."""
    _plain_name(name)
    folders = [each for each in (models_dir / name, _partial(models_dir) / name) if each.is_dir()]
    if not folders:
        raise ModelMissing(f"the model {name} is not installed", fix="voice-needle models list")
    freed = sum(each.stat().st_size for folder in folders for each in folder.iterdir())
    for folder in folders:
        shutil.rmtree(folder)
    return freed


def bundle(names: Iterable[str], models_dir: Path, file: Path) -> int:
    """Write installed models into one tar for devices without a network; its bytes. `pull --from FILE` reads it.

    Errors: ModelMissing, ModelCorrupt for a damaged one (it is not passed on), StorageError.
    """
    chosen = list(names)
    for name in chosen:
        wrong = verify(name, models_dir)
        if wrong:
            raise ModelCorrupt(wrong[0], fix=f"voice-needle models pull {name}")
    part = file.with_name(file.name + ".part")
    try:
        with tarfile.open(part, "w:") as tar:
            for name in chosen:
                for path in sorted((models_dir / name).iterdir()):
                    tar.add(path, f"{name}/{path.name}", recursive=False, filter=_nobodys)
        part.rename(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise _storage(error, file.parent) from error
    return file.stat().st_size


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The same bundle from the same models, whoever makes it and whenever."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member


def describe(models_dir: Path) -> list[dict[str, Any]]:
    """Every known or installed model, for `models list`."""
    known, there = catalogue(), installed(models_dir)
    rows = []
    for name in sorted({*known, *there}):
        model = known.get(name, Model(what="not in the catalogue"))
        folder = models_dir / name
        size = sum(each.stat().st_size for each in folder.iterdir()) // MB if name in there else model.size_mb
        rows.append(
            {"name": name, "kind": model.kind, "installed": name in there, "size_mb": size, "memory_mb": model.memory_mb}
            | {"licence": model.licence, "what": model.what}
        )
    return rows
