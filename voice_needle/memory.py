"""The memory of this process: how much it holds, and giving back to the system what the C library keeps after loading models."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from pathlib import Path

_STATUS = Path("/proc/self/status")
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # malloc.h


def resident_mb() -> float:
    """What this process holds now, in MB (2**20 bytes); 0 where the system does not tell."""
    return _status("VmRSS")


def peak_mb() -> float:
    """The most that this process ever held, in MB. Unlike getrusage(2) it does not count what a parent held before exec."""
    return _status("VmHWM")


def tree_mb(process: int) -> float:
    """What a process and all that it started hold together, in MB; pages that they share count more than once."""
    held, todo = 0.0, [(process, b"")]
    while todo:
        number, parent = todo.pop()
        folder = Path(f"/proc/{number}")
        with contextlib.suppress(OSError):  # one that ended meanwhile
            command = (folder / "cmdline").read_bytes()
            if command != parent:  # else it is about to become another program, and still in its parent's memory
                held += _status("VmRSS", folder / "status")
            for thread in (folder / "task").iterdir():
                todo += [(int(child), command) for child in (thread / "children").read_text(encoding="ascii").split()]
    return held


def _status(name: str, file: Path = _STATUS) -> float:
    with contextlib.suppress(OSError):
        for line in file.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{name}:"):
                return round(int(line.split()[1]) / 1024, 1)
    return 0.0


class _Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    ]


def allocated_mb() -> float:
    """What is allocated through the C library and not freed, in MB; 0 where the library does not tell (mallinfo2(3), glibc 2.33).

    A leak raises it; resident memory also rises by the holes between what is in use. Python's objects under 512 bytes are not in it.
    """
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
    except (OSError, AttributeError):
        return 0.0
    mallinfo.restype = _Mallinfo
    found: _Mallinfo = mallinfo()
    return round(int(found.uordblks + found.hblkhd) / 2**20, 2)


def hold_little() -> bool:
    """Have the C library share one heap among all threads, and give free memory back sooner, for a little time of the processor.

    False where it cannot be told (mallopt(3)). Call it before models are loaded.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return all([mallopt(_ARENA_MAX, 1), mallopt(_TRIM_THRESHOLD, 128 * 1024), mallopt(_MMAP_THRESHOLD, 64 * 1024)])


def give_back() -> None:
    """Return free memory to the system. Compiling and parsing leave holes that nothing else would fill."""
    gc.collect()
    trim()


def trim() -> None:
    """Return the C library's free pages to the system; some milliseconds, without Python's lock. (malloc_trim(3))"""
    with contextlib.suppress(OSError, AttributeError):  # a C library without it
        ctypes.CDLL(None).malloc_trim(0)
