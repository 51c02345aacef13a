"""Picking by voice: "start list four one seven", "next", "short three", "skip", "repeat that", "stop picking"."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from voice_needle.events import Status
from voice_needle.plugin import Context, Result

from .handlers import Answer, answering, new_booking, the_store
from .picking import Line, PickList
from .stock import Refusal
from .tables import pick_lines, pick_lists
from .words import amount, listed, place


def _list(ctx: Context) -> PickList:
    found = ctx.state["list"]
    assert isinstance(found, PickList)
    return found


def _line(ctx: Context) -> Line:
    """The line in hand. Errors: Answer when there is none."""
    line = _list(ctx).current()
    if line is None:
        raise Answer(Result.not_found(told="There is no pick list in hand."))
    return line


def _spoken(ctx: Context, line: Line) -> str:
    row = the_store(ctx).remembered(line.sku) or {"unit": "piece", "name": line.sku, "plural": line.sku}
    return f"{place(line.bin)}: {amount(line.wanted, row)}."


def _onward(ctx: Context, before: str = "") -> str:
    """The next line, or the end of the list with what was left out."""
    picking = _list(ctx)
    line = picking.current()
    if line is not None:
        return f"{before}{'Again, ' if line.state == 'skipped' else ''}{_spoken(ctx, line)}"
    left = [place(line.bin) for line in picking.lines() if line.state == "left"]
    code = picking.code
    picking.drop()
    return f"{before}List {code} is done{f', but for {listed(left)}' if left else ''}."


@answering
async def pick_list_start(ctx: Context, order: str | None = None) -> Result:
    await the_store(ctx).names()  # kept for when the network is gone

    def read(db: Any) -> Any:
        open_lists = select(pick_lists.c.code).where(pick_lists.c.state == "open").order_by(pick_lists.c.code)
        codes = [row.code for row in db.execute(open_lists)]
        code = order or next(iter(codes), None)
        wanted = (pick_lines.c.list == code) & (pick_lines.c.state == "open")
        rows = db.execute(select(pick_lines).where(wanted).order_by(pick_lines.c.position)).mappings()
        return code, codes, [dict(row) for row in rows]

    code, codes, lines = await the_store(ctx).ask(read)
    if not lines:
        others = f" Open lists: {listed(codes)}." if codes else ""
        return Result.not_found(told=f"There is no open list{f' {code}' if code else ''}.{others}")
    _list(ctx).start(code, lines)
    many = f"{len(lines)} line{'s' if len(lines) != 1 else ''}"
    return Result(list=code, lines=len(lines), told=f"List {code}, {many}. {_onward(ctx)}")


async def _take(ctx: Context, line: Line, taken: int, before: str) -> Result:
    code = _list(ctx).code or ""
    booking = new_booking(ctx, "line", line=(code, line.position), quantity=taken, sku=line.sku)
    try:
        booked = await the_store(ctx).book(booking)
    except Refusal as no:
        return _not_booked(ctx, line, no)
    _list(ctx).booked(line, booking.call_id)
    values = {"booking": booking.call_id, "list": code, "bin": line.bin, "quantity": taken, "sku": line.sku}
    if booked.noted:
        return Result.partial(told=_onward(ctx, "Noted, the stock system is offline. "), noted=True, **values)
    return Result(told=_onward(ctx, before), **values)


def _not_booked(ctx: Context, line: Line, no: Refusal) -> Result:
    if no.kind in ("line_done", "no_such_line"):  # by somebody else, or just before the power went
        _list(ctx).booked(line, "")
        return Result(told=_onward(ctx, "That line was booked before. "))
    held = no.values.get("held", 0)
    if no.kind == "too_few":
        told = f"The stock system knows of only {held} in {place(line.bin)}. Nothing was booked. How many are there?"
    else:
        told = f"The stock system knows of none in {place(line.bin)}. Nothing was booked. Say skip, or count the bin."
    return Result(Status.REFUSED, told=told, held=held)


@answering
async def pick_list_next(ctx: Context) -> Result:
    """The line in hand was picked as wanted."""
    line = _line(ctx)
    return await _take(ctx, line, line.wanted, "")


@answering
async def pick_list_short(ctx: Context, missing: int | None = None, found: int | None = None) -> Result:
    """Fewer than wanted: so many are missing, or so many were found."""
    line = _line(ctx)
    if missing is None and found is None:
        raise Answer(Result.several(ask="missing", told="How many are missing?", options=[]))
    taken = found if found is not None else line.wanted - int(missing or 0)
    if not 0 <= taken <= line.wanted:
        told = f"Only {line.wanted} are wanted. Nothing was booked."
        return Result(Status.REFUSED, told=told)
    row = the_store(ctx).remembered(line.sku)
    booked = amount(taken, row) if row else str(taken)
    return await _take(ctx, line, taken, f"Booked {booked}. ")


@answering
async def pick_list_skip(ctx: Context) -> Result:
    _list(ctx).skip(_line(ctx))
    return Result(told=_onward(ctx, "Skipped. "))


@answering
async def pick_list_where(ctx: Context) -> Result:
    line = _line(ctx)
    left = sum(item.state in ("open", "skipped") for item in _list(ctx).lines())
    return Result(told=f"{_spoken(ctx, line)} {left} line{'s' if left != 1 else ''} to go.", left=left)


@answering
async def pick_list_stop(ctx: Context) -> Result:
    left = sum(item.state != "booked" for item in _list(ctx).lines())
    _line(ctx)
    code = _list(ctx).code
    _list(ctx).drop()
    return Result(told=f"List {code} put down with {left} line{'s' if left != 1 else ''} open.", left=left)
