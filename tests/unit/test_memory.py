"""What the C library keeps is given back."""

from __future__ import annotations

import ctypes

from voice_needle import memory


def test_pages_freed_between_pieces_that_stay_go_back_to_the_system():
    library = ctypes.CDLL(None)
    library.malloc.restype, library.malloc.argtypes, library.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
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
