"""`fluss-agent events` as a property manager, a spreadsheet or a script meets it: a real store, a real process."""

import csv
import io
import json
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from agent import exits
from protocol.events import Event
from protocol.messages import EventMessage
from protocol.vocabulary import Action, Channel, ClockState, Denial
from tests.counterparts.agent import Agent
from tests.counterparts.cloud import GATE, PANEL, mobile, people
from tests.counterparts.left import leave, left
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.premises import premises
from tests.counterparts.terminal import Terminal
from tests.counterparts.typed import Done, command, environment, typed, typed_beside

NOW = 1_795_300_000_000  # 2026-11-22 00:26:40 in Johannesburg
MINUTE, DAY = 60_000, 86_400_000
WIRE = [
    *("gatewayId", "epoch", "eventId", "at", "deviceId", "mobile", "userName", "channel", "action", "decision"),
    *("reason", "note", "clock", "openedDeviceId", "actuated", "error"),
]
CELLS = [*WIRE, "erased"]
COLUMNS = [
    *("event", "time", "device", "person", "mobile", "channel", "action", "decision", "reason", "clock", "hardware")
]
GONE = "6543210987654321"
ZOE = "Zoë Müller-Lüdenscheidt"
EVIL = "=cmd|'/C calc'!A0�[31m"
BLOCKED, MUTE = "motor blocked", "no answer from the hardware"

MOVED = Event(
    at=NOW,
    device_id=GATE,
    request="r-1",
    mobile=27824511234,
    name="David",
    channel=Channel.BLUETOOTH,
    action=Action.TRIGGER,
    reason=None,
    note=None,
    clock=ClockState.SYNCED,
    opened=None,
    actuated=True,
    error=None,
)
REMOTE = replace(MOVED, channel=Channel.WIFI, action=Action.OPEN)
NOBODY = replace(MOVED, mobile=None, name=None)
SPOILT = replace(NOBODY, name="=cmd|'/C calc'!A0\x1b[31m", note="\x1b]0;pwned\x07")
EVENTS = [
    MOVED,
    replace(MOVED, at=NOW + MINUTE, name=ZOE, mobile=491701234567, reason=Denial.OUTSIDE_SCHEDULE),
    replace(MOVED, at=NOW + 2 * MINUTE, device_id=PANEL, channel=Channel.INTERCOM, opened=GATE, name="Gift"),
    replace(REMOTE, at=NOW + 3 * MINUTE, actuated=False, error=BLOCKED),
    replace(REMOTE, at=NOW + 4 * MINUTE, action=Action.CLOSE, actuated=None, error=MUTE),
    replace(NOBODY, at=NOW + 5 * MINUTE, device_id=GONE, channel=Channel.LOCAL, clock=ClockState.UNKNOWN),
    replace(SPOILT, at=NOW + 6 * MINUTE, reason=Denial.UNKNOWN_USER),
]


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """A gateway that has never run."""
    return Agent(tmp_path, 1)


def shown(done: Done) -> list[dict[str, str]]:
    """The rows of a table in a pipe."""
    assert done.returncode == exits.OK, done.stderr
    headings, *lines = [line.split("\t") for line in done.stdout.split("\n")[:-1]]
    assert headings == COLUMNS
    return [dict(zip(headings, line, strict=True)) for line in lines]


def numbers(agent: Agent, *words: str) -> list[int]:
    """The events that these words find."""
    return [int(row["event"]) for row in shown(typed(agent, "events", *words))]


def told(agent: Agent, *words: str) -> list[dict[str, Any]]:
    """What a program is told."""
    done = typed(agent, "events", "--format", "json", *words)
    assert done.returncode == exits.OK, done.stderr
    return [dict(event) for event in json.loads(done.stdout)]


def test_log_in_a_pipe_is_one_line_of_tabs_for_each_event_the_newest_last(agent: Agent) -> None:
    leave(agent, happened=EVENTS, at=NOW)
    done = typed(agent, "events")
    assert (done.returncode, done.stderr) == (exits.OK, "")
    morning, allowed, never = "2026-11-22T00", "allowed; ; synced", "denied; outside_schedule"
    assert done.stdout.splitlines()[1:] == [
        line.replace("; ", "\t")
        for line in (
            f"1; {morning}:26:40+02:00; Main gate; David; +27824511234; bluetooth; trigger; {allowed}; moved",
            f"2; {morning}:27:40+02:00; Main gate; {ZOE}; +491701234567; bluetooth; trigger; {never}; synced; ",
            f"3; {morning}:28:40+02:00; Entrance panel; Gift; +27824511234; intercom; trigger; {allowed}; moved",
            f"4; {morning}:29:40+02:00; Main gate; David; +27824511234; wifi; open; {allowed}; failed: {BLOCKED}",
            f"5; {morning}:30:40+02:00; Main gate; David; +27824511234; wifi; close; {allowed}; not known: {MUTE}",
            f"6; 2026-11-21T22:31:40+00:00; {GONE}; ; ; local; trigger; allowed; ; unknown; moved",
            f"7; {morning}:32:40+02:00; Main gate; {EVIL}; ; bluetooth; trigger; denied; unknown_user; synced; ",
        )
    ]


