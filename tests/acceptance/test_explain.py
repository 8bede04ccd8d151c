"""`fluss-agent explain` as a property manager or a script meets it: a real store, a real process, a real gate."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from agent import exits
from agent.floor import RELEASED
from tests.counterparts.agent import Agent
from tests.counterparts.cloud import GATE, PANEL, Document, mobile, part, people
from tests.counterparts.explained import object_in, told, woken
from tests.counterparts.left import leave, left
from tests.counterparts.terminal import Terminal
from tests.counterparts.typed import command, environment, typed, typed_beside

NOW = 1_795_300_000_000  # Sunday 2026-11-22 00:26:40 in Johannesburg
SUNDAY, MONDAY = "2026-11-22T10:00", "2026-11-23T10:00"
MONDAY_9 = 1_795_417_200_000
HOUR, DAY = 3_600_000, 86_400_000
LATER = 32_503_680_000_000  # 3000-01-01 02:00 in Johannesburg

DAVID, PENDING, CLEANER, GUEST, GONE, AFAR, EXPIRED, STRANGER = map(mobile, range(8))
OFFICE_HOURS = [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "until": "17:00"}]
WEEKDAYS = "Repeat: Mon–Fri 09:00–17:00, Africa/Johannesburg"
CLEANING: Document = {"permission": "Repeat", "schedule": OFFICE_HOURS}
VISIT: Document = {"permission": "Temporary", "startDate": MONDAY_9, "endDate": MONDAY_9 + DAY}
LIST: list[Document] = [
    {"userName": "David Mokoena", "mobile": DAVID, "accepted": True},
    {"userName": "Thandi", "mobile": PENDING},
    {"userName": "Gift", "mobile": CLEANER, "accepted": True, **CLEANING},
    {"userName": "Guest", "mobile": GUEST, "accepted": True, **VISIT},
    {"userName": "Gone", "mobile": GONE, "accepted": True},
    {"userName": "Afar", "mobile": AFAR, "accepted": True, "wifi": False},
    {"userName": "Late", "mobile": EXPIRED, "accepted": True, **VISIT, "startDate": 0, "endDate": HOUR},
]
UNITS = {"deviceIds": [PANEL], "permission": None}


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """A gateway that has run, and does not any more."""
    agent = Agent(tmp_path, 1)
    leave(
        agent,
        part("b-1", 1, LIST, invitedBy="+27820000100"),
        part("b-2", 2, people([1], accepted=True, units=["4"]), **UNITS),
        part("b-3", 3, revocations=[{"mobile": GONE}]),
        at=NOW,
    )
    return agent


def explained(agent: Agent, number: str, *words: str) -> dict[str, Any]:
    """What a program is told of one device, the gate unless the words say otherwise."""
    device = () if "--device" in words else ("--device", GATE)
    return object_in(typed(agent, "explain", number, *device, "--format", "json", *words))


@pytest.mark.parametrize(
    ("number", "words", "reason", "rule"),
    [
        (DAVID, [], None, "Always: at any time"),
        (DAVID, ["--at", "1999-12-31T23:59"], None, "Always: at any time"),
        (STRANGER, [], "unknown_user", "Not on the list of this device"),
        (GONE, [], "revoked", "Revoked: only a newer invitation opens again"),
        (PENDING, [], "not_accepted", "Always: at any time; the invitation has not been accepted yet"),
        (AFAR, [], None, "Always: at any time"),
        (AFAR, ["--channel", "keypad"], None, "Always: at any time"),
        (
            AFAR,
            ["--channel", "wifi"],
            "wifi_not_allowed",
            "Always: at any time; opening from afar (Wi-Fi) is switched off for this user",
        ),
        (
            CLEANER,
            ["--at", SUNDAY],
            "outside_schedule",
            f"{WEEKDAYS}; it is Sunday 2026-11-22 10:00 there; opens next on Monday 2026-11-23 09:00",
        ),
        (
            CLEANER,
            ["--at", MONDAY],
            None,
            f"{WEEKDAYS}; it is Monday 2026-11-23 10:00 there; open until Monday 2026-11-23 17:00",
        ),
        (CLEANER, ["--at", "2026-11-23T09:00:00+02:00"], None, None),
        (CLEANER, ["--at", "2026-11-23T06:59:59.999Z"], "outside_schedule", None),
        (CLEANER, ["--at", "2026-11-23 17:00"], "outside_schedule", None),
        (GUEST, ["--at", SUNDAY], "not_yet_valid", None),
        (GUEST, ["--at", MONDAY], None, None),
        (GUEST, ["--at", "2026-11-24T09:00"], "expired", None),
        (EXPIRED, [], "expired", None),
        (mobile(1), ["--device", PANEL], None, "Intercom: at any time"),
        (mobile(1), ["--device", PANEL, "--unit", " 4 "], None, "Intercom: at any time"),
        (
            mobile(1),
            ["--device", PANEL, "--unit", "5"],
            "wrong_unit",
            "Intercom: at any time; unit 5 was asked for, and this user belongs to 4",
        ),
    ],
)
def test_rule_and_its_reason_for_everyone(
    agent: Agent, number: str, words: Sequence[str], reason: str | None, rule: str | None
) -> None:
    said = explained(agent, number, *words)
    assert said["reason"] == reason
    assert rule in {None, said["rule"]}


def test_json_has_all_that_the_answer_rests_on(agent: Agent) -> None:
    said = explained(agent, CLEANER, "--at", SUNDAY)
    at = MONDAY_9 - 23 * HOUR
    assert said == {
        "deviceId": GATE,
        "mobile": CLEANER,
        "userName": "Gift",
        "status": "Active",
        "channel": "bluetooth",
        "unit": None,
        "at": at,
        "earliest": at,
        "latest": at,
        "clock": "synced",
        "decision": "denied",
        "reason": "outside_schedule",
        "rule": said["rule"],
        "timezone": "Africa/Johannesburg",
        "window": None,
        "openedAt": None,
        "closesAt": None,
        "nextOpening": MONDAY_9,
        "batch": {"batchId": "b-1", "revision": 1, "invitedBy": "+27820000100", "receivedAt": NOW, "changedAt": NOW},
        "opens": GATE,
        "connected": None,
    }
    said = explained(agent, CLEANER, "--at", MONDAY)
    names = ("window", "openedAt", "closesAt", "nextOpening")
    assert [said[name] for name in names] == ["Mon–Fri 09:00–17:00", MONDAY_9, MONDAY_9 + 8 * HOUR, None]


def test_batch_is_named_for_whoever_is_off_the_list_too(agent: Agent) -> None:
    revoked = explained(agent, GONE)
    assert (revoked["userName"], revoked["status"]) == (None, None)
    assert (revoked["batch"]["batchId"], revoked["batch"]["revision"]) == ("b-3", 3)
    stranger = explained(agent, STRANGER)
    assert (stranger["userName"], stranger["status"], stranger["batch"]) == (None, None, None)


def test_words_for_a_person_device_by_device(agent: Agent) -> None:
    done = typed(agent, "explain", "082 000 0002", "--at", SUNDAY)
    assert (done.returncode, done.stderr) == (exits.REFUSED, "")
    gate, panel = told(done)
    assert gate == {
        "device": f"Main gate ({GATE})",
        "person": f"Gift, {CLEANER}, Active",
        "asks": "over Bluetooth, at 2026-11-22 10:00 (Africa/Johannesburg)",
        "decision": "denied: outside_schedule",
        "because": f"{WEEKDAYS}; it is Sunday 2026-11-22 10:00 there; opens next on Monday 2026-11-23 09:00",
        "clock": "taken as exact",
        "list": "batch b-1, revision 1, invited by +27820000100, received 2026-11-22 00:26; "
        "this person last changed 2026-11-22 00:26",
        "gateway": "not running: it lets nobody in until it does",
        "hardware": "Main gate has no driver: nothing moves it",
    }
    assert (panel["asks"], panel["decision"]) == (
        "at the intercom, at 2026-11-22 10:00 (Africa/Johannesburg)",
        "denied: unknown_user",
    )
    assert (panel["person"], panel["list"]) == (CLEANER, "no batch has spoken of this number at this device")

    done = typed(agent, "explain", GONE, "--device", GATE, "--channel", "wifi", "--unit", "4")
    (gone,) = told(done)
    assert (gone["person"], gone["asks"]) == (f"{GONE}, revoked", "over Wi-Fi, now, for unit 4")
    assert (gone["clock"], gone["decision"]) == ("synced", "denied: revoked")


@pytest.mark.parametrize("columns", [80, 120])
def test_words_on_a_terminal_fit(agent: Agent, columns: int) -> None:
    with Terminal(columns, command(agent, "explain", CLEANER, "--at", SUNDAY), environment()) as terminal:
        assert terminal.ends() == exits.REFUSED
        lines, raw = terminal.lines, terminal.raw
    assert max(map(cell_len, lines)) <= columns
    assert f"\x1b[1mMain gate ({GATE})" in raw
    assert "\x1b[31mdenied: outside_schedule" in raw
    assert "opens next on Monday 2026-11-23 09:00" in " ".join(" ".join(lines).split()), "folded, not cut"
    assert {line.split("  ")[0] for line in lines if re.match(r"\w", line)} == {
        *("device", "person", "asks", "decision", "because", "clock", "list", "gateway", "hardware")
    }


def test_several_devices_are_a_list_and_all_must_allow(agent: Agent) -> None:
    done = typed(agent, "explain", mobile(1), "--format", "json", "--at", SUNDAY)
    said = json.loads(done.stdout)
    assert [(each["deviceId"], each["decision"]) for each in said] == [(GATE, "denied"), (PANEL, "allowed")]
    assert done.returncode == exits.REFUSED
    assert typed(agent, "explain", mobile(1), "--device", PANEL).returncode == exits.OK


def test_time_without_an_offset_is_that_of_each_device(tmp_path: Path) -> None:
    agent = Agent(tmp_path, 1, devices={PANEL: {"timezone": "Europe/London"}})
    leave(agent, at=NOW)
    done = typed(agent, "explain", DAVID, "--at", "2026-03-29T12:00", "--format", "json")
    gate, panel = json.loads(done.stdout)
    assert panel["at"] - gate["at"] == HOUR
    done = typed(agent, "explain", DAVID, "--at", "2026-03-29T12:00+05:45", "--format", "json")
    assert [each["at"] for each in json.loads(done.stdout)] == [1_774_764_900_000] * 2

    done = typed(agent, "explain", DAVID, "--at", "2026-03-29T01:30")
    assert (done.returncode, done.stdout) == (exits.USAGE, "")
    assert "'2026-03-29T01:30' never was in Europe/London: the clocks skipped it" in done.stderr
    assert typed(agent, "explain", DAVID, "--at", "2026-03-29T01:30", "--device", GATE).returncode == exits.REFUSED


def test_clock_that_nobody_vouches_for_shuts_out_visitors_alone(tmp_path: Path) -> None:
    agent = Agent(tmp_path, 1, settings={"clock": {"trust": "auto"}})
    visit = {"permission": "Temporary", "startDate": 0, "endDate": LATER, "accepted": True}
    leave(agent, part("b-1", 1, [*LIST, *people([9], **visit)]), at=NOW)
    watch = woken(tmp_path)

    def asked(number: str, *words: str) -> dict[str, Any]:
        done = typed(agent, "explain", number, "--device", GATE, "--format", "json", *words, env=watch.environment)
        return object_in(done)

    visitor = asked(mobile(9))
    assert (visitor["reason"], visitor["clock"], visitor["latest"]) == ("clock_unknown", "unknown", None)
    assert RELEASED <= visitor["at"] == visitor["earliest"] < RELEASED + HOUR
    assert asked(DAVID)["reason"] is None
    assert asked(EXPIRED)["reason"] == "expired", "that much is certain"
    assert asked(mobile(9), "--at", SUNDAY)["reason"] is None, "a moment that is told is exact"

    done = typed(agent, "explain", mobile(9), "--device", GATE, env=watch.environment)
    (words,) = told(done)
    assert words["clock"] == "unknown: no time server has confirmed it since the gateway started"
    assert "the clock is not sure enough to tell" in words["because"]
    assert "or later there" in words["because"]


def test_intercom_that_opens_nothing_and_a_device_new_in_the_file(agent: Agent) -> None:
    text = agent.file.read_text().replace(f'opens = "{GATE}"\n', "").replace(PANEL, "482914")
    agent.file.write_text(text)
    (words,) = told(typed(agent, "explain", DAVID, "--device", "482914"))
    assert words["decision"] == "denied: unknown_user"

    agent.file.write_text(text.replace("482914", PANEL))
    said = explained(agent, mobile(1), "--device", PANEL)
    assert said["reason"] == "device_offline"
    assert said["opens"] is said["connected"] is None
    (words,) = told(typed(agent, "explain", mobile(1), "--device", PANEL))
    assert words["hardware"] == "this intercom opens no gate: set its `opens` in the configuration"


def test_number_that_may_be_mistyped_is_looked_up_and_told_of(agent: Agent) -> None:
    done = typed(agent, "explain", "+27 99 999 9999", "--device", GATE, "--format", "json")
    assert object_in(done)["mobile"] == "+27999999999"
    assert done.stderr.startswith("note: '+27 99 999 9999' is in a range not known to be in use in South Africa")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["082"], "'082' is too short for a number in South Africa (+27); write it as +27824511234"),
        (["8.2E+10"], "'8.2E+10' was ruined by a spreadsheet"),
        ([""], "'' is empty; write it as +27824511234"),
        ([], "Missing argument 'MOBILE'"),
        ([DAVID, "--device", "99"], f"'99' is no device of this gateway; it has {GATE}, {PANEL}"),
        ([DAVID, "--at", "noon"], "'noon' is no time; write 2026-11-22T17:30, or 2026-11-22T17:30+02:00"),
        ([DAVID, "--at", "2026-22-11"], "'2026-22-11' is no time; write 2026-11-22T17:30"),
        ([DAVID, "--at", "9999-01-01"], "'9999-01-01' is not between 1970 and 9998"),
        ([DAVID, "--channel", "local"], "'local' is not one of 'bluetooth', 'wifi', 'intercom', 'keypad'"),
        ([DAVID, "--format", "csv"], "'csv' is not one of 'text', 'json'"),
    ],
)
def test_words_that_make_no_sense_exit_64(tmp_path: Path, words: Sequence[str], said: str) -> None:
    done = typed(Agent(tmp_path, 1), "explain", *words)
    assert (done.returncode, done.stdout) == (exits.USAGE, "")
    assert said in done.stderr


def test_list_of_a_gateway_that_never_ran_says_what_to_do(tmp_path: Path) -> None:
    agent = Agent(tmp_path, 1)
    done = typed(agent, "explain", DAVID)
    assert (done.returncode, done.stdout) == (exits.IO, "")
    assert done.stderr == (
        f"Error: {agent.store}: there is no list yet; start the gateway first (systemctl start fluss-agent)\n"
    )


async def test_nothing_is_written_by_asking(tmp_path: Path) -> None:
    agent = Agent(tmp_path, 1, settings={"clock": {"trust": "auto"}})
    await left(agent, part("b-1", 1, LIST), at=NOW)

    def written() -> dict[str, tuple[int, int]]:
        kept = [file for file in agent.state_dir.iterdir() if not file.name.endswith(("-shm", "-wal"))]
        return {file.name: (file.stat().st_size, file.stat().st_mtime_ns) for file in kept}

    before = written()
    assert (await typed_beside(agent, "explain", DAVID, "--device", GATE)).returncode == exits.OK
    assert written() == before
