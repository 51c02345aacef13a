"""The car by voice: climate, windows, seats, wipers, lights, doors, media. Done is said when the car has reported it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from voice_needle.errors import ConfigError, ToolUnconfirmed
from voice_needle.plugin import Context, Result

from .bus import CarBus, load
from .state import SPEED, CanState, VehicleState

ZONES = {"driver": 0, "passenger": 1, "rear": 2}
SEATS = {"driver": 0, "passenger": 1, "rear_left": 2, "rear_right": 3}
_LIGHTS = {"headlights": 0, "high_beam": 1, "fog_lights": 2, "interior": 3, "hazard": 4}
_WIPERS = {"off": 0, "interval": 1, "slow": 2, "fast": 3, "automatic": 4, "wash": 5}
_ACTIONS = {"play": 0, "pause": 1, "next": 2, "previous": 3}
_SOURCES = {"radio": 0, "bluetooth": 1, "usb": 2}
_VIDEO = 3
_FUNCTIONS = {
    "ac": "Ac",
    "front_defrost": "FrontDefrost",
    "rear_defrost": "RearDefrost",
    "recirculation": "Recirculation",
}
_STANDING_KMH = 0.5  # below this the wheel sensors' noise
_WINDOW_S = 8.0


async def setup(ctx: Context) -> None:
    interface, channel = str(ctx.settings["interface"]), str(ctx.settings["channel"])
    dbc = ctx.settings["dbc"]
    database = load(dbc) if dbc else load()
    bus = CarBus(database, interface, channel, ctx.log)
    ctx.state["bus"] = bus
    if ctx.settings["simulate"]:
        if interface == "socketcan":
            raise ConfigError("a simulated vehicle on a real CAN bus", fix="plugins.in_car.simulate: false")
        from .simulator import Vehicle

        ctx.state["vehicle"] = Vehicle(interface, channel, database=database)
    if ctx.settings["state"] == "obd":
        from .obd import ObdState

        ctx.state["state"] = ObdState(str(ctx.settings["obd_port"]), int(ctx.settings["obd_baud"]), ctx.log)
    else:
        ctx.state["state"] = CanState(bus)
    bus.open()


async def vocabularies(ctx: Context) -> Mapping[str, Mapping[str, list[str]]]:
    from . import journey

    return {"place": journey.vocabulary(ctx)}


async def teardown(ctx: Context) -> None:
    for name in ("state", "bus", "vehicle"):
        part = ctx.state.pop(name, None)
        closing = part.close() if part is not None else None
        if asyncio.iscoroutine(closing):
            await closing


def bus_of(ctx: Context) -> CarBus:
    bus = ctx.state["bus"]
    assert isinstance(bus, CarBus)
    return bus


def state_of(ctx: Context) -> VehicleState:
    return ctx.state["state"]  # type: ignore[no-any-return]


# --- safety ---


async def condition_stationary(ctx: Context) -> str | None:
    """A car whose speed is not known counts as moving."""
    speed = await state_of(ctx).read(SPEED)
    if speed is None:
        return "the car does not tell me whether it stands still"
    return None if speed < _STANDING_KMH else "the car is moving"


async def brief(ctx: Context, parts: list[str]) -> str:
    """Sentences for the ear: all of them when the car stands, only as many words as the driver may hear when it moves."""
    speed = await state_of(ctx).read(SPEED)
    if speed is not None and speed < _STANDING_KMH:
        return " ".join(parts)
    left = int(ctx.settings["words_while_moving"])
    said: list[str] = []
    for part in parts:
        left -= len(part.split())
        if left < 0 and said:
            break
        said.append(part)
    return " ".join(said) + (" The rest when we stand." if len(said) < len(parts) else "")


# --- climate ---


def _zones(zone: str) -> dict[str, int]:
    return ZONES if zone == "all" else {zone: ZONES[zone]}


def _place(zone: str) -> str:
    return {"all": "everywhere", "rear": "in the back"}.get(zone, f"for the {zone}")


async def _climate(ctx: Context, zone: str, **signals: float) -> dict[str, Any]:
    """Set signals in every zone meant. Returns the previous value of each signal where all zones agreed."""
    bus = bus_of(ctx)
    before = [await bus.report("ClimateStatus", number) for number in _zones(zone).values()]
    done: list[str] = []
    for name, number in _zones(zone).items():
        try:
            await bus.command("ClimateCommand", "ClimateStatus", {"Zone": number, **signals})
        except ToolUnconfirmed as error:
            if not done:
                raise
            told = f"I set it for the {' and '.join(done)}, but not {_place(name)}."
            raise ToolUnconfirmed(str(error), spoken=told) from error
        done.append(name)
    previous = {}
    for signal in signals:
        values = {report[signal] if report else None for report in before}
        previous[signal] = values.pop() if len(values) == 1 else None
    return previous


async def climate_temperature(ctx: Context, temperature: float, zone: str = "all") -> Result:
    previous = await _climate(ctx, zone, Temperature=temperature)
    return Result(place=_place(zone), previous=previous["Temperature"])


async def climate_adjust(ctx: Context, direction: str, zone: str = "all", by: float = 2.0) -> Result:
    bus = bus_of(ctx)
    changed: dict[str, float] = {}
    low, high = 16.0, 28.0
    for name, number in _zones(zone).items():
        report = await bus.report("ClimateStatus", number)
        if report is None:
            raise ToolUnconfirmed(
                "no ClimateStatus", spoken="The car does not tell me how warm it is set. Nothing was done."
            )
        target = float(report["Temperature"]) + (by if direction == "warmer" else -by)
        if low <= target <= high:
            await bus.command("ClimateCommand", "ClimateStatus", {"Zone": number, "Temperature": target})
            changed[name] = target
    if not changed:
        limit = high if direction == "warmer" else low
        return Result.busy(told=f"That would go beyond {limit:g} degrees. Nothing was changed.")
    back = "cooler" if direction == "warmer" else "warmer"
    degrees = sorted(set(changed.values()))
    told = (
        f"{degrees[0]:g} degrees {_place(zone)}."
        if len(degrees) == 1
        else f"{by:g} degrees {direction} {_place(zone)}."
    )
    return Result(told=told, back=back if len(changed) == len(_zones(zone)) else None, by=by)


async def climate_fan(ctx: Context, level: int, zone: str = "all") -> Result:
    previous = await _climate(ctx, zone, Fan=level)
    return Result(place=_place(zone), previous=_whole(previous["Fan"]))


async def climate_switch(ctx: Context, function: str, state: str) -> Result:
    previous = await _climate(ctx, "driver", **{_FUNCTIONS[function]: int(state == "on")})
    was = previous[_FUNCTIONS[function]]
    return Result(previous=None if was is None else ("on" if was else "off"))


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


# --- windows and seats ---


async def window_move(ctx: Context, window: str, action: str | None = None, position: float | None = None) -> Result:
    """position: percent open. Cancelled by a barge-in: the window halts where it is."""
    if action is None and position is None:
        return Result.several(ask="action", told="Open or close?", options=["open", "close"])
    target = position if position is not None else {"open": 100.0, "halfway": 50.0, "close": 0.0}[str(action)]
    wanted = SEATS if window == "all" else {window: SEATS[window]}
    before = [await bus_of(ctx).report("WindowStatus", number) for number in wanted.values()]
    ends = await asyncio.gather(*(_window(ctx, number, target) for number in wanted.values()), return_exceptions=True)
    failed = next((end for end in ends if isinstance(end, BaseException)), None)
    if failed is not None:
        raise failed
    blocked = [name for name, end in zip(wanted, ends, strict=True) if isinstance(end, Mapping) and end["Blocked"]]
    if blocked:
        where = " and ".join(name.replace("_", " ") for name in blocked)
        return Result.partial(told=f"Something is in the way: the {where} window stopped.", blocked=blocked)
    places = {report["Position"] if report else None for report in before}
    said = "open" if target == 100 else "closed" if target == 0 else f"{target:g} percent open"
    which = "The windows are" if window == "all" else f"The {window.replace('_', ' ')} window is"
    told = f"{which} {said}."
    return Result(told=told, previous=places.pop() if len(places) == 1 else None)


async def _window(ctx: Context, number: int, target: float) -> Mapping[str, Any]:
    bus = bus_of(ctx)

    def there(values: Mapping[str, Any]) -> bool:
        return bool(values["Blocked"]) or (not values["Moving"] and abs(values["Position"] - target) < 1.0)

    try:
        wanted = {"Window": number, "Position": target}
        first = await bus.command(
            "WindowCommand", "WindowStatus", wanted, done=lambda values: bool(values["Moving"]) or there(values)
        )
        if not first["Moving"]:
            return first
        return await bus.until("WindowStatus", number, there, _WINDOW_S)
    except asyncio.CancelledError:
        await asyncio.shield(bus.send("WindowCommand", Window=number, Halt=1))
        raise
    except TimeoutError as error:
        raise ToolUnconfirmed(
            f"window {number} did not arrive", spoken="The window moves, but did not report that it arrived."
        ) from error


async def seat_heat(ctx: Context, seat: str, level: int) -> Result:
    bus, number = bus_of(ctx), SEATS[seat]
    before = await bus.report("SeatStatus", number)
    await bus.command("SeatCommand", "SeatStatus", {"Seat": number, "Heat": level})
    return Result(previous=_whole(before["Heat"]) if before else None)


async def seat_recline(ctx: Context, seat: str, angle: int) -> Result:
    bus, number = bus_of(ctx), SEATS[seat]
    before = await bus.report("SeatStatus", number)
    await bus.command("SeatCommand", "SeatStatus", {"Seat": number, "Recline": angle})
    return Result(previous=_whole(before["Recline"]) if before else None)


# --- wipers, lights, doors ---


async def wipers(ctx: Context, mode: str) -> Result:
    before = await bus_of(ctx).report("WiperStatus")
    await bus_of(ctx).command("WiperCommand", "WiperStatus", {"Mode": _WIPERS[mode]})
    names = {number: name for name, number in _WIPERS.items()}
    return Result(previous=names.get(int(before["Mode"])) if before else None)


async def car_light(ctx: Context, light: str, state: str) -> Result:
    number = _LIGHTS[light]
    before = await bus_of(ctx).report("LightStatus", number)
    await bus_of(ctx).command("LightCommand", "LightStatus", {"Light": number, "State": int(state == "on")})
    return Result(previous=("on" if before["State"] else "off") if before else None)


async def _door(ctx: Context, signal: str, value: int) -> Result:
    await bus_of(ctx).command("DoorCommand", "DoorStatus", {signal: value})
    return Result()


async def doors_lock(ctx: Context) -> Result:
    return await _door(ctx, "Locked", 1)


async def doors_unlock(ctx: Context) -> Result:
    return await _door(ctx, "Locked", 0)


async def trunk_open(ctx: Context) -> Result:
    return await _door(ctx, "TrunkOpen", 1)


async def trunk_close(ctx: Context) -> Result:
    return await _door(ctx, "TrunkOpen", 0)


# --- media ---


async def media_control(ctx: Context, action: str) -> Result:
    before = await bus_of(ctx).report("MediaStatus")
    track = before["Track"] if before else None

    def done(values: Mapping[str, Any]) -> bool:
        if action in ("play", "pause"):
            return bool(values["Playing"]) == (action == "play")
        return track is None or values["Track"] != track

    await bus_of(ctx).command("MediaCommand", "MediaStatus", {"Action": _ACTIONS[action]}, done=done)
    said = {"play": "Playing.", "pause": "Paused.", "next": "Next track.", "previous": "Previous track."}
    opposite = {"play": "pause", "pause": "play", "next": "previous", "previous": "next"}
    return Result(told=said[action], opposite=opposite[action])


async def media_volume(ctx: Context, level: float) -> Result:
    before = await bus_of(ctx).report("MediaStatus")
    await bus_of(ctx).command("MediaCommand", "MediaStatus", {"Volume": round(level)})
    return Result(previous=before["Volume"] if before else None)


async def media_source(ctx: Context, source: str) -> Result:
    await bus_of(ctx).command("MediaCommand", "MediaStatus", {"Source": _SOURCES[source]})
    return Result()


async def media_video(ctx: Context) -> Result:
    await bus_of(ctx).command("MediaCommand", "MediaStatus", {"Source": _VIDEO})
    return Result()
