"""What has happened and is not stored yet: it counts all the same, once, and until the store knows better."""

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent import erasure as erasure_module
from agent import intents as intents_module
from agent.drivers.driver import Actuated
from agent.erasure import Erasure
from agent.intents import Intent, Intents
from agent.keep import Keep
from agent.orders import Orders
from agent.papers import Papers
from agent.quarantine import Quarantine
from agent.recorder import MOST_WAITING
from agent.recovery import unrecorded
from agent.request import Answer
from agent.residue import Residue
from protocol.commands import CommandMessage, Unusable, decode_command
from protocol.mobile import Numbers
from protocol.vocabulary import Action, Channel, ClockState, Denial, Direction, Reply
from storage import codes, outbox
from storage.database import StorageFault, Transaction
from tests.counterparts.gatehouse import Gatehouse, gatehouse
from tests.counterparts.waiting import until
from tests.oracle.histories import GATE, HOUR, NOON, PANEL
from tests.oracle.parts import DAVID, THANDI, ZOE, part, person


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Gatehouse]:
    """One resident, another who has yet to accept, and a code for the panel: 4821."""
    async with gatehouse(tmp_path) as opened:
        await opened.store.receive([part("b1", 1, person(accepted=True), person(THANDI, "Thandi"))], NOON)
        await opened.store.database.transact(
            lambda transaction: codes.issue(
                transaction,
                opened.store.devices[PANEL].number,
                digits="4821",
                name="Plumber",
                mobile=int(ZOE),
                made_at=NOON,
                expires_at=NOON + HOUR,
                entry=GATE,
                exit=GATE,
            )
        )
        yield opened


def reason(answer: Answer | None) -> Denial | None:
    assert answer is not None
    return answer.reason


async def dialled(house: Gatehouse) -> Denial | None:
    """What becomes of the code at the entrance, before that is stored."""
    keypad = {"channel": Channel.KEYPAD, "direction": Direction.ENTRY}
    return reason(await house.ask(device_id=PANEL, code="4821", stored=False, **keypad))


@pytest.fixture
def orders(house: Gatehouse) -> Orders:
    clock: Any = house.clock
    return Orders("gw-1", house.vault, clock, house.gate, Numbers("ZA"))


def command(command_id: str) -> CommandMessage:
    asked = {"commandId": command_id, "gatewayId": "gw-1", "command": "trigger", "deviceId": GATE, "mobile": DAVID}
    return decode_command(json.dumps({**asked, "expiresAt": NOON + 1_000}).encode(), "gw-1")


async def nothing(_: Transaction) -> None:
    """Work that is owed."""


