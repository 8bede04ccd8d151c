"""What one connection brought in: kept in order, bounded, and acknowledged in the order it came."""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

_OVERHEAD: Final = 1 << 10  # what a message costs beside its payload, so that a flood of empty ones is bounded too

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """One message from the broker, which keeps it until ``acknowledge()``."""

    inbox: "Inbox" = field(repr=False)
    packet_id: int
    """0 is QoS 0, which knows no acknowledgement."""
    topic: str
    payload: bytes | None = field(repr=False)
    """None where it was larger than the limit: then only ``size`` and ``sha256`` are kept."""
    retained: bool
    size: int
    sha256: str | None = None
    """In hex; None where the payload itself is there."""
    again: bool = False
    """The broker has sent it before, as it says (DUP)."""

    @property
    def digest(self) -> str:
        """SHA-256 of what came, in hex."""
        return self.sha256 or hashlib.sha256(self.payload or b"").hexdigest()

    @property
    def cost(self) -> int:
        """Bytes it takes in memory, roughly."""
        return _OVERHEAD + len(self.payload or b"")

    def acknowledge(self) -> None:
        """Let the broker forget it. Without effect once its connection has ended: then it is delivered again."""
        self.inbox.acknowledge(self)

    async def turn(self) -> bool:
        """Wait until everything that came before it is acknowledged; False where its connection has ended first."""
        return await self.inbox.turn(self)


class Inbox:
    """The deliveries of one connection; ``send`` acknowledges a packet id to the broker.

    ``subscriptions`` are its topics, each with the bytes above which a payload is not held. ``arrive`` may be called on
    another thread than everything else.
    """

    def __init__(self, subscriptions: Mapping[str, int], send: Callable[[int], None]) -> None:
        self._limits = subscriptions
        self._send = send
        self._waiting: dict[str, deque[Delivery]] = {topic: deque() for topic in subscriptions}
        self._unsettled: dict[int, Delivery] = {}  # by packet id, in the order of arrival
        self._settled: set[Delivery] = set()  # acknowledged to us, not yet to the broker
        self._advanced = asyncio.Event()
        self._warned = False
        self._arrived = 0  # bytes; written by `arrive` only, as the next by all the others only
        self._left = 0

    def __bool__(self) -> bool:
        """Whether anything waits to be taken."""
        return any(self._waiting.values())

    @property
    def held(self) -> int:
        """Bytes that have arrived and were not taken yet."""
        return self._arrived - self._left

    def arrive(self, packet_id: int, topic: str, payload: bytes, *, retained: bool, again: bool = False) -> Delivery:
        """Count what has been read from the connection. It belongs to the inbox once it is ``put`` there."""
        size = len(payload)
        if size > self._limits.get(topic, 0):
            digest = hashlib.sha256(payload).hexdigest()
            delivery = Delivery(self, packet_id, topic, None, retained, size, digest, again)
        else:
            delivery = Delivery(self, packet_id, topic, payload, retained, size, again=again)
        self._arrived += delivery.cost
        return delivery

    def put(self, delivery: Delivery) -> None:
        """Add what has arrived, in the order of arrival."""
        if (known := self._unsettled.get(delivery.packet_id)) is not None:
            if delivery.again:  # on a live connection, as some brokers do
                self._left += delivery.cost
                return
            # Its number is free for the broker, so that had our acknowledgement: what we hold came twice, and is inert.
            del self._unsettled[delivery.packet_id]
            self._settled.discard(known)
            self._send_settled()
        if delivery.packet_id:
            self._unsettled[delivery.packet_id] = delivery
        if (waiting := self._waiting.get(delivery.topic)) is not None:
            waiting.append(delivery)
            return
        self._left += delivery.cost
        delivery.acknowledge()
        if not self._warned:  # some brokers send every retained message they have: one line says it
            self._warned = True
            log.warning("link.foreign_ignored", bytes=delivery.size)  # its topic may name anybody

    def take(self, topic: str, most: int, most_bytes: int) -> list[Delivery]:
        """What waits of a topic, in the order of arrival, up to the bounds; always one where any waits."""
        waiting = self._waiting[topic]
        taken: list[Delivery] = []
        cost = 0
        while waiting and (not taken or (len(taken) < most and cost + waiting[0].cost <= most_bytes)):
            taken.append(waiting.popleft())
            cost += taken[-1].cost
        self._left += cost
        return taken

    def acknowledge(self, delivery: Delivery) -> None:
        """Send its acknowledgement as soon as all before it are sent: MQTT wants the order of arrival [MQTT-4.6.0-2].

        The delivery itself is asked for, not its packet id: that may mean another message by now.
        """
        if self._unsettled.get(delivery.packet_id) is not delivery:
            return
        self._settled.add(delivery)
        self._send_settled()

    def _send_settled(self) -> None:
        while self._unsettled and (first := next(iter(self._unsettled.values()))) in self._settled:
            self._settled.remove(first)
            del self._unsettled[first.packet_id]
            self._send(first.packet_id)
        self._advanced.set()

    async def turn(self, delivery: Delivery) -> bool:
        """Wait until everything that came before a delivery is acknowledged; False where the connection has ended."""
        while self._unsettled.get(delivery.packet_id) is delivery and next(iter(self._unsettled)) != delivery.packet_id:
            self._advanced.clear()
            await self._advanced.wait()
        return not delivery.packet_id or self._unsettled.get(delivery.packet_id) is delivery

    def close(self) -> None:
        """The connection has ended: nothing more can be taken or acknowledged."""
        for waiting in self._waiting.values():
            waiting.clear()
        self._unsettled.clear()
        self._settled.clear()
        self._advanced.set()
