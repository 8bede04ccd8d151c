"""Whoever has to renew a certificate hears of it in time: from the log, from `state`, and from `fluss-agent status`."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from agent.broker import Address
from agent.certificates import Ends, Tls, UnusableError, concerns
from agent.clock import Clock
from agent.link import Link

log = structlog.get_logger()

LOOK_EVERY_S: Final = 3600.0
SAY_EVERY_S: Final = 86_400.0


class Renewal:
    """Looks at the files of TLS every hour and at every connection, before one needs them; ``changed`` is told of news.

    They are not put to use for that: a connection that works is not given up, however new the files are.
    """

    def __init__(self, address: Address, clock: Clock, changed: Callable[[], None]) -> None:
        self.ends = Ends()
        self._address = address
        self._clock = clock
        self._changed = changed
        self._said_s: dict[str, float] = {}

    async def run(self, link: Link) -> None:
        """Look, and log what needs somebody, each once a day, until cancelled."""
        generation = 0
        while self._address.tls is not None:
            await self._look(self._address.tls, link.chain_end)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    generation = await link.connected(after=generation)

    async def _look(self, tls: Tls, broker: int | None) -> None:
        try:
            ends = await asyncio.to_thread(_examined, tls, broker)
        except UnusableError as error:
            if self._due("files"):
                log.error("certificates.unusable", error=str(error))  # noqa: TRY400 -- no bug to trace
            return
        if ends != self.ends:
            self.ends = ends
            self._changed()
        for each in concerns(ends, tls, self._address.place, self._clock.now()):
            if self._due(each.what):
                (log.warning if each.left_ms > 0 else log.error)("certificates.ending", concern=each.words)

    def _due(self, what: str) -> bool:
        now_s = asyncio.get_running_loop().time()
        if now_s < self._said_s.get(what, now_s):
            return False
        self._said_s[what] = now_s + SAY_EVERY_S
        return True


def _examined(tls: Tls, broker: int | None) -> Ends:
    """As Tls.ends, once a connection could be made with the files. Raises UnusableError."""
    tls.context()
    return tls.ends(broker)
