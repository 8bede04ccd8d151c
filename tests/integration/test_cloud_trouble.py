"""No connection, in words: what is wrong at which broker, and what to do about it."""

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from protocol.topics import Topics
from simulator.address import Address, AddressError, Tls
from simulator.broker import BenchBroker
from simulator.line import Line, converse
from simulator.trouble import Unreachable
from tests.counterparts.agent import Protocol
from tests.counterparts.authority import Authority, Certificate
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.ports import LOOPBACK, free_port

TOPICS = Topics("gw-1")
F = TypeVar("F", bound=Callable[..., Any])


async def words(address: Address) -> str:
    """Why there is no connection, as a person is told."""

    async def speak(_: Line) -> None:
        await asyncio.sleep(0)

    with pytest.raises(Unreachable) as why:
        await converse(address, TOPICS, lambda _: None, speak)
    assert address.place in str(why.value) or address.host in str(why.value)
    return str(why.value)


async def test_nobody_at_the_port() -> None:
    assert "refuses connections: check the host and port in --broker" in await words(Address(LOOPBACK, free_port()))


async def test_name_that_does_not_exist() -> None:
    assert "cannot be resolved" in await words(Address("no-such-host.invalid", 1883))


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_wrong_password(mosquitto_installed: None, tmp_path: Path, protocol: Protocol) -> None:
    async with Mosquitto(tmp_path / "m", users={"office": "right"}) as broker:
        address = Address(LOOPBACK, broker.port, username="office", password="wrong", protocol=protocol)
        told = await words(address)
        assert "refuses the user 'office': wrong user name or password, or not allowed" in told
        assert "wrong user name" in await words(replace(address, username=None, password=None))
        assert "wrong" not in told.replace("wrong user", ""), "no error shows a password"


async def test_mqtt_5_where_only_the_older_is_spoken() -> None:
    async with BenchBroker() as broker:
        told = await words(Address(broker.host, broker.port, protocol="5"))
        assert told.endswith("does not speak MQTT 5: add --protocol 3.1.1")


@asynccontextmanager
async def answering(
    answer: Callable[[bytes], bytes | None], context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A server that answers what a client says in one packet, until it answers None."""
    open_: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_.append(writer)
        while (said := await reader.read(4096)) and (answered := answer(said)) is not None:
            writer.write(answered)
        writer.close()

    async with await asyncio.start_server(serve, LOOPBACK, 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]
        for writer in open_:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def serving(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.cert_file, certificate.key_file)
    return context


@pytest.fixture
def collected() -> Iterator[None]:
    """What nobody holds any more is gone when the test is over."""
    yield
    gc.collect()


def leaves_a_socket(test: F) -> F:
    """A handshake that failed leaves its socket to the garbage collector, says paho."""
    marked: F = pytest.mark.usefixtures("collected")(test)
    pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning")(marked)
    return marked


@leaves_a_socket
async def test_certificate_that_cannot_be_trusted(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger")
    cure = "signed by an authority that is not trusted here: give its certificate as --ca-file"
    async with answering(lambda _: None, serving(authority.server(LOOPBACK))) as port:
        assert cure in await words(Address(LOOPBACK, port, Tls(stranger.ca_file)))
        assert cure in await words(Address(LOOPBACK, port, Tls()))
    async with answering(lambda _: None, serving(authority.server(LOOPBACK, expired=True))) as port:
        assert "has expired" in await words(Address(LOOPBACK, port, Tls(authority.ca_file)))
    async with answering(lambda _: None, serving(authority.server("mqtt.example.net"))) as port:
        told = await words(Address(LOOPBACK, port, Tls(authority.ca_file)))
        assert "is not for 127.0.0.1: write the host in --broker as the certificate does" in told


@leaves_a_socket
async def test_tls_where_there_is_none() -> None:
    async with answering(lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert "does not speak TLS: check the port (8883 is usual)" in await words(Address(LOOPBACK, port, Tls()))


async def test_no_tls_where_it_is_wanted(mosquitto_installed: None, tmp_path: Path, authority: Authority) -> None:
    async with Mosquitto(tmp_path / "m", authority=authority) as broker:
        assert "it may want TLS (mqtts://)" in await words(Address(LOOPBACK, broker.port))


@leaves_a_socket
async def test_client_certificate_that_is_missing(
    mosquitto_installed: None, tmp_path: Path, authority: Authority
) -> None:
    async with Mosquitto(tmp_path / "m", authority=authority, client_certificates=True) as broker:
        bare = Tls(authority.ca_file)
        assert "client certificate" in await words(Address(LOOPBACK, broker.port, bare))
        mine = authority.client("office")
        full = replace(bare, cert_file=mine.cert_file, key_file=mine.key_file)
        assert await converse(Address(LOOPBACK, broker.port, full), TOPICS, lambda _: None, _said) == "said"


async def _said(_: Line) -> str:
    return "said"


async def test_broker_that_does_not_let_us_read() -> None:
    """CONNACK of MQTT 3.1.1 with code 0, and SUBACK with failure (sections 3.2 and 3.9)."""

    def refuse(said: bytes) -> bytes:
        return b"\x20\x02\x00\x00" if said[0] == 0x10 else b"\x90\x03" + said[2:4] + b"\x80"

    async with answering(refuse) as port:
        told = await words(Address(LOOPBACK, port, protocol="3.1.1"))
    assert "does not let this user read fluss/v1/gw-1/receipts" in told


@pytest.mark.parametrize("field", ["ca_file", "cert_file"])
def test_file_that_is_no_certificate(tmp_path: Path, field: str) -> None:
    file = tmp_path / "file.pem"
    file.write_text("not a certificate")
    with pytest.raises(AddressError, match=r"file\.pem"):
        replace(Tls(), **{field: file}).context()
    with pytest.raises(FileNotFoundError, match=r"gone\.pem"):
        replace(Tls(), **{field: tmp_path / "gone.pem"}).context()
