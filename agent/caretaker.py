"""Looks after the store as a whole: copies of it while it is good, and a close look where there is cause for one."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Final

import structlog

from agent import memory
from agent.alarm import Alarm
from agent.keep import Keep
from agent.vault import Vault
from storage import codes, events, forgotten, outbox, replace
from storage.checkup import defect
from storage.database import Damaged, Reader, StorageFault
from storage.snapshot import KEPT
from storage.store import device_states

log = structlog.get_logger()

SETTLE_S: Final = 2.0
"""A list is copied once it has been quiet for so long, and no batch is open."""

LISTS_EVERY_S: Final = 600.0
DAILY_S: Final = 86_400.0
AFTER_FAILURE_S: Final = 600.0


class Caretaker:
    """Copies the store when its lists have changed, and once a day when anything has; looks through both daily.

    A store that was not closed when it was used last is looked through closely at once. `told` is called when copies
    can be made no more, or again.
    """

    def __init__(
        self,
        *,
        keep: Keep,
        vault: Vault,
        alarm: Alarm,
        told: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = keep.store
        self._key = keep.key
        self._snapshots = keep.snapshots
        self._unclean = keep.unclean
        self._vault = vault
        self._alarm = alarm
        self._told = told
        self.fault: str | None = None
        """Why the store cannot be copied at present; None while it can."""
        self._monotonic = monotonic
        self._changed = asyncio.Event()
        self._taken_at = -math.inf
        self._daily_at = monotonic() + DAILY_S

    def changed(self) -> None:
        """Something was stored."""
        self._changed.set()

    async def run(self) -> None:
        """Look after the store until cancelled."""
        if self._unclean:
            await self._try(self._look_closely)
        while True:
            self._changed.clear()
            wait_s = await self._try(self._look_after)
            try:
                await asyncio.wait_for(self._changed.wait(), wait_s)
            except TimeoutError:
                continue
            await asyncio.sleep(SETTLE_S)

    async def _try(self, work: Callable[[], Awaitable[float]]) -> float:
        """Do some work; seconds until there is something to do even if nothing changes."""
        try:
            wait_s = await work()
        except Damaged as damage:
            self._alarm.ring(damage)
        except (StorageFault, OSError) as fault:
            log.warning("snapshot.failed", error=str(fault))
            self._tell(str(fault))
        else:
            self._tell(None)
            return wait_s
        await asyncio.sleep(AFTER_FAILURE_S)
        return 0.0

    def _tell(self, fault: str | None) -> None:
        if fault != self.fault:
            self.fault = fault
            self._told()

    async def _look_after(self) -> float:
        now = self._monotonic()
        if now >= self._daily_at:
            self._daily_at = now + DAILY_S
            await self._once_a_day()
        elif self._differs(_lists, 1) and replace.next_silence(self._vault.reader, 0) is None:
            if now < self._taken_at + LISTS_EVERY_S and self._snapshots.paths():
                return self._taken_at + LISTS_EVERY_S - now
            await self._copy()
        return max(0.0, self._daily_at - self._monotonic())

    async def _once_a_day(self) -> None:
        """Copy the store if a copy says anything else, or is not what it was; look through it in any case.

        So what the store has forgotten is in its older copy for two days at most.
        """
        good = await asyncio.to_thread(lambda: list(self._snapshots.good()))
        if good != self._snapshots.paths() or self._differs(_all_told, KEPT):
            await self._copy()
        else:
            await self._look_closely()

    def _differs(self, told: Callable[[Reader], object], newest: int) -> bool:
        """Whether the store tells something else than one of its newest copies; not where it never heard of a list."""
        if not any(state.revision for state in device_states(self._vault.reader).values()):
            return False
        copies = list(islice(self._snapshots.answers(told), newest))
        return copies != [told(self._vault.reader)] * max(1, len(copies))

    async def _copy(self) -> None:
        self._taken_at = self._monotonic()
        await self._snapshots.take()
        await asyncio.to_thread(memory.give_back)

    async def _look_closely(self) -> float:
        """As closely as it takes; the copies of a store are looked through so as well. Raises Damaged."""
        reason = await asyncio.to_thread(defect, self._store, closely=True, key=self._key)
        await asyncio.to_thread(memory.give_back)
        if reason is not None:
            raise Damaged(f"{self._store}: {reason}")
        return 0.0


def _lists(reader: Reader) -> tuple[object, ...]:
    """What changes with the lists, and when the store was restored."""
    return outbox.position(reader).epoch, device_states(reader)


def _all_told(reader: Reader) -> tuple[object, ...]:
    """What changes with every word that is stored, and with every one that is forgotten."""
    position, log = outbox.position(reader), events.span(reader)
    return device_states(reader), position, log, codes.extent(reader), forgotten.extent(reader)
