"""`fluss-agent users` as a person, a spreadsheet or a script meets it: a real store, a real process."""

import asyncio
import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from agent import exits
from storage.database import Database, shipped_schema
from tests.counterparts.agent import COMMAND, ROOT, Agent, gateway
from tests.counterparts.cloud import GATE, PANEL, Document, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.terminal import Terminal
from tests.oracle.model import DeviceRule
from tests.oracle.store import Store

NOW = 1_795_300_000_000  # 2026-11-22 00:26 in Johannesburg
LATER = 32_503_680_000_000  # 3000-01-01 02:00 there
LATEST = 95_617_584_000_000  # 5000-01-01 02:00 there
WIRE = [
    *("deviceId", "mobile", "userName", "notes", "permission", "startDate", "endDate", "schedule"),
    *("units", "wifi", "invitedBy", "status", "revision", "batchId", "changedAt"),
]
# Root may touch everything; this is root without that power.
BOUND = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"] if os.geteuid() == 0 else []

DAVID: Document = {"userName": "David Mokoena", "mobile": "082 451 1234", "notes": "Unit 4", "accepted": True}
ZOE: Document = {"userName": "Zoë Müller-Lüdenscheidt", "mobile": "+49 170 1234567", "notes": "Eenheid 12, dogs"}
HOSTILE: list[Document] = [
    {"userName": "\x1b[31mRed\x1b]0;pwned\x07\x9b2J", "mobile": "0824511235", "notes": "one\ntwo\r\nthree\tfour"},
    {"userName": "=cmd|' /C calc'!A0", "mobile": "0824511236", "notes": "+SUM(1)"},
    {"userName": "X" * 100, "mobile": "0824511237", "notes": "long " * 79},
    {"userName": "\u202eمحمد بن عبد الله", "mobile": "0824511238", "notes": "שלום עולם"},
    {"userName": "\N{WOMAN}\u200d\N{WOMAN}\u200d\N{GIRL} Family", "mobile": "0824511239", "notes": "山田太郎の家"},
    {"userName": "'=2", "mobile": "0824511240", "notes": "4-12"},
]


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FLUSS_", "COLUMNS", "LC_", "LANG"))}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def run(*command: str | Path, **environ: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a command to its end, in a pipe."""
    env = environment(**environ)
    done = subprocess.run([*BOUND, *command], capture_output=True, check=False, timeout=30, cwd="/", env=env)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


def users(agent: Agent, *words: str) -> "subprocess.CompletedProcess[str]":
    """What it prints, byte for byte."""
    done = run(*COMMAND, "users", "--config", agent.file, *words)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def rows(done: "subprocess.CompletedProcess[str]") -> list[dict[str, str]]:
    headings, *lines = [line.split("\t") for line in done.stdout.split("\n")[:-1]]
    return [dict(zip(headings, line, strict=True)) for line in lines]


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """A gateway that has never run."""
    return Agent(tmp_path, 1)


def put(agent: Agent, *parts: Document) -> None:
    """Leave it with the list that these parts make."""

    async def receive() -> None:
        agent.state_dir.mkdir()
        rules = {GATE: DeviceRule("fluss+", 20_000), PANEL: DeviceRule("intercom", 20_000)}
        async with Store(agent.store, rules) as store:
            await store.receive([json.dumps(each).encode() for each in parts], NOW)

    asyncio.run(receive())


async def make(store: Path, *schema: str) -> None:
    """Make a store with nothing in it, by these scripts or the project's own."""
    async with Database(store, schema or None):
        pass


def test_list_in_a_pipe_is_one_line_of_tabs_for_everyone(agent: Agent) -> None:
    visitor = {
        "userName": "Visitor",
        "mobile": "0824511250",
        "permission": "Temporary",
        "startDate": 0,
        "endDate": LATER,
    }
    guest = visitor | {"userName": "Guest", "mobile": "0824511251", "startDate": LATER, "endDate": LATEST}
    gardener = {"userName": "Gift", "mobile": "0824511252", "permission": "Repeat", "endDate": LATER}
    schedule = [
        {"days": ["wed", "mon", "tue"], "from": "09:00", "until": "17:00"},
        {"days": ["sat", "mon"], "from": "18:00", "until": "06:00"},
    ]
    put(
        agent,
        part("b-1", 1, [DAVID, ZOE, visitor, guest, gardener | {"schedule": schedule}]),
        part("b-2", 2, [DAVID | {"units": ["Unit 4", "Penthouse A"]}], deviceIds=[PANEL]),
    )
    done = users(agent)
    assert (done.returncode, done.stderr) == (exits.OK, "")
    gift = "mon sat 18:00–06:00, mon–wed 09:00–17:00 until 3000-01-01 02:00"
    assert done.stdout.splitlines() == [
        "device\tname\tmobile\tstatus\taccess\tnotes",
        "Main gate\tDavid Mokoena\t+27824511234\tActive\tAlways\tUnit 4",
        f"Main gate\tGift\t+27824511252\tPending\t{gift}\t",
        "Main gate\tGuest\t+27824511251\tPending\tfrom 3000-01-01 02:00 until 5000-01-01 02:00\t",
        "Main gate\tVisitor\t+27824511250\tPending\tuntil 3000-01-01 02:00\t",
        "Main gate\tZoë Müller-Lüdenscheidt\t+491701234567\tPending\tAlways\tEenheid 12, dogs",
        "Entrance panel\tDavid Mokoena\t+27824511234\tActive\tUnit 4, Penthouse A\tUnit 4",
    ]


