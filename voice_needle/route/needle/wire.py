"""Protocol Buffers on the wire: just enough to read a SentencePiece model and to write an ONNX graph, without either library.

(protobuf.dev/programming-guides/encoding)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """(field number, value) of each field of a message, in order. A 32-bit field is read as a float.

    Errors: ValueError where `data` is no message.
    """
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        size = 8 if kind == FIXED64 else 4
        if kind == BYTES:
            size, at = _varint(data, at)
        elif kind not in (FIXED64, FIXED32):
            raise ValueError(f"wire type {kind}")
        chunk, at = data[at : at + size], at + size
        if at > len(data):
            raise ValueError("cut short")
        yield tag >> 3, struct.unpack("<f", chunk)[0] if kind == FIXED32 else chunk


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("cut short")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def varint(value: int) -> bytes:
    """A signed or unsigned integer of up to 64 bits."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """An integer field."""
    return varint(field << 3 | VARINT) + varint(value)


def real(field: int, value: float) -> bytes:
    """A float field."""
    return varint(field << 3 | FIXED32) + struct.pack("<f", value)


def chunk(field: int, value: bytes | str) -> bytes:
    """A string, bytes or message field."""
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | BYTES) + varint(len(data)) + data
