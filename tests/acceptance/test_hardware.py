"""The gate on a bench, as an installer has it: started with one line, dialled by a gateway, people typed at it."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from rich.cells import cell_len

from protocol.hardware import Accepted, Asked, Hello, Stands
from protocol.vocabulary import Action, Channel, Kind, Position
from simulator import exits
from tests.configurations import CONTRACT, edited
from tests.counterparts.dialler import Dialler
from tests.counterparts.ports import free_port
from tests.counterparts.program import Program
from tests.counterparts.terminal import Terminal
from tests.counterparts.waiting import until

ROOT = Path(__file__).parents[2]
HARDWARE = (sys.executable, "-P", "-m", "simulator", "hardware")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
GATE, PANEL = "1234567890123456", "482913"
DAVID = "+27824511234"
FREE = ("--listen", "127.0.0.1:0")


class Bench:
    """The program with a script at its keyboard."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def said(self) -> str:
        return self._log.read_text()

    def type(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    async def says(self, words: str, within_s: float = 15.0) -> "re.Match[str]":
        """Wait for a line with these words, a regular expression. Raises TimedOutError."""
        found = await until(
            lambda: re.search(words, self.said, re.MULTILINE), within_s=within_s, what=f"{words!r} in {self.said!r}"
        )
        assert found is not None
        return found

    async def ends(self, number: signal.Signals | None = None) -> int:
        if number is not None:
            self._process.send_signal(number)
        return await asyncio.to_thread(self._process.wait, 10)


@contextmanager
def bench(log: Path, *words: str | Path) -> Iterator[Bench]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*HARDWARE, *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            env=ENVIRONMENT,
            cwd="/",
        )
    try:
        yield Bench(process, log)
    finally:
        process.kill()
        process.communicate()
    assert "Traceback" not in log.read_text(), log.read_text()


@asynccontextmanager
async def dialled(log: Path, *words: str | Path) -> AsyncIterator[tuple[Bench, Dialler]]:
    """One device, and the gateway that was told its address as the program gives it."""
    with bench(log, *words) as running:
        address = (await running.says('^  its .* needs  driver = "(.+)"$'))[1]
        async with Dialler(address) as gateway:
            yield running, gateway


