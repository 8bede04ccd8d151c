"""Whoever has the broker sends what cannot be used, without end: the card is not worn out by answers to it."""

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.answers import Answers
from agent.clock import Clock
from agent.floods import Floods
from agent.inbox import Delivery, Inbox
from agent.intake import Intake, Rules
from agent.quarantine import Quarantine
from agent.vault import Vault
from protocol.codec import Limits, Refused
from protocol.commands import Unusable
from protocol.mobile import Numbers
from protocol.topics import Topics
from storage import outbox
from tests.counterparts.cloud import GATE, GATEWAY, Document, part, people
from tests.counterparts.signer import Signer
from tests.counterparts.waiting import until
from tests.oracle.model import DeviceRule
from tests.oracle.store import Store

TOPICS = Topics(GATEWAY)
HOUR_MS = 3_600_000
AT_ONCE = 3


class Belt:
    """What the broker delivers, and what it has the acknowledgement of: the gateway's own inbox without a network."""

    def __init__(self) -> None:
        self.settled: list[int] = []
        self._inbox = self._new_inbox()
        self._arrival = asyncio.Event()
        self._brought = 0

    def _new_inbox(self) -> Inbox:
        return Inbox({TOPICS.invites: 1 << 20, TOPICS.commands: 1 << 20}, self.settled.append)

    async def receive(self, topic: str, most: int, most_bytes: int) -> list[Any]:
        while not (taken := self._inbox.take(topic, most, most_bytes)):
            self._arrival.clear()
            await self._arrival.wait()
        return list(taken)

    async def bring(self, topic: str, *payloads: bytes) -> None:
        """Deliver these, and wait until the broker need not keep them."""
        for payload in payloads:
            self._brought += 1
            self._inbox.put(self._inbox.arrive(self._brought, topic, payload, retained=False))
        self._arrival.set()
        await until(lambda: len(self.settled) == self._brought)

    async def bring_in_vain(self, topic: str, payload: bytes) -> None:
        """Deliver it behind another message that is in hand, and lose the connection."""
        for number, each in enumerate((TOPICS.invites, topic), self._brought + 1):
            self._inbox.put(self._inbox.arrive(number, each, payload, retained=False))
        self._inbox.take(TOPICS.invites, 1, 1)
        self._arrival.set()
        await until(lambda: not self._inbox)
        self._inbox.close()
        self._inbox = self._new_inbox()

    async def bring_carelessly(self, topic: str, *payloads: bytes) -> None:
        """Deliver these with QoS 0, and wait until they were taken."""
        for payload in payloads:
            self._inbox.put(self._inbox.arrive(0, topic, payload, retained=False))
        self._arrival.set()
        await until(lambda: not self._inbox)


class House:
    """A gateway's store with its intake and its answers, which believe one key, and tell little of what is refused."""

    def __init__(self, home: Path, store: Store) -> None:
        self.signer, self.forger = Signer("cloud-2026"), Signer("cloud-2027")
        self.belt = Belt()
        self.home, self.store = home, store
        self.now = 0.0
        clock = Clock(trusted=True)
        self._vault = Vault(store.database, store.reader, store.devices, clock, Random(1))
        trusted = {self.signer.kid: self.signer.key}
        link, nothing, numbers = cast("Any", self.belt), cast("Any", None), Numbers("ZA")
        self.intake = Intake(
            rules=Rules(GATEWAY, Limits(), store.guard, trusted),
            topic=TOPICS.invites,
            link=link,
            vault=self._vault,
            numbers=numbers,
            quarantine=Quarantine(home / "quarantine"),
            floods=Floods[Refused](lambda: self.now, AT_ONCE),
        )
        self.answers = Answers(
            gateway_id=GATEWAY,
            trusted=trusted,
            topic=TOPICS.commands,
            link=link,
            vault=self._vault,
            orders=cast("Any", SimpleNamespace(carry_out=_never)),
            codebook=nothing,
            resync=nothing,
            erasure=cast("Any", SimpleNamespace(resume=_nothing)),
            numbers=numbers,
            floods=Floods[Unusable](lambda: 0.0, AT_ONCE),
        )

    def receipts(self) -> list[Document]:
        return [report for report in self.store.reports() if "outcome" in report]

    def replies(self) -> list[Document]:
        return [json.loads(body) for _, body in outbox.replies(self.store.reader, 1_000)]

    def written(self) -> int:
        """Bytes of commits so far."""
        return self.store.path.with_name(self.store.path.name + "-wal").stat().st_size


async def _nothing() -> None:
    return


