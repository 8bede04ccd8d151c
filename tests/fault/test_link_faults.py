"""The link in trouble: dead lines, floods, a board that just booted, and brokers that refuse, lie or say nothing."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from random import Random

import pytest
from structlog.testing import capture_logs

from agent.backoff import Pace
from agent.link import Address, Link, LinkDown, Tls
from tests.counterparts.authority import Authority
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.ports import LOOPBACK, free_port
from tests.counterparts.proxy import Proxy
from tests.counterparts.waiting import until

INVITES, STATE = "fluss/v1/gw-1/invites", "fluss/v1/gw-1/state"
QUICK = Pace(base_s=0.05, cap_s=0.2)
BOTH = pytest.mark.parametrize("version", ["5", "3.1.1"])


def new_link(
    address: Address, *, pace: Pace = QUICK, uptime_s: float = 1e6, subscriptions: Sequence[str] = (INVITES,)
) -> Link:
    return Link(
        address,
        subscriptions=subscriptions,
        will_topic=STATE,
        will=lambda: b"{}",
        rng=Random(1),
        board_uptime_s=lambda: uptime_s,
        pace=pace,
    )


@asynccontextmanager
async def running(link: Link) -> AsyncIterator[Link]:
    task = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        task.cancel()
        await asyncio.wait([task])


async def error_of(link: Link) -> str:
    await until(lambda: link.status.last_error)
    return link.status.last_error or ""


@dataclass
class Peer:
    """The broker's end of one connection, written out byte by byte."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    version: str

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

    def send(self, kind: int, body: bytes) -> bytes:
        """Write a packet; return its bytes."""
        length, size = bytearray(), len(body)
        while True:
            size, digit = size >> 7, size & 0x7F
            length.append(digit | (0x80 if size else 0))
            if not size:
                break
        packet = bytes([kind, *length]) + body
        self.writer.write(packet)
        return packet

    @property
    def properties(self) -> bytes:
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
async def scripted(script: Script, version: str = "5", tls: ssl.SSLContext | None = None) -> AsyncIterator[Address]:
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
        yield Address(LOOPBACK, port, "gw-1", "5" if version == "5" else "3.1.1")
    finally:
        server.close()
        for writer in peers:
            writer.transport.abort()
        await asyncio.wait([task for task in peers.values() if task is not None])


async def for_ever(peer: Peer) -> None:
    await peer.reader.read(-1)


async def test_half_open_link_is_noticed(mosquitto: Mosquitto) -> None:
    """As soon as a ping has no answer; paho alone waits for twice the keep-alive, here eight seconds."""
    loop = asyncio.get_running_loop()
    async with Proxy(mosquitto.port) as proxy:
        address = Address(proxy.host, proxy.port, "gw-1", keepalive_s=4, answer_s=1)
        async with running(new_link(address)) as link:
            await link.connected()
            proxy.freeze()
            frozen = loop.time()
            await until(lambda: not link.status.connected)
            assert 4 < loop.time() - frozen < 7
            assert "has been silent for 5 s: the connection is dead" in await error_of(link)

            proxy.thaw()
            async with asyncio.timeout(10):
                await link.connected(after=1)


async def test_idle_link_is_not_taken_for_dead(mosquitto: Mosquitto) -> None:
    async with running(new_link(Address(mosquitto.host, mosquitto.port, "gw-1", keepalive_s=1, answer_s=1))) as link:
        await link.connected()
        await asyncio.sleep(4)
        assert await link.connected() == 1


async def test_publish_on_a_dead_line_ends_the_connection(mosquitto: Mosquitto) -> None:
    async with Proxy(mosquitto.port) as proxy, running(new_link(Address(proxy.host, proxy.port, "gw-1"))) as link:
        await link.connected()
        proxy.freeze()
        first = asyncio.create_task(link.publish(STATE, b"first", timeout_s=20))
        with pytest.raises(LinkDown, match=r"did not acknowledge a message within 0\.3 s"):
            await link.publish(STATE, b"second", timeout_s=0.3)
        with pytest.raises(LinkDown, match=r"did not acknowledge a message within 0\.3 s"):
            await first

        proxy.thaw()
        async with asyncio.timeout(10):
            await link.connected(after=1)
        await link.publish(STATE, b"third")


async def test_cut_line_is_dialled_again(mosquitto: Mosquitto) -> None:
    async with Proxy(mosquitto.port) as proxy, running(new_link(Address(proxy.host, proxy.port, "gw-1"))) as link:
        await link.connected()
        proxy.cut(refuse=True)
        await until(lambda: link.status.attempts >= 3)
        proxy.mend()
        async with asyncio.timeout(10):
            await link.connected(after=1)
        assert link.status.session_present


