"""`fluss-agent status` as somebody meets it who is called to a gate: a real store, a real process, a real broker."""

import asyncio
import fcntl
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from agent import exits
from agent.config_checks import ANYBODY
from storage.database import Database
from storage.events import count_lost
from tests.counterparts.agent import COMMAND, ROOT, Agent, gateway
from tests.counterparts.cloud import GATE, PANEL, Document, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.premises import SIDE, premises
from tests.counterparts.terminal import Terminal
from tests.counterparts.waiting import until
from tests.oracle.model import DeviceRule
from tests.oracle.store import EPOCH, Store

NOW = 1_795_300_000_000
MINUTE = 60_000
EVIL = "\x1b[31mhung up\x1b]0;pwned\x07\u202e\nagain"
FIELDS = [
    *("gatewayId", "running", "startedAt", "version", "connected", "since", "broker", "lastError", "duplicateIdentity"),
    *(
        "certificates",
        "clock",
        "storage",
        "copies",
        "sqlite",
        "restored",
        "signed",
        "keys",
        "epoch",
        "outbox",
        "reports",
    ),
    *("events", "eventsWaiting", "eventsLost", "held", "devices"),
]


def environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FLUSS_", "COLUMNS"))}
    return {**kept, "PYTHONPATH": str(ROOT)}


