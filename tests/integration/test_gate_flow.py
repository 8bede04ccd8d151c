"""From an invitation far away to a gate that moves, over real lines and a real broker, and with the broker away."""

import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.counterparts.agent import Protocol
from tests.counterparts.board import fails, says_nothing
from tests.counterparts.cloud import GATE, PANEL, Document, mobile, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.premises import SIDE, Premises, premises
from tests.counterparts.waiting import until


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
async def place(mosquitto: Mosquitto, tmp_path: Path) -> AsyncIterator[Premises]:
    async with premises(tmp_path, mosquitto.port) as opened:
        yield opened


def changes(place: Premises) -> list[tuple[str, str, str]]:
    """Mobile, status and reason of every change that no batch brought, in the order of the reports."""
    return [(each["mobile"], each["status"], each["reason"]) for each in place.cloud.results(None)]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_resident_of_an_import_gets_in_and_nobody_else(
    mosquitto: Mosquitto, tmp_path: Path, protocol: Protocol
) -> None:
    async with premises(tmp_path, mosquitto.port, protocol=protocol) as place:
        await place.invite(*people([1], accepted=True), *people([2]))
        before = now_ms()
        assert await place.gate.ask(mobile(1), note="with the dog") == "actuate"
        assert await place.gate.ask(mobile(2)) == "not_accepted"
        assert await place.gate.ask(mobile(3)) == "unknown_user"
        assert len(place.gate.told()) == 1

        events = await place.events(3)
        who = ("mobile", "userName", "decision", "reason", "actuated")
        assert [tuple(event[name] for name in who) for event in events] == [
            (mobile(1), "Resident 1", "allowed", None, True),
            (mobile(2), "Resident 2", "denied", "not_accepted", None),
            (mobile(3), None, "denied", "unknown_user", None),
        ]
        what = ("deviceId", "openedDeviceId", "channel", "action", "note", "clock", "error")
        told = [GATE, None, "bluetooth", "trigger", "with the dog", "synced", None]
        assert [events[0][name] for name in what] == told
        assert before <= events[0]["at"] <= events[1]["at"] <= events[2]["at"] <= now_ms()


async def test_acceptance_at_the_device_counts_from_that_moment_and_without_a_broker(
    mosquitto: Mosquitto, place: Premises
) -> None:
    """The person presses the button in the same breath as they accept; the office hears of it in order, and later."""
    await place.invite(*people(range(1, 5)))
    mosquitto.stop()
    for number in (3, 1, 2):
        asked = place.gate.request(mobile(number))
        place.gate.say(place.gate.accepted(mobile(number)), asked)
        assert await place.gate.answered(asked["requestId"]) == "actuate"
    place.gate.say(place.gate.accepted(mobile(9)), place.gate.accepted("not a number"))
    assert await place.gate.ask(mobile(4)) == "not_accepted", "nobody accepts for another"
    mosquitto.start()

    await until(lambda: len(changes(place)) == 3, within_s=30)
    assert changes(place) == [(mobile(number), "Active", "accepted") for number in (3, 1, 2)]
    events = await place.events(4)
    assert [event["mobile"] for event in events] == [mobile(number) for number in (3, 1, 2, 4)]
    assert place.cloud.missing() == []
    assert sorted(user["status"] for user in await place.agent.users()) == ["Active"] * 3 + ["Pending"]


async def test_events_of_an_outage_come_later_with_the_time_at_which_they_happened(
    mosquitto: Mosquitto, place: Premises
) -> None:
    await place.invite(*people([1], accepted=True))
    await place.gate.ask(mobile(1))
    await place.events(1)
    mosquitto.stop()
    asked = []
    for number in (1, 7, 1, 8, 1):
        before = now_ms()
        await place.gate.ask(mobile(number), note=f"number {number}")
        asked.append((before, now_ms(), f"number {number}"))
    mosquitto.start()

    events = (await place.events(6, within_s=30))[1:]
    for event, (before, after, note) in zip(events, asked, strict=True):
        assert before <= event["at"] <= after
        assert event["note"] == note
    await until(lambda: place.cloud.state["events"] == {"oldest": 1, "newest": 6})
    await place.cloud.sees(outbox=0, eventsLost=0)


async def test_events_are_sent_again_when_asked_for_and_kept_when_acknowledged(place: Premises) -> None:
    for number in range(5):
        await place.gate.ask(mobile(number))
    await place.events(5)
    epoch = place.cloud.state["epoch"]

    async def again(**asked: object) -> list[int]:
        before = len(place.cloud.heard)
        count = (await place.cloud.ask("report", **asked))["result"]["events"]

        def came() -> list[int]:
            return [each.says["eventId"] for each in place.cloud.heard[before:] if each.leaf == "events"]

        await until(lambda: len(came()) == count)
        return came()

    assert await again(epoch=epoch, fromEvent=2, throughEvent=4) == [2, 3, 4]
    assert await again(epoch=epoch, fromEvent=5) == [5]
    reply = await place.cloud.ask("acknowledge", epoch=epoch, throughEvent=4)
    assert (reply["outcome"], reply["result"]) == ("done", {"throughEvent": 4})
    assert await again(fromEvent=1, throughEvent=1000) == [1, 2, 3, 4, 5], "they are kept for as long as is configured"
    await place.events(5)
    assert (await place.cloud.ask("report", epoch="another", fromEvent=1))["error"]["code"] == "unknown_epoch"
    assert (await place.cloud.ask("acknowledge", throughEvent=1))["error"]["code"] == "schema"


