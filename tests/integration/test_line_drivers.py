"""The hardware line as two ends speak it: over TCP, and over a serial port that is a pseudo-terminal."""

import asyncio
import socket
import termios
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.config_drivers import Serial
from agent.drivers.driver import Actuated, Offline
from agent.drivers.line import Line
from protocol.hardware import Asked
from protocol.vocabulary import Action, Channel, Direction, Position
from tests.counterparts.hardware import (
    DEVICE,
    End,
    Heard,
    connected,
    dials,
    events,
    listening,
    lost,
    met_on,
    plugged_in,
    running,
)
from tests.counterparts.waiting import until

WATCH = {
    "TCP_NODELAY": 1,
    "TCP_KEEPIDLE": 10,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 15_000,
}
"""A peer that is gone is known after 25 s of silence, and 15 s after something was told to it."""


@dataclass
class Wired:
    """A line with the hardware at its end, connected."""

    line: Line
    end: End
    heard: Heard


@asynccontextmanager
async def wired(wire: str, folder: Path) -> AsyncIterator[Wired]:
    heard = Heard()
    async with AsyncExitStack() as stack:
        if wire == "tcp":
            hardware = await stack.enter_async_context(listening())
            line = dials(hardware.address, heard)
            await stack.enter_async_context(running(line))
            end = await hardware.met(firmware="1.4.2", sensor=True)
        else:
            port = folder / "ttyUSB0"
            end = await stack.enter_async_context(plugged_in(port))
            line = dials(Serial(str(port), 115_200), heard)
            await stack.enter_async_context(running(line))
            await met_on(end, line)
        await connected(line)
        yield Wired(line, end, heard)


@pytest.fixture(params=["tcp", "serial"])
async def both(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Wired]:
    """The same over either wire."""
    async with wired(request.param, tmp_path) as ends:
        yield ends


@pytest.fixture
async def over_tcp(tmp_path: Path) -> AsyncIterator[Wired]:
    async with wired("tcp", tmp_path) as ends:
        yield ends


async def test_request_out_of_form_is_refused_and_goes_no_further(both: Wired) -> None:
    both.end.request("r1", ageMs=-1)
    assert await both.end.hears() == {"type": "refuse", "requestId": "r1", "reason": "malformed"}
    both.end.request("r2")
    await until(lambda: both.heard.asked)
    assert [asked.request_id for asked in both.heard.asked] == ["r2"]


async def test_request_is_asked_and_refused(both: Wired) -> None:
    both.end.request("r1", action="open", direction="entry", ageMs=12, unit="4b", note="parcel")
    await until(lambda: both.heard.asked)

    assert both.heard.asked == [
        Asked(
            request_id="r1",
            mobile="+27824511234",
            channel=Channel.BLUETOOTH,
            action=Action.OPEN,
            direction=Direction.ENTRY,
            unit="4b",
            note="parcel",
            age_ms=12,
        )
    ]
    both.line.refuse("r1", "outside_schedule")
    assert await both.end.hears() == {"type": "refuse", "requestId": "r1", "reason": "outside_schedule"}


async def test_request_of_a_panel_is_granted(both: Wired) -> None:
    both.line.grant("r1")
    assert await both.end.hears() == {"type": "granted", "requestId": "r1"}


async def test_acceptance_is_told_with_the_number_as_written(both: Wired) -> None:
    both.end.say(type="accepted", mobile="082 451 1234")
    await until(lambda: both.heard.accepted)
    assert both.heard.accepted == ["082 451 1234"]


@pytest.mark.parametrize(
    ("answer", "actuated"),
    [
        ({"ok": True, "error": None}, Actuated(True)),
        ({"ok": False, "error": "already_open"}, Actuated(False, "already_open")),
    ],
)
async def test_actuate_gives_what_the_hardware_answers(
    both: Wired, answer: dict[str, object], actuated: Actuated
) -> None:
    moving = asyncio.create_task(both.line.actuate("r1", Action.OPEN))
    assert await both.end.hears() == {"type": "actuate", "requestId": "r1", "action": "open"}
    both.end.say(type="actuated", requestId="r1", **answer)
    assert await moving == actuated


