"""A link that fails on command: a TCP proxy between a client and its broker."""

import asyncio
import contextlib
import math
import socket
import struct
from collections.abc import Callable
from typing import Self

from tests.counterparts.ports import LOOPBACK

_CHUNK = 65536
_PACKET = 1400  # what a slow line takes at a time
_UNDER_WAY = 64
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time at all


class Proxy:
    """Listens on a port of its own and forwards to ``port``, until told otherwise.

    - ``cut()`` resets every connection, as a modem that lost its carrier; with ``refuse`` nobody gets in until mend().
    - ``freeze()`` forwards nothing any more and closes nothing: the half-open link. ``thaw()`` delivers what waited.
    - ``delay_s`` is how long everything is on its way, ``rate`` how many bytes go in a second, each way.
    - ``lasts`` says of every new connection after how many bytes to the client it is cut.

    It counts what it has ``delivered`` to clients and ``taken`` from them, and keeps of each what it ``heard`` first.
    """

    def __init__(
        self,
        port: int,
        *,
        host: str = LOOPBACK,
        listen: int = 0,
        delay_s: float = 0.0,
        rate: float = math.inf,
        lasts: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self.host = host
        self.port = listen
        self.delay_s = delay_s
        self.rate = rate
        self.accepted = 0
        self.delivered = 0
        self.taken = 0
        self.heard: list[bytearray] = []
        self._target = port
        self.lasts = lasts
        self._refusing = False
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._link, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        links = list(self._links)
        self.cut(refuse=True)
        await asyncio.gather(*links, return_exceptions=True)

    @property
    def connections(self) -> int:
        """How many clients are connected through it now."""
        return len(self._links)

    def cut(self, *, refuse: bool = False) -> None:
        """Reset every connection, both sides. What was under way is lost."""
        self._refusing = refuse
        for link in self._links:
            link.cancel()

    def mend(self) -> None:
        """Let clients in again after ``cut(refuse=True)``."""
        self._refusing = False

    def freeze(self) -> None:
        """Stop forwarding, both ways, and leave every connection open."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Forward again, first what was sent meanwhile."""
        self._flowing.set()

    async def _link(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        ends = [to_client]
        try:
            if self._refusing:
                return
            self.accepted += 1
            self.heard.append(heard := bytearray())
            from_broker, to_broker = await asyncio.open_connection(LOOPBACK, self._target)
            ends.append(to_broker)
            left = self.lasts()

            def take(chunk: bytes) -> bytes:
                self.taken += len(chunk)
                heard.extend(chunk[: _CHUNK - len(heard)])
                return chunk

            def deliver(chunk: bytes) -> bytes:
                nonlocal left
                self.delivered += len(chunk) if len(chunk) < left else int(left)
                left -= len(chunk)
                if left <= 0:
                    raise ConnectionResetError
                return chunk

            async with asyncio.TaskGroup() as ways:
                self._forward(ways, from_client, to_broker, take)
                self._forward(ways, from_broker, to_client, deliver)
        except* (OSError, asyncio.CancelledError):
            pass  # a side that broke, a broker that is down, or a cut: both sides see a reset
        finally:
            self._links.discard(link)
            for end in ends:
                await _reset(end)

    def _forward(
        self,
        ways: asyncio.TaskGroup,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        count: Callable[[bytes], bytes],
    ) -> None:
        """One way: a narrow place, and then a long road. What is on it when the connection is cut is lost."""
        loop = asyncio.get_running_loop()
        road: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_UNDER_WAY)

        async def enter() -> None:
            chunk = b"something"
            while chunk:
                chunk = await reader.read(_CHUNK if math.isinf(self.rate) else _PACKET)
                await asyncio.sleep(len(chunk) / self.rate)
                await road.put((loop.time() + self.delay_s, chunk))

        async def leave() -> None:
            chunk = b"something"
            while chunk:
                due_s, chunk = await road.get()
                await asyncio.sleep(due_s - loop.time())
                await self._flowing.wait()
                writer.write(count(chunk))
                await writer.drain()
            writer.close()

        ways.create_task(enter())
        ways.create_task(leave())


async def _reset(end: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    end.transport.abort()
    with contextlib.suppress(OSError):
        await end.wait_closed()
