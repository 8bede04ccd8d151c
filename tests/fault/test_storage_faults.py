"""A sick disk: nothing is acknowledged that is not stored, the state says so, and it heals without anybody's help."""

import os
import re
import resource
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from agent import exits
from storage.database import shipped_schema
from tests.counterparts.agent import Agent, gateway, strace
from tests.counterparts.cloud import Cloud, Document, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.waiting import until
from tests.fault import history

# Root may write everywhere; this is root without that power.
BOUND = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--") if os.geteuid() == 0 else ()


def large_parts() -> list[Document]:
    return [part("b-1", 1, people(range(n * 400, n * 400 + 400)), part=n + 1, parts=3) for n in range(3)]


def acknowledged(broker: Mosquitto) -> int:
    return len(re.findall(r"Received PUBACK from gw-1", broker.log()))


async def refused_while_sick(cloud: Cloud, broker: Mosquitto, agent: Agent, sent: list[Document]) -> None:
    """The parts are sent to a gateway that cannot store them."""
    await until(lambda: acknowledged(broker) == 1, what="its own state, which it reads")
    await cloud.send(*sent)
    await cloud.sees(storage="degraded", online=True)
    assert (acknowledged(broker), cloud.reports, agent.logged("part.applied")) == (1, {}, [])


async def healed(cloud: Cloud, agent: Agent, sent: list[Document]) -> None:
    """The fault has gone, and the parts are applied, on the same connection and once."""
    await cloud.settles(*sent, within_s=40)
    await cloud.sees(storage="ok")
    assert {cloud.outcomes("b-1", number)[0] for number in (1, 2, 3)} == {"applied"}
    assert agent.logged("part.replayed") == []
    assert len(agent.logged("link.connected")) == 1
    assert len(await agent.users()) == 1200
    assert cloud.missing() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A state directory on a disk of two mebibytes."""
    folder = tmp_path / "state"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip("this user may not mount a small disk; the limit on the size of files stands in for it")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


async def test_full_disk_acknowledges_nothing_until_there_is_room(
    mosquitto: Mosquitto, tmp_path: Path, small_disk: Path
) -> None:
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        ballast = small_disk / "ballast"
        with pytest.raises(OSError, match="No space left"):
            ballast.write_bytes(bytes(2 << 20))
        sent = large_parts()
        await refused_while_sick(cloud, mosquitto, agent, sent)
        assert "full" in (await agent.says("storage.degraded"))["error"]
        ballast.unlink()
        await healed(cloud, agent, sent)


async def test_failing_writes_acknowledge_nothing_until_they_succeed(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        _, most = resource.prlimit(agent.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(agent.pid, resource.RLIMIT_FSIZE, (64 << 10, most))
        sent = large_parts()
        await refused_while_sick(cloud, mosquitto, agent, sent)
        resource.prlimit(agent.pid, resource.RLIMIT_FSIZE, (most, most))
        await healed(cloud, agent, sent)


async def test_agent_leaves_in_time_although_nothing_can_be_stored(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """The parts come again after the next start; the count of a flood that it wanted to tell is all that is lost."""
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        await cloud.send(b"junk", b"junk", b"junk")
        await cloud.outcome(None, "rejected")
        _, most = resource.prlimit(agent.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(agent.pid, resource.RLIMIT_FSIZE, (32 << 10, most))
        sent = large_parts()
        await cloud.send(*sent)
        await cloud.sees(storage="degraded")
        assert await agent.stop(within_s=8) == exits.OK

        await agent.online(cloud)
        await cloud.settles(*sent)
        assert len(agent.logged("part.applied")) == len(sent)


async def test_agent_leaves_in_time_although_the_store_is_locked(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        with closing(sqlite3.connect(agent.store, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await cloud.send(*large_parts())
            await until(lambda: mosquitto.log().count("Sending PUBLISH to gw-1") >= 3)
            assert await agent.stop(within_s=8) in {exits.OK, exits.IO}

        await agent.online(cloud)
        await cloud.settles(*large_parts())
        assert len(agent.logged("part.applied")) == 3


async def test_locked_store_is_waited_for(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Somebody looks at the store with a tool of their own, and forgets the transaction they began."""
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        sent = large_parts()
        with closing(sqlite3.connect(agent.store, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await refused_while_sick(cloud, mosquitto, agent, sent)
            assert "locked" in (await agent.says("storage.degraded"))["error"]
        await healed(cloud, agent, sent)


@pytest.mark.parametrize(("call", "error", "when"), [("fdatasync", "EIO", "5"), ("pwrite64", "ENOSPC", "90..95")])
async def test_failing_system_calls_are_survived_without_a_second_effect(
    strace_installed: None, mosquitto: Mosquitto, tmp_path: Path, call: str, error: str, when: str
) -> None:
    """They are counted by thread, and each connection to the store has its own: it fails every few commits."""
    sent = history.stream(Random(4), 10, people=20)
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        await agent.stop()
        await agent.online(cloud, *strace(call, f"error={error}", when=when))
        for each in sent:
            await cloud.send(each)
            await cloud.settles(each)
        await history.check(agent, cloud, sent)
        assert len(agent.logged("storage.degraded")) >= 2
        await cloud.sees(storage="ok")


async def test_second_agent_is_refused_and_the_first_unharmed(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud), Agent(tmp_path, mosquitto.port) as second:
        assert await second.ends() == exits.IO
        [told] = second.logged("state_dir.occupied")
        assert (told["state_dir"], told["cure"]) == (str(agent.state_dir), "stop the other fluss-agent first")

        await cloud.send(part("b-1", 1, people(range(3))))
        await cloud.outcome("b-1", "complete")
        assert len(agent.logged("link.connected")) == 1


async def test_state_directory_of_somebody_else_is_named(tmp_path: Path) -> None:
    agent = Agent(tmp_path, 1)
    agent.state_dir.mkdir(mode=0o500)
    agent.launch(*BOUND)
    assert await agent.ends() == exits.IO
    [told] = agent.logged("store.unusable")
    assert "Permission denied" in told["error"]
    assert str(agent.state_dir) in told["error"]


@pytest.fixture
def read_only_disk(small_disk: Path) -> Path:
    """The same, as a card is after a power cut, until it has been checked."""
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    return small_disk


async def test_disk_mounted_read_only_is_a_fault_that_may_pass(tmp_path: Path, read_only_disk: Path) -> None:
    agent = Agent(tmp_path, 1)
    agent.launch()
    assert await agent.ends() == exits.IO
    [told] = agent.logged("store.unusable")
    assert "Read-only file system" in told["error"]
    assert str(read_only_disk) in told["error"]


async def test_store_of_a_newer_program_is_named_and_left_alone(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        await cloud.send(part("b-1", 1, people(range(100))))
        await cloud.outcome("b-1", "complete")
        assert await agent.stop() == exits.OK
        with closing(sqlite3.connect(agent.store)) as database:
            database.execute("CREATE TABLE of_tomorrow (number INTEGER)")
            database.execute("PRAGMA user_version = 99")
        before = agent.store.stat()

        agent.launch()
        assert await agent.ends() == exits.IO
        [told] = agent.logged("store.unusable")
        assert f"has schema version 99, this program knows {len(shipped_schema())}" in told["error"]
        assert str(agent.store) in told["error"]
        assert agent.store.stat().st_size == before.st_size
        await until(lambda: cloud.state["online"] is False)
