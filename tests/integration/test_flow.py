"""The main flow over a real broker, in both versions of MQTT: a list goes in, and word of every person comes out."""

import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from hashlib import sha256
from pathlib import Path

import pytest

from tests.counterparts.agent import Agent, Protocol, gateway
from tests.counterparts.cloud import GATE, PANEL, Cloud, Document, mobile, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.waiting import until

LATER = 32_503_680_000_000  # the year 3000
LONG_AGO = 1_000_000_000_000


@pytest.fixture(params=["5", "3.1.1"])
def protocol(request: pytest.FixtureRequest) -> Protocol:
    version: Protocol = request.param
    return version


in_mqtt_5_alone = pytest.mark.parametrize("protocol", ["5"])
"""For what no version of MQTT has a part in."""


@pytest.fixture
async def running(mosquitto: Mosquitto, protocol: Protocol, tmp_path: Path) -> AsyncIterator[tuple[Agent, Cloud]]:
    async with gateway(tmp_path, mosquitto.port, protocol=protocol) as (agent, cloud):
        yield agent, cloud


@pytest.fixture
def agent(running: tuple[Agent, Cloud]) -> Agent:
    return running[0]


@pytest.fixture
def cloud(running: tuple[Agent, Cloud]) -> Cloud:
    return running[1]


def in_short(results: Iterable[Document]) -> list[tuple[object, ...]]:
    return [(each["item"], each["deviceId"], each["mobile"], each["outcome"], each["status"]) for each in results]


def device(state: Document, device_id: str = GATE) -> Document:
    return next(each for each in state["devices"] if each["deviceId"] == device_id)


async def drawn(cloud: Cloud, revisions: dict[str, int]) -> Document:
    """The gate in the state document, once its digest is the contract's for this list."""
    words = (sha256(f"{number}|{revision}".encode()).digest()[:8] for number, revision in revisions.items())
    digest = f"{sum(int.from_bytes(word) for word in words) % 2**64:016x}"
    await until(lambda: device(cloud.state)["digest"] == digest, what=f"the digest {digest} of {len(revisions)} users")
    return device(cloud.state)


async def test_part_brings_a_receipt_a_status_for_everyone_and_a_new_state(agent: Agent, cloud: Cloud) -> None:
    sent = part("b-1", 7, people(range(3)), deviceIds=[GATE, PANEL])
    await cloud.send(sent)

    receipt = await cloud.outcome("b-1", "applied", number=1)
    assert (receipt["revision"], receipt["parts"], receipt["counts"]) == (7, 1, {"added": 6})
    assert (await cloud.outcome("b-1", "complete"))["counts"] == {"added": 6}
    await cloud.settles(sent)
    assert in_short(cloud.results("b-1")) == [
        (item, device_id, mobile(item), "added", "Pending") for item in range(3) for device_id in (GATE, PANEL)
    ]
    gate = await drawn(cloud, {mobile(number): 7 for number in range(3)})
    assert (gate["users"], gate["revision"]) == ({"Active": 0, "Pending": 3, "Expired": 0}, 7)
    await cloud.sees(outbox=0, reports={"oldest": 1, "newest": 3})
    assert {
        (user["deviceId"], user["mobile"], user["userName"], user["permission"]) for user in await agent.users()
    } == {
        (device_id, mobile(number), f"Resident {number}", permission)
        for number in range(3)
        for device_id, permission in ((GATE, "Always"), (PANEL, None))
    }


