"""Names and numbers of people stay in the store, whichever way a message, an order or a person at a gate takes."""

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from agent import exits
from storage.database import BUSY_S
from tests.counterparts.agent import ROOT, Agent, gateway
from tests.counterparts.board import fails, moves
from tests.counterparts.cloud import GATE, GATEWAY, PANEL, Cloud, Document, part
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.premises import LATER, SIDE, Premises, premises
from tests.counterparts.signer import Signer, trusting
from tests.counterparts.traces import Aviary, files, found, places
from tests.counterparts.waiting import until

RecordProperty = Callable[[str, object], None]

STORE = ("gateway.db", "gateway.db-wal", "gateway.db-shm", "intents", "quarantine", "snapshots", "damaged")
"""Where people are meant to be; docs/OPERATIONS.md tells the operator so."""

SAYS_NOTHING_OF_PEOPLE = ("state", "receipts")


async def batches(place: Premises, birds: Aviary) -> None:
    """Applied, rejected row by row, sent again, in conflict, expired, and of every form that cannot be used."""
    new = birds.canary
    good = part(
        "good",
        1,
        [
            new().invitee(accepted=True),
            new().invitee(userName=new().name * 20),
            new().invitee(mobile=new().mobile + "999999"),
            new().invitee(mobile=[new().mobile]),
            new().invitee(notes=new().name * 80),
            new().invitee(permission=new().name),
            new().invitee(
                schedule=[{"days": [new().name], "from": new().mobile, "until": "09:00"}], permission="Repeat"
            ),
            new().invitee(startDate=new().mobile, units=[new().name]),
            new().invitee(userName={"first": new().name}),
            [new().name, new().mobile],
            f"{new().name}, {new().mobile}",
        ],
        revocations=[{"mobile": new().mobile}, {"mobile": new().name}, new().name],
        invitedBy=new().e164,
        deviceIds=[GATE, PANEL, SIDE, "999999"],
    )
    conflict = part("good", 1, [new().invitee()], deviceIds=good["deviceIds"])
    unusable = [
        part("expired", 2, [new().invitee()], expiresAt=1),
        part("mode", 3, [new().invitee()], mode=new().name),
        part("invited", 4, [new().invitee()], invitedBy=[new().e164]),
        {**part("people", 5), "invitees": {new().name: new().mobile}},
        part("dates", 6, [new().invitee()], startDate=new().mobile, inviteExpiresAt=new().name),
        {**part("parts", 7, [new().invitee()]), "part": new().mobile, "parts": new().name},
        {**part("gateway", 8, [new().invitee()]), "gatewayId": new().name},
        {**part("revision", 9, [new().invitee()]), "revision": int(new().e164[1:]) * 10**9},
        {**part("devices", 10, [new().invitee()]), "deviceIds": [new().name * 9, new().mobile]},
        part("large", 11, [new().invitee() for _ in range(9)], padding=new().name * 100_000),
        part("deep", 13, [new().invitee(permission=json.loads("[" * 200 + f'"{new().name}"' + "]" * 200))]),
        part("row", 12, [new().invitee(permission=[[[new().name]]])]),
    ]
    broken = [
        json.dumps(part("broken", 14, [new().invitee()])).encode()[:-2],
        new().name.encode() + b" " + new().mobile.encode(),
        b"\xff\xfe" + new().name.encode("utf-16-le"),
        f'"{new().e164}"'.encode(),
        f'{{"batchId": "{new().mobile}", "{new().name}": '.encode(),
    ]
    await place.cloud.send(good, good, conflict, *unusable, *broken)
    await place.cloud.outcome("good", "applied", "replayed", "rejected", number=1)
    last = part("last", 15, [new().invitee()])
    await place.cloud.send(last)
    await place.cloud.settles(last)
    assert len(place.agent.logged("part.rejected")) == 1 + len(unusable) - 1 + len(broken)


