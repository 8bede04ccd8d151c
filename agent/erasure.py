"""Erase: one person is forgotten everywhere, in the store and in every file beside it, and then it is said.

First the lists: from then on nobody opens by them. What is under way at a gate ends and is recorded before the store is
gone through for good. Then come the files, and in the end all of them are searched for the number.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from agent.gate import Gate
from agent.papers import Papers
from agent.recorder import Recorder
from agent.residue import Residue, traces, words
from agent.vault import Vault
from agent.watchdog import patience
from storage import erasure, events
from storage.database import StorageFault, Transaction
from storage.erasure import Erased

log = structlog.get_logger()

QUIET_S: Final = 10.0
"""How long what is under way at the gates may take: an answer of the hardware has a limit of its own."""

REWRITE_S: Final = 600.0
"""How long it may take to write the store anew: some 250 MB of writing where it is as large as it can be."""

_LOOK_S: Final = 0.05


@dataclass(slots=True)
class Receipt:
    """What went, in numbers, and the files (not of this program) in which the number still is."""

    counts: Counter[str] = field(default_factory=lambda: Erased().counts)
    left: tuple[str, ...] = ()


@dataclass(slots=True)
class _Person:
    mobile: int
    gone: Erased
    receipt: Receipt = field(default_factory=Receipt)


class Erasure:
    """Forgets people. Those who are to be forgotten at the same time share the work on the files."""

    def __init__(
        self,
        *,
        residue: Residue,
        vault: Vault,
        gate: Gate,
        recorder: Recorder,
        papers: Papers,
    ) -> None:
        self._residue = residue
        self._vault = vault
        self._gate = gate
        self._recorder = recorder
        self._papers = papers
        self._waiting: list[_Person] = []
        self._turn = asyncio.Lock()

    async def begin(self, mobile: int) -> Callable[[], Awaitable[Receipt]]:
        """Take somebody (E.164 digits) off everything that the store knows; what is returned does the rest."""
        await self._without_copies()
        person = _Person(mobile, await self._erased(mobile))
        self._waiting.append(person)

        async def finish() -> Receipt:
            async with self._turn:
                if person in self._waiting:
                    await self._finish(list(self._waiting))
            return person.receipt

        return finish

    async def _without_copies(self) -> None:
        """A row that is gone and that a copy has looks like damage: the copies go first, and are swept up later too."""
        try:
            await self._papers.drop_copies()
        except OSError as fault:
            log.warning("erasure.postponed", error=str(fault))

    async def resume(self) -> None:
        """Do what an earlier run of this program did not come to: who was meant is not known any more."""
        try:
            if not erasure.is_unswept(self._vault.reader):
                return
        except StorageFault as fault:
            log.warning("erasure.postponed", error=str(fault))
            return
        async with self._turn:
            await self._finish(list(self._waiting))

    async def _erased(self, mobile: int) -> Erased:
        return await self._vault.commit(lambda transaction: erasure.erase(transaction, mobile, self._vault.now()))

    async def _finish(self, people: Sequence[_Person]) -> None:
        await self._quiet()
        for person in people:
            again = await self._erased(person.mobile)
            person.gone.counts.update(again.counts)
            person.gone.words.update(again.words)
        while True:
            try:
                await self._sweep(people)
                break
            except (OSError, StorageFault) as fault:
                log.warning("erasure.postponed", error=str(fault))
                await asyncio.sleep(self._vault.pause())
        self._waiting = [person for person in self._waiting if person not in people]
        if not self._waiting:
            await self._vault.commit(_swept)
        for person in people:
            person.receipt.counts = person.gone.counts
        log.info("people.erased", people=len(people), residue=sum(len(each.receipt.left) for each in people))

    async def _quiet(self) -> None:
        """Wait until what was decided before has ended, but not for ever; and then, until it is recorded."""
        for _ in range(round(QUIET_S / _LOOK_S)):
            if not self._gate.moving:
                break
            await asyncio.sleep(_LOOK_S)
        while not self._recorder.idle:
            recorded = self._recorder.do(_nothing)
            await asyncio.wait([recorded])
            if not recorded.cancelled():
                break

    async def _sweep(self, people: Sequence[_Person]) -> None:
        """Go through the files. Raises OSError, StorageFault."""
        recorded = events.recorded_intents(self._vault.reader, await self._papers.intents())
        await self._papers.forget(recorded, [person.mobile for person in people])
        await self._vault.leave_no_trace(rewritten=False)
        wanted = [trace for person in people for trace in (*traces(person.mobile), *words(person.gone.words))]
        if not people or await asyncio.to_thread(self._residue.in_store, wanted):
            with patience(REWRITE_S):
                await self._vault.leave_no_trace(rewritten=True)
            await self._papers.drop_copies()  # of before
        for person in people:
            found = await asyncio.to_thread(self._residue.beside, traces(person.mobile))
            person.receipt.left = tuple(path.name for path in found)


async def _nothing(_: Transaction) -> None:
    """What is stored after all that came before."""


async def _swept(transaction: Transaction) -> None:
    await erasure.swept(transaction)
