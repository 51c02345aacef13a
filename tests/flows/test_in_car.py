"""In the car: every scenario on a virtual CAN bus with a simulated vehicle; faults of that vehicle; an ELM327 adapter."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import can
import cantools
import elm327
import pytest
from plugin_parts import part
from scenarios import scenario_tests

from voice_needle.assembly import Tooling, open_registry, open_tooling
from voice_needle.clock import RealClock
from voice_needle.config import Config
from voice_needle.dispatch.registry import bundled_folder
from voice_needle.events import Call, Status, ToolResult
from voice_needle.turn import Scope

running, test_scenario = scenario_tests("in_car")
PLUGIN = bundled_folder() / "in_car"
SILENT = "I sent it, but the car did not answer."


class Car:
    """A simulated vehicle and the plugin, each with its own connection to one bus."""

    def __init__(self, vehicle: Any, tooling: Tooling) -> None:
        self.vehicle = vehicle
        self.tooling = tooling

    async def call(self, tool: str, **arguments: Any) -> ToolResult:
        return (await self.tooling.dispatcher.execute([Call(tool, arguments)], confirmed=True))[0]

    async def drive(self, speed: float) -> None:
        self.vehicle.drive["Motion"]["Speed"] = speed
        reading = self.vehicle.announce()
        bus = self.tooling.hosts.host("in_car").context.state["bus"]
        await bus.until("Motion", None, lambda values: abs(values["Odometer"] - reading) < 0.05, 2.0)

    def zone(self, number: int) -> dict[str, float]:
        return self.vehicle.body[("ClimateStatus", number)]  # type: ignore[no-any-return]

    def window(self, number: int = 0) -> dict[str, float]:
        return self.vehicle.body[("WindowStatus", number)]  # type: ignore[no-any-return]


@contextmanager
def vehicle(channel: str, interface: str = "virtual", **options: Any) -> Iterator[Any]:
    simulated = part("in_car", "simulator").Vehicle(interface, channel, **options)
    try:
        yield simulated
    finally:
        simulated.close()


@asynccontextmanager
async def opened(folder: Path, **settings: Any) -> AsyncIterator[Tooling]:
    config = replace(Config(), data_dir=folder, plugins={"in_car": {"simulate": False, **settings}})
    async with open_tooling(config, RealClock(), registry=open_registry(config, ["in_car"])) as tooling:
        yield tooling


@asynccontextmanager
async def car(folder: Path, *, settings: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[Car]:
    channel = f"test-{uuid.uuid4().hex[:8]}"
    with vehicle(channel, **options) as simulated:
        async with opened(folder, interface="virtual", channel=channel, **(settings or {})) as tooling:
            found = Car(simulated, tooling)
            await found.drive(0.0)
            yield found


async def test_a_command_is_a_frame_that_any_node_with_the_dbc_can_read(tmp_path: Path) -> None:
    """What an oscilloscope would show: the frame on the bus, decoded by the DBC file alone."""
    async with car(tmp_path) as one:
        channel = one.tooling.hosts.host("in_car").context.settings["channel"]
        with can.Bus(interface="virtual", channel=channel) as listener:
            result = await one.call("climate_temperature", temperature=22.5, zone="driver")
            frames = iter(lambda: listener.recv(timeout=0.2), None)
            command = next(frame for frame in frames if frame.arbitration_id == 0x300)
    assert result.ok
    decoded = cantools.database.load_file(PLUGIN / "vehicle.dbc").decode_message(0x300, command.data)
    assert (str(decoded["Zone"]), decoded["Temperature"]) == ("driver", 22.5)
    assert decoded["Ac"] == 3 and decoded["Fan"] == 15  # leave as they are


async def test_a_bus_that_reaches_across_processes_works_too(tmp_path: Path) -> None:
    """udp_multicast, the bus that reaches across processes where the kernel has no CAN."""
    with vehicle("239.74.163.2", "udp_multicast") as simulated:
        async with opened(tmp_path, interface="udp_multicast", channel="239.74.163.2") as tooling:
            one = Car(simulated, tooling)
            assert (await one.call("climate_fan", level=5, zone="rear")).ok
            assert one.zone(2)["Fan"] == 5


async def test_no_such_bus_is_told_and_works_once_it_is_there(tmp_path: Path) -> None:
    async with opened(tmp_path, interface="socketcan", channel="nocan9") as tooling:
        assert "in_car" in tooling.faults
        result = (await tooling.dispatcher.execute([Call("doors_lock")], confirmed=True))[0]
    assert result.status is Status.UNREACHABLE
    assert result.error == "I cannot reach the car's network. Nothing was done."


async def test_a_simulated_vehicle_is_not_let_onto_a_real_bus(tmp_path: Path) -> None:
    async with opened(tmp_path, interface="socketcan", channel="can0", simulate=True) as tooling:
        assert "real CAN bus" in str(tooling.faults["in_car"])


# --- a vehicle that does not do what it is told ---


async def test_silent_from_the_start(tmp_path: Path) -> None:
    async with opened(tmp_path, interface="virtual", channel=f"empty-{uuid.uuid4().hex}") as tooling:
        one = Car(None, tooling)
        locked = await one.call("doors_lock")
        assert (locked.status, locked.error) == (Status.UNCONFIRMED, SILENT)
        speed = await one.call("vehicle_speed")
        assert (speed.status, speed.error) == (Status.FAILED, "The car does not tell me its speed.")
        video = await one.call("media_video")
        assert video.status is Status.REFUSED
        assert video.error == "I may not do that now: the car does not tell me whether it stands still."


async def test_silent_in_the_middle_of_three_zones_says_which_were_set(tmp_path: Path) -> None:
    async with car(tmp_path) as one:
        obey = one.vehicle._obey

        def stop_after_first(frame: Any) -> None:
            obey(frame)
            one.vehicle.faults = {"silent"}

        one.vehicle._obey = stop_after_first
        result = await one.call("climate_fan", level=7, zone="all")
        assert result.status is Status.UNCONFIRMED
        assert result.error in ("I set it for the driver, but not for the passenger.", SILENT)
        assert one.zone(0)["Fan"] == 7 and one.zone(1)["Fan"] == 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("silent", SILENT),
        ("slow", SILENT),
        ("garbage", SILENT),
        ("lying", "I sent it, but the car reports something else."),
    ],
)
async def test_done_is_never_said_of_what_was_not_reported(tmp_path: Path, fault: str, said: str) -> None:
    async with car(tmp_path) as one:
        one.vehicle.faults = {fault}
        result = await one.call("media_source", source="bluetooth")
        assert (result.status, result.error) == (Status.UNCONFIRMED, said)
        one.vehicle.faults = set()
        assert (await one.call("media_source", source="usb")).ok  # and it recovers
        assert one.vehicle.body[("MediaStatus", None)]["Source"] == 2


async def test_flapping_an_idempotent_command_is_sent_again_and_done_once(tmp_path: Path) -> None:
    async with car(tmp_path) as one:
        one.vehicle.faults = {"flapping"}
        result = await one.call("wipers", mode="fast")
        assert result.ok
        assert [name for name, _ in one.vehicle.seen] == ["WiperCommand"] * 2
        assert one.vehicle.body[("WiperStatus", None)]["Mode"] == 3


async def test_next_track_is_never_sent_twice(tmp_path: Path) -> None:
    async with car(tmp_path) as one:
        one.vehicle.faults = {"flapping"}
        result = await one.call("media_control", action="next")
        assert result.status is Status.UNCONFIRMED
        assert [name for name, _ in one.vehicle.seen] == ["MediaCommand"]


async def test_a_garbled_speed_counts_as_moving(tmp_path: Path) -> None:
    async with car(tmp_path) as one:
        assert (await one.call("seat_recline", seat="driver", angle=30)).ok
        await one.drive(655.35)  # all ones: the sensor is broken
        result = await one.call("seat_recline", seat="driver", angle=50)
        assert result.status is Status.REFUSED
        assert one.vehicle.body[("SeatStatus", 0)]["Recline"] == 30


# --- windows move, and can be stopped ---


async def test_stop_halts_a_moving_window_where_it_is(tmp_path: Path) -> None:
    async with car(tmp_path, window_speed=20.0) as one:
        scope = Scope(1)
        moving = asyncio.create_task(
            one.tooling.dispatcher.execute(
                [Call("window_move", {"window": "driver", "action": "open"})], scope, confirmed=True
            )
        )
        bus = one.tooling.hosts.host("in_car").context.state["bus"]
        await bus.until("WindowStatus", 0, lambda values: values["Position"] > 5, 5.0)
        cancelled = one.tooling.dispatcher.cancel(1)
        result = (await moving)[0]
        assert [call.tool for call in cancelled.stopped] == ["window_move"]
        assert result.status is Status.CANCELLED
        await bus.until("WindowStatus", 0, lambda values: not values["Moving"], 5.0)
        assert 5 < one.window()["Position"] < 90
        assert one.vehicle.seen[-1][1]["Halt"] == 1


async def test_a_moving_window_takes_until_it_has_arrived(tmp_path: Path) -> None:
    async with car(tmp_path, window_speed=80.0) as one:
        result = await one.call("window_move", window="all", position=40)
        assert result.ok and result.values["told"] == "The windows are 40 percent open."
        assert [one.window(number)["Position"] for number in range(4)] == [40.0] * 4


# --- the state through an ELM327 adapter ---


@contextmanager
def adapter() -> Iterator[elm327.Adapter]:
    found = elm327.Adapter()
    try:
        yield found
    finally:
        found.close()


async def test_obd_says_speed_fuel_and_outside_temperature(tmp_path: Path) -> None:
    with adapter() as elm:
        elm.values = {"0D": "57", "2F": "80", "46": "2E"}
        async with car(tmp_path, settings={"state": "obd", "obd_port": elm.port}) as one:
            told = [
                (await one.call(tool)).values["told"]
                for tool in ("vehicle_speed", "vehicle_energy", "outside_temperature")
            ]
            assert told == [
                "We are going 87 kilometres an hour.",
                "The tank is at 50 percent.",
                "It is 6 degrees outside.",
            ]
            unknown = await one.call("vehicle_range")
            assert (unknown.status, unknown.error) == (Status.FAILED, "The car does not tell me its range.")
            tyres = await one.call("tyre_pressure")
            assert tyres.error == "The car does not tell me its tyre pressures."


async def test_obd_speed_guards_what_needs_a_standing_car(tmp_path: Path) -> None:
    with adapter() as elm:
        async with car(tmp_path, settings={"state": "obd", "obd_port": elm.port}) as one:
            assert (await one.call("media_video")).ok
            elm.values["0D"] = "0A"
            await asyncio.sleep(0.6)  # longer than a reading is kept
            refused = await one.call("trunk_open")
            assert refused.error == "I may not do that now: the car is moving."
            assert one.vehicle.body[("DoorStatus", None)]["TrunkOpen"] == 0


@pytest.mark.parametrize("fault", ["silent", "garbage"])
async def test_an_adapter_out_of_order_lets_nothing_dangerous_through(tmp_path: Path, fault: str) -> None:
    with adapter() as elm:
        elm.fault = fault
        async with car(tmp_path, settings={"state": "obd", "obd_port": elm.port}) as one:
            result = await one.call("trunk_open")
            assert result.status in (Status.REFUSED, Status.UNREACHABLE)
            assert one.vehicle.seen == []


async def test_an_adapter_that_is_not_plugged_in_is_told(tmp_path: Path) -> None:
    async with car(tmp_path, settings={"state": "obd", "obd_port": "/dev/ttyNOTHING"}) as one:
        result = await one.call("vehicle_speed")
    assert (result.status, result.error) == (Status.UNREACHABLE, "The car's diagnostic adapter does not answer.")


@pytest.mark.skipif(not elm327.INSTALLED, reason="ELM327-emulator is not installed")
async def test_obd_with_the_elm327_emulator(tmp_path: Path) -> None:
    with elm327.emulator(tmp_path) as port:
        async with car(tmp_path, settings={"state": "obd", "obd_port": port}) as one:
            speed = await one.call("vehicle_speed")
            assert speed.ok and 0 <= speed.values["value"] <= 255
