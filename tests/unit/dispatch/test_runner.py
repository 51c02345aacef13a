from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from dispatch_desk import Desk, until

from voice_needle.events import Call, CallEnded, LateResultRefused, Status

SWITCH = """
tools:
  switch:
    description: Switch.
    parameters: {state: {enum: [on, off]}, room: {type: string, default: $room}}
    handler: {python: "handlers.py:switch"}
    policy: {POLICY}
"""


@dataclass
class Turn:
    turn: int = 7
    alive: bool = True

    def live(self) -> bool:
        return self.alive


def switch(desk: Desk, policy: str, body: str) -> Desk:
    desk.plugin(
        "home",
        SWITCH.replace("POLICY", policy),
        f"""
        import asyncio, time
        from voice_needle.errors import *
        from voice_needle.plugin import Result
        def note(text):
            with open({str(desk.written)!r}, "a") as file:
                file.write(text + "\\n")
        {body}
        """,
    )
    return desk.open()


ASYNC = "async def switch(ctx, state, room):\n            "


async def test_a_call_runs_and_is_in_the_ledger(desk: Desk) -> None:
    switch(
        desk,
        "confirm: never",
        ASYNC + "note(f'{state} {room} {ctx.heard} {ctx.call_id}'); return Result(previous='off')",
    )
    (result,) = await desk.do(Call("switch", {"state": "on"}), room="kitchen", heard="light on", scope=Turn())
    assert (result.status, result.values, result.call.arguments["room"]) == (Status.OK, {"previous": "off"}, "kitchen")
    assert desk.lines() == [f"on kitchen light on {desk.ledger.uid}-1"]
    assert desk.kinds() == ["CallStarted", "CallEnded"] and desk.events[0].turn == 7
    (entry,) = desk.dispatcher.history()
    assert (entry.status, entry.heard, entry.call.tool, entry.turn) == ("ok", "light on", "switch", 7)


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        ("ToolUnreachable('x')", Status.UNREACHABLE),
        ("ToolUnconfirmed('x')", Status.UNCONFIRMED),
        ("ToolRefused('x')", Status.REFUSED),
        ("ToolTimeout('x')", Status.TIMEOUT),
        ("ToolFailed('x')", Status.FAILED),
        ("ValueError('x')", Status.FAILED),
        ("KeyError(1)", Status.FAILED),
        ("SystemExit(3)", Status.FAILED),
    ],
)
@pytest.mark.parametrize("kind", ["async def", "def"])
async def test_what_a_handler_raises_is_told(desk: Desk, kind: str, raised: str, status: Status) -> None:
    switch(desk, "confirm: never", f"{kind} switch(ctx, state, room):\n            raise {raised}")
    (result,) = await desk.do(Call("switch", {"state": "on", "room": "x"}))
    assert result.status is status and result.error.endswith(".")
    assert desk.dispatcher.history()[0].status == status.value


async def test_arguments_are_checked_before_anything_runs(desk: Desk) -> None:
    switch(desk, "confirm: never", ASYNC + "note('ran')")
    wrong = [Call("switch", {"state": "dim", "room": "x"}), Call("switch", {"room": "x"}), Call("swich")]
    unknown = Call("switch", {"state": "on", "room": "x", "colour": "red"})
    results = await desk.do(*wrong, unknown, Call("switch", {"state": "on"}))
    assert [result.status for result in results] == [Status.REFUSED] * 5
    assert results[0].error == "I do not know the state dim. It can be on or off."
    assert results[1].values == {"parameter": "state"}
    assert results[4].values == {"parameter": "room"}  # $room, and nobody knows where we are
    assert desk.lines() == [] and desk.dispatcher.history() == []