async def test_board_that_has_just_booted_waits_before_it_connects(mosquitto: Mosquitto) -> None:
    async with Proxy(mosquitto.port) as proxy:
        address = Address(proxy.host, proxy.port, "gw-1")
        async with running(new_link(address, uptime_s=5, pace=Pace())) as waiting, running(new_link(address)) as link:
            await link.connected()
            assert proxy.accepted == 1
            assert waiting.status.attempts == 0


async def test_repeated_failures_are_logged_ever_more_rarely() -> None:
    with capture_logs() as events:
        async with running(new_link(Address(LOOPBACK, free_port(), "gw-1"))) as link:
            await until(lambda: link.status.attempts >= 20)

    warned = [event["attempt"] for event in events if event["log_level"] == "warning"]
    assert warned == [1, 2, 4, 8, 16]
    assert "refuses connections" in events[0]["error"]


@BOTH
async def test_denied_subscription_is_said(version: str) -> None:
    async def deny(peer: Peer) -> None:
        await peer.accept(granted=0x87 if version == "5" else 0x80)
        await for_ever(peer)

    async with scripted(deny, version) as address, running(new_link(address)) as link:
        assert f"does not let 'gw-1' subscribe to {INVITES}" in await error_of(link)
        assert not link.status.connected


async def test_subscription_for_less_than_we_asked_is_no_subscription() -> None:
    async def grant_qos_0(peer: Peer) -> None:
        await peer.accept(granted=0)
        await for_ever(peer)

    async with scripted(grant_qos_0) as address, running(new_link(address)) as link:
        assert "does not let 'gw-1' subscribe" in await error_of(link)


@pytest.mark.parametrize(
    ("version", "code", "words"),
    [
        ("3.1.1", 1, "does not speak MQTT 3.1.1"),
        ("3.1.1", 3, "is not available at the moment"),
        ("3.1.1", 4, "wrong user name or password"),
        ("3.1.1", 5, "wrong user name or password"),
        ("5", 0x86, "wrong user name or password"),
        ("5", 0x97, "refuses the connection: Quota exceeded"),
    ],
)
async def test_refused_connection_is_said(version: str, code: int, words: str) -> None:
    async def refuse(peer: Peer) -> None:
        await peer.read()
        peer.connack(code)

    async with scripted(refuse, version) as address, running(new_link(address)) as link:
        assert words in await error_of(link)


async def test_broker_of_the_old_protocol_is_named() -> None:
    """One refuses MQTT 5 in its own words, another hangs up without any."""

    async def refuse(peer: Peer) -> None:
        await peer.read()
        peer.send(0x20, b"\0\1")

    async def hang_up(peer: Peer) -> None:
        await peer.read()

    for script in (refuse, hang_up):
        async with scripted(script) as address, running(new_link(address)) as link:
            assert 'set mqtt.protocol = "3.1.1"' in await error_of(link)


@BOTH
async def test_something_else_on_the_port_is_named(version: str) -> None:
    async def answer_in_http(peer: Peer) -> None:
        await peer.read()
        peer.writer.write(b"HTTP/1.1 400 Bad Request\r\n" * 20)
        await for_ever(peer)

    async with scripted(answer_in_http, version) as address, running(new_link(address)) as link:
        assert f"does not speak MQTT {version}: check mqtt.port" in await error_of(link)


@BOTH
async def test_broker_that_accepts_and_says_nothing_is_left(version: str) -> None:
    async with scripted(for_ever, version) as address, running(new_link(replace(address, keepalive_s=1))) as link:
        error = await error_of(link)
        assert "has not answered for 1 s" in error
        assert ('set mqtt.protocol = "3.1.1"' in error) is (version == "5")


def packet_id(publish: bytes) -> bytes:
    topic = 2 + int.from_bytes(publish[:2], "big")
    return publish[topic : topic + 2]


@pytest.mark.parametrize(("takes", "window"), [(3, 3), (1000, 16)])
async def test_no_more_is_under_way_than_the_broker_takes(takes: int, window: int) -> None:
    """Receive Maximum of its CONNACK, which paho does not look at and brokers may punish with a disconnection."""
    most = answered = 0

    async def hold_back(peer: Peer) -> None:
        nonlocal most, answered
        await peer.accept(properties=b"\3\x21" + takes.to_bytes(2, "big"))
        under_way: list[bytes] = []

        async def collect() -> None:
            while True:
                _, publish = await peer.read()
                under_way.append(packet_id(publish))

        collecting = asyncio.create_task(collect())
        while answered < 50:
            await asyncio.sleep(0.03)
            most = max(most, len(under_way))
            answered += len(under_way)
            while under_way:
                peer.send(0x40, under_way.pop(0))
        collecting.cancel()

    async with scripted(hold_back) as address, running(new_link(address)) as link:
        await link.connected()
        assert link.window == window
        await asyncio.gather(*(link.publish(STATE, b"%d" % number) for number in range(50)))
        assert most == window


