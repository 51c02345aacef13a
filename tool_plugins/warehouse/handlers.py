"""Stock by voice: what the warehouse tools do with a call. The database work is in stock.py, being offline in store.py."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ParamSpec

from voice_needle.errors import StorageError
from voice_needle.events import Status
from voice_needle.plugin import Context, Result

from . import stock, words
from .central import Offline, database_url
from .picking import PickList
from .stock import Booking, Refusal
from .store import Store, opened
from .words import amount, bare, listed, place

P = ParamSpec("P")
Said = str | None  # a parameter that a call may leave out
_MANY = 6  # more bins or items than this are summed up, not read out


async def setup(ctx: Context) -> None:
    def told(booking: Booking, reason: str) -> None:
        with contextlib.suppress(StorageError):
            ctx.timers.add(
                ctx.clock.now(), f"a booking that I had noted was refused: {booking.heard}. {reason}", "reminder"
            )

    url = database_url(str(ctx.settings["database"] or ""), ctx.data_dir, ctx.settings.get("password"))
    budget_s = float(ctx.settings["patience_s"])
    store = opened(url, ctx.data_dir, ctx.log, budget_s=budget_s, with_sample=ctx.settings["sample"], told=told)
    ctx.state["store"] = store
    ctx.state["list"] = PickList(store.outbox)
    await store.open()
    store.watch(ctx.clock, float(ctx.settings["sync_every_s"]))


async def vocabularies(ctx: Context) -> Mapping[str, Mapping[str, list[str]]]:
    return {"item": await the_store(ctx).vocabulary()}


async def teardown(ctx: Context) -> None:
    store = ctx.state.pop("store", None)
    if store is not None:
        await store.close()


def the_store(ctx: Context) -> Store:
    store = ctx.state["store"]
    assert isinstance(store, Store)
    return store


# --- what is meant ---


class Answer(Exception):
    """The call ends here, with this result."""

    def __init__(self, result: Result) -> None:
        super().__init__(repr(result))
        self.result = result


def answering(handler: Callable[P, Awaitable[Result]]) -> Callable[P, Awaitable[Result]]:
    """A handler in which a question (Answer) and an absent database become the call's result."""

    @functools.wraps(handler)
    async def answered(*given: P.args, **named: P.kwargs) -> Result:
        try:
            return await handler(*given, **named)
        except Answer as early:
            return early.result
        except Offline:
            return Result.busy(told="The stock system is offline, so I cannot look that up.")

    return answered


def _ask(parameter: str, told: str, options: list[str] | None = None) -> Answer:
    """One short question; the answer fills `parameter` of the same call."""
    return Answer(Result.several(ask=parameter, told=told, options=options or []))


async def _item(ctx: Context, item: Said, sku: Said, bin: Said = None) -> Mapping[str, Any]:
    """The item that was named, or whose SKU was spelled, or the only one in `bin`. Errors: Answer with a question."""
    store = the_store(ctx)
    skus = await store.names()
    if not skus:
        raise Answer(
            Result.busy(told="The stock system is offline, and I do not know its items yet. Nothing was done.")
        )
    if item is None and sku is None and bin is not None:
        held = await _inside(ctx, bin)
        if len(held) == 1:
            return held[0][0]
    if item is None and sku is None:
        raise _ask("item", "Which item?")
    named = skus.get(item) if item is not None else None
    if item is not None and named is None:
        raise Answer(Result.not_found(told=f"I know no {item.replace('_', ' ')}."))
    if named is not None and sku is not None and named != sku:
        raise _ask("item", f"{sku} is something else. Which item?", [str(item).replace("_", " ")])
    wanted = named or str(sku)
    found = store.remembered(wanted)
    if found is not None:
        return found
    near = [name for name in skus.values() if name.startswith(wanted.split("-")[0])][:3]
    if near:
        raise _ask("sku", f"There is no {wanted}. Did you mean {listed(near, 'or')}?", near)
    raise Answer(Result.not_found(told=f"There is no item with the number {wanted}."))


async def _inside(ctx: Context, bin: str) -> list[tuple[Mapping[str, Any], int]]:
    """(item, quantity) of all in a bin. Errors: Answer for a bin that is not there."""
    try:
        return await the_store(ctx).ask(lambda db: stock.inside(db, stock.bin_of(db, bin)))
    except Refusal as error:
        raise Answer(_no_bin(error, "bin")) from error