@pytest.mark.parametrize("columns", [80, 120])
def test_log_on_a_terminal_fits_and_tells_what_it_could_not_know(agent: Agent, columns: int) -> None:
    this_year = int(time.time() * 1000) - 10 * MINUTE
    recent = [replace(event, at=this_year + place * MINUTE) for place, event in enumerate(EVENTS)]
    leave(agent, happened=[replace(MOVED, at=0, clock=ClockState.HOLDOVER), *recent], at=NOW)
    with Terminal(columns, command(agent, "events", "--last", "7"), environment()) as terminal:
        assert terminal.ends() == exits.OK
        lines, raw = terminal.lines, terminal.raw
    assert max(map(cell_len, lines)) <= columns
    heading, _, *rows = lines
    assert heading.split() == ["time", "device", "person", "mobile", "way", "outcome"]
    first = datetime.fromtimestamp(this_year / 1000, UTC) + timedelta(hours=2)
    assert rows[0].startswith(f"{first:%b %d %H:%M:%S}  ")
    assert [word in rows[0] for word in ("+27824511234", "bluetooth", "moved")] == [True] * 3
    assert "\x1b[32mmoved" in raw
    assert "\x1b[31moutside_schedule" in raw, "a reason is never cut"
    assert (ZOE in raw) == (columns == 120)
    assert rows[5].split()[2].endswith("?"), "a moment that nobody knew"
    assert rows[7:9] == ["? nobody knew the time: it was this late or later", "for those before them: --before 2"]
    assert not {*re.sub(r"\x1b\[[0-9;]*m", "", raw)} & {"\x1b", "\x07", "\t"}, "names drive no terminal"

    with Terminal(columns, command(agent, "events", "--before", "2"), environment()) as terminal:
        assert terminal.ends() == exits.OK
        title, heading, _, row, *_ = terminal.lines
    assert (title, heading.split()) == ("Main gate", ["time", "person", "mobile", "way", "outcome"])
    assert row.startswith("1970-01-01 02:00~  David  "), "another year is said"


def test_json_is_the_wire_and_csv_opens_in_a_spreadsheet(agent: Agent) -> None:
    leave(agent, happened=EVENTS, at=NOW)
    events = told(agent)
    assert all(list(event) == WIRE for event in events)
    assert [EventMessage.model_validate(event).event_id for event in events] == [1, 2, 3, 4, 5, 6, 7]
    assert events[3] == {
        "gatewayId": "gw-1",
        "epoch": "k3f9",
        "eventId": 4,
        "at": NOW + 3 * MINUTE,
        "deviceId": GATE,
        "mobile": "+27824511234",
        "userName": "David",
        "channel": "wifi",
        "action": "open",
        "decision": "allowed",
        "reason": None,
        "note": None,
        "clock": "synced",
        "openedDeviceId": None,
        "actuated": False,
        "error": "motor blocked",
    }
    exported = typed(agent, "events", "--format", "csv").stdout
    assert exported.startswith(f"localTime,deviceName,{','.join(CELLS)}\n")
    rows = list(csv.DictReader(io.StringIO(exported, newline="")))
    assert (rows[6]["userName"], rows[6]["note"]) == ("'=cmd|'/C calc'!A0�[31m", "�]0;pwned�")
    assert (rows[2]["localTime"], rows[2]["deviceName"]) == ("2026-11-22T00:28:40+02:00", "Entrance panel")
    assert (rows[2]["mobile"], rows[2]["openedDeviceId"], rows[2]["actuated"]) == ("'+27824511234", f"'{GATE}", "true")