@in_mqtt_5_alone
async def test_bad_rows_cost_themselves_alone(cloud: Cloud) -> None:
    rows = [
        {"userName": "Thandi", "mobile": "082 451 1234"},
        {"userName": "Ruined", "mobile": "8.2E+10"},
        {"userName": "", "mobile": mobile(1)},
        {"userName": "Pieter", "mobile": "00 44 7911 123456"},
        "not a person",
        {"userName": "Thandi again", "mobile": "+27824511234"},
        {"userName": "Visitor", "mobile": mobile(2), "permission": "Temporary"},
    ]
    sent = part("b-1", 1, rows, deviceIds=[GATE, "9999999999999999"])
    await cloud.send(sent)
    await cloud.settles(sent)

    at_the_gate = [result for result in cloud.results("b-1") if result["deviceId"] == GATE]
    assert [(each["mobile"], each["outcome"], each.get("error", {}).get("code")) for each in at_the_gate] == [
        ("+27824511234", "added", None),
        (None, "rejected", "invalid_mobile"),
        (mobile(1), "rejected", "missing_name"),
        ("+447911123456", "added", None),
        (None, "rejected", "schema"),
        ("+27824511234", "rejected", "duplicate_in_batch"),
        (mobile(2), "rejected", "missing_dates"),
    ]
    elsewhere = [result for result in cloud.results("b-1") if result["deviceId"] != GATE]
    assert {each["error"]["code"] for each in elsewhere} == {"unknown_device"}
    assert cloud.receipts("b-1", 1)[0]["counts"] == {"added": 2, "rejected": 12}


async def test_parts_out_of_order_twice_and_interleaved_make_one_list(agent: Agent, cloud: Cloud) -> None:
    older = [part("old", 1, people(range(n * 10, n * 10 + 10)), part=n + 1, parts=3) for n in range(3)]
    newer = [
        part("new", 2, people(range(n * 10 + 5, n * 10 + 15), notes="moved"), part=n + 1, parts=2) for n in range(2)
    ]
    order = [newer[1], older[2], older[2], older[0], newer[0], newer[1], older[1], older[0]]
    await cloud.send(*order)

    await cloud.settles(*order)
    for batch_id, number in (("new", 2), ("old", 3), ("old", 1)):
        await cloud.outcome(batch_id, "applied", "replayed", number=number)
    for batch_id, number in (("new", 1), ("old", 2)):
        await cloud.outcome(batch_id, "applied", number=number)
    await cloud.outcome("old", "complete")
    await cloud.outcome("new", "complete")
    users = {user["mobile"]: (user["revision"], user["notes"]) for user in await agent.users()}
    assert users == {mobile(number): (2, "moved") if 5 <= number < 25 else (1, None) for number in range(30)}
    superseded = {each["mobile"] for each in cloud.results("old") if each["outcome"] == "superseded"}
    assert superseded, "the newer batch came first for some"
    assert superseded <= {mobile(number) for number in range(5, 25)}
    await drawn(cloud, {number: revision for number, (revision, _) in users.items()})


async def test_part_again_brings_its_results_again_under_their_old_numbers(cloud: Cloud) -> None:
    sent = part("b-1", 1, people(range(3)))
    await cloud.send(sent)
    await cloud.outcome("b-1", "complete")
    before = len(cloud.heard)

    await cloud.send(sent)
    receipt = await cloud.outcome("b-1", "applied", "replayed", number=1)
    assert receipt["counts"] == {"added": 3}
    again = await until(lambda: [each for each in cloud.heard[before:] if each.leaf == "statuses"])
    assert [each.says["reportId"] for each in again] == [2]
    assert receipt["reportId"] == 4


async def test_ten_thousand_people_land_and_are_accounted_for(agent: Agent, cloud: Cloud) -> None:
    sent = [part("all", 1, people(range(n * 400, n * 400 + 400)), part=n + 1, parts=25) for n in range(25)]
    await cloud.send(*sent)
    await cloud.settles(*sent)
    await cloud.outcome("all", "complete")

    results = cloud.results("all")
    assert [each["mobile"] for each in results] == [mobile(number) for number in range(10_000)]
    assert {each["outcome"] for each in results} == {"added"}
    assert cloud.missing() == []
    assert max(len(message.payload) for message in cloud.heard) <= 96 * 1024
    gate = await drawn(cloud, {mobile(number): 1 for number in range(10_000)})
    assert gate["users"] == {"Active": 0, "Pending": 10_000, "Expired": 0}
    assert len(await agent.users()) == 10_000


