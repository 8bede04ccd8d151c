"""What the gateway says of itself, to the cloud and to whoever stands beside it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, cast

import pytest

from agent.certificates import Ends
from agent.clock import Clock
from agent.config import load
from agent.inbox import Delivery, Inbox
from agent.link import LinkDown, LinkStatus
from agent.presence import AT_MOST_EVERY_S, Presence
from agent.vault import Vault
from protocol.codec import Limits
from protocol.state import Certificates
from protocol.vocabulary import Position
from storage import events
from tests.configurations import MINIMAL
from tests.counterparts.cloud import part, people
from tests.counterparts.gatehouse import Motor
from tests.counterparts.waiting import until
from tests.oracle.model import DeviceRule
from tests.oracle.store import EPOCH, Store

if TYPE_CHECKING:
    from agent.link import Link

GATE = "1234567890123456"
NOW = 1_795_300_000_000
TOPIC = "fluss/v1/gw-1/state"
SESSION = "session-1"


class Line:
    """Stands in for the link: connected when the test says so, and it remembers what was published."""

    def __init__(self) -> None:
        self.status = LinkStatus(False, NOW, False, 0, None, False)
        self.published: list[dict[str, Any]] = []
        self.failures = 0
        self._generation = 0
        self._arrival = asyncio.Condition()
        self.brought: asyncio.Queue[Delivery] = asyncio.Queue()

    async def receive(self, topic: str, most: int, most_bytes: int) -> list[Delivery]:
        assert (topic, most > 0, most_bytes > 0) == (TOPIC, True, True)
        return [await self.brought.get()]

    def bring(self, said: dict[str, Any]) -> None:
        """The broker delivers this on the topic of the state."""
        inbox = Inbox({TOPIC: 1 << 20}, lambda _: None)
        self.brought.put_nowait(inbox.arrive(1, TOPIC, json.dumps(said).encode(), retained=True))

    async def connect(self) -> None:
        async with self._arrival:
            self._generation += 1
            self._arrival.notify_all()

    async def connected(self, after: int = 0) -> int:
        async with self._arrival:
            await self._arrival.wait_for(lambda: self._generation > after)
            return self._generation

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        assert (topic, retain) == (TOPIC, True)
        if self.failures:
            self.failures -= 1
            raise LinkDown("cut")
        self.published.append(json.loads(payload))


class Gate:
    """One gateway's presence, its store and its line."""

    def __init__(self, store: Store, home: Path) -> None:
        self.store = store
        self.line = Line()
        self.link = cast("Link", self.line)
        self.unsent = 0
        self.note = home / "status.json"
        (home / "agent.toml").write_text(MINIMAL)
        clock = Clock(trusted=True)
        self.vault = Vault(store.database, store.reader, store.devices, clock, Random(1))
        self.motor, self.lost = Motor(connected=False), 0
        self.certificates = Ends()
        self.uncopied: str | None = None
        devices = load(home / "agent.toml").devices
        self.presence = Presence(
            gateway_id="gw-1",
            session=SESSION,
            version="1.2.3",
            started_at=NOW,
            limits=Limits(),
            devices=devices,
            drivers={device.id: self.motor for device in devices},
            vault=self.vault,
            unsent=lambda: self.unsent,
            lost=lambda: self.lost,
            new_epoch=lambda: "fresh",
            certificates=lambda: self.certificates,
            topic=TOPIC,
            note=self.note,
            uncopied=lambda: self.uncopied,
        )

    def noted(self) -> dict[str, Any]:
        return dict(json.loads(self.note.read_text()))

    def published(self) -> list[dict[str, Any]]:
        return self.line.published

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(self.presence.run(self.link)),
            asyncio.create_task(self.presence.listen(self.link)),
        ]
        yield
        for task in tasks:
            assert not task.done(), "it runs until it is cancelled"
            task.cancel()
        await asyncio.wait(tasks)


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    async with Store(tmp_path / "gateway.db", {GATE: DeviceRule("fluss+", 100)}) as store:
        yield Gate(store, tmp_path)