def _no_bin(no: Refusal, parameter: str) -> Result:
    """There is no such bin: a question where another one sounds alike."""
    code, near = no.values["bin"], no.values["near"]
    told = words.unknown_bin(code, near)
    return Result.several(ask=parameter, options=near, told=told) if near else Result.not_found(told=told, bin=code)


def _in_own_unit(quantity: int, unit: str | None, item: Mapping[str, Any]) -> int:
    """A quantity in the item's own unit: two boxes are 200. Errors: Answer where the item has no such unit."""
    if unit is None or unit == item["unit"]:
        return quantity
    if unit == item["pack"]:
        return quantity * int(item["pack_size"])
    own, pack = words.plural(item["unit"]), words.plural(item["pack"] or "")
    packs = f" or in {pack} of {item['pack_size']}" if item["pack"] else ""
    told = f"I count {item['plural']} in {own}{packs}, not in {words.plural(unit)}. Nothing was changed."
    raise Answer(Result(Status.REFUSED, told=told))


# --- looking up ---


@answering
async def stock_lookup(ctx: Context, item: Said = None, sku: Said = None, bin: Said = None) -> Result:
    row = await _item(ctx, item, sku)
    places = await the_store(ctx).ask(lambda db: stock.where_is(db, row["sku"]))
    values: dict[str, Any] = {"item": words.key(row), "sku": row["sku"], "total": sum(places.values())}
    if bin is not None:
        return Result(**values, count=places.get(bin, 0), told=_there(row, bin, places))
    if len(places) == 1:
        values["bin"] = next(iter(places))
    return Result(**values, count=values["total"], told=_everywhere(row, places))


def _there(row: Mapping[str, Any], bin: str, places: Mapping[str, int]) -> str:
    held = places.get(bin, 0)
    elsewhere = [place(code) for code in places if code != bin]
    where = f" They are in {listed(elsewhere[:_MANY])}." if elsewhere and not held else ""
    verb = "is" if held == 1 else "are"
    return f"There {verb} {amount(held, row)} in {place(bin)}.{where}"


def _everywhere(row: Mapping[str, Any], places: Mapping[str, int]) -> str:
    if not places:
        return f"There are no {row['plural']} left."
    total = amount(sum(places.values()), row)
    if len(places) == 1:
        return f"There {'is' if sum(places.values()) == 1 else 'are'} {total}, in {place(next(iter(places)))}."
    parts = [f"{bare(held, row)} in {place(code)}" for code, held in list(places.items())[:_MANY]]
    more = ", and more in other bins" if len(places) > _MANY else ""
    return f"There are {total}: {listed(parts)}{more}."


@answering
async def bin_contents(ctx: Context, bin: str) -> Result:
    held = await _inside(ctx, bin)
    if not held:
        return Result(bin=bin, items=[], told=f"{place(bin)} is empty.")
    parts = [amount(quantity, row) for row, quantity in held[:_MANY]]
    more = f", and {len(held) - _MANY} more kinds" if len(held) > _MANY else ""
    items = [row["sku"] for row, _ in held]
    told = f"{'On' if bin == stock.DOCK else 'In'} {place(bin)}: {listed(parts)}{more}."
    return Result(bin=bin, items=items, told=told, **({"item": words.key(held[0][0])} if len(held) == 1 else {}))


async def dock_contents(ctx: Context) -> Result:
    return await bin_contents(ctx, stock.DOCK)


@answering
async def stock_low(ctx: Context) -> Result:
    low = await the_store(ctx).ask(stock.running_low)
    if not low:
        return Result(items=[], told="Nothing is running low.")
    parts = [amount(left, row) for row, left in low[:_MANY]]
    more = f", and {len(low) - _MANY} more items" if len(low) > _MANY else ""
    return Result(items=[row["sku"] for row, _ in low], told=f"Running low: {listed(parts)}{more}.")


# --- booking ---


def new_booking(ctx: Context, kind: str, **values: Any) -> Booking:
    at, station = ctx.clock.now().isoformat(), str(ctx.settings["station"] or "")
    return Booking(call_id=ctx.call_id, kind=kind, at=at, station=station, heard=ctx.heard, **values)