async def test_refused_message_ends_the_connection() -> None:
    async def refuse(peer: Peer) -> None:
        await peer.accept()
        _, publish = await peer.read()
        peer.send(0x40, packet_id(publish) + b"\x87\0")
        await for_ever(peer)

    async with scripted(refuse) as address, running(new_link(address)) as link:
        await link.connected()
        with pytest.raises(LinkDown, match=f"refuses messages to {STATE}: Not authorized"):
            await link.publish(STATE, b"{}")
        async with asyncio.timeout(10):
            await link.connected(after=1)
        assert "Not authorized" in await error_of(link)


async def test_broker_that_says_our_identity_was_taken_over_is_left_to_the_other() -> None:
    connections = 0

    async def take_over(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        await peer.accept()
        peer.send(0xE0, b"\x8e\0")

    async with scripted(take_over) as address, running(new_link(address)) as link:
        await until(lambda: connections == 2)
        await until(lambda: link.status.attempts == 1 and not link.status.connected)
        assert "another client connected" in await error_of(link)
        assert link.status.duplicate_identity
        await asyncio.sleep(1)
        assert connections == 2


@BOTH
async def test_flood_is_left_in_the_network_and_lost_nothing_of(version: str) -> None:
    """A broker without a window of its own sends what it has; what is not received is not read either."""
    count, payload = 150, bytes(1 << 20)
    sent = 0

    async def flood(peer: Peer) -> None:
        nonlocal sent
        await peer.accept()
        for packet_id in range(1, count + 1):
            peer.send(0x32, peer.publication(packet_id, packet_id.to_bytes(2, "big") + payload[2:]))
            await peer.writer.drain()
            sent = packet_id
        await for_ever(peer)

    async with scripted(flood, version) as address, running(new_link(address)) as link:
        await until(lambda: sent >= 32)
        await asyncio.sleep(0.5)
        assert sent < 100  # what we hold, and what the kernel buffers on both sides

        received = 0
        async with asyncio.timeout(20):
            while received < count:
                for delivery in await link.receive(10, 8 << 20):
                    received += 1
                    assert delivery.payload is not None
                    assert int.from_bytes(delivery.payload[:2], "big") == received
                    delivery.acknowledge()
        assert await link.connected() == 1


@BOTH
async def test_topic_that_is_no_text_is_acknowledged_and_ignored(version: str) -> None:
    acknowledged: list[bytes] = []

    async def send(peer: Peer) -> None:
        await peer.accept()
        peer.send(0x32, peer.publication(1, b"what is this", topic=b"\xff\xfe"))
        peer.send(0x32, peer.publication(2, b"part"))
        while True:
            _, body = await peer.read()
            acknowledged.append(body)

    async with scripted(send, version) as address, running(new_link(address)) as link:
        [delivery] = await link.receive(10, 1 << 20)
        assert delivery.payload == b"part"
        await until(lambda: acknowledged == [b"\0\1"])
        delivery.acknowledge()
        await until(lambda: acknowledged == [b"\0\1", b"\0\2"])


async def test_messages_in_one_tls_record_all_arrive_at_once(authority: Authority) -> None:
    """Once decrypted they wait inside OpenSSL, and no socket becomes readable for them."""
    certificate = authority.server(LOOPBACK)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.cert_file, certificate.key_file)

    async def send_together(peer: Peer) -> None:
        await peer.accept()
        packets = b"".join(peer.publication(number, b"%d" % number) for number in range(1, 7))
        size = len(packets) // 6
        peer.writer.write(b"".join(bytes([0x32, size]) + packets[at : at + size] for at in range(0, 6 * size, size)))
        await for_ever(peer)

    tls = Tls(authority.ca_file)
    async with scripted(send_together, tls=context) as address, running(new_link(replace(address, tls=tls))) as link:
        got: list[bytes | None] = []
        async with asyncio.timeout(0.8):
            while len(got) < 6:
                got += [delivery.payload for delivery in await link.receive(10, 1 << 20)]
        assert got == [b"1", b"2", b"3", b"4", b"5", b"6"]


async def test_stopping_while_the_broker_lets_us_hang_takes_a_second_at_most() -> None:
    loop = asyncio.get_running_loop()
    dialled = asyncio.Event()

    async def hold(peer: Peer) -> None:
        dialled.set()
        await for_ever(peer)

    async with scripted(hold) as address:
        async with running(new_link(replace(address, tls=Tls()))):
            await dialled.wait()
            stopped = loop.time()
        assert loop.time() - stopped < 1.5
    await until(lambda: not any(thread.name == "mqtt" for thread in threading.enumerate()))