async def test_no_path_goes_round_a_confirmation(desk: Desk) -> None:
    switch(desk, "risk: high", ASYNC + "note('ran')")
    call = Call("switch", {"state": "on", "room": "x"})
    assert desk.dispatcher.to_confirm([call], 1.0) == (call,)
    (result,) = await desk.do(call, confidence=1.0)
    assert result.status is Status.REFUSED and desk.lines() == []
    (result,) = await desk.do(call, confirmed=True)
    assert result.ok and desk.lines() == ["ran"]


async def test_unsure_asks_under_the_threshold_of_its_risk(desk: Desk) -> None:
    switch(desk, "risk: medium, confirm: unsure", ASYNC + "note('ran')")
    call = Call("switch", {"state": "on", "room": "x"})
    assert (await desk.do(call, confidence=0.79))[0].status is Status.REFUSED
    assert (await desk.do(call, confidence=0.81))[0].ok


async def test_a_call_past_its_limit_is_unknown_and_its_late_result_refused(scripted: Desk) -> None:
    desk = switch(
        scripted, "confirm: never, timeout_ms: 1000", ASYNC + "await ctx.clock.sleep(5); note('ran'); return Result()"
    )
    doing = asyncio.ensure_future(desk.do(Call("switch", {"state": "on", "room": "x"})))
    await _begun(desk)
    await desk.clock.advance(1.0)  # type: ignore[attr-defined]
    (result,) = await doing
    assert result.status is Status.TIMEOUT and result.elapsed_ms == pytest.approx(1000)
    await desk.clock.advance(10.0)  # type: ignore[attr-defined]
    assert desk.lines() == []  # it was cancelled at its await


async def test_a_sync_handler_that_ends_late_is_refused(scripted: Desk) -> None:
    desk = switch(
        scripted,
        "confirm: never, timeout_ms: 1000",
        "import threading\n        gate = threading.Event()\n        def switch(ctx, state, room):\n            gate.wait(10); return Result()",
    )
    doing = asyncio.ensure_future(desk.do(Call("switch", {"state": "on", "room": "x"})))
    await _begun(desk)
    await desk.clock.advance(1.0)  # type: ignore[attr-defined]
    (result,) = await doing
    assert result.status is Status.TIMEOUT
    desk.hosts.host("home")._code._module("handlers").gate.set()  # type: ignore[attr-defined]
    await until(lambda: any(isinstance(event, LateResultRefused) for event in desk.events))
    assert sum(isinstance(event, CallEnded) for event in desk.events) == 1
    assert desk.dispatcher.history()[0].status == "timeout"


async def _begun(desk: Desk) -> None:
    """Until the handler has been started (the ledger's thread is real, whatever the clock)."""
    await until(lambda: "CallStarted" in desk.kinds())
    for _ in range(20):
        await asyncio.sleep(0.001)


async def test_retries_only_where_idempotent(desk: Desk) -> None:
    body = ASYNC + "note('try'); raise ToolUnreachable('x')"
    switch(desk, "confirm: never, retries: 2, idempotent: true", body)
    (result,) = await desk.do(Call("switch", {"state": "on", "room": "x"}))
    assert desk.lines() == ["try"] * 3 and result.status is Status.UNREACHABLE
    assert len(desk.dispatcher.history()) == 1


async def test_without_idempotence_there_is_one_attempt(desk: Desk) -> None:
    switch(desk, "confirm: never", ASYNC + "note('try'); raise ToolUnreachable('x')")
    await desk.do(Call("switch", {"state": "on", "room": "x"}))
    assert desk.lines() == ["try"]


async def test_a_dead_turn_begins_nothing(desk: Desk) -> None:
    switch(desk, "confirm: never", ASYNC + "note('ran')")
    (result,) = await desk.do(Call("switch", {"state": "on", "room": "x"}), scope=Turn(alive=False))
    assert result.status is Status.CANCELLED and desk.lines() == [] and desk.dispatcher.history() == []


