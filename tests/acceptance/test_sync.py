"""`cloud sync` as an office types it: what is wanted in a file, and a gateway that has something else."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from simulator import exits
from tests.acceptance.test_invite import Ended, cloud, written
from tests.counterparts.agent import Agent, gateway
from tests.counterparts.cloud import GATE, PANEL, Cloud, mobile, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.waiting import until


@pytest.fixture
async def place(mosquitto: Mosquitto, tmp_path: Path) -> AsyncIterator[tuple[Agent, Cloud]]:
    async with gateway(tmp_path / "gw", mosquitto.port) as running:
        yield running


@pytest.fixture
def agent(place: tuple[Agent, Cloud]) -> Agent:
    return place[0]


@pytest.fixture
def gate(place: tuple[Agent, Cloud]) -> Cloud:
    """Another cloud at the same gateway."""
    return place[1]


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    return tmp_path / "truth.json"


def kept(truth: Path) -> dict[str, Any]:
    return dict(json.loads(truth.read_text()))


async def imported(agent: Agent, truth: Path, count: int, *words: str) -> Ended:
    file = written(truth.parent, *(f"Resident {number},{mobile(number)}," for number in range(count)))
    options = ("--permission", "Always", "--yes", *words)
    return await cloud("invite", file, "--config", agent.file, "--truth", truth, *options)


async def sync(agent: Agent, truth: Path, *words: str) -> Ended:
    return await cloud("sync", "--truth", truth, "--config", agent.file, "--yes", *words)


async def known(cloud: Cloud, revision: int, device_id: str = GATE) -> None:
    """Until the gateway has told of it."""
    await until(
        lambda: any((each["deviceId"], each["revision"]) == (device_id, revision) for each in cloud.state["devices"]),
        what=f"{revision} in {cloud.state}",
    )


async def test_sync_shows_what_differs_and_ends_in_agreement(agent: Agent, gate: Cloud, truth: Path) -> None:
    assert (await imported(agent, truth, 30)).code == exits.OK
    newest = kept(truth)["revision"]
    await gate.send(part("b", newest + 1, people([100, 1]), revocations=[{"mobile": mobile(2)}, {"mobile": mobile(3)}]))
    await known(gate, newest + 1)

    ended = await sync(agent, truth)
    assert ended.code == exits.OK, ended.err
    assert ended.rows[0] | {"Buckets": ""} == {
        "Device": "Main gate",
        "Wanted": "30",
        "Listed": "29",
        "Buckets": "",
        "Missing": "2",
        "Other": "1",
        "Unwanted": "1",
    }
    assert ended.rows[1]["Device"] == "Entrance panel"
    assert set(list(ended.rows[1].values())[3:]) == {"0"}
    assert "Sent 4 items in 1 batch: " in ended.err
    assert "Everything that is wanted would be" in ended.err
    assert "Both agree." in ended.err
    users = {(user["deviceId"], user["mobile"]) for user in await agent.users()}
    assert users == {(device_id, mobile(number)) for device_id in (GATE, PANEL) for number in range(30)}

    again = await sync(agent, truth, "--format", "json")
    assert again.code == exits.OK
    document = again.document
    assert (document["agreed"], document["items"], document["devices"], document["newStore"]) == (True, 0, [], False)
    assert document["bytes"]["repairs"] == 0 < document["bytes"]["wholeList"]


async def test_held_removals_are_wanted_until_they_are_confirmed(agent: Agent, gate: Cloud, truth: Path) -> None:
    """A whole list that would take most people off: nobody goes, and no sync brings it about; then it is meant."""
    await imported(agent, truth, 60)
    ended = await imported(agent, truth, 15, "--mode", "replace")
    assert ended.code == exits.REFUSED
    (held,) = kept(truth)["held"]
    await gate.sees(held=[held])
    assert (await sync(agent, truth)).code == exits.OK
    document = kept(truth)
    few = {where: dict(list(people.items())[:15]) for where, people in document["devices"].items()}
    await asyncio.to_thread(truth.write_text, json.dumps(document | {"held": {}, "devices": few}))
    interrupted = await sync(agent, truth)
    assert interrupted.code == exits.REFUSED
    assert f"fluss-simulator cloud confirm {held}" in interrupted.err, "the import did not live to hear of the hold"
    assert len(await agent.users()) == 120
    await asyncio.to_thread(truth.write_text, json.dumps(document))

    ended = await cloud("confirm", held, "--config", agent.file)
    assert ended.code == exits.OK, ended.err
    await gate.sees(held=[])
    ended = await sync(agent, truth, "--format", "json")
    assert ended.code == exits.OK, ended.err
    assert (ended.document["items"], ended.document["reports"]["recovered"] > 0) == (0, True)
    assert {user["mobile"] for user in await agent.users()} == {mobile(number) for number in range(15)}


async def test_truth_that_would_empty_a_list_needs_a_second_word(agent: Agent, gate: Cloud, truth: Path) -> None:
    await imported(agent, truth, 25)
    document = kept(truth)
    await known(gate, document["revision"])
    emptied = {GATE: {}, PANEL: document["devices"][PANEL]}
    await asyncio.to_thread(truth.write_text, json.dumps(document | {"devices": emptied}))
    ended = await sync(agent, truth)
    assert ended.code == exits.REFUSED
    assert f"25 of the 25 people on the list of {GATE} are not wanted by this truth" in ended.err
    assert len(await agent.users()) == 50
    assert (await sync(agent, truth, "--remove-many")).code == exits.OK
    assert {user["deviceId"] for user in await agent.users()} == {PANEL}


async def test_sync_without_a_truth_or_a_gateway_says_so(agent: Agent, gate: Cloud, truth: Path) -> None:
    nowhere = await cloud("codes", PANEL, "--config", agent.file, "--gateway", "gw-2")
    assert nowhere.code == exits.UNREACHABLE
    assert "Nothing called gw-2 has ever reported here" in nowhere.err
    missing = await sync(agent, truth)
    assert missing.code == exits.USAGE
    assert f"there is no file {truth}" in missing.err
    await imported(agent, truth, 3)
    unasked = await cloud("sync", "--truth", truth, "--config", agent.file)
    assert unasked.code == exits.USAGE
    assert "add --yes" in unasked.err
    await asyncio.to_thread(agent.signal, signal.SIGTERM)
    await gate.sees(online=False)
    away = await sync(agent, truth)
    assert away.code == exits.UNREACHABLE
    assert "gw-1 is offline" in away.err
