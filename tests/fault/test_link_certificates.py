"""Brokers that are not who they should be, and boards that do not know the time: refused with the cause and the cure.

Beside every broker there is a plain port on its address: nothing may ever be sent there, nor in the clear elsewhere.
"""

import asyncio
import socket
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import SystemRandom

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from structlog.testing import capture_logs

from agent.floor import RELEASED
from agent.link import Address, Tls
from tests.conftest import gone_if_missing
from tests.counterparts.agent import Agent
from tests.counterparts.authority import Authority, Certificate, handmade
from tests.counterparts.links import connected, new_link, running
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.ports import LOOPBACK
from tests.counterparts.proxy import Proxy
from tests.counterparts.scripted_broker import Peer, Version, for_ever, scripted, server_side
from tests.counterparts.waiting import until
from tests.counterparts.wristwatch import FAKETIME, Wristwatch

PLAIN_PORT = 1883
HANDSHAKE, ALERT, CHANGE, DATA = 0x16, 0x15, 0x14, 0x17
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def counted(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Every test with a street tries one broker that must get nothing."""
    if "host" in request.fixturenames:
        record_property("tried:brokers not to be trusted", 1)


def now() -> datetime:
    return datetime.now(UTC)


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


@dataclass(frozen=True)
class Street:
    """An address of this machine with the usual two ports of a broker: one for TLS, and the plain one beside it."""

    tls: Proxy
    plain: Proxy

    def clear(self) -> list[bytes]:
        """What was sent in the clear: to the plain port anything, to the other what is no record of TLS."""
        return [*map(bytes, self.plain.heard), *(sent for sent in map(bytes, self.tls.heard) if not _is_tls(sent))]


def _is_tls(sent: bytes) -> bool:
    """Records of TLS and nothing else (RFC 8446, section 5.1); the last one may have been cut."""
    at = 0
    while at < len(sent):
        if sent[at] not in (HANDSHAKE, ALERT, CHANGE, DATA) or sent[at + 1 : at + 2] not in (b"\x03", b""):
            return False
        at += 5 + int.from_bytes(sent[at + 3 : at + 5], "big")
    return True


@pytest.fixture
def host() -> str:
    """A loopback address that nobody else listens on."""
    rng = SystemRandom()
    return f"127.{rng.randrange(1, 255)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"


@asynccontextmanager
async def street(host: str, broker_port: int) -> AsyncIterator[Street]:
    """Both ports lead to the broker."""
    async with Proxy(broker_port, host=host) as tls, Proxy(broker_port, host=host, listen=PLAIN_PORT) as plain:
        yield Street(tls, plain)


async def nothing_but_listen(peer: Peer) -> None:
    """Should a CONNECT come, accept it: then the link would be connected, and the test fails."""
    await peer.accept()
    await for_ever(peer)


Made = tuple[Path, Certificate]


def expired(home: Path, host: str) -> Made:
    return handmade(home, host, [now() + 90 * DAY, now() - DAY])


def not_yet_valid(home: Path, host: str) -> Made:
    return handmade(home, host, [now() + 90 * DAY, now() + 3652 * DAY])


def under_an_expired_authority(home: Path, host: str) -> Made:
    return handmade(home, host, [now() - DAY, now() + 90 * DAY])


def for_another_host(home: Path, host: str) -> Made:
    return handmade(home, "192.0.2.1", [now() + 90 * DAY] * 2)


def self_signed(home: Path, host: str) -> Made:
    trusted, _ = handmade(home / "other", host, [now() + 90 * DAY] * 2)
    _, certificate = handmade(home, host, [now() + 90 * DAY])
    return trusted, certificate


def of_another_authority(home: Path, host: str) -> Made:
    trusted, _ = handmade(home / "other", host, [now() + 90 * DAY] * 2)
    return trusted, handmade(home, host, [now() + 90 * DAY] * 2)[1]


def of_another_gateway(home: Path, host: str) -> Made:
    return handmade(home, host, [now() + 90 * DAY] * 2, purpose=ExtendedKeyUsageOID.CLIENT_AUTH)


NOT_TRUSTED = "is signed by an authority that is not trusted here: check mqtt.ca_file"
IMPOSTORS = [
    (for_another_host, "is not for {host}: check mqtt.host"),
    (self_signed, NOT_TRUSTED),
    (of_another_authority, NOT_TRUSTED),
    (of_another_gateway, "is not one of a server: check mqtt.host"),
]


async def refused(
    host: str, broker_port: int, tls: Tls, words: str, *, floor: int | None = None, version: Version = "5"
) -> None:
    """Three attempts end with these words, in the log as in the status, and say nothing to anybody."""
    async with street(host, broker_port) as here:
        with capture_logs() as events:
            there = Address(host, here.tls.port, "gw-1", version, username="gw-1", tls=tls)
            async with running(new_link(there, floor=floor)) as link:
                await until(lambda: link.status.attempts >= 3)
                assert not link.status.connected
        assert {event["event"] for event in events} == {"link.failed"}
        assert {event["error"] for event in events} == {link.status.last_error}
        assert words.format(host=host) in (link.status.last_error or "")
        assert here.tls.accepted >= 3
        assert here.clear() == []


async def shown_and_refused(
    host: str, made: Made, words: str, *, floor: int | None = None, version: Version = "5"
) -> None:
    """The same, by a broker with this certificate that would take anybody."""
    trusted, certificate = made
    async with scripted(nothing_but_listen, version, server_side(certificate)) as address:
        await refused(host, address.port, Tls(trusted), words, floor=floor, version=version)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize("floor", [None, RELEASED], ids=["clock known", "clock unknown"])
@pytest.mark.parametrize(("made", "words"), IMPOSTORS)
async def test_broker_that_is_somebody_else_is_refused_whatever_the_clock(
    tmp_path: Path, host: str, made: Callable[[Path, str], Made], words: str, floor: int | None, version: Version
) -> None:
    await shown_and_refused(host, made(tmp_path, host), words, floor=floor, version=version)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (expired, "has expired"),
        (under_an_expired_authority, "has expired"),
        (not_yet_valid, "is not valid yet"),
    ],
)
async def test_broker_out_of_its_time_is_refused_by_a_clock_that_is_right(
    tmp_path: Path, host: str, made: Callable[[Path, str], Made], words: str
) -> None:
    await shown_and_refused(host, made(tmp_path, host), words)


async def test_broker_that_knows_only_tls_1_1_is_refused(authority: Authority, host: str) -> None:
    context = server_side(authority.server(host))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that it is old is the point
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1

    def serve() -> None:
        with suppress(OSError):
            while True:
                line, _ = listener.accept()
                with line, suppress(ssl.SSLError):
                    context.wrap_socket(line, server_side=True).close()

    with socket.create_server((LOOPBACK, 0)) as listener:
        serving = asyncio.create_task(asyncio.to_thread(serve))
        words = "speaks no TLS from 1.2 on: the broker has to be updated"
        await refused(host, listener.getsockname()[1], Tls(authority.ca_file), words)
        listener.shutdown(socket.SHUT_RDWR)
        await serving


async def test_broker_without_tls_is_told_nothing(mosquitto: Mosquitto, host: str, authority: Authority) -> None:
    await refused(host, mosquitto.port, Tls(authority.ca_file), "check mqtt.port (8883 is usual) and mqtt.tls")


async def test_street_would_have_seen_what_is_sent_in_the_clear(mosquitto: Mosquitto, host: str) -> None:
    async with street(host, mosquitto.port) as here:
        async with connected(new_link(Address(host, here.tls.port, "gw-1"))):
            assert b"MQTT" in here.clear()[0]
        here.tls.heard.clear()
        async with connected(new_link(Address(host, PLAIN_PORT, "gw-1"))):
            assert b"MQTT" in here.clear()[0]


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ([90, -1], None),
        ([-1, 90], None),
        ([90, 90, -1], None),
        ([-400, 90], "has expired: it ended on"),
        ([90, -400], "has expired: it ended on"),
        ([90, -400, 90], "has expired: it ended on"),
    ],
    ids=str,
)
async def test_board_without_a_clock_refuses_what_ended_before_its_floor(
    tmp_path: Path, host: str, ends: list[int], words: str | None
) -> None:
    """In days from now, from the authority to the broker; the floor is a year ago. What ended since, nobody knows."""
    floor = ms(now() - 365 * DAY)
    moments = [now() + each * DAY for each in ends]
    trusted, certificate = made = handmade(tmp_path, host, moments)
    if words is not None:
        await shown_and_refused(host, made, words, floor=floor)
        return
    async with (
        scripted(nothing_but_listen, tls=server_side(certificate)) as address,
        street(host, address.port) as here,
        connected(new_link(Address(host, here.tls.port, "gw-1", tls=Tls(trusted)), floor=floor)) as link,
    ):
        assert link.chain_end == ms(min(moments)) // 1000 * 1000
        assert here.clear() == []


@pytest.mark.parametrize(("until_day", "words"), [("2027-06-01", None), ("2025-12-31", "it ended on 2025-12-31, and")])
async def test_gateway_that_woke_in_1970_knows_an_old_certificate_from_a_new_one(
    mosquitto_installed: None, authority: Authority, tmp_path: Path, until_day: str, words: str | None
) -> None:
    gone_if_missing("faketime", FAKETIME)
    woken = Wristwatch(tmp_path, "1970-01-01 00:10:00")
    ended = datetime.fromisoformat(until_day).replace(tzinfo=UTC)
    settings: dict[str, dict[str, object]] = {
        "clock": {"trust": "auto"},
        "mqtt": {"tls": True, "ca_file": str(authority.ca_file)},
    }
    async with (
        scripted(nothing_but_listen, tls=server_side(authority.server(LOOPBACK, until=ended))) as address,
        Agent(tmp_path, address.port, settings=settings, environment=woken.environment) as agent,
    ):
        if words is None:
            await agent.says("link.connected")
        else:
            assert words in (await agent.says("link.failed"))["error"]


async def test_authority_and_key_are_those_of_the_files_at_each_connection(
    mosquitto_installed: None, tmp_path: Path
) -> None:
    """A connection that works is left alone by new files; the next one takes them, and no old one any more."""
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    mine = old.client("gw-1")
    tls = Tls(tmp_path / "ca.pem", tmp_path / "gw-1.pem", tmp_path / "gw-1.key")

    def install(authority: Authority, certificate: Certificate) -> None:
        for source, target in (
            (authority.ca_file, tls.ca_file),
            (certificate.cert_file, tls.cert_file),
            (certificate.key_file, tls.key_file),
        ):
            assert target is not None
            target.write_bytes(source.read_bytes())

    install(old, mine)
    async with Mosquitto(tmp_path / "broker", authority=old, client_certificates=True) as broker:
        address = Address(broker.host, broker.port, "gw-1", tls=tls)
        async with connected(new_link(address)) as link:
            install(new, new.client("gw-1"))
            await link.publish("fluss/v1/gw-1/events", b"")
            assert await link.connected() == 1

            await asyncio.to_thread(broker.restart)
            await until(lambda: NOT_TRUSTED in (link.status.last_error or ""))
            broker.authority = new
            await asyncio.to_thread(broker.restart)
            async with asyncio.timeout(10):
                assert await link.connected(after=1) == 2

            broker.authority = old
            await asyncio.to_thread(broker.restart)
            await until(lambda: not link.status.connected and link.status.attempts >= 2)
            assert NOT_TRUSTED in (link.status.last_error or "")
            install(old, mine)
            async with asyncio.timeout(10):
                assert await link.connected(after=2) == 3
