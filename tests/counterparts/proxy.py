"""A link that fails on command: a TCP proxy between a client and its broker."""

import asyncio
import contextlib
import socket
import struct
from typing import Self

from tests.counterparts.ports import LOOPBACK

_CHUNK = 65536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time at all


class Proxy:
    """Listens on a port of its own and forwards to ``port``, until told otherwise.

    - ``cut()`` resets every connection, as a modem that lost its carrier; with ``refuse`` nobody gets in until mend().
    - ``freeze()`` forwards nothing any more and closes nothing: the half-open link. ``thaw()`` delivers what waited.
    - ``delay_s`` holds back every chunk, both ways.
    """

    host = LOOPBACK

    def __init__(self, port: int, *, delay_s: float = 0.0) -> None:
        self.port = 0
        self.delay_s = delay_s
        self.accepted = 0
        self._target = port
        self._refusing = False
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._link, self.host, 0)
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
            from_broker, to_broker = await asyncio.open_connection(self.host, self._target)
            ends.append(to_broker)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._forward(from_client, to_broker))
                ways.create_task(self._forward(from_broker, to_client))
        except* (OSError, asyncio.CancelledError):
            pass  # a side that broke, a broker that is down, or a cut: both sides see a reset
        finally:
            self._links.discard(link)
            for end in ends:
                await _reset(end)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK):
            await asyncio.sleep(self.delay_s)
            await self._flowing.wait()
            writer.write(chunk)
            await writer.drain()
        await self._flowing.wait()
        writer.close()


async def _reset(end: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    end.transport.abort()
    with contextlib.suppress(OSError):
        await end.wait_closed()
