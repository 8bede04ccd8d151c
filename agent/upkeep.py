"""What time brings: invitations and periods that end, batches that stay incomplete, reports that need not be kept."""

import asyncio
from typing import Final

import structlog

from agent.config import Config
from agent.intake import Intake
from agent.papers import Papers
from agent.vault import Vault
from protocol.vocabulary import ClockState
from storage import changes, codes, events, forgotten, ledger, orders, outbox, replace
from storage.database import StorageFault, Transaction

log = structlog.get_logger()

LOOK_EVERY_S: Final = 30.0
PRUNE_EVERY_S: Final = 3600.0
PRUNE_AFTER: Final = 1_000
"""Reports and events."""

REPORTS_BYTES: Final = 64 << 20
LEDGER_DAYS: Final = 400
TOMBSTONE_DAYS: Final = 90
"""How long the number of somebody who was revoked is kept; then a keyed hash does as well."""

COPIES_DAYS: Final = 7
"""How long a damaged store is kept, and the copy from before a migration: for whoever wants to look, or to go back."""

UNSENT_DAYS: Final = 90
"""How long who went through a gate is kept for a cloud that is away."""

EVENTS: Final = 200_000
"""How many events are kept whatever their age: some 20 MB."""

_DAY_MS: Final = 86_400_000


class Upkeep:
    """Looks after the store when a deadline comes, and every half minute."""

    def __init__(self, config: Config, vault: Vault, intake: Intake, papers: Papers) -> None:
        self._lists = config.lists
        self._retention = config.retention
        self._papers = papers
        self._vault = vault
        self._intake = intake
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """The list changed, and with it perhaps the next deadline."""
        self._changed.set()

    async def run(self) -> None:
        """Expire, remind and prune until cancelled."""
        loop = asyncio.get_running_loop()
        prune_at, pruned_at = loop.time(), 0
        while True:
            self._changed.clear()
            try:
                await self._expire()
                await self._remind()
                newest = outbox.position(self._vault.reader).newest + events.span(self._vault.reader).newest
                if loop.time() >= prune_at or newest - pruned_at > PRUNE_AFTER:
                    prune_at, pruned_at = loop.time() + PRUNE_EVERY_S, newest
                    await self._prune()
                wait_s = self._until_next()
            except StorageFault as fault:
                log.warning("upkeep.failed", error=str(fault))
                wait_s = LOOK_EVERY_S
            await self._intake.tell_floods()
            try:
                await asyncio.wait_for(self._changed.wait(), wait_s)
            except TimeoutError:
                await self._vault.settle()

    def _until_next(self) -> float:
        """Seconds until something is due."""
        reader, silence = self._vault.reader, self._lists.incomplete_after_s * 1000
        due = [
            (changes.next_deadline(reader), self._vault.clock.past()),
            (replace.next_silence(reader, silence), self._vault.now()),
        ]
        return min([LOOK_EVERY_S, *(max(0.05, (at - now) / 1000) for at, now in due if at is not None)])

    async def _expire(self) -> None:
        now = self._vault.clock.past()
        deadline = changes.next_deadline(self._vault.reader)
        if deadline is None or deadline > now:
            return

        async def work(transaction: Transaction) -> int:
            return await changes.expire(transaction, now)

        log.info("users.expired", users=await self._vault.commit(work))

    async def _remind(self) -> None:
        now = self._vault.now()
        silent_since = now - self._lists.incomplete_after_s * 1000
        if (at := replace.next_silence(self._vault.reader, 0)) is None or at > silent_since:
            return

        async def work(transaction: Transaction) -> int:
            return await replace.remind(transaction, silent_since, now)

        log.warning("batch.incomplete", batches=await self._vault.commit(work))

    async def _prune(self) -> None:
        """Forget what is old. By age only while the clock is synchronised, and by a time that is confirmed."""
        clock = self._vault.clock
        today = (clock.certain() or 0) if clock.state() is ClockState.SYNCED else 0

        async def work(transaction: Transaction) -> dict[str, int]:
            return {
                "reports": await outbox.prune(
                    transaction, today - self._retention.reports_days * _DAY_MS, today, REPORTS_BYTES
                ),
                "events": await events.prune(
                    transaction,
                    today - self._retention.events_days * _DAY_MS,
                    EVENTS,
                    today - UNSENT_DAYS * _DAY_MS,
                ),
                "batches": await ledger.forget(transaction, today - LEDGER_DAYS * _DAY_MS),
                "orders": await orders.prune(transaction, today),
                "codes": await codes.purge(transaction, today),
                "tombstones": await forgotten.bury(transaction, today - TOMBSTONE_DAYS * _DAY_MS),
            }

        gone = await self._vault.attempt(work)
        if gone and any(gone.values()):
            log.info("store.pruned", **gone)
        try:
            await self._papers.age(today - self._retention.events_days * _DAY_MS, today - COPIES_DAYS * _DAY_MS)
        except OSError as error:
            log.warning("papers.kept", error=str(error))
