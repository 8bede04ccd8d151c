"""`fluss-agent test` as an installer meets it, who stands at the gate: beside a real gateway, and without one."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent import exits
from tests.counterparts.agent import Agent
from tests.counterparts.board import Board, fails, moves, says_nothing
from tests.counterparts.cloud import GATE, PANEL, Cloud, mobile, part, people
from tests.counterparts.left import left
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.premises import SIDE, Premises, premises, wired
from tests.counterparts.program import Program
from tests.counterparts.terminal import Terminal
from tests.counterparts.typed import command, environment, typed, typed_beside
from tests.counterparts.waiting import until

NOW = 1_795_300_000_000
MOVED = "Main gate moved: its hardware says that it did what it was told\n"
OUTCOME = ("deviceId", "openedDeviceId", "channel", "action", "decision", "reason", "actuated", "error", "mobile")


@pytest.fixture
async def place(mosquitto: Mosquitto, tmp_path: Path) -> AsyncIterator[Premises]:
    async with premises(tmp_path, mosquitto.port) as opened:
        yield opened


@pytest.fixture
async def stopped(tmp_path: Path) -> AsyncIterator[tuple[Agent, Board]]:
    """A gateway that has never run, and the board at its gate."""
    async with Board(GATE) as board:
        yield Agent(tmp_path, 1, devices=wired({GATE: board})), board


def log(agent: Agent) -> list[dict[str, Any]]:
    done = typed(agent, "events", "--format", "json")
    assert done.returncode == exits.OK, done.stderr
    return [dict(each) for each in json.loads(done.stdout)]


def outcome(event: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(event[name] for name in OUTCOME)


async def test_gate_moves_once_and_the_log_has_it_as_local(place: Premises) -> None:
    done = await typed_beside(place.agent, "test", "main GATE", "--yes")
    assert (done.returncode, done.stdout, done.stderr) == (exits.OK, MOVED, "")
    assert len(place.gate.told()) == 1
    (event,) = await place.events(1)
    assert outcome(event) == (GATE, None, "local", "trigger", "allowed", None, True, None, None)
    assert log(place.agent) == [event]

    done = await typed_beside(place.agent, "test", PANEL, "--yes")
    assert (done.returncode, done.stdout) == (exits.OK, MOVED), "an intercom has its gate moved"
    assert (len(place.gate.told()), place.panel.told()) == (2, [])
    assert outcome((await place.events(2))[1])[:3] == (PANEL, GATE, "local")
    assert not list(place.agent.state_dir.glob("bench.*"))


async def test_pulse_needs_no_list_no_clock_and_no_broker(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with premises(tmp_path, mosquitto.port, settings={"clock": {"trust": "auto"}}) as place:
        mosquitto.stop()
        assert (await typed_beside(place.agent, "test", GATE, "--yes")).returncode == exits.OK
        mosquitto.start()
        (event,) = await place.events(1, within_s=30)
        assert (event["channel"], event["actuated"]) == ("local", True)


async def test_what_came_back_is_told_in_plain_words(place: Premises) -> None:
    place.gate.answer = fails("motor blocked")
    done = await typed_beside(place.agent, "test", GATE, "--yes")
    assert (done.returncode, done.stdout) == (exits.REFUSED, "Main gate did not move: motor blocked\n")

    place.gate.answer = says_nothing
    done = await typed_beside(place.agent, "test", GATE, "--yes")
    nobody_knows = (
        "Main gate was told to move, and nobody knows whether it did: no answer from the hardware within 5 s\n"
    )
    assert (done.returncode, done.stdout) == (exits.UNREACHABLE, nobody_knows)

    place.side.leave()
    await until(lambda: not place.devices()[SIDE]["connected"])
    done = await typed_beside(place.agent, "test", SIDE, "--yes")
    assert done.returncode == exits.UNREACHABLE
    assert done.stdout.startswith(f"Side gate cannot be reached at {place.side.url}: check its power and its cable; ")

    events = await place.events(3)
    assert [(each["decision"], each["reason"], each["actuated"]) for each in events] == [
        ("allowed", None, False),
        ("allowed", None, None),
        ("denied", "device_offline", None),
    ]


@pytest.mark.parametrize(("typed_in", "moves"), [("y", True), ("n", False), ("", False)])
async def test_nothing_moves_before_the_way_is_said_to_be_clear(place: Premises, typed_in: str, moves: bool) -> None:
    def at_a_terminal() -> tuple[int, str]:
        with Terminal(80, command(place.agent, "test", GATE), environment()) as terminal:
            terminal.shows("This moves 'Main gate' now. Is nobody in its way? [y/N]:")
            assert not place.gate.told()
            terminal.type(f"{typed_in}\n")
            return terminal.ends(), terminal.raw

    code, shown = await asyncio.to_thread(at_a_terminal)
    assert code == (exits.OK if moves else exits.REFUSED)
    assert len(place.gate.told()) == moves
    assert (f"\x1b[32m{MOVED.strip()}" if moves else "nothing was moved") in shown


async def test_nobody_there_to_say_so_is_no(place: Premises) -> None:
    done = await typed_beside(place.agent, "test", GATE)
    assert (done.returncode, done.stdout) == (exits.REFUSED, "")
    assert done.stderr.endswith("\nnothing was moved\n")
    assert not place.gate.told()


async def test_gate_of_a_gateway_that_hangs_does_not_move_afterwards(place: Premises) -> None:
    """Whoever asked has given up, and may have walked into the gate's way."""
    place.agent.signal(signal.SIGSTOP)
    done = await typed_beside(place.agent, "test", GATE, "--yes")
    place.agent.signal(signal.SIGCONT)
    assert (done.returncode, done.stdout) == (exits.UNREACHABLE, "")
    assert done.stderr == "Error: the gateway did not answer within 10 s: look at the gate, and in the gateway's log\n"
    await place.agent.says("bench.late")
    assert (await typed_beside(place.agent, "test", GATE, "--yes")).returncode == exits.OK
    assert len(place.gate.told()) == 1
    assert len(place.happened()) <= 1


