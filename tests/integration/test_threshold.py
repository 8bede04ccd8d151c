"""What hardware says becomes a request, and its answer reaches the hardware: with a real gate behind it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.request import Answer, Door, Request
from agent.threshold import DENIALS, Threshold
from protocol.hardware import Asked
from protocol.mobile import Numbers
from protocol.vocabulary import Action, Channel, Denial
from tests.counterparts.gatehouse import JOHANNESBURG, Gatehouse, gatehouse
from tests.counterparts.waiting import until
from tests.oracle.histories import GATE, NOON, PANEL
from tests.oracle.parts import DAVID, part, person

STRANGER = "+27999999999"


class Hearing:
    """A threshold that runs, and the seconds of its clock."""

    def __init__(self, house: Gatehouse) -> None:
        self.house = house
        self.seconds = 0.0
        self.threshold = Threshold(
            doors={
                device: Door(house.store.devices[device].number, device, JOHANNESBURG, GATE) for device in (GATE, PANEL)
            },
            drivers={GATE: house.gate_motor, PANEL: house.panel},
            gate=house.gate,
            recorder=house.recorder,
            numbers=Numbers("ZA"),
            changed=lambda: None,
            monotonic=lambda: self.seconds,
        )
        self.running = asyncio.create_task(self.threshold.run())

    def ask(self, request_id: str, mobile: str | None = DAVID, device: str = GATE, **more: object) -> None:
        asked: dict[str, object] = {"request_id": request_id, "mobile": mobile, "channel": Channel.BLUETOOTH}
        self.threshold.ears(device).asked(Asked.model_validate(asked | more))


@pytest.fixture
async def hearing(tmp_path: Path) -> AsyncIterator[Hearing]:
    async with gatehouse(tmp_path) as house:
        people = [part("b1", 1, person(accepted=True), deviceIds=[GATE, PANEL])]
        await house.store.receive(people, NOON)
        hearing = Hearing(house)
        await asyncio.sleep(0)
        yield hearing
        hearing.running.cancel()
        await asyncio.wait([hearing.running])


async def test_number_is_read_however_hardware_writes_it(hearing: Hearing) -> None:
    for request_id, written in {"1": DAVID, "2": "082 451 1234", "3": "0027824511234"}.items():
        hearing.ask(request_id, written)
    await until(lambda: len(hearing.house.gate_motor.told) == 3, what="three orders to move")
    hearing.ask("4", "8.2E+10")
    await until(lambda: hearing.house.gate_motor.refused == [("4", Denial.UNKNOWN_USER)], what="the refusal")


async def test_panel_hears_that_it_was_granted_and_the_gate_moves(hearing: Hearing) -> None:
    hearing.ask("1", device=PANEL, channel=Channel.INTERCOM)
    await until(lambda: hearing.house.gate_motor.told, what="the order to move")
    assert hearing.house.panel.granted == ["1"]
    assert hearing.house.gate_motor.granted == []


async def test_request_for_another_device_is_refused_and_in_the_log(hearing: Hearing) -> None:
    hearing.ask("astray", device_id=PANEL)
    await until(hearing.house.log, what="its event")
    assert hearing.house.gate_motor.refused == [("astray", Denial.UNKNOWN_DEVICE)]
    assert [(event.device_id, event.reason) for event in hearing.house.log()] == [(GATE, Denial.UNKNOWN_DEVICE)]
    assert hearing.house.gate_motor.told == []


async def test_device_gone_mad_leaves_the_log_to_the_others(hearing: Hearing) -> None:
    """It hears `busy` after a while, and later is heard again; meanwhile the panel is served as ever."""
    for number in range(DENIALS + 20):
        hearing.ask(str(number), STRANGER)
        if number % 50 == 49:  # as many as may be under way at once are not to be what stops it
            await until(lambda so_far=number: len(hearing.house.gate_motor.refused) == so_far + 1, what="the answers")  # type: ignore[misc]  # bound here and now
    await until(lambda: len(hearing.house.gate_motor.refused) == DENIALS + 20, what="the answers")
    reasons = [reason for _, reason in hearing.house.gate_motor.refused]
    assert reasons.count(Denial.UNKNOWN_USER) == DENIALS
    assert reasons[-20:] == [Denial.BUSY] * 20
    hearing.ask("at the panel", device=PANEL, channel=Channel.INTERCOM)
    await until(lambda: hearing.house.panel.granted == ["at the panel"], what="the panel's answer")
    hearing.seconds += 60
    hearing.ask("later")
    await until(lambda: len(hearing.house.gate_motor.told) == 2, what="the order to move")


async def test_bug_in_one_request_is_no_secret(hearing: Hearing, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(request: Request, **_: object) -> Answer | None:
        raise ZeroDivisionError(request.request)

    monkeypatch.setattr(hearing.house.gate, "request", broken)
    hearing.ask("1")
    await asyncio.wait([hearing.running], timeout=5)
    assert isinstance(hearing.running.exception(), ExceptionGroup)


async def test_after_the_close_whoever_asks_is_told_to_wait(hearing: Hearing) -> None:
    await hearing.threshold.close()
    hearing.ask("too late", action=Action.OPEN)
    assert hearing.house.gate_motor.refused == [("too late", Denial.BUSY)]
