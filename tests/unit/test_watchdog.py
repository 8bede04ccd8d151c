"""Words to systemd's watchdog: when they are wanted, and what they depend on."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.watchdog import Watchdog, patience, period_s

OURS = {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as wire:
        wire.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield wire


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (OURS, 30.0),
        ({"WATCHDOG_USEC": "1500000"}, 1.5),
        ({}, None),
        (OURS | {"WATCHDOG_PID": "1"}, None),
        (OURS | {"WATCHDOG_USEC": "0"}, None),
        (OURS | {"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_is_wanted_of_the_process_that_systemd_started(
    environment: dict[str, str], expected: float | None
) -> None:
    assert period_s(environment) == expected


async def test_word_is_sent_again_and_again_within_each_period(systemd: socket.socket) -> None:
    asked = []

    async def writer() -> None:
        asked.append("writer")

    task = asyncio.create_task(Watchdog(0.03, writer, lambda: asked.append("gate")).run())
    async with asyncio.timeout(10):
        for _ in range(3):
            assert await asyncio.get_running_loop().sock_recv(systemd, 100) == b"WATCHDOG=1"
    task.cancel()
    assert asked[:4] == ["writer", "gate", "writer", "gate"], "each word is for both"


async def test_no_word_while_the_writer_does_not_answer(systemd: socket.socket) -> None:
    answers = asyncio.Event()
    task = asyncio.create_task(Watchdog(0.003, lambda: _when(answers), lambda: None).run())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.get_running_loop().sock_recv(systemd, 100), 0.05)
    answers.set()
    assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(systemd, 100), 10) == b"WATCHDOG=1"
    task.cancel()


async def test_systemd_waits_longer_while_the_store_is_written_anew(systemd: socket.socket) -> None:
    with patience(600, OURS):
        assert systemd.recv(100) == b"WATCHDOG_USEC=600000000"
    assert systemd.recv(100) == b"WATCHDOG_USEC=30000000"
    with patience(600, {}), pytest.raises(BlockingIOError):
        systemd.recv(100)


async def test_gate_that_cannot_decide_ends_the_daemon() -> None:
    """Whatever is wrong there is a bug, and systemd starts us again."""

    def gate() -> None:
        raise ValueError("no rule for that")

    with pytest.raises(ValueError, match="no rule"):
        await Watchdog(1.0, lambda: asyncio.sleep(0), gate).run()


async def _when(event: asyncio.Event) -> None:
    await event.wait()
