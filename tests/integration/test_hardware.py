"""A gate, a panel and people at the hardware line, and a gateway of a few lines at its other end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from random import Random

import pytest

from protocol.hardware import MAX_LINE, Accepted, Asked, Did, Hello, Stands
from protocol.vocabulary import Action, Channel, Decision, Denial, Direction, Kind, Position
from simulator import hardware
from simulator.gate import Gate
from simulator.happening import What
from simulator.hardware import Hardware
from simulator.motor import Motion
from simulator.panel import Panel
from simulator.wire import Wire, listening, pseudo_terminal
from tests.counterparts.dialler import Dialler
from tests.counterparts.waiting import until

GATE, PANEL = "1234567890123456", "482913"
DAVID = "+27824511234"


@asynccontextmanager
async def dialled(device: Hardware, line: Wire = listening) -> AsyncIterator[Dialler]:
    """The device on its wire, and a gateway that has dialled and been greeted."""
    async with device, line(device.meet) as url, Dialler(url) as gateway:
        assert (await gateway.hears(Hello)).device_id == device.device_id
        yield gateway


def whats(device: Hardware) -> list[What]:
    return [each.what for each in device.history]


@pytest.mark.parametrize("line", [listening, pseudo_terminal], ids=["tcp", "pty"])
async def test_gate_greets_asks_moves_and_says_so(line: Wire) -> None:
    gate = Gate(GATE, firmware="2.0", travel_s=0.2)
    async with dialled(gate, line) as gateway:
        assert gateway.heard[0] == Hello(device_id=GATE, kind=Kind.FLUSS, firmware="2.0", sensor=True)
        assert (await gateway.hears(Stands)).value is Position.CLOSED
        asking = asyncio.create_task(gate.ask(DAVID, note="bicycle"))
        asked = await gateway.hears(Asked)
        assert (asked.mobile, asked.channel, asked.action, asked.note) == (DAVID, "bluetooth", "trigger", "bicycle")
        assert await gateway.did(asked.request_id) == Did(request_id=asked.request_id, ok=True)
        answer = await asking
        assert (answer.allowed, answer.reason, answer.request_id) == (True, None, asked.request_id)
        assert (await gateway.hears(Stands)).value is Position.OPEN
        await until(lambda: gate.motion is Motion.OPEN)
        assert (await gateway.did("cloud-1", Action.CLOSE)).ok
        assert (await gateway.hears(Stands)).value is Position.CLOSED
        assert gate.motion is Motion.CLOSED, "closed is said when it is closed, and not before"
    assert whats(gate)[:4] == [What.CONNECTED, What.ASKED, What.ALLOWED, What.MOVED]
    assert What.TOLD in whats(gate), "nobody had asked for the second"


async def test_refused_request_has_its_reason() -> None:
    gate = Gate(GATE)
    async with dialled(gate) as gateway:
        asking = asyncio.create_task(gate.ask(DAVID, channel=Channel.WIFI, action=Action.OPEN))
        asked = await gateway.hears(Asked)
        assert (asked.channel, asked.action) == (Channel.WIFI, Action.OPEN)
        gateway.refuse("another", "revoked")
        gateway.refuse(asked.request_id, "outside_schedule")
        answer = await asking
        assert (answer.decision, answer.reason) == (Decision.DENIED, Denial.OUTSIDE_SCHEDULE)
    assert (gate.motion, What.MOVED in whats(gate)) == (Motion.CLOSED, False)


async def test_open_is_refused_by_an_open_gate_and_the_person_hears_why() -> None:
    gate = Gate(GATE, travel_s=60)
    async with dialled(gate) as gateway:
        assert (await gateway.did("first", Action.OPEN)).ok
        asking = asyncio.create_task(gate.ask(DAVID, action=Action.OPEN))
        asked = await gateway.hears(Asked)
        did = await gateway.did(asked.request_id, Action.OPEN)
        assert (did.ok, did.error) == (False, Denial.ALREADY_OPEN)
        answer = await asking
        assert (answer.allowed, answer.reason) == (True, Denial.ALREADY_OPEN)
    assert gate.motion is Motion.OPENING


async def test_request_told_again_on_another_connection_moves_nothing() -> None:
    gate = Gate(GATE, travel_s=60)
    async with gate, listening(gate.meet) as url:
        async with Dialler(url) as gateway:
            first = await gateway.did("r-1")
        async with Dialler(url) as gateway:
            assert await gateway.did("r-1") == first
    assert gate.motion is Motion.OPENING, "a second pulse would have stopped it"
    assert whats(gate).count(What.MOVED) == 1
    assert What.REPEATED in whats(gate)


async def test_gate_without_a_sensor_never_says_where_it_stands() -> None:
    gate = Gate(GATE, sensor=False, travel_s=0.05)
    async with dialled(gate) as gateway:
        assert (await gateway.did("r-1")).ok
        await until(lambda: gate.motion is Motion.OPEN)
        assert (await gateway.did("r-2")).ok
        assert {type(each) for each in gateway.heard} == {Hello, Did}
        assert not [each for each in gateway.heard if isinstance(each, Hello) and each.sensor]


async def test_sensor_flickers_while_the_gate_moves_and_ends_right() -> None:
    gate = Gate(GATE, travel_s=2.5, flicker=Random(3))
    async with dialled(gate) as gateway:
        assert (await gateway.did("r-1")).ok
        await until(lambda: gate.motion is Motion.OPEN)
        await gate.ask(DAVID, patience_s=0.1)  # whatever the gate had to say is on the line before this
        await gateway.hears(Asked)
        said = [each.value for each in gateway.heard if isinstance(each, Stands)]
    assert said.count(Position.CLOSED) > 2, "it says so at first, and now and then while it moves"
    assert said[-1] is Position.OPEN
    assert all(one is not other for one, other in pairwise(said)), "only what has changed is said"


async def test_gate_closes_by_itself_and_says_so() -> None:
    gate = Gate(GATE, travel_s=0.05, auto_close_s=0.05)
    async with dialled(gate) as gateway:
        gate.by_hand(Action.OPEN)
        for position in (Position.CLOSED, Position.OPEN, Position.CLOSED):
            assert (await gateway.hears(Stands)).value is position
    assert [each.reason for each in gate.history if each.what is What.MOVED] == ["opening", "open", "closing", "closed"]


async def test_new_connection_takes_the_place_of_the_old() -> None:
    gate = Gate(GATE)
    async with dialled(gate) as old, listening(gate.meet) as url, Dialler(url) as new:
        await new.hears(Hello)
        await old.ends()
        assert gate.connected
        assert (await new.did("r-1")).ok
        assert What.GONE not in whats(gate)


async def test_dropped_connection_can_be_dialled_again() -> None:
    gate = Gate(GATE)
    async with gate, listening(gate.meet) as url:
        async with Dialler(url) as gateway:
            await gateway.hears(Hello)
            gate.drop()
            await gateway.ends()
            await until(lambda: not gate.connected)
        async with Dialler(url) as gateway:
            await gateway.hears(Hello)
            assert (await gateway.did("r-1")).ok


async def test_silent_gate_stays_connected_until_it_is_dialled_again() -> None:
    gate = Gate(GATE)
    async with gate, listening(gate.meet) as url, Dialler(url) as gateway:
        await gateway.hears(Hello)
        gate.go_silent()
        gateway.actuate("r-1")
        answer = await gate.ask(DAVID, patience_s=0.2)
        assert (answer.decision, answer.reason) == (None, "no answer")
        assert not [each for each in gateway.heard if isinstance(each, Asked | Did)]
        assert not gateway.closed
        async with Dialler(url) as again:
            assert (await again.did("r-2")).ok
    assert [each.request_id for each in gate.history if each.what is What.MOVED] == ["r-2"]


async def test_deaf_gate_does_nothing_and_mute_one_does_not_say_so() -> None:
    gate = Gate(GATE, travel_s=60)
    async with dialled(gate) as gateway:
        gate.deaf = True
        gateway.actuate("r-1")
        await until(lambda: What.BROKEN in whats(gate))
        gate.deaf, gate.mute = False, True
        gateway.actuate("r-2")
        await until(lambda: gate.motion is Motion.OPENING)
        gate.mute = False
        assert (await gateway.did("r-3")).ok
        assert [each.request_id for each in gateway.heard if isinstance(each, Did)] == ["r-3"]
    assert [each.request_id for each in gate.history if each.what is What.MOVED] == ["r-2", "r-3"]


async def test_request_waits_for_a_gateway_and_says_how_old_it_is() -> None:
    gate = Gate(GATE)
    async with gate, listening(gate.meet) as url:
        nobody = await gate.ask(DAVID, patience_s=0.05)
        assert (nobody.decision, nobody.reason) == (None, "no gateway")
        asking = asyncio.create_task(gate.ask(DAVID, age_ms=2_000))
        await asyncio.sleep(0.15)
        async with Dialler(url) as gateway:
            asked = await gateway.hears(Asked)
            assert isinstance(gateway.heard[0], Hello), "hello comes first"
            assert 2_150 <= asked.age_ms < 4_000
            await gateway.did(asked.request_id)
            assert (await asking).allowed


async def test_answer_that_comes_too_late_is_carried_out_all_the_same() -> None:
    gate = Gate(GATE)
    async with dialled(gate) as gateway:
        answer = await gate.ask(DAVID, patience_s=0.05)
        assert answer.decision is None
        assert (await gateway.did(answer.request_id)).ok
    assert gate.motion is Motion.OPENING


async def test_nonsense_and_long_lines_are_passed_over() -> None:
    gate = Gate(GATE)
    async with dialled(gate) as gateway:
        gateway.say(b"nonsense\n", b'{"type":"hello"}\n', b"x" * (3 * MAX_LINE) + b"\n")
        assert (await gateway.did("r-1")).ok
        said = [each.reason for each in gate.history if each.what is What.GARBLED]
        assert len(said) == 3
        assert said[-1] == f"a line of more than {MAX_LINE} bytes"


async def test_babble_is_on_the_line_as_it_is() -> None:
    gate = Gate(GATE)
    async with gate, listening(gate.meet) as url:
        reader, writer = await asyncio.open_connection(*url.removeprefix("tcp://").split(":"))
        await reader.readline()
        await reader.readline()
        gate.babble(b"\xff{{{")
        assert await reader.readexactly(4) == b"\xff{{{"
        writer.close()


async def test_gateway_that_never_reads_is_hung_up() -> None:
    """What nobody reads does not pile up."""
    gate = Gate(GATE)
    async with gate, listening(gate.meet) as url:
        _, writer = await asyncio.open_connection(*url.removeprefix("tcp://").split(":"))
        writer.transport.pause_reading()  # type: ignore[attr-defined] # a socket's transport can
        await until(lambda: gate.connected)
        for _ in range(200):
            gate.babble(b"x" * 100_000)
            await asyncio.sleep(0)
        await until(lambda: not gate.connected)
        writer.transport.abort()


async def test_panel_asks_for_a_unit_and_by_code_and_opens_nothing_itself() -> None:
    panel = Panel(PANEL)
    async with dialled(panel) as gateway:
        assert gateway.heard == [Hello(device_id=PANEL, kind=Kind.INTERCOM, firmware=hardware.FIRMWARE, sensor=False)]
        asking = asyncio.create_task(panel.ask(DAVID, unit="Flat 4"))
        asked = await gateway.hears(Asked)
        assert (asked.channel, asked.unit, asked.code) == (Channel.INTERCOM, "Flat 4", None)
        gateway.grant(asked.request_id)
        assert (await asking).allowed
        asking = asyncio.create_task(panel.ask(code="4821", direction=Direction.EXIT))
        asked = await gateway.hears(Asked)
        assert (asked.channel, asked.code, asked.direction, asked.mobile) == ("keypad", "4821", "exit", None)
        gateway.refuse(asked.request_id, "wrong_code")
        answer = await asking
        assert (answer.decision, answer.reason) == (Decision.DENIED, Denial.WRONG_CODE)
        did = await gateway.did("r-1")
        assert (did.ok, did.error) == (False, "an intercom opens nothing itself")


async def test_invitation_is_taken_up_where_a_gateway_hears_it() -> None:
    gate = Gate(GATE)
    async with dialled(gate) as gateway:
        assert await gate.accept(DAVID)
        assert (await gateway.hears(Accepted)).mobile == DAVID
    assert not await gate.accept(DAVID, patience_s=0.01), "nobody was there to be told"
