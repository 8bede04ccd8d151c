"""Somebody is erased: a search through every byte of every file finds nothing of them, and the cloud is told."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.counterparts.agent import Agent, gateway
from tests.counterparts.board import moves
from tests.counterparts.cloud import GATE, GATEWAY, PANEL, Document, erased, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.premises import SIDE, Premises, premises
from tests.counterparts.traces import Aviary, Canary, files, found, places
from tests.counterparts.waiting import until

RecordProperty = Callable[[str, object], None]
WITHIN_S = 60


async def everywhere(place: Premises, bird: Canary) -> None:
    """Have somebody written down wherever the gateway writes people down."""
    cloud = place.cloud
    await place.invite(
        *people(range(400)), bird.invitee(accepted=True), bird.invitee(), deviceIds=[GATE, SIDE, PANEL, "999999"]
    )
    await place.invite(*people(range(400, 402)), deviceIds=[GATE, SIDE], invitedBy=bird.e164)
    await place.invite(
        {**people([402])[0], "notes": f"sister of {bird.mobile[:3]} {bird.mobile[3:6]}-{bird.mobile[6:]}"}
    )
    await place.invite(*people([403]), {**bird.invitee(), "mobile": f"{bird.mobile}12345"}, {"mobile": bird.mobile})
    await place.invite(revocations=[{"mobile": bird.mobile}], deviceIds=[SIDE])
    half = part("half", 90, [{"mobile": bird.mobile}], mode="replace", part=1, parts=2)
    await cloud.send(half)
    await cloud.outcome("half", "applied", number=1)
    assert await place.gate.ask(bird.mobile, note=f"for {bird.name}") == "actuate"
    assert (await place.order("trigger", people([0])[0]["mobile"], note=f"asked by {bird.e164}"))[
        "outcome"
    ] == "refused"
    assert (await place.order("trigger", bird.mobile, note=bird.name))["outcome"] == "done"
    code = await cloud.ask("issue_code", deviceId=PANEL, mobile=bird.mobile, userName=bird.name)
    assert code["outcome"] == "done"
    await cloud.ask("codes", deviceId=PANEL)
    await cloud.send(json.dumps(part("broken", 91, [bird.invitee()])).encode()[:-1])
    await cloud.outcome(None, "rejected", number=None)
    await place.events(3)


def search(agent: Agent, bird: Canary) -> list[str]:
    return found([bird], files(agent.state_dir))


async def test_nothing_is_left_of_somebody_who_is_erased(
    mosquitto: Mosquitto, tmp_path: Path, record_property: RecordProperty
) -> None:
    bird, birds = Aviary().canary(), Aviary()
    bystander = [birds.canary() for _ in range(3)][-1]
    async with premises(tmp_path, mosquitto.port) as place:
        await place.invite(bystander.invitee(accepted=True), deviceIds=[GATE, SIDE, PANEL])
        await everywhere(place, bird)
        (place.agent.state_dir / "gateway.v2.db").write_bytes(place.agent.store.read_bytes() + bird.name.encode())
        assert places(search(place.agent, bird)) >= {"gateway.db-wal", "intents", "quarantine", "gateway.v2.db"}

        asked = time.monotonic()
        reply = await place.cloud.ask("erase", mobile=bird.mobile)
        left = search(place.agent, bird)
        assert time.monotonic() - asked < WITHIN_S
        assert left == []

        assert reply["outcome"] == "done", reply
        gone = reply["result"]["erased"]
        assert (gone["users"], gone["codes"]) == (3, 1)
        assert gone["events"] >= 3
        assert gone["reports"] >= 4
        assert found([bird], {"the reply": json.dumps(reply).encode()}) == []
        assert found([bird], {"the log": place.agent.log_file.read_bytes()}) == []

        listed = {(user["deviceId"], user["mobile"]) for user in await place.agent.users()}
        assert not [each for each in listed if each[1] == bird.e164]
        assert {(device, bystander.e164) for device in (GATE, SIDE, PANEL)} <= listed
        assert await place.gate.ask(bystander.mobile) == "actuate"
        assert await place.gate.ask(people([7])[0]["mobile"]) == "not_accepted"
        again = await place.cloud.ask("erase", mobile=bird.e164)
        assert (again["outcome"], again["result"]["erased"]["users"]) == ("done", 0)
        assert search(place.agent, bird) == []
        record_property("tried:canaries", len([*bird.forms()]))


async def test_what_is_sent_again_names_nobody_who_is_erased(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """`mobile` null and `erased` true; all else, and everybody else, as it was said the first time."""
    bird = Aviary().canary()
    async with premises(tmp_path, mosquitto.port) as place:
        cloud = place.cloud
        await everywhere(place, bird)
        before = {**cloud.reports}
        events = place.happened()
        await cloud.ask("erase", mobile=bird.mobile)
        mark = len(cloud.heard)
        epoch = cloud.state["epoch"]
        await cloud.ask("report", epoch=epoch, fromReport=1, throughReport=10_000)
        await cloud.ask("report", epoch=epoch, fromEvent=1, throughEvent=10_000)
        await until(
            lambda: (
                {each.says["reportId"] for each in cloud.heard[mark:] if "reportId" in each.says}
                >= {number for _, number in before}
            ),
            what="all reports again",
        )
        await until(
            lambda: (
                {each.says["eventId"] for each in cloud.heard[mark:] if each.leaf == "events"}
                >= {event["eventId"] for event in events}
            ),
            what="all events again",
        )
        again = cloud.heard[mark:]
    assert found([bird], {f"{number}, to {each.leaf}": each.payload for number, each in enumerate(again)}) == []
    count = 0
    for message in again:
        if message.leaf != "statuses" or (message.says["epoch"], message.says["reportId"]) not in before:
            continue
        first = before[message.says["epoch"], message.says["reportId"]]
        for old, new in zip(first.says["results"], message.says["results"], strict=True):
            count += new.get("erased", False)
            assert new == (erased(old) if new.get("erased") else old)
            assert new.get("erased", False) == (old["mobile"] == bird.e164 or quoted(old))
    assert count > 5
    told = [message.says for message in again if message.leaf == "events"]
    by_number = {event["eventId"]: event for event in events}
    assert [event["eventId"] for event in told if event.get("erased")] == [1, 2, 3]
    for event in told:
        assert {**event, "mobile": None, "userName": None, "note": None, "erased": True} == {
            **by_number[event["eventId"]], "mobile": None, "userName": None, "note": None, "erased": True
        }  # fmt: skip


def quoted(result: Document) -> bool:
    """Whether the words repeat a number that nobody could read."""
    return result.get("error", {}).get("code") == "invalid_mobile" and "'" in result["error"]["message"]


async def test_an_older_invite_brings_nobody_back_and_a_newer_one_does(mosquitto: Mosquitto, tmp_path: Path) -> None:
    bird = Aviary().canary()
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        first = part("first", 10, [bird.invitee(accepted=True)])
        await cloud.send(first)
        await cloud.settles(first)
        await cloud.ask("erase", mobile=bird.mobile)
        older = part("older", 9, [bird.invitee(accepted=True)], revocations=[], deviceIds=[GATE, "999999"])
        revoked = part("revoked", 11, revocations=[{"mobile": bird.mobile}])
        between = part("between", 8, [bird.invitee()], deviceIds=[GATE, PANEL])
        await cloud.send(older, revoked, between)
        for each in (older, revoked, between):
            await cloud.outcome(each["batchId"], "applied", number=1)
        await until(lambda: len(cloud.results("between")) == 2, what="results")
        assert [each["outcome"] for each in cloud.results("older")] == ["superseded", "rejected"]
        assert [each["outcome"] for each in cloud.results("revoked")] == ["absent"]
        assert {each["outcome"] for each in cloud.results("between")} == {"superseded"}
        for batch in ("older", "revoked", "between"):
            assert {(each["mobile"], each["erased"]) for each in cloud.results(batch)} == {(None, True)}
        assert await agent.users() == []
        assert search(agent, bird) == []

        newer = part("newer", 12, [bird.invitee(accepted=True)])
        await cloud.send(newer)
        await cloud.settles(newer)
        assert [user["mobile"] for user in await agent.users()] == [bird.e164]
        assert [each["outcome"] for each in cloud.results("newer")] == ["added"]


async def test_people_are_erased_by_the_dozen_within_the_time_of_one(mosquitto: Mosquitto, tmp_path: Path) -> None:
    birds = Aviary()
    flock = [birds.canary() for _ in range(40)]
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        sent = part("all", 1, [*people(range(2000)), *[bird.invitee() for bird in flock]])
        await cloud.send(sent)
        await cloud.settles(sent)
        asked = time.monotonic()
        for number, bird in enumerate(flock):
            erase = {"gatewayId": GATEWAY, "commandId": f"erase-{number}", "command": "erase", "mobile": bird.mobile}
            await cloud.publish("commands", erase)
        await until(lambda: len(cloud.said("replies")) == len(flock), within_s=WITHIN_S, what="all erased")
        assert time.monotonic() - asked < WITHIN_S
        assert {reply["outcome"] for reply in cloud.said("replies")} == {"done"}
        assert found(flock, files(agent.state_dir)) == []
        assert len(await agent.users()) == 2000


async def test_a_page_that_kept_what_moved_to_another_is_written_anew(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """SQLite clears what is deleted, and not what rows left behind when their page was split: here it is put there."""
    bird = Aviary().canary()
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        sent = part("first", 1, [*people(range(200)), bird.invitee()])
        await cloud.send(sent)
        await cloud.settles(sent)
        assert await agent.stop() == 0
        leave_behind(agent.store, int(bird.e164[1:]).to_bytes(6, "big") + bird.name.encode())
        await agent.online(cloud)
        before = len(search(agent, bird))
        assert (await cloud.ask("erase", mobile=bird.mobile))["outcome"] == "done"
        assert (before > 0, search(agent, bird)) == (True, [])
        assert len(await agent.users()) == 200


def leave_behind(store: Path, residue: bytes) -> None:
    """Write into every page's unused middle, between its cell pointers and its cells (SQLite file format, 1.6)."""
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ((size,),) = connection.execute("PRAGMA page_size")
    content = bytearray(store.read_bytes())
    left = 0
    for page in range(size, len(content), size):
        if content[page] in {0x0A, 0x0D}:  # a leaf
            cells = int.from_bytes(content[page + 3 : page + 5], "big")
            end, begin = int.from_bytes(content[page + 5 : page + 7], "big"), 8 + 2 * cells
            if end - begin > len(residue):
                content[page + begin : page + begin + len(residue)] = residue
                left += 1
    assert left
    store.write_bytes(content)


