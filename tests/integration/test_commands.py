"""Commands from the cloud: a gate moves for the right person, once, in time, and whatever else is going on."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.counterparts.agent import Protocol
from tests.counterparts.board import Board, fails
from tests.counterparts.cloud import GATE, GATEWAY, PANEL, Cloud, Document, mobile, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.premises import LATER, SIDE, Premises, premises
from tests.counterparts.proxy import Proxy
from tests.counterparts.waiting import until

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def trigger(command_id: str, number: int = 1, **fields: object) -> Document:
    """Somebody's command that opens the gate."""
    asked = {"commandId": command_id, "gatewayId": GATEWAY, "command": "trigger", "deviceId": GATE}
    return {**asked, "mobile": mobile(number), "expiresAt": LATER, **fields}


def replies(cloud: Cloud, command_id: str) -> list[tuple[str, str | None]]:
    """Outcome and code of every reply to a command, in the order they came."""
    return [
        (each["outcome"], each["error"] and each["error"]["code"])
        for each in cloud.said("replies")
        if each["commandId"] == command_id
    ]


async def replied(cloud: Cloud, command_id: str, *wanted: tuple[str, str | None]) -> None:
    await until(
        lambda: replies(cloud, command_id) == list(wanted),
        within_s=20,
        what=f"{wanted} in reply to {command_id}, not {replies(cloud, command_id)}",
    )


@pytest.fixture
async def place(mosquitto: Mosquitto, tmp_path: Path) -> AsyncIterator[Premises]:
    async with premises(tmp_path, mosquitto.port) as opened:
        yield opened


@pytest.mark.parametrize(("protocol", "killed"), [("5", False), ("3.1.1", True)], ids=["restarted", "killed"])
async def test_command_moves_the_gate_once_whatever_becomes_of_the_gateway(
    mosquitto: Mosquitto, tmp_path: Path, protocol: Protocol, *, killed: bool
) -> None:
    async with premises(tmp_path, mosquitto.port, protocol=protocol) as place:
        await place.invite(*people([1], accepted=True))
        for command in ("trigger", "open", "close"):
            reply = await place.order(command, mobile(1), note=f"please {command}")
            assert (reply["outcome"], reply["error"], reply["result"]) == ("done", None, {})
        assert [each["action"] for each in place.gate.heard] == ["trigger", "open", "close"]
        events = await place.events(3)
        assert {(each["channel"], each["mobile"], each["decision"], each["actuated"]) for each in events} == {
            ("wifi", mobile(1), "allowed", True)
        }
        assert [each["note"] for each in events] == ["please trigger", "please open", "please close"]

        again = ("refused", "repeated")
        await place.cloud.publish("commands", trigger("once"))
        await replied(place.cloud, "once", ("done", None))
        await place.cloud.publish("commands", trigger("once"))
        await replied(place.cloud, "once", ("done", None), again)
        await place.cloud.publish("commands", trigger("once", deviceId=SIDE))
        await replied(place.cloud, "once", ("done", None), again, again)
        await (place.agent.kill9() if killed else place.agent.stop())
        await place.agent.online(place.cloud)
        await place.reached()
        await place.cloud.publish("commands", trigger("once"))
        assert (await place.cloud.ask("codes", deviceId=PANEL))["outcome"] == "done", "answered after all before it"
        assert set(replies(place.cloud, "once")) == {("done", None), again}
        assert (len(place.gate.told()), place.side.told()) == (4, [])
        await place.events(4)


async def test_command_for_the_panel_moves_the_gate_behind_it(place: Premises) -> None:
    await place.invite(*people([1], accepted=True), deviceIds=[PANEL])
    reply = await place.order("open", mobile(1), device_id=PANEL)
    assert reply["outcome"] == "done"
    assert [(each["type"], each["action"]) for each in place.gate.heard] == [("actuate", "open")]
    assert place.panel.heard == [], "nobody stands there"
    (event,) = await place.events(1)
    assert (event["deviceId"], event["openedDeviceId"], event["channel"]) == (PANEL, GATE, "wifi")


