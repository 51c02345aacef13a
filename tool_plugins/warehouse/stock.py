"""What happens to stock: bookings, each applied exactly once in one transaction, with an optimistic lock and a trail.

Every function here takes an open connection inside a transaction; committing, retrying and being offline are central.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from .tables import bins, bookings, items, movements, pick_lines, pick_lists, stock

DOCK = "DOCK"  # where received goods stand until they are put away


class Conflict(Exception):
    """Somebody else changed the row first: roll back and do it again."""


class Refusal(Exception):
    """The booking cannot be made, and nothing was changed. kind: unknown_item, unknown_bin, which_bin, too_few, ..."""

    def __init__(self, kind: str, **values: Any) -> None:
        super().__init__(f"{kind} {values}")
        self.kind = kind
        self.values = values


@dataclass(frozen=True)
class Booking:
    """One change of stock as it was asked for; enough to be made later, on another machine.

    kind: pick | put_away | move | count | receive | adjust | line | reverse. quantity in the item's own unit; None: all.
    line: (pick list, position) for kind "line". reverses: the call_id of the booking to take back.
    """

    call_id: str
    kind: str
    at: str  # ISO 8601 with zone
    sku: str = ""
    quantity: int | None = None
    bin: str | None = None
    to_bin: str | None = None
    reason: str = ""
    line: tuple[str, int] | None = None
    reverses: str | None = None
    station: str = ""
    heard: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Booking:
        line = given.get("line")
        return cls(**{**given, "line": (line[0], line[1]) if line else None})


@dataclass
class _Plan:
    """What a booking does: (sku, bin) -> change, and what to say of it."""

    legs: dict[tuple[str, str], int] = field(default_factory=dict)
    outcome: dict[str, Any] = field(default_factory=dict)

    def add(self, sku: str, bin: str, delta: int) -> None:
        self.legs[(sku, bin)] = self.legs.get((sku, bin), 0) + delta


# --- reading ---


def item_of(db: Connection, sku: str) -> Mapping[str, Any]:
    """The item's row. Errors: Refusal unknown_item."""
    row = db.execute(select(items).where(items.c.sku == sku)).mappings().first()
    if row is None:
        raise Refusal("unknown_item", sku=sku)
    return dict(row)


def all_items(db: Connection) -> list[Mapping[str, Any]]:
    return [dict(row) for row in db.execute(select(items).order_by(items.c.sku)).mappings()]


def bin_of(db: Connection, code: str) -> str:
    """The bin's code. Errors: Refusal unknown_bin, with those that sound alike."""
    if db.execute(select(bins.c.code).where(bins.c.code == code)).first() is None:
        known = [row.code for row in db.execute(select(bins.c.code).order_by(bins.c.code))]
        raise Refusal("unknown_bin", bin=code, near=[other for other in known if sounds_alike(code, other)])
    return code


_ALIKE = ("BCDEGPTVZ", "AJK", "FSX", "MN", "IY", "QU")  # letters whose English names rhyme


def sounds_alike(heard: str, code: str) -> bool:
    """Whether two codes differ only in a letter that is easily misheard: D3 and B3."""
    if len(heard) != len(code) or heard == code:
        return False
    pairs = [(one, other) for one, other in zip(heard, code, strict=True) if one != other]
    return len(pairs) == 1 and any(one in group and other in group for group in _ALIKE for one, other in pairs)


def where_is(db: Connection, sku: str) -> dict[str, int]:
    """Bin -> quantity, of the bins that hold any, fullest first."""
    wanted = select(stock.c.bin, stock.c.quantity).where(stock.c.sku == sku, stock.c.quantity > 0)
    return {row.bin: row.quantity for row in db.execute(wanted.order_by(stock.c.quantity.desc(), stock.c.bin))}


def inside(db: Connection, code: str) -> list[tuple[Mapping[str, Any], int]]:
    """(item, quantity) of everything in a bin."""
    wanted = (
        select(items, stock.c.quantity)
        .join(stock, stock.c.sku == items.c.sku)
        .where(stock.c.bin == code, stock.c.quantity > 0)
        .order_by(stock.c.quantity.desc(), items.c.sku)
    )
    return [(dict(row), row["quantity"]) for row in db.execute(wanted).mappings()]


def running_low(db: Connection) -> list[tuple[Mapping[str, Any], int]]:
    """(item, quantity in all bins) of items with fewer than their reorder level, scarcest first."""
    total = func.coalesce(func.sum(stock.c.quantity), 0)
    wanted = (
        select(items.c.sku, total.label("left"))
        .outerjoin(stock, stock.c.sku == items.c.sku)
        .group_by(items.c.sku, items.c.reorder_at)
        .having(total < items.c.reorder_at)
        .order_by(total, items.c.sku)
    )
    return [(item_of(db, row.sku), row.left) for row in db.execute(wanted).all()]