async def test_list_outlives_a_restart_and_the_same_again_changes_nothing(agent: Agent, cloud: Cloud) -> None:
    await cloud.send(part("first", 1, people(range(50))))
    await cloud.outcome("first", "complete")
    before = await agent.users()
    assert await agent.stop() == 0
    await agent.online(cloud)

    again = part("again", 2, people(range(50)))
    await cloud.send(again)
    await cloud.settles(again)

    assert {each["outcome"] for each in cloud.results("again")} == {"unchanged"}
    assert [{**user, "revision": 1, "batchId": "first"} for user in await agent.users()] == before
    assert {epoch for epoch, _ in cloud.reports} == {cloud.state["epoch"]}
    assert cloud.missing() == []


@in_mqtt_5_alone
async def test_acceptance_makes_active_and_no_import_takes_it_away(agent: Agent, cloud: Cloud) -> None:
    for revision, accepted, outcome in ((1, False, "added"), (2, True, "updated"), (3, False, "unchanged")):
        sent = part(f"b-{revision}", revision, people([1], accepted=accepted))
        await cloud.send(sent)
        await cloud.settles(sent)
        [result] = cloud.results(f"b-{revision}")
        assert (result["outcome"], result["status"]) == (outcome, "Pending" if revision == 1 else "Active")
    assert [user["status"] for user in await agent.users()] == ["Active"]


async def test_replace_removes_whom_it_does_not_name(agent: Agent, cloud: Cloud) -> None:
    await cloud.send(part("all", 1, people(range(30))))
    await cloud.outcome("all", "complete")

    halves = [part("fewer", 2, people(range(n * 10, n * 10 + 10)), part=n + 1, parts=2, mode="replace") for n in (0, 1)]
    await cloud.send(halves[1])
    await cloud.outcome("fewer", "applied", number=2)
    assert len(await agent.users()) == 30, "until every part has come, nobody goes"

    await cloud.send(halves[0])
    await cloud.outcome("fewer", "complete")
    assert {user["mobile"] for user in await agent.users()} == {mobile(number) for number in range(20)}
    assert in_short(cloud.results(None)) == [(None, GATE, mobile(number), "changed", None) for number in range(20, 30)]
    assert {each["reason"] for each in cloud.results(None)} == {"not_in_list"}


@in_mqtt_5_alone
async def test_replace_that_removes_too_many_is_held_until_confirmed(agent: Agent, cloud: Cloud) -> None:
    await cloud.send(part("all", 1, people(range(50))))
    await cloud.outcome("all", "complete")

    await cloud.send(part("few", 2, people(range(40, 55)), mode="replace"))
    assert (await cloud.outcome("few", "held"))["removals"] == 40
    await cloud.sees(held=["few"])
    assert len(await agent.users()) == 55, "everything but the removals is applied"

    assert (await cloud.ask("confirm", batchId="nobody's"))["error"]["code"] == "unknown_batch"
    reply = await cloud.ask("confirm", batchId="few")
    assert (reply["outcome"], reply["error"]) == ("done", None)
    await cloud.outcome("few", "held", "complete")
    assert {user["mobile"] for user in await agent.users()} == {mobile(number) for number in range(40, 55)}
    assert {each["mobile"] for each in cloud.results(None)} == {mobile(number) for number in range(40)}
    await cloud.sees(held=[])


