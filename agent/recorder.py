"""Record: what happened at the gates goes into the store, together, with whatever commit comes next."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from agent.vault import Vault
from protocol.events import Event
from storage import changes, events
from storage.database import Transaction

log = structlog.get_logger()

MOST_WAITING: Final = 1_000
"""Events that a store which cannot be written leaves waiting; more are lost, and counted."""

Work = Callable[[Transaction], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Entry:
    event: Event | None
    work: Work | None
    stored: "asyncio.Future[None]"

    @property
    def owed(self) -> bool:
        """Whether it does more than tell: the use of a code, a command that must not come twice, an acceptance."""
        return self.work is not None


class Recorder:
    """Keeps what the gate has to tell until it is stored. The gate never waits for it."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._waiting: deque[_Entry] = deque()
        self._arrival = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._lost = 0

    @property
    def lost(self) -> int:
        """Events that are lost and not yet counted in the store."""
        return self._lost

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be stored."""
        return self._idle.is_set()

    def add(self, event: Event, work: Work | None = None) -> "asyncio.Future[None]":
        """Store an event, and in the same transaction do `work`; done when it is durable, cancelled if it is lost."""
        return self._put(event, work)

    def accept(self, device: int, mobile: int) -> "asyncio.Future[None]":
        """Store that a person has taken up the invitation at a device; done when it is durable, cancelled if not."""

        async def work(transaction: Transaction) -> None:
            if await changes.accept(transaction, device, mobile, self._vault.now()):
                log.info("user.accepted")

        return self.do(work)

    def do(self, work: Work) -> "asyncio.Future[None]":
        """Do some work in a transaction of its turn; done when it is durable, cancelled if it is given up."""
        return self._put(None, work)

    async def run(self) -> None:
        """Store what comes until cancelled."""
        while True:
            await self._arrival.wait()
            self._arrival.clear()
            entries = list(self._waiting)
            self._waiting.clear()
            lost = self._lost
            await self._vault.commit(_together(entries, lost))
            self._lost -= lost
            log.info("events.recorded", events=sum(entry.event is not None for entry in entries))
            for entry in entries:
                if not entry.stored.done():
                    entry.stored.set_result(None)
            if not self._waiting:
                self._idle.set()

    async def drain(self, within_s: float) -> None:
        """Wait until everything is stored, but no longer than that."""
        try:
            await asyncio.wait_for(self._idle.wait(), within_s)
        except TimeoutError:
            log.error("events.abandoned", events=len(self._waiting))  # noqa: TRY400 -- the disk's trouble, not ours

    def _put(self, event: Event | None, work: Work | None) -> "asyncio.Future[None]":
        if len(self._waiting) >= MOST_WAITING:
            self._drop()
        entry = _Entry(event, work, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self._idle.clear()
        self._arrival.set()
        return entry.stored

    def _drop(self) -> None:
        """Give up the oldest entry, but what is owed as late as can be: there is never much of it."""
        given_up = next((entry for entry in self._waiting if not entry.owed), self._waiting[0])
        self._waiting.remove(given_up)
        given_up.stored.cancel()
        if given_up.event is None:
            return
        self._lost += 1
        if self._lost == 1:
            log.error("event.lost", waiting=MOST_WAITING)


def _together(entries: Sequence[_Entry], lost: int) -> Work:
    happened = [entry.event for entry in entries if entry.event is not None]
    tried = False

    async def work(transaction: Transaction) -> None:
        nonlocal tried
        if tried and happened and await events.are_newest(transaction, happened):
            return  # the disk failed after it had stored them
        tried = True
        for entry in entries:
            if entry.work is not None:
                await entry.work(transaction)
        await events.record(transaction, happened)
        if lost:
            await events.count_lost(transaction, lost)

    return work
