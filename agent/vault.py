"""The store as the daemon's parts share it: commits that outlast a sick disk, and news of them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from random import Random
from typing import Final, TypeVar

import structlog

from agent.clock import Clock
from storage.database import Database, Reader, StorageFault, Transaction
from storage.merge import Device

log = structlog.get_logger()

T = TypeVar("T")

RETRY_S: Final = 0.5
RETRY_AT_MOST_S: Final = 15.0


class Vault:
    """One writer, one reader, the devices by id, and the clock that dates what is written."""

    def __init__(
        self, database: Database, reader: Reader, devices: Mapping[str, Device], clock: Clock, rng: Random
    ) -> None:
        self.reader = reader
        self.devices = devices
        self.clock = clock
        self._database = database
        self._rng = rng
        self._listeners: list[Callable[[], None]] = []
        self.fault: str | None = None
        """Why nothing can be stored at present; None while all is well."""

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every commit, and whenever the store falls ill or recovers."""
        self._listeners.append(listener)

    def now(self) -> int:
        """The moment in epoch milliseconds."""
        return self.clock.now()

    async def commit(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` in a transaction, again and again until the disk lets it: what it stores cannot be given up."""
        attempt = 0
        while True:
            try:
                result = await self._database.transact(work)
            except StorageFault as fault:
                self._ill(fault)
                await asyncio.sleep(self._rng.uniform(0, min(RETRY_AT_MOST_S, RETRY_S * 2.0 ** min(attempt, 16))))
                attempt += 1
            else:
                self._well()
                self._tell()
                return result

    def pause(self) -> float:
        """Seconds to wait before a disk that failed is asked again."""
        return self._rng.uniform(RETRY_S, RETRY_AT_MOST_S / 3)

    async def attempt(self, work: Callable[[Transaction], Awaitable[T]]) -> T | None:
        """Run `work` in a transaction once; None where the disk did not let it. For what can wait for another time."""
        try:
            result = await self._database.transact(work)
        except StorageFault as fault:
            self._ill(fault)
            return None
        self._well()
        return result

    async def answer(self) -> None:
        """Return when the writer has answered anything at all, a fault included."""

        async def nothing(_: Transaction) -> None:
            return

        with suppress(StorageFault):
            await self._database.transact(nothing)

    async def settle(self) -> None:
        """Move the write-ahead log into the file when it has grown; apart from the answer that was waited for."""
        try:
            await self._database.checkpoint()
        except StorageFault as fault:
            self._ill(fault)

    async def leave_no_trace(self, *, rewritten: bool) -> None:
        """Have nothing of what was deleted in the store's files; `rewritten` where pages may still hold some of it.

        Raises StorageFault; also where somebody else reads the store for so long that its log cannot be emptied.
        """
        if rewritten:
            await self._database.rewrite()
        if not await self._database.empty_log():
            raise StorageFault(f"{self._database.path}: another program reads it; close that program")

    def _ill(self, fault: StorageFault) -> None:
        if self.fault is None:
            log.error("storage.degraded", error=str(fault))
            self.fault = str(fault)
            self._tell()

    def _well(self) -> None:
        if self.fault is not None:
            log.info("storage.recovered")
            self.fault = None
            self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()
