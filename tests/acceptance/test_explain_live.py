"""`fluss-agent explain` beside a gateway at work: what it says, the gate does."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from protocol.terms import DAYS
from tests.counterparts.agent import Agent
from tests.counterparts.board import Board
from tests.counterparts.cloud import GATE, PANEL, mobile, part, people
from tests.counterparts.explained import object_in, told, woken
from tests.counterparts.left import left
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.premises import SIDE, Premises, premises, wired
from tests.counterparts.typed import typed_beside
from tests.counterparts.waiting import until

NOW = 1_795_300_000_000
HOUR = 3_600_000
LATER = 32_503_680_000_000  # the year 3000
SUNDAY = "2026-11-22T10:00"
MONDAYS = {"days": ["mon"], "from": "09:00", "until": "17:00"}


@pytest.fixture
async def place(mosquitto: Mosquitto, tmp_path: Path) -> AsyncIterator[Premises]:
    async with premises(tmp_path, mosquitto.port) as opened:
        yield opened


async def test_gate_does_what_was_explained(place: Premises) -> None:
    """Whoever is asked about is then sent to the gate, by every way there is."""
    now = (await typed_at_once(place, mobile(9)))["at"]
    always = {"days": list(DAYS), "from": "00:00", "until": "00:00"}
    in_three_days = datetime.fromtimestamp(now / 1000 + 3 * 86_400, UTC).weekday()
    then = {"days": [DAYS[in_three_days]], "from": "09:00", "until": "17:00"}
    today = {"permission": "Temporary", "startDate": now - HOUR, "endDate": now + HOUR}
    some: list[dict[str, Any]] = [
        {"userName": "Resident", "mobile": mobile(0), "accepted": True},
        {"userName": "Pending", "mobile": mobile(1)},
        {"userName": "Cleaner", "mobile": mobile(2), "accepted": True, "permission": "Repeat", "schedule": [always]},
        {"userName": "Then", "mobile": mobile(3), "accepted": True, "permission": "Repeat", "schedule": [then]},
        {"userName": "Guest", "mobile": mobile(4), "accepted": True, **today},
        {"userName": "Soon", "mobile": mobile(5), "accepted": True, **today, "startDate": now + HOUR // 2},
        {"userName": "Over", "mobile": mobile(6), "accepted": True, **today, "endDate": now - HOUR // 2},
        {"userName": "Afar", "mobile": mobile(7), "accepted": True, "wifi": False},
        {"userName": "Gone", "mobile": mobile(8), "accepted": True},
    ]
    await place.invite(*some)
    await place.invite(*people(range(3), accepted=True, units=["4"]), deviceIds=[PANEL])
    await place.invite(revocations=[{"mobile": mobile(8)}])

    happened = []
    for number in map(mobile, range(10)):
        said = await typed_at_once(place, number)
        answer = await place.gate.ask(number)
        assert answer == (said["reason"] or "actuate")
        happened.append((said["decision"], said["reason"], said["userName"], said["clock"]))
    for number, unit in ((mobile(0), "4"), (mobile(0), "5"), (mobile(5), "4")):
        said = await typed_at_once(place, number, "--device", PANEL, "--unit", unit)
        assert await place.panel.ask(number, channel="intercom", unit=unit) == (said["reason"] or "granted")
        happened.append((said["decision"], said["reason"], said["userName"], said["clock"]))
    for number in (mobile(0), mobile(7)):
        said = await typed_at_once(place, number, "--channel", "wifi")
        reply = await place.order("trigger", number)
        assert (reply["error"] and reply["error"]["code"]) == said["reason"]
        happened.append((said["decision"], said["reason"], said["userName"], said["clock"]))

    names = ("decision", "reason", "userName", "clock")
    events = await place.events(len(happened))
    assert [tuple(event[name] for name in names) for event in events] == happened
    assert len({reason for _, reason, _, _ in happened}) == 9, "all kinds of answers were there"


async def typed_at_once(place: Premises, number: str, *words: str) -> dict[str, Any]:
    device = () if "--device" in words else ("--device", GATE)
    return object_in(await typed_beside(place.agent, "explain", number, *device, "--format", "json", *words))


async def test_answer_is_the_same_while_the_gateway_runs_and_after(place: Premises) -> None:
    await place.invite(*people([2], accepted=True, permission="Repeat", schedule=[MONDAYS]))
    await until(lambda: all(each["connected"] for each in place.agent.note()["hardware"].values()), what="all noted")
    words = ("explain", mobile(2), "--at", SUNDAY, "--device", GATE)
    (running,) = told(await typed_beside(place.agent, *words))
    assert running["decision"] == "denied: outside_schedule"
    assert not {"gateway", "hardware"} & set(running), "there is nothing in the way"

    place.gate.leave()
    await until(lambda: place.agent.note()["hardware"][GATE]["connected"] is False, what="noted")
    (alone,) = told(await typed_beside(place.agent, *words))
    assert alone == running | {"hardware": "Main gate is not connected: it moves for nobody until it is"}
    assert (await typed_at_once(place, mobile(2)))["connected"] is False
    assert (await typed_at_once(place, mobile(9), "--device", SIDE))["connected"] is True

    await place.agent.kill9()
    (stopped,) = told(await typed_beside(place.agent, *words))
    assert stopped == running | {"gateway": "not running: it lets nobody in until it does"}


async def test_word_of_the_running_gateway_on_its_clock_counts(tmp_path: Path) -> None:
    """By itself, the command would know nothing of the time: what it is configured to trust was changed meanwhile."""
    async with Board(GATE) as board:
        devices = wired({GATE: board})
        agent = Agent(tmp_path, 1, devices=devices)
        visit = {"permission": "Temporary", "startDate": 0, "endDate": LATER, "accepted": True}
        await left(agent, part("b-1", 1, people([9], **visit)), at=NOW)
        words = ("explain", mobile(9), "--device", GATE, "--format", "json")
        async with agent:
            await agent.says("device.connected")
            await until(lambda: agent.note().get("clock") == "synced", what="noted")
            agent.configure(settings={"clock": {"trust": "auto"}}, devices=devices)
            said = object_in(await typed_beside(agent, *words, env=woken(tmp_path).environment))
            assert (said["reason"], said["clock"]) == (None, "synced")
            assert await board.ask(mobile(9)) == "actuate"
        said = object_in(await typed_beside(agent, *words, env=woken(tmp_path).environment))
        assert (said["reason"], said["clock"]) == ("clock_unknown", "unknown")