async def receive(gate: Gate, count: int) -> None:
    await gate.store.receive([json.dumps(part(f"b-{count}", count, people(range(count)))).encode()], NOW)


async def test_document_tells_what_the_store_holds_now(gate: Gate) -> None:
    await receive(gate, 3)
    gate.unsent = 2
    document = json.loads(gate.presence.document().payload())
    assert (document["epoch"], document["session"], document["online"], document["outbox"]) == (EPOCH, SESSION, True, 2)
    assert document["devices"][0]["users"] == {"Active": 0, "Pending": 3, "Expired": 0}
    assert json.loads(gate.presence.will()) == document | {"online": False}


async def test_document_keeps_the_lists_as_last_seen_while_the_store_cannot_be_read(gate: Gate) -> None:
    await receive(gate, 3)
    before = gate.presence.document()
    gate.store.reader.close()
    gate.store.path.rename(gate.store.path.with_name("away.db"))
    gate.vault.fault = "disk I/O error"
    assert gate.presence.document() == before.model_copy(update={"storage": "degraded"})
    assert json.loads(gate.presence.will())["online"] is False

    gate.store.path.with_name("away.db").rename(gate.store.path)
    gate.vault.fault = None
    await receive(gate, 4)
    assert gate.presence.document().devices[0].revision == 4


async def test_state_is_told_on_every_connection_and_a_burst_of_changes_once(gate: Gate) -> None:
    async with gate.running():
        gate.presence.changed()
        await gate.line.connect()
        await until(gate.published, what="the state, on arrival")
        for count in range(1, 6):
            await receive(gate, count)
            gate.presence.changed()
        assert len(gate.published()) == 1, "not more often than once a second"
        await until(lambda: len(gate.published()) == 2, what="the state, after the change")
        assert gate.published()[-1]["devices"][0]["revision"] == 5
        await gate.line.connect()
        await until(lambda: len(gate.published()) == 3, what="the state, on the next arrival")
        await asyncio.sleep(AT_MOST_EVERY_S * 1.2)
        assert len(gate.published()) == 3, "nothing has happened since"


async def test_state_that_did_not_get_through_is_told_on_the_next_connection(gate: Gate) -> None:
    gate.line.failures = 1
    async with gate.running():
        await gate.line.connect()
        await until(lambda: not gate.line.failures, what="a failed attempt")
        await gate.line.connect()
        await until(gate.published, what="the state")


@pytest.mark.parametrize(
    ("heard", "answered"),
    [
        ({"session": SESSION, "online": True}, False),
        ({"session": SESSION, "online": False}, True),
        ({"session": "session-0", "online": False}, True),
        ({}, True),
    ],
)
async def test_state_is_told_again_when_something_else_stands_there(
    gate: Gate, heard: dict[str, object], answered: bool
) -> None:
    async with gate.running():
        await gate.line.connect()
        await until(gate.published, what="the state, on arrival")
        document = gate.published()[0]
        gate.line.bring(document | heard if heard else {})
        await asyncio.sleep(AT_MOST_EVERY_S * 1.5)
        assert len(gate.published()) == 1 + answered


KEPT = {"session": "another", "online": False, "epoch": EPOCH, "reports": {"newest": 2}, "events": {"newest": 0}}


@pytest.mark.parametrize(
    ("kept", "epoch"),
    [
        ({}, EPOCH),
        ({"reports": {"newest": 3}}, EPOCH),
        ({"reports": {"newest": 4}}, "fresh"),
        ({"events": {"newest": 1}}, "fresh"),
        ({"reports": {"newest": 4}, "epoch": "a life before"}, EPOCH),
        ({"reports": {"newest": 4}, "session": SESSION}, EPOCH),
        ({"reports": {"newest": "4"}, "events": None}, EPOCH),
    ],
    ids=["fewer", "as many", "more reports", "more events", "another epoch", "its own", "no sense"],
)
async def test_store_that_has_said_less_than_the_broker_remembers_is_an_old_one_put_back(
    gate: Gate, kept: dict[str, Any], epoch: str
) -> None:
    await receive(gate, 3)
    assert gate.presence.document().reports.newest == 3
    async with gate.running():
        for said in (KEPT | kept, {"session": SESSION, "online": True}, KEPT | {"reports": {"newest": 9}}, {}):
            gate.line.bring(said)
        await until(gate.line.brought.empty)
    assert gate.presence.document().epoch == epoch, "once it has heard itself, nobody tells it another story"


