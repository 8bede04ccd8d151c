"""The link and brokers that refuse, lie or say nothing: a person reads what it was, and where to look."""

import asyncio
from dataclasses import replace

import pytest

from agent.link import LinkDown, Tls
from tests.counterparts.authority import Authority
from tests.counterparts.links import INVITES, STATE, error_of, new_link, running
from tests.counterparts.ports import LOOPBACK
from tests.counterparts.scripted_broker import Peer, Version, for_ever, packet_id, scripted, server_side
from tests.counterparts.waiting import until

BOTH = pytest.mark.parametrize("version", ["5", "3.1.1"])


@BOTH
async def test_denied_subscription_is_said(version: Version) -> None:
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
async def test_refused_connection_is_said(version: Version, code: int, words: str) -> None:
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
async def test_something_else_on_the_port_is_named(version: Version) -> None:
    async def answer_in_http(peer: Peer) -> None:
        await peer.read()
        peer.writer.write(b"HTTP/1.1 400 Bad Request\r\n" * 20)
        await for_ever(peer)

    async with scripted(answer_in_http, version) as address, running(new_link(address)) as link:
        assert f"does not speak MQTT {version}: check mqtt.port" in await error_of(link)


@BOTH
async def test_broker_that_accepts_and_says_nothing_is_left(version: Version) -> None:
    async with scripted(for_ever, version) as address, running(new_link(replace(address, keepalive_s=1))) as link:
        error = await error_of(link)
        assert "has not answered for 1 s" in error
        assert ('set mqtt.protocol = "3.1.1"' in error) is (version == "5")


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


@pytest.mark.parametrize(
    ("name", "expired", "words"),
    [(LOOPBACK, True, "has expired"), ("mqtt.example.net", False, f"is not for {LOOPBACK}: check mqtt.host")],
)
async def test_broker_with_a_certificate_that_does_not_hold_is_refused(
    authority: Authority, name: str, expired: bool, words: str
) -> None:
    context = server_side(authority.server(name, expired=expired))
    tls = Tls(authority.ca_file)
    async with scripted(for_ever, tls=context) as address, running(new_link(replace(address, tls=tls))) as link:
        error = await error_of(link)
        assert error == f"the certificate of {address.place} {words}"
