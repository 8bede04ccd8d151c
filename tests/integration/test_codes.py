"""One-time codes of an intercom: given out by the cloud, used at the keypad with nobody to ask, and then no more."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.counterparts.board import fails, moves
from tests.counterparts.cloud import GATE, PANEL, Document, mobile
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.premises import SIDE, Premises, premises, wired

HOUR = 3_600_000
PLUMBER = mobile(7)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
async def place(mosquitto: Mosquitto, tmp_path: Path) -> AsyncIterator[Premises]:
    async with premises(tmp_path, mosquitto.port) as opened:
        yield opened


async def issued(place: Premises, code: str | None = None, **fields: object) -> Document:
    """A code that was given out: what the cloud is told of it."""
    asked = {"deviceId": PANEL, "mobile": PLUMBER, "userName": "Plumber", "code": code, **fields}
    reply = await place.cloud.ask("issue_code", **asked)
    assert reply["outcome"] == "done", reply
    return dict(reply["result"])


async def refused(place: Premises, command: str, **fields: object) -> str:
    """The code with which a command is refused."""
    reply = await place.cloud.ask(command, **{"deviceId": PANEL, **fields})
    assert reply["outcome"] == "refused", reply
    return str(reply["error"]["code"])


async def codes(place: Premises) -> list[str]:
    """The codes that are out."""
    return [each["code"] for each in (await place.cloud.ask("codes", deviceId=PANEL))["result"]["codes"]]


async def dialled(place: Premises, code: str, direction: str | None = None) -> str:
    """What the panel is told when somebody types a code."""
    way = {} if direction is None else {"direction": direction}
    return await place.panel.ask(channel="keypad", code=code, **way)


async def restarted(place: Premises, *, killed: bool = False) -> None:
    await (place.agent.kill9() if killed else place.agent.stop())
    await place.agent.online(place.cloud)
    await place.reached()


async def test_code_is_drawn_for_one_named_person_and_told_in_full(place: Premises) -> None:
    before = now_ms()
    told = await issued(place)
    assert (len(told["code"]), told["code"].isdecimal()) == (4, True)
    assert (told["userName"], told["mobile"]) == ("Plumber", PLUMBER)
    assert before + 12 * HOUR <= told["expiresAt"] <= now_ms() + 12 * HOUR
    assert (told["entryDeviceId"], told["exitDeviceId"]) == (GATE, GATE)
    another = await issued(place, mobile="082 451 1234")
    assert another["mobile"] == "+27824511234"
    assert another["codeId"] > told["codeId"]
    listed = (await place.cloud.ask("codes", deviceId=PANEL))["result"]["codes"]
    assert listed == [told, another]

    assert await refused(place, "issue_code", userName="Plumber") == "schema"
    assert await refused(place, "issue_code", mobile=PLUMBER) == "schema"
    assert await refused(place, "issue_code", mobile="8.2E+10", userName="Plumber") == "schema"
    named = {"mobile": PLUMBER, "userName": "Plumber"}
    assert await refused(place, "issue_code", deviceId=GATE, **named) == "unknown_device"
    assert await refused(place, "issue_code", entryDeviceId="999999", **named) == "unknown_device"
    assert await refused(place, "issue_code", exitDeviceId=PANEL, **named) == "unknown_device"
    for chosen in ("123", "12345", "12a4", ""):
        assert await refused(place, "issue_code", code=chosen, **named) == "schema"


async def test_code_opens_once_on_the_way_in_and_once_on_the_way_out_without_a_broker(
    mosquitto: Mosquitto, place: Premises
) -> None:
    await issued(place, "4821")
    await issued(place, "1111", exitDeviceId=SIDE)
    mosquitto.stop()
    assert [await dialled(place, "4821") for _ in range(3)] == ["granted", "granted", "code_spent"]
    assert len(place.gate.told()) == 2
    assert await dialled(place, "1111", "exit") == "granted", "whoever came in on another's heels still gets out"
    assert (len(place.gate.told()), len(place.side.told())) == (2, 1)
    assert await dialled(place, "1111", "exit") == "code_spent"
    assert await dialled(place, "1111", "entry") == "granted"
    assert (len(place.gate.told()), len(place.side.told())) == (3, 1)
    assert await place.panel.ask(mobile(7), channel="intercom") == "unknown_user", "a code puts nobody on the list"
    mosquitto.start()

    events = await place.events(7, within_s=30)
    names = ("channel", "reason", "openedDeviceId", "mobile", "userName")
    assert [tuple(event[name] for name in names) for event in events[:4]] == [
        ("keypad", None, GATE, PLUMBER, "Plumber"),
        ("keypad", None, GATE, PLUMBER, "Plumber"),
        ("keypad", "code_spent", None, None, None),
        ("keypad", None, SIDE, PLUMBER, "Plumber"),
    ]
    assert await codes(place) == [], "a spent code takes up no place"


async def test_use_of_a_code_that_opened_nothing_is_given_back(place: Premises) -> None:
    await issued(place, "4821")
    place.gate.answer = fails("motor blocked")
    assert await dialled(place, "4821", "entry") == "granted"
    place.gate.answer = moves
    await place.events(1)
    assert [await dialled(place, "4821", "entry") for _ in range(2)] == ["granted", "code_spent"]


async def test_revoked_code_is_wrong_at_once_and_its_place_free(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with premises(tmp_path, mosquitto.port, devices={PANEL: {"codes_max": 2}}) as place:
        await issued(place, "4821")
        named = {"mobile": PLUMBER, "userName": "Plumber"}
        assert await refused(place, "issue_code", code="4821", **named) == "code_taken"
        await issued(place, "1111")
        assert await refused(place, "issue_code", **named) == "code_limit"
        reply = await place.cloud.ask("revoke_code", deviceId=PANEL, code="4821")
        assert (reply["outcome"], reply["result"]) == ("done", {"code": "4821"})
        assert await dialled(place, "4821") == "wrong_code"
        assert await refused(place, "revoke_code", code="4821") == "unknown_code"
        assert await refused(place, "revoke_code") == "schema"
        await issued(place, "4821", userName="Painter")
        assert await codes(place) == ["1111", "4821"]
        assert await dialled(place, "4821") == "granted"
        assert [each["userName"] for each in await place.events(2)] == [None, "Painter"]


async def test_settings_apply_to_the_codes_given_out_after_them(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """And a command to give one out is carried out once, however often it comes."""
    settings: Document = {"codes_max": 3, "codes_hours": 168}
    async with premises(tmp_path, mosquitto.port, devices={PANEL: settings}) as place:
        long = await issued(place, "1000")
        await issued(place, "2000")
        before = await place.cloud.ask("codes", deviceId=PANEL)
        again = {"commandId": "again", "gatewayId": "gw-1", "command": "issue_code", "deviceId": PANEL}
        again |= {"mobile": PLUMBER, "userName": "Plumber"}
        place.agent.configure(
            devices=wired(
                place.boards, {PANEL: {"codes_max": 4, "codes_hours": 1, "codes_entry": SIDE, "codes_exit": GATE}}
            )
        )
        await restarted(place)
        assert (await place.cloud.ask("codes", deviceId=PANEL))["result"] == before["result"]
        short = await issued(place, "3000")
        assert 166 * HOUR < long["expiresAt"] - short["expiresAt"] <= 167 * HOUR
        assert (short["entryDeviceId"], short["exitDeviceId"]) == (SIDE, GATE)
        await place.cloud.publish("commands", again)
        assert (await place.cloud.reply("again"))["outcome"] == "done"
        await place.cloud.publish("commands", again)
        assert await refused(place, "issue_code", mobile=PLUMBER, userName="Plumber") == "code_limit"
        replies = [each for each in place.cloud.said("replies") if each["commandId"] == "again"]
        assert [each["error"] and each["error"]["code"] for each in replies] == [None, "repeated"]
        assert len(await codes(place)) == 4

        assert await dialled(place, "3000", "entry") == "granted"
        assert await dialled(place, "1000", "entry") == "granted"
        assert (len(place.side.told()), len(place.gate.told())) == (1, 1)


async def test_wrong_codes_are_limited_and_residents_are_no_guests(place: Premises) -> None:
    await issued(place, "4821")
    wrong = [f"{number:04}" for number in range(5)]
    assert [await dialled(place, each) for each in wrong] == ["wrong_code"] * 5
    assert await dialled(place, "0005") == "too_many_tries"
    assert await dialled(place, "4821") == "too_many_tries"
    await place.invite({"userName": "Resident", "mobile": mobile(1), "accepted": True}, deviceIds=[PANEL, GATE])
    assert await place.panel.ask(mobile(1), channel="intercom") == "granted"
    assert await place.gate.ask(mobile(1)) == "actuate"
    events = await place.events(9)
    assert [each["reason"] for each in events] == [*["wrong_code"] * 5, *["too_many_tries"] * 2, None, None]
    assert '"4821"' not in place.agent.log


async def test_used_code_stays_used_over_a_restart_and_a_kill(place: Premises) -> None:
    await issued(place, "4821")
    assert await dialled(place, "4821", "entry") == "granted"
    await place.events(1)
    await restarted(place)
    assert await dialled(place, "4821", "entry") == "code_spent"
    assert await dialled(place, "4821", "exit") == "granted"
    await place.events(3)
    await restarted(place, killed=True)
    assert await dialled(place, "4821", "exit") == "code_spent"
    assert len(place.gate.told()) == 2
