"""The broker's configuration that we ship: no gateway reads, writes or takes away what is another one's.

What a broker grants says nothing (Mosquitto 2.0 grants a subscription to anything, and delivers nothing of it), so all
is judged by what arrives.
"""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

import aiomqtt
import pytest
from aiomqtt import ProtocolVersion
from structlog.testing import capture_logs

from agent.link import Address, Tls
from protocol.topics import Topics
from tests.configurations import edited
from tests.counterparts.agent import Agent
from tests.counterparts.authority import Authority, Certificate
from tests.counterparts.cloud import Cloud, part, people
from tests.counterparts.links import INVITES, connected, new_link, running
from tests.counterparts.shipped import HOST, SHIPPED, Office, ShippedBroker
from tests.counterparts.waiting import until

Protocol = Literal["5", "3.1.1"]
ONE, TWO = Topics("gw-1"), Topics("gw-2")
FOR_GATEWAYS = ("invites", "commands")
FROM_GATEWAYS = ("receipts", "statuses", "events", "replies", "state")
PEEKS = (
    *(
        "#",
        "fluss/#",
        "fluss/v1/#",
        "+/+/+/+",
        "fluss/v1/+/invites",
        "fluss/v1/gw-1/#",
        "$share/thieves/fluss/v1/gw-1/#",
    ),
    *(f"fluss/v1/gw-1/{leaf}" for leaf in (*FOR_GATEWAYS, *FROM_GATEWAYS)),
    "$share/thieves/fluss/v1/gw-1/invites",
)


@pytest.fixture(params=["5", "3.1.1"])
def protocol(request: pytest.FixtureRequest) -> Protocol:
    version: Protocol = request.param
    return version


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """An authority that has issued certificates to two gateways and a cloud."""
    office = Office(tmp_path_factory.mktemp("office"))
    for name in ("gw-1", "gw-2", "cloud"):
        office.issue(name)
    return office


@pytest.fixture
async def broker(mosquitto_installed: None, tmp_path: Path, office: Office) -> AsyncIterator[ShippedBroker]:
    async with ShippedBroker(tmp_path / "broker", office) as broker:
        yield broker


def client(
    broker: ShippedBroker,
    office: Office,
    name: str,
    protocol: Protocol,
    *,
    client_id: str | None = None,
    username: str | None = None,
    will: aiomqtt.Will | None = None,
) -> aiomqtt.Client:
    """A client with the certificate of ``name``, whatever else it says of itself."""
    return aiomqtt.Client(
        HOST,
        broker.port,
        identifier=client_id or name,
        username=username,
        will=will,
        protocol=ProtocolVersion.V5 if protocol == "5" else ProtocolVersion.V311,
        tls_context=office.context(name),
        timeout=10,
    )


@asynccontextmanager
async def hearing(listener: aiomqtt.Client, *filters: str) -> AsyncIterator[list[tuple[str, bytes]]]:
    """What arrives on these filters; nobody minds one that is refused."""
    heard: list[tuple[str, bytes]] = []

    async def listen() -> None:
        async for message in listener.messages:
            assert isinstance(message.payload, bytes)
            heard.append((str(message.topic), message.payload))

    for each in filters:
        await listener.subscribe(each, qos=1)
    listening = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        listening.cancel()
        await asyncio.wait([listening])


def address(
    broker: ShippedBroker, office: Office, protocol: Protocol = "5", certificate: Certificate | None = None
) -> Address:
    own = certificate or Certificate(office.home / "gw-1.pem", office.home / "gw-1.key")
    return Address(HOST, broker.port, "gw-1", protocol, tls=Tls(office.ca_file, own.cert_file, own.key_file))


async def test_gateway_reads_nothing_of_another_one(
    broker: ShippedBroker, office: Office, protocol: Protocol, record_property: Callable[[str, object], None]
) -> None:
    async with (
        client(broker, office, "cloud", protocol) as cloud,
        client(broker, office, "gw-1", protocol) as one,
        client(broker, office, "gw-2", protocol) as two,
        hearing(cloud, *(f"fluss/v1/+/{leaf}" for leaf in FROM_GATEWAYS)) as told,
        hearing(one, ONE.invites, ONE.commands, ONE.state) as mine,
        hearing(two, *PEEKS, TWO.invites) as peeked,
    ):
        for leaf in FOR_GATEWAYS:
            await cloud.publish(f"fluss/v1/gw-1/{leaf}", b"for gw-1", qos=1)
        for leaf in FROM_GATEWAYS:
            await one.publish(f"fluss/v1/gw-1/{leaf}", b"from gw-1", qos=1, retain=leaf == "state")
        await until(lambda: len(mine) == 3 and len(told) == len(FROM_GATEWAYS), what="all that is meant to arrive")
        for each in PEEKS:  # what is retained would come now
            await two.subscribe(each, qos=1)
        await cloud.publish(TWO.invites, b"for gw-2", qos=1)
        await until(lambda: (TWO.invites, b"for gw-2") in peeked)
        assert {each for each in peeked if each[0] != TWO.invites} == set()
    record_property("tried:ways to read another gateway's messages", 2 * len(PEEKS))


