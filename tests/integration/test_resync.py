"""The command `resync` on a running gateway: digests, then users, as reports that come again when asked for."""

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.counterparts.agent import Agent, gateway
from tests.counterparts.cloud import GATE, GATEWAY, PANEL, Cloud, Document, mobile, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.waiting import until


@pytest.fixture
async def running(mosquitto: Mosquitto, tmp_path: Path) -> AsyncIterator[tuple[Agent, Cloud]]:
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        yield agent, cloud


@pytest.fixture
def cloud(running: tuple[Agent, Cloud]) -> Cloud:
    return running[1]


def digest(users: dict[str, int]) -> str:
    words = (sha256(f"{number}|{revision}".encode()).digest()[:8] for number, revision in users.items())
    return f"{sum(int.from_bytes(word) for word in words) % 2**64:016x}"


def bucket(number: str) -> str:
    return sha256(number.encode()).hexdigest()[:2]


def buckets(users: dict[str, int]) -> dict[str, str]:
    names = sorted({bucket(number) for number in users})
    return {name: digest({number: users[number] for number in users if bucket(number) == name}) for name in names}


async def applied(cloud: Cloud, *parts: Document) -> None:
    await cloud.send(*parts)
    await cloud.settles(*parts)
    await cloud.outcome(parts[0]["batchId"], "complete")


async def told(cloud: Cloud, reply: Document) -> list[Document]:
    """The messages of a resync, once all have come."""
    assert reply["outcome"] == "done", reply
    wanted = range(reply["result"]["fromReport"], reply["result"]["throughReport"] + 1)
    epoch = reply["result"]["epoch"]
    await until(lambda: all((epoch, number) in cloud.reports for number in wanted), what=f"reports {wanted}")
    return [cloud.reports[epoch, number].says for number in wanted]


def listed(messages: list[Document]) -> dict[str, tuple[int, str]]:
    assert [each.get("end") for each in messages] == [*[None] * (len(messages) - 1), True]
    results = [result for each in messages for result in each["results"]]
    assert {(each["item"], each["outcome"]) for each in results} <= {(None, "listed")}
    return {each["mobile"]: (each["revision"], each["status"]) for each in results}


async def test_resync_brings_digests_then_the_users_of_what_differs(cloud: Cloud) -> None:
    await applied(cloud, part("old", 1, people(range(300))))
    await applied(cloud, part("new", 5, people(range(5), accepted=True), revocations=[{"mobile": mobile(299)}]))
    users = {mobile(number): 5 if number < 5 else 1 for number in range(299)}
    before = cloud.state["reports"]["newest"]

    reply = await cloud.ask("resync", deviceId=GATE, buckets=[])
    assert reply["result"] == {
        "deviceId": GATE,
        "epoch": cloud.state["epoch"],
        "asOfReport": (await cloud.sees(reports={"oldest": 1, "newest": 6}))["reports"]["newest"],
        "revision": 5,
        "digest": digest(users),
        "buckets": buckets(users),
    }
    assert before <= 6, "digests alone are no report"

    some = {bucket(mobile(1)), bucket(mobile(100))}
    reply = await cloud.ask("resync", deviceId=GATE, buckets=sorted(some))
    assert reply["result"]["buckets"] == buckets(users)
    assert listed(await told(cloud, reply)) == {
        number: (revision, "Active" if revision == 5 else "Pending")
        for number, revision in users.items()
        if bucket(number) in some
    }
    everybody = await told(cloud, await cloud.ask("resync", deviceId=GATE))
    assert {number: revision for number, (revision, _) in listed(everybody).items()} == users
    nobody = await told(cloud, await cloud.ask("resync", deviceId=PANEL))
    assert listed(nobody) == {}
    assert cloud.missing() == []


async def test_resync_that_makes_no_sense_is_refused(cloud: Cloud) -> None:
    refused: list[tuple[Document, str]] = [
        ({}, "unknown_device"),
        ({"deviceId": "9999999999999999"}, "unknown_device"),
        ({"deviceId": GATE, "buckets": ["0G"]}, "schema"),
        ({"deviceId": GATE, "buckets": ["00"] * 257}, "schema"),
    ]
    for asked, code in refused:
        reply = await cloud.ask("resync", **asked)
        assert (reply["outcome"], reply["error"]["code"]) == ("refused", code)


async def test_same_question_again_brings_the_same_reports_and_writes_none(cloud: Cloud) -> None:
    await applied(cloud, part("b-1", 1, people(range(50))))
    first = await cloud.ask("resync", deviceId=GATE)
    await told(cloud, first)
    newest = (await cloud.sees(reports={"oldest": 1, "newest": first["result"]["throughReport"]}))["reports"]["newest"]

    for _ in range(20):
        heard = len(cloud.heard)
        again = await cloud.ask("resync", deviceId=GATE)
        assert again["result"] == first["result"]
        await until(lambda: [each for each in cloud.heard[heard:] if each.leaf == "statuses"])  # noqa: B023 -- this round's
    assert cloud.state["reports"]["newest"] == newest

    await applied(cloud, part("b-2", 2, people([99])))
    other = await cloud.ask("resync", deviceId=GATE)
    assert other["result"]["fromReport"] > newest
    assert len(listed(await told(cloud, other))) == 51


async def test_same_command_again_has_the_same_answer_though_the_list_has_changed(cloud: Cloud) -> None:
    """As a broker brings it twice, or a cloud asks that has heard nothing."""
    await applied(cloud, part("b-1", 1, people(range(5))))
    command = {"commandId": "once", "gatewayId": GATEWAY, "command": "resync", "deviceId": GATE}
    await cloud.publish("commands", command)
    first = await cloud.reply("once")
    await told(cloud, first)
    await applied(cloud, part("b-2", 2, people([99])))
    await cloud.publish("commands", command)

    def replies() -> list[Document]:
        return [each for each in cloud.said("replies") if each["commandId"] == "once"]

    await until(lambda: len(replies()) == 2)
    assert [each["result"] for each in replies()] == [first["result"]] * 2


async def test_users_that_a_broker_lost_come_again_when_asked_for(cloud: Cloud) -> None:
    await applied(cloud, part("b-1", 1, people(range(2_000))))
    reply = await cloud.ask("resync", deviceId=GATE)
    messages = await told(cloud, reply)
    assert len(messages) > 2
    result = reply["result"]
    heard = len(cloud.heard)
    asked = await cloud.ask(
        "report", epoch=result["epoch"], fromReport=result["fromReport"], throughReport=result["throughReport"]
    )
    assert asked["result"] == {"reports": len(messages)}
    await until(lambda: sum(each.leaf == "statuses" for each in cloud.heard[heard:]) == len(messages))