async def _book(ctx: Context, kind: str, row: Mapping[str, Any] | None, **values: Any) -> Result:
    """Book something of the item in `row`, and say what is true of it. values: the other fields of the booking."""
    booking = new_booking(ctx, kind, sku=row["sku"] if row else "", **values)
    try:
        booked = await the_store(ctx).book(booking)
    except Refusal as no:
        if no.kind == "unknown_bin":
            return _no_bin(no, "to_bin" if no.values["bin"] == booking.to_bin else "bin")
        return _no(no, row)
    if booked.noted:
        reason = "earlier bookings are still being sent" if booked.behind else "the stock system is offline"
        return Result.partial(told=f"I noted it; {reason}.", booking=booking.call_id, noted=True)
    outcome = {key: value for key, value in booked.outcome.items() if key not in ("told", "item")}
    item = {"item": words.key(row)} if row else {}
    return Result(told=words.booked(kind, booked.outcome, row), **outcome, **item)


def _no(no: Refusal, row: Mapping[str, Any] | None) -> Result:
    if no.kind == "which_bin" and row is not None:
        held = no.values["bins"]
        parts = [f"{bare(quantity, row)} in {place(code)}" for code, quantity in held.items()]
        return Result.several(ask="bin", options=list(held), told=f"There are {listed(parts)}. Which bin?")
    told = words.refusal(no.kind, no.values, row)
    status = (
        Status.NOT_FOUND if no.kind in ("not_in_bin", "none_left", "unknown_bin", "unknown_item") else Status.REFUSED
    )
    return Result(status, told=told, **{key: value for key, value in no.values.items() if key != "sku"})


@answering
async def stock_pick(
    ctx: Context, quantity: int, unit: Said = None, item: Said = None, sku: Said = None, bin: Said = None
) -> Result:
    row = await _item(ctx, item, sku, bin)
    return await _book(ctx, "pick", row, quantity=_in_own_unit(quantity, unit, row), bin=bin)


@answering
async def stock_put_away(
    ctx: Context, bin: str, quantity: int | None = None, unit: Said = None, item: Said = None, sku: Said = None
) -> Result:
    if quantity is None:
        raise _ask("quantity", "How many?")
    row = await _item(ctx, item, sku)
    return await _book(ctx, "put_away", row, quantity=_in_own_unit(quantity, unit, row), bin=bin)


@answering
async def stock_move(
    ctx: Context,
    to_bin: str,
    quantity: int | None = None,
    unit: Said = None,
    item: Said = None,
    sku: Said = None,
    bin: Said = None,
) -> Result:
    row = await _item(ctx, item, sku, bin)
    wanted = _in_own_unit(quantity, unit, row) if quantity is not None else None
    return await _book(ctx, "move", row, quantity=wanted, bin=bin, to_bin=to_bin)


@answering
async def stock_receive(ctx: Context, quantity: int, unit: Said = None, item: Said = None, sku: Said = None) -> Result:
    row = await _item(ctx, item, sku)
    return await _book(ctx, "receive", row, quantity=_in_own_unit(quantity, unit, row))


@answering
async def stock_count(
    ctx: Context, quantity: int, unit: Said = None, item: Said = None, sku: Said = None, bin: Said = None
) -> Result:
    row = await _item(ctx, item, sku, bin)
    return await _book(ctx, "count", row, quantity=_in_own_unit(quantity, unit, row), bin=bin)


@answering
async def stock_adjust(
    ctx: Context, quantity: int, reason: str, unit: Said = None, item: Said = None, sku: Said = None, bin: Said = None
) -> Result:
    row = await _item(ctx, item, sku, bin)
    return await _book(ctx, "adjust", row, quantity=_in_own_unit(quantity, unit, row), bin=bin, reason=reason)


async def booking_reverse(ctx: Context, booking: str) -> Result:
    """Only reached through undo."""
    made = await _book(ctx, "reverse", None, reverses=booking)
    if made.status in (Status.OK, Status.PARTIAL):
        ctx.state["list"].reopen(booking)
    return made


async def stock_sync(ctx: Context) -> Result:
    """How many bookings wait, after trying to send them."""
    store = the_store(ctx)
    with contextlib.suppress(Offline):
        sent = await store.send()
        refused = len(store.outbox.refused())
        fate = f" {refused} noted earlier had been refused." if refused else ""
        done = f"{sent} noted booking{'' if sent == 1 else 's'} sent; " if sent else ""
        return Result(sent=sent, waiting=0, told=f"{done}everything is booked.{fate}".capitalize())
    waiting = store.outbox.count()
    told = f"The stock system is offline; {waiting or 'no'} booking{'' if waiting == 1 else 's'} waiting."
    return Result.busy(waiting=waiting, told=told)
