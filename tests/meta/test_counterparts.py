"""The counterparts do what the tests built on them take for granted."""

import asyncio
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiomqtt
import pytest

from tests.counterparts import program
from tests.counterparts.authority import Authority, Certificate
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.ports import LOOPBACK
from tests.counterparts.program import Program
from tests.counterparts.proxy import Proxy
from tests.counterparts.waiting import TimedOutError, until, wait_until

MQTT_CONNECT = bytes.fromhex("10 0e 0004 4d515454 04 02 003c 0002 6777")
MQTT_CONNACK = bytes.fromhex("20 02 00 00")


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """The port of a server that sends back what it gets."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1000):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_until_condition_never_true() -> None:
    with pytest.raises(TimedOutError, match=r"not within 0.05 s: the moon \(last seen: 0\)"):
        await until(lambda: 0, within_s=0.05, what="the moon")


async def test_until_condition_hangs() -> None:
    with pytest.raises(TimedOutError):
        await until(asyncio.Event().wait, within_s=0.05)


async def test_until_condition_comes_true() -> None:
    answers = iter([None, "", "yes"])
    assert await until(lambda: next(answers)) == "yes"


async def test_mosquitto_saved_and_killed_keeps_port_and_store(mosquitto: Mosquitto) -> None:
    port = mosquitto.port
    async with aiomqtt.Client(LOOPBACK, port) as client:
        await client.publish("kept", b"here", qos=1, retain=True)
    mosquitto.save()
    mosquitto.kill9()
    assert not mosquitto.running
    mosquitto.start()
    assert mosquitto.port == port
    async with aiomqtt.Client(LOOPBACK, port) as client, asyncio.timeout(5):
        await client.subscribe("kept")
        assert (await anext(client.messages)).payload == b"here"


async def test_mosquitto_with_users_refuses_strangers(mosquitto_installed: None, tmp_path: Path) -> None:
    async with Mosquitto(tmp_path, users={"gw-1": "open sesame"}) as broker:
        async with aiomqtt.Client(LOOPBACK, broker.port, username="gw-1", password="open sesame"):
            pass
        with pytest.raises(aiomqtt.MqttError, match=r"[Nn]ot authori"):
            async with aiomqtt.Client(LOOPBACK, broker.port):
                pass


async def test_mosquitto_with_authority_wants_valid_certificates(
    mosquitto_installed: None, authority: Authority, tmp_path: Path
) -> None:
    async with Mosquitto(tmp_path, authority=authority, client_certificates=True) as broker:

        async def accepted(certificate: Certificate | None) -> bool:
            context = ssl.create_default_context(cafile=authority.ca_file)
            if certificate:
                context.load_cert_chain(certificate.cert_file, certificate.key_file)
            reader, writer = await asyncio.open_connection(LOOPBACK, broker.port, ssl=context)
            try:
                writer.write(MQTT_CONNECT)
                return await asyncio.wait_for(reader.read(4), 5) == MQTT_CONNACK
            except OSError:  # the broker's refusal comes after a handshake that looked fine from here
                return False
            finally:
                writer.transport.abort()

        assert await accepted(authority.client("gw-1"))
        assert not await accepted(authority.client("gw-1", expired=True))
        assert not await accepted(None)


def test_mosquitto_with_bad_settings_says_why(mosquitto_installed: None, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no_such_setting"):
        Mosquitto(tmp_path, settings=["no_such_setting 1"]).start()


async def test_proxy_cut_resets_and_refuses_until_mended(echo: int) -> None:
    async with Proxy(echo) as proxy:
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        proxy.cut(refuse=True)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 5)
        writer.close()
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 5)
        writer.close()
        proxy.mend()
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        writer.write(b"two")
        assert await asyncio.wait_for(reader.readexactly(3), 5) == b"two"
        assert (proxy.accepted, proxy.connections) == (2, 1)
        writer.close()
        await until(lambda: proxy.connections == 0)


async def test_proxy_frozen_holds_back_until_thawed(echo: int) -> None:
    async with Proxy(echo) as proxy:
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        proxy.freeze()
        writer.write(b"late")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        proxy.thaw()
        assert await asyncio.wait_for(reader.readexactly(4), 5) == b"late"
        writer.close()


async def test_proxy_delay_holds_back_both_ways(echo: int) -> None:
    async with Proxy(echo, delay_s=0.05) as proxy:
        reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
        started = asyncio.get_running_loop().time()
        writer.write(b"x")
        await reader.readexactly(1)
        assert asyncio.get_running_loop().time() - started >= 0.1
        writer.close()


def test_program_left_running_ends_with_its_children(tmp_path: Path) -> None:
    """What a failed test leaves behind is killed at the end of the run, and so is what that had started."""
    script = "sleep 60 & echo child $!; wait"
    parent = Program(["sh", "-c", script], tmp_path / "log")
    parent.start()
    assert parent.says("child ")
    wait_until(lambda: parent.output().endswith("\n"))
    child = int(parent.output().split()[-1])
    program.end_all()
    assert parent.exit_code == -signal.SIGKILL
    wait_until(lambda: not alive(child), what="the child to end")


def alive(pid: int) -> bool:
    """Whether a process still runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
