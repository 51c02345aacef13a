"""Models over a real HTTP server: whole or not there, whatever the network, the mirror or the disk does."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from model_server import ModelServer

from voice_needle import models
from voice_needle.errors import ModelCorrupt, ModelMissing, StorageError
from voice_needle.model_sources import Hub, Mirror
from voice_needle.models import Model

NAME = "whisper-tiny.en"
FILES = {"config.json": b'{"a": 1}\n', "tokenizer.json": b"{}" * 100, "model.bin": random.Random(5).randbytes(3_000_000)}


def listing(files: dict[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()).encode()


@pytest.fixture
def mirror() -> Iterator[ModelServer]:
    served = {f"/{NAME}/{name}": data for name, data in FILES.items()} | {f"/{NAME}/SHA256SUMS": listing(FILES)}
    with ModelServer(served) as server:
        yield server


def bodies(server: ModelServer) -> list[str]:
    """The Range of every time the large file was asked for."""
    return [wanted for method, path, wanted in server.seen if method == "GET" and path.endswith("model.bin")]


def test_a_mirror_is_copied_and_checked(mirror: ModelServer, tmp_path: Path):
    seen: list[tuple[str, int, int]] = []
    folder = models.pull(NAME, Mirror(mirror.url), tmp_path / "models", lambda *step: seen.append(step))
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert models.verify(NAME, tmp_path / "models") == []
    assert subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=folder, check=False).returncode == 0
    assert seen[-1] == ("model.bin", 3_000_000, 3_000_000)
    assert models.installed(tmp_path / "models") == [NAME]
    count = len(mirror.seen)
    models.pull(NAME, Mirror(mirror.url), tmp_path / "models")
    assert len(mirror.seen) == count  # whole already: the network is left alone


def test_a_cut_connection_goes_on_where_it_stopped(mirror: ModelServer, tmp_path: Path):
    mirror.cut_after, mirror.cuts = 1_000_000, 2
    models.pull(NAME, Mirror(mirror.url), tmp_path / "models")
    assert (tmp_path / "models" / NAME / "model.bin").read_bytes() == FILES["model.bin"]
    starts = [int(wanted.removeprefix("bytes=").rstrip("-") or 0) for wanted in bodies(mirror)]
    assert len(starts) == 3 and starts[0] == 0 and 0 < starts[1] < starts[2]


def test_a_server_without_range_is_read_again_from_the_start(mirror: ModelServer, tmp_path: Path):
    mirror.cut_after, mirror.cuts, mirror.ranges = 1_000_000, 1, False
    models.pull(NAME, Mirror(mirror.url), tmp_path / "models")
    assert models.verify(NAME, tmp_path / "models") == []


def test_what_came_before_the_network_went_is_kept_for_the_next_time(mirror: ModelServer, tmp_path: Path):
    mirror.cut_after, mirror.cuts = 1_000_000, 1
    broken = Mirror(mirror.url)
    opened = broken.open
    calls: list[int] = []

    def dead_after_the_first(name, file, offset):  # type: ignore[no-untyped-def]
        if file.name == "model.bin":
            calls.append(offset)
            if len(calls) > 1:
                raise ConnectionRefusedError("no route to host")
        return opened(name, file, offset)

    broken.open = dead_after_the_first  # type: ignore[method-assign]
    with pytest.raises(ModelMissing, match="no route to host") as caught:
        models.pull(NAME, broken, tmp_path / "models")
    assert "goes on where it stopped" in caught.value.fix
    assert models.installed(tmp_path / "models") == []
    kept = (tmp_path / "models.partial" / NAME / "model.bin.part").stat().st_size
    assert 0 < kept < 3_000_000
    models.pull(NAME, Mirror(mirror.url), tmp_path / "models")
    assert bodies(mirror)[-1] == f"bytes={kept}-"
    assert models.verify(NAME, tmp_path / "models") == []


def test_a_half_from_another_version_is_thrown_away(mirror: ModelServer, tmp_path: Path):
    part = tmp_path / "models.partial" / NAME / "model.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"old" * 300_000)
    models.pull(NAME, Mirror(mirror.url), tmp_path / "models")
    assert bodies(mirror) == ["bytes=900000-", ""]
    assert models.verify(NAME, tmp_path / "models") == []


@pytest.mark.parametrize("damage", ["flipped", "longer"])
def test_a_wrong_checksum_installs_nothing(mirror: ModelServer, tmp_path: Path, damage: str):
    data = FILES["model.bin"]
    mirror.files[f"/{NAME}/model.bin"] = data[:-1] + b"x" if damage == "flipped" else data + b"more"
    with pytest.raises(ModelCorrupt, match=r"model\.bin"):
        models.pull(NAME, Mirror(mirror.url), tmp_path / "models")
    assert models.installed(tmp_path / "models") == []


def test_a_damaged_model_stays_until_its_replacement_is_whole(mirror: ModelServer, tmp_path: Path):
    folder = models.pull(NAME, Mirror(mirror.url), tmp_path / "models")
    (folder / "model.bin").write_bytes(b"broken")
    assert models.verify(NAME, tmp_path / "models") == [f"{folder / 'model.bin'} is not what its checksum says"]
    mirror.files[f"/{NAME}/SHA256SUMS"] = b"0" * 64 + b"  model.bin\n"
    with pytest.raises(ModelCorrupt):
        models.pull(NAME, Mirror(mirror.url), tmp_path / "models")
    assert (folder / "config.json").is_file()
    mirror.files[f"/{NAME}/SHA256SUMS"] = listing(FILES)
    models.pull(NAME, Mirror(mirror.url), tmp_path / "models")
    assert models.verify(NAME, tmp_path / "models") == []


@pytest.mark.parametrize("text", [b"<html>not found</html>", b"", b"0" * 64 + b"  ../../etc/passwd\n"])
def test_a_list_that_is_none_is_refused(mirror: ModelServer, tmp_path: Path, text: bytes):
    mirror.files[f"/{NAME}/SHA256SUMS"] = text
    with pytest.raises(ModelCorrupt):
        models.pull(NAME, Mirror(mirror.url), tmp_path / "models")


def test_a_mirror_without_the_model_or_without_a_network_says_so(mirror: ModelServer, tmp_path: Path):
    with pytest.raises(ModelMissing, match="404"):
        models.pull("whisper-small.en", Mirror(mirror.url), tmp_path / "models")
    with pytest.raises(ModelMissing, match="cannot be reached"):
        models.pull(NAME, Mirror("http://127.0.0.1:9"), tmp_path / "models")


def hub_of(server: ModelServer) -> Hub:
    return Hub(server.url, {NAME: Model(repository="owner/repo", revision="main", files=list(FILES))})


@pytest.fixture
def hub() -> Iterator[ModelServer]:
    """Metadata under the branch, content under the commit that the branch stood at when the pull began."""
    served = {"/owner/repo/resolve/main/config.json": FILES["config.json"]}
    served |= {f"/owner/repo/resolve/c0ffee/{name}": data for name, data in FILES.items()}
    with ModelServer(served, hub=True) as server:
        yield server


def test_the_hubs_own_checksums_are_checked_and_one_commit_is_read(hub: ModelServer, tmp_path: Path):
    folder = models.pull(NAME, hub_of(hub), tmp_path / "models")
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert {path.split("/")[4] for method, path, _ in hub.seen if method == "GET" and not path.startswith("/cdn")} == {"c0ffee"}


@pytest.mark.parametrize("file", ["tokenizer.json", "model.bin"])
def test_the_hubs_checksums_find_a_damaged_file(hub: ModelServer, tmp_path: Path, file: str):
    """One by git's blob hash, one by SHA-256: both are compared."""
    source = hub_of(hub)
    listed = source.files

    def then_damaged(name: str):  # type: ignore[no-untyped-def]
        found = listed(name)
        data = FILES[file]
        hub.files[f"/owner/repo/resolve/c0ffee/{file}"] = bytes([data[0] ^ 1]) + data[1:]
        return found

    source.files = then_damaged  # type: ignore[method-assign]
    with pytest.raises(ModelCorrupt, match=file.replace(".", r"\.")):
        models.pull(NAME, source, tmp_path / "models")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 80 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(place)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("mounting needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_without_room_is_seen_before_the_first_byte(mirror: ModelServer, small_disk: Path):
    (small_disk / "ballast").write_bytes(bytes(20 << 20))
    with pytest.raises(StorageError, match="needs 66 MB") as caught:
        models.pull(NAME, Mirror(mirror.url), small_disk / "models")
    assert bodies(mirror) == []
    assert "df -h" in caught.value.fix


def test_a_disk_that_fills_up_meanwhile_keeps_what_came(mirror: ModelServer, small_disk: Path):
    def fill(file: str, done: int, total: int) -> None:
        ballast = small_disk / "ballast"
        if file == "model.bin" and not ballast.exists():
            with ballast.open("wb") as out:
                out.write(bytes(shutil.disk_usage(small_disk).free - 500_000))

    with pytest.raises(StorageError, match="is full"):
        models.pull(NAME, Mirror(mirror.url), small_disk / "models", fill)
    assert models.installed(small_disk / "models") == []
    os.unlink(small_disk / "ballast")
    models.pull(NAME, Mirror(mirror.url), small_disk / "models")
    assert bodies(mirror)[-1].startswith("bytes=")
    assert models.verify(NAME, small_disk / "models") == []
