"""Decide, actuate, record: the gate with a real list, a real file of intents and a motor that is watched."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from agent.drivers.driver import Actuated
from agent.gate import IN_HAND, REPEATED_S
from agent.intents import SLOTS, Intents
from agent.request import Answer, Request
from protocol.vocabulary import Action, Channel, ClockState, Denial, Direction, Position
from storage import codes
from storage.database import Reader, Rows, StorageFault
from tests.counterparts.gatehouse import Gatehouse, gatehouse
from tests.counterparts.waiting import until
from tests.oracle.histories import GATE, HOUR, NOON, PANEL
from tests.oracle.parts import DAVID, THANDI, ZOE, gone, part, person

ELSEWHERE = "9999999999999999"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Gatehouse]:
    async with gatehouse(tmp_path) as opened:
        people = [person(accepted=True), person(THANDI, "Thandi"), person(ZOE, "Zoe", accepted=True, wifi=False)]
        await opened.store.receive([part("b1", 1, *people)], NOON)
        yield opened


def reason(answer: Answer | None) -> Denial | None:
    assert answer is not None
    return answer.reason


async def test_right_person_gets_in_and_it_is_written_down(house: Gatehouse) -> None:
    answer = await house.ask(DAVID, note="with the dog")
    assert (reason(answer), answer and answer.actuated) == (None, Actuated(True))
    assert house.gate_motor.told == [("r1", Action.TRIGGER)]
    (event,) = house.log()
    assert (event.at, event.device_id, event.mobile, event.name) == (NOON, GATE, int(DAVID), "David")
    assert (event.reason, event.actuated, event.note, event.clock) == (None, True, "with the dog", ClockState.SYNCED)
    assert event.channel is Channel.BLUETOOTH
    assert event.opened is None


@pytest.mark.parametrize(
    ("asks", "why"),
    [
        ({"mobile": 27999999999}, Denial.UNKNOWN_USER),
        ({}, Denial.UNKNOWN_USER),
        ({"mobile": int(THANDI)}, Denial.NOT_ACCEPTED),
        ({"mobile": int(ZOE), "channel": Channel.WIFI}, Denial.WIFI_NOT_ALLOWED),
        ({"mobile": int(DAVID), "age_ms": 10_001}, Denial.STALE_COMMAND),
        ({"mobile": int(DAVID), "device_id": ELSEWHERE}, Denial.UNKNOWN_DEVICE),
        ({"mobile": int(DAVID), "device_id": PANEL, "channel": Channel.INTERCOM}, Denial.UNKNOWN_USER),
    ],
)
async def test_everybody_else_stays_outside_with_a_reason(
    house: Gatehouse, asks: dict[str, object], why: Denial
) -> None:
    assert reason(await house.ask(**asks)) is why
    assert house.gate_motor.told == []
    assert [(event.reason, event.actuated) for event in house.log()] == [(why, None)]


async def test_request_as_old_as_may_be_is_still_somebodys(house: Gatehouse) -> None:
    assert reason(await house.ask(DAVID, age_ms=10_000)) is None


async def test_revoked_person_stays_outside_from_that_moment(house: Gatehouse) -> None:
    assert reason(await house.ask(DAVID)) is None
    await house.store.receive([part("b2", 2, revocations=[gone()])], NOON)
    assert reason(await house.ask(DAVID)) is Denial.REVOKED
    assert house.log()[-1].name is None


async def test_gate_that_nobody_reaches_opens_for_nobody(house: Gatehouse) -> None:
    house.gate_motor.connected = False
    assert reason(await house.ask(DAVID)) is Denial.DEVICE_OFFLINE
    house.gate_motor.connected, house.gate_motor.gone = True, True
    assert reason(await house.ask(DAVID)) is Denial.DEVICE_OFFLINE
    assert [(event.reason, event.actuated) for event in house.log()] == [(Denial.DEVICE_OFFLINE, None)] * 2


@pytest.mark.parametrize(
    ("position", "action", "why"),
    [
        (Position.OPEN, Action.OPEN, Denial.ALREADY_OPEN),
        (Position.CLOSED, Action.CLOSE, Denial.ALREADY_CLOSED),
        (Position.OPEN, Action.CLOSE, None),
        (Position.CLOSED, Action.OPEN, None),
        (Position.OPEN, Action.TRIGGER, None),
        (None, Action.OPEN, None),
    ],
)
async def test_gate_that_is_there_already_is_told_nothing(
    house: Gatehouse, position: Position | None, action: Action, why: Denial | None
) -> None:
    house.gate_motor.position = position
    assert reason(await house.ask(DAVID, action=action)) is why
    assert len(house.gate_motor.told) == (why is None)


async def test_what_hardware_did_not_do_is_told_as_it_was(house: Gatehouse) -> None:
    house.gate_motor.answer = Actuated(False, "motor blocked")
    assert reason(await house.ask(DAVID)) is None
    house.gate_motor.answer = Actuated(None, "no answer")
    await house.ask(DAVID)
    assert [(event.reason, event.actuated, event.error) for event in house.log()] == [
        (None, False, "motor blocked"),
        (None, None, "no answer"),
    ]


async def test_one_request_opens_once(house: Gatehouse) -> None:
    """Twice at the same time, again later, and again after a restart."""
    house.gate_motor.holds = asyncio.Event()
    first = asyncio.create_task(house.ask(DAVID, request="knock"))
    await until(lambda: house.gate_motor.told, what="the order to move")
    assert await house.ask(DAVID, request="knock") is None
    house.gate_motor.holds.set()
    assert reason(await first) is None
    assert await house.ask(DAVID, request="knock") is None
    await house.stop()
    await house.start()
    assert await house.ask(DAVID, request="knock") is None
    assert reason(await house.ask(DAVID, request="knock knock")) is None
    assert [request for request, _ in house.gate_motor.told] == ["knock", "knock knock"]
    assert len(house.log()) == 2


async def test_request_of_another_device_with_the_same_id_is_another_request(house: Gatehouse) -> None:
    await house.store.receive([part("b2", 2, person(accepted=True), deviceIds=[PANEL])], NOON)
    assert reason(await house.ask(DAVID, request="1")) is None
    assert reason(await house.ask(DAVID, request="1", device_id=PANEL, channel=Channel.INTERCOM)) is None
    assert len({request for request, _ in house.gate_motor.told}) == 2


async def test_intercom_has_its_gate_triggered(house: Gatehouse) -> None:
    await house.store.receive([part("b2", 2, person(accepted=True, units=["4"]), deviceIds=[PANEL])], NOON)
    at_panel = {"device_id": PANEL, "channel": Channel.INTERCOM}
    assert reason(await house.ask(DAVID, unit="4", **at_panel)) is None
    assert reason(await house.ask(DAVID, unit="5", **at_panel)) is Denial.WRONG_UNIT
    assert house.panel.told == []
    ((request, action),) = house.gate_motor.told
    assert (request != "r1", action) == (True, Action.TRIGGER)
    assert [(event.device_id, event.opened) for event in house.log()] == [(PANEL, GATE), (PANEL, None)]
    house.gate_motor.connected = False
    assert reason(await house.ask(DAVID, **at_panel)) is Denial.DEVICE_OFFLINE


async def test_gate_with_too_many_openings_in_hand_takes_no_more(house: Gatehouse) -> None:
    house.gate_motor.holds = asyncio.Event()
    asking = [asyncio.create_task(house.ask(DAVID)) for _ in range(IN_HAND)]
    await until(lambda: len(house.gate_motor.told) == IN_HAND, what="as many orders to move")
    assert reason(await house.ask(DAVID)) is Denial.BUSY
    house.gate_motor.holds.set()
    assert [reason(answer) for answer in await asyncio.gather(*asking)] == [None] * IN_HAND
    assert reason(await house.ask(DAVID)) is None


async def test_intent_is_on_the_card_before_the_gate_moves(house: Gatehouse) -> None:
    house.gate_motor.holds = asyncio.Event()
    asking = asyncio.create_task(house.ask(DAVID))
    await until(lambda: house.gate_motor.told, what="the order to move")
    (intent,) = Intents(house.home / "intents").read()
    assert (intent.request, intent.mobile, intent.opens) == ("r1", int(DAVID), GATE)
    assert house.log() == []
    house.gate_motor.holds.set()
    await asking
    assert house.log()[0].intent == intent.number


async def test_card_that_takes_no_intent_keeps_no_resident_outside(house: Gatehouse) -> None:
    """What may be used once is another matter: without a note of it, it might be used twice."""
    (house.home / "intents").mkdir()
    assert reason(await house.ask(DAVID)) is None
    assert reason(await house.ask(DAVID, command_id="c1")) is Denial.STORAGE_FAULT
    assert len(house.gate_motor.told) == 1
    (house.home / "intents").rmdir()
    assert reason(await house.ask(DAVID, command_id="c2")) is None


async def test_pulse_of_the_installer_asks_nobody_and_is_told_as_local(house: Gatehouse) -> None:
    answer = await house.gate.pulse(GATE, "pulse-1")
    assert answer is not None
    await answer.stored
    assert [(event.channel, event.mobile, event.actuated) for event in house.log()] == [(Channel.LOCAL, None, True)]
    house.gate_motor.connected = False
    assert reason(await house.gate.pulse(GATE, "pulse-2")) is Denial.DEVICE_OFFLINE


async def test_clock_that_knows_nothing_lets_residents_in_and_no_visitors(house: Gatehouse) -> None:
    visit = {"permission": "Temporary", "startDate": NOON - HOUR, "endDate": NOON + HOUR}
    await house.store.receive([part("b2", 2, person(THANDI, "Thandi", accepted=True), **visit)], NOON)
    assert reason(await house.ask(THANDI)) is None
    house.clock.known = False
    assert reason(await house.ask(THANDI)) is Denial.CLOCK_UNKNOWN
    assert reason(await house.ask(DAVID)) is None
    assert {event.clock for event in house.log()[1:]} == {ClockState.UNKNOWN}


@pytest.fixture
async def coded(house: Gatehouse) -> Gatehouse:
    """One code is out: 4821."""
    await house.store.database.transact(
        lambda transaction: codes.issue(
            transaction,
            house.store.devices[PANEL].number,
            digits="4821",
            name="Plumber",
            mobile=int(ZOE),
            made_at=NOON,
            expires_at=NOON + 12 * HOUR,
            entry=GATE,
            exit=GATE,
        )
    )
    return house


async def dial(house: Gatehouse, code: str, **more: object) -> Denial | None:
    return reason(await house.ask(code=code, device_id=PANEL, channel=Channel.KEYPAD, **more))


async def test_code_opens_once_in_and_once_out(coded: Gatehouse) -> None:
    assert [await dial(coded, "4821") for _ in range(3)] == [None, None, Denial.CODE_SPENT]
    assert len(coded.gate_motor.told) == 2
    assert [(event.mobile, event.name, event.opened) for event in coded.log()[:2]] == [(int(ZOE), "Plumber", GATE)] * 2


async def test_code_dialled_twice_at_once_gets_one_use_of_each(coded: Gatehouse) -> None:
    coded.gate_motor.holds = asyncio.Event()
    entry = {"direction": Direction.ENTRY}
    first = asyncio.create_task(dial(coded, "4821", **entry))
    await until(lambda: coded.gate_motor.told, what="the order to move")
    assert await dial(coded, "4821", **entry) is Denial.CODE_SPENT
    coded.gate_motor.holds.set()
    assert await first is None


async def test_use_that_opened_nothing_is_given_back(coded: Gatehouse) -> None:
    coded.gate_motor.answer = Actuated(False, "motor blocked")
    assert await dial(coded, "4821", direction=Direction.ENTRY) is None
    coded.gate_motor.answer = Actuated(True)
    assert await dial(coded, "4821", direction=Direction.ENTRY) is None
    coded.gate_motor.connected = False
    assert await dial(coded, "4821", direction=Direction.EXIT) is Denial.DEVICE_OFFLINE
    coded.gate_motor.connected = True
    assert await dial(coded, "4821", direction=Direction.EXIT) is None


async def test_wrong_codes_are_limited_and_the_right_one_waits_too(coded: Gatehouse) -> None:
    assert [await dial(coded, "0000") for _ in range(6)] == [Denial.WRONG_CODE] * 5 + [Denial.TOO_MANY_TRIES]
    assert await dial(coded, "4821") is Denial.TOO_MANY_TRIES
    coded.seconds += 24 * 3600
    assert await dial(coded, "4821") is None


async def test_code_whose_use_cannot_be_noted_opens_nothing(coded: Gatehouse) -> None:
    (coded.home / "intents").mkdir()
    assert await dial(coded, "4821", direction=Direction.ENTRY) is Denial.STORAGE_FAULT
    (coded.home / "intents").rmdir()
    assert await dial(coded, "4821", direction=Direction.ENTRY) is None


@pytest.mark.parametrize("channel", [each for each in Channel if each is not Channel.KEYPAD])
async def test_code_counts_at_the_keypad_alone(coded: Gatehouse, channel: Channel) -> None:
    assert reason(await coded.ask(code="4821", device_id=PANEL, channel=channel)) is Denial.UNKNOWN_USER
    assert await dial(coded, "4821", direction=Direction.ENTRY) is None, "and it is as good as before"


async def test_unknown_clock_stops_codes(coded: Gatehouse) -> None:
    coded.clock.known = False
    assert await dial(coded, "4821") is Denial.CLOCK_UNKNOWN


async def test_list_that_cannot_be_read_opens_for_nobody_and_says_so(house: Gatehouse) -> None:
    house.store.reader.close()
    away = (house.home / "gateway.db").rename(house.home / "away")
    asking = asyncio.create_task(house.ask(DAVID))
    await asyncio.sleep(0)
    away.rename(house.home / "gateway.db")
    assert reason(await asking) is Denial.STORAGE_FAULT
    assert reason(await house.ask(DAVID)) is None


async def test_hardware_that_counts_anew_locks_nobody_out(house: Gatehouse) -> None:
    """Said again within half a minute it is the same request; later it is another one."""
    assert reason(await house.ask(DAVID, request="1")) is None
    house.seconds += REPEATED_S - 1
    assert await house.ask(DAVID, request="1") is None
    house.seconds += 1
    assert reason(await house.ask(DAVID, request="1")) is None
    assert reason(await house.ask(DAVID, request="c1", command_id="c1", channel=Channel.WIFI)) is None
    house.seconds += 365 * 86_400
    assert await house.ask(DAVID, request="c1", command_id="c1", channel=Channel.WIFI) is None, "a command never"
    assert len(house.gate_motor.told) == 3


async def test_use_of_a_code_outlives_a_store_that_cannot_be_written(coded: Gatehouse) -> None:
    """However many people come in meanwhile, its slot is not given away; after a crash it is still known."""
    entry = {"direction": Direction.ENTRY}
    async with coded.sick_store():
        assert await dial(coded, "4821", stored=False, **entry) is None
        for _ in range(SLOTS + 5):
            assert reason(await coded.ask(DAVID, stored=False)) is None
        await coded.crash()
    await coded.start()
    assert await dial(coded, "4821", **entry) is Denial.CODE_SPENT


async def test_more_that_is_owed_than_the_card_can_note_is_refused(house: Gatehouse) -> None:
    async with house.sick_store():
        for number in range(SLOTS):
            answer = await house.ask(DAVID, stored=False, command_id=f"c{number}", channel=Channel.WIFI)
            assert reason(answer) is None
        answer = await house.ask(DAVID, stored=False, command_id="too many", channel=Channel.WIFI)
        assert reason(answer) is Denial.STORAGE_FAULT
        assert reason(await house.ask(DAVID, stored=False)) is None, "a resident at the gate gets in"
    await house.recorder.drain(5)
    assert reason(await house.ask(DAVID, command_id="now again", channel=Channel.WIFI)) is None


async def test_request_that_should_not_have_come_here_is_in_the_log(house: Gatehouse) -> None:
    answer = house.gate.turn_away(
        Request(GATE, "astray", Channel.BLUETOOTH, Action.TRIGGER, int(DAVID)), Denial.UNKNOWN_DEVICE
    )
    await answer.stored
    assert [(event.reason, event.mobile) for event in house.log()] == [(Denial.UNKNOWN_DEVICE, int(DAVID))]
    assert house.gate_motor.told == []


async def test_list_that_cannot_be_read_once_is_read_again(house: Gatehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch, faults = Reader.fetch, [StorageFault("disk I/O error")]

    def unlucky(reader: Reader, sql: str, parameters: Sequence[object] = ()) -> Rows:
        if faults:
            raise faults.pop()
        return fetch(reader, sql, parameters)

    monkeypatch.setattr(Reader, "fetch", unlucky)
    assert reason(await house.ask(DAVID)) is None
