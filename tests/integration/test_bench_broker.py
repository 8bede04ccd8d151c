"""The embedded broker: what a bench may rely on, and what it says of itself."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import psutil
import pytest

from simulator import exits
from simulator.broker import BenchBroker, PortTaken
from tests.counterparts.ports import free_port
from tests.counterparts.program import Program
from tests.counterparts.waiting import until, wait_until

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def client(broker: BenchBroker, name: str, *, clean: bool = True) -> AsyncIterator[aiomqtt.Client]:
    async with aiomqtt.Client(broker.host, broker.port, identifier=name, clean_session=clean) as connected:
        yield connected


async def received(connected: aiomqtt.Client, count: int) -> list[bytes]:
    async with asyncio.timeout(10):
        found = []
        async for message in connected.messages:
            assert isinstance(message.payload, bytes)
            found.append(message.payload)
            if len(found) == count:
                return found
    raise AssertionError("the messages ended")


async def test_burst_arrives_in_order() -> None:
    async with BenchBroker() as broker, client(broker, "hears") as hears, client(broker, "says") as says:
        await hears.subscribe("t", qos=1)
        sent = [str(number).encode() for number in range(300)]
        for payload in sent:
            await says.publish("t", payload, qos=1)
        assert await received(hears, len(sent)) == sent


async def test_session_keeps_what_came_while_its_client_was_away() -> None:
    """It needs a client that is admitted by name, which is what the broker's own plugin is for."""
    async with BenchBroker() as broker:
        async with client(broker, "gw-1", clean=False) as gateway:
            await gateway.subscribe("t", qos=1)
        async with client(broker, "says") as says:
            for payload in (b"1", b"2"):
                await says.publish("t", payload, qos=1)
        async with client(broker, "gw-1", clean=False) as gateway:
            assert await received(gateway, 2) == [b"1", b"2"]


async def test_retained_message_meets_who_comes_later() -> None:
    async with BenchBroker() as broker:
        async with client(broker, "says") as says:
            await says.publish("t/state", b"on", qos=1, retain=True)
        async with client(broker, "hears") as hears:
            await hears.subscribe("t/state", qos=1)
            assert await received(hears, 1) == [b"on"]


async def test_it_listens_on_the_loopback_alone() -> None:
    async with BenchBroker() as broker:
        listening = [open_.laddr for open_ in psutil.Process().net_connections("tcp") if open_.status == "LISTEN"]
        assert [address.ip for address in listening if address.port == broker.port] == ["127.0.0.1"]


async def test_taken_port_is_named() -> None:
    async with BenchBroker() as first:
        with pytest.raises(PortTaken, match=f"no broker on 127.0.0.1:{first.port}"):
            async with BenchBroker(first.port):
                pass


def simulator(*words: str, log: Path) -> Program:
    return Program(
        [sys.executable, "-P", "-m", "simulator", *words],
        log,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
    )


@pytest.mark.parametrize("ends_with", [signal.SIGINT, signal.SIGTERM])
def test_command_says_what_it_is_and_ends_in_order(tmp_path: Path, ends_with: signal.Signals) -> None:
    port = free_port()
    with simulator("broker", "--port", str(port), log=tmp_path / "log") as broker:
        assert broker.says("Ctrl-C ends it"), broker.output()
        said = broker.output()
        assert f"mqtt://127.0.0.1:{port}" in said
        assert "only MQTT 3.1.1" in said
        assert "on this machine alone" in said
        broker.signal(ends_with)
        assert broker.wait() == exits.OK
        assert "Traceback" not in broker.output()


def test_command_names_a_taken_port_and_exits_74(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with simulator("broker", "--port", str(port), log=tmp_path / "log") as broker:
            assert broker.wait() == exits.IO
            assert f"no broker on 127.0.0.1:{port}" in broker.output()
            assert "take another --port" in broker.output()


async def test_command_tells_who_comes_and_goes(tmp_path: Path) -> None:
    port = free_port()
    with simulator("broker", "--port", str(port), log=tmp_path / "log") as broker:
        await asyncio.to_thread(wait_until, lambda: "Ctrl-C" in broker.output())
        async with aiomqtt.Client("127.0.0.1", port, identifier="gw-7"):
            await until(lambda: "gw-7 connects" in broker.output())
        await until(lambda: "gw-7 is gone" in broker.output())
