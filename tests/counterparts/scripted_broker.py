"""A broker written out byte by byte, for what a real one does not do on command."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from agent.link import Address
from tests.counterparts.authority import Certificate
from tests.counterparts.links import INVITES
from tests.counterparts.ports import LOOPBACK

Version = Literal["5", "3.1.1"]


@dataclass
class Peer:
    """The broker's end of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    version: Version

    async def read(self) -> tuple[int, bytes]:
        """The next packet: its first byte, and what follows the length."""
        kind = (await self.reader.readexactly(1))[0]
        length = shift = 0
        while True:
            byte = (await self.reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return kind, await self.reader.readexactly(length)

    def send(self, kind: int, body: bytes) -> None:
        """Write a packet."""
        length, size = bytearray(), len(body)
        while True:
            size, digit = size >> 7, size & 0x7F
            length.append(digit | (0x80 if size else 0))
            if not size:
                break
        self.writer.write(bytes([kind, *length]) + body)

    @property
    def properties(self) -> bytes:
        """None at all, as the version writes that."""
        return b"\0" if self.version == "5" else b""

    def connack(self, code: int = 0, properties: bytes | None = None) -> None:
        self.send(0x20, bytes([0, code]) + (properties or self.properties))

    async def accept(self, granted: int = 1, properties: bytes | None = None) -> None:
        await self.read()
        self.connack(properties=properties)
        _, subscribe = await self.read()
        self.send(0x90, subscribe[:2] + self.properties + bytes([granted]))

    def publication(self, packet_id: int, payload: bytes, topic: bytes = INVITES.encode()) -> bytes:
        return len(topic).to_bytes(2, "big") + topic + packet_id.to_bytes(2, "big") + self.properties + payload


Script = Callable[[Peer], Awaitable[None]]


@asynccontextmanager
async def scripted(script: Script, version: Version = "5", tls: ssl.SSLContext | None = None) -> AsyncIterator[Address]:
    """A broker that does to every connection what ``script`` says, and then closes it."""
    peers: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers[writer] = asyncio.current_task()
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await script(Peer(reader, writer, version))
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, LOOPBACK, 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield Address(LOOPBACK, port, "gw-1", version)
    finally:
        server.close()
        for writer in peers:
            with suppress(AttributeError):  # of a TLS transport that has ended already, before Python 3.11.5
                writer.transport.abort()
        await asyncio.gather(*(task for task in peers.values() if task is not None))


async def for_ever(peer: Peer) -> None:
    """Read on, and say nothing."""
    await peer.reader.read(-1)


def packet_id(publish: bytes) -> bytes:
    """The packet id of a PUBLISH, from what follows its length."""
    topic = 2 + int.from_bytes(publish[:2], "big")
    return publish[topic : topic + 2]


def server_side(certificate: Certificate) -> ssl.SSLContext:
    """What a broker with this certificate listens with."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.cert_file, certificate.key_file)
    return context