async def test_json_is_what_the_cloud_was_told(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with premises(tmp_path, mosquitto.port) as place:
        await place.invite(*people([1], accepted=True))
        await place.gate.ask(mobile(1), note="with the dog")
        await place.gate.ask(mobile(2))
        await place.panel.ask(mobile(1), channel="intercom")
        heard = await place.events(3)
        done = await typed_beside(place.agent, "events", "--format", "json")
        assert json.loads(done.stdout) == heard
        await place.agent.stop()
        assert (await typed_beside(place.agent, "events", "--format", "json")).stdout == done.stdout


def test_log_is_narrowed_by_device_and_time(agent: Agent) -> None:
    leave(agent, happened=EVENTS, at=NOW)
    assert numbers(agent, "--device", PANEL) == [3]
    assert numbers(agent, "--device", PANEL, "--device", GATE) == [1, 2, 3, 4, 5, 7]
    assert numbers(agent, "--since", "2026-11-22T00:28:40") == [3, 4, 5, 6, 7]
    assert numbers(agent, "--since", "2026-11-21T22:28:40Z", "--until", "2026-11-22T00:30:40") == [3, 4]
    assert numbers(agent, "--until", "2026-11-22 00:26:40.001") == [1]
    assert numbers(agent, "--since", "2026-11-22", "--device", PANEL) == [3]
    assert numbers(agent, "--since", "2100-01-01") == []


def test_how_long_ago_counts_from_now(agent: Agent) -> None:
    now = int(time.time() * 1000)
    ages = [8 * DAY, 3 * DAY, 90 * MINUTE, 20 * MINUTE, 5_000]
    leave(agent, happened=[replace(MOVED, at=now - age) for age in ages], at=NOW)
    assert numbers(agent, "--since", "2w") == [1, 2, 3, 4, 5]
    assert numbers(agent, "--since", "4d") == [2, 3, 4, 5]
    assert numbers(agent, "--since", "2h") == [3, 4, 5]
    assert numbers(agent, "--since", "45 min") == [4, 5]
    assert numbers(agent, "--since", "300s") == [5]
    assert numbers(agent, "--since", "4d", "--until", "1h") == [2, 3]


def test_pages_follow_each_other_and_end(agent: Agent) -> None:
    leave(agent, happened=[replace(MOVED, at=NOW + each) for each in range(120)], at=NOW)
    assert numbers(agent) == list(range(71, 121)), "the last fifty"
    pages: list[list[int]] = []
    cursor: list[str] = []
    while page := numbers(agent, "--last", "50", *cursor):
        pages.append(page)
        cursor = ["--before", str(page[0])]
    assert pages == [list(range(71, 121)), list(range(21, 71)), list(range(1, 21))]
    assert [event["eventId"] for event in told(agent, "--last", "3", "--before", "21")] == [18, 19, 20]


def test_nothing_is_said_aside_from_the_log(agent: Agent) -> None:
    leave(agent, at=NOW)
    for words, said in (((), "nothing has happened yet\n"), (("--since", "1h"), "nothing is found\n")):
        done = typed(agent, "events", *words)
        assert (done.returncode, done.stdout, done.stderr) == (exits.OK, "\t".join(COLUMNS) + "\n", said)
    assert typed(agent, "events", "--format", "json").stdout == "[]\n"
    assert typed(agent, "events", "--format", "csv").stdout == f"localTime,deviceName,{','.join(CELLS)}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--device", "99"], f"'99' is no device of this gateway; it has {GATE}, {PANEL}"),
        (["--since", "yesterday"], "'yesterday' is no time; write 2026-11-22T17:30, or 2026-11-22T17:30+02:00, or how"),
        (["--since", "2026-13-01"], "'2026-13-01' is no time; write 2026-11-22T17:30, or 2026-11-22T17:30+02:00"),
        (["--until", "0001-01-01"], "'0001-01-01' is not between 1970 and 9998"),
        (["--since", "2026-11-22", "--until", "2026-11-22"], "--until: is not after --since"),
        (["--last", "0"], "0 is not in the range 1<=x<=1000000"),
        (["--before", "0"], "0 is not in the range x>=1"),
        (["--format", "xls"], "'xls' is not one of 'table', 'csv', 'json'"),
    ],
)
def test_words_that_make_no_sense_exit_64(agent: Agent, words: Sequence[str], said: str) -> None:
    done = typed(agent, "events", *words)
    assert (done.returncode, done.stdout) == (exits.USAGE, "")
    assert said in done.stderr


async def test_time_of_devices_in_different_zones_needs_an_offset(tmp_path: Path) -> None:
    agent = Agent(tmp_path, 1, devices={PANEL: {"timezone": "Europe/London"}})
    await left(agent, happened=EVENTS, at=NOW)
    done = await typed_beside(agent, "events", "--since", "2026-11-22T00:28:40")
    assert (done.returncode, done.stdout) == (exits.USAGE, "")
    assert "needs an offset, such as +02:00: these devices are in different time zones" in done.stderr
    found = shown(await typed_beside(agent, "events", "--since", "2026-11-22T00:28:40+02:00", "--last", "5"))
    assert found[0]["time"] == "2026-11-21T22:28:40+00:00", "in the panel's own zone"
    one = await typed_beside(agent, "events", "--since", "2026-11-21T22:28:40", "--device", PANEL)
    assert [row["event"] for row in shown(one)] == ["3"]


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_log_of_a_gateway_that_never_ran_says_what_to_do(agent: Agent, form: str) -> None:
    done = typed(agent, "events", "--format", form)
    assert (done.returncode, done.stdout) == (exits.IO, "")
    assert done.stderr == (
        f"Error: {agent.store}: there is no list yet; start the gateway first (systemctl start fluss-agent)\n"
    )