@pytest.mark.parametrize(
    ("wish", "status", "lines"),
    [
        ("cancel", Status.CANCELLED, ["begin"]),
        ("finish", Status.OK, ["begin", "end"]),
        ("ask", Status.OK, ["begin", "end"]),
    ],
)
async def test_cancellation_follows_the_policy(desk: Desk, wish: str, status: Status, lines: list[str]) -> None:
    body = ASYNC + "note('begin'); await ctx.state.setdefault('gate', asyncio.Event()).wait(); note('end')"
    switch(desk, f"confirm: never, on_barge_in: {wish}", body)
    first, second = Call("switch", {"state": "on", "room": "x"}), Call("switch", {"state": "off", "room": "y"})
    doing = asyncio.ensure_future(desk.do(first, second, scope=Turn()))
    await until(desk.lines)
    cancelled = desk.dispatcher.cancel(7)
    assert [len(cancelled.stopped), len(cancelled.finishing), len(cancelled.asking)] == {
        "cancel": [2, 0, 0], "finish": [1, 1, 0], "ask": [1, 0, 1],
    }[wish]  # fmt: skip
    desk.hosts.host("home").context.state["gate"].set()
    results = await doing
    assert [result.status for result in results] == [status, Status.CANCELLED]
    assert desk.lines() == lines
    assert desk.dispatcher.history()[0].status == status.value


async def test_a_chain_takes_values_from_the_call_before(desk: Desk) -> None:
    _warehouse(desk, "return Result(bin='A14', order=order)")
    results = await desk.do(Call("find", {"order": "9"}), Call("move", {"to": "B7"}))
    assert [result.status for result in results] == [Status.OK, Status.OK]
    assert desk.lines() == ["A14 -> B7"]


@pytest.mark.parametrize("found", ["return Result.not_found()", "return Result()", "raise ToolUnreachable('x')"])
async def test_a_chain_stops_truthfully(desk: Desk, found: str) -> None:
    _warehouse(desk, found)
    results = await desk.do(Call("find", {"order": "9"}), Call("move", {"to": "B7"}), Call("lamp"))
    assert not results[1].ok and results[1].error
    assert desk.lines() == ["lamp"]  # what has nothing to do with it is still done


def _warehouse(desk: Desk, find: str) -> None:
    desk.plugin(
        "stock",
        """
        tools:
          find: {description: Find., parameters: {order: {type: identifier}}, handler: {python: "handlers.py:find"},
                 policy: {confirm: never, changes_state: false}}
          move: {description: Move., parameters: {bin: {type: identifier}, to: {type: identifier}},
                 handler: {python: "handlers.py:move"}, policy: {confirm: never, risk: medium}, bindings: {bin: find.bin}}
        """,
        f"""
        from voice_needle.errors import ToolUnreachable
        from voice_needle.plugin import Result
        def find(ctx, order):
            {find}
        def move(ctx, bin, to):
            open({str(desk.written)!r}, "a").write(f"{{bin}} -> {{to}}\\n")
        """,
    )
    desk.plugin(
        "lamps",
        'tools: {lamp: {description: Lamp., handler: {python: "handlers.py:lamp"}, policy: {confirm: never}}}',
        f"""
        def lamp(ctx):
            open({str(desk.written)!r}, "a").write("lamp\\n")
        """,
    )
    desk.open()


async def test_undo_takes_back_the_last_call_once(desk: Desk) -> None:
    policy = "confirm: never, undo: {tool: switch, arguments: {state: $result.previous, room: $room}}"
    switch(desk, policy, ASYNC + "note(f'{state} {room}'); return Result(previous='off' if state == 'on' else 'on')")
    await desk.do(Call("switch", {"state": "on", "room": "attic"}), Call("switch", {"state": "on", "room": "hall"}))
    first, second, third = [await desk.dispatcher.undo() for _ in range(3)]
    assert first.ok and second.ok and third.status is Status.NOT_FOUND
    assert desk.lines() == ["on attic", "on hall", "off hall", "off attic"]


