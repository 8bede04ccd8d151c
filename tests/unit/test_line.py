"""Waiting for a socket or the bell, however many descriptors the process has open."""

import os
import resource
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from agent.line import Bell, Ready, ready

SELECT_KNOWS = 1024  # FD_SETSIZE; see select(2)


@pytest.fixture
def bell() -> Iterator[Bell]:
    with closing(Bell()) as each:
        yield each


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * SELECT_KNOWS
    if most != resource.RLIM_INFINITY and most < wanted:
        pytest.skip(f"this machine allows a process {most} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), most))
    try:
        with ExitStack() as held:
            while held.enter_context(Path(os.devnull).open("rb")).fileno() <= SELECT_KNOWS:
                pass
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))


def test_says_what_can_be_done(bell: Bell) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert ready(ours, bell, 0, reads=True, writes=True) == Ready(readable=False, writable=True)
        theirs.send(b"x")
        assert ready(ours, bell, 0, reads=True, writes=True) == Ready(readable=True, writable=True)
        assert ready(ours, bell, 0, reads=True, writes=False) == Ready(readable=True, writable=False)
        assert ready(ours, bell, 0, reads=False, writes=True) == Ready(readable=False, writable=True)


def test_end_is_readable(bell: Bell) -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        assert ready(ours, bell, 5, reads=True, writes=False) == Ready(readable=True, writable=False)


def test_bell_wakes_and_is_quiet_again(bell: Bell) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.close()  # of no interest to somebody who waits for the bell alone
        bell.ring()
        assert ready(ours, bell, 60, reads=False, writes=False) == Ready(readable=False, writable=False)
        assert ready(ours, bell, 0.01, reads=False, writes=False) == Ready(readable=False, writable=False)


def test_rings_are_one_until_somebody_looks(bell: Bell) -> None:
    for _ in range(3):
        for _ in range(10):
            bell.ring()
        assert rings(bell)
        bell.quieten()
        assert not rings(bell)


def rings(bell: Bell) -> bool:
    return bool(select.select([bell], [], [], 0)[0])


@pytest.mark.usefixtures("many_descriptors")
def test_descriptors_beyond_what_select_knows_are_waited_for() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, closing(Bell()) as bell:
        assert ours.fileno() > SELECT_KNOWS
        theirs.send(b"x")
        assert ready(ours, bell, 5, reads=True, writes=False).readable