async def test_hardware_is_told_as_it_is_now(gate: Gate) -> None:
    """Also while the store cannot be read, and in the note."""
    gate.presence.document()
    gate.store.reader.close()
    gate.store.path.rename(gate.store.path.with_name("away.db"))
    gate.motor.connected, gate.motor.position = True, Position.OPEN
    (device,) = gate.presence.document().devices
    assert (device.connected, device.position) == (True, Position.OPEN)
    gate.presence.write_note(gate.link)
    assert gate.noted()["hardware"] == {GATE: {"connected": True, "position": "Open"}}


async def test_ends_of_certificates_are_told_as_they_are_now(gate: Gate) -> None:
    assert gate.presence.document().certificates == Certificates()
    gate.certificates = Ends(client=NOW + 1, broker=NOW + 2)
    document = json.loads(gate.presence.will())
    assert document["certificates"] == {"client": NOW + 1, "authority": None, "broker": NOW + 2}
    gate.presence.write_note(gate.link)
    assert gate.noted()["certificates"] == document["certificates"]


async def test_lost_events_are_counted(gate: Gate) -> None:
    await gate.store.database.transact(lambda transaction: events.count_lost(transaction, 3))
    gate.lost = 2
    assert gate.presence.document().events_lost == 5


async def test_store_that_cannot_be_copied_is_told_to_the_cloud_and_here_with_the_reason(gate: Gate) -> None:
    assert gate.presence.document().copies == "ok"
    gate.uncopied = "snapshots: no room"
    gate.presence.write_note(gate.link)
    assert (gate.presence.document().copies, gate.noted()["copies"]) == ("failing", "snapshots: no room")


async def test_farewell_waits_for_no_broker(gate: Gate) -> None:
    await gate.presence.farewell(gate.link)
    assert [document["online"] for document in gate.published()] == [False]
    gate.line.failures = 1
    await gate.presence.farewell(gate.link)
    assert len(gate.published()) == 1


async def test_note_is_written_when_it_has_changed_and_the_card_left_alone_otherwise(gate: Gate) -> None:
    gate.presence.write_note(gate.link)
    assert gate.noted() == {
        "connected": False,
        "since": NOW,
        "lastError": None,
        "attempts": 0,
        "copies": "ok",
        "duplicateIdentity": False,
        "clock": "synced",
        "certificates": {"client": None, "authority": None, "broker": None},
        "storage": "ok",
        "outbox": 0,
        "hardware": {GATE: {"connected": False, "position": None}},
        "startedAt": NOW,
        "version": "1.2.3",
    }
    written = gate.note.stat()
    gate.presence.write_note(gate.link)
    assert gate.note.stat() == written

    gate.line.status = LinkStatus(False, NOW + 1, False, 3, "wrong user name or password", True)
    gate.vault.fault = "disk I/O error"
    gate.presence.write_note(gate.link)
    assert gate.note.stat().st_ino != written.st_ino, "a reader never sees half of one"
    noted = gate.noted()
    assert (noted["lastError"], noted["duplicateIdentity"]) == ("wrong user name or password", True)
    assert (noted["attempts"], noted["storage"]) == (3, "disk I/O error")


async def test_note_that_could_not_be_written_is_written_later(gate: Gate) -> None:
    gate.note.with_suffix(".new").mkdir()
    gate.presence.write_note(gate.link)
    assert not gate.note.exists()
    gate.note.with_suffix(".new").rmdir()
    gate.presence.write_note(gate.link)
    assert gate.noted()["connected"] is False