def booking_made(db: Connection, call_id: str) -> dict[str, Any] | None:
    """The outcome of a booking that was made, or None."""
    row = db.execute(select(bookings.c.outcome).where(bookings.c.call_id == call_id)).first()
    return None if row is None else dict(row.outcome)


# --- changing ---


def book(db: Connection, booking: Booking) -> dict[str, Any]:
    """Make a booking, or return the outcome of the first time. Errors: Refusal (nothing changed), Conflict (try again)."""
    made = booking_made(db, booking.call_id)
    if made is not None:
        return {**made, "repeated": True}
    plan = _PLANS[booking.kind](db, booking)
    after = {leg: _change(db, *leg, delta) for leg, delta in sorted(plan.legs.items()) if delta}
    plan.outcome |= {"booking": booking.call_id, "sku": booking.sku or plan.outcome.get("sku", "")}
    number = db.execute(
        bookings.insert().values(
            call_id=booking.call_id,
            kind=booking.kind,
            at=datetime.fromisoformat(booking.at),
            station=booking.station,
            heard=booking.heard,
            reverses=booking.reverses,
            outcome=plan.outcome,
        )
    ).inserted_primary_key[0]
    for (sku, bin), quantity in after.items():
        row = {"booking": number, "sku": sku, "bin": bin, "delta": plan.legs[(sku, bin)], "quantity_after": quantity}
        db.execute(movements.insert().values(row))
    return plan.outcome


def _change(db: Connection, sku: str, bin: str, delta: int) -> int:
    """Change one stock row under its version. Returns the new quantity. Errors: Conflict."""
    here = (stock.c.sku == sku) & (stock.c.bin == bin)
    row = db.execute(select(stock.c.quantity, stock.c.version).where(here)).first()
    if row is None:
        db.execute(stock.insert().values(sku=sku, bin=bin, quantity=delta, version=1))
        return delta
    quantity = int(row.quantity) + delta
    if quantity < 0:
        raise Conflict(f"{sku} in {bin} would fall below zero")
    changed = stock.update().where(here & (stock.c.version == row.version))
    if db.execute(changed.values(quantity=quantity, version=row.version + 1)).rowcount != 1:
        raise Conflict(f"{sku} in {bin} was changed by somebody else")
    return quantity


def _source(db: Connection, booking: Booking) -> tuple[str, int]:
    """The bin to take from, and what it holds. Errors: Refusal which_bin, none_left, not_in_bin."""
    places = where_is(db, booking.sku)
    if booking.bin is not None:
        held = places.get(bin_of(db, booking.bin), 0)
        if not held:
            raise Refusal("not_in_bin", bin=booking.bin, elsewhere=list(places))
        return booking.bin, held
    shelves = {code: held for code, held in places.items() if code != DOCK} or places
    if not shelves:
        raise Refusal("none_left")
    if len(shelves) > 1:
        raise Refusal("which_bin", bins=shelves)
    return next(iter(shelves.items()))


def _take(db: Connection, booking: Booking) -> tuple[str, int, int]:
    """(bin, quantity, what is left there). Errors: Refusal too_few and those of `_source`."""
    code, held = _source(db, booking)
    quantity = held if booking.quantity is None else booking.quantity
    if quantity > held:
        raise Refusal("too_few", bin=code, held=held, wanted=quantity)
    return code, quantity, held - quantity


def _pick(db: Connection, booking: Booking) -> _Plan:
    item_of(db, booking.sku)
    code, quantity, left = _take(db, booking)
    plan = _Plan(outcome={"bin": code, "quantity": quantity, "left": left})
    plan.add(booking.sku, code, -quantity)
    return plan


def _put_away(db: Connection, booking: Booking) -> _Plan:
    """Into a bin: from the dock as far as it is there, the rest as a return."""
    item_of(db, booking.sku)
    code = bin_of(db, booking.bin or "")
    quantity = booking.quantity or 0
    from_dock = 0 if code == DOCK else min(quantity, where_is(db, booking.sku).get(DOCK, 0))
    held = where_is(db, booking.sku).get(code, 0)
    plan = _Plan(outcome={"bin": code, "quantity": quantity, "from_dock": from_dock, "left": held + quantity})
    plan.add(booking.sku, code, quantity)
    if from_dock:
        plan.add(booking.sku, DOCK, -from_dock)
    return plan


def _move(db: Connection, booking: Booking) -> _Plan:
    item_of(db, booking.sku)
    target = bin_of(db, booking.to_bin or "")
    code, quantity, left = _take(db, booking)
    if code == target:
        raise Refusal("same_bin", bin=code)
    plan = _Plan(outcome={"bin": code, "to_bin": target, "quantity": quantity, "left": left})
    plan.add(booking.sku, code, -quantity)
    plan.add(booking.sku, target, quantity)
    return plan