async def test_gateway_writes_nothing_for_another_one_and_no_orders_to_itself(
    broker: ShippedBroker, office: Office, protocol: Protocol, record_property: Callable[[str, object], None]
) -> None:
    forbidden = [f"fluss/v1/gw-1/{leaf}" for leaf in (*FOR_GATEWAYS, *FROM_GATEWAYS)]
    forbidden += [TWO.invites, TWO.commands, "fluss/v1/gw-2", "fluss/v1/gw-2/other", "fluss/v1/cloud/invites", "else"]
    async with (
        client(broker, office, "cloud", protocol) as cloud,
        client(broker, office, "gw-1", protocol) as one,
        hearing(cloud, "fluss/#", *(f"fluss/v1/+/{leaf}" for leaf in FROM_GATEWAYS)) as told,
        hearing(one, ONE.invites, ONE.commands, ONE.state) as mine,
    ):
        async with (
            client(broker, office, "gw-2", protocol, will=aiomqtt.Will(ONE.state, b"forged", 1, retain=True)) as two,
            hearing(two, TWO.invites, TWO.commands) as own,
        ):
            for topic in forbidden:
                for retain in (False, True):
                    with suppress(aiomqtt.MqttCodeError):  # MQTT 5 may say so
                        await two.publish(topic, b"forged", qos=1, retain=retain)
            two._client._sock_close()  # its will is published
        async with client(broker, office, "gw-2", protocol) as two:
            await two.publish(TWO.receipts, b"true", qos=1)
            await cloud.publish(ONE.invites, b"true", qos=1)
            await until(lambda: (TWO.receipts, b"true") in told and (ONE.invites, b"true") in mine)
        assert {payload for _, payload in (*told, *mine, *own)} == {b"true"}
    record_property("tried:ways to write another gateway's messages", 2 * len(forbidden) + 1)


async def test_queue_of_a_gateway_is_safe_from_whoever_comes_under_its_client_id(
    broker: ShippedBroker, office: Office, protocol: Protocol, record_property: Callable[[str, object], None]
) -> None:
    """Without `use_username_as_clientid` the thief could not read it, and the owner would never see it again."""
    waiting = [b"%d" % number for number in range(50)]
    thefts = 0

    async def steal() -> None:
        nonlocal thefts
        for username in (None, "gw-1", "cloud"):
            async with client(broker, office, "gw-2", protocol, client_id="gw-1", username=username) as thief:
                await thief.subscribe(INVITES, qos=1)
                await thief.publish(TWO.receipts, b"", qos=1)
                thefts += 1

    async with connected(new_link(address(broker, office, protocol))):
        pass
    async with client(broker, office, "cloud", protocol) as cloud:
        for each in waiting:
            await cloud.publish(INVITES, each, qos=1)
        await steal()
        async with connected(new_link(address(broker, office, protocol))) as link:
            got: list[bytes | None] = []
            async with asyncio.timeout(10):
                while len(got) < len(waiting):
                    for delivery in await link.receive(INVITES, 100, 1 << 20):
                        got.append(delivery.payload)
                        delivery.acknowledge()
            assert got == waiting
            await steal()
            await cloud.publish(INVITES, b"still there", qos=1)
            [delivery] = await link.receive(INVITES, 1, 1 << 20)
            assert delivery.payload == b"still there"
            assert await link.connected() == 1, "nobody evicted it"
    record_property("tried:thefts of a client id", thefts)


async def test_room_for_a_gateway_that_is_away(broker: ShippedBroker, office: Office) -> None:
    """More than Mosquitto keeps by itself, and twice a list of 10,000 people in its 26 parts of 96 KiB."""
    sizes = [10] * 1_200 + [96 << 10] * 52
    async with connected(new_link(address(broker, office))):
        pass
    async with client(broker, office, "cloud", "5") as cloud:
        for number, size in enumerate(sizes):
            await cloud.publish(INVITES, b"%d" % number + bytes(size), qos=1)
    async with connected(new_link(address(broker, office))) as link:
        got = 0
        async with asyncio.timeout(20):
            while got < len(sizes):
                for delivery in await link.receive(INVITES, 100, 8 << 20):
                    assert (delivery.payload or b"").rstrip(b"\0") == b"%d" % got
                    got += 1
                    delivery.acknowledge()