async def _never(_: object) -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def running(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with Store(tmp_path / "gateway.db", {GATE: DeviceRule("fluss+", 100)}) as store:
        opened = House(tmp_path, store)
        await store.trust(opened.signer.thumbprint)
        yield opened


async def test_forged_batches_without_end_are_counted_and_good_ones_applied(house: House) -> None:
    forged = [house.forger.signs(part(f"f-{number}", number, people([number]))) for number in range(1, 21)]
    unsigned = [json.dumps(part(f"u-{number}", number, people([number]))).encode() for number in range(5)]
    async with running(house.intake.run):
        await house.belt.bring(TOPICS.invites, *forged[:AT_ONCE])
        assert [each["error"]["code"] for each in house.receipts()] == ["unknown_key"] * AT_ONCE
        written = house.written()
        await house.belt.bring(TOPICS.invites, *forged[AT_ONCE:], *unsigned, *forged)
        assert house.written() == written, "the card does not notice"
        await house.belt.bring(TOPICS.invites, house.signer.signs(part("good", 1, people([1]))))
    assert [each["outcome"] for each in house.receipts()[AT_ONCE:]] == ["applied", "complete"]
    assert len(list((house.home / "quarantine").iterdir())) == AT_ONCE

    await house.intake.tell_floods(leaving=True)
    told = house.receipts()[AT_ONCE + 2 :]
    assert [(each["error"]["code"], each["repeated"]) for each in told if "payloadSha256" in each] == [
        ("unknown_key", 1)
    ] * AT_ONCE, "the same bytes once more"
    assert {each["error"]["code"]: each["repeated"] for each in told if "payloadSha256" not in each} == {
        "unknown_key": 2 * (20 - AT_ONCE),
        "unsigned": 5,
    }
    assert {each["batchId"] for each in told} == {None}


async def test_genuine_batches_played_again_without_end_are_not_answered_without_end(house: House) -> None:
    genuine = house.signer.signs(part("good", 5, people([1])))
    late = [house.signer.signs(part(f"l-{number}", number + 6, people([2]), expiresAt=1)) for number in range(10)]
    async with running(house.intake.run):
        await house.belt.bring(TOPICS.invites, *[genuine] * (1 + AT_ONCE))
        said = len(house.receipts())
        assert [each["outcome"] for each in house.receipts()[-AT_ONCE:]] == ["replayed"] * AT_ONCE
        written = house.written()
        await house.belt.bring(TOPICS.invites, *[genuine] * 50, *late)
        assert (len(house.receipts()), house.written()) == (said, written)
        for _ in range(5):
            house.now += 1
            await house.belt.bring(TOPICS.invites, genuine)
        assert len(house.receipts()) == said + 1, "twelve a minute, also in the middle of a flood"
        await house.belt.bring(TOPICS.invites, genuine, house.signer.signs(part("next", 6, people([2]))), genuine)
    assert [each["outcome"] for each in house.receipts()[said + 1 :]] == ["applied", "complete"]
    await house.intake.tell_floods(leaving=True)
    (told,) = house.receipts()[said + 3 :]
    assert (told["error"]["code"], told["repeated"]) == ("expired", 10)


async def test_forged_commands_without_end_are_counted(house: House) -> None:
    asked = {"gatewayId": GATEWAY, "command": "trigger", "deviceId": GATE}
    forged = [house.forger.signs({**asked, "commandId": f"f-{number}"}) for number in range(20)]
    end = time.time_ns() // 1_000_000 - HOUR_MS
    late = [house.signer.signs({**asked, "commandId": f"l-{number}", "expiresAt": end}) for number in range(5)]
    async with running(house.answers.run):
        await house.belt.bring(TOPICS.commands, *forged[: AT_ONCE - 1])
        await house.belt.bring(TOPICS.commands, forged[0], late[0])
        answered = [(each["commandId"], each["error"]["code"]) for each in house.replies()]
        assert answered == [(None, "unknown_key")] * (AT_ONCE - 1) + [("l-0", "expired")]
        written = house.written()
        await house.belt.bring(TOPICS.commands, *forged[AT_ONCE - 1 :], *late * 3)
        assert house.written() == written, "the card does not notice"
    await house.answers.tell_floods(leaving=True)
    told = house.replies()[AT_ONCE:]
    assert [(each["error"]["code"], "payloadSha256" in each, each["repeated"]) for each in told] == [
        ("unknown_key", True, 1),
        ("unknown_key", False, 20 - AT_ONCE + 1),
        ("expired", False, 15),
    ]
    assert {each["commandId"] for each in told} == {None}


async def test_command_is_answered_on_the_next_connection_where_the_first_ended_before_its_turn(house: House) -> None:
    """Only what was answered is counted when it comes again."""
    forged = house.forger.signs({"gatewayId": GATEWAY, "command": "codes", "commandId": "f"})
    async with running(house.answers.run):
        await house.belt.bring_in_vain(TOPICS.commands, forged)
        await house.belt.bring(TOPICS.commands, forged)
    assert [each["error"]["code"] for each in house.replies()] == ["unknown_key"]


async def test_one_order_played_again_without_end_takes_no_memory(house: House) -> None:
    """With QoS 0, which nobody bounds, while the first of them waits for a disk that is sick."""
    said = {"commandId": "c", "gatewayId": GATEWAY, "command": "trigger", "deviceId": GATE, "note": "x" * 400}
    order = house.signer.signs({**said, "expiresAt": time.time_ns() // 1_000_000 + HOUR_MS})
    async with running(house.answers.run):
        await house.belt.bring_carelessly(TOPICS.commands, *[order] * 500)
        await until(lambda: sum(isinstance(each, Delivery) for each in gc.get_objects()) < 50, what="them to be let go")
