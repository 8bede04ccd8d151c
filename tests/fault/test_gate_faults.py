"""A sick disk, a line that breaks, an end in the middle: residents get in, and what counts once is not done twice."""

import asyncio
import json
import os
import sqlite3
import subprocess
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent import exits
from agent import intents as intents_module
from agent.drivers.driver import Actuated
from agent.intents import Intents
from agent.orders import Orders
from agent.recorder import MOST_WAITING
from agent.recovery import unrecorded
from agent.request import Answer, Request
from agent.request import Answer, Request
from protocol.commands import Unusable, decode_command
from protocol.mobile import Numbers
from protocol.vocabulary import Action, Channel, Denial, Direction, Reply
from storage import codes
from storage.database import StorageFault
from tests.counterparts.agent import strace
from tests.counterparts.board import Board, Message, moves, says_nothing
from tests.counterparts.cloud import GATE, PANEL, Document, mobile, people
from tests.counterparts.gatehouse import Gatehouse, gatehouse
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.premises import LATER, SIDE, Premises, premises
from tests.counterparts.waiting import until
from tests.oracle.histories import HOUR, NOON
from tests.oracle.parts import DAVID, THANDI, ZOE, part, person


@pytest.fixture
async def place(mosquitto: Mosquitto, tmp_path: Path) -> AsyncIterator[Premises]:
    """Two residents, the second still to accept."""
    async with premises(tmp_path, mosquitto.port) as opened:
        await opened.invite(*people([1], accepted=True), *people([2]), deviceIds=[GATE, SIDE])
        yield opened


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Gatehouse]:
    async with gatehouse(tmp_path) as opened:
        await opened.store.receive([part("b1", 1, person(accepted=True), person(THANDI, "Thandi"))], NOON)
        yield opened


