"""The embedded broker stops and starts again, also while its clients have something to say."""

import asyncio
from contextlib import suppress

from simulator.broker import HOST, BenchBroker

CONNECT = bytes([0x10, 14, 0, 4]) + b"MQTT" + bytes([4, 2, 0, 60, 0, 2]) + b"ab"
PING = b"\xc0\x00"
GOODBYE = b"\xe0\x00"
ACCEPTED = b"\x20\x02\x00\x00"


async def chatter(port: int, quiet: asyncio.Event) -> None:
    """A client that never stops talking, until it is told to."""
    reader, writer = await asyncio.open_connection(HOST, port)
    with suppress(OSError):
        writer.write(CONNECT)
        await reader.read(4)
        while not quiet.is_set():
            writer.write(PING)
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()
    writer.close()


async def test_broker_stops_although_a_packet_comes_at_that_moment() -> None:
    """Before Python 3.12 the packet makes amqtt miss that it was told to end."""
    broker = BenchBroker()
    for _ in range(3):
        quiet = asyncio.Event()
        async with asyncio.timeout(10):
            await broker.start()
            client = asyncio.create_task(chatter(broker.port, quiet))
            await asyncio.sleep(0.05)
            stopping = asyncio.create_task(broker.stop())
            await asyncio.sleep(0.1)
            quiet.set()
            async with asyncio.timeout(3):
                await stopping
            await client


async def test_broker_that_is_started_again_has_the_same_port_and_is_stopped_once() -> None:
    async with BenchBroker() as broker:
        port = broker.port
        await broker.stop()
        await broker.stop()
        await broker.start()
        assert broker.port == port
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(CONNECT)
        assert await reader.read(4) == ACCEPTED
        writer.write(GOODBYE)
        assert await reader.read() == b""
        writer.close()
