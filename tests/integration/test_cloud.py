"""The cloud's side against real brokers: lists that arrive whatever breaks, clear words where nothing can be done."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from protocol.codec import Limits
from protocol.invites import Invitee
from protocol.topics import Topics
from protocol.vocabulary import Command, Permission
from simulator import tracking
from simulator.address import Address
from simulator.batching import Batch, Offer, make_batch, new_batch_id, next_revision
from simulator.delivery import Delivery, command
from simulator.inquiry import Inquiry, Unanswered
from simulator.messages import State
from simulator.tracking import Tracker
from tests.counterparts.agent import Protocol, gateway
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.proxy import Proxy
from tests.counterparts.waiting import until

GATEWAY, GATE, PANEL = "gw-1", "1234567890123456", "482913"
TOPICS = Topics(GATEWAY)
LOOPBACK = "127.0.0.1"


class Watched:
    """One delivery, with what a person would have been told, and something that happens at its first progress."""

    def __init__(
        self, address: Address, people: int, *, timeout_s: float = 30.0, at_first: Callable[[], None] | None = None
    ) -> None:
        self.notices: list[str] = []
        self.revisions: list[int] = []
        self._at_first = at_first
        self._people = people
        self.delivery = Delivery(
            address, GATEWAY, self._plan, timeout_s=timeout_s, notice=self.notices.append, progress=self._progress
        )

    async def run(self) -> Tracker:
        async with asyncio.timeout(50):
            return await self.delivery.run()

    def is_taken(self) -> bool:
        """Whether the broker has acknowledged every part."""
        return self.delivery.tracker is not None and not self.delivery.tracker._unsent()

    def told(self, words: str) -> bool:
        return any(words in notice for notice in self.notices)

    def _plan(self, state: State | None) -> Batch:
        self.revisions.append(next_revision(1_000, state.revision if state else 0))
        return make_batch(
            [Invitee(userName=f"R {number}", mobile=f"+2782{number:07}") for number in range(self._people)],
            [],
            Offer((GATE, PANEL), Permission.ALWAYS),
            gateway_id=GATEWAY,
            batch_id=new_batch_id(1_795_300_000_000, len(self.revisions).to_bytes(10)),
            revision=self.revisions[-1],
            issued_at=1_795_300_000_000,
            limits=Limits(state.limits.max_part_bytes, state.limits.max_part_items) if state else Limits(),
        )

    def _progress(self, tracker: Tracker) -> None:
        if tracker.known and self._at_first:
            happens, self._at_first = self._at_first, None
            happens()


def assert_everybody(tracker: Tracker, people: int) -> None:
    assert tracker.done, list(tracker.unknown())
    assert tracker.outcomes == {"added": 2 * people}


# ── Against the real gateway ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_list_arrives_over_either_protocol(mosquitto: Mosquitto, tmp_path: Path, protocol: Protocol) -> None:
    async with gateway(tmp_path / "gw", mosquitto.port, protocol=protocol):
        watched = Watched(Address(LOOPBACK, mosquitto.port, protocol=protocol), 1_000)
        tracker = await watched.run()
    assert_everybody(tracker, 1_000)
    assert (watched.notices, len(tracker.batch.parts)) == ([], 3)
    assert time.monotonic() < tracker.ask_at, "news is taken when it comes, not when patience ends"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_list_arrives_though_the_broker_is_killed_midway(
    mosquitto: Mosquitto, tmp_path: Path, protocol: Protocol
) -> None:
    def power_cut() -> None:
        mosquitto.kill9()
        mosquitto.start()

    async with gateway(tmp_path / "gw", mosquitto.port, protocol=protocol):
        watched = Watched(Address(LOOPBACK, mosquitto.port, protocol=protocol), 4_000, at_first=power_cut)
        assert_everybody(await watched.run(), 4_000)
    assert watched.told("Trying again")


async def test_list_arrives_though_the_link_is_cut_midway(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with gateway(tmp_path / "gw", mosquitto.port), Proxy(mosquitto.port) as proxy:
        watched = Watched(Address(LOOPBACK, proxy.port), 4_000, at_first=proxy.cut)
        assert_everybody(await watched.run(), 4_000)
        assert proxy.accepted == 2


async def test_list_waits_at_the_broker_for_a_gateway_that_is_away(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with gateway(tmp_path / "gw", mosquitto.port) as (agent, cloud):
        await agent.stop()
        await cloud.sees(online=False)
        watched = Watched(Address(LOOPBACK, mosquitto.port), 500)
        delivering = asyncio.create_task(watched.run())
        await until(lambda: watched.told("gw-1 is offline. The broker keeps the list for it"))
        await agent.online(cloud)
        assert_everybody(await delivering, 500)


async def test_command_that_nobody_could_carry_out_is_not_sent(mosquitto: Mosquitto, tmp_path: Path) -> None:
    def compose(_: State) -> bytes:
        return command(GATEWAY, Command.REPORT, batchId="b-1")

    inquiry = Inquiry(Address(LOOPBACK, mosquitto.port), GATEWAY, compose, timeout_s=5)
    with pytest.raises(Unanswered, match="Nothing called gw-1 has ever reported here"):
        await inquiry.run()


# ── Against a scripted gateway ────────────────────────────────────────────────────────────────────────────────────────


class Scripted:
    """A gateway that applies what it gets, remembers what it said, and forgets to say what the test wants lost."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client
        self._said: dict[int, tuple[str, bytes]] = {}
        self._applied: dict[int, list[int]] = {}
        self.newest = 40
        self.parts: list[dict[str, Any]] = []
        self.commands: list[dict[str, Any]] = []
        self.loses: Callable[[int], bool] = lambda _: False
        """Whether a report is lost the first time it is said."""
        self.deaf = 0
        """How many parts it does not hear."""

    async def state(
        self, *, online: bool = True, revision: int = 0, max_part_items: int = 5_000, storage: str = "ok"
    ) -> None:
        device = {"deviceId": GATE, "kind": "fluss+", "name": "Gate", "users": {}, "maxUsers": 5, "digest": "0" * 16}
        state = {
            "online": online,
            "session": "s",
            "epoch": "e",
            "reports": {"oldest": 1, "newest": self.newest},
            "version": "1",
            "clock": "synced",
            "storage": storage,
            "limits": {"maxPartBytes": 1 << 20, "maxPartItems": max_part_items},
            "devices": [device | {"revision": revision}],
        }
        await self._client.publish(TOPICS.state, json.dumps(state), qos=1, retain=True)

    async def run(self) -> None:
        await self._client.subscribe([(TOPICS.invites, 1), (TOPICS.commands, 1)])
        async for message in self._client.messages:
            assert isinstance(message.payload, bytes)
            said = json.loads(message.payload)
            if message.topic.value == TOPICS.commands:
                self.commands.append(said)
                await self._answer(said)
            else:
                self.parts.append(said)
                if self.deaf:
                    self.deaf -= 1
                else:
                    await self.hear(said)

    async def hear(self, part: dict[str, Any]) -> None:
        head = {"batchId": part["batchId"], "revision": part["revision"], "part": part["part"], "parts": part["parts"]}
        known = self._applied.get(part["part"])
        await self._say(TOPICS.receipts, head | {"outcome": "replayed" if known else "applied", "counts": {"added": 1}})
        if known:
            for number in known:
                await self._client.publish(*self._said[number], qos=1)
            return
        results = [
            {"item": item, "deviceId": device, "mobile": None, "outcome": "added", "status": "Pending"}
            for device in part["deviceIds"]
            for item in range(len(part["invitees"]))
        ]
        self._applied[part["part"]] = [await self._say(TOPICS.statuses, head | {"results": results})]
        if len(self._applied) == part["parts"]:
            await self._say(TOPICS.receipts, head | {"part": None, "outcome": "complete", "counts": {}})

    async def _say(self, topic: str, said: dict[str, Any]) -> int:
        self.newest += 1
        numbered = {"gatewayId": GATEWAY, "epoch": "e", "reportId": self.newest, "at": 0}
        payload = json.dumps(numbered | said).encode()
        self._said[self.newest] = topic, payload
        if not self.loses(self.newest):
            await self._client.publish(topic, payload, qos=1)
        return self.newest

    async def _answer(self, asked: dict[str, Any]) -> None:
        first, last = asked.get("fromReport", 0), asked.get("throughReport", self.newest)
        again = [said for number, said in self._said.items() if first <= number <= last]
        for topic, payload in again:
            await self._client.publish(topic, payload, qos=1)
        reply = {"commandId": asked["commandId"], "outcome": "done", "at": 0, "result": {"reports": len(again)}}
        await self._client.publish(TOPICS.replies, json.dumps(reply), qos=1)