async def commands(place: Premises, birds: Aviary) -> None:
    """Carried out, refused, malformed, retained, and for codes at the panel."""
    new, cloud = birds.canary, place.cloud
    listed = birds.let_out[0]
    assert (await place.order("trigger", listed.mobile, note=f"for {new().name}"))["outcome"] == "done"
    assert (await place.order("open", new().mobile, note=new().name))["outcome"] == "refused"
    assert (await place.order("close", new().name))["outcome"] == "refused"
    visitor = new()
    code = await cloud.ask("issue_code", deviceId=PANEL, mobile=visitor.mobile, userName=visitor.name)
    assert code["outcome"] == "done"
    for fields in (
        {"mobile": "082 95", "userName": new().name},
        {"mobile": [new().mobile], "userName": new().name},
        {"mobile": new().mobile, "userName": new().name * 20},
        {"mobile": new().mobile, "userName": new().name, "entryDeviceId": new().name},
        {"mobile": new().mobile, "userName": new().name, "code": new().mobile},
    ):
        reply = await cloud.ask("issue_code", deviceId=PANEL, **fields)
        assert reply["outcome"] == "refused", (fields, reply)
    await cloud.ask("codes", deviceId=PANEL)
    await cloud.ask("revoke_code", deviceId=PANEL, code=new().name)
    await cloud.ask("confirm", batchId=new().name)
    await cloud.ask("report", epoch=new().name, fromReport=1)
    await cloud.ask(new().name, mobile=new().mobile)
    asked = {"gatewayId": GATEWAY, "command": "trigger", "mobile": new().mobile, "note": new().name, "deviceId": GATE}
    await cloud.publish("commands", {**asked, "commandId": new().name * 9})
    await cloud.publish("commands", json.dumps({**asked, "commandId": "half"}).encode()[:-1])
    await cloud.publish("commands", {**asked, "commandId": "kept", "expiresAt": LATER}, retain=True)
    await cloud.reply("kept")


async def hardware(place: Premises, birds: Aviary) -> None:
    """People at the gates, and boards that say what they should not."""
    new, listed = birds.canary, birds.let_out[0]

    def met() -> list[Document]:
        return [each for each in place.agent.logged("device.connected") if each["device_id"] == SIDE]

    assert await place.gate.ask(listed.mobile, note=new().name) == "actuate"
    assert await place.panel.ask(listed.mobile, unit=new().name) == "granted"
    assert await place.gate.ask(new().mobile, note=new().name) == "unknown_user"
    assert await place.panel.ask(channel="keypad", code=new().mobile) == "wrong_code"
    assert await place.gate.ask(new().name, action=new().name) == "malformed"
    place.gate.answer = fails(f"{new().name} ({new().mobile}) stands in the way")
    await place.gate.ask(listed.mobile, note=new().name)
    place.gate.answer = moves
    place.gate.say(place.gate.accepted(listed.mobile), place.gate.accepted(new().name), {"type": new().name})
    place.gate.say({"type": "position", "value": new().name}, {"type": "actuated", "requestId": new().name, "ok": True})
    place.gate.raw(f"{new().name} {new().mobile}\n".encode() + b"\xff" + new().name.encode() + b"\n")
    await place.agent.says("acceptance.unreadable")
    await place.agent.says("device.garbled")
    place.side.firmware = f"firmware of {new().name}"
    place.side.hang_up()
    await until(lambda: "device.lost" in place.agent.log, what="the side gate lost")
    await until(lambda: len(met()) == 2, what="the side gate back")
    stranger = {"type": "hello", "deviceId": f"{new().name} {new().mobile}", "kind": "fluss+", "firmware": "1.4.2"}
    place.side.say(stranger)
    await place.agent.says("device.mismatched")


