"""Where a gateway dials: a TCP port, a serial port, or a pseudo-terminal that looks like one.

Each is a context that has everybody who dials met, and gives the address as a gateway's `driver` is written.
"""

import asyncio
import os
import select
import termios
import tty
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Final

import serialx

from simulator import exits
from simulator.asides import Asides
from simulator.exits import Failure

HOST: Final = "127.0.0.1"
BAUD: Final = 115_200

_LOOK_S: Final = 0.05
_OPEN_S: Final = 5.0
_REOPEN_S: Final = 1.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

Meet = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Talks to one gateway until it is gone."""

Wire = Callable[[Meet], AbstractAsyncContextManager[str]]


class NoWire(Failure):
    """The port is in use, is not there, or is not ours to use; the message says which, and the cure."""

    exit_code = exits.IO


@asynccontextmanager
async def listening(meet: Meet, *, host: str = HOST, port: int = 0) -> AsyncIterator[str]:
    """A TCP port, and its `tcp://…`; `port` 0 takes a free one. Raises NoWire."""
    async with Asides() as talks:

        def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            talks.begin(_meeting(meet, reader, writer))

        try:
            server = await asyncio.start_server(met, host, port)
        except OSError as why:
            place = _address(host, port)
            raise NoWire(f"no hardware on {place}: {_short(why)}; take another address or end what has it") from why
        try:
            yield f"tcp://{_address(host, server.sockets[0].getsockname()[1])}"
        finally:
            server.close()


@asynccontextmanager
async def pseudo_terminal(meet: Meet) -> AsyncIterator[str]:
    """A serial port that is not there, and its `serial:///dev/pts/…`. Whoever opens it is met anew."""
    ours, theirs = os.openpty()
    path = os.ttyname(theirs)
    os.close(theirs)  # so that it can be seen when somebody else opens it, and when nobody has it any more
    try:
        async with Asides() as talks:
            talks.begin(_meet_openers(ours, meet))
            yield f"serial://{path}?baud={BAUD}"
    finally:
        os.close(ours)


@asynccontextmanager
async def serial_port(meet: Meet, *, path: Path, baud: int = BAUD) -> AsyncIterator[str]:
    """A serial port of this machine with the gateway at its other end. Raises NoWire.

    Nobody can be seen to dial: it is one long conversation, begun again when the port was unplugged meanwhile.
    """
    streams = await _open_port(path, baud)
    async with Asides() as talks:
        talks.begin(_meet_for_ever(path, baud, streams, meet))
        await asyncio.sleep(0)  # from here on the port is the conversation's to close
        yield f"serial://{path}?baud={baud}"


async def _meeting(meet: Meet, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await meet(reader, writer)
    finally:
        if not writer.is_closing():
            writer.transport.abort()


async def _meet_openers(ours: int, meet: Meet) -> None:
    opened = select.poll()
    opened.register(ours, 0)
    while True:
        if opened.poll(0):  # hung up: nobody has the other side
            await asyncio.sleep(_LOOK_S)
            continue
        tty.setraw(ours, termios.TCSANOW)  # a terminal that is opened anew would echo
        await _meeting(meet, *await _streams(os.dup(ours)))
        await asyncio.sleep(_LOOK_S)


async def _meet_for_ever(path: Path, baud: int, streams: Streams, meet: Meet) -> None:
    while True:
        await _meeting(meet, *streams)
        while True:
            await asyncio.sleep(_REOPEN_S)
            with suppress(NoWire):  # it may still be unplugged
                streams = await _open_port(path, baud)
                break


async def _open_port(path: Path, baud: int) -> Streams:
    try:
        async with asyncio.timeout(_OPEN_S):
            return await serialx.open_serial_connection(str(path), baudrate=baud)
    except (serialx.UnsupportedSetting, RuntimeError) as why:
        raise NoWire(f"{path} does not work at {baud} baud: {BAUD} is usual") from why
    except OSError as why:
        raise NoWire(f"no hardware on {path}: {_short(why)}; check the path, and the group that may use it") from why


class _BothWays(asyncio.StreamReaderProtocol):
    """The writing side of a terminal, whose end is the end of the reading side as well."""

    def __init__(self, reading: asyncio.ReadTransport) -> None:
        super().__init__(asyncio.StreamReader())
        self._reading = reading

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the other side."""
        super().connection_lost(exc)
        self._reading.close()


async def _streams(fd: int) -> Streams:
    """Both directions of a terminal; `fd` closes with them."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    hearing, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), FileIO(fd, "r"))
    speaking, both = await loop.connect_write_pipe(lambda: _BothWays(hearing), FileIO(os.dup(fd), "w"))
    return reader, asyncio.StreamWriter(speaking, both, reader, loop)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _short(why: OSError) -> str:
    """What the system says; asyncio's own text around it names the place a second time."""
    number = why.errno or 0  # below nought where a name cannot be resolved
    return os.strerror(number) if number > 0 else why.strerror or str(why)