@pytest.mark.parametrize("columns", [80, 120])
def test_list_on_a_terminal_fits_whoever_is_on_it(agent: Agent, columns: int) -> None:
    put(agent, part("b-1", 1, [DAVID, ZOE, *HOSTILE]), part("b-2", 2, [DAVID], deviceIds=[PANEL]))
    with Terminal(columns, [*COMMAND, "users", "--config", str(agent.file)], environment()) as terminal:
        assert terminal.ends() == exits.OK
        lines, raw = terminal.lines, terminal.raw
    assert max(map(cell_len, lines)) <= columns
    assert [line for line in lines if GATE in line] == [f"Main gate ({GATE})"]
    assert [line for line in lines if PANEL in line] == [f"Entrance panel ({PANEL})"]
    assert "8 people: 1 Active, 7 Pending" in lines
    assert "1 person: 1 Active" in lines
    for number in ["+491701234567", *(f"+2782451{tail}" for tail in range(1235, 1241))]:
        assert len([line for line in lines if number in line]) == 1, "everyone is one line, the number whole"
    assert len([line for line in lines if line.startswith("David Mokoena") and "Unit 4" in line]) == 2
    assert not {*re.sub(r"\x1b\[[0-9;]*m", "", raw)} & {"\x1b", "\x07", "\x9b", "\u202e", "\t"}, (
        "names drive no terminal"
    )
    assert "\x1b[32mActive" in raw
    assert ("X" * 30 in raw) == (columns == 120)


def test_ten_thousand_people_are_shown(agent: Agent) -> None:
    put(agent, part("b-1", 1, people(range(5_000))), part("b-2", 2, people(range(5_000, 10_000))))
    with Terminal(80, [*COMMAND, "users", "--config", str(agent.file)], environment()) as terminal:
        assert terminal.ends() == exits.OK
        assert "10,000 people: 10,000 Pending" in terminal.lines
        assert max(map(len, terminal.lines)) <= 80
    assert len(rows(users(agent))) == 10_000


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_list_ends_quietly_where_nobody_reads_on(agent: Agent, form: str) -> None:
    """As before `| head -1`."""
    put(agent, part("b-1", 1, people(range(4_000))))
    command = [*COMMAND, "users", "--config", str(agent.file), "--format", form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        assert listing.stdout.read(10)
        listing.stdout.close()
        assert listing.stderr.read() == b""


def test_csv_opens_in_a_spreadsheet_and_json_in_a_program(agent: Agent) -> None:
    put(agent, part("b-1", 1, [DAVID, ZOE, *HOSTILE], invitedBy="+27820000100"))
    exported = users(agent, "--format", "csv").stdout
    assert exported.startswith(f"{','.join(WIRE)}\r\n")
    cells = {row["mobile"]: row for row in csv.DictReader(io.StringIO(exported, newline=""))}
    assert cells["'+27824511236"]["userName"] == "'=cmd|' /C calc'!A0"
    assert (cells["'+27824511240"]["userName"], cells["'+27824511240"]["notes"]) == ("''=2", "'4-12")
    assert cells["'+27824511235"]["notes"] == "one\ntwo\r\nthree\tfour"
    assert cells["'+27824511234"] == {
        "deviceId": f"'{GATE}",
        "mobile": "'+27824511234",
        "userName": "David Mokoena",
        "notes": "Unit 4",
        "permission": "Always",
        "wifi": "true",
        "invitedBy": "'+27820000100",
        "status": "Active",
        "revision": "1",
        "batchId": "b-1",
        "changedAt": f"'{NOW}",
        **dict.fromkeys(("startDate", "endDate", "schedule", "units"), ""),
    }

    said: list[dict[str, Any]] = json.loads(users(agent, "--format", "json").stdout)
    assert {user["mobile"]: user for user in said}["+27824511234"] == {
        "deviceId": GATE,
        "mobile": "+27824511234",
        "userName": "David Mokoena",
        "notes": "Unit 4",
        "permission": "Always",
        "wifi": True,
        "invitedBy": "+27820000100",
        "status": "Active",
        "revision": 1,
        "batchId": "b-1",
        "changedAt": NOW,
        **dict.fromkeys(("startDate", "endDate", "schedule", "units")),
    }
    assert all(list(user) == WIRE for user in said)
    assert [user["userName"] for user in said if user["mobile"] == "+27824511235"] == [HOSTILE[0]["userName"]]


async def test_export_imported_again_changes_nobody(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        await cloud.send(part("b-1", 1, [DAVID, ZOE, *HOSTILE[1:]]))
        await cloud.outcome("b-1", "complete")
        before = await agent.users()
        file = tmp_path / "export.csv"
        file.write_bytes(users(agent, "--format", "csv").stdout.encode())
        invite = (sys.executable, "-P", "-m", "simulator", "cloud", "invite", file, "--config", agent.file)
        imported = run(*invite, "--device", GATE, "--permission", "Always", "--yes")
        assert imported.returncode == exits.OK, imported.stderr.decode()
        assert [{**user, "revision": 1, "batchId": "b-1"} for user in await agent.users()] == before


async def test_list_is_the_same_while_the_daemon_runs_and_after(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        await cloud.send(part("b-1", 1, people(range(400))))
        await cloud.outcome("b-1", "complete")
        running = users(agent, "--format", "json").stdout
        assert len(json.loads(running)) == 400
        await agent.kill9()
        assert users(agent, "--format", "json").stdout == running
        await agent.online(cloud)
        await agent.stop()
        assert users(agent, "--format", "json").stdout == running


def test_list_is_narrowed_by_device_status_and_search(agent: Agent) -> None:
    put(agent, part("b-1", 1, [DAVID, ZOE], deviceIds=[GATE, PANEL]))

    def found(*words: str) -> list[tuple[str, str]]:
        return [(row["device"], row["name"].split()[0]) for row in rows(users(agent, *words))]

    assert found("--device", PANEL) == [("Entrance panel", "David"), ("Entrance panel", "Zoë")]
    assert found("--device", PANEL, "--device", GATE, "--status", "active") == [
        ("Main gate", "David"),
        ("Entrance panel", "David"),
    ]
    for typed in ("082 451", "+27 82", "0027 (0)82 451 1234", "mokoena", "UNIT 4"):
        assert found("--device", GATE, "--search", typed) == [("Main gate", "David")], typed
    for typed in ("zoe muller", "0170 123", "eenheid"):
        assert found("--device", GATE, "--search", typed) == [("Main gate", "Zoë")], typed


def test_nobody_is_said_aside_from_the_list(agent: Agent) -> None:
    put(agent)
    for words, said in (((), "nobody is on the list\n"), (("--search", "x"), "nobody is found\n")):
        done = users(agent, *words)
        assert (done.returncode, done.stderr) == (exits.OK, said)
        assert done.stdout == "device\tname\tmobile\tstatus\taccess\tnotes\n"
    assert users(agent, "--format", "json").stdout == "[]\n"
    assert users(agent, "--format", "csv").stdout == f"{','.join(WIRE)}\r\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--device", "99"], f"'99' is no device of this gateway; it has {GATE}, {PANEL}"),
        (["--status", "Gone"], "'Gone' is not one of"),
        (["--format", "xls"], "'xls' is not one of 'table', 'csv', 'json'"),
    ],
)
def test_words_that_make_no_sense_exit_64(agent: Agent, words: Sequence[str], said: str) -> None:
    done = users(agent, *words)
    assert (done.returncode, done.stdout) == (exits.USAGE, "")
    assert said in done.stderr