async def test_message_that_no_gateway_takes_goes_to_nobody(broker: ShippedBroker, office: Office) -> None:
    """Nor does whoever sends it stay connected; what just fits goes through."""
    async with (
        client(broker, office, "gw-1", "3.1.1") as one,
        hearing(one, INVITES) as heard,
        client(broker, office, "cloud", "3.1.1") as sender,
    ):
        with suppress(aiomqtt.MqttError):
            await sender.publish(INVITES, b"too large".ljust(1_179_648), qos=1, timeout=1)
        async with client(broker, office, "cloud", "3.1.1") as again:
            await again.publish(INVITES, b"just fits".ljust(1 << 20), qos=1)
        await until(lambda: heard)
        assert [payload.rstrip() for _, payload in heard] == [b"just fits"]


async def test_gateway_with_the_shipped_configuration_serves_its_cloud(
    broker: ShippedBroker, office: Office, tmp_path: Path
) -> None:
    """Its [mqtt] as in agent.example.toml, with files named as there."""
    agent = Agent(tmp_path / "gateway", broker.port)
    example = (SHIPPED.parent / "agent.example.toml").read_text()
    for old, new in (
        ('host = "mqtt.example.net"', f'host = "{HOST}"\nport = {broker.port}\ntls = true'),
        ('state_dir = "/var/lib/fluss-agent"', 'state_dir = "state"'),
    ):
        example = edited(example, old, new)
    agent.file.write_text(example)
    for source, name in (("ca.pem", "ca.pem"), ("gw-1.pem", "mqtt.pem"), ("gw-1.key", "mqtt.key")):
        (agent.file.parent / name).write_bytes((office.home / source).read_bytes())
    async with Cloud(broker.port, host=HOST, tls=office.context("cloud")) as cloud, agent:
        await cloud.sees(online=True)
        sent = part("b-1", 1, people(range(3)))
        await cloud.send(sent)
        await cloud.settles(sent)
        assert [user["userName"] for user in await agent.users()] == [f"Resident {number}" for number in range(3)]
        await until(lambda: None not in cloud.state["certificates"].values(), what="all three ends told")


async def test_broker_speaks_no_tls_before_1_2(mosquitto_installed: None, office: Office, tmp_path: Path) -> None:
    """Also where the machine's OpenSSL would."""
    context = office.context("gw-1")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that it is old is the point
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with ShippedBroker(tmp_path / "broker", office, settings=["ciphers ALL:@SECLEVEL=0"]) as broker:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(HOST, broker.port, ssl=context)


async def refused(address: Address, words: str) -> None:
    """Never connected, and the log names the cause and the cure: the broker's last word may be lost once or twice."""
    with capture_logs() as events:
        async with running(new_link(address)) as link:
            await until(lambda: any(words in event["error"] for event in events), what=words)
            assert not link.status.connected
    assert {event["event"] for event in events} == {"link.failed"}


async def test_gateway_without_a_certificate_that_counts_is_refused_and_told_why(
    broker: ShippedBroker,
    office: Office,
    tmp_path: Path,
    protocol: Protocol,
    record_property: Callable[[str, object], None],
) -> None:
    mine = address(broker, office, protocol)
    none = Address(HOST, broker.port, "gw-1", protocol, username="gw-1", tls=Tls(office.ca_file))
    await refused(none, "wants a certificate of this gateway: set mqtt.cert_file and mqtt.key_file")

    foreign = Authority(tmp_path / "foreign").client("gw-1")
    words = f"does not know the authority that issued our certificate, mqtt.cert_file: {foreign.cert_file}"
    await refused(address(broker, office, protocol, foreign), words)

    stolen = office.issue("stolen")
    async with connected(new_link(address(broker, office, protocol, stolen))) as link:
        office.revoke("stolen")
        await asyncio.to_thread(broker.restart)
        words = f"says that somebody has revoked our certificate, mqtt.cert_file: {stolen.cert_file}; have a new one"
        await until(lambda: words in (link.status.last_error or ""))
    async with connected(new_link(mine)):
        record_property("tried:gateways not to be trusted", 3)
