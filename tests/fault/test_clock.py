"""A board's clock goes wrong under a running program, and its power goes while the floor is written."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.floor import RELEASED, Floor, Ratchet
from agent.timekeeping import UNDER_MS
from tests.conftest import gone_if_missing
from tests.counterparts.program import Program
from tests.counterparts.waiting import wait_until
from tests.counterparts.wristwatch import FAKETIME, Wristwatch

ROOT = Path(__file__).parents[2]
SOON_S = 20

CLOCK = """
import asyncio, json, signal, sys
from pathlib import Path
from agent import clock as module, timekeeping
from agent.clock import Clock
from agent.floor import Ratchet

async def nobody():
    return None

async def main():
    home = Path(sys.argv[1])
    module.LOOK_EVERY_S, module.KEEP_EVERY_S, timekeeping.SETTLE_MS = 0.02, 0.02, 300
    clock = Clock(ratchet=Ratchet(home), mark=home / "synchronized", ask=nobody)
    running = asyncio.create_task(clock.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    while not running.done():
        moment = clock.moment()
        print(json.dumps([moment.state, moment.earliest, moment.latest, clock.now()]), flush=True)
        await asyncio.wait([running], timeout=0.02)

asyncio.run(main())
"""

FLOORS = """
import sys
from pathlib import Path
from agent.floor import Floor, Ratchet

ratchet = Ratchet(Path(sys.argv[1]))
ratchet.read()
for at in range(int(sys.argv[2]), int(sys.argv[2]) + 20):
    ratchet.write(Floor(at, 0))
    print("kept", at, flush=True)
"""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Runner:
    """A program whose clock follows the wristwatch, with a time service played by the test."""

    def __init__(self, home: Path) -> None:
        self.watch = Wristwatch(home, "1970-01-01 00:10:00")
        self._home = home
        environment = {**os.environ, **self.watch.environment, "PYTHONPATH": str(ROOT)}
        self.program = Program([sys.executable, "-c", CLOCK, home], home / "log", env=environment)

    def says(self) -> list[Any]:
        """State, earliest, latest and best of its latest moment; one that began after now."""
        seen = self.program.output().count("\n[")
        wait_until(lambda: self.program.output().count("\n[") > seen + 2, within_s=SOON_S, what="another moment")
        return list(json.loads(re.findall(r"^\[.*\]$", self.program.output(), re.MULTILINE)[-1]))

    def touch(self) -> None:
        """The time service has set the clock, and says so by the right time."""
        mark = self._home / "synchronized"
        mark.touch()
        os.utime(mark, ns=(0, time.time_ns()))

    def is_confirmed(self) -> None:
        """The time service speaks every now and then, until it is believed."""

        def synced() -> bool:
            self.touch()
            return bool(self.says()[0] == "synced")

        wait_until(synced, within_s=SOON_S, every_s=0.2)


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    gone_if_missing("faketime", FAKETIME)
    runner = Runner(tmp_path)
    with runner.program:
        yield runner


def test_clock_that_goes_wrong_while_it_runs(runner: Runner, tmp_path: Path) -> None:
    """1970, right, ten years ahead, 400 days behind, killed, 1970 again: never a moment that has not come."""
    state, earliest, latest, best = runner.says()
    assert (state, latest) == ("unknown", None)
    assert RELEASED <= earliest <= best <= now_ms()

    runner.watch.set("+0")
    runner.touch()
    wait_until(lambda: runner.says()[0] == "synced", within_s=SOON_S)
    _, earliest, latest, _ = runner.says()
    assert earliest == latest

    for wrong in ("+3650d", "-400d"):
        runner.watch.set(wrong)
        wait_until(lambda: runner.says()[0] == "unknown", within_s=SOON_S)
        state, earliest, latest, _ = runner.says()
        assert latest is None
        assert RELEASED <= earliest <= now_ms()
        runner.watch.set("+0")
        runner.is_confirmed()
    assert len(re.findall(r"clock\.stepped", runner.program.output())) >= 2

    before = now_ms()
    wait_until((tmp_path / "clock").exists, within_s=SOON_S)
    runner.program.kill9()
    (tmp_path / "synchronized").unlink()
    runner.watch.set("1970-01-01 00:10:00")
    runner.program.start()
    state, earliest, latest, best = runner.says()
    assert (state, latest) == ("unknown", None)
    kept = Ratchet(tmp_path).read()
    assert kept is not None
    assert RELEASED < kept.at <= before
    assert kept.at <= earliest <= best <= now_ms()

    runner.program.stop()
    assert Ratchet(tmp_path).read() == kept, "a clock of 1970 moves nothing"


def test_terminated_program_leaves_the_newest_floor(runner: Runner, tmp_path: Path) -> None:
    runner.watch.set("+0")
    runner.touch()
    wait_until(lambda: runner.says()[0] == "synced", within_s=SOON_S)
    started = now_ms()

    def kept() -> bool:
        runner.touch()
        return (tmp_path / "clock").exists()

    wait_until(kept, within_s=SOON_S, every_s=0.2)
    first = Ratchet(tmp_path).read()
    runner.says()
    runner.program.stop()
    newest = Ratchet(tmp_path).read()
    assert first is not None
    assert newest is not None
    assert started - UNDER_MS <= first.at < newest.at <= now_ms()
    assert first.uptime < newest.uptime


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
def test_program_killed_while_it_keeps_the_floor(strace_installed: None, tmp_path: Path, call: str) -> None:
    """At the last system calls of each kind: what was kept before is there, or what was being kept."""
    command = [sys.executable, "-c", FLOORS, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    counted = subprocess.run(
        ["strace", "-f", "-q", "-e", f"trace={call}", *command, str(RELEASED)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    calls = len(re.findall(rf"\b{call}\(", counted.stderr))
    kept = RELEASED + 19
    for back in (0, 1):
        injected = f"inject={call}:signal=KILL:when={calls - back}"
        killed = subprocess.run(
            ["strace", "-f", "-q", "-o", "/dev/null", "-e", f"trace={call}", "-e", injected, *command, str(kept + 1)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert killed.returncode in {-signal.SIGKILL, 128 + signal.SIGKILL}, killed.stderr
        said = [int(at) for at in re.findall(r"^kept (\d+)$", killed.stdout, re.MULTILINE)]
        assert len(said) >= 18, "killed near the end"
        found = Ratchet(tmp_path).read()
        assert found is not None
        assert found.at in {max(said, default=kept), max(said, default=kept) + 1}
        kept = found.at


def test_floor_reaches_the_card_before_its_name(strace_installed: None, tmp_path: Path) -> None:
    """A power cut leaves what was written in an order that ends whole: content, sync, name, sync of the folder."""
    Ratchet(tmp_path).write(Floor(RELEASED, 0))
    command = [sys.executable, "-c", FLOORS, str(tmp_path), str(RELEASED + 1)]
    traced = subprocess.run(
        ["strace", "-f", "-q", "-y", "-e", "trace=write,fsync,rename", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    calls = [line for line in traced.stderr.splitlines() if str(tmp_path) in line]
    order = [
        rf'write\(\d+<{tmp_path}/clock\.new>, "past',
        rf"fsync\(\d+<{tmp_path}/clock\.new>\)",
        rf'rename\("{tmp_path}/clock\.new", "{tmp_path}/clock"\)',
        rf"fsync\(\d+<{tmp_path}>\)",
    ]
    assert len(calls) == 20 * len(order)
    for number, call in enumerate(calls):
        assert re.search(order[number % len(order)], call), call
