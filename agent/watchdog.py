"""Word to systemd's watchdog, for as long as the loop turns, the writer answers and the gate decides.

The broker has no say in it, or the gate would restart all through an outage.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from agent.supervisor import notify

WORDS_IN_A_PERIOD: Final = 3
"""How often a word is sent while systemd waits for one: two may come late."""


def period_s(environment: Mapping[str, str] = os.environ) -> float | None:
    """How long systemd waits for a word of this process before it ends it, `sd_watchdog_enabled(3)`; None: for ever."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    meant = environment.get("WATCHDOG_PID", str(os.getpid()))
    if not microseconds.isdecimal() or int(microseconds) == 0 or meant != str(os.getpid()):
        return None
    return int(microseconds) / 1e6


@contextmanager
def patience(most_s: float, environment: Mapping[str, str] = os.environ) -> Iterator[None]:
    """Have systemd wait longer for a word meanwhile, `sd_notify(3)`: the writer is at work, and cannot answer."""
    period = period_s(environment)
    if period is None:
        yield
        return
    notify(f"WATCHDOG_USEC={round(most_s * 1e6)}")
    try:
        yield
    finally:
        notify(f"WATCHDOG_USEC={round(period * 1e6)}")


class Watchdog:
    """Asks the writer and the gate, and passes their answer on; an answer that does not come is none.

    An answer may well be that the disk is full: that is no reason to start again.
    """

    def __init__(self, period_s: float | None, writer: Callable[[], Awaitable[None]], gate: Callable[[], None]) -> None:
        self._period_s = period_s
        self._writer = writer
        self._gate = gate

    async def run(self) -> None:
        """Keep systemd content until cancelled."""
        if self._period_s is None:
            return
        while True:
            await self._writer()  # no time limit of our own: systemd's is the one
            self._gate()
            notify("WATCHDOG=1")
            await asyncio.sleep(self._period_s / WORDS_IN_A_PERIOD)