@asynccontextmanager
async def scripted(
    broker: Mosquitto, *, says: bool = True, state: dict[str, Any] | None = None
) -> AsyncIterator[tuple[Address, Scripted]]:
    async with aiomqtt.Client(broker.host, broker.port, identifier=GATEWAY) as client:
        played = Scripted(client)
        if says:
            await played.state(**(state or {}))
        running = asyncio.create_task(played.run())
        try:
            yield Address(broker.host, broker.port), played
        finally:
            while not running.done():  # before Python 3.12 asyncio.wait_for can lose a cancellation
                running.cancel()
                await asyncio.wait([running], timeout=1)


async def test_part_that_was_lost_is_sent_again(mosquitto: Mosquitto) -> None:
    async with scripted(mosquitto) as (address, played):
        played.deaf = 1
        assert_everybody(await Watched(address, 3).run(), 3)
        assert [part["part"] for part in played.parts] == [1, 1]
        assert played.parts[0] == played.parts[1], "the same part, so that it is replayed and not in conflict"


async def test_reports_that_were_lost_are_asked_for(mosquitto: Mosquitto) -> None:
    async with scripted(mosquitto) as (address, played):
        played.loses = lambda number: number == 42
        assert_everybody(await Watched(address, 3).run(), 3)
        (asked,) = played.commands
        assert (asked["command"], asked["epoch"], asked["fromReport"], asked["throughReport"]) == (
            "report",
            "e",
            42,
            42,
        )