async def test_undo_never_takes_back_an_older_call_instead(desk: Desk) -> None:
    desk.plugin(
        "home",
        """
        tools:
          a: {description: A., handler: {python: "handlers.py:a"}, policy: {confirm: never, undo: {tool: a}}}
          b: {description: B., handler: {python: "handlers.py:a"}, policy: {confirm: never}}
        """,
        f"""
        def a(ctx):
            open({str(desk.written)!r}, "a").write("ran\\n")
        """,
    )
    desk.open()
    await desk.do("a", "b")
    assert (await desk.dispatcher.undo()).status is Status.REFUSED
    assert desk.lines() == ["ran", "ran"]


async def test_a_circuit_breaker_tells_the_truth(scripted: Desk) -> None:
    desk = switch(
        scripted,
        "confirm: never",
        ASYNC + "note('try')\n            if ctx.state.get('up') is None: raise ToolUnreachable('x')",
    )
    call = Call("switch", {"state": "on", "room": "x"})
    for _ in range(3):
        await desk.do(call)
    (result,) = await desk.do(call)
    assert result.status is Status.UNREACHABLE and "did not try" in result.error and len(desk.lines()) == 3
    await desk.clock.advance(31)  # type: ignore[attr-defined]
    await desk.do(call)  # half open: one try, still down
    await desk.do(call)
    assert len(desk.lines()) == 4
    await desk.clock.advance(31)  # type: ignore[attr-defined]
    desk.hosts.host("home").context.state["up"] = True
    assert (await desk.do(call))[0].ok and (await desk.do(call))[0].ok


async def test_conditions_forbid_with_their_reason(desk: Desk) -> None:
    body = ASYNC + "note('ran')\n        def condition_stationary(ctx):\n            return ctx.state.get('why')"
    switch(desk, "confirm: never, requires: [stationary]", body)
    call = Call("switch", {"state": "on", "room": "x"})
    assert (await desk.do(call))[0].ok
    desk.hosts.host("home").context.state["why"] = "the car is moving"
    (result,) = await desk.do(call)
    assert (result.status, result.error) == (Status.REFUSED, "I may not do that now: the car is moving.")
    assert desk.lines() == ["ran"]


async def test_one_hanging_plugin_does_not_block_another(desk: Desk) -> None:
    desk.plugin(
        "slow",
        'tools: {hang: {description: H., handler: {python: "handlers.py:hang"}, policy: {confirm: never, timeout_ms: 60000}}}',
        """
        import threading
        gate = threading.Event()
        def hang(ctx):
            gate.wait(30)
        """,
    )
    switch(desk, "confirm: never", "def switch(ctx, state, room):\n            note('ran')")
    hanging = asyncio.ensure_future(desk.do("hang"))
    await _begun(desk)
    assert (await desk.do(Call("switch", {"state": "on", "room": "x"})))[0].ok
    assert not hanging.done()
    desk.hosts.host("slow")._code._module("handlers").gate.set()  # type: ignore[attr-defined]
    assert (await hanging)[0].ok


async def test_a_call_that_waits_behind_a_hanging_one_never_happens(scripted: Desk) -> None:
    desk = switch(
        scripted,
        "confirm: never, timeout_ms: 1000",
        "import threading\n        gate = threading.Event()\n        def switch(ctx, state, room):\n            note(room); gate.wait(10)",
    )
    first = asyncio.ensure_future(desk.do(Call("switch", {"state": "on", "room": "a"})))
    await _begun(desk)
    await desk.clock.advance(0.5)  # type: ignore[attr-defined]
    second = asyncio.ensure_future(desk.do(Call("switch", {"state": "on", "room": "b"})))
    await until(lambda: desk.kinds().count("CallStarted") == 2)
    assert desk.dispatcher.stop(Call("switch", {"state": "on", "room": "b"}))
    (result,) = await second
    assert result.status is Status.CANCELLED and result.values == {"may_have_happened": False}
    await desk.clock.advance(1.0)  # type: ignore[attr-defined]
    await first
    desk.hosts.host("home")._code._module("handlers").gate.set()  # type: ignore[attr-defined]
    assert desk.lines() == ["a"]


