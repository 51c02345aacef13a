"""The memory of this process, and what the C library is told about it."""

from __future__ import annotations

import ctypes
import subprocess
import sys

from voice_needle import memory

CODE = """
import threading
from voice_needle import memory
assert {told} is False or memory.hold_little()
held, done = [], threading.Event()
def hold():
    held.append([bytearray(32 * 1024 - 64) for _ in range(160)])  # 5 MB, under the threshold of mmap
    done.wait()
threads = [threading.Thread(target=hold) for _ in range(4)]
for thread in threads: thread.start()
while len(held) < 4: pass
print(sum("rw-p" in line and int(line.split("-")[0], 16) % (64 << 20) == 0 for line in open("/proc/self/maps")))
done.set()
"""


def heaps(told: bool) -> int:
    """Of a process with four busy threads: heaps of their own, each at a multiple of 64 MB."""
    code = CODE.format(told=told)
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def test_threads_share_one_heap_where_memory_is_short() -> None:
    if heaps(told=False):  # another C library, or another layout, has none to save
        assert heaps(told=True) == 0


def allocator() -> ctypes.CDLL:
    """The C library, with malloc and free typed."""
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes, library.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
    return library


def test_pages_freed_between_pieces_that_stay_go_back_to_the_system() -> None:
    library = allocator()
    pieces = [library.malloc(32 << 10) for _ in range(2_000)]  # too small to be a mapping of its own
    for piece in pieces:
        ctypes.memset(piece, 1, 32 << 10)
    for number, piece in enumerate(pieces):
        if number % 20:
            library.free(piece)
    kept = memory.resident_mb()
    memory.trim()
    assert memory.resident_mb() < kept - 40
    for piece in pieces[::20]:
        library.free(piece)


def test_what_is_allocated_falls_with_every_piece_freed() -> None:
    library = allocator()
    before = memory.allocated_mb()
    pieces = [library.malloc(32 << 10) for _ in range(640)]
    assert 19 < memory.allocated_mb() - before < 22
    for piece in pieces[::2]:  # the holes between the others stay resident
        library.free(piece)
    assert 9 < memory.allocated_mb() - before < 12
    for piece in pieces[1::2]:
        library.free(piece)