@contextmanager
def locked(store: Path) -> Iterator[None]:
    """Somebody looks at the store with a tool of their own, and forgets the transaction they began."""
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A state directory on a disk of two mebibytes."""
    folder = tmp_path / "state"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def told(events: list[Document]) -> list[tuple[str, str | None, bool | None]]:
    return [(each["note"], each["reason"], each["actuated"]) for each in events]


async def test_store_that_cannot_be_written_keeps_nobody_outside(place: Premises) -> None:
    """What happens meanwhile counts at once, and is in the log later: in order, each at its own time."""
    await place.agent.says("part.applied")
    with locked(place.agent.store):
        assert await place.gate.ask(mobile(1), note="first") == "actuate"
        await place.cloud.sees(storage="degraded")
        place.gate.say(place.gate.accepted(mobile(2)))
        assert await place.gate.ask(mobile(2), note="second") == "actuate"
        ordered = asyncio.create_task(place.order("trigger", mobile(1), note="third"))
        await until(lambda: len(place.gate.told()) == 3)
        assert await place.gate.ask(mobile(3), note="fourth") == "unknown_user"
        assert place.happened() == []
        assert not ordered.done()
    assert (await ordered)["outcome"] == "done"
    events = await place.events(4)
    assert told(events) == [
        ("first", None, True),
        ("second", None, True),
        ("third", None, True),
        ("fourth", "unknown_user", None),
    ]
    assert [each["at"] for each in events] == sorted(each["at"] for each in events)
    await place.cloud.sees(storage="ok", eventsLost=0)
    assert [each["status"] for each in place.cloud.results(None)] == ["Active"]


async def test_full_disk_keeps_nobody_outside(mosquitto: Mosquitto, tmp_path: Path, small_disk: Path) -> None:
    """Intents have had their room since the first of them; the log has it again when somebody has made some."""
    async with premises(tmp_path, mosquitto.port) as place:
        await place.invite(*people([1], accepted=True))
        assert await place.gate.ask(mobile(1)) == "actuate"
        await place.events(1)
        ballast = small_disk / "ballast"
        with pytest.raises(OSError, match="No space left"):
            ballast.write_bytes(bytes(2 << 20))
        for _ in range(3):
            assert await place.gate.ask(mobile(1)) == "actuate"
        await place.cloud.sees(storage="degraded")
        assert "full" in (await place.agent.says("storage.degraded"))["error"]
        assert place.agent.logged("intent.failed") == []
        ballast.unlink()
        events = await place.events(4)
        assert [each["actuated"] for each in events] == [True] * 4
        await place.cloud.sees(storage="ok", eventsLost=0)


async def test_card_that_fails_under_the_intents_lets_residents_in_and_nothing_that_counts(
    strace_installed: None, place: Premises
) -> None:
    issue = {"deviceId": PANEL, "mobile": mobile(7), "userName": "Plumber", "code": "4821"}
    assert (await place.cloud.ask("issue_code", **issue))["outcome"] == "done"
    assert await place.agent.stop() == 0
    of_the_intents = ("-P", str(place.agent.state_dir / "intents"))
    await place.agent.online(place.cloud, *strace("fdatasync", "error=EIO", when="2+"), *of_the_intents)
    await place.reached()
    for note in ("one", "two", "three"):
        assert await place.gate.ask(mobile(1), note=note) == "actuate"
    reply = await place.order("trigger", mobile(1), note="four")
    assert (reply["outcome"], reply["error"]["code"]) == ("refused", "storage_fault")
    assert await place.panel.ask(channel="keypad", code="4821", note="five") == "storage_fault"
    assert len(place.gate.told()) == 3
    assert "Input/output error" in (await place.agent.says("intent.failed"))["error"]
    assert told(await place.events(5)) == [
        ("one", None, True),
        ("two", None, True),
        ("three", None, True),
        ("four", "storage_fault", None),
        ("five", "storage_fault", None),
    ]
    await place.agent.kill9()
    await place.agent.online(place.cloud)
    await place.reached()
    assert await place.panel.ask(channel="keypad", code="4821") == "granted", "it was not used"
    await place.events(6)


async def knock(board: Board, numbers: Iterable[int]) -> None:
    """Strangers ask at a board, all at once, and are refused."""
    knocks = [board.request(mobile(5), note=str(number)) for number in numbers]
    wanted = len(board.heard) + len(knocks)
    board.say(*knocks)
    await until(lambda: len(board.heard) >= wanted, every_s=0.002)


async def test_events_beyond_what_can_wait_are_counted_in_the_state(place: Premises) -> None:
    """And a command that was carried out meanwhile is answered all the same."""
    asked = MOST_WAITING + 150
    with locked(place.agent.store):
        assert await place.gate.ask(mobile(1), note="first") == "actuate"
        ordered = asyncio.create_task(place.order("trigger", mobile(1), note="second"))
        await until(lambda: len(place.gate.told()) == 2)
        await place.cloud.sees(storage="degraded")
        for first in range(0, asked, 25):
            await knock((place.gate, place.side)[first // 25 % 2], range(first, first + 25))
        place.gate.stands("Open")  # news of any kind
        state = await place.cloud.sees(storage="degraded", eventsLost=151)
        assert state["events"]["newest"] == 0
    assert (await ordered)["outcome"] == "done"
    events = await place.events(asked + 2 - 151, within_s=30)
    assert [each["note"] for each in events] == ["first", "second", *map(str, range(151, asked))]
    await place.cloud.sees(storage="ok", eventsLost=151, outbox=0)


async def test_line_that_breaks_before_the_answer_leaves_an_opening_nobody_knows_of(place: Premises) -> None:
    """The hardware asks again once it is back, with the same request: that was carried out, as far as anybody knows."""
    asked = place.gate.request(mobile(1), request_id="knock")
    place.gate.again = [asked]

    def breaks(_: Message) -> None:
        place.gate.answer = moves
        place.gate.hang_up()

    place.gate.answer = breaks
    place.gate.say(asked)
    await until(lambda: place.gate.told() == ["knock"])
    await until(lambda: len(place.agent.logged("request.repeated")) == 1)
    assert await place.gate.ask(mobile(1), request_id="knock again") == "actuate"
    first, second = await place.events(2)
    assert (first["note"], first["actuated"], first["error"]) == (
        "knock",
        None,
        "the line broke before the hardware answered",
    )
    assert (second["note"], second["actuated"]) == ("knock again", True)
    assert place.gate.told() == ["knock", "knock again"]


async def test_agent_told_to_leave_while_gates_move_leaves_in_time_and_loses_nothing(place: Premises) -> None:
    place.gate.answer = place.side.answer = says_nothing
    assert await place.gate.ask(mobile(1), note="walks") == "actuate"
    order = {"commandId": "order", "gatewayId": "gw-1", "command": "trigger", "deviceId": SIDE, "mobile": mobile(1)}
    await place.cloud.publish("commands", {**order, "expiresAt": LATER, "note": "order"})
    await until(place.side.told)
    assert await place.agent.stop(within_s=5) == exits.OK
    place.gate.answer = place.side.answer = moves
    await place.agent.online(place.cloud)
    await place.reached()
    events = await place.events(2)
    assert sorted((each["note"], each["decision"], each["actuated"]) for each in events) == [
        ("order", "allowed", None),
        ("walks", "allowed", None),
    ]
    answers = {(each["outcome"], each["error"]["code"]) for each in place.cloud.said("replies")}
    answers.discard(("refused", "repeated"))
    assert len(answers) == 1
    assert answers <= {("failed", "interrupted"), ("failed", "not_actuated")}
    assert (len(place.gate.told()), len(place.side.told())) == (1, 1)


async def test_intents_that_cannot_be_read_are_named_and_keep_no_resident_outside(place: Premises) -> None:
    assert await place.gate.ask(mobile(1)) == "actuate"
    assert await place.agent.stop() == 0
    file = place.agent.state_dir / "intents"
    file.unlink()
    file.mkdir()
    await place.agent.online(place.cloud)
    await place.reached()
    assert str(file) in place.agent.logged("intents.unreadable")[0]["error"]
    assert await place.gate.ask(mobile(1)) == "actuate"
    assert (await place.order("trigger", mobile(1)))["error"]["code"] == "storage_fault"
    assert [each["actuated"] for each in await place.events(3)] == [True, True, None]


def reason(answer: Answer | None) -> Denial | None:
    assert answer is not None
    return answer.reason


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
    command = {"channel": Channel.WIFI, "command_id": "1", "request": "1"}
    assert reason(await house.ask(DAVID, request="1")) is None
    assert reason(await house.ask(DAVID, **command)) is None
    assert await house.ask(DAVID, **command) is None
    assert await house.ask(DAVID, request="1") is None
    assert len({name for name, _ in house.gate_motor.told}) == 2


async def test_command_that_was_denied_is_not_decided_again_while_its_answer_waits_for_the_disk(
    house: Gatehouse,
) -> None:
    """The broker sends it again with the next connection, and by then the gate might be back."""
    house.gate_motor.connected = False
    with locked(house.store.path):
        first = asyncio.create_task(house.ask(DAVID, command_id="c1", request="c1"))
        await asyncio.sleep(0)
        house.gate_motor.connected = True
        assert await house.ask(DAVID, command_id="c1", request="c1") is None
    assert reason(await first) is Denial.DEVICE_OFFLINE
    assert house.gate_motor.told == []


async def test_command_that_waited_for_a_sick_disk_is_too_late_in_the_end(house: Gatehouse) -> None:
    clock: Any = house.clock
    orders = Orders("gw-1", house.vault, clock, house.gate, Numbers("ZA"))
    ends = {"expiresAt": NOON + 1_000, "issuedAt": NOON}
    asked = {"commandId": "c1", "gatewayId": "gw-1", "command": "trigger", "deviceId": GATE, "mobile": DAVID, **ends}
    command = decode_command(json.dumps(asked).encode(), "gw-1")
    house.store.reader.close()
    away = house.store.path.rename(house.home / "away")
    with pytest.raises(StorageFault):
        await orders.carry_out(command)
    away.rename(house.store.path)
    house.clock.at = NOON + 1_000
    with pytest.raises(Unusable, match="came after its expiresAt"):
        await orders.carry_out(command)
    house.clock.at = NOON + 999
    assert (await orders.carry_out(command)).outcome is Reply.DONE
    assert len(house.gate_motor.told) == 1


async def test_use_that_opened_nothing_is_free_again_before_that_is_stored(house: Gatehouse) -> None:
    await house.store.database.transact(
        lambda transaction: codes.issue(
            transaction,
            house.store.devices[PANEL].number,
            digits="4821",
            name="Plumber",
            mobile=int(ZOE),
            made_at=NOON,
            expires_at=NOON + HOUR,
            entry=GATE,
            exit=GATE,
        )
    )

    async def dialled(request: str) -> Denial | None:
        keypad = {"channel": Channel.KEYPAD, "action": Action.TRIGGER, "direction": Direction.ENTRY}
        return reason(await house.gate.request(Request(PANEL, request, code="4821", **keypad)))  # type: ignore[arg-type]  # as named

    with locked(house.store.path):
        house.gate_motor.answer = Actuated(False, "motor blocked")
        assert await dialled("one") is None
        house.gate_motor.answer = Actuated(True)
        assert await dialled("two") is None
        assert await dialled("three") is Denial.CODE_SPENT


async def test_acceptance_counts_before_it_is_stored_and_no_longer_than_that(house: Gatehouse) -> None:
    stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    house.gate.accepted(GATE, int(THANDI), stored)
    assert reason(await house.ask(THANDI)) is None
    assert reason(await house.ask(THANDI, device_id=PANEL, channel=Channel.INTERCOM)) is Denial.UNKNOWN_USER
    stored.cancel()
    await asyncio.sleep(0)
    assert reason(await house.ask(THANDI)) is Denial.NOT_ACCEPTED
