"""The other end of a hardware line, scripted: a TCP server, or the master of a pseudo-terminal."""

import asyncio
import json
import os
import socket
import struct
import tty
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from agent.backoff import Pace
from agent.config_drivers import Serial, Tcp
from agent.drivers import serial, tcp
from agent.drivers.driver import Actuated, Driver, Ears
from agent.drivers.line import Line
from agent.drivers.talk import Patience
from protocol.hardware import Asked
from protocol.vocabulary import Action
from tests.counterparts.ports import LOOPBACK
from tests.counterparts.waiting import until

DEVICE = "1234567890123456"
QUICK = Pace(base_s=0.02, cap_s=0.1)
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time at all

Message = dict[str, Any]


class End:
    """The hardware's end of one connection."""

    def __init__(
        self, reader: asyncio.StreamReader, transport: asyncio.WriteTransport, terminal: int | None = None
    ) -> None:
        self.reader = reader
        self.transport = transport
        self.terminal = terminal
        """The gateway's side of a pseudo-terminal, for a look at its settings."""

    def say(self, **message: object) -> None:
        """Send a message."""
        self.raw(json.dumps(message).encode() + b"\n")

    def raw(self, data: bytes) -> None:
        """Send any bytes."""
        self.transport.write(data)

    def end(self) -> None:
        """Hang up."""
        self.transport.close()

    def hello(self, device_id: str = DEVICE, **more: object) -> None:
        self.say(type="hello", deviceId=device_id, kind="fluss+", **more)

    def request(self, request_id: str, **more: object) -> None:
        self.say(type="request", requestId=request_id, mobile="+27824511234", channel="bluetooth", **more)

    async def hears(self) -> Message:
        """The next message from the gateway."""
        line = await asyncio.wait_for(self.reader.readline(), 5)
        assert line.endswith(b"\n"), f"hung up: {line!r}"
        message = json.loads(line)
        assert isinstance(message, dict)
        return message

    async def is_left(self, within_s: float = 5.0) -> bool:
        """Whether the gateway hangs up, whatever it says before that."""
        try:
            async with asyncio.timeout(within_s):
                while await self.reader.read(65_536):
                    pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True

    def reset(self) -> None:
        """Break the connection as a board does that loses its power and comes back."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()


class Hardware:
    """Takes every connection and keeps it, until the script asks for the next one."""

    def __init__(self, port: int, ends: "asyncio.Queue[End]") -> None:
        self.address = Tcp(LOOPBACK, port)
        self._ends = ends

    async def dialled(self) -> End:
        """The next connection."""
        return await asyncio.wait_for(self._ends.get(), 5)

    async def met(self, device_id: str = DEVICE, **more: object) -> End:
        """The next connection, with a hello said on it."""
        end = await self.dialled()
        end.hello(device_id, **more)
        return end

    @property
    def waiting(self) -> int:
        """How many connections nobody has asked for yet."""
        return self._ends.qsize()


@asynccontextmanager
async def listening(port: int = 0) -> AsyncIterator[Hardware]:
    """Hardware at a TCP port; every connection is reset in the end."""
    ends: asyncio.Queue[End] = asyncio.Queue()
    writers: list[asyncio.StreamWriter] = []

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        ends.put_nowait(End(reader, writer.transport))

    server = await asyncio.start_server(serve, LOOPBACK, port)
    try:
        yield Hardware(server.sockets[0].getsockname()[1], ends)
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


@contextmanager
def _leading(port: Path, terminal: str) -> Iterator[None]:
    port.symlink_to(terminal)
    try:
        yield
    finally:
        port.unlink()


@asynccontextmanager
async def plugged_in(port: Path) -> AsyncIterator[End]:
    """Hardware on a pseudo-terminal, which ``port`` leads to while it is plugged in."""
    ours, theirs = os.openpty()  # theirs stays open: a cable does not end when nobody uses the port
    tty.setraw(ours)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    reading, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(ours), "rb", buffering=0)
    )
    writing, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(os.dup(ours), "wb", buffering=0))
    os.close(ours)
    try:
        with _leading(port, os.ttyname(theirs)):
            yield End(reader, writing, theirs)
    finally:
        os.close(theirs)
        writing.abort()
        reading.close()


@dataclass
class Heard:
    """What a driver has told of its device."""

    asked: list[Asked] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    changes: int = 0

    @property
    def ears(self) -> Ears:
        return Ears(asked=self.asked.append, accepted=self.accepted.append, changed=self._count)

    def _count(self) -> None:
        self.changes += 1


def dials(address: Tcp | Serial, heard: Heard, *, device_id: str = DEVICE, patience: Patience | None = None) -> Line:
    """The line under test: the same as a gateway's, tried again faster."""
    dial = (lambda: tcp.dial(address)) if isinstance(address, Tcp) else (lambda: serial.dial(address))
    return Line(device_id, str(address), dial, ears=heard.ears, rng=Random(1), patience=patience, pace=QUICK)


@asynccontextmanager
async def running(driver: Driver) -> AsyncIterator[None]:
    """The driver runs while this is open; a bug in it comes up here."""
    task = asyncio.create_task(driver.run())
    try:
        yield
    finally:
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5)
        assert done, "the driver did not stop"
        if not task.cancelled():
            task.result()


async def connected(driver: Driver) -> None:
    await until(lambda: driver.connected, what="connected")


async def met_on(end: End, driver: Driver) -> None:
    """Say hello until it is heard: nobody at a serial port sees the other end come."""

    def heard() -> bool:
        if not driver.connected:
            end.hello()
        return driver.connected

    await until(heard, every_s=0.05, what="met")


async def lost(driver: Driver) -> None:
    await until(lambda: not driver.connected, what="lost")


async def works(line: Line, heard: Heard, end: End) -> bool:
    """Whether requests come in and the gate moves."""
    before = len(heard.asked)
    end.request(f"works-{before}")
    await until(lambda: len(heard.asked) > before)
    moving = asyncio.create_task(line.actuate("move", Action.TRIGGER))
    while (told := await end.hears()).get("requestId") != "move":
        pass
    end.say(type="actuated", requestId=told["requestId"], ok=True)
    return await moving == Actuated(True)


def events(logs: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    """The log's events of this name, but for those that only a developer asks for."""
    return [entry for entry in logs if entry["event"] == name and entry["log_level"] != "debug"]
