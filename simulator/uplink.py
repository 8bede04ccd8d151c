"""The network between a gateway and its broker, which a scenario can take away: a TCP port that passes bytes on."""

import asyncio
import socket
import struct
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final, Self

from simulator.asides import Asides
from simulator.wire import HOST

FLAPS: Final = 3
"""How often a flapping network cuts the connection before it holds. A gateway waits longer after every cut."""

_STANDS_S: Final = (1.0, 2.0)
_STANDS_BYTES: Final = (12_000, 18_000)
"""How long a flapping connection lasts, and how much it brings to the gateway: the shorter of both."""

_CHUNK: Final = 2 * 1_024
_SLOW_S: Final = 0.03
"""For so many bytes: about 68 kB a second, while it flaps."""

_DIAL_S: Final = 5.0
_AT_ONCE: Final = struct.pack("ii", 1, 0)


class Net(StrEnum):
    """How a network is doing."""

    UP = "up"
    DOWN = "down"
    """What was connected breaks; what connects waits until it is up, as packets do that are sent again."""
    FLAPPING = "flapping"
    """What is connected breaks, again and again, FLAPS times in all."""


@dataclass(frozen=True, slots=True)
class _Span:
    seconds: float | None
    bytes: int | None


class Uplink:
    """The network to a port of this machine, up at first, while the context is open. `rng` decides when it flaps."""

    def __init__(self, port: int, rng: Random) -> None:
        self.port = 0
        """Where the gateway dials."""
        self.net = Net.UP
        self.cuts = 0
        """How often it has broken since it became what it is."""
        self._broker_port = port
        self._rng = rng
        self._up = asyncio.Event()
        self._up.set()
        self._flaps = 0
        self._lines: set[asyncio.StreamWriter] = set()
        self._stack = AsyncExitStack()
        self._asides = Asides()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._asides)
        server = await asyncio.start_server(self._met, HOST)
        self._stack.callback(server.close)
        self.port = server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._cut()
        await self._stack.aclose()

    def become(self, net: Net) -> None:
        """From now on it is up, down or flapping."""
        self.cuts = 0
        if net is not Net.UP:
            self._cut()
        self.net, self._flaps = net, FLAPS - 1 if net is Net.FLAPPING else 0
        if net is Net.DOWN:
            self._up.clear()
        else:
            self._up.set()

    def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._asides.begin(self._carry(reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._lines.add(writer)
        try:
            early = await self._held(reader)
            async with asyncio.timeout(_DIAL_S):
                from_broker, to_broker = await asyncio.open_connection(HOST, self._broker_port)
            self._lines.add(to_broker)
            to_broker.write(early)
            stands = self._stands()
            try:
                async with asyncio.timeout(stands.seconds), asyncio.TaskGroup() as ways:
                    ways.create_task(_pass_on(reader, to_broker, None))
                    ways.create_task(_pass_on(from_broker, writer, stands.bytes))
            finally:
                self._lines.discard(to_broker)
                _break(to_broker)
        except* OSError:
            pass  # a side is gone, or the network has flapped
        finally:
            self._lines.discard(writer)
            _break(writer)

    async def _held(self, reader: asyncio.StreamReader) -> bytes:
        """Wait for the network; what was said until then. Raises OSError where nobody waits for it any more."""
        early = bytearray()
        waiting: set[asyncio.Task[object]] = {up := asyncio.create_task(self._up.wait())}
        try:
            while not up.done():
                waiting.add(reading := asyncio.create_task(reader.read(_CHUNK)))
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if reading.done():
                    waiting.remove(reading)
                    if not (chunk := reading.result()):
                        raise ConnectionResetError
                    early += chunk
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return bytes(early)

    def _stands(self) -> "_Span":
        if self._flaps == 0:
            return _Span(None, None)
        self._flaps -= 1
        self.cuts += 1
        return _Span(self._rng.uniform(*_STANDS_S), self._rng.randrange(*_STANDS_BYTES))

    def _cut(self) -> None:
        self.cuts += bool(self._lines)
        for line in list(self._lines):
            _break(line)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int | None) -> None:
    """Until the side that speaks is gone, or has said so much. Raises OSError, so that the other way ends too."""
    passed = 0
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()
        passed += len(chunk)
        if most is not None:
            if passed > most:
                raise ConnectionResetError
            await asyncio.sleep(_SLOW_S)
    writer.close()  # it took leave: so that is passed on as well
    raise ConnectionResetError


def _break(line: asyncio.StreamWriter) -> None:
    """Cut it as a network does: with a reset and not with a goodbye, which would be somebody's own wish."""
    if line.is_closing():
        return
    with suppress(OSError):
        line.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    line.transport.abort()
