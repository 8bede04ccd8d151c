"""The import as an office types it: a file, a broker, a gateway, and what became of everybody."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from simulator import exits
from tests.counterparts.agent import Agent, gateway
from tests.counterparts.cloud import GATE, PANEL, mobile, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.ports import free_port
from tests.counterparts.program import Program
from tests.counterparts.waiting import until

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "simulator" / "samples" / "residents.csv"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, str]]:
        """Its table in a pipe, each row by its headings."""
        headings, *rows = [line.split("\t") for line in self.out.splitlines()]
        return [dict(zip(headings, row, strict=True)) for row in rows]

    @property
    def document(self) -> dict[str, Any]:
        return dict(json.loads(self.out))


async def cloud(*words: str | Path, stdin: bytes = b"") -> Ended:
    """Run one `fluss-simulator cloud` command, as in a script."""
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "simulator", "cloud", *map(str, words)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd="/",
    )
    async with asyncio.timeout(30):
        out, err = await command.communicate(stdin)
    assert "Traceback" not in err.decode(), err.decode()
    assert command.returncode is not None
    return Ended(command.returncode, out.decode(), err.decode())


@pytest.fixture
async def office(mosquitto: Mosquitto, tmp_path: Path) -> AsyncIterator[Agent]:
    """A gateway that is online; its configuration file says where."""
    async with gateway(tmp_path / "gw", mosquitto.port) as (agent, _):
        yield agent


def written(folder: Path, *lines: str, name: str = "list.csv") -> Path:
    file = folder / name
    file.write_text("\n".join(["Name,Mobile,Notes", *lines, ""]), "utf-8")
    return file


async def test_sample_ends_with_everybody_accounted_for(office: Agent) -> None:
    first = await cloud("invite", SAMPLE, "--config", office.file, "--permission", "Always", "--yes")
    assert first.code == exits.REFUSED, "somebody was rejected"
    assert len(first.rows) == 2 * 52
    by_person = {row["Name"] + row["Row"]: row for row in first.rows if row["Device"] == GATE}
    assert by_person["André van der Merwe6"] | {"Reason": ""} == {
        "Row": "6",
        "Name": "André van der Merwe",
        "Number": "+27840000105",
        "Device": GATE,
        "Outcome": "added",
        "Status": "Pending",
        "Reason": "",
    }
    rejected = {row["Row"]: row["Reason"] for row in by_person.values() if row["Outcome"] == "rejected"}
    assert list(rejected) == ["47", "48", "49", "50", "51", "52", "53"]
    assert rejected["47"] == "'082 00' is too short for a number in South Africa (+27)"
    assert rejected["48"].startswith("'8.2E+10' is a number that a spreadsheet shortened")
    assert rejected["51"] == "the same number as row 2, David Mokoena"
    held = {(user["deviceId"], user["mobile"]) for user in await office.users()}
    assert held == {(row["Device"], row["Number"]) for row in first.rows if row["Outcome"] == "added"}

    again = await cloud("invite", SAMPLE, "--config", office.file, "--permission", "Always", "--yes")
    assert {row["Outcome"] for row in again.rows} == {"unchanged", "rejected"}
    assert "52 rows on 2 devices: 90 unchanged, 14 rejected" in again.err


async def test_preview_shows_what_was_understood(office: Agent) -> None:
    shown = (await cloud("invite", SAMPLE, "--config", office.file, "--permission", "Always", "--yes")).err
    assert "residents.csv: UTF-8, commas, with a header; columns: name, mobile, notes" in shown
    assert "8\tPriya Naidoo\t(083) 000-0107\t+27830000107\tUnit 4" in shown
    assert "… and 25 more like these" in shown
    assert "row 49\tElna Steyn\t'820000148' has lost the 0 in front" in shown
    assert "52 rows: 45 understood, 4 the gateway will have to refuse, 3 ruined by a spreadsheet and not sent" in shown
    assert f"To Main gate ({GATE}), Entrance panel ({PANEL}) at gw-1: Always" in shown


async def test_list_without_faults_exits_0(office: Agent, tmp_path: Path) -> None:
    file = written(tmp_path, "David,082 451 1234,Unit 4", "Thandi,+44 7911 123456,")
    words = (
        "--config",
        office.file,
        "--device",
        GATE,
        "--permission",
        "Full",
        "--accepted",
        "--yes",
        "--format",
        "json",
    )
    ended = await cloud("invite", file, *words)
    assert ended.code == exits.OK, ended.err
    said = ended.document
    assert (said["gatewayId"], said["deviceIds"], said["complete"]) == ("gw-1", [GATE], True)
    assert said["outcomes"] == {"added": 2}
    assert said["results"][0] == {
        "source": "list.csv",
        "row": 2,
        "userName": "David",
        "mobile": "+27824511234",
        "deviceId": GATE,
        "sent": True,
        "outcome": "added",
        "status": "Active",
        "code": None,
        "reason": None,
    }
    users = await office.users()
    assert [(user["userName"], user["permission"], user["notes"]) for user in users] == [
        ("David", "Full", "Unit 4"),
        ("Thandi", "Full", None),
    ]


async def test_several_files_make_one_list(office: Agent, tmp_path: Path) -> None:
    first = written(tmp_path, "David,082 451 1234,", name="a.csv")
    second = written(tmp_path, "Thandi,083 111 2222,", "Dave,+27 82 451 1234,", name="b.csv")
    ended = await cloud("invite", first, second, "--config", office.file, "--device", PANEL, "--yes")
    assert [(row["Row"], row["Outcome"], row["Reason"]) for row in ended.rows] == [
        ("a.csv 2", "added", ""),
        ("b.csv 2", "added", ""),
        ("b.csv 3", "rejected", "the same number as a.csv row 2, David"),
    ]
    assert ended.code == exits.REFUSED


async def test_pasted_lines_are_a_list(office: Agent) -> None:
    words = ("--config", office.file, "--device", PANEL, "--yes")
    typed = await cloud("invite", "--paste", "David, 082 451 1234, Unit 4, upstairs\nThandi 083 111 2222", *words)
    assert [(row["Name"], row["Number"], row["Outcome"]) for row in typed.rows] == [
        ("David", "+27824511234", "added"),
        ("Thandi", "+27831112222", "added"),
    ]
    piped = await cloud("invite", "--paste", *words, stdin=b"Sipho, 072 451 1234")
    assert [(row["Name"], row["Outcome"]) for row in piped.rows] == [("Sipho", "added")]
    assert {user["notes"] for user in await office.users()} >= {"Unit 4, upstairs"}


async def test_columns_can_be_said(office: Agent, tmp_path: Path) -> None:
    file = tmp_path / "bare.csv"
    file.write_text("Unit 4;082 451 1234;David\nUnit 5;083 111 2222;Thandi\n")
    words = ("--config", office.file, "--device", PANEL, "--no-header", "--columns", "notes,mobile,name", "--yes")
    assert [row["Name"] for row in (await cloud("invite", file, *words)).rows] == ["David", "Thandi"]
    assert {user["notes"] for user in await office.users()} == {"Unit 4", "Unit 5"}


async def test_numbers_are_meant_where_the_list_comes_from(office: Agent, tmp_path: Path) -> None:
    """The gateway's own region is South Africa; what was shown in the preview is what it is told."""
    file = written(tmp_path, "Oliver,07911 123456,")
    words = ("--config", office.file, "--device", PANEL, "--region", "GB", "--yes")
    assert [row["Number"] for row in (await cloud("invite", file, *words)).rows] == ["+447911123456"]
    assert [user["mobile"] for user in await office.users()] == ["+447911123456"]