async def test_answers_find_their_requests_in_any_order(over_tcp: Wired) -> None:
    moving = {
        request: asyncio.create_task(over_tcp.line.actuate(request, Action.TRIGGER)) for request in ("a", "b", "c")
    }
    for _ in moving:
        await over_tcp.end.hears()
    for request in ("c", "a", "b"):
        over_tcp.end.say(type="actuated", requestId=request, ok=True, error=request)
    assert {request: await answer for request, answer in moving.items()} == {
        request: Actuated(True, request) for request in moving
    }


async def test_actuate_twice_for_one_request_moves_once(over_tcp: Wired) -> None:
    moving = asyncio.create_task(over_tcp.line.actuate("r1", Action.TRIGGER))
    await over_tcp.end.hears()
    again = await over_tcp.line.actuate("r1", Action.TRIGGER)
    assert again == Actuated(False, "this request is being carried out already")
    over_tcp.end.say(type="actuated", requestId="r1", ok=True)
    assert await moving == Actuated(True)


async def test_actuate_that_is_cancelled_leaves_the_line_alone(over_tcp: Wired) -> None:
    moving = asyncio.create_task(over_tcp.line.actuate("r1", Action.TRIGGER))
    await over_tcp.end.hears()
    moving.cancel()
    over_tcp.end.say(type="actuated", requestId="r1", ok=True)
    over_tcp.end.request("r2")
    await until(lambda: over_tcp.heard.asked)
    assert over_tcp.line.connected


async def test_answer_to_nothing_is_passed_over(both: Wired) -> None:
    both.end.say(type="actuated", requestId="never asked", ok=True)
    both.end.request("r1")
    await until(lambda: both.heard.asked)
    assert both.line.connected


async def test_second_answer_changes_nothing(over_tcp: Wired) -> None:
    moving = asyncio.create_task(over_tcp.line.actuate("r1", Action.TRIGGER))
    await over_tcp.end.hears()
    over_tcp.end.raw(
        b'{"type":"actuated","requestId":"r1","ok":true}\n{"type":"actuated","requestId":"r1","ok":false}\n'
    )
    assert await moving == Actuated(True)
    assert over_tcp.line.connected


async def test_hello_twice_is_nothing_new(both: Wired) -> None:
    changes = both.heard.changes
    both.end.hello()
    both.end.request("r1")
    await until(lambda: both.heard.asked)
    assert both.line.connected
    assert both.heard.changes == changes


async def test_request_that_is_in_hand_is_not_asked_twice(over_tcp: Wired) -> None:
    """Hardware that had no answer yet may ask again; once it had one, the same id is a new question."""
    over_tcp.end.request("r1")
    over_tcp.end.request("r1")
    over_tcp.end.request("r2")
    await until(lambda: len(over_tcp.heard.asked) > 1)
    assert [asked.request_id for asked in over_tcp.heard.asked] == ["r1", "r2"]
    over_tcp.line.refuse("r1", "expired")
    over_tcp.end.request("r1")
    await until(lambda: len(over_tcp.heard.asked) > 2)


async def test_position_settles_behind_a_flicker(both: Wired) -> None:
    """The first reading counts at once, the next when it has been steady for a second; both are told."""
    loop = asyncio.get_running_loop()
    before = both.heard.changes
    both.end.say(type="position", value="Closed")
    await until(lambda: both.line.position is Position.CLOSED)
    began = loop.time()
    for value in ("Open", "Closed", "Open"):
        both.end.say(type="position", value=value)
    await until(lambda: both.line.position is Position.OPEN)
    assert 0.9 < loop.time() - began < 3
    assert both.heard.changes == before + 2


async def test_position_is_unknown_once_the_device_is_gone(over_tcp: Wired) -> None:
    over_tcp.end.say(type="position", value="Open")
    await until(lambda: over_tcp.line.position)
    over_tcp.end.end()
    await lost(over_tcp.line)
    assert over_tcp.line.position is None