async def test_opening_that_is_under_way_ends_before_its_person_is_forgotten(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """What was decided before is recorded afterwards, and goes as well."""
    bird = Aviary().canary()
    async with premises(tmp_path, mosquitto.port) as place:
        await place.invite(bird.invitee(accepted=True))

        def slowly(told: Document) -> None:
            asyncio.get_running_loop().call_later(1.5, lambda: place.gate.say(moves(told)))

        place.gate.answer = slowly
        assert await place.gate.ask(bird.mobile, note=bird.name) == "actuate"
        reply = await place.cloud.ask("erase", mobile=bird.mobile)
        assert reply["result"]["erased"]["events"] == 1
        assert search(place.agent, bird) == []
        assert [event["actuated"] for event in await place.events(1)] == [True]


async def test_an_erasure_that_was_cut_off_is_done_again(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """The store has forgotten, and the power went before the files were gone through."""
    bird = Aviary().canary()
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        sent = part("first", 1, [*people(range(50)), bird.invitee()])
        await cloud.send(sent, json.dumps(part("broken", 2, [bird.invitee()])).encode()[:-1])
        await cloud.settles(sent)
        await until(lambda: "quarantine" in places(search(agent, bird)), what="quarantined")
        with closing(sqlite3.connect(f"file:{agent.store}?mode=ro", uri=True)) as reading:
            reading.execute("BEGIN")
            reading.execute("SELECT * FROM users").fetchone()  # somebody looks at the store for a long time
            erase = {"gatewayId": GATEWAY, "commandId": "erase-1", "command": "erase", "mobile": bird.mobile}
            await cloud.publish("commands", erase)
            assert "close that program" in (await agent.says("erasure.postponed"))["error"]
            assert cloud.said("replies") == []
            await agent.kill9()
        assert "gateway.db-wal" in places(search(agent, bird))
        await agent.online(cloud)
        assert (await cloud.reply("erase-1"))["outcome"] == "done"
        assert search(agent, bird) == []


async def test_an_erasure_that_was_cut_off_is_ended_by_the_next_start(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Also where the broker does not bring the command again: nobody knows any more who was meant."""
    bird = Aviary().canary()
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        await cloud.send(json.dumps(part("broken", 2, [bird.invitee()])).encode()[:-1])
        await until(lambda: "quarantine" in places(search(agent, bird)), what="quarantined")
        await agent.kill9()
        with closing(sqlite3.connect(agent.store)) as store, store:
            store.execute("UPDATE store SET unswept = 1")
        await agent.online(cloud)
        await agent.says("people.erased")
        assert search(agent, bird) == []
        with closing(sqlite3.connect(f"file:{agent.store}?mode=ro", uri=True)) as store:
            assert store.execute("SELECT unswept FROM store").fetchall() == [(0,)]


async def test_files_of_somebody_else_are_named_in_the_reply_and_the_same_command_erases_again_until_it_is_done(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """And then no more: whoever was invited since stays. Another person, or another command, is no replay."""
    birds = Aviary()
    bird, other = birds.canary(), birds.canary()
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):

        async def invite(revision: int) -> None:
            sent = part(f"b{revision}", revision, [bird.invitee(), other.invitee()])
            await cloud.send(sent)
            await cloud.settles(sent)

        async def erase(who: Canary) -> tuple[str, int]:
            replies = len(cloud.said("replies"))
            asked = {"gatewayId": GATEWAY, "commandId": "erase-1", "command": "erase", "mobile": who.mobile}
            await cloud.publish("commands", asked)
            await until(lambda: len(cloud.said("replies")) > replies, what="a reply")
            reply = cloud.said("replies")[-1]
            assert reply["result"]["erased"].keys() == {"users", "codes", "events", "reports"}
            return reply["outcome"], reply["result"]["erased"]["users"]

        foreign = [agent.state_dir / name for name in ("gateway.db.bak", "list.csv")]
        for file in foreign:
            file.write_text(f"{bird.name},{bird.mobile}\n")
        await invite(1)
        assert await erase(bird) == ("failed", 1)
        error = cloud.said("replies")[-1]["error"]
        assert (error["code"], "in gateway.db.bak, list.csv:" in error["message"]) == ("residue", True)
        await invite(2)
        assert await erase(bird) == ("failed", 1)
        for file in foreign:
            file.unlink()
        assert await erase(bird) == ("done", 0)

        await invite(3)
        assert await erase(bird) == ("done", 0)
        assert {user["mobile"] for user in await agent.users()} == {bird.e164, other.e164}
        assert await erase(other) == ("done", 1)
        assert (await cloud.ask("erase", mobile=bird.mobile))["result"]["erased"]["users"] == 1
        with closing(sqlite3.connect(f"file:{agent.store}?mode=ro", uri=True)) as store:
            known = store.execute("SELECT command_id FROM orders ORDER BY 1").fetchall()
        assert known == [("command-1",), ("erase-1",)], "and no number"


async def test_erase_names_somebody_by_a_number(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with gateway(tmp_path, mosquitto.port) as (_, cloud):
        for named in ({}, {"mobile": ""}, {"mobile": "082 45"}, {"mobile": "not a number"}):
            reply = await cloud.ask("erase", **named)
            assert (reply["outcome"], reply["error"]["code"]) == ("refused", "schema")