def ended(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*HARDWARE, *map(str, words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env=ENVIRONMENT,
        cwd="/",
    )


async def test_gate_is_played_from_lines_that_are_typed(tmp_path: Path) -> None:
    words = ("--device", GATE, *FREE, "--travel", "0.2", "--firmware", "3.1")
    async with dialled(tmp_path / "log", *words) as (running, gateway):
        assert await gateway.hears(Hello) == Hello(device_id=GATE, kind=Kind.FLUSS, firmware="3.1", sensor=True)
        assert (await gateway.hears(Stands)).value is Position.CLOSED
        running.type("ask 082 451 1234")
        asked = await gateway.hears(Asked)
        assert (asked.mobile, asked.channel) == (DAVID, Channel.BLUETOOTH)
        assert (await gateway.did(asked.request_id)).ok
        await running.says(rf"  allowed +{re.escape(DAVID)} \(bluetooth\)$")
        await running.says("  moved +opening$")
        await running.says("  moved +open$")
        assert (await gateway.hears(Stands)).value is Position.OPEN
        running.type("ask 0824511234 wifi open")
        asked = await gateway.hears(Asked)
        assert (asked.channel, asked.action) == (Channel.WIFI, Action.OPEN)
        gateway.refuse(asked.request_id, "wifi_not_allowed")
        await running.says(r"  denied +\+27824511234 \(wifi\): open: may not open from afar \(wifi_not_allowed\)$")
        running.type("accept 082 451 1234")
        assert (await gateway.hears(Accepted)).mobile == DAVID
        running.type("close")
        await running.says("  moved +by hand: closing$")
        assert (await gateway.hears(Stands)).value is Position.CLOSED
        running.type("close")
        await running.says(r"is closed already \(already_closed\)$")
        running.type("ask 082 45")
        await running.says("^'082 45' is too short for a number in South Africa")
        running.type("frob")
        await running.says("^'frob' is nothing to play here")
        running.type("help")
        await running.says("^accept 082 451 1234 +somebody takes up the invitation$")
        running.type("quit")
        assert await running.ends() == exits.OK
        await gateway.ends()
    assert "\x1b" not in running.said, "plain in a pipe"


async def test_panel_asks_by_code_and_in_its_own_region(tmp_path: Path) -> None:
    async with dialled(tmp_path / "log", "--device", PANEL, *FREE, "--region", "GB") as (running, gateway):
        assert (await gateway.hears(Hello)).kind is Kind.INTERCOM
        running.type("code 4821 exit")
        asked = await gateway.hears(Asked)
        assert (asked.code, asked.direction, asked.channel) == ("4821", "exit", Channel.KEYPAD)
        gateway.refuse(asked.request_id, "code_spent")
        await running.says(r"denied +code 4821 \(keypad, exit\): the code has been used \(code_spent\)$")
        running.type("ask 07911 123456 unit 4")
        asked = await gateway.hears(Asked)
        assert (asked.mobile, asked.unit, asked.channel) == ("+447911123456", "4", Channel.INTERCOM)
        gateway.grant(asked.request_id)
        await running.says(r"allowed +\+447911123456 \(intercom, unit 4\)$")
        running.type("open")
        await running.says("is an intercom: it has nothing to move$")


async def test_mishaps_are_typed(tmp_path: Path) -> None:
    words = ("--device", GATE, *FREE, "--no-sensor", "--travel", "60")
    async with dialled(tmp_path / "log", *words) as (running, gateway):
        assert not (await gateway.hears(Hello)).sensor
        running.type("deaf")
        await running.says("^1234567890123456 is deaf.$")
        gateway.actuate("r-1")
        await running.says("broken +trigger: deaf$")
        running.type("mute")
        await running.says("^1234567890123456 is mute.$")
        gateway.actuate("r-2")
        await running.says("told +the gateway: trigger$")
        await running.says("moved +opening$")
        running.type("well")
        await running.says("^1234567890123456 is well.$")
        assert (await gateway.did("r-2")).ok
        await running.says("repeated +trigger$")
        running.type("silent")
        await running.says("broken +half open$")
        gateway.actuate("r-3")
        running.type("drop")
        await gateway.ends()
        await running.says("  gone +$")
        assert "stopped" not in running.said


@pytest.mark.parametrize("ends_with", [signal.SIGINT, signal.SIGTERM])
async def test_hardware_that_is_interrupted_leaves_in_order(tmp_path: Path, ends_with: signal.Signals) -> None:
    async with dialled(tmp_path / "log", "--device", GATE, *FREE) as (running, gateway):
        await gateway.hears(Hello)
        running.type("ask 082 451 1234")
        await gateway.hears(Asked)
        assert await running.ends(ends_with) == exits.OK
        await gateway.ends()


async def test_connection_is_dropped_now_and_then(tmp_path: Path) -> None:
    with bench(tmp_path / "log", "--device", GATE, *FREE, "--drop-every", "0.2") as running:
        address = (await running.says('driver = "(.+)"$'))[1]
        for _ in range(3):
            async with Dialler(address) as gateway:
                await gateway.hears(Hello)
                await gateway.ends()


async def test_terminal_is_dialled_like_a_serial_port(tmp_path: Path) -> None:
    async with dialled(tmp_path / "log", "--device", GATE, "--pty") as (running, gateway):
        assert re.search('driver = "serial:///dev/pts/[0-9]+[?]baud=115200"', running.said)
        assert (await gateway.hears(Hello)).device_id == GATE
        assert (await gateway.did("r-1")).ok


async def test_devices_of_a_gateway_are_played_where_it_dials_them(tmp_path: Path) -> None:
    ports = free_port(), free_port()
    config = edited(edited(CONTRACT, ":9000", f":{ports[0]}"), ":9001", f":{ports[1]}")
    file = tmp_path / "gateway.toml"
    file.write_text(config.replace('default_region = "ZA"', 'default_region = "GB"'))
    with bench(tmp_path / "log", "--config", file) as running:
        await running.says("^help says what can be played")
        assert f"Main gate ({GATE}): Fluss+, with a sensor, at tcp://127.0.0.1:{ports[0]}\n" in running.said
        assert f"Entrance panel ({PANEL}): intercom, at tcp://127.0.0.1:{ports[1]}\n" in running.said
        async with Dialler(f"tcp://127.0.0.1:{ports[0]}") as gate, Dialler(f"tcp://127.0.0.1:{ports[1]}") as panel:
            assert [(await each.hears(Hello)).device_id for each in (gate, panel)] == [GATE, PANEL]
            running.type("ask 07911 123456")
            assert (await gate.hears(Asked)).mobile == "+447911123456"
            running.type("use entr")
            running.type("code 4821")
            assert (await panel.hears(Asked)).code == "4821"
            assert "Entrance panel" in running.said.rpartition("What is typed now is for ")[2]
            running.type("use barn")
            await running.says(rf"^use which one\? There is Main gate \({GATE}\), Entrance panel \({PANEL}\)$")
    with bench(tmp_path / "log", "--config", file, "--device", PANEL) as running:
        await running.says("^help says what can be played")
        assert "Main gate" not in running.said


def test_port_that_is_taken_says_so(tmp_path: Path) -> None:
    port = free_port()
    words = ("--device", GATE, "--listen", f"127.0.0.1:{port}")
    with Program([*HARDWARE, *words], tmp_path / "log", env={**ENVIRONMENT, "PYTHONUNBUFFERED": "1"}) as first:
        assert first.says("Ctrl-C ends it.")
        done = ended(*words)
    assert done.returncode == exits.IO
    assert done.stderr == (
        f"fluss-simulator: no hardware on 127.0.0.1:{port}: Address already in use;"
        " take another address or end what has it\n"
    )


def test_serial_port_that_is_not_there_says_so() -> None:
    done = ended("--device", GATE, "--serial", "/dev/ttyNONE7")
    assert done.returncode == exits.IO
    assert done.stderr == (
        "fluss-simulator: no hardware on /dev/ttyNONE7: No such file or directory;"
        " check the path, and the group that may use it\n"
    )


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "say which device it is: --device ID"),
        (["--device", "12"], "'12' is no device id"),
        (["--device", GATE, "--device", PANEL], "say which device it is"),
        (["--device", GATE, "--pty", "--listen", "127.0.0.1:0"], "one of --listen, --serial, --pty and --config"),
        (["--device", GATE, "--listen", "9000"], "--listen: '9000' is no place: write it as 127.0.0.1:9000"),
        (["--device", GATE, "--listen", "host:x"], "--listen: 'host:x' is no place"),
        (["--device", GATE, "--listen", "host:70000"], "--listen: 'host:70000' is no place"),
        (["--device", GATE, "--region", "Mars"], "--region 'Mars' is none"),
        (["--device", GATE, "--kind", "door"], "'door' is not one of 'fluss+', 'intercom'"),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], complaint: str) -> None:
    done = ended(*words)
    assert (done.returncode, complaint in done.stderr) == (exits.USAGE, True), done.stderr


