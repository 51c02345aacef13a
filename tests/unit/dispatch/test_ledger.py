from __future__ import annotations

import asyncio
import resource
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dispatch_desk import Desk

from voice_needle.clock import ScriptedClock
from voice_needle.dispatch.ledger import Ledger
from voice_needle.errors import LedgerFull, StorageError
from voice_needle.events import Call, Status
from voice_needle.tools import Policy, Tool

TOOL = Tool("pay", "Pay.", plugin="shop", policy=Policy(idempotent=False))
NOW = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)


async def test_rows_are_only_ever_added(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger")
    number = await ledger.begin(TOOL, Call("pay", {"amount": 3}))
    await ledger.settle(number, Status.OK, {"left": 7})
    ledger.close()
    with sqlite3.connect(tmp_path / "ledger") as db:
        for statement in ("DELETE FROM calls", "UPDATE calls SET tool = 'x'", "DELETE FROM outcomes"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(statement)


async def test_a_row_is_on_disk_when_begin_returns(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger")
    number = await ledger.begin(TOOL, Call("pay", {"amount": 3}), heard="pay three", turn=4)
    with sqlite3.connect(f"file:{tmp_path / 'ledger'}?mode=ro", uri=True) as other:
        assert other.execute("SELECT id, tool, heard, turn FROM calls").fetchall() == [(number, "pay", "pay three", 4)]
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert [entry.id for entry in ledger.unsettled()] == [number]
    ledger.close()


async def test_the_first_outcome_is_the_one_that_counts(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger")
    number = await ledger.begin(TOOL, Call("pay"))
    await ledger.settle(number, Status.TIMEOUT, {}, "No answer.")
    await ledger.late(number, Status.OK, {"left": 7})
    entry = ledger.entry(number)
    assert entry is not None and (entry.status, entry.error) == ("timeout", "No answer.")
    ledger.close()


async def test_many_at_once_are_committed_together(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger")
    numbers = await asyncio.gather(*(ledger.begin(TOOL, Call("pay", {"amount": n})) for n in range(300)))
    assert len(set(numbers)) == 300
    assert [entry.call.arguments["amount"] for entry in ledger.history(300)] == list(reversed(range(300)))
    ledger.close()


async def test_full_storage_executes_nothing_and_says_so(desk: Desk) -> None:
    desk.plugin(
        "shop",
        """
        tools:
          pay: {description: Pay., parameters: {to: {type: string}}, handler: {python: "handlers.py:pay"}, policy: {confirm: never}}
        """,
        f"""
        def pay(ctx, to):
            open({str(desk.written)!r}, "a").write("paid\\n")
        """,
    )
    desk.open()
    desk.ledger.close()
    desk.ledger = desk.dispatcher._ledger = Ledger.open(desk.folder / "small", desk.clock, max_pages=12)
    results = []
    for _ in range(200):
        results += await desk.do(Call("pay", {"to": "x" * 2000}))
        if not results[-1].ok:
            break
    assert results[0].ok and "storage is full" in results[-1].error
    assert "Fault" in desk.kinds()
    # every effect is in the ledger; the refused call had none
    assert len(desk.lines()) == len(results) - 1 == len(desk.ledger.history(1000))


async def test_a_full_ledger_raises_and_lives_on(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger", max_pages=10)
    with pytest.raises(LedgerFull) as caught:
        for _ in range(100):
            await ledger.begin(TOOL, Call("pay", {"to": "x" * 5000}))
    assert "df -h" in caught.value.fix
    assert ledger.history()
    ledger.close()


@pytest.mark.parametrize("damage", [b"this is not a database at all" * 200, b"\0" * 9000])
async def test_a_damaged_ledger_is_put_aside(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "ledger"
    file.write_bytes(damage)
    ledger = Ledger.open(file, ScriptedClock(NOW))
    if ledger.moved_aside is None:  # SQLite takes zeros for an empty database: then nothing was lost
        assert damage[:1] == b"\0"
    else:
        assert ledger.moved_aside.read_bytes() == damage
    await ledger.settle(await ledger.begin(TOOL, Call("pay")), Status.OK, {})
    ledger.close()


async def test_damage_in_the_middle_is_found(tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    ledger = Ledger.open(file)
    for number in range(200):
        await ledger.begin(TOOL, Call("pay", {"to": "y" * 200, "n": number}))
    ledger.close()
    content = bytearray(file.read_bytes())
    content[4096:12288] = b"\xa5" * 8192
    file.write_bytes(content)
    ledger = Ledger.open(file)
    assert ledger.moved_aside is not None and ledger.moved_aside.exists() and ledger.history() == []
    ledger.close()


async def test_a_new_ledger_numbers_its_calls_apart_from_the_old(tmp_path: Path) -> None:
    first, second = Ledger.open(tmp_path / "a"), Ledger.open(tmp_path / "b")
    assert first.uid != second.uid
    first.close()
    assert Ledger.open(tmp_path / "a").uid == first.uid
    second.close()


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        Ledger.open(tmp_path / "file" / "ledger")


async def test_undo_looks_no_further_back_than_told(tmp_path: Path) -> None:
    clock = ScriptedClock(NOW)
    ledger = Ledger.open(tmp_path / "ledger", clock)
    await ledger.settle(await ledger.begin(TOOL, Call("pay")), Status.OK, {}, undo=Call("refund"))
    await clock.advance(3600)
    assert ledger.last_done(clock.now() - timedelta(minutes=15)) is None
    found = ledger.last_done()
    assert found is not None and found.undo == Call("refund")
    ledger.close()


def _write_until_it_fails(folder: str, limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    ledger = Ledger.open(Path(folder) / "ledger")

    async def fill() -> None:
        for _ in range(1000):
            await ledger.begin(TOOL, Call("pay", {"to": "x" * 1000}))

    try:
        asyncio.run(fill())
    except StorageError as error:
        print(type(error).__name__, len(ledger.history(5000)))


def test_a_file_that_may_not_grow_is_a_storage_error_and_loses_nothing(tmp_path: Path) -> None:
    source = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_ledger as t; "
    source += f"t._write_until_it_fails({str(tmp_path)!r}, 300_000)"
    told = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout.split()
    ledger = Ledger.open(tmp_path / "ledger")
    assert told[0] in ("StorageError", "LedgerFull") and ledger.moved_aside is None
    assert len(ledger.history(5000)) == int(told[1]) > 10  # every row that `begin` returned for, and no other
    ledger.close()
