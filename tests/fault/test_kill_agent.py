"""The agent killed at any moment, under a stream of parts: nothing is lost, and nothing has its effect twice."""

import asyncio
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest

from tests.counterparts.agent import Agent, gateway, strace
from tests.counterparts.cloud import Cloud, Document, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.proxy import Proxy
from tests.fault import history

KILLS = 12
RecordProperty = Callable[[str, object], None]


async def test_agent_killed_at_random_moments(
    mosquitto: Mosquitto, tmp_path: Path, record_property: RecordProperty
) -> None:
    rng = Random(1)
    sent = history.stream(rng, 4 * KILLS)
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        share = len(sent) // KILLS
        for first in range(0, share * KILLS, share):
            sending = asyncio.create_task(cloud.send(*sent[first : first + share]))
            await asyncio.sleep(rng.uniform(0, 0.12))
            await agent.kill9()
            await sending
            await agent.online(cloud)
        await cloud.send(*sent[share * KILLS :])
        await history.check(agent, cloud, sent)
    record_property("tried:kills with signal 9", KILLS)


@pytest.mark.parametrize(
    ("call", "points"),
    [
        # Counted by thread: the shared memory of the WAL, its header, then two for each page of a commit.
        ("pwrite64", [1, 9, 11, 14, 30, 45, 70, 110]),
        ("fdatasync", [1, 3, 5, 8]),
        # Acknowledgements, reports, and the bytes by which one thread wakes the other.
        ("sendto", [7, 25, 38, 46, 55, 70, 90]),
        # The log has the commit before the broker has its acknowledgement.
        ("write", [3, 5, 6, 8, 11]),
    ],
)
async def test_agent_killed_at_a_system_call(
    strace_installed: None,
    mosquitto: Mosquitto,
    tmp_path: Path,
    record_property: RecordProperty,
    call: str,
    points: list[int],
) -> None:
    sent: list[Document] = []
    coming = history.stream(Random(2), 600, people=12)
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        await agent.kill9()
        for point in points:
            await agent.online(cloud, *strace(call, "signal=KILL", when=str(point)))
            sent += await sent_until_it_dies(agent, cloud, coming[len(sent) :])
            assert agent.exit_code == -signal.SIGKILL, agent.log
        await agent.online(cloud)
        begun = {each["batchId"] for each in sent}
        rest = [each for each in coming[len(sent) :] if each["batchId"] in begun]
        await cloud.send(*rest)
        await history.check(agent, cloud, sent + rest)
    record_property("tried:kills with signal 9", len(points))


async def sent_until_it_dies(agent: Agent, cloud: Cloud, coming: Sequence[Document]) -> Sequence[Document]:
    """The parts it took: one after the other, as fast as the broker takes them, with a breath after every few."""
    for count, each in enumerate(coming):
        if not agent.running:
            return coming[:count]
        await cloud.send(each)
        await asyncio.sleep(0.02 if count % 3 else 0.1)
    raise AssertionError(f"that system call is not made so often:\n{agent.log}")


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "cut off"])
async def test_what_was_committed_and_not_acknowledged_is_only_told_again(
    mosquitto: Mosquitto, tmp_path: Path, killed: bool
) -> None:
    """Everything is two seconds on its way, and lost there before the broker has a word of what was committed."""
    sent = part("b-1", 1, people(range(20)))
    async with (
        Proxy(mosquitto.port) as proxy,
        gateway(tmp_path, mosquitto.port, through=proxy.port) as (agent, cloud),
    ):
        proxy.delay_s = 2
        await cloud.send(sent)
        await agent.says("part.applied")
        proxy.cut(refuse=True)
        if killed:
            await agent.kill9()
        assert (len(await agent.users()), cloud.reports) == (20, {})
        proxy.delay_s = 0
        proxy.mend()
        if killed:
            await agent.online(cloud)

        await cloud.outcome("b-1", "complete", within_s=30)
        await cloud.outcome("b-1", "applied", "replayed", number=1)
        await cloud.settles(sent)
        assert [each["outcome"] for each in cloud.results("b-1")] == ["added"] * 20
        assert cloud.missing() == []
        assert len(await agent.users()) == 20


async def test_terminated_agent_finishes_acknowledges_and_leaves(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """What it has applied it has acknowledged too: after the restart nothing comes again."""
    sent = [part("all", 1, people(range(n * 100, n * 100 + 100)), part=n + 1, parts=160) for n in range(160)]
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        sending = asyncio.create_task(cloud.send(*sent))
        await agent.says("part.applied")
        assert await agent.stop(within_s=5) == 0
        applied = len(agent.logged("part.applied"))
        assert 0 < applied < 160, "the signal came in the middle"
        assert cloud.state["online"] is False

        await sending
        await agent.online(cloud)
        await cloud.settles(*sent)
        await cloud.outcome("all", "complete")
        assert len(agent.logged("part.applied")) == 160 - applied
        assert agent.logged("part.replayed") == []
        assert {each["outcome"] for each in cloud.results("all")} == {"added"}
        assert cloud.missing() == []
