"""The link over a real broker, in both versions of MQTT: nothing lost, in order, no late acknowledgement."""

import asyncio
import hashlib
import sys
import threading
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Literal

import aiomqtt
import psutil
import pytest

from agent.backoff import Pace
from agent.link import Address, Delivery, Link, LinkDown, Tls
from tests.counterparts.authority import Authority
from tests.counterparts.links import COMMANDS, INVITES, STATE, WILL, connected, new_link, running
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.program import Program
from tests.counterparts.waiting import until

Protocol = Literal["5", "3.1.1"]


@pytest.fixture(params=["5", "3.1.1"])
def protocol(request: pytest.FixtureRequest) -> Protocol:
    version: Protocol = request.param
    return version


@pytest.fixture
def address(mosquitto: Mosquitto, protocol: Protocol) -> Address:
    return Address(mosquitto.host, mosquitto.port, "gw-1", protocol)


async def send(broker: Mosquitto, *payloads: bytes, topic: str = INVITES, retain: bool = False) -> None:
    async with aiomqtt.Client(broker.host, broker.port) as cloud:
        for payload in payloads:
            await cloud.publish(topic, payload, qos=1, retain=retain)


async def receive(link: Link, count: int) -> list[Delivery]:
    deliveries: list[Delivery] = []
    async with asyncio.timeout(10):
        while len(deliveries) < count:
            deliveries += await link.receive(INVITES, 100, 1 << 20)
    return deliveries


async def acknowledge(link: Link, deliveries: list[Delivery]) -> None:
    """Return when the broker has the acknowledgements: it answers a publish after what was sent before it."""
    for delivery in deliveries:
        delivery.acknowledge()
    await link.publish("fluss/v1/gw-1/events", b"")


def payloads(deliveries: list[Delivery]) -> list[bytes | None]:
    return [delivery.payload for delivery in deliveries]


NUMBERS = [b"%d" % number for number in range(50)]


async def test_messages_arrive_in_order_and_are_gone_once_acknowledged(mosquitto: Mosquitto, address: Address) -> None:
    async with connected(new_link(address)) as link:
        await send(mosquitto, *NUMBERS)
        got: list[bytes | None] = []
        while len(got) < len(NUMBERS):
            some = await receive(link, 1)
            got += payloads(some)
            await acknowledge(link, some)
        assert got == NUMBERS

    async with connected(new_link(address)) as link:
        await send(mosquitto, b"last")
        assert payloads(await receive(link, 1)) == [b"last"]


async def test_messages_come_again_in_order_until_they_are_acknowledged(mosquitto: Mosquitto, address: Address) -> None:
    some = NUMBERS[:15]
    async with connected(new_link(address)) as link:
        await send(mosquitto, *some)
        assert payloads(await receive(link, len(some))) == some

    async with connected(new_link(address)) as link:
        again = await receive(link, len(some))
        assert payloads(again) == some
        await acknowledge(link, again[:5])

    async with connected(new_link(address)) as link:
        assert payloads(await receive(link, len(some) - 5)) == some[5:]


async def test_session_survives_a_restart_of_the_agent(mosquitto: Mosquitto, address: Address) -> None:
    async with connected(new_link(address)) as link:
        assert not link.status.session_present

    await send(mosquitto, b"while it was away")

    async with connected(new_link(address)) as link:
        assert link.status.session_present
        assert payloads(await receive(link, 1)) == [b"while it was away"]


async def test_bounds_of_receiving_are_kept(mosquitto: Mosquitto, address: Address) -> None:
    async with connected(new_link(address)) as link:
        await send(mosquitto, *NUMBERS[:10])
        first = await link.receive(INVITES, 1, 1 << 20)
        rest: list[Delivery] = []
        while len(rest) < 9:
            some = await link.receive(INVITES, 4, 1 << 20)
            assert 1 <= len(some) <= 4
            rest += some
        assert payloads(first + rest) == NUMBERS[:10]


async def test_retained_messages_are_marked(mosquitto: Mosquitto, address: Address) -> None:
    await send(mosquitto, b"open!", topic=COMMANDS, retain=True)
    async with connected(new_link(address)) as link:
        await send(mosquitto, b"part")
        (command,), (invite,) = await link.receive(COMMANDS, 10, 1 << 20), await receive(link, 1)
        assert (command.payload, command.retained) == (b"open!", True)
        assert (invite.payload, invite.retained) == (b"part", False)


async def test_oversized_payload_comes_as_size_and_digest(mosquitto: Mosquitto, address: Address) -> None:
    huge = Random(2).randbytes(3 << 20)
    async with connected(new_link(address)) as link:
        await send(mosquitto, huge, b"small")
        dropped, kept = await receive(link, 2)

        assert (dropped.payload, dropped.size) == (None, 3 << 20)
        assert dropped.sha256 == hashlib.sha256(huge).hexdigest()
        assert kept.payload == b"small"
        await acknowledge(link, [dropped, kept])

    async with connected(new_link(address)) as link:
        await send(mosquitto, b"last")
        assert payloads(await receive(link, 1)) == [b"last"]