def status(agent: Agent, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run it to its end, in a pipe."""
    command = [*COMMAND, "status", "--config", str(agent.file), *words]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=30, cwd="/", env=environment(), encoding="utf-8"
    )
    assert "Traceback" not in done.stderr
    return done


def said(agent: Agent) -> dict[str, Any]:
    """What it says to a program."""
    done = status(agent, "--format", "json")
    assert (done.returncode, done.stderr) == (exits.OK, "")
    return dict(json.loads(done.stdout))


def told(agent: Agent) -> dict[str, str]:
    """What it says to a person, the list of devices aside."""
    done = status(agent)
    assert (done.returncode, done.stderr) == (exits.OK, "")
    facts, _, _ = done.stdout.partition("\n\n")
    return dict(line.split("\t") for line in facts.splitlines())


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """A gateway that has never run."""
    return Agent(tmp_path, 1883)


def put(agent: Agent, *parts: Document) -> None:
    """Leave it with the list that these parts make, and with reports that nobody has sent."""

    async def receive() -> None:
        agent.state_dir.mkdir()
        rules = {GATE: DeviceRule("fluss+", 20_000), PANEL: DeviceRule("intercom", 20_000)}
        async with Store(agent.store, rules) as store:
            await store.receive([json.dumps(each).encode() for each in parts], NOW)

    asyncio.run(receive())


@contextmanager
def daemon(agent: Agent, **note: object) -> Iterator[None]:
    """What a daemon that runs leaves for others to see: its lock, and its note."""
    ago = {
        name: time.time_ns() // 1_000_000 - int(str(note.pop(name))) for name in ("since", "startedAt") if name in note
    }
    (agent.state_dir / "status.json").write_text(json.dumps(note | ago))
    with (agent.state_dir / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


async def test_status_of_a_gateway_at_work(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        await cloud.send(
            part("b-1", 41, people(range(2), accepted=True) + people(range(2, 5)), deviceIds=[GATE, PANEL])
        )
        await cloud.outcome("b-1", "complete")
        await until(lambda: cloud.state["reports"]["newest"] and not cloud.state["outbox"], what="all reported")
        facts = said(agent)
        assert list(facts) == FIELDS
        known = {
            field: cloud.state[field] for field in ("gatewayId", "version", "startedAt", "clock", "storage", "epoch")
        }
        assert {field: facts[field] for field in known} == known
        assert (facts["running"], facts["connected"], facts["signed"], facts["lastError"]) == (True, True, False, None)
        assert (facts["outbox"], facts["held"], facts["broker"]) == (0, [], f"127.0.0.1:{mosquitto.port}")
        assert facts["reports"] == {**cloud.state["reports"], "acknowledged": 0}
        for device, of_state in zip(facts["devices"], cloud.state["devices"], strict=True):
            assert device == {field: of_state[field] for field in device if field != "driver"} | {"driver": "none"}
            assert device["users"] == {"Active": 2, "Pending": 3, "Expired": 0}

        words = told(agent)
        assert words["gateway"].startswith("gw-1, running for ")
        assert words["broker"].startswith(f"127.0.0.1:{mosquitto.port}, connected for ")
        assert (words["storage"], words["clock"]) == ("ok", "synced")
        assert words["outbox"] == f"nothing waiting; {facts['reports']['newest']} reports and 0 events so far"
        assert words["trust"] == f"no keys: {ANYBODY}"


async def test_status_claims_no_connection_that_a_killed_daemon_had(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        await cloud.send(part("b-1", 1, people(range(3))))
        await cloud.outcome("b-1", "complete")
        await agent.kill9()
        assert agent.note()["connected"] is True, "it had no time to take that back"
        facts = said(agent)
        assert (facts["running"], facts["connected"]) == (False, False)
        assert {facts[name] for name in ("startedAt", "version", "since", "lastError", "clock", "storage")} == {None}
        assert facts["devices"][0]["users"] == {"Active": 0, "Pending": 3, "Expired": 0}
        words = told(agent)
        assert words["gateway"] == "gw-1, not running"
        assert words["broker"] == f"127.0.0.1:{mosquitto.port}, not connected"
        assert (words["storage"], words["clock"]) == ("not in use", "not known while stopped")

        await agent.online(cloud)
        assert said(agent)["running"] is True
        assert await agent.stop() == exits.OK
        assert told(agent)["gateway"] == "gw-1, not running"


async def test_status_says_why_there_is_no_link(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with gateway(tmp_path, mosquitto.port) as (agent, _):
        broker = f"127.0.0.1:{mosquitto.port}"
        refused = f"{broker} refuses connections: check mqtt.port, and that the broker runs"
        assert said(agent)["connected"] is True
        mosquitto.kill9()
        await until(lambda: said(agent)["lastError"] == refused, what="the reason")
        assert said(agent)["connected"] is False
        assert re.fullmatch(rf"{broker}, not connected for \d+ (s|min): {refused}", told(agent)["broker"])

        mosquitto.start()
        await until(lambda: said(agent)["connected"], within_s=30, what="connected again")
        await agent.kill9()
        mosquitto.kill9()
        agent.launch()
        await until(
            lambda: said(agent)["running"] and said(agent)["lastError"] == refused, what="its own word, not the old one"
        )
        assert said(agent)["connected"] is False


@pytest.mark.parametrize(
    ("note", "fact", "words"),
    [
        ({"connected": True, "since": 7200 * 1000}, "broker", "127.0.0.1:1883, connected for 2 h"),
        (
            {"connected": False, "since": 3 * MINUTE, "lastError": "wrong user name or password"},
            "broker",
            "127.0.0.1:1883, not connected for 3 min: wrong user name or password",
        ),
        (
            {"connected": False, "since": 3 * MINUTE, "lastError": "hung up", "duplicateIdentity": True},
            "broker",
            "127.0.0.1:1883, not connected for 3 min: another client uses this gateway's client id",
        ),
        (
            {"connected": False, "lastError": EVIL},
            "broker",
            "127.0.0.1:1883, not connected: �[31mhung up�]0;pwned� again",
        ),
        ({}, "broker", "127.0.0.1:1883, not connected"),
        (
            {"connected": True, "since": 3 * MINUTE, "duplicateIdentity": True},
            "broker",
            "127.0.0.1:1883, connected for 3 min; another client uses this gateway's client id",
        ),
        ({"startedAt": 90 * 1440 * MINUTE, "version": "0.9"}, "gateway", "gw-1, running for 90 days, version 0.9"),
        ({"startedAt": -MINUTE, "version": "0.9"}, "gateway", "gw-1, running for 0 s, version 0.9"),
        ({}, "gateway", "gw-1, running"),
        ({"storage": "gateway.db: disk is full"}, "storage", "gateway.db: disk is full"),
        ({"storage": "ok", "copies": "no room"}, "storage", "ok; it cannot be copied: no room"),
        ({"storage": "ok", "copies": "ok"}, "storage", "ok"),
        ({}, "storage", "not known yet"),
        ({"clock": "holdover"}, "clock", "holdover: right when a time server confirmed it last, within a week"),
        ({"clock": "unknown"}, "clock", "unknown: no time server has confirmed it since the gateway started"),
        ({"clock": "right"}, "clock", "not known yet"),
        ({}, "clock", "not known yet"),
        ({"outbox": 3}, "outbox", "3 waiting; 2 reports and 0 events so far"),
        ({}, "outbox", "2 waiting; 2 reports and 0 events so far"),
    ],
)
def test_status_says_in_words_what_the_daemon_noted(
    agent: Agent, note: Mapping[str, object], fact: str, words: str
) -> None:
    put(agent, part("b-1", 1, people(range(3)), parts=2))
    with daemon(agent, **note):
        assert told(agent)[fact] == words


@pytest.mark.parametrize("note", ["", "{", "[]", "null", '"connected"'])
def test_status_gets_by_without_a_note_that_can_be_read(agent: Agent, note: str) -> None:
    put(agent)
    with daemon(agent):
        (agent.state_dir / "status.json").write_text(note)
        assert (said(agent)["running"], said(agent)["connected"]) == (True, False)


def test_status_counts_what_waits_while_nothing_runs_and_names_what_is_held(agent: Agent) -> None:
    put(
        agent,
        part("b-1", 1, people(range(60))),
        part("b-\x9b2", 2, people(range(3)), mode="replace"),
    )
    facts = said(agent)
    assert (facts["epoch"], facts["held"]) == (EPOCH, ["b-\x9b2"])
    assert facts["outbox"] == facts["reports"]["newest"] > 3
    assert told(agent)["outbox"] == f"{facts['outbox']} waiting; {facts['outbox']} reports and 0 events so far"
    assert status(agent).stdout.splitlines()[-4:] == [
        "device\tname\thardware\tActive\tPending\tExpired\tlimit\trev.",
        f"{GATE}\tMain gate\tno driver\t0\t60\t0\t20000\t2",
        f"{PANEL}\tEntrance panel\tno driver\t0\t0\t0\t20000\t0",
        "held: the removals of batch b-�2 wait for the cloud to confirm them",
    ]


async def test_status_tells_of_the_hardware(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with premises(tmp_path, mosquitto.port) as place:

        def column() -> dict[str, str]:
            rows = [line.split("\t") for line in status(place.agent).stdout.partition("\n\n")[2].splitlines()[1:]]
            return {row[0]: row[2] for row in rows}

        place.gate.stands("Closed")
        await until(lambda: place.agent.note()["hardware"][GATE]["position"], what="the position noted")
        assert await asyncio.to_thread(column) == {GATE: "Closed", PANEL: "connected", SIDE: "connected"}
        place.panel.leave()
        await until(lambda: not place.agent.note()["hardware"][PANEL]["connected"], what="the loss noted")
        assert await asyncio.to_thread(column) == {GATE: "Closed", PANEL: "offline", SIDE: "connected"}
        devices = (await asyncio.to_thread(said, place.agent))["devices"]
        names = ("deviceId", "driver", "connected", "position")
        assert [tuple(device[name] for name in names) for device in devices] == [
            (GATE, place.gate.url, True, "Closed"),
            (PANEL, place.panel.url, False, None),
            (SIDE, place.side.url, True, None),
        ]

        await place.agent.kill9()
        assert column() == {GATE: "", PANEL: "", SIDE: ""}, "nobody knows any more"
        assert {device["connected"] for device in said(place.agent)["devices"]} == {None}


async def test_status_counts_the_access_log(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with premises(tmp_path, mosquitto.port) as place:
        mosquitto.stop()
        for number in range(3):
            await place.gate.ask(f"+2782000000{number}")
        await until(lambda: place.agent.note()["outbox"] == 3, what="three events noted")
        facts = await asyncio.to_thread(said, place.agent)
        assert facts["events"] == {"oldest": 1, "newest": 3, "acknowledged": 0}
        assert (facts["outbox"], facts["eventsWaiting"], facts["eventsLost"]) == (3, 3, 0)
        assert (await asyncio.to_thread(told, place.agent))["outbox"].startswith("3 waiting (3 events); ")
        await place.agent.kill9()
        facts = said(place.agent)
        assert (facts["outbox"], facts["eventsWaiting"]) == (3, 3)
        mosquitto.start()
        await place.agent.online(place.cloud)
        await place.events(3, within_s=30)
        await until(lambda: place.agent.note()["outbox"] == 0, what="all sent")
        facts = await asyncio.to_thread(said, place.agent)
        assert (facts["outbox"], facts["eventsWaiting"]) == (0, 0), "whatever was written down of it so far"


def test_status_says_how_many_events_are_lost(agent: Agent) -> None:
    put(agent)

    async def lose() -> None:
        async with Database(agent.store) as database:
            await database.transact(lambda transaction: count_lost(transaction, 2))

    asyncio.run(lose())
    assert (said(agent)["eventsLost"], told(agent)["outbox"]) == (
        2,
        "nothing waiting; 0 reports and 0 events so far, 2 events lost",
    )


@pytest.mark.parametrize("columns", [80, 120])
def test_status_on_a_terminal_fits_and_shows_what_is_wrong_in_red(agent: Agent, columns: int) -> None:
    long = (
        "the broker closed the connection while it was answering, and gave no reason for that at all, as it often does"
    )
    name = 'name = "Main gate"'
    agent.file.write_text(agent.file.read_text().replace(name, 'name = "Main gate of the estate, behind the old mill"'))
    put(agent, part("b-1", 1, people(range(60))))
    with daemon(
        agent, connected=False, since=5 * MINUTE, startedAt=9 * MINUTE, version="0.1", lastError=f"{long} {EVIL}"
    ):
        command = [*COMMAND, "status", "--config", str(agent.file)]
        with Terminal(columns, command, environment()) as terminal:
            assert terminal.ends() == exits.OK
            lines, raw = terminal.lines, terminal.raw
    assert max(map(cell_len, lines)) <= columns
    assert lines[0] == "gateway   gw-1, running for 9 min, version 0.1"
    assert f"{long} �[31mhung up" in " ".join(" ".join(lines).split()), "folded, not cut"
    assert "\x1b[31m127.0.0.1:1883, not connected for 5 min: " in raw
    assert not {"\x07", "\u202e", "\t"} & {*raw}
    [gate] = [line for line in lines if GATE in line]
    assert gate.split()[-5:] == ["0", "60", "0", "20000", "1"]
    assert ("…" in gate) == (columns == 80)


@pytest.mark.parametrize("form", ["table", "json"])
def test_status_of_a_gateway_that_never_ran_says_what_to_do(agent: Agent, form: str) -> None:
    done = status(agent, "--format", form)
    assert (done.returncode, done.stdout) == (exits.IO, "")
    assert done.stderr == (
        f"Error: {agent.store}: there is no list yet; start the gateway first (systemctl start fluss-agent)\n"
    )


@pytest.mark.parametrize("command", [["status"], ["explain", "+27824511234"], ["events"]])
def test_state_of_another_user_is_told_with_the_cure(agent: Agent, command: Sequence[str]) -> None:
    put(agent)
    agent.state_dir.chmod(0)
    # Root may touch everything; this is root without that power.
    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*bound, *COMMAND, *command, "--config", str(agent.file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env=environment(),
    )
    agent.state_dir.chmod(0o700)
    cure = "use sudo, or be the user whom the gateway runs as"
    assert (done.returncode, done.stdout) == (exits.IO, "")
    assert done.stderr == f"Error: {agent.store}: this user (uid {os.geteuid()}) may not read it; {cure}\n"


@pytest.mark.parametrize(("words", "code"), [(["--format", "csv"], exits.USAGE), (["now"], exits.USAGE)])
def test_words_that_make_no_sense_exit_64(agent: Agent, words: Sequence[str], code: int) -> None:
    done = status(agent, *words)
    assert (done.returncode, done.stdout) == (code, "")
