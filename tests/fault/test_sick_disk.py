"""A disk that fails again and again: residents get in all the while, and nothing is lost or done twice."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from tests.counterparts.agent import gateway, strace
from tests.counterparts.board import Board
from tests.counterparts.cloud import GATE, mobile, part
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.program import Program
from tests.counterparts.soak import scaled
from tests.counterparts.waiting import until
from tests.fault import history

RESIDENT = mobile(history.POOL + 1)
STRANGER = mobile(history.POOL + 2)
_SAM = {"userName": "Sam", "mobile": RESIDENT, "permission": "Always", "accepted": True}
RESIDENTS = part("residents", 1 << 20, [_SAM], part=1, parts=1, revocations=[], deviceIds=[GATE])

# Counted by thread, and every opening of the store has a thread of its own. `3+2`: the third, every second from there.
FAULTS = [
    ("fdatasync", "EIO", "1+"),
    ("fdatasync", "EIO", "2+2"),
    ("pwrite64", "EIO", "1+"),
    ("pwrite64", "EIO", "3+5"),
    ("pwrite64", "ENOSPC", "1+"),
    ("pwrite64", "ENOSPC", "9+11"),
    ("fdatasync,pwrite64", "EROFS", "1+"),
    ("pwrite64", "EDQUOT", "2+3"),
]
YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
LEAST_FAILURES = 3
HEALS_S = 30


@pytest.fixture
def may_trace(strace_installed: None) -> None:
    """Whether this user may put a tracer on a program that runs already."""
    if os.geteuid() != 0 and YAMA.exists() and YAMA.read_text() != "0\n":
        pytest.skip("this user may not trace a program that runs already")


@pytest.mark.usefixtures("may_trace")
@pytest.mark.timeout(0)
async def test_disk_that_fails_again_and_again_keeps_nobody_outside(
    mosquitto: Mosquitto, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """What was sent while it failed is applied when it does not any more, once, and without anybody's help."""
    rounds = [FAULTS[number % len(FAULTS)] for number in range(scaled(len(FAULTS)))]
    sent = history.stream(Random(8), 4 * len(rounds), people=20)
    share = len(sent) // len(rounds)
    failures = asked = 0
    async with (
        Board(GATE) as board,
        gateway(tmp_path, mosquitto.port, devices={GATE: {"driver": board.url}}) as (agent, cloud),
    ):
        await cloud.send(RESIDENTS)
        await cloud.settles(RESIDENTS)
        for number, fault in enumerate(rounds):
            parts = sent[share * number : share * (number + 1)]
            async with _sick(agent.pid, fault, tmp_path / f"strace-{number}.log") as failed:
                await cloud.send(*parts)
                while failed() < LEAST_FAILURES or asked < 4 * number:
                    assert await board.ask(RESIDENT) == "actuate"
                    assert await board.ask(STRANGER) == "unknown_user"
                    asked += 2
                if fault[-1] == "1+":
                    await cloud.sees(storage="degraded")
            failures += failed()
            await cloud.settles(*parts, within_s=HEALS_S)
            await cloud.sees(storage="ok")
        await cloud.send(*sent[share * len(rounds) :])
        await history.check(agent, cloud, [RESIDENTS, *sent])
        assert len(agent.logged("agent.started")) == 1
    record_property("tried:calls to the disk that failed", failures)
    record_property("tried:people at a gate whose disk fails", asked)


@asynccontextmanager
async def _sick(pid: int, fault: tuple[str, str, str], log: Path) -> AsyncIterator[Callable[[], int]]:
    """These system calls of a running program fail; how many have so far."""
    calls, error, when = fault
    command = strace(calls, f"error={error}", when=when, log=log)
    with Program([*command, "-p", str(pid)], log.with_suffix(".err")) as tracer:
        await until(lambda: _attached(pid), what="strace attached")
        yield lambda: log.read_text().count("(INJECTED)")
        tracer.stop()
    await until(lambda: not _attached(pid), what="strace detached")


def _attached(pid: int) -> bool:
    return all(
        "TracerPid:\t0\n" not in (thread / "status").read_text() for thread in Path(f"/proc/{pid}/task").iterdir()
    )
