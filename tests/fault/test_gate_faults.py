"""A sick disk, a line that breaks, an end in the middle: residents get in, and what counts once is not done twice."""

import asyncio
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from agent import exits
from agent.recorder import MOST_WAITING
from tests.counterparts.agent import strace
from tests.counterparts.board import Board, Message, moves, says_nothing
from tests.counterparts.cloud import GATE, PANEL, Document, mobile, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.premises import LATER, SIDE, Premises, premises
from tests.counterparts.waiting import until


@pytest.fixture
async def place(mosquitto: Mosquitto, tmp_path: Path) -> AsyncIterator[Premises]:
    """Two residents, the second still to accept."""
    async with premises(tmp_path, mosquitto.port) as opened:
        await opened.invite(*people([1], accepted=True), *people([2]), deviceIds=[GATE, SIDE])
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


async def test_full_disk_and_a_start_on_it_keep_nobody_outside(
    mosquitto: Mosquitto, tmp_path: Path, small_disk: Path
) -> None:
    """Intents have had their room since the first of them; the log has it again when somebody has made some.

    What was under way when the power went is told then, and not done again.
    """
    async with premises(tmp_path, mosquitto.port) as place:
        await place.invite(*people([1], accepted=True))
        assert await place.gate.ask(mobile(1)) == "actuate"
        await until(lambda: place.agent.logged("snapshot.taken"), what="a copy")
        ballast = fill(small_disk)
        for _ in range(3):
            assert await place.gate.ask(mobile(1)) == "actuate"
        await place.cloud.sees(storage="degraded")
        assert "full" in (await place.agent.says("storage.degraded"))["error"]
        assert place.agent.logged("intent.failed") == []
        ballast.unlink()
        await place.events(4)
        await place.cloud.sees(storage="ok", eventsLost=0)

        ballast = fill(small_disk)
        assert await place.gate.ask(mobile(1)) == "actuate"
        await place.agent.kill9()
        await starts(place)
        assert await place.gate.ask(mobile(1)) == "actuate"
        ballast.unlink()
        events = await place.events(6)
        assert [each["actuated"] for each in events] == [True] * 4 + [None, True]
        assert len(place.gate.told()) == 6

        assert await place.agent.stop() == exits.OK
        [copy] = (small_disk / "snapshots").iterdir()
        shutil.copy(copy, copy.with_name(f"00000009{copy.name[8:]}"))
        fill(small_disk)  # also the room of the index, which the store cannot be opened without
        await starts(place)
        assert await place.gate.ask(mobile(1)) == "actuate"
        assert place.agent.logged("snapshot.given_up")
        assert not copy.exists()


def fill(folder: Path) -> Path:
    """Leave no room."""
    ballast = folder / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(2 << 20))
    return ballast


async def starts(place: Premises) -> None:
    place.agent.launch()
    await place.reached()


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