async def test_intent_that_lands_after_all_belongs_to_the_denial(
    house: Gatehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card that hangs for seconds takes what it was given in the end: after a crash that is no opening."""
    monkeypatch.setattr(intents_module, "WRITE_S", 0.02)
    hangs, sync = threading.Event(), os.fdatasync

    def hang(file: int) -> None:
        hangs.wait(10)
        sync(file)

    monkeypatch.setattr(os, "fdatasync", hang)
    assert reason(await house.ask(DAVID, command_id="c1")) is Denial.STORAGE_FAULT
    hangs.set()
    await until(lambda: Intents(house.home / "intents").read())
    assert unrecorded(house.store.reader, Intents(house.home / "intents").read()) == []


async def test_hardware_and_cloud_may_number_alike(house: Gatehouse) -> None:
    """Boards count from one, and so may a cloud: neither is taken for a repetition of the other."""
    ordered = {"channel": Channel.WIFI, "command_id": "1", "request": "1"}
    assert reason(await house.ask(DAVID, request="1")) is None
    assert reason(await house.ask(DAVID, **ordered)) is None
    assert await house.ask(DAVID, **ordered) is None
    assert await house.ask(DAVID, request="1") is None
    assert len({name for name, _ in house.gate_motor.told}) == 2


async def test_command_that_was_denied_is_not_decided_again_while_its_answer_waits(house: Gatehouse) -> None:
    """The broker sends it again with the next connection, and by then the gate might be back."""
    house.gate_motor.connected = False
    async with house.sick_store():
        first = await house.ask(DAVID, command_id="c1", request="c1", stored=False)
        house.gate_motor.connected = True
        assert await house.ask(DAVID, command_id="c1", request="c1") is None
    assert reason(first) is Denial.DEVICE_OFFLINE
    assert house.gate_motor.told == []


async def test_command_that_waited_for_a_sick_disk_is_too_late_in_the_end(house: Gatehouse, orders: Orders) -> None:
    house.store.reader.close()
    away = house.store.path.rename(house.home / "away")
    with pytest.raises(StorageFault):
        await orders.carry_out(command("c1"))
    away.rename(house.store.path)
    house.clock.at = NOON + 1_000
    with pytest.raises(Unusable, match="came after its expiresAt"):
        await orders.carry_out(command("c1"))
    house.clock.at = NOON + 999
    assert (await orders.carry_out(command("c1"))).outcome is Reply.DONE
    assert len(house.gate_motor.told) == 1


async def test_command_whose_event_is_given_up_is_answered_all_the_same(house: Gatehouse, orders: Orders) -> None:
    """A store that is sick for very long: what waits is more than can, and a command among it."""
    async with house.sick_store():
        first = house.recorder.do(nothing)
        await until(lambda: house.vault.fault)
        ordered = asyncio.create_task(orders.carry_out(command("c1")))
        await until(lambda: house.gate_motor.told)
        others = [house.recorder.do(nothing) for _ in range(MOST_WAITING + 1)]
        await until(lambda: house.recorder.lost == 1)
        assert not first.done()
    assert (await ordered).outcome is Reply.DONE
    await others[-1]
    assert [json.loads(body)["commandId"] for _, body in outbox.replies(house.store.reader, 10)] == ["c1"]
    with pytest.raises(Unusable, match="before"):
        await orders.carry_out(command("c1"))


async def test_command_that_the_disk_takes_at_the_second_try_is_answered_once(house: Gatehouse, orders: Orders) -> None:
    """The disk fails when the command has been written, and before that is durable."""
    failed = 0

    async def full(_: Transaction) -> None:
        nonlocal failed
        failed += 1
        if failed == 1:
            raise StorageFault("no space left")

    async with house.sick_store():
        first = house.recorder.do(nothing)
        await until(lambda: house.vault.fault)
        ordered = asyncio.create_task(orders.carry_out(command("c1")))
        await until(lambda: house.gate_motor.told)
        last = house.recorder.do(full)
    assert (await ordered).outcome is Reply.DONE
    await asyncio.gather(first, last)
    assert failed == 2
    assert len(outbox.replies(house.store.reader, 10)) == 1


async def test_use_that_opened_nothing_is_free_again_at_once(house: Gatehouse) -> None:
    async with house.sick_store():
        house.gate_motor.answer = Actuated(False, "motor blocked")
        assert await dialled(house) is None
        house.gate_motor.answer = Actuated(True)
        assert await dialled(house) is None
        assert await dialled(house) is Denial.CODE_SPENT


async def test_use_before_a_crash_counts_before_the_store_has_been_told_of_it(house: Gatehouse) -> None:
    (code,) = codes.live(house.store.reader, PANEL)
    before = Intent(
        number=1,
        at=NOON,
        device_id=PANEL,
        request="r0",
        channel=Channel.KEYPAD,
        action=Action.TRIGGER,
        clock=ClockState.SYNCED,
        opens=GATE,
        code=code.number,
        direction=Direction.ENTRY,
    )
    stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    house.gate.owe([before], stored)
    assert await dialled(house) is Denial.CODE_SPENT
    stored.cancel()
    await asyncio.sleep(0)
    assert await dialled(house) is Denial.CODE_SPENT, "what the store will never know, the gate goes on to know"


async def test_what_was_decided_is_stored_before_its_person_is_forgotten_however_long_that_takes(
    house: Gatehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure_module, "QUIET_S", 0.0)
    sick = True

    async def full(_: Transaction) -> None:
        if sick:
            raise StorageFault("no space left")

    keep = Keep(house.home)
    papers = Papers(house.home, house.intents, Quarantine(house.home / "quarantine"), keep)
    with closing(Residue(house.home, house.store.path)) as residue:
        erasure = Erasure(residue=residue, vault=house.vault, gate=house.gate, recorder=house.recorder, papers=papers)
        first = house.recorder.do(full)
        await until(lambda: house.vault.fault)
        assert reason(await house.ask(DAVID, stored=False)) is None
        finish = await erasure.begin(int(DAVID))
        erasing = asyncio.ensure_future(finish())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(erasing), 0.1)
        sick = False
        await first
        assert (await erasing).counts["events"] == 1
        assert [(event.mobile, event.erased) for event in house.log()] == [(None, True)]


async def test_acceptance_counts_before_it_is_stored_and_no_longer_than_that(house: Gatehouse) -> None:
    stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    house.gate.accepted(GATE, int(THANDI), stored)
    assert reason(await house.ask(THANDI)) is None
    assert reason(await house.ask(THANDI, device_id=PANEL, channel=Channel.INTERCOM)) is Denial.UNKNOWN_USER
    stored.cancel()
    await asyncio.sleep(0)
    assert reason(await house.ask(THANDI)) is Denial.NOT_ACCEPTED
