"""A gateway is away, and its broker drops what it has no room for: that does not stay unknown, and nothing is lost."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from random import Random

from tests.counterparts.agent import Agent, gateway
from tests.counterparts.cloud import GATE, PANEL, Cloud, Document
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.waiting import until
from tests.fault import history

ROOM = 12
WAITS: dict[str, dict[str, object]] = {"lists": {"incomplete_after_s": 1}}


def stream(seed: int) -> list[Document]:
    """Five times as many parts as there is room for, each once, most of them of batches of several."""
    parts = {(each["batchId"], each["part"]): each for each in history.stream(Random(seed), 33)}
    assert len(parts) >= 5 * ROOM
    return list(parts.values())


def intended(sent: Sequence[Document], device: str) -> dict[str, int]:
    """Everybody who shall be on the list of a device, and the revision that said so last: newer wins."""
    named = [
        (each["revision"], item["mobile"], item in each["invitees"])
        for each in sent
        if device in each["deviceIds"]
        for item in (*each["invitees"], *each["revocations"])
    ]
    last = {mobile: (revision, listed) for revision, mobile, listed in sorted(named)}
    return {mobile: revision for mobile, (revision, listed) in last.items() if listed}


def digest(users: dict[str, int]) -> str:
    words = [sha256(f"{mobile}|{revision}".encode()).digest()[:8] for mobile, revision in users.items()]
    return f"{sum(map(int.from_bytes, words)) % 2**64:016x}"


async def overflow(agent: Agent, cloud: Cloud, sent: Sequence[Document], kept: Sequence[Document]) -> None:
    """What got through is applied, every gap is told or seen, and what the cloud sends again makes the list whole."""
    lost = [each for each in sent if each not in kept]
    assert len(lost) >= 3 * ROOM
    await cloud.settles(*kept)
    arrived: dict[str, set[int]] = defaultdict(set)
    for each in kept:
        arrived[each["batchId"]].add(each["part"])
    torn = {each["batchId"]: each["parts"] for each in kept if len(arrived[each["batchId"]]) < each["parts"]}
    assert torn, "some batch was torn"
    for batch_id, parts in torn.items():
        receipt = await cloud.outcome(batch_id, "incomplete")
        assert set(receipt["missingParts"]) == set(range(1, parts + 1)) - arrived[batch_id]

    await until(lambda: cloud.state["outbox"] == 0 and not cloud.missing())
    shown = {device["deviceId"]: device["digest"] for device in cloud.state["devices"]}
    assert all(shown[device] != digest(intended(sent, device)) for device in (GATE, PANEL)), "batches nobody saw"

    await cloud.reconcile(*sent)
    await history.check(agent, cloud, sent)
    for device in (GATE, PANEL):
        users = {user["mobile"]: user["revision"] for user in await agent.users() if user["deviceId"] == device}
        assert users == intended(sent, device)


async def test_broker_that_drops_the_newest(
    mosquitto_installed: None, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """As Mosquitto does, which tells the sender that all is well."""
    sent = stream(1)
    settings = [f"max_queued_messages {ROOM}", "max_inflight_messages 1"]
    async with (
        Mosquitto(tmp_path / "broker", settings=settings) as broker,
        gateway(tmp_path, broker.port, settings=WAITS) as (agent, cloud),
    ):
        await agent.stop()
        await cloud.send(*sent)
        await agent.online(cloud)
        await until(lambda: cloud.receipts(sent[0]["batchId"], sent[0]["part"]))
        await asyncio.sleep(1)
        kept = [each for each in sent if cloud.receipts(each["batchId"], each["part"])]
        assert kept == sent[: len(kept)]
        await overflow(agent, cloud, sent, kept)
    record_property("tried:messages dropped by a broker", len(sent) - len(kept))


async def test_broker_that_drops_the_oldest(
    mosquitto: Mosquitto, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """As EMQX does: this one is given what would be left in such a queue."""
    sent = stream(2)
    async with gateway(tmp_path, mosquitto.port, protocol="3.1.1", settings=WAITS) as (agent, cloud):
        await agent.stop()
        queue = deque(sent, maxlen=ROOM)
        await cloud.send(*queue)
        await agent.online(cloud)
        await overflow(agent, cloud, sent, queue)
    record_property("tried:messages dropped by a broker", len(sent) - ROOM)