async def test_denied_commands_are_refused_for_the_reason_that_the_log_has(place: Premises) -> None:
    now = now_ms()
    in_two_days = DAYS[(datetime.now(UTC) + timedelta(days=2)).weekday()]
    schedule = [{"days": [in_two_days], "from": "09:00", "until": "10:00"}]
    visit = {"permission": "Temporary", "accepted": True}
    await place.invite(
        *people([1], accepted=True, wifi=False),
        *people([2]),
        *people([3], accepted=True, permission="Repeat", schedule=schedule),
        *people([4], startDate=now + 3_600_000, endDate=now + 7_200_000, **visit),
        *people([5], startDate=now - 7_200_000, endDate=now - 3_600_000, **visit),
        *people([6], accepted=True),
    )
    await place.invite(revocations=[{"mobile": mobile(6)}])
    reasons = {
        1: "wifi_not_allowed",
        2: "not_accepted",
        3: "outside_schedule",
        4: "not_yet_valid",
        5: "expired",
        6: "revoked",
        7: "unknown_user",
    }
    for number, reason in reasons.items():
        reply = await place.order("trigger", mobile(number))
        assert (reply["outcome"], reply["error"]["code"]) == ("refused", reason)
        assert reply["error"]["message"]
    assert (await place.order("trigger", "8.2E+10"))["error"]["code"] == "unknown_user"
    assert await place.gate.ask(mobile(1)) == "actuate", "at the gate itself it is no question of Wi-Fi"
    assert len(place.gate.told()) == 1
    events = await place.events(9)
    assert [each["reason"] for each in events] == [*reasons.values(), "unknown_user", None]
    assert {each["channel"] for each in events[:8]} == {"wifi"}


async def test_command_that_cannot_be_meant_is_not_even_decided(place: Premises) -> None:
    await place.invite(*people([1], accepted=True))
    asked: dict[str, tuple[Document, str]] = {
        "no end": (trigger("no end", expiresAt=None), "schema"),
        "no device": (trigger("no device", deviceId=None), "schema"),
        "nobody": (trigger("nobody", mobile=None), "schema"),
        "elsewhere": (trigger("elsewhere", deviceId="9999999999999999"), "unknown_device"),
        "late": (trigger("late", expiresAt=now_ms() - 1), "expired"),
        "dance": (trigger("dance", command="dance"), "unknown_command"),
    }
    for said, _ in asked.values():
        await place.cloud.publish("commands", said)
    for command_id, (_, code) in asked.items():
        await replied(place.cloud, command_id, ("refused", code))
    named = (await place.cloud.reply("no end"))["error"]["message"]
    assert "expiresAt" in named
    assert await place.gate.ask(mobile(2)) == "unknown_user"
    assert [each["channel"] for each in await place.events(1)] == ["bluetooth"]
    assert place.gate.told() == []


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_retained_command_opens_nothing(mosquitto: Mosquitto, tmp_path: Path, protocol: Protocol) -> None:
    """It would come again with every connection, for ever."""
    async with Cloud(mosquitto.port) as cloud:
        await cloud.publish("commands", trigger("stays"), retain=True)
        async with premises(tmp_path, mosquitto.port, protocol=protocol) as place:
            await place.invite(*people([1], accepted=True))
            await replied(cloud, "stays", ("refused", "retained"))
            assert (await place.order("trigger", mobile(1)))["outcome"] == "done"
            assert len(place.gate.told()) == 1


