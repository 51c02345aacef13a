"""The ring between callback and loop: in order, bounded, nothing half written."""

from __future__ import annotations

import threading
import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from voice_needle.ring import Ring


@given(st.lists(st.one_of(st.integers(0, 30), st.none()), max_size=60))
def test_what_is_read_is_what_was_accepted_in_order(script):
    ring, accepted, read, number = Ring(50), [], [], 0
    for step in script:
        if step is None:
            read += ring.read().tolist()
            continue
        values = np.arange(number, number + step, dtype=np.int16)
        fits = step <= 50 - len(ring)
        assert ring.write(values) is fits
        if fits:
            accepted += values.tolist()
            number += step
    assert read + ring.read().tolist() == accepted


def test_two_threads_lose_nothing():
    ring, total = Ring(1000), 10_000
    got: list[np.ndarray] = []

    def write() -> None:
        at = 0
        while at < total:
            block = (np.arange(at, at + 100) % 30_000).astype(np.int16)
            if ring.write(block):
                at += 100
            else:
                time.sleep(0)

    writer = threading.Thread(target=write)
    writer.start()
    count = 0
    while count < total:
        values = ring.read()
        got.append(values)
        count += len(values)
    writer.join()
    assert np.array_equal(np.concatenate(got), (np.arange(total) % 30_000).astype(np.int16))
