"""The tables of the stock database: items, bins, stock, bookings with their trail, pick lists. SQLite and PostgreSQL alike."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

items = Table(
    "items",
    metadata,
    Column("sku", String(32), primary_key=True),
    Column("name", String(80), nullable=False),  # one of them: "hex bolt"
    Column("plural", String(80), nullable=False),  # as it is asked for: "hex bolts"; no two items share one
    Column("aliases", JSON, nullable=False),  # other spoken forms; one shared by several items leads to a question
    Column("unit", String(16), nullable=False),  # what quantities count: "piece", "metre", "kilogram", ...
    Column("pack", String(16)),  # a larger unit ("box"), and how many it holds
    Column("pack_size", Integer),
    Column("reorder_at", Integer, nullable=False),  # fewer in all bins: "running low"
)

bins = Table("bins", metadata, Column("code", String(16), primary_key=True), Column("note", String(80), nullable=False))

stock = Table(
    "stock",
    metadata,
    Column("sku", ForeignKey("items.sku"), primary_key=True),
    Column("bin", ForeignKey("bins.code"), primary_key=True),
    Column("quantity", Integer, CheckConstraint("quantity >= 0"), nullable=False),
    Column("version", Integer, nullable=False),  # one more with every change: the optimistic lock
)

# A booking and its movements are written once and never changed: together they are the audit trail.
bookings = Table(
    "bookings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("call_id", String(64), nullable=False, unique=True),  # the same for every retry: this makes it happen once
    Column("kind", String(16), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),  # when it was said, not when it arrived here
    Column("station", String(64), nullable=False),
    Column("heard", Text, nullable=False),
    Column("reverses", ForeignKey("bookings.call_id"), unique=True),  # a booking is taken back at most once
    Column("outcome", JSON, nullable=False),
)

movements = Table(
    "movements",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("booking", ForeignKey("bookings.id"), nullable=False, index=True),
    Column("sku", String(32), nullable=False, index=True),
    Column("bin", String(16), nullable=False),
    Column("delta", Integer, nullable=False),
    Column("quantity_after", Integer, nullable=False),
)

pick_lists = Table(
    "pick_lists",
    metadata,
    Column("code", String(16), primary_key=True),
    Column("state", String(12), nullable=False),  # open | done
)

pick_lines = Table(
    "pick_lines",
    metadata,
    Column("list", ForeignKey("pick_lists.code"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("sku", ForeignKey("items.sku"), nullable=False),
    Column("bin", ForeignKey("bins.code"), nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("picked", Integer, nullable=False),
    Column("state", String(12), nullable=False),  # open | done | short
    Column("version", Integer, nullable=False),
)