async def test_publishing_returns_once_the_broker_has_it(mosquitto: Mosquitto, address: Address) -> None:
    async with connected(new_link(address)) as link:
        await link.publish(STATE, b'{"online": true}', retain=True)

    async with aiomqtt.Client(mosquitto.host, mosquitto.port) as cloud:
        await cloud.subscribe(STATE, qos=1)
        message = await anext(cloud.messages)
        assert message.payload == b'{"online": true}'


async def test_window_is_as_large_as_the_broker_says(tmp_path: Path, mosquitto_installed: None) -> None:
    async with (
        Mosquitto(tmp_path, settings=["max_inflight_messages 3"]) as broker,
        connected(new_link(Address(broker.host, broker.port, "gw-1"))) as link,
    ):
        assert link.window == 3
        await asyncio.gather(*(link.publish("fluss/v1/gw-1/receipts", payload) for payload in NUMBERS))
        assert await link.connected() == 1


async def test_publishing_without_a_connection_is_refused_and_never_sent_later(
    mosquitto: Mosquitto, address: Address
) -> None:
    link = new_link(address)
    with pytest.raises(LinkDown, match="not connected yet"):
        await link.publish("fluss/v1/gw-1/receipts", b"early")

    async with aiomqtt.Client(mosquitto.host, mosquitto.port) as cloud, connected(link):
        await cloud.subscribe("fluss/v1/gw-1/receipts", qos=1)
        await link.publish("fluss/v1/gw-1/receipts", b"now")
        message = await anext(cloud.messages)
        assert message.payload == b"now"


async def test_pending_publishes_fail_when_the_broker_dies(mosquitto: Mosquitto, address: Address) -> None:
    async with connected(new_link(address)) as link:
        await asyncio.to_thread(mosquitto.kill9)
        results = await asyncio.gather(
            *(link.publish("fluss/v1/gw-1/receipts", number) for number in NUMBERS), return_exceptions=True
        )
        assert {type(result) for result in results} == {LinkDown}
        with pytest.raises(LinkDown):
            await link.publish("fluss/v1/gw-1/receipts", b"later")
        await until(lambda: "refuses connections" in (link.status.last_error or ""))
        assert not link.status.connected


async def test_link_returns_by_itself_when_the_broker_was_killed(mosquitto: Mosquitto, address: Address) -> None:
    async with connected(new_link(address)) as link:
        await send(mosquitto, b"part")
        [before] = await receive(link, 1)
        await asyncio.to_thread(mosquitto.save)
        await asyncio.to_thread(mosquitto.kill9)
        await asyncio.to_thread(mosquitto.start)
        async with asyncio.timeout(10):
            assert await link.connected(after=1) == 2

        [again] = await receive(link, 1)
        assert again.payload == b"part"
        await acknowledge(link, [before])  # of the connection before: it must not reach the broker

    async with connected(new_link(address)) as link:
        assert payloads(await receive(link, 1)) == [b"part"]


async def test_late_acknowledgement_does_not_swallow_the_next_message(
    tmp_path: Path, mosquitto_installed: None, protocol: Protocol
) -> None:
    """The broker lost its session and starts its packet ids anew: the old message's id is the new message's."""
    async with Mosquitto(tmp_path, persistent=False) as broker:
        address = Address(broker.host, broker.port, "gw-1", protocol)
        async with connected(new_link(address)) as link:
            await send(broker, b"old")
            [old] = await receive(link, 1)
            await asyncio.to_thread(broker.restart)
            async with asyncio.timeout(10):
                await link.connected(after=1)
            await send(broker, b"new")
            [new] = await receive(link, 1)
            assert old.packet_id == new.packet_id

            await acknowledge(link, [old])

        async with connected(new_link(address)) as link:
            assert payloads(await receive(link, 1)) == [b"new"]


AGENT = """
import asyncio, random, sys
from agent.link import Address, Link

async def main() -> None:
    address = Address("127.0.0.1", int(sys.argv[1]), "gw-1", sys.argv[2])
    link = Link(address, subscriptions={"x": 1}, will_topic=sys.argv[3], will=lambda: b'{"online": false}',
                rng=random.Random(1), board_uptime_s=lambda: 1e6)
    task = asyncio.create_task(link.run())
    await link.connected()
    print("connected", flush=True)
    await task

asyncio.run(main())
"""


async def test_will_is_published_when_the_agent_is_killed(
    mosquitto: Mosquitto, protocol: Protocol, tmp_path: Path
) -> None:
    agent = Program([sys.executable, "-c", AGENT, str(mosquitto.port), protocol, STATE], tmp_path / "agent.log")
    async with aiomqtt.Client(mosquitto.host, mosquitto.port) as cloud:
        await cloud.subscribe(STATE, qos=1)
        agent.start()
        assert await asyncio.to_thread(agent.says, "connected")
        agent.kill9()
        message = await anext(cloud.messages)
        assert message.payload == WILL