async def sick_disk(place: Premises, birds: Aviary) -> None:
    """The store cannot be written while somebody is invited, ordered about, and at the gate."""
    new = birds.canary
    with closing(sqlite3.connect(place.agent.store, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        last = part("late", 20, [new().invitee()])
        await place.cloud.send(last)
        await place.gate.ask(birds.let_out[0].mobile, note=new().name)
        await place.agent.says("storage.degraded", within_s=5 + 2 * BUSY_S)
        other.execute("ROLLBACK")
    await place.cloud.settles(last)


async def test_nobody_is_named_outside_the_store(
    mosquitto: Mosquitto, tmp_path: Path, record_property: RecordProperty
) -> None:
    """A canary of its own for every place where a sender, a board or a person can put a name or a number."""
    birds = Aviary()
    async with premises(tmp_path, mosquitto.port) as place:
        await place.agent.stop()
        place.agent.options = ("--log-level", "debug")
        await place.agent.online(place.cloud)
        await place.reached()
        for walk in (batches, commands, hardware, sick_disk):
            await walk(place, birds)
        told = {"status": (await place.agent.command("status")).encode()}
        assert await place.agent.stop() == exits.OK
        for leaf in SAYS_NOTHING_OF_PEOPLE:
            said = [message.payload for message in place.cloud.heard if message.leaf == leaf]
            assert said
            told[f"what was said to {leaf}"] = b"\n".join(said)
        told["the log"] = place.agent.log_file.read_bytes()
        told |= files(place.agent.state_dir, without=STORE)
    assert {"status.json", "the log"} <= told.keys()
    assert found(birds.let_out, told) == []
    assert "082 95" not in place.agent.log

    kept = files(place.agent.state_dir)
    for bird in (birds.let_out[0], birds.let_out[-2]):  # as a control: those who are listed are found where they are
        assert places(found([bird], kept)) & {*STORE}
    assert any("quarantine" in place for place in found(birds.let_out, kept))
    assert {each["outcome"] for each in place.cloud.said("receipts")} >= {"applied", "replayed", "rejected"}
    record_property("tried:canaries", len(birds.let_out))


async def test_nobody_is_named_by_what_is_not_believed(
    mosquitto: Mosquitto, tmp_path: Path, record_property: RecordProperty
) -> None:
    """Unsigned, forged, changed on the way, for another gateway; the quarantine has them as they came."""
    birds, signer, other = Aviary(), Signer(), Signer()
    new = birds.canary
    async with gateway(tmp_path / "home", mosquitto.port, settings=trusting(tmp_path / "keys", signer)) as (
        agent,
        cloud,
    ):
        believed = part("believed", 1, [new().invitee()])
        await cloud.send(
            json.dumps(part("unsigned", 2, [new().invitee()])).encode(),
            other.signs(part("forged", 3, [new().invitee()])),
            other.signs(part("unknown", 4, [new().invitee()]), kid="nobody"),
            signer.signs(part("changed", 5, [new().invitee()])).replace(b".", b".e30", 1),
            signer.signs({**part("elsewhere", 6, [new().invitee()]), "gatewayId": "gw-2"}),
            signer.signs(part("broken", 7, [new().invitee()], mode=new().name)),
            signer.signs(believed),
        )
        order = {"gatewayId": GATEWAY, "commandId": "c-1", "command": "trigger", "deviceId": GATE, "note": new().name}
        await cloud.publish("commands", {**order, "mobile": new().mobile})
        await cloud.publish("commands", other.signs({**order, "mobile": new().mobile}))
        await cloud.settles(believed)
        await until(lambda: len(cloud.said("replies")) == 2, what="both refused")
        told = {f"{n}, to {m.leaf}": m.payload for n, m in enumerate(cloud.heard) if m.leaf in SAYS_NOTHING_OF_PEOPLE}
        told["the log"] = agent.log_file.read_bytes()
        assert len(agent.logged("part.rejected")) == 6
        assert found(birds.let_out, told | files(agent.state_dir, without=STORE)) == []
        assert len(places(found(birds.let_out, files(agent.state_dir)))) > 1
    record_property("tried:canaries", len(birds.let_out))


_STUMBLES = """
import os
import protocol.validate as module

def validate(part, numbers):
    try:
        module._invitee.validate_python({"userName": part.invitees[0], "mobile": part.invitees})
    except ValueError as invalid:
        with open(os.environ["WITNESS"], "w") as witness:
            witness.write(str(invalid))
        raise KeyError(part.invitees[0]["userName"], part.invitees) from invalid

module.validate = validate
"""


async def test_a_crash_with_people_in_hand_names_none_of_them(
    mosquitto: Mosquitto, tmp_path: Path, record_property: RecordProperty
) -> None:
    """A bug in the middle of a part: its errors repeat the person, as the control shows, and the log does not."""
    bug, witness = tmp_path / "bug", tmp_path / "witness"
    bug.mkdir()
    (bug / "sitecustomize.py").write_text(_STUMBLES)
    bird = Aviary().canary()
    environment = {"PYTHONPATH": f"{bug}:{ROOT}", "WITNESS": str(witness)}
    async with Cloud(mosquitto.port) as cloud:
        agent = Agent(tmp_path / "home", mosquitto.port, environment=environment)
        async with agent:
            await agent.says("link.connected")
            await cloud.send(part("b-1", 1, [bird.invitee()]))
            assert await agent.ends() == exits.BUG
        assert bird.name in witness.read_text()
        (crash,) = agent.logged("command.crashed")
        assert "KeyError" in crash["exception"]
        assert "ValidationError" in crash["exception"]
        told = {"the log": agent.log_file.read_bytes(), **files(agent.state_dir)}
        assert found([bird], told) == []
    record_property("tried:canaries", 1)


def test_what_is_searched_for_is_found_in_every_form(tmp_path: Path) -> None:
    """The search itself: a name or a number that somebody wrote somehow is seen."""
    bird = Aviary().canary()
    for said in (
        bird.name.encode(),
        json.dumps({"x": bird.e164}).encode(),
        b"\0\x06" + int(bird.e164[1:]).to_bytes(6, "big") + b"\0",
        int(bird.e164[1:]).to_bytes(8, "big"),
        f"{bird.name}".encode("utf-16"),
    ):
        (tmp_path / "file").write_bytes(b"before" + said + b"after")
        assert found([bird], files(tmp_path)), said
    (tmp_path / "file").write_bytes(f"082 {time.time_ns()}".encode())
    assert not found([bird], files(tmp_path))