def test_file_without_a_device_to_play_says_so(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(CONTRACT.replace("tcp://", "serial:///dev/tty"))
    done = ended("--config", file)
    assert done.returncode == exits.CONFIG
    assert 'none of its devices has  driver = "tcp://…"' in done.stderr


@pytest.mark.parametrize("columns", [80, 120])
async def test_view_on_a_terminal_shows_what_happens_and_takes_what_is_typed(columns: int) -> None:
    port = free_port()
    words = [*HARDWARE, "--device", GATE, "--listen", f"127.0.0.1:{port}", "--travel", "0.3"]
    with Terminal(columns, words, ENVIRONMENT) as terminal:
        await asyncio.to_thread(terminal.shows, "Ctrl-C ends it.")
        await asyncio.to_thread(terminal.shows, "not there")
        async with Dialler(f"tcp://127.0.0.1:{port}") as gateway:
            await gateway.hears(Hello)
            terminal.type("ask 082 451 12345\x7f")
            await asyncio.to_thread(terminal.shows, "> ask 082 451 1234")
            terminal.type("\n")
            asked = await gateway.hears(Asked)
            gateway.refuse(asked.request_id, "outside_schedule")
            await asyncio.to_thread(terminal.shows, "outside their hours")
            terminal.type("ask 083 111 2222\n")
            asked = await gateway.hears(Asked)
            assert (await gateway.did(asked.request_id)).ok
            await asyncio.to_thread(terminal.shows, "open, sensor Open")
            await asyncio.to_thread(terminal.shows, "allowed")
            terminal.type("\x03")
            assert await asyncio.to_thread(terminal.ends) == exits.OK
        shown = terminal.lines
        assert "\x1b[32m" in terminal.raw, "in colour"
    last = shown[max(place for place, line in enumerate(shown) if line.startswith("Device")) :]
    view = [re.sub(" +", " ", line) for line in last]
    assert view[2] == f"{GATE} connected open, sensor Open"
    rows = [line.split(" ", 1)[1] for line in view if re.match(r"\d\d:\d\d:\d\d", line)]
    assert rows[0] == "connected"
    assert rows[1:] == ["+27824511234 (bluetooth) denied outside their hours", "+27831112222 (bluetooth) allowed"]
    assert max(map(cell_len, last)) <= columns


async def test_lines_on_a_terminal_where_no_view_is_wanted() -> None:
    words = [*HARDWARE, "--device", GATE, *FREE, "--no-watch"]
    with Terminal(80, words, ENVIRONMENT) as terminal:
        await asyncio.to_thread(terminal.shows, "Ctrl-C ends it.")
        terminal.type("open\n")
        await asyncio.to_thread(terminal.shows, "by hand: opening")
        assert not any(line.startswith("Device") for line in terminal.lines)
        terminal.type("\x04")
        assert await asyncio.to_thread(terminal.ends) == exits.OK