async def test_command_that_was_refused_is_not_carried_out_by_a_later_copy_of_it(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """The office has heard that it was refused: nobody expects the gate to move any more."""
    async with Cloud(mosquitto.port) as cloud:
        await cloud.publish("commands", trigger("twice"), retain=True)
        async with premises(tmp_path, mosquitto.port) as place:
            await place.invite(*people([1], accepted=True))
            await replied(cloud, "twice", ("refused", "retained"))
            await place.cloud.publish("commands", trigger("twice"))
            await replied(cloud, "twice", ("refused", "retained"), ("refused", "repeated"))
            assert place.gate.told() == []


async def test_gate_says_why_it_does_not_move(place: Premises) -> None:
    await place.invite(*people([1], accepted=True))

    async def ordered(command: str) -> tuple[str, str | None, str | None]:
        reply = await place.order(command, mobile(1))
        error = reply["error"] or {"code": None, "message": None}
        return reply["outcome"], error["code"], error["message"]

    place.gate.stands("Open")
    await until(lambda: place.devices()[GATE]["position"] == "Open")
    assert (await ordered("open"))[:2] == ("refused", "already_open")
    assert (await ordered("close"))[:2] == ("done", None)

    place.gate.answer = fails("motor blocked")
    assert await ordered("trigger") == ("failed", "not_actuated", "motor blocked")

    place.gate.answer = lambda _: place.gate.hang_up()
    outcome, code, words = await ordered("trigger")
    assert (outcome, code) == ("failed", "not_actuated")
    assert "the line broke" in str(words)

    place.gate.leave()
    await until(lambda: not place.devices()[GATE]["connected"])
    assert (await ordered("trigger"))[:2] == ("refused", "device_offline")
    assert [(each["reason"], each["actuated"]) for each in await place.events(5)] == [
        ("already_open", None),
        (None, True),
        (None, False),
        (None, None),
        ("device_offline", None),
    ]


async def test_unknown_clock_stops_commands_and_visitors_and_no_resident(mosquitto: Mosquitto, tmp_path: Path) -> None:
    visit = {"permission": "Temporary", "accepted": True, "startDate": 1_000, "endDate": LATER}
    async with premises(tmp_path, mosquitto.port, settings={"clock": {"trust": "auto"}}) as place:
        if place.cloud.state["clock"] != "unknown":
            pytest.skip("a time service answers on this machine: its clock cannot be unknown")
        await place.invite(*people([1], accepted=True), *people([2], **visit))
        assert (await place.order("trigger", mobile(1)))["error"]["code"] == "clock_unknown"
        asked = await place.cloud.ask("issue_code", deviceId=PANEL, mobile=mobile(3), userName="Plumber")
        assert asked["error"]["code"] == "clock_unknown"
        assert await place.gate.ask(mobile(1)) == "actuate"
        assert await place.gate.ask(mobile(2)) == "clock_unknown"
        assert {each["clock"] for each in await place.events(2)} == {"unknown"}


async def test_late_command_after_an_outage_opens_nothing(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with Proxy(mosquitto.port) as proxy, premises(tmp_path, mosquitto.port, through=proxy.port) as place:
        await place.invite(*people([1], accepted=True))
        proxy.cut(refuse=True)
        ends = now_ms() + 800
        await place.cloud.publish("commands", trigger("late", expiresAt=ends))
        await place.cloud.publish("commands", trigger("in time"))
        await until(lambda: now_ms() > ends)
        assert place.cloud.said("replies") == []
        proxy.mend()
        await replied(place.cloud, "late", ("refused", "expired"))
        await replied(place.cloud, "in time", ("done", None))
        assert len(place.gate.told()) == 1
        await place.events(1)


async def test_command_and_people_at_the_gate_do_not_wait_for_an_import(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Ten thousand users and a command behind them come at once: the gate moves before the last of them is in."""
    sent = [part("all", 2, people(range(n * 400, n * 400 + 400)), part=n + 1, parts=25) for n in range(25)]
    async with Proxy(mosquitto.port) as proxy, premises(tmp_path, mosquitto.port, through=proxy.port) as place:
        await place.invite(*people([1], accepted=True), deviceIds=[GATE, SIDE])
        applied: list[int] = []

        def watched(board: Board) -> None:
            moves = board.answer

            def answer(told: Document) -> Document | None:
                applied.append(len(place.agent.logged("part.applied")))
                return moves(told)

            board.answer = answer

        watched(place.gate)
        watched(place.side)
        all_of_it = len(place.agent.logged("part.applied")) + len(sent)
        proxy.freeze()
        await place.cloud.send(*sent)
        await place.cloud.publish("commands", trigger("now"))
        proxy.thaw()
        await until(place.gate.told, every_s=0.001)
        assert await place.side.ask(mobile(1)) == "actuate"

        assert len(applied) == 2
        assert max(applied) < all_of_it
        await replied(place.cloud, "now", ("done", None))
        await place.cloud.settles(*sent)
        await place.cloud.outcome("all", "complete")
        assert {each["actuated"] for each in await place.events(2)} == {True}


async def test_confirmation_right_behind_its_batch_waits_for_it(mosquitto: Mosquitto, tmp_path: Path) -> None:
    few = [
        part("few", 9, people(range(1000 + n * 400, 1400 + n * 400)), part=n + 1, parts=5, mode="replace")
        for n in range(5)
    ]
    async with Proxy(mosquitto.port) as proxy, premises(tmp_path, mosquitto.port, through=proxy.port) as place:
        await place.invite(*people(range(100), accepted=True))
        proxy.freeze()
        await place.cloud.send(*few)
        confirm = {"commandId": "yes", "gatewayId": GATEWAY, "command": "confirm", "batchId": "few"}
        await place.cloud.publish("commands", confirm)
        proxy.thaw()
        await replied(place.cloud, "yes", ("done", None))
        await place.cloud.outcome("few", "held", "complete")
        assert len(await place.agent.users()) == 2000
