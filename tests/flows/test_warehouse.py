"""Warehouse: every scenario on a real SQLite file; faults and a thousand bookings on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import random
import socketserver
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from plugin_parts import part
from postgres import Server, cluster
from scenarios import scenario_tests
from sqlalchemy import create_engine, select

from voice_needle.assembly import Tooling, open_registry, open_tooling
from voice_needle.clock import RealClock
from voice_needle.config import Config
from voice_needle.events import Call, Status, ToolResult

running, test_scenario = scenario_tests("warehouse")
NOTED = "I noted it; the stock system is offline."


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with cluster() as started:
        yield started


@pytest.fixture
def database(server: Server) -> str:
    """An empty database of its own for one test."""
    name = f"stock_{random.randrange(10**9)}"
    with server.connect() as db:
        db.execute(f"CREATE DATABASE {name}")
    return server.url.rsplit("/", 1)[0] + f"/{name}"


@asynccontextmanager
async def opened(folder: Path, url: str, **settings: Any) -> AsyncIterator[Tooling]:
    """The plugin behind the real dispatcher. The sample goes into PostgreSQL too."""
    given = {"database": url, "sample": True, "patience_s": 2.0, "sync_every_s": 3600, **settings}
    config = replace(Config(), data_dir=folder, plugins={"warehouse": given})
    async with open_tooling(config, RealClock(), registry=open_registry(config, ["warehouse"])) as tooling:
        yield tooling


async def call(tooling: Tooling, tool: str, **arguments: Any) -> ToolResult:
    results = await tooling.dispatcher.execute([Call(tool, arguments)], heard=f"{tool} {arguments}", confirmed=True)
    return results[0]


def rows(server: Server, url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True, application_name="referee") as db:
        return db.execute(query).fetchall()


def held(server: Server, url: str, bin: str, sku: str) -> int:
    found = rows(server, url, f"SELECT quantity FROM stock WHERE bin = '{bin}' AND sku = '{sku}'")
    return int(found[0][0]) if found else 0


def agree(server: Server, url: str) -> None:
    """Stock is what the sample held plus every movement of the trail, row by row, and never below zero."""
    engine = create_engine("sqlite://")
    with engine.begin() as db:
        part("warehouse", "tables").metadata.create_all(db)
        part("warehouse", "sample").fill(db)
        first = {(r.sku, r.bin): r.quantity for r in db.execute(select(part("warehouse", "tables").stock))}
    moved: Counter[tuple[str, str]] = Counter(first)
    for sku, bin, delta in rows(server, url, "SELECT sku, bin, delta FROM movements"):
        moved[(sku, bin)] += delta
    now = {(sku, bin): quantity for sku, bin, quantity in rows(server, url, "SELECT sku, bin, quantity FROM stock")}
    assert {key: value for key, value in moved.items() if value} == {key: value for key, value in now.items() if value}
    assert min(now.values()) >= 0


# --- PostgreSQL as the central database ---


async def test_bookings_and_pick_lists_work_on_postgresql(server: Server, database: str, tmp_path: Path) -> None:
    async with opened(tmp_path, database) as tooling:
        picked = await call(tooling, "stock_pick", quantity=5, item="hex_bolts", bin="A14")
        assert picked.status is Status.OK and picked.values["left"] == 635
        taken_back = await tooling.dispatcher.undo(confirmed=True)
        assert taken_back.ok
        assert (await call(tooling, "pick_list_start", order="417")).ok
        assert (await call(tooling, "pick_list_next")).values["booking"]
    assert held(server, database, "A14", "472-B") == 628
    lines = rows(server, database, "SELECT state FROM pick_lines WHERE list = '417' ORDER BY position")
    assert lines == [("done",), ("open",), ("open",)]
    heard = rows(server, database, "SELECT kind, heard FROM bookings ORDER BY id")
    assert [kind for kind, _ in heard] == ["pick", "reverse", "line"]
    assert "hex_bolts" in heard[0][1]
    agree(server, database)


async def test_a_retry_of_the_same_call_returns_the_first_outcome(
    server: Server, database: str, tmp_path: Path
) -> None:
    async with opened(tmp_path, database) as tooling:
        host = tooling.hosts.host("warehouse")
        store = host.context.state["store"]
        booking = part("warehouse", "stock").Booking("same-1", "pick", "2026-11-21T09:00:00+00:00", "472-B", 7, "A14")
        first, second = await asyncio.gather(store.book(booking), store.book(booking))
        assert first.outcome["left"] == second.outcome["left"] == 633
    assert held(server, database, "A14", "472-B") == 633
    assert rows(server, database, "SELECT count(*) FROM movements") == [(1,)]


async def test_two_handsets_cannot_take_the_same_pieces(server: Server, database: str, tmp_path: Path) -> None:
    """18 hard hats, 60 tries from two handsets at once: 18 succeed, and everybody else hears how many are left."""
    async with opened(tmp_path / "a", database) as one, opened(tmp_path / "b", database) as two:
        tries = [call(handset, "stock_pick", quantity=1, item="hard_hats") for handset in (one, two) * 30]
        results = await asyncio.gather(*tries)
    kinds = Counter(result.status for result in results)
    assert kinds[Status.OK] == 18
    assert kinds[Status.NOT_FOUND] == 42  # none left
    assert held(server, database, "B4", "222-H") == 0
    agree(server, database)


# --- what may go wrong with it ---


async def test_down_at_the_start_is_noted_and_booked_once_when_it_is_back(
    server: Server, database: str, tmp_path: Path
) -> None:
    async with opened(tmp_path, database):
        pass  # it was up yesterday: the names are known
    server.stop()
    try:
        async with opened(tmp_path, database) as tooling:
            assert "hex_bolts" in tooling.registry.toolset()["stock_pick"].properties["item"]["enum"]
            noted = await call(tooling, "stock_pick", quantity=5, item="hex_bolts", bin="A14")
            assert (noted.status, noted.values["told"]) == (Status.PARTIAL, NOTED)
            looked = await call(tooling, "stock_lookup", item="hex_bolts")
            assert looked.values["told"] == "The stock system is offline, so I cannot look that up."
    finally:
        server.start()
    async with opened(tmp_path, database) as tooling:  # the appliance was off meanwhile
        synced = await call(tooling, "stock_sync")
        assert synced.values["told"] == "1 noted booking sent; everything is booked."
        assert (await call(tooling, "stock_sync")).values["sent"] == 0
    assert held(server, database, "A14", "472-B") == 635
    agree(server, database)


async def test_never_seen_and_down_says_so_and_does_nothing(server: Server, tmp_path: Path) -> None:
    async with opened(tmp_path, "postgresql://nobody@127.0.0.1:9/none") as tooling:
        result = await call(tooling, "stock_pick", quantity=5, sku="472-B")
        assert (
            result.values["told"] == "The stock system is offline, and I do not know its items yet. Nothing was done."
        )
        assert tooling.hosts.host("warehouse").context.state["store"].outbox.count() == 0


async def test_paused_longer_than_anyone_waits_is_noted_and_still_booked_once(
    server: Server, database: str, tmp_path: Path
) -> None:
    async with opened(tmp_path, database, patience_s=0.5) as tooling:
        await call(tooling, "stock_pick", quantity=1, item="hex_bolts", bin="A14")
        server.pause()
        try:
            results = [await call(tooling, "stock_pick", quantity=5, item="hex_bolts", bin="A14") for _ in range(2)]
        finally:
            server.resume()
        assert [result.values["told"] for result in results] == [NOTED, NOTED]
        await _until_sent(tooling)
    assert held(server, database, "A14", "472-B") == 629
    agree(server, database)


async def test_what_was_noted_but_cannot_be_booked_is_told(server: Server, database: str, tmp_path: Path) -> None:
    async with opened(tmp_path, database) as tooling:
        server.stop()
        try:
            noted = await call(tooling, "stock_pick", quantity=10, item="eye_bolts")
            assert noted.values["told"] == NOTED
        finally:
            server.start()
        await call(tooling, "stock_sync")
        ((_, _, label, kind),) = tooling.timers.pending()
        assert kind == "reminder" and "refused" in label and "Only 4 left in A 16, not 10" in label
    assert held(server, database, "A16", "474-B") == 4


async def test_a_database_that_ignores_changes_is_not_believed(server: Server, database: str, tmp_path: Path) -> None:
    async with opened(tmp_path, database) as tooling:
        rows_affected_by_nothing = (
            "CREATE FUNCTION ignore() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "CREATE TRIGGER lie BEFORE UPDATE ON stock FOR EACH ROW EXECUTE FUNCTION ignore()",
        )
        _execute(database, *rows_affected_by_nothing)
        result = await call(tooling, "stock_pick", quantity=5, item="hex_bolts", bin="A14")
        assert result.status is Status.FAILED and "Nothing was changed" in result.error
    assert held(server, database, "A14", "472-B") == 640
    assert rows(server, database, "SELECT count(*) FROM bookings") == [(0,)]


async def test_a_database_that_loses_what_it_committed_is_not_believed(
    server: Server, database: str, tmp_path: Path
) -> None:
    async with opened(tmp_path, database) as tooling:
        _execute(
            database,
            "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN DELETE FROM movements WHERE booking = NEW.id; DELETE FROM bookings WHERE id = NEW.id; RETURN NULL; END'",
            "CREATE CONSTRAINT TRIGGER lie AFTER INSERT ON bookings DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION lose()",
        )
        result = await call(tooling, "stock_pick", quantity=5, item="hex_bolts", bin="A14")
        assert result.status is Status.UNCONFIRMED
        assert result.error == "The stock system took it, but does not show it. Please check."


async def test_something_else_on_the_port_counts_as_offline(server: Server, database: str, tmp_path: Path) -> None:
    async with opened(tmp_path, database):
        pass
    with _babbler() as port:
        async with opened(tmp_path, f"postgresql://postgres@127.0.0.1:{port}/postgres") as tooling:
            result = await call(tooling, "stock_pick", quantity=5, item="hex_bolts", bin="A14")
            assert (result.status, result.values["told"]) == (Status.PARTIAL, NOTED)


async def test_a_damaged_embedded_database_is_told_and_nothing_else_is(tmp_path: Path) -> None:
    file = tmp_path / "plugins" / "warehouse" / "stock.db"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"this is no database" * 400)
    async with opened(tmp_path, "") as tooling:
        assert "warehouse" in tooling.faults
        result = await call(tooling, "stock_low")
        assert result.status is Status.FAILED
        assert result.error == "The stock system gave an answer that I cannot use. Nothing was changed."


async def test_three_hundred_noted_bookings_do_not_hold_up_the_next(
    server: Server, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path, database) as tooling:
        store = tooling.hosts.host("warehouse").context.state["store"]
        monkeypatch.setattr(sys.modules[type(store).__module__], "_INLINE_S", 0.01)  # no database is that quick
        outbox = store.outbox
        at = "2026-11-21T09:00:00+00:00"
        for number in range(300):
            outbox.add(part("warehouse", "stock").Booking(f"old-{number}", "pick", at, "310-S", 1, "A1"))
        result = await call(tooling, "stock_pick", quantity=5, item="wood_screws", bin="A1")
        assert result.values["told"] == "I noted it; earlier bookings are still being sent."
        await _until_sent(tooling)
    assert held(server, database, "A1", "310-S") == 2200 - 305
    last = rows(server, database, "SELECT call_id FROM bookings ORDER BY id DESC LIMIT 1")
    assert last == [(result.values["booking"],)]  # in the order in which they were said


# --- a thousand operations while connections are cut ---


async def test_a_thousand_bookings_with_connections_cut_lose_and_double_nothing(
    server: Server, database: str, tmp_path: Path
) -> None:
    random.seed(7)
    async with opened(tmp_path, database) as tooling:
        cuts = await _thousand(server, database, tooling)
        await _until_sent(tooling)
        outbox = tooling.hosts.host("warehouse").context.state["store"].outbox
        refused_later = {booking.call_id for booking, _ in outbox.refused()}
        entries = tooling.ledger.history(2000)
    print(f"{cuts} connections cut; {Counter(entry.status for entry in entries)}; refused later: {len(refused_later)}")
    assert len(entries) == 1000 and cuts > 50
    told_done = {str(entry.values["booking"]) for entry in entries if entry.status in ("ok", "partial")}
    booked = [call_id for (call_id,) in rows(server, database, "SELECT call_id FROM bookings")]
    assert len(booked) == len(set(booked))  # none doubled
    assert set(booked) == told_done - refused_later  # none lost, none that was not told
    assert {entry.status for entry in entries} <= {"ok", "partial", "refused", "not_found", "several"}
    assert len(booked) > 800
    agree(server, database)


async def _thousand(server: Server, database: str, tooling: Tooling) -> int:
    """1,000 random calls from four sides, while something keeps cutting their connections. Returns how many were cut."""
    over = threading.Event()
    cut = [0]

    def cutter() -> None:
        with server.connect() as db:
            while not over.wait(random.uniform(0.01, 0.06)):
                ended = db.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name <> 'referee'"
                    " ORDER BY random() LIMIT 1",
                    (database.rsplit("/", 1)[1],),
                ).fetchall()
                cut[0] += len(ended)

    thread = threading.Thread(target=cutter)
    thread.start()
    try:
        work = iter([_random_call() for _ in range(1000)])

        async def side() -> None:
            for tool, arguments in work:
                await call(tooling, tool, **arguments)

        await asyncio.gather(*(side() for _ in range(4)))
    finally:
        over.set()
        thread.join()
    return cut[0]


def _random_call() -> tuple[str, dict[str, Any]]:
    item, bin = random.choice(
        [("hex_bolts", "A14"), ("cable_ties", "A5"), ("wood_screws", "A1"), ("work_gloves", "B1")]
    )
    other = random.choice(["B2", "B3", "C9"])
    quantity = random.randint(1, 9)
    return random.choice(
        [
            ("stock_pick", {"quantity": quantity, "item": item, "bin": bin}),
            ("stock_put_away", {"quantity": quantity, "item": item, "bin": bin}),
            ("stock_put_away", {"quantity": quantity, "item": item, "bin": other}),
            ("stock_move", {"quantity": quantity, "item": item, "bin": bin, "to_bin": other}),
            ("stock_receive", {"quantity": quantity, "item": item}),
            ("stock_count", {"quantity": random.randint(50, 900), "item": item, "bin": bin}),
            ("stock_adjust", {"quantity": quantity, "item": item, "bin": bin, "reason": "damaged"}),
        ]
    )


async def _until_sent(tooling: Tooling) -> None:
    for _ in range(200):
        if (await call(tooling, "stock_sync")).status is Status.OK:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("what was noted could not be sent in 20 s")


def _execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        for statement in statements:
            db.execute(statement)


@contextmanager
def _babbler() -> Iterator[int]:
    """Something that answers every connection with nonsense."""

    class Nonsense(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(64)
            self.request.sendall(random.randbytes(200))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Nonsense) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield listening.server_address[1]
        listening.shutdown()