async def test_gateway_listens_on_no_socket_for_it(place: Premises) -> None:
    """It dials, and nobody dials it: neither over the network nor on the board."""
    folder = Path(f"/proc/{place.agent.pid}")
    own = {str(link.readlink()).removeprefix("socket:[").rstrip("]") for link in (folder / "fd").iterdir()}
    listening = []
    for table in ("tcp", "tcp6"):
        rows = [row.split() for row in (folder / "net" / table).read_text().splitlines()[1:]]
        listening += [row[1] for row in rows if row[3] == "0A" and row[9] in own]
    rows = [row.split() for row in (folder / "net/unix").read_text().splitlines()[1:]]
    listening += [row[-1] for row in rows if int(row[3], 16) & 0x10000 and row[6] in own]
    assert listening == []
    assert (place.agent.state_dir / "bench").stat().st_mode & 0o777 == 0o600


async def test_pulse_without_a_gateway_is_recorded_and_sent_by_the_next(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with Board(GATE) as board, Cloud(mosquitto.port) as cloud:
        agent = Agent(tmp_path, mosquitto.port, devices=wired({GATE: board}))
        done = await typed_beside(agent, "test", "Main gate", "--yes")
        assert (done.returncode, done.stdout) == (exits.OK, MOVED)
        assert done.stderr == f"The gateway is not running: reaching {board.url} without it …\n"
        assert len(board.told()) == 1
        (event,) = log(agent)
        assert outcome(event) == (GATE, None, "local", "trigger", "allowed", None, True, None, None)
        try:
            await agent.online(cloud)
            await until(lambda: cloud.said("events") == [event], what="the event at the cloud")
            await agent.says("device.connected")
            assert (await typed_beside(agent, "test", "Main gate", "--yes")).returncode == exits.OK
            await until(lambda: len(cloud.said("events")) == 2, what="the next event")
        finally:
            await agent.kill9()
    assert len(board.told()) == 2


async def test_hardware_that_is_not_there_is_told_without_a_gateway_too(
    stopped: tuple[Agent, Board],
) -> None:
    agent, board = stopped
    board.leave()
    done = await typed_beside(agent, "test", GATE, "--yes")
    assert done.returncode == exits.UNREACHABLE
    assert done.stdout.startswith(f"Main gate cannot be reached at {board.url}: ")
    assert "device.failed" in done.stderr, "the log says what was tried"
    assert [(each["decision"], each["reason"]) for each in log(agent)] == [("denied", "device_offline")]


async def test_test_that_is_killed_in_the_middle_is_in_the_log_and_moves_nothing_again(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with Board(GATE) as board, Cloud(mosquitto.port) as cloud:
        agent = Agent(tmp_path, mosquitto.port, devices=wired({GATE: board}))
        assert (await typed_beside(agent, "test", GATE, "--yes")).returncode == exits.OK
        board.answer = says_nothing
        with Program(command(agent, "test", GATE, "--yes"), tmp_path / "test.log", env=environment()):
            await until(lambda: len(board.told()) == 2, what="told to move", within_s=20)
        assert len(log(agent)) == 1
        board.answer = moves
        assert (await typed_beside(agent, "test", GATE, "--yes")).returncode == exits.OK
        happened = log(agent)
        assert [outcome(each)[2:7] for each in happened] == [
            ("local", "trigger", "allowed", None, actuated) for actuated in (True, None, True)
        ]
        try:
            await agent.online(cloud)
            await until(lambda: cloud.said("events") == happened, what="the events at the cloud")
        finally:
            await agent.kill9()
        assert len(board.told()) == 3


async def test_resident_who_asks_during_the_test_is_let_in(stopped: tuple[Agent, Board]) -> None:
    """For a moment, the test is all of the gateway that there is."""
    agent, board = stopped
    await left(agent, part("b-1", 1, people([1], accepted=True)), at=NOW)
    asked: list[str] = []

    def answer(told: dict[str, Any]) -> dict[str, Any] | None:
        asked.append(told["requestId"])
        if len(asked) == 1:
            board.say(board.request(mobile(1), request_id="at the gate"))
            return None
        board.say({"type": "actuated", "requestId": asked[0], "ok": True})
        return moves(told)

    board.answer = answer
    assert (await typed_beside(agent, "test", GATE, "--yes")).returncode == exits.OK
    assert asked[1:] == ["at the gate"]
    assert sorted((each["channel"], each["decision"], each["actuated"]) for each in log(agent)) == [
        ("bluetooth", "allowed", True),
        ("local", "allowed", True),
    ]


async def test_two_tests_at_once_move_it_twice_and_no_more(stopped: tuple[Agent, Board]) -> None:
    """The second one waits for the first, or finds it at work."""
    agent, board = stopped
    first, second = await asyncio.gather(*(typed_beside(agent, "test", GATE, "--yes") for _ in range(2)))
    codes = sorted((first.returncode, second.returncode))
    assert codes in ([exits.OK, exits.OK], [exits.OK, exits.UNREACHABLE])
    assert len(board.told()) == codes.count(exits.OK)


def test_device_that_cannot_be_tested_is_named_with_its_cure(tmp_path: Path) -> None:
    gate = {"driver": "tcp://127.0.0.1:9", "name": "Gate"}
    agent = Agent(tmp_path, 1, devices={GATE: gate, PANEL: {"name": "gate"}})

    def refused(*words: str) -> tuple[int, str]:
        done = typed(agent, "test", "--yes", *words)
        assert done.stdout == ""
        return done.returncode, done.stderr.splitlines()[-1].removeprefix("Error: ")

    code, said = refused("Backdoor")
    assert code == exits.USAGE
    assert said.endswith(f"'Backdoor' is no device of this gateway; it has 'Gate' ({GATE}), 'gate' ({PANEL})")
    code, said = refused("gate")
    assert code == exits.USAGE
    assert said.endswith(f"2 devices are called 'gate': write {GATE} or {PANEL}")
    assert refused() == (exits.USAGE, "Missing argument 'DEVICE'.")

    agent.configure(devices={GATE: {"name": "Gate"}})
    assert refused("Gate") == (exits.UNREACHABLE, f"'Gate' has no driver: set its `driver` in {agent.file}")
    text = agent.file.read_text()
    agent.file.write_text(text.replace(f'opens = "{GATE}"\n', ""))
    assert refused(PANEL) == (exits.USAGE, f"'Entrance panel' opens no gate: set its `opens` in {agent.file}")
    assert not agent.state_dir.exists(), "nothing was touched"


def test_gateway_of_another_user_is_told_with_the_cure(tmp_path: Path) -> None:
    agent = Agent(tmp_path, 1, devices={GATE: {"driver": "tcp://127.0.0.1:9"}})
    agent.state_dir.mkdir(mode=0)
    # Root may touch everything; this is root without that power.
    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"] if os.geteuid() == 0 else []
    words = [*bound, *command(agent, "test", GATE, "--yes")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30, env=environment())
    assert (done.returncode, done.stdout) == (exits.IO, "")
    place = f"{agent.state_dir / 'lock'}: this user (uid {os.geteuid()}) may not use it"
    assert done.stderr == f"Error: {place}; use sudo, or be the user whom the gateway runs as\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_state_of_another_user_is_left_alone(tmp_path: Path) -> None:
    """What root left there, the gateway could not write to."""
    agent = Agent(tmp_path, 1, devices={GATE: {"driver": "tcp://127.0.0.1:9"}})
    agent.state_dir.mkdir()
    os.chown(agent.state_dir, 12345, 12345)
    done = typed(agent, "test", GATE, "--yes")
    assert (done.returncode, done.stdout) == (exits.IO, "")
    assert done.stderr == (
        f"Error: the gateway is not running, and {agent.state_dir} is not this user's (uid 0): "
        "start the gateway first (systemctl start fluss-agent)\n"
    )
    assert not list(agent.state_dir.iterdir())
