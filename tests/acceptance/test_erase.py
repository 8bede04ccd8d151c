"""`cloud erase` as an office types it: one person, forgotten by a gateway and by what is wanted of it."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from simulator import exits
from tests.acceptance.test_invite import Ended, cloud, written
from tests.counterparts.agent import Agent, gateway
from tests.counterparts.cloud import Cloud, mobile
from tests.counterparts.mosquitto import Mosquitto


@pytest.fixture
async def place(mosquitto: Mosquitto, tmp_path: Path) -> AsyncIterator[tuple[Agent, Cloud]]:
    async with gateway(tmp_path / "gw", mosquitto.port) as (agent, gate):
        people = written(tmp_path, *(f"Resident {number},{mobile(number)}," for number in range(3)))
        options = ("--permission", "Always", "--yes", "--truth", tmp_path / "truth.json")
        assert (await cloud("invite", people, "--config", agent.file, *options)).code == exits.OK
        yield agent, gate


async def erase(agent: Agent, *words: str | Path) -> Ended:
    return await cloud("erase", *words, "--config", agent.file, "--yes")


async def test_nobody_who_was_erased_is_invited_again_by_a_sync(place: tuple[Agent, Cloud], tmp_path: Path) -> None:
    agent, _ = place
    truth = tmp_path / "truth.json"
    local = "0" + mobile(1).removeprefix("+27")
    ended = await erase(agent, local, "--truth", truth)
    assert (ended.code, ended.out) == (exits.OK, ""), ended.err
    assert ended.err.startswith("Erased: 2 entries in its lists, ")
    assert ended.err.endswith(" No file holds them.\n")
    assert mobile(1) not in await asyncio.to_thread(truth.read_text)

    synced = await cloud("sync", "--truth", truth, "--config", agent.file, "--yes", "--format", "json")
    assert (synced.code, synced.document["items"]) == (exits.OK, 0), synced.err
    assert {user["mobile"] for user in await agent.users()} == {mobile(0), mobile(2)}

    again = await erase(agent, mobile(1))
    assert (again.code, again.err) == (exits.OK, "Erased. Nothing was known of them.\n")


async def test_file_that_is_not_the_gateways_is_named(place: tuple[Agent, Cloud]) -> None:
    agent, _ = place
    await asyncio.to_thread((agent.state_dir / "backup.csv").write_text, f"Resident 1,{mobile(1)}")
    ended = await erase(agent, mobile(1))
    assert ended.code == exits.REFUSED
    assert "the number is still in backup.csv: not this gateway's files" in ended.err
    assert "Delete these files, then erase again." in ended.err


async def test_what_cannot_be_erased_says_why_and_changes_nothing(place: tuple[Agent, Cloud], tmp_path: Path) -> None:
    agent, gate = place
    short = await erase(agent, "08245")
    assert short.code == exits.USAGE
    assert "'08245' is too short for a number in South Africa" in short.err
    nowhere = await erase(agent, mobile(1), "--region", "za")
    assert nowhere.code == exits.USAGE
    assert "write two capital letters" in nowhere.err
    unasked = await cloud("erase", mobile(1), "--config", agent.file)
    assert unasked.code == exits.USAGE
    assert "add --yes" in unasked.err
    assert len(await agent.users()) == 6

    await asyncio.to_thread(agent.signal, signal.SIGTERM)
    await gate.sees(online=False)
    away = await erase(agent, mobile(1), "--truth", tmp_path / "truth.json")
    assert away.code == exits.UNREACHABLE
    assert "offline" in away.err
    assert "gw-1 has not forgotten them yet (truth.json has): erase again when it answers." in away.err
    assert mobile(1) not in await asyncio.to_thread((tmp_path / "truth.json").read_text), "the next sync takes them off"
