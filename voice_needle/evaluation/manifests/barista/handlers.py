"""Takes the order down: one line a drink."""

from __future__ import annotations

from voice_needle.plugin import Context, Result


async def order_drink(ctx: Context, coffee_drink: str, **extras: str) -> Result:
    """The order as it would be called out."""
    return Result(order=", ".join([coffee_drink, *(text for text in extras.values() if text)]))