@in_mqtt_5_alone
async def test_reports_are_sent_again_by_batch_and_by_range(cloud: Cloud) -> None:
    for revision in (1, 2):
        await cloud.send(part(f"b-{revision}", revision, people([revision])))
        await cloud.outcome(f"b-{revision}", "complete")
    await until(lambda: len(cloud.reports) == 6)
    epoch = cloud.state["epoch"]

    async def again(**asked: object) -> list[int]:
        before = len(cloud.heard)
        count = (await cloud.ask("report", **asked))["result"]["reports"]

        def came() -> list[int]:
            later = [each for each in cloud.heard[before:] if each.leaf in ("receipts", "statuses")]
            return [each.says["reportId"] for each in later]

        await until(lambda: len(came()) == count)
        return came()

    assert await again(batchId="b-2") == [4, 5, 6]
    assert await again(epoch=epoch, fromReport=2, throughReport=4) == [2, 3, 4]
    assert await again(epoch=epoch, fromReport=5) == [5]
    assert await again(epoch=epoch, fromReport=6, throughReport=1000) == [6]
    assert len(cloud.reports) == 6, "the same words under the same numbers"
    refused: list[tuple[Document, str]] = [
        ({"batchId": "b-3"}, "unknown_batch"),
        ({"epoch": "another", "fromReport": 1}, "unknown_epoch"),
        ({}, "schema"),
    ]
    for asked, code in refused:
        reply = await cloud.ask("report", **asked)
        assert (reply["outcome"], reply["error"]["code"]) == ("refused", code)


@in_mqtt_5_alone
async def test_acknowledged_reports_are_noted_and_kept(agent: Agent, cloud: Cloud) -> None:
    await cloud.send(part("b-1", 1, people([1])))
    await cloud.outcome("b-1", "complete")
    epoch = cloud.state["epoch"]

    reply = await cloud.ask("acknowledge", epoch=epoch, throughReport=3)
    assert (reply["outcome"], reply["result"]) == ("done", {"throughReport": 3})
    status = json.loads(await agent.command("status", "--format", "json"))
    assert status["reports"]["acknowledged"] == 3
    assert (await cloud.ask("report", epoch=epoch, fromReport=1, throughReport=3))["result"] == {"reports": 3}
    assert (await cloud.ask("acknowledge", throughReport=3))["error"]["code"] == "schema"
    assert (await cloud.ask("acknowledge", epoch="another", throughReport=3))["error"]["code"] == "unknown_epoch"