async def test_leaving_publishes_no_will_and_takes_no_time(mosquitto: Mosquitto, address: Address) -> None:
    loop = asyncio.get_running_loop()
    async with aiomqtt.Client(mosquitto.host, mosquitto.port) as cloud:
        await cloud.subscribe("fluss/v1/gw-1/#", qos=1)
        async with connected(new_link(address)):
            left = loop.time()
        assert loop.time() - left < 0.5
        await cloud.publish("fluss/v1/gw-1/end", b"", qos=1)
        message = await anext(cloud.messages)
        assert str(message.topic) == "fluss/v1/gw-1/end"


async def test_reconnecting_leaks_neither_threads_nor_sockets(mosquitto: Mosquitto, address: Address) -> None:
    def threads() -> int:
        return [thread.name for thread in threading.enumerate()].count("mqtt")

    process = psutil.Process()
    async with connected(new_link(address)) as link:
        files = process.num_fds()
        for generation in range(1, 11):
            await asyncio.to_thread(mosquitto.restart)
            async with asyncio.timeout(10):
                await link.connected(after=generation)
        await until(lambda: threads() == 1)
        assert process.num_fds() <= files
        assert not link.status.duplicate_identity

    await until(lambda: threads() == 0)


async def test_wrong_password_is_said_and_a_corrected_one_is_taken_up(
    tmp_path: Path, mosquitto_installed: None, protocol: Protocol
) -> None:
    secret = tmp_path / "mqtt-password"
    async with Mosquitto(tmp_path / "broker", users={"gw-1": "right"}) as broker:
        address = Address(broker.host, broker.port, "gw-1", protocol, username="gw-1", password_file=secret)
        async with running(new_link(address)) as link:
            await until(lambda: link.status.last_error)
            assert link.status.last_error == f"mqtt.password_file: {secret}: No such file or directory"

            secret.write_text("wrong\n")
            await until(lambda: "refuses the user 'gw-1'" in (link.status.last_error or ""))
            assert link.status.attempts >= 2
            assert not link.status.connected

            secret.write_text("right\n")
            async with asyncio.timeout(10):
                await link.connected()
            assert link.status.attempts == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_bug_of_ours_is_not_blamed_on_the_broker(
    mosquitto: Mosquitto, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(new_link(address)) as link:
        with monkeypatch.context() as broken:
            broken.setattr("agent.line.ready", lambda *_, **__: 1 / 0)
            await until(lambda: "ZeroDivisionError" in (link.status.last_error or ""))
            assert link.status.last_error is not None
            assert link.status.last_error.startswith(f"no fault of {address.place}")
        async with asyncio.timeout(10):
            await link.connected()


async def test_mutual_tls_connects(
    authority: Authority, tmp_path: Path, mosquitto_installed: None, protocol: Protocol
) -> None:
    gateway = authority.client("gw-1")
    async with Mosquitto(tmp_path / "broker", authority=authority, client_certificates=True) as broker:
        tls = Tls(authority.ca_file, gateway.cert_file, gateway.key_file)
        address = Address(broker.host, broker.port, "gw-1", protocol, tls=tls)
        async with connected(new_link(address)) as link:
            await asyncio.gather(*(link.publish(INVITES, number) for number in NUMBERS))
            assert payloads(await receive(link, 20))[:20] == NUMBERS[:20]

        async with running(new_link(replace(address, tls=Tls(authority.ca_file)))) as link:
            await until(lambda: link.status.last_error)
            assert "wants a certificate of this gateway: set mqtt.cert_file" in (link.status.last_error or "")


async def test_untrusted_broker_is_refused(
    authority: Authority, tmp_path: Path, mosquitto_installed: None, protocol: Protocol
) -> None:
    async with Mosquitto(tmp_path / "broker", authority=authority) as broker:
        address = Address(broker.host, broker.port, "gw-1", protocol)
        for tls, words in (
            (Tls(), "authority that is not trusted here: check mqtt.ca_file"),
            (None, "it may want TLS (check mqtt.tls and mqtt.port)"),
        ):
            async with running(new_link(replace(address, tls=tls))) as link:
                await until(lambda: link.status.last_error)
                assert words in (link.status.last_error or "")


async def test_tls_to_a_plain_port_is_named(mosquitto: Mosquitto, address: Address, authority: Authority) -> None:
    async with running(new_link(replace(address, tls=Tls(authority.ca_file)))) as link:
        await until(lambda: link.status.last_error)
        assert "check mqtt.port (8883 is usual) and mqtt.tls" in (link.status.last_error or "")


async def test_second_client_with_our_identity_is_yielded_to_and_named(mosquitto: Mosquitto, address: Address) -> None:
    """Run a hundred times faster than a gateway: once it is sure, it stays away for three to six seconds."""
    pace = Pace(base_s=0.01, cap_s=0.2, stable_s=0.6, duplicate_s=3)
    async with connected(new_link(address, pace=pace)) as link, running(new_link(address, pace=pace)) as double:
        await until(lambda: link.status.duplicate_identity or double.status.duplicate_identity)
        yielding = link if link.status.duplicate_identity else double
        assert "client id 'gw-1'" in (yielding.status.last_error or "")
        await until(lambda: not yielding.status.connected)
        logged = mosquitto.log().count("New client connected")
        await asyncio.sleep(2)
        assert mosquitto.log().count("New client connected") - logged <= 2
