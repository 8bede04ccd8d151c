"""The MQTT link of a gateway: connected for ever, behind a few coroutines.

It decides when to connect, and what to say about it; a Connection is one connection.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

import structlog

from agent.backoff import Backoff, Ending, Pace
from agent.broker import Address, Failure, suspected
from agent.certificates import Tls
from agent.connection import WINDOW, Connection, LinkDown
from agent.inbox import Delivery

__all__ = ["Address", "Connect", "Connection", "Delivery", "Link", "LinkDown", "LinkStatus", "Tls"]

Connect: TypeAlias = Callable[..., Connection]
"""Makes a connection of what Connection takes."""

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """How the link is doing."""

    connected: bool
    since_ms: int
    """Since when it has been connected, or has not; epoch milliseconds."""
    session_present: bool
    """At the latest connect the broker still had our session; if not, it may have dropped messages meanwhile."""
    attempts: int
    """Failed in a row since it was connected last."""
    last_error: str | None
    """Why the latest attempt or connection ended, in words for a person; also where the link has recovered since."""
    duplicate_identity: bool
    """Another client seems to have our client id."""


def board_uptime_s() -> float:
    """Seconds since the board booted, those it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Link:
    """The one link of a gateway to its broker.

    ``subscriptions`` are topics without wildcards, each with the bytes above which a payload is not held (Delivery).
    ``will`` gives the payload of each new connection's last will, which is retained. ``floor`` gives a moment (epoch
    ms) certainly past, to judge certificates by, while the board's clock is not good enough for that; then None.
    """

    def __init__(
        self,
        address: Address,
        *,
        subscriptions: Mapping[str, int],
        will_topic: str,
        will: Callable[[], bytes],
        rng: Random,
        floor: Callable[[], int | None] = lambda: None,
        board_uptime_s: Callable[[], float] = board_uptime_s,
        now_ms: Callable[[], int] = _now_ms,
        pace: Pace | None = None,
        connect: Connect = Connection,
    ) -> None:
        self._address = address
        self._subscriptions = subscriptions
        self._will_topic = will_topic
        self._will = will
        self._rng = rng
        self._floor = floor
        self._board_uptime_s = board_uptime_s
        self._now_ms = now_ms
        self._connect = connect
        self._backoff = Backoff(pace or Pace())
        self._connection: Connection | None = None
        self._up_since_s: float | None = None
        self._generation = 0
        self._established = asyncio.Condition()
        self._arrival = asyncio.Event()
        self._since_ms = now_ms()
        self._session_present = False
        self._attempts = 0
        self._last_error: str | None = None
        self.chain_end: int | None = None
        """When (epoch ms) the first certificate ends that the broker showed last; None where none is known."""

    @property
    def status(self) -> LinkStatus:
        """How it is doing now."""
        return LinkStatus(
            connected=self._usable() is not None,
            since_ms=self._since_ms,
            session_present=self._session_present,
            attempts=self._attempts,
            last_error=self._last_error,
            duplicate_identity=self._backoff.suspects(self._up_s()),
        )

    @property
    def window(self) -> int:
        """How many messages may be on their way to the broker at once; ``publish`` lets further ones wait."""
        return self._connection.window if self._connection is not None else WINDOW

    async def run(self) -> None:
        """Keep connected until cancelled; then take leave of the broker, within a second. Never returns."""
        delay_s = self._backoff.before_first(self._board_uptime_s(), self._rng)
        while True:
            await asyncio.sleep(delay_s)
            failure, lasted_s = await self._connect_once()
            now = asyncio.get_running_loop().time()
            self._backoff = self._backoff.after(failure.ending, lasted_s=lasted_s, now=now)
            delay_s = self._backoff.delay(self._rng)
            self._attempts += 1
            self._report(failure, lost=lasted_s > 0, retry_s=round(delay_s, 1))

    async def connected(self, after: int = 0) -> int:
        """The number of the connection that is established now, or of the next one, if that is above ``after``."""
        async with self._established:
            await self._established.wait_for(lambda: self._usable() is not None and self._generation > after)
            return self._generation

    async def receive(self, topic: str, most: int, most_bytes: int) -> list[Delivery]:
        """Wait for a delivery on one of the subscriptions; what waits there, up to ``most`` and ``most_bytes``.

        In the order of arrival, the first one whatever its size. For one reader a topic. What came in on a connection
        that has ended is not returned any more: the broker delivers it again.
        """
        while True:
            self._arrival.clear()
            if self._connection is not None and (taken := self._connection.inbox.take(topic, most, most_bytes)):
                return taken
            await self._arrival.wait()

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False, timeout_s: float = 30.0) -> None:
        """Return once the broker has acknowledged the message (QoS 1).

        Raises LinkDown where it has not: it may have arrived all the same. A broker that sends nothing at all for
        ``timeout_s``, or refuses the message, is disconnected, so that the back-off decides about the next try.
        """
        if (connection := self._usable()) is None:
            raise LinkDown(self._last_error or "not connected yet")
        await connection.publish(topic, payload, retain=retain, timeout_s=timeout_s)

    def _usable(self) -> Connection | None:
        connection = self._connection if self._up_since_s is not None else None
        return connection if connection is not None and connection.ending is None else None

    def _up_s(self) -> float:
        return 0.0 if self._up_since_s is None else asyncio.get_running_loop().time() - self._up_since_s

    async def _connect_once(self) -> tuple[Failure, float]:
        """Why an attempt failed or its connection ended, and how many seconds it was established."""
        connection = self._connection = self._connect(
            self._address,
            subscriptions=self._subscriptions,
            will=(self._will_topic, self._will()),
            arrival=self._arrival,
            floor=self._floor(),
        )
        try:
            connection.start()
            with suppress(LinkDown):  # the reason comes from `over`
                await connection.accepted()
                if connection.session_present:
                    await self._rise(connection)
                    await connection.subscribe()
                else:
                    await connection.subscribe()
                    await self._rise(connection)
            # Without a limit: dialling has those of the resolver, TCP and TLS, and what follows those of the link.
            await asyncio.wait([connection.over])
            return connection.over.result(), self._up_s()
        finally:
            self._fall()
            await connection.close()

    async def _rise(self, connection: Connection) -> None:
        self._up_since_s = asyncio.get_running_loop().time()
        self._since_ms = self._now_ms()
        self._generation += 1
        self._attempts = 0
        self._session_present = connection.session_present
        self.chain_end = connection.chain_end
        log.info(
            "link.connected",
            broker=self._address.place,
            session_present=connection.session_present,
            window=connection.window,
        )
        async with self._established:
            self._established.notify_all()

    def _fall(self) -> None:
        if self._up_since_s is not None:
            self._up_since_s = None
            self._since_ms = self._now_ms()
        self._connection = None

    def _report(self, failure: Failure, *, lost: bool, retry_s: float) -> None:
        """Log a failure when it is news, and then ever more rarely."""
        words = (
            suspected(self._address) if self._backoff.yielding and failure.ending is Ending.HUNG_UP else failure.words
        )
        news = words != self._last_error or self._attempts & (self._attempts - 1) == 0
        self._last_error = words
        log.log(
            logging.WARNING if news else logging.DEBUG,
            "link.lost" if lost else "link.failed",
            error=words,
            attempt=self._attempts,
            retry_s=retry_s,
        )
        if self._backoff.duplicate and failure.ending is not Ending.FAILED:
            log.error("link.duplicate_found", client_id=self._address.client_id, retry_s=retry_s)