async def test_state_tells_of_the_hardware_and_of_the_log(place: Premises) -> None:
    def gate() -> Document:
        return place.devices()[GATE]

    await until(lambda: (gate()["connected"], gate()["position"]) == (True, None))
    place.gate.stands("Open")
    await until(lambda: gate()["position"] == "Open")
    await place.gate.ask(mobile(1))
    await until(lambda: place.cloud.state["events"] == {"oldest": 1, "newest": 1})

    place.gate.leave()
    await until(lambda: (gate()["connected"], gate()["position"]) == (False, None))
    assert (place.devices()[SIDE]["connected"], place.devices()[PANEL]["connected"]) == (True, True)


async def test_panel_is_granted_and_its_gate_moves(place: Premises) -> None:
    await place.invite(*people([1], units=["4"], accepted=True), deviceIds=[PANEL])
    assert await place.panel.ask(mobile(1), channel="intercom", unit="4", request_id="bell-1") == "granted"
    assert await place.panel.ask(mobile(1), channel="intercom", unit="5") == "wrong_unit"
    assert await place.gate.ask(mobile(1)) == "unknown_user", "the panel's list is the panel's"
    assert [each["type"] for each in place.panel.heard] == ["granted", "refuse"]
    ((told, action),) = [(each["requestId"], each["action"]) for each in place.gate.heard if each["type"] == "actuate"]
    assert told != "bell-1"
    assert action == "trigger"

    first = (await place.events(3))[0]
    names = ("deviceId", "openedDeviceId", "channel", "decision", "actuated")
    assert [first[name] for name in names] == [PANEL, GATE, "intercom", "allowed", True]
    place.gate.leave()
    await until(lambda: not place.devices()[GATE]["connected"])
    assert await place.panel.ask(mobile(1), channel="intercom", unit="4") == "device_offline"


async def test_visit_that_is_over_ends_at_the_gate_by_itself(mosquitto: Mosquitto, place: Premises) -> None:
    ends = now_ms() + 2_500
    visit = {"permission": "Temporary", "startDate": ends - 60_000, "endDate": ends, "accepted": True}
    await place.invite(*people([1], **visit), *people([2]), inviteExpiresAt=ends)
    mosquitto.stop()
    assert await place.gate.ask(mobile(1)) == "actuate"

    async def over() -> bool:
        return await place.gate.ask(mobile(1)) == "expired"

    await until(over, every_s=0.1)
    assert now_ms() >= ends
    assert await place.gate.ask(mobile(2)) == "expired"
    place.gate.say(place.gate.accepted(mobile(2)))
    assert await place.gate.ask(mobile(2)) == "expired", "an invitation that has ended cannot be taken up"
    mosquitto.start()
    await until(lambda: len(changes(place)) == 2, within_s=30)
    assert set(changes(place)) == {(mobile(1), "Expired", "access_ended"), (mobile(2), "Expired", "invite_expired")}
    assert all(event["at"] < ends for event in place.happened() if event["decision"] == "allowed")


async def test_hardware_in_trouble_keeps_its_trouble_to_itself(place: Premises) -> None:
    """One gate never answers, the panel has lost its power, and the gate at the side works as if nothing was."""
    await place.invite(*people([1, 2], accepted=True), deviceIds=[GATE, SIDE])
    place.panel.leave()
    place.gate.answer = says_nothing
    place.side.answer = fails("motor blocked")
    assert await place.gate.ask(mobile(1), note="waits") == "actuate"
    assert await place.side.ask(mobile(2)) == "actuate"
    place.side.answer = lambda told: {"type": "actuated", "requestId": told["requestId"], "ok": True}
    assert await place.side.ask(mobile(2)) == "actuate"

    first, second = await place.events(2)
    assert [(each["actuated"], each["error"]) for each in (first, second)] == [(False, "motor blocked"), (True, None)]
    waited = (await place.events(3))[2]
    assert (waited["note"], waited["actuated"], waited["at"] < first["at"]) == ("waits", None, True)
    assert "no answer" in waited["error"]
    await until(lambda: not place.devices()[PANEL]["connected"])
    assert place.devices()[SIDE]["connected"]


async def test_request_for_another_device_is_refused(place: Premises) -> None:
    await place.invite(*people([1], accepted=True), deviceIds=[GATE, SIDE])
    assert await place.gate.ask(mobile(1), deviceId=SIDE) == "unknown_device"
    assert await place.gate.ask(mobile(1), deviceId=GATE) == "actuate"
    assert await place.gate.ask(mobile(1), ageMs=10_001) == "stale_command"
    assert await place.gate.ask("8.2E+10") == "unknown_user"
    assert (len(place.gate.told()), place.side.told()) == (1, [])
    reasons = ["unknown_device", None, "stale_command", "unknown_user"]
    assert [each["reason"] for each in await place.events(4)] == reasons


async def test_log_survives_a_restart_and_goes_on_where_it_was(place: Premises) -> None:
    await place.invite(*people([1], accepted=True))
    for _ in range(3):
        await place.gate.ask(mobile(1))
    await place.events(3)
    assert await place.agent.stop() == 0
    await place.agent.online(place.cloud)
    await place.reached()
    assert await place.gate.ask(mobile(1)) == "actuate"
    events = await place.events(4)
    assert all(first["at"] <= second["at"] for first, second in pairwise(events))