def _count(db: Connection, booking: Booking) -> _Plan:
    """What was found on the shelf replaces what the book says."""
    item_of(db, booking.sku)
    places = where_is(db, booking.sku)
    code = bin_of(db, booking.bin) if booking.bin else _source(db, booking)[0]
    quantity = booking.quantity or 0
    delta = quantity - places.get(code, 0)
    plan = _Plan(outcome={"bin": code, "quantity": quantity, "difference": delta, "left": quantity})
    plan.add(booking.sku, code, delta)
    return plan


def _receive(db: Connection, booking: Booking) -> _Plan:
    item_of(db, booking.sku)
    code = bin_of(db, booking.bin or DOCK)
    quantity = booking.quantity or 0
    plan = _Plan(outcome={"bin": code, "quantity": quantity, "left": where_is(db, booking.sku).get(code, 0) + quantity})
    plan.add(booking.sku, code, quantity)
    return plan


def _adjust(db: Connection, booking: Booking) -> _Plan:
    """Written off, or found. reason "found" adds; every other one takes away."""
    if booking.reason != "found":
        plan = _pick(db, booking)
    else:
        item_of(db, booking.sku)
        code = bin_of(db, booking.bin) if booking.bin else _source(db, booking)[0]
        held = where_is(db, booking.sku).get(code, 0)
        plan = _Plan(outcome={"bin": code, "quantity": booking.quantity, "left": held + (booking.quantity or 0)})
        plan.add(booking.sku, code, booking.quantity or 0)
    plan.outcome["reason"] = booking.reason
    return plan


def _line(db: Connection, booking: Booking) -> _Plan:
    """One line of a pick list: what was taken, which may be less than was wanted."""
    code, position = booking.line or ("", 0)
    here = (pick_lines.c.list == code) & (pick_lines.c.position == position)
    row = db.execute(select(pick_lines).where(here)).mappings().first()
    if row is None:
        raise Refusal("no_such_line", list=code)
    if row["state"] != "open":
        raise Refusal("line_done", list=code, position=position)
    taken = booking.quantity if booking.quantity is not None else row["wanted"]
    plan = _Plan(outcome={"bin": row["bin"], "quantity": taken, "sku": row["sku"], "list": code, "position": position})
    if taken:
        booked = Booking(booking.call_id, "pick", booking.at, row["sku"], taken, row["bin"])
        plan.legs = _pick(db, booked).legs
    state = "done" if taken == row["wanted"] else "short"
    _set_line(db, here, row["version"], picked=taken, state=state)
    still = db.execute(
        select(func.count()).select_from(pick_lines).where(pick_lines.c.list == code, pick_lines.c.state == "open")
    )
    if not still.scalar_one():
        db.execute(pick_lists.update().where(pick_lists.c.code == code).values(state="done"))
    return plan


def _set_line(db: Connection, here: Any, version: int, **values: Any) -> None:
    changed = pick_lines.update().where(here & (pick_lines.c.version == version))
    if db.execute(changed.values(version=version + 1, **values)).rowcount != 1:
        raise Conflict("the pick line was changed by somebody else")


def _reverse(db: Connection, booking: Booking) -> _Plan:
    """Every movement of an earlier booking, the other way round."""
    first = db.execute(select(bookings).where(bookings.c.call_id == booking.reverses)).mappings().first()
    if first is None:
        raise Refusal("no_such_booking")
    if db.execute(select(bookings.c.id).where(bookings.c.reverses == booking.reverses)).first():
        raise Refusal("already_reversed")
    plan = _Plan(outcome={**first["outcome"], "reversed": first["kind"]})
    for row in db.execute(select(movements).where(movements.c.booking == first["id"])).mappings():
        held = where_is(db, row["sku"]).get(row["bin"], 0)
        if held - row["delta"] < 0:
            raise Refusal("too_few", bin=row["bin"], held=held, wanted=row["delta"], sku=row["sku"])
        plan.add(row["sku"], row["bin"], -row["delta"])
    if first["kind"] == "line":
        code, position = first["outcome"]["list"], first["outcome"]["position"]
        here = (pick_lines.c.list == code) & (pick_lines.c.position == position)
        version = db.execute(select(pick_lines.c.version).where(here)).scalar_one()
        _set_line(db, here, version, picked=0, state="open")
        db.execute(pick_lists.update().where(pick_lists.c.code == code).values(state="open"))
    return plan


_PLANS = {
    "pick": _pick,
    "put_away": _put_away,
    "move": _move,
    "count": _count,
    "receive": _receive,
    "adjust": _adjust,
    "line": _line,
    "reverse": _reverse,
}
