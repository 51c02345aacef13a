"""Forty items in thirty bins, put into a new database of the plugin's own, so that there is something to ask for."""

from __future__ import annotations

from sqlalchemy import Connection, select

from .stock import DOCK
from .tables import bins, items, pick_lines, pick_lists, stock

# sku | one | several | aliases | unit | pack, size | reorder level | bin=quantity ...
_ITEMS = """
472-B | hex bolt | hex bolts | bolts, hexagon bolts | piece | box 100 | 200 | A14=640
473-B | carriage bolt | carriage bolts | bolts, coach bolts | piece | box 50 | 100 | A15=180
474-B | eye bolt | eye bolts | bolts | piece | box 25 | 40 | A16=4
480-N | lock nut | lock nuts | nuts | piece | box 100 | 200 | A17=900 B3=120
481-N | wing nut | wing nuts | nuts, butterfly nuts | piece | box 100 | 100 | A18=310
490-W | flat washer | flat washers | washers | piece | box 200 | 300 | A19=1500
491-W | spring washer | spring washers | washers, lock washers | piece | box 200 | 200 | A20=75
310-S | wood screw | wood screws | screws | piece | box 200 | 400 | A1=2200
311-S | drywall screw | drywall screws | screws, plasterboard screws | piece | box 500 | 500 | A2=3000
312-S | machine screw | machine screws | screws | piece | box 100 | 150 | A3=420
220-G | work glove | work gloves | gloves, leather gloves | pair | box 12 | 24 | B1=60
221-G | nitrile glove | nitrile gloves | gloves, rubber gloves, disposable gloves | pair | box 50 | 100 | B2=350
222-H | hard hat | hard hats | helmets, safety helmets | piece | box 10 | 10 | B4=18
223-V | safety vest | safety vests | high vis vests, yellow vests | piece | box 20 | 20 | B5=44
224-E | ear protector | ear protectors | ear defenders, ear muffs | piece | box 10 | 15 | B6=9
225-G | safety goggle | safety goggles | goggles, eye protection | piece | box 10 | 20 | B7=31
226-M | dust mask | dust masks | masks, respirators | piece | box 50 | 100 | B8=260
610-T | packing tape | packing tape | parcel tape, brown tape | roll | box 36 | 40 | C1=96
611-T | duct tape | duct tape | gaffer tape, silver tape | roll | box 24 | 20 | C2=30
612-T | masking tape | masking tape | painters tape | roll | box 24 | 20 | C3=52
620-W | bubble wrap | bubble wrap | bubble foil | metre | roll 100 | 200 | C4=650
621-W | stretch film | stretch film | pallet wrap, shrink wrap | roll | box 6 | 12 | C5=15
630-C | small carton | small cartons | cartons, small boxes | piece | bundle 25 | 100 | C6=275
631-C | large carton | large cartons | cartons, big boxes | piece | bundle 25 | 100 | C7=140
640-L | shipping label | shipping labels | labels, address labels | piece | roll 500 | 1000 | C8=4200
641-P | packing paper | packing paper | wrapping paper | kilogram | roll 10 | 50 | C9=120
710-C | cable tie | cable ties | zip ties, tie wraps | piece | bag 100 | 500 | A5=1800 B3=400
711-C | speaker cable | speaker cable | loudspeaker cable | metre | roll 50 | 100 | A6=230
712-C | network cable | network cables | patch cables, ethernet cables | piece | bag 10 | 30 | A7=84
713-E | extension lead | extension leads | extension cords | piece | box 10 | 10 | A8=22
714-B | light bulb | light bulbs | bulbs, lamps | piece | box 10 | 40 | A9=130
715-B | double a battery | double a batteries | batteries, penlight batteries | piece | pack 24 | 96 | A10=480
716-B | triple a battery | triple a batteries | batteries | piece | pack 24 | 96 | A11=72
810-H | hammer | hammers | claw hammers | piece | box 6 | 6 | A12=14
811-T | tape measure | tape measures | measuring tapes | piece | box 12 | 12 | A13=25
812-K | utility knife | utility knives | box cutters, carpet knives | piece | box 12 | 12 | A4=40
813-B | paint brush | paint brushes | brushes | piece | box 12 | 24 | C10=66
910-P | wall paint | wall paint | white paint, emulsion | litre | bucket 10 | 60 | C1=150
911-O | chain oil | chain oil | machine oil | litre | can 5 | 20 | C2=35
912-S | road salt | road salt | grit, de-icing salt | kilogram | sack 25 | 250 | DOCK=500
"""
_LISTS = {
    "417": [("A14", "472-B", 12), ("B2", "221-G", 4), ("C1", "610-T", 6)],
    "418": [("A1", "310-S", 200), ("A5", "710-C", 100), ("B4", "222-H", 2), ("C8", "640-L", 50)],
}


def fill(db: Connection) -> bool:
    """Put the sample in, unless there are items already. True when it did."""
    if db.execute(select(items.c.sku).limit(1)).first() is not None:
        return False
    held: list[dict[str, object]] = []
    for line in _ITEMS.strip().splitlines():
        sku, name, plural, aliases, unit, pack, reorder, where = (part.strip() for part in line.split("|"))
        pack_unit, size = pack.split()
        row = {"sku": sku, "name": name, "plural": plural, "unit": unit, "pack": pack_unit, "pack_size": int(size)}
        db.execute(items.insert().values(row | {"aliases": aliases.split(", "), "reorder_at": int(reorder)}))
        for entry in where.split():
            code, _, quantity = entry.partition("=")
            held.append({"sku": sku, "bin": code, "quantity": int(quantity), "version": 1})
    codes = {str(row["bin"]) for row in held} | {DOCK}
    db.execute(
        bins.insert(),
        [{"code": code, "note": "goods in" if code == DOCK else f"aisle {code[0]}"} for code in sorted(codes)],
    )
    db.execute(stock.insert(), held)
    for code, lines in _LISTS.items():
        db.execute(pick_lists.insert().values(code=code, state="open"))
        for position, (bin, sku, wanted) in enumerate(lines, start=1):
            line = {"list": code, "position": position, "sku": sku, "bin": bin, "wanted": wanted}
            db.execute(pick_lines.insert().values(line | {"picked": 0, "state": "open", "version": 1}))
    return True