async def test_last_report_that_was_lost_is_asked_for_with_the_batch(mosquitto: Mosquitto) -> None:
    async with scripted(mosquitto) as (address, played):
        played.loses = lambda number: number == 43
        tracker = await Watched(address, 3).run()
        assert_everybody(tracker, 3)
        assert [asked["batchId"] for asked in played.commands] == [tracker.batch.batch_id]


async def test_list_is_newer_than_anything_the_gateway_has(mosquitto: Mosquitto) -> None:
    """Its clock, or that of another office, was wrong once."""
    async with scripted(mosquitto, state={"revision": 5_000_000}) as (address, _):
        watched = Watched(address, 3)
        assert_everybody(await watched.run(), 3)
        assert watched.revisions == [5_000_001]


async def test_parts_are_as_small_as_the_gateway_wants_them(mosquitto: Mosquitto) -> None:
    async with scripted(mosquitto, state={"max_part_items": 10}) as (address, played):
        assert_everybody(await Watched(address, 12).run(), 12)
        assert sorted(len(part["invitees"]) for part in played.parts) == [2, 5, 5]


async def test_message_without_sense_is_told_once_and_left_aside(mosquitto: Mosquitto) -> None:
    async with scripted(mosquitto) as (address, played):
        played.deaf = 1

        watched = Watched(address, 3)
        delivering = asyncio.create_task(watched.run())
        await until(lambda: played.parts)
        async with aiomqtt.Client(address.host, address.port) as stranger:
            for payload in (b"\xff", b"{}", b"[]"):
                await stranger.publish(TOPICS.statuses, payload, qos=1)
        assert_everybody(await delivering, 3)
        assert len([notice for notice in watched.notices if "makes no sense" in notice]) == 1


async def test_what_was_said_while_we_were_away_is_asked_for_at_once(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "FIRST_PATIENCE_S", 600.0)
    monkeypatch.setattr(tracking, "LONGEST_PATIENCE_S", 600.0)
    async with scripted(mosquitto) as (address, played), Proxy(address.port) as proxy:
        played.deaf = 1
        watched = Watched(replace(address, port=proxy.port), 3)
        delivering = asyncio.create_task(watched.run())
        await until(lambda: bool(played.parts) and watched.is_taken(), what="the broker's word that it has the part")
        proxy.cut(refuse=True)
        await until(lambda: watched.told("Trying again"))
        await played.hear(played.parts[0])
        proxy.mend()
        assert_everybody(await delivering, 3)
        assert [asked["command"] for asked in played.commands] == ["report"]
        assert len(played.parts) == 1


async def test_gateway_that_never_spoke_is_told_and_waited_for(mosquitto: Mosquitto) -> None:
    async with scripted(mosquitto, says=False) as (address, played):
        played.deaf = 1
        watched = Watched(address, 3)
        assert_everybody(await watched.run(), 3)
        assert watched.told("Nothing called gw-1 has ever reported here (on fluss/v1/gw-1/state)")


async def test_gateway_that_comes_back_is_told_and_asked(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "FIRST_PATIENCE_S", 0.05)
    monkeypatch.setattr(tracking, "LONGEST_PATIENCE_S", 0.05)
    async with scripted(mosquitto, state={"online": False}) as (address, played):
        played.loses = lambda number: number == 42
        watched = Watched(address, 3)
        delivering = asyncio.create_task(watched.run())
        await until(lambda: watched.told("gw-1 is offline"))
        await until(lambda: played.newest == 43)
        await asyncio.sleep(0.3)  # many times as long as patience
        assert not played.commands, "one that is away is asked nothing"
        await played.state()
        assert_everybody(await delivering, 3)
        assert watched.told("gw-1 is online")
        assert played.commands


async def test_full_disk_is_told(mosquitto: Mosquitto) -> None:
    async with scripted(mosquitto, state={"storage": "degraded"}) as (address, _):
        watched = Watched(address, 3)
        assert_everybody(await watched.run(), 3)
        assert watched.told("gw-1 cannot store anything now: its disk may be full")


async def test_silence_ends_with_what_is_unknown(mosquitto: Mosquitto) -> None:
    async with scripted(mosquitto) as (address, played):
        played.deaf = 1_000
        tracker = await Watched(address, 3, timeout_s=1.0).run()
        assert not tracker.done
        assert list(tracker.unknown()) == ["part 1 of 1 (3 people) has not been answered by the gateway"]


async def test_broker_that_stays_away_ends_with_what_is_unknown(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with gateway(tmp_path / "gw", mosquitto.port):
        watched = Watched(Address(LOOPBACK, mosquitto.port), 4_000, timeout_s=2.0, at_first=mosquitto.kill9)
        tracker = await watched.run()
        assert not tracker.done
        assert any("has not been answered" in words or "has not reached" in words for words in tracker.unknown())
