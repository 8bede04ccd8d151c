"""Whether a device is reached: what is said of it in the log, and when it is tried again."""

import asyncio
import logging
from collections.abc import Callable
from random import Random
from typing import Final

import structlog

from agent.backoff import Backoff, Ending, Pace

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

PACE: Final = Pace(base_s=0.5, cap_s=15.0, stable_s=30.0)
"""It is a wire on the premises, and people wait at its other end: quick first, and never long."""

MISTAKEN_S: Final = 60.0
"""The longest wait where a person has to put something right first; the shortest is half of it."""


class Lost(Exception):
    """A device cannot be told anything, or not any more; the words say why, and what would cure it."""


class Mismatched(Lost):
    """Another device answers at this address."""


class Contact:
    """The state of one device's line; ``changed`` is called whenever `connected` becomes another.

    ``place`` is the address as the configuration writes it.
    """

    def __init__(
        self, device_id: str, place: str, *, rng: Random, changed: Callable[[], None], pace: Pace = PACE
    ) -> None:
        self.connected = False
        self._facts = {"device_id": device_id, "place": place}
        self._rng = rng
        self._changed = changed
        self._backoff = Backoff(pace)
        self._since_s: float | None = None
        self._reason: str | None = None
        self._told = True

    def made(self, **facts: object) -> None:
        """The device is reached; ``facts`` are what it says of itself."""
        self.connected = True
        self._since_s = asyncio.get_running_loop().time()
        log.log(logging.INFO if self._told else logging.DEBUG, "device.connected", **self._facts, **facts)
        self._told = False
        self._changed()

    def over(self) -> None:
        """The device can be told nothing any more."""
        if self.connected:
            self.connected = False
            self._changed()

    def lost(self, why: Lost) -> float:
        """Take in why the device was lost, or not reached; return the seconds until the next try."""
        now = asyncio.get_running_loop().time()
        since_s, self._since_s = self._since_s, None
        lasted_s = 0.0 if since_s is None else now - since_s
        self._backoff = self._backoff.after(Ending.FAILED, lasted_s=lasted_s, now=now)
        mistaken = isinstance(why, Mismatched)
        retry_s = self._rng.uniform(MISTAKEN_S / 2, MISTAKEN_S) if mistaken else self._backoff.delay(self._rng)
        self._report(why, was=since_s is not None, retry_s=retry_s)
        return retry_s

    def _report(self, why: Lost, *, was: bool, retry_s: float) -> None:
        """Log what is news, and then ever more rarely; a line that comes and goes is one piece of news."""
        failures = self._backoff.failures
        news = str(why) != self._reason or failures & (failures - 1) == 0
        self._reason = str(why)
        self._told = self._told or news
        if isinstance(why, Mismatched):
            event, level = "device.mismatched", logging.ERROR
        else:
            event, level = "device.lost" if was else "device.failed", logging.WARNING
        log.log(
            level if news else logging.DEBUG,
            event,
            **self._facts,
            reason=self._reason,
            attempt=failures,
            retry_s=round(retry_s, 1),
        )