async def test_connected_is_told_both_ways() -> None:
    heard = Heard()
    async with listening() as hardware:
        line = dials(hardware.address, heard)
        with pytest.raises(Offline):
            await line.actuate("r1", Action.TRIGGER)
        async with running(line):
            end = await hardware.dialled()
            assert not line.connected
            with pytest.raises(Offline):
                await line.actuate("r1", Action.TRIGGER)
            end.hello()
            await connected(line)
            assert heard.changes == 1
            end.end()
            await lost(line)
            assert heard.changes == 2
            await hardware.met()
            await connected(line)
        assert not line.connected
        with pytest.raises(Offline):
            await line.actuate("r1", Action.TRIGGER)


async def test_nothing_counts_before_the_hello() -> None:
    heard = Heard()
    async with listening() as hardware, running(line := dials(hardware.address, heard)):
        end = await hardware.dialled()
        end.raw(b"half of a line from before\n")
        end.request("r0")
        end.say(type="position", value="Open")
        end.hello()
        end.request("r1")
        await until(lambda: heard.asked)
        assert [asked.request_id for asked in heard.asked] == ["r1"]
        assert line.position is None


async def test_connection_is_logged_with_the_device_and_what_it_says_of_itself() -> None:
    with capture_logs() as logs:
        async with listening() as hardware, running(line := dials(hardware.address, Heard())):
            end = await hardware.met(firmware="1.4.2", sensor=True)
            await connected(line)
            end.end()
            await lost(line)
            await until(lambda: events(logs, "device.lost"))
    (made,) = events(logs, "device.connected")
    assert {key: made[key] for key in ("device_id", "place", "firmware", "sensor")} == {
        "device_id": DEVICE,
        "place": str(hardware.address),
        "firmware": "1.4.2",
        "sensor": True,
    }
    (gone,) = events(logs, "device.lost")
    assert (gone["device_id"], gone["reason"]) == (DEVICE, "the hardware hung up")


async def test_kernel_watches_a_peer_that_says_nothing(over_tcp: Wired) -> None:
    """A board that lost its power sends no end. The probes stand here because no test waits for them."""
    talk = over_tcp.line._talk
    assert talk is not None
    sock = talk._writer.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    tcp = {name: sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in WATCH}
    assert tcp == WATCH


async def test_serial_port_is_raw(tmp_path: Path) -> None:
    """Every byte goes through as it is, and nothing that is heard is said back."""
    port = tmp_path / "ttyUSB0"
    async with plugged_in(port) as end, running(line := dials(Serial(str(port), 9_600), Heard())):
        await met_on(end, line)
        assert end.terminal is not None
        iflag, oflag, cflag, lflag, ispeed, _, _ = termios.tcgetattr(end.terminal)
        assert (iflag, oflag, lflag) == (0, 0, 0)
        assert cflag & (termios.CSIZE | termios.PARENB | termios.CSTOPB) == termios.CS8
        assert ispeed == termios.B9600
        line.refuse("\r\x03\x11\x13\x04", "é")
        assert (await end.hears())["requestId"] == "\r\x03\x11\x13\x04"


async def test_two_devices_know_nothing_of_each_other() -> None:
    one, two = Heard(), Heard()
    async with (
        listening() as here,
        listening() as there,
        running(first := dials(here.address, one)),
        running(second := dials(there.address, two, device_id="482913")),
    ):
        (await here.met()).request("a")
        end = await there.met(device_id="482913")
        end.request("b")
        await until(lambda: one.asked and two.asked)
        assert [asked.request_id for asked in one.asked + two.asked] == ["a", "b"]
        end.end()
        await lost(second)
        assert first.connected


async def test_hardware_that_comes_late_is_found() -> None:
    """Nobody listens at first; it is dialled again until somebody does."""
    async with listening() as hardware:
        address = hardware.address
    async with running(line := dials(address, Heard())), listening(address.port) as back:
        await back.met()
        await connected(line)
