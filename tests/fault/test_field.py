"""The gateway in its box, as systemd keeps it: watched over, and with nothing that anybody could reach."""

import asyncio
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from agent import connection, daemon, floor, presence, threshold
from agent.drivers import talk
from storage import database
from tests.conftest import gone_if_missing
from tests.counterparts.agent import Agent, strace
from tests.counterparts.cloud import GATE, PANEL, Cloud, mobile, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.premises import premises
from tests.counterparts.waiting import until
from tests.meta.tree import ROOT

UNIT = ROOT / "systemd" / "fluss-agent.service"
MOST_EXPOSED = 13
"""Tenths of the score that `systemd-analyze security` gives; lower is better."""

PERIOD_S = 1.5


class Words:
    """What an agent tells systemd, as it comes."""

    def __init__(self, path: Path) -> None:
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(int(PERIOD_S * 1e6))}
        self._wire = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._wire.bind(str(path))

    async def word(self, within_s: float) -> str | None:
        """The next one; None where none comes in time."""
        try:
            said = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self._wire, 100), within_s)
        except TimeoutError:
            return None
        return said.decode()

    async def alive(self, words: int) -> None:
        """So many words for the watchdog, none of them late."""
        for _ in range(words):
            assert await self.word(3 * PERIOD_S) == "WATCHDOG=1"

    def forget(self) -> None:
        """What was said so far does not count."""
        while True:
            try:
                self._wire.recv(100)
            except BlockingIOError:
                return

    def close(self) -> None:
        self._wire.close()


@pytest.fixture
async def words(tmp_path: Path) -> AsyncIterator[Words]:
    found = Words(tmp_path / "notify")
    yield found
    found.close()


async def test_watchdog_is_content_without_a_broker(words: Words, tmp_path: Path) -> None:
    """An outage of days does not restart the gate."""
    async with Agent(tmp_path, 1, environment=words.environment) as agent:
        assert await words.word(20) == "READY=1"
        await agent.says("link.failed")
        await words.alive(4)


async def test_watchdog_hears_nothing_while_the_disk_hangs(
    strace_installed: None, mosquitto: Mosquitto, words: Words, tmp_path: Path
) -> None:
    """A write that never comes back is what a restart may cure; systemd decides, the gate works meanwhile."""
    agent = Agent(tmp_path, mosquitto.port, environment=words.environment)
    async with Cloud(mosquitto.port) as cloud:
        await agent.online(cloud)
        await agent.stop()
        words.forget()
        hang = strace("fdatasync", "delay_enter=60000000", when="1+")
        try:
            await agent.online(cloud, *hang)
            assert await words.word(20) == "READY=1"
            await words.alive(2)
            await cloud.send(part("b-1", 1, people(range(3))))
            await until(lambda: _silent(words), within_s=20, what="silence while the disk hangs")
        finally:
            await agent.kill9()


async def _silent(words: Words) -> bool:
    return await words.word(3 * PERIOD_S) is None


async def test_nobody_can_connect_to_the_gateway(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """It dials its broker and its hardware, and listens to no one."""
    async with premises(tmp_path, mosquitto.port) as place:
        await place.invite(*people([1], accepted=True), deviceIds=[GATE, PANEL])
        assert await place.gate.ask(mobile(1)) == "actuate"
        sockets = psutil.Process(place.agent.pid).net_connections("inet")
        assert {each.status for each in sockets} == {psutil.CONN_ESTABLISHED}, "control: these are its own lines"


def test_unit_leaves_little_exposed() -> None:
    gone_if_missing("systemd", shutil.which("systemd-analyze"))
    analyze = ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager", str(UNIT)]
    said = subprocess.run(analyze, capture_output=True, text=True, timeout=30, check=False)
    assert re.search(r"Overall exposure level for fluss-agent.service: \d", said.stdout), said.stderr
    assert said.returncode == 0, said.stdout


def test_unit_says_nothing_that_systemd_does_not_understand(tmp_path: Path) -> None:
    """Where the program is installed is the one thing it cannot find here."""
    gone_if_missing("systemd", shutil.which("systemd-analyze"))
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text()))
    verify = ["systemd-analyze", "verify", "--man=no", str(unit)]
    said = subprocess.run(verify, capture_output=True, text=True, timeout=30, check=False)
    assert (said.returncode, said.stderr) == (0, "")


def test_daemon_has_the_time_to_leave_in_good_order_and_leaves_before_it_is_killed() -> None:
    """With hardware, broker, network and card that all hang."""
    found = re.search(r"TimeoutStopSec=(\d+)s", UNIT.read_text())
    assert found
    hardware = threshold.CLOSE_S + talk.CLOSE_S
    told = 2 * daemon.DRAIN_S + presence.FAREWELL_S + connection.GOODBYE_S
    card = floor.LEAVE_S + database.CLOSE_S
    assert hardware + told + card < daemon.LEAVE_S < int(found[1]) - 1


def test_unit_has_no_shell_and_no_bus() -> None:
    """The score alone does not see this: with a good one a shell could still be started."""
    keys: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if found := re.fullmatch(r"(\w+)=(.*)", line):
            keys.setdefault(found[1], []).extend(found[2].split())
    # Where somebody may write and a file system is mounted apart, `/` alone does not reach (seen on a booted machine).
    assert set(keys["NoExecPaths"]) >= {"/", "/dev", "/dev/shm", "/tmp", "/var/tmp", "/var/lib/fluss-agent"}  # noqa: S108 -- the unit's
    allowed = [Path(each.removeprefix("-")) for each in keys["ExecPaths"]]
    for shell in (
        "/bin/sh",
        "/usr/bin/dash",
        "/usr/bin/bash",
        "/usr/bin/busybox",
        "/usr/bin/perl",
        "/usr/lib/klibc/bin/sh",
    ):
        assert not any(Path(shell).is_relative_to(each) for each in allowed), shell
    assert {"-/run/dbus"} <= set(keys["InaccessiblePaths"])
    assert "ReadWritePaths" not in keys
    # Debian 12's systemd knows no SocketBindDeny=, and a file in memory lies on no file system.
    assert {"~listen", "accept", "accept4", "~memfd_create"} <= set(keys["SystemCallFilter"])
