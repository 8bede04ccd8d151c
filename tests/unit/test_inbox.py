"""Deliveries are taken in order and within bounds, and acknowledged in the order they came."""

import asyncio
import hashlib
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent.inbox import Delivery, Inbox

INVITES, COMMANDS, STRAY = "fluss/v1/gw-1/invites", "fluss/v1/gw-1/commands", "fluss/v1/gw-2/state"


class Box:
    """An inbox and what it has acknowledged to the broker."""

    def __init__(self, payload_limit: int = 100) -> None:
        self.sent: list[int] = []
        self.inbox = Inbox({INVITES: payload_limit, COMMANDS: 50}, self.sent.append)

    def bring(self, packet_id: int, payload: bytes = b"part", topic: str = INVITES, *, again: bool = False) -> Delivery:
        delivery = self.inbox.arrive(packet_id, topic, payload, retained=False, again=again)
        self.inbox.put(delivery)
        return delivery


def test_taking_keeps_the_order_and_the_bounds() -> None:
    box = Box(payload_limit=1 << 20)
    brought = [box.bring(number, b"x" * 10_000) for number in range(1, 8)]

    assert box.inbox.take(INVITES, 3, 1 << 20) == brought[:3]
    assert box.inbox.take(INVITES, 10, 30_000) == brought[3:5]
    assert box.inbox.take(INVITES, 10, 1) == brought[5:6]
    assert box.inbox.take(INVITES, 10, 1 << 20) == brought[6:]
    assert box.inbox.take(INVITES, 10, 1 << 20) == []
    assert box.inbox.held == 0


@given(order=st.permutations(range(1, 9)))
def test_acknowledgements_leave_in_the_order_of_arrival(order: list[int]) -> None:
    """Whatever the order they are given in: each as soon as all before it are there, none before."""
    box = Box()
    brought = {number: box.bring(number) for number in range(1, 9)}
    given: set[int] = set()

    for number in order:
        brought[number].acknowledge()
        given.add(number)
        ready = next(first for first in range(1, 10) if first not in given)
        assert box.sent == list(range(1, ready))


def test_acknowledging_twice_does_not_acknowledge_the_next_message_of_that_packet_id() -> None:
    box = Box()
    first = box.bring(1)
    first.acknowledge()
    box.bring(1, b"another part")

    first.acknowledge()

    assert box.sent == [1]


def test_acknowledging_after_the_connection_ended_is_inert() -> None:
    box = Box()
    delivery = box.bring(1)
    box.inbox.close()

    delivery.acknowledge()

    assert box.sent == []
    assert box.inbox.take(INVITES, 10, 1 << 20) == []


def test_message_sent_again_on_a_live_connection_is_delivered_once() -> None:
    box = Box()
    first = box.bring(1)
    box.bring(1, again=True)

    assert box.inbox.take(INVITES, 10, 1 << 20) == [first]
    first.acknowledge()
    assert box.sent == [1]
    assert box.inbox.held == 0


async def test_acknowledging_what_came_twice_does_not_acknowledge_what_has_its_packet_id_by_now() -> None:
    """A broker that sends again on a live connection, while our acknowledgement is on its way to it."""
    box = Box()
    box.bring(1).acknowledge()
    once_more, between = box.bring(1, again=True), box.bring(2)
    between.acknowledge()
    assert box.sent == [1], "in the order of arrival"

    another = box.bring(1, b"another part")
    assert box.sent == [1, 2], "nobody waits for what has no say"
    once_more.acknowledge()
    assert (box.sent, await once_more.turn()) == ([1, 2], False)
    another.acknowledge()
    assert box.sent == [1, 2, 1]


def test_payload_above_the_limit_is_not_held() -> None:
    """A flood of them stays bounded; at the limit itself a payload is kept."""
    box = Box(payload_limit=100_000)
    payload = Random(1).randbytes(100_001)

    kept = box.bring(1, payload[:-1])
    dropped = box.bring(2, payload)

    assert (kept.payload, kept.size, kept.sha256) == (payload[:-1], 100_000, None)
    assert (dropped.payload, dropped.size) == (None, 100_001)
    assert dropped.sha256 == hashlib.sha256(payload).hexdigest()
    assert 100_000 < box.inbox.held < 105_000


def test_every_topic_has_a_limit_of_its_own() -> None:
    """A thousand commands may stand in line, and a part may have a megabyte: the line must not have a gigabyte."""
    box = Box(payload_limit=1 << 20)
    brought = [box.bring(number, b"x" * 51, topic) for number, topic in enumerate((INVITES, COMMANDS, STRAY), 1)]
    assert [delivery.payload for delivery in brought] == [b"x" * 51, None, None]


def test_empty_messages_count_towards_the_bound() -> None:
    box = Box()
    for number in range(1, 1_001):
        box.bring(number, b"")

    assert box.inbox.held > 1_000 * 200


def test_qos_0_is_delivered_and_never_acknowledged() -> None:
    box = Box()
    deliveries = [box.bring(0, b"first"), box.bring(0, b"second")]

    assert box.inbox.take(INVITES, 10, 1 << 20) == deliveries
    deliveries[0].acknowledge()
    assert box.sent == []


def test_topic_nobody_subscribed_to_is_acknowledged_and_said_once() -> None:
    box = Box()
    first = box.bring(1)

    with capture_logs() as events:
        box.bring(2, topic="fluss/v1/gw-2/state")
        box.bring(3, topic="fluss/v1/gw-3/state")

    assert box.inbox.take(INVITES, 10, 1 << 20) == [first]
    assert box.sent == []
    first.acknowledge()
    assert box.sent == [1, 2, 3]
    assert [(event["event"], event["bytes"]) for event in events] == [("link.foreign_ignored", 4)]
    assert box.inbox.held == 0


def test_each_topic_is_taken_by_itself() -> None:
    box = Box()
    part, command, another = box.bring(1), box.bring(2, topic=COMMANDS), box.bring(3)

    assert box.inbox.take(COMMANDS, 10, 1 << 20) == [command]
    assert box.inbox.take(INVITES, 10, 1 << 20) == [part, another]


async def test_turn_comes_when_everything_before_is_acknowledged() -> None:
    box = Box()
    part, another, command = box.bring(1), box.bring(2), box.bring(3, topic=COMMANDS)
    turn = asyncio.ensure_future(command.turn())

    another.acknowledge()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not turn.done(), "the first one is not acknowledged"
    part.acknowledge()
    assert await turn
    command.acknowledge()
    assert box.sent == [1, 2, 3]


async def test_nobody_waits_for_a_turn_on_a_connection_that_has_ended() -> None:
    box = Box()
    box.bring(1)
    turn = asyncio.ensure_future(box.bring(2, topic=COMMANDS).turn())
    await asyncio.sleep(0)

    box.inbox.close()
    assert not await turn


async def test_qos_0_waits_for_no_turn() -> None:
    box = Box()
    box.bring(1)
    assert await box.bring(0).turn()