async def test_visitors_and_cleaners_get_their_times(office: Agent, tmp_path: Path) -> None:
    guest, cleaner = (
        written(tmp_path, "G,082 451 1234,", name="g.csv"),
        written(tmp_path, "C,083 111 2222,", name="c.csv"),
    )
    common = ("--config", office.file, "--device", GATE, "--yes")
    dates = ("--start", "2026-12-24", "--end", "2099-12-31")
    assert (await cloud("invite", guest, *common, "--permission", "Temporary", *dates)).code == exits.OK
    week = "mon-fri 9:00-17:00; sat 08:00-12:00"
    assert (await cloud("invite", cleaner, *common, "--permission", "repeat", "--schedule", week)).code == exits.OK
    users = {user["userName"]: user for user in await office.users()}
    assert (users["G"]["startDate"], users["G"]["endDate"]) == (1_798_063_200_000, 4_102_437_600_000)
    assert users["C"]["schedule"] == [
        {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "until": "17:00"},
        {"days": ["sat"], "from": "08:00", "until": "12:00"},
    ]


async def test_list_is_newer_than_whatever_another_office_sent(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Its clock was in the far future."""
    async with gateway(tmp_path / "gw", mosquitto.port) as (agent, other):
        sent = part("theirs", 2**52, people([1]))
        await other.send(sent)
        await other.settles(sent)
        await until(lambda: other.state["devices"][0]["revision"] == 2**52)
        file = written(tmp_path, f"Ours,{mobile(1)},")
        ended = await cloud("invite", file, "--config", agent.file, "--device", GATE, "--permission", "Full", "--yes")
        assert [row["Outcome"] for row in ended.rows] == ["updated"]


async def test_replace_takes_off_who_is_not_in_it_and_confirm_ends_a_hold(office: Agent, tmp_path: Path) -> None:
    everybody = written(tmp_path, *[f"R {number},08245{number:05}," for number in range(30)], name="all.csv")
    few = written(tmp_path, *[f"R {number},08245{number:05}," for number in range(28)], name="few.csv")
    one = written(tmp_path, "R 0,0824500000,", name="one.csv")
    common = ("--config", office.file, "--device", PANEL, "--yes", "--format", "json")
    assert (await cloud("invite", everybody, *common)).code == exits.OK
    ended = await cloud("invite", few, *common, "--mode", "replace")
    assert (ended.code, ended.document["outcomes"]) == (exits.OK, {"unchanged": 28})
    assert sorted(gone["mobile"] for gone in ended.document["removed"]) == ["+27824500028", "+27824500029"]
    assert "Whoever is not in this list is taken off" in ended.err
    held = await cloud("invite", one, *common, "--mode", "replace")
    assert (held.code, held.document["held"], len(await office.users())) == (exits.REFUSED, True, 28)
    batch = held.document["batchId"]
    assert f"fluss-simulator cloud confirm {batch}" in held.err
    confirmed = await cloud("confirm", batch, "--config", office.file)
    assert confirmed.code == exits.OK
    assert len(await office.users()) == 1
    assert len([row for row in confirmed.rows if row["Reason"] == "not_in_list"]) == 27


async def test_replace_with_ruined_rows_sends_nothing(office: Agent, tmp_path: Path) -> None:
    file = written(tmp_path, "David,082 451 1234,", "Ruined,8.2E+10,")
    ended = await cloud("invite", file, "--config", office.file, "--device", PANEL, "--mode", "replace", "--yes")
    assert (ended.code, ended.out) == (exits.REFUSED, "")
    assert "Put them right first, or import with --mode merge. Nothing was sent." in ended.err
    assert await office.users() == []


async def test_people_are_revoked_by_their_numbers(office: Agent, tmp_path: Path) -> None:
    file = written(tmp_path, "David,082 451 1234,", "Thandi,083 111 2222,")
    await cloud("invite", file, "--config", office.file, "--device", PANEL, "--yes")
    words = ("--config", office.file, "--device", PANEL, "--yes")
    ended = await cloud("revoke", "082 451 1234", "+27 72 000 0000", "082", *words)
    assert [row["Outcome"] for row in ended.rows] == ["revoked", "absent", "rejected"]
    assert ended.code == exits.REFUSED
    assert [user["userName"] for user in await office.users()] == ["Thandi"]


async def test_reports_can_be_asked_for_again(office: Agent, tmp_path: Path) -> None:
    file = written(tmp_path, "David,082 451 1234,")
    words = ("--config", office.file, "--device", PANEL, "--yes", "--format", "json")
    batch = (await cloud("invite", file, *words)).document["batchId"]
    ended = await cloud("report", "--batch", batch, "--config", office.file)
    assert (ended.code, [row["Outcome"] for row in ended.rows]) == (exits.OK, ["applied", "added", "complete"])
    first = ended.rows[0]["Report"]
    one = await cloud("report", "--from", first, "--config", office.file)
    assert [row["Outcome"] for row in one.rows] == ["applied"]
    other = await cloud("report", "--from", first, "--epoch", "of-another-store", "--config", office.file)
    assert (other.code, "The gateway refused: this store's epoch is" in other.err) == (exits.REFUSED, True)
    nobody = await cloud("report", "--batch", "no-such-batch", "--config", office.file)
    assert nobody.code == exits.REFUSED
    assert "The gateway refused: no batch 'no-such-batch' is known here" in nobody.err


async def test_gateway_that_stays_away_exits_69_with_what_is_unknown(
    office: Agent, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    await office.stop()
    file = written(tmp_path, "David,082 451 1234,", "Ruined,8.2E+10,")
    ended = await cloud("invite", file, "--config", office.file, "--device", PANEL, "--yes", "--timeout", "1")
    assert ended.code == exits.UNREACHABLE
    assert "gw-1 is offline. The broker keeps the list for it" in ended.err
    assert "part 1 of 1 (1 person) has not been answered by the gateway" in ended.err
    assert [(row["Name"], row["Outcome"]) for row in ended.rows] == [("David", "unknown"), ("Ruined", "rejected")]


async def test_broker_that_is_not_there_exits_69(tmp_path: Path) -> None:
    port = free_port()
    file = written(tmp_path, "David,082 451 1234,")
    words = ("--broker", f"mqtt://127.0.0.1:{port}", "--gateway", "gw-1", "--device", PANEL, "--yes")
    ended = await cloud("invite", file, *words)
    assert (ended.code, ended.out) == (exits.UNREACHABLE, "")
    assert f"fluss-simulator: 127.0.0.1:{port} refuses connections: check the host and port in --broker" in ended.err


BROKER = ("--broker", "mqtt://127.0.0.1:1", "--gateway", "gw-1", "--yes")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((*BROKER[:-1], "--device", PANEL), "there is no terminal to ask at: add --yes"),
        (BROKER, "say which device: --device ID"),
        ((*BROKER, "--device", "12345"), "'12345' is no device id: 16 digits for a Fluss+, 6 for an intercom"),
        ((*BROKER, "--device", GATE), "--permission: a Fluss+ needs an access type"),
        ((*BROKER, "--device", GATE, "--permission", "Sometimes"), "'Sometimes' is not one of"),
        ((*BROKER, "--device", GATE, "--permission", "Temporary"), "--start: Temporary access needs startDate"),
        ((*BROKER, "--device", GATE, "--permission", "Repeat"), "--schedule: Repeat access needs a schedule"),
        ((*BROKER, "--device", GATE, "--permission", "Always", "--start", "2026-12-24T00:00Z"), "others have no dates"),
        ((*BROKER, "--device", GATE, "--permission", "Always", "--schedule", "mon 08:00-09:00"), "--permission Repeat"),
        ((*BROKER, "--device", GATE, "--permission", "Repeat", "--schedule", "mon"), "--schedule: 'mon' has no times"),
        ((*BROKER, "--device", PANEL, "--invite-expires", "2026-12-24"), "--invite-expires: '2026-12-24' does not say"),
        ((*BROKER, "--device", PANEL, "--timezone", "Mars/Base"), "--timezone 'Mars/Base' is no time zone"),
        ((*BROKER, "--device", PANEL, "--region", "XX"), "--region 'XX' is none"),
        (("--gateway", "gw-1", "--device", PANEL, "--yes"), "say where the broker is: --broker mqtt://host"),
        (("--broker", "mqtt://h", "--device", PANEL, "--yes"), "say which gateway: --gateway ID"),
        (("--broker", "http://h", "--gateway", "g", "--device", PANEL, "--yes"), "'http://h' is no broker"),
        (("--broker", "mqtt://h:x", "--gateway", "g", "--yes"), "'mqtt://h:x' is no broker"),
        ((*BROKER, "--ca-file", "ca.pem"), "are for TLS: write the broker as mqtts://"),
    ],
)
async def test_command_line_without_sense_exits_64(tmp_path: Path, words: tuple[str, ...], complaint: str) -> None:
    ended = await cloud("invite", written(tmp_path, "David,082 451 1234,"), *words)
    assert (ended.code, complaint in ended.err) == (exits.USAGE, True), ended.err


async def test_what_to_import_has_to_be_said() -> None:
    ended = await cloud("invite", *BROKER, "--device", PANEL)
    assert (ended.code, "a CSV file, or --paste" in ended.err) == (exits.USAGE, True)


async def test_files_that_are_no_list_are_refused_before_anything_is_sent(tmp_path: Path) -> None:
    workbook = tmp_path / "people.csv"
    workbook.write_bytes(b"PK\x03\x04 xl/workbook.xml")
    refused = await cloud("invite", workbook, *BROKER, "--device", PANEL)
    assert (refused.code, "save as CSV" in refused.err) == (exits.REFUSED, True)
    gone = await cloud("invite", tmp_path / "gone.csv", *BROKER, "--device", PANEL)
    assert (gone.code, "gone.csv" in gone.err) == (exits.IO, True)
    nobody = await cloud("invite", written(tmp_path, "Ruined,8.2E+10,"), *BROKER, "--device", PANEL)
    assert (nobody.code, "Nobody is left to import" in nobody.err) == (exits.REFUSED, True)


async def test_credentials_of_the_gateway_are_never_the_clouds(tmp_path: Path) -> None:
    config = tmp_path / "gw.toml"
    config.write_text(
        f'gateway_id = "gw-1"\n[mqtt]\nhost = "127.0.0.1"\nport = 1\nusername = "gw-1"\n[[devices]]\nid = "{PANEL}"\n'
    )
    file = written(tmp_path, "David,082 451 1234,")
    ended = await cloud("invite", file, "--config", config, "--yes")
    assert ended.code == exits.USAGE
    assert "add --broker mqtt://USER:PASSWORD@127.0.0.1:1" in ended.err
    own = await cloud("invite", file, "--config", config, "--yes", "--broker", "mqtt://office:secret@127.0.0.1:1")
    assert (own.code, "secret" in own.err) == (exits.UNREACHABLE, False)


async def test_configuration_that_says_too_little_exits_78(tmp_path: Path) -> None:
    config = tmp_path / "gw.toml"
    file = written(tmp_path, "David,082 451 1234,")
    config.write_text("gateway_id = ")
    assert (await cloud("invite", file, "--config", config, "--yes")).code == exits.CONFIG
    config.write_text('gateway_id = "gw-1"\n[mqtt]\nport = 1\n[[devices]]\nid = "482913"\n')
    ended = await cloud("invite", file, "--config", config, "--yes")
    assert (ended.code, "gw.toml, mqtt.host: Field required" in ended.err) == (exits.CONFIG, True)


async def test_watch_shows_what_comes(office: Agent, tmp_path: Path) -> None:
    watching = Program(
        [sys.executable, "-P", "-m", "simulator", "cloud", "watch", "--config", office.file],
        tmp_path / "watch.log",
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
    )
    with watching:
        await until(lambda: "online, reports through" in watching.output())
        file = written(tmp_path, "David,082 451 1234,")
        await cloud("invite", file, "--config", office.file, "--device", PANEL, "--yes")
        await until(lambda: f"+27824511234 at {PANEL} added Pending" in watching.output())
        await until(lambda: "complete" in watching.output())
        watching.signal(signal.SIGTERM)
        watching.wait()
    assert "Traceback" not in watching.output()