def test_store_that_cannot_be_read_exits_74_and_says_what_to_do(agent: Agent) -> None:
    cure = "there is no list yet; start the gateway first (systemctl start fluss-agent)"

    def refusal() -> str:
        done = users(agent)
        assert (done.returncode, done.stdout) == (exits.IO, "")
        assert done.stderr.startswith(f"Error: {agent.store}")
        return done.stderr.removeprefix(f"Error: {agent.store}").strip(" :\n")

    assert refusal() == cure
    agent.state_dir.mkdir()
    agent.store.touch()
    assert refusal() == cure, "the gateway was killed as it made the store"
    asyncio.run(make(agent.store))
    assert refusal() == cure, "it has not put anything in yet"

    agent.store.unlink()
    agent.store.write_bytes(b"nothing that SQLite knows" * 100)
    assert refusal() == "file is not a database"
    agent.store.chmod(0)
    assert refusal() == (
        f"this user (uid {os.geteuid()}) may not read it; use sudo, or be the user whom the gateway runs as"
    )

    agent.store.unlink()
    asyncio.run(make(agent.store, *shipped_schema(), "CREATE TABLE more (more TEXT);"))
    assert refusal() == "is from a newer version of this program: install that one again"


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_full_disk_exits_74_in_one_line(agent: Agent, form: str) -> None:
    put(agent, part("b-1", 1, [DAVID]))
    command = [*COMMAND, "users", "--config", str(agent.file), "--format", form]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, timeout=30, env=environment())
    assert (done.returncode, done.stderr) == (exits.IO, b"fluss-agent: No space left on device\n")


def test_old_encoding_of_a_locale_spoils_no_export_and_ends_no_list(agent: Agent) -> None:
    put(agent, part("b-1", 1, [ZOE, HOSTILE[4]]))

    def printed(form: str, encoding: str) -> bytes:
        return run(*COMMAND, "users", "--config", agent.file, "--format", form, PYTHONIOENCODING=encoding).stdout

    for form in ("csv", "json"):
        assert printed(form, "latin-1") == printed(form, "utf-8")
    assert "Zoë Müller-Lüdenscheidt\t" in printed("table", "latin-1").decode("latin-1")
    assert b"\t????? Family\t" in printed("table", "latin-1")
