"""The link in trouble: dead and slow lines, floods, a board that has just booted, a broker that lets it hang."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from agent.backoff import Pace
from agent.link import Address, LinkDown, Tls
from tests.counterparts.authority import Authority
from tests.counterparts.links import INVITES, STATE, error_of, new_link, running
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.ports import LOOPBACK, free_port
from tests.counterparts.proxy import Proxy
from tests.counterparts.scripted_broker import Peer, Version, for_ever, packet_id, scripted, server_side
from tests.counterparts.waiting import until

BOTH = pytest.mark.parametrize("version", ["5", "3.1.1"])


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "with messages under way"])
async def test_half_open_link_is_noticed(
    mosquitto: Mosquitto, busy: bool, record_property: Callable[[str, object], None]
) -> None:
    """As soon as a ping has no answer; paho alone waits for twice the keep-alive, here eight seconds."""
    loop = asyncio.get_running_loop()
    async with Proxy(mosquitto.port) as proxy:
        address = Address(proxy.host, proxy.port, "gw-1", keepalive_s=4, answer_s=1)
        async with running(new_link(address)) as link:
            await link.connected()
            proxy.freeze()
            frozen = loop.time()
            sending = [asyncio.create_task(link.publish(STATE, b"%d" % number)) for number in range(20 * busy)]
            await until(lambda: not link.status.connected)
            assert 4 < loop.time() - frozen < 7
            assert "has been silent for 5 s: the connection is dead" in await error_of(link)
            assert {type(each) for each in await asyncio.gather(*sending, return_exceptions=True)} <= {LinkDown}

            proxy.thaw()
            async with asyncio.timeout(10):
                await link.connected(after=1)
    record_property("tried:half-open links", 1)


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
        with pytest.raises(LinkDown, match=r"left a message unanswered for 0\.3 s"):
            await link.publish(STATE, b"second", timeout_s=0.3)
        with pytest.raises(LinkDown, match=r"left a message unanswered for 0\.3 s"):
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


async def test_slow_line_is_not_taken_for_a_dead_one() -> None:
    """Each answer comes in time, the last one long after its message was handed over."""

    async def answer_slowly(peer: Peer) -> None:
        await peer.accept()
        while True:
            _, publish = await peer.read()
            await asyncio.sleep(0.2)
            peer.send(0x40, packet_id(publish))

    async with scripted(answer_slowly) as address, running(new_link(address)) as link:
        await link.connected()
        await asyncio.gather(*(link.publish(STATE, b"%d" % number, timeout_s=0.6) for number in range(6)))


@BOTH
async def test_flood_is_left_in_the_network_and_lost_nothing_of(version: Version) -> None:
    """A broker without a window of its own sends what it has; what is not received is not read either."""
    count, payload = 150, bytes(1 << 20)
    sent = 0

    async def flood(peer: Peer) -> None:
        nonlocal sent
        await peer.accept()
        for number in range(1, count + 1):
            peer.send(0x32, peer.publication(number, number.to_bytes(2, "big") + payload[2:]))
            await peer.writer.drain()
            sent = number
        await for_ever(peer)

    async with scripted(flood, version) as address, running(new_link(address)) as link:
        await until(lambda: sent >= 32)
        await asyncio.sleep(0.5)
        assert sent < 100  # what we hold, and what the kernel buffers on both sides

        received = 0
        async with asyncio.timeout(20):
            while received < count:
                for delivery in await link.receive(INVITES, 10, 8 << 20):
                    received += 1
                    assert delivery.payload is not None
                    assert int.from_bytes(delivery.payload[:2], "big") == received
                    delivery.acknowledge()
        assert await link.connected() == 1


@BOTH
async def test_session_that_is_still_there_is_used_before_its_subscriptions_are_confirmed(version: Version) -> None:
    """What waited at the broker comes first, and on a slow line that takes minutes. A denial still ends it."""
    denied, reported = asyncio.Event(), asyncio.Event()

    async def hold_back(peer: Peer) -> None:
        await peer.read()
        peer.send(0x20, bytes([1, 0]) + peer.properties)
        _, subscribe = await peer.read()
        peer.send(0x32, peer.publication(1, b"part"))
        _, publish = await peer.read()
        peer.send(0x40, packet_id(publish))
        await denied.wait()
        peer.send(0x90, subscribe[:2] + peer.properties + (b"\x87" if version == "5" else b"\x80"))
        reported.set()
        await for_ever(peer)

    async with scripted(hold_back, version) as address, running(new_link(address)) as link:
        [delivery] = await link.receive(INVITES, 10, 1 << 20)
        await link.publish(STATE, b"{}", timeout_s=5)
        assert (delivery.payload, link.status.session_present) == (b"part", True)
        denied.set()
        await reported.wait()
        assert "does not let 'gw-1' subscribe" in await error_of(link)


@BOTH
async def test_topic_that_is_no_text_is_acknowledged_and_ignored(version: Version) -> None:
    acknowledged: list[bytes] = []

    async def send(peer: Peer) -> None:
        await peer.accept()
        peer.send(0x32, peer.publication(1, b"what is this", topic=b"\xff\xfe"))
        peer.send(0x32, peer.publication(2, b"part"))
        while True:
            _, body = await peer.read()
            acknowledged.append(body)

    async with scripted(send, version) as address, running(new_link(address)) as link:
        [delivery] = await link.receive(INVITES, 10, 1 << 20)
        assert delivery.payload == b"part"
        await until(lambda: acknowledged == [b"\0\1"])
        delivery.acknowledge()
        await until(lambda: acknowledged == [b"\0\1", b"\0\2"])


async def test_messages_in_one_tls_record_all_arrive_at_once(authority: Authority) -> None:
    """Once decrypted they wait inside OpenSSL, and no socket becomes readable for them."""
    context = server_side(authority.server(LOOPBACK))

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
                got += [delivery.payload for delivery in await link.receive(INVITES, 10, 1 << 20)]
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
