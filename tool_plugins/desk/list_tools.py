"""Lists that stay: in one SQLite file in the plugin's folder, each change committed before it is said."""

from __future__ import annotations

import builtins
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from voice_needle.plugin import Context, Result

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
  id INTEGER PRIMARY KEY AUTOINCREMENT, list TEXT NOT NULL, item TEXT NOT NULL, call TEXT NOT NULL, UNIQUE (list, item)) STRICT;
"""
_PAIRS = (
    "salt and pepper",
    "fish and chips",
    "mac and cheese",
    "macaroni and cheese",
    "oil and vinegar",
    "gin and tonic",
)


def open_lists(ctx: Context) -> sqlite3.Connection:
    """The lists' database, opened at first use in the plugin's own thread."""
    found: sqlite3.Connection | None = ctx.state.get("lists")
    if found is None:
        ctx.data_dir.mkdir(parents=True, exist_ok=True)
        found = sqlite3.connect(ctx.data_dir / "lists.db", isolation_level=None)
        found.execute("PRAGMA journal_mode = WAL")
        found.execute("PRAGMA synchronous = FULL")
        found.executescript(_SCHEMA)
        ctx.state["lists"] = found
    return found


@contextmanager
def _changing(ctx: Context) -> Iterator[sqlite3.Connection]:
    """The lists, to read and change as one: all of it is kept, or none after an error."""
    lists = open_lists(ctx)
    with lists:
        lists.execute("BEGIN IMMEDIATE")
        yield lists


def split_items(text: str) -> list[str]:
    """ "milk, eggs and bread" -> three things; "salt and pepper" is one."""
    text = re.sub(r"^(some|the|a|an)\s+", "", " ".join(text.lower().split()))
    held = {f"\0{number}\0": pair for number, pair in enumerate(_PAIRS)}
    for mark, pair in held.items():
        text = text.replace(pair, mark)
    items = re.split(r"\s*,\s*(?:and\s+)?|\s+and\s+(?:some\s+|also\s+)?", text)
    kept = [re.sub(r"\0\d+\0", lambda mark: held[mark[0]], item).strip() for item in items]
    return [item for item in dict.fromkeys(kept) if item]


def list_add(ctx: Context, item: str, list: str) -> Result:
    added: builtins.list[str] = []
    known: builtins.list[str] = []
    with _changing(ctx) as lists:
        for thing in split_items(item):
            row = (list, thing, ctx.call_id)
            new = lists.execute("INSERT OR IGNORE INTO entries (list, item, call) VALUES (?, ?, ?)", row).rowcount
            (added if new else known).append(thing)
    where = f"the {name(list)} list"
    if not added:
        return Result(answer=f"{capital(said(known))} {_is(known)} on {where} already.")
    rest = f" {capital(said(known))} {_is(known)} on it already." if known else ""
    return Result(answer=f"I added {said(added)} to {where}.{rest}", added=", ".join(added))


def list_remove(ctx: Context, item: str, list: str) -> Result:
    removed: builtins.list[str] = []
    missing: builtins.list[str] = []
    with _changing(ctx) as lists:
        for thing in split_items(item):
            found = _find(lists, list, thing)
            (removed if found else missing).append(found or thing)
            lists.execute("DELETE FROM entries WHERE list = ? AND item = ?", (list, found))
    if not removed:
        return Result.not_found(item=said(missing), list=name(list))
    rest = f" {capital(said(missing))} {_is(missing)} not on it." if missing else ""
    return Result(answer=f"I took {said(removed)} off the {name(list)} list.{rest}", removed=", ".join(removed))


def list_read(ctx: Context, list: str) -> Result:
    items = _items(open_lists(ctx), list)
    if not items:
        return Result(answer=f"The {name(list)} list is empty.", count=0)
    return Result(answer=f"On the {name(list)} list: {said(items)}.", count=len(items))


def list_check(ctx: Context, item: str, list: str) -> Result:
    lists = open_lists(ctx)
    asked = split_items(item)
    there = [thing for thing in asked if _find(lists, list, thing)]
    if len(there) == len(asked):
        return Result(answer=f"Yes, {said(there)} {_is(there)} on the {name(list)} list.")
    missing = [thing for thing in asked if thing not in there]
    return Result(answer=f"No, {said(missing)} {_is(missing)} not on the {name(list)} list.")


def list_clear(ctx: Context, list: str) -> Result:
    with _changing(ctx) as lists:
        items = _items(lists, list)
        lists.execute("DELETE FROM entries WHERE list = ?", (list,))
    if not items:
        return Result(answer=f"The {name(list)} list was empty.")
    return Result(answer=f"The {name(list)} list is empty now.", removed=", ".join(items))


def _items(lists: sqlite3.Connection, list: str) -> list[str]:
    return [row[0] for row in lists.execute("SELECT item FROM entries WHERE list = ? ORDER BY id", (list,))]


def _find(lists: sqlite3.Connection, list: str, thing: str) -> str | None:
    """The entry as it was written, a plural or an amount before it put aside."""
    entries = _items(lists, list)
    stem = thing.removesuffix("s")
    return next(
        (entry for entry in entries if entry == thing),
        next((entry for entry in entries if entry.removesuffix("s") == stem or entry.endswith(f" {thing}")), None),
    )


def name(list: str) -> str:
    return list.replace("_", " ")


def said(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _is(items: list[str]) -> str:
    return "is" if len(items) == 1 else "are"