async def test_setup_runs_once_and_again_after_it_failed(desk: Desk) -> None:
    body = (
        ASYNC
        + "note('ran')\n        async def setup(ctx):\n            note('setup')\n            if not ctx.data_dir.joinpath('up').exists(): raise ToolUnreachable('down')"
    )
    switch(desk, "confirm: never", body)
    call = Call("switch", {"state": "on", "room": "x"})
    assert set(await desk.hosts.start()) == {"home"}
    assert (await desk.do(call))[0].status is Status.UNREACHABLE
    assert desk.dispatcher.history() == []  # nothing was begun
    (desk.folder / "data" / "home" / "up").touch()
    assert [result.ok for result in await desk.do(call, call)] == [True, True]
    assert desk.lines() == ["setup", "setup", "setup", "ran", "ran"]


async def test_secrets_reach_the_handler_and_nothing_else(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    from voice_needle.secrets import Secrets

    desk.secrets = Secrets({"token": "hunter2hunter2"})
    desk.settings = {"home": {"token": {"secret": "token"}}}
    switch(desk, "confirm: never", ASYNC + "note(ctx.settings['token']); return Result(token=ctx.settings['token'])")
    await desk.do(Call("switch", {"state": "on", "room": "hunter2hunter2"}), heard="my password is hunter2hunter2")
    assert desk.lines() == ["hunter2hunter2"]
    await desk.dispatcher.close()
    kept = b"".join(path.read_bytes() for path in desk.folder.glob("ledger.sqlite*"))
    assert b"switch" in kept and b"hunter2" not in kept


async def test_a_missing_secret_stops_only_its_plugin(desk: Desk) -> None:
    desk.settings = {"home": {"token": {"secret": "token"}}}
    switch(desk, "confirm: never", ASYNC + "note('ran')")
    (result,) = await desk.do(Call("switch", {"state": "on", "room": "x"}))
    assert result.status is Status.FAILED and "password" in result.error and "Fault" in desk.kinds()


async def test_names_found_at_run_time_join_the_vocabulary(desk: Desk) -> None:
    desk.plugin(
        "home",
        """
        vocabularies: {device: {}}
        tools:
          dim: {description: Dim., parameters: {device: {vocabulary: device}}, handler: {python: "handlers.py:dim"}, policy: {confirm: never}}
        """,
        """
        def dim(ctx, device): ...
        async def vocabularies(ctx):
            return {"device": {"lamp_3": ["reading lamp"]}}
        """,
    )
    desk.open()
    assert (await desk.do(Call("dim", {"device": "lamp_3"})))[0].status is Status.REFUSED
    assert await desk.dispatcher.refresh() is True
    assert desk.registry.tool("dim").properties["device"]["x-spoken"] == {"lamp_3": ["reading lamp"]}
    assert (await desk.do(Call("dim", {"device": "lamp_3"})))[0].ok
    assert await desk.dispatcher.refresh() is False


async def test_hot_reload_swaps_the_code(desk: Desk) -> None:
    switch(
        desk,
        "confirm: never",
        "def switch(ctx, state, room):\n            note('old')\n        def teardown(ctx):\n            note('closed')",
    )
    call = Call("switch", {"state": "on", "room": "x"})
    await desk.do(call)
    assert not desk.registry.changed()
    handlers = desk.plugins / "home" / "handlers.py"
    handlers.write_text(handlers.read_text().replace("'old'", "'fresh'"))
    assert desk.registry.changed()
    assert not await desk.dispatcher.reload()
    await desk.do(call)
    assert desk.lines() == ["old", "closed", "fresh"] and not desk.registry.changed()