async def test_what_expires_while_the_broker_is_away_is_reported_later(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        now = time.time_ns() // 1_000_000
        visitor = {"permission": "Temporary", "startDate": now, "endDate": now + 4000, "accepted": True}
        await cloud.send(part("b-1", 1, [*people([1], **visitor), *people([2])], inviteExpiresAt=now + 4000))
        await cloud.outcome("b-1", "complete")
        assert [each["status"] for each in cloud.results("b-1")] == ["Active", "Pending"]

        mosquitto.stop()
        await agent.says("users.expired")
        mosquitto.start()

        await until(lambda: len(cloud.results(None)) == 2, within_s=30)
        assert {(each["mobile"], each["status"], each["outcome"], each["reason"]) for each in cloud.results(None)} == {
            (mobile(1), "Expired", "changed", "access_ended"),
            (mobile(2), "Expired", "changed", "invite_expired"),
        }
        assert cloud.missing() == []
        assert {user["status"] for user in await agent.users()} == {"Expired"}


async def test_missing_parts_are_named_and_may_still_come(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with gateway(tmp_path, mosquitto.port, settings={"lists": {"incomplete_after_s": 1}}) as (agent, cloud):
        sent = [part("b-1", 1, people([number]), part=number, parts=4) for number in range(1, 5)]
        await cloud.send(sent[0], sent[2])
        assert (await cloud.outcome("b-1", "incomplete"))["missingParts"] == [2, 4]
        await cloud.send(sent[3], sent[1])
        assert (await cloud.outcome("b-1", "incomplete", "complete"))["missingParts"] == []
        assert len(await agent.users()) == 4


async def test_state_is_retained_and_the_will_tells_of_a_sudden_end(
    mosquitto: Mosquitto, agent: Agent, cloud: Cloud
) -> None:
    async with Cloud(mosquitto.port) as latecomer:
        state = await latecomer.sees(online=True)
        assert latecomer.heard[0].retained
        assert state["session"] == cloud.state["session"]

    await agent.kill9()
    will = await cloud.sees(online=False)
    assert (will["session"], will["contract"]) == (state["session"], 1)

    await agent.online(cloud)
    assert cloud.state["session"] != state["session"]
    assert cloud.state["epoch"] == state["epoch"], "the store is the same"


async def test_late_will_of_an_earlier_session_is_put_right(agent: Agent, cloud: Cloud) -> None:
    await agent.kill9()
    will = await cloud.sees(online=False)
    await agent.online(cloud)

    await cloud.publish("state", will, retain=True)
    await until(lambda: [each["online"] for each in cloud.said("state")][-2:] == [False, True])
    assert cloud.state["session"] != will["session"]


async def test_leaving_in_order_says_offline(mosquitto: Mosquitto, agent: Agent, cloud: Cloud) -> None:
    session = cloud.state["session"]
    assert await agent.stop() == 0
    await cloud.sees(online=False, session=session)
    async with Cloud(mosquitto.port) as latecomer:
        await latecomer.sees(online=False, session=session)
        assert latecomer.heard[0].retained


async def test_retained_command_is_refused(mosquitto: Mosquitto, protocol: Protocol, tmp_path: Path) -> None:
    async with Cloud(mosquitto.port) as cloud:
        asked = {"commandId": "stays", "gatewayId": "gw-1", "command": "report", "fromReport": 1}
        await cloud.publish("commands", asked, retain=True)
        async with Agent(tmp_path, mosquitto.port, protocol=protocol):
            reply = await cloud.reply("stays")
    assert (reply["outcome"], reply["error"]["code"]) == ("refused", "retained")


async def test_commands_that_cannot_be_used_are_refused_with_their_codes(cloud: Cloud) -> None:
    report: Document = {"gatewayId": "gw-1", "command": "report"}
    asked: dict[str, tuple[Document, str]] = {
        "c-1": ({**report, "gatewayId": "gw-2"}, "wrong_gateway"),
        "c-2": ({**report, "command": "dance"}, "unknown_command"),
        "c-3": ({"gatewayId": "gw-1"}, "schema"),
        "c-4": ({**report, "expiresAt": LONG_AGO}, "expired"),
        "c-5": ({**report, "fromReport": -1}, "schema"),
    }
    for command_id, (said, _) in asked.items():
        await cloud.publish("commands", {"commandId": command_id, **said})
    for nameless in (report, b"\xff\x00", b"[" * 20_000):
        await cloud.publish("commands", nameless)

    await until(lambda: len(cloud.said("replies")) == len(asked) + 3)
    replied = [(each["commandId"], each["outcome"], each["error"]["code"]) for each in cloud.said("replies")]
    assert replied == [
        *((command_id, "refused", code) for command_id, (_, code) in asked.items()),
        (None, "refused", "schema"),
        (None, "refused", "not_json"),
        (None, "refused", "schema"),
    ]


async def test_unknown_fields_are_ignored(cloud: Cloud) -> None:
    """A newer cloud must not break an older gateway, nor make its parts look like others."""
    sent = part("b-1", 1, people([1], nickname="Dee", tags=[1, {}]), colour={"of": ["the", "gate"]}, expiresAt=LATER)
    await cloud.send(sent)
    await cloud.settles(sent)
    assert in_short(cloud.results("b-1")) == [(0, GATE, mobile(1), "added", "Pending")]

    await cloud.send(part("b-1", 1, people([1]), issuedAt=LONG_AGO, expiresAt=LONG_AGO))
    await cloud.outcome("b-1", "applied", "replayed", number=1)
    reply = await cloud.ask("report", batchId="b-1", urgency="high")
    assert reply["outcome"] == "done"


async def test_invites_may_be_retained(cloud: Cloud) -> None:
    """A bench broker marks queued messages so; it means nothing on parts."""
    sent = part("b-1", 1, people([1]))
    await cloud.send(sent, retain=True)
    await cloud.settles(sent)
    assert Counter(cloud.outcomes("b-1", 1)) == {"applied": 1}
