"""Receive, decode, validate, apply, acknowledge; then report. This page is the product."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from agent.floods import BEYOND, Floods
from agent.link import Delivery, Link
from agent.quarantine import Quarantine
from agent.vault import Vault
from protocol.codec import Limits, Refused, decode, oversized
from protocol.mobile import Numbers
from protocol.signatures import Key
from protocol.validate import Roll, validate
from protocol.vocabulary import Verdict
from storage.apply import Applied, apply
from storage.database import Transaction
from storage.replace import Guard

log = structlog.get_logger()

GROUP_PARTS: Final = 40
GROUP_BYTES: Final = 4 << 20
GROUP_ITEMS: Final = 16_000
"""What may share a commit. It bounds the memory of an import, and how long everybody else waits for the writer."""

FINISH_S: Final = 1.5
"""A group in hand gets this long when the daemon is told to stop."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration says about lists."""

    gateway_id: str
    limits: Limits
    guard: Guard
    trusted: Mapping[str, Key]
    """Whose word a part must be, by `kid`; nobody in it: everybody's is taken."""


class Intake:
    """The one way in. A part is acknowledged only when the commit that holds it is durable."""

    def __init__(
        self,
        *,
        rules: Rules,
        topic: str,
        link: Link,
        vault: Vault,
        numbers: Numbers,
        quarantine: Quarantine,
        floods: Floods[Refused],
    ) -> None:
        self._rules = rules
        self._topic = topic
        self._link = link
        self._vault = vault
        self._numbers = numbers
        self._quarantine = quarantine
        self._floods = floods

    async def run(self) -> None:
        """Take in what comes until cancelled; a group in hand is finished and acknowledged first."""
        while True:
            deliveries = await self._link.receive(self._topic, GROUP_PARTS, GROUP_BYTES)
            group = asyncio.create_task(self._take(deliveries), name="group")
            try:
                await asyncio.shield(group)
            except asyncio.CancelledError:
                await asyncio.wait([group], timeout=FINISH_S)
                group.cancel()
                await asyncio.wait([group], timeout=FINISH_S)
                raise

    async def _take(self, deliveries: Sequence[Delivery]) -> None:
        """Parts that wait together share commits of bounded size."""
        waiting: list[Delivery] = []
        group: dict[str, _Judged] = {}
        items = 0
        for delivery in deliveries:
            digest = delivery.digest
            if digest in group or items >= GROUP_ITEMS:  # what becomes of the first decides about the same again
                await self._commit(group, waiting)
                waiting, group, items = [], {}, 0
            waiting.append(delivery)
            if self._floods.counted(digest, self._vault.now()):
                continue
            judged = await self._judge(delivery)
            group[digest] = (delivery, judged)
            items += judged.items * len(judged.part.device_ids) if isinstance(judged, Roll) else 1
        await self._commit(group, waiting)

    async def _judge(self, delivery: Delivery) -> Roll | Refused:
        """Decode (its signature first) and validate one part; not on the loop, which has a gate to answer."""
        return await asyncio.to_thread(self._understood, delivery)

    def _understood(self, delivery: Delivery) -> Roll | Refused:
        if delivery.payload is None:
            return oversized(delivery.size, delivery.digest, self._rules.limits)
        part = decode(delivery.payload, self._rules.gateway_id, self._rules.limits, self._rules.trusted)
        return part if isinstance(part, Refused) else validate(part, self._numbers)

    async def _commit(self, group: Mapping[str, "_Judged"], deliveries: Sequence[Delivery]) -> None:
        """Apply a group in one transaction, then acknowledge what brought it."""
        if group:
            started = time.monotonic()
            sparing = self._floods.overflowing
            work = self._work([judged for _, judged in group.values()], sparing=sparing)
            outcomes = await self._vault.commit(work)
            for (digest, (delivery, _)), applied in zip(group.items(), outcomes, strict=True):
                if applied.refused is not None and sparing:
                    code = applied.refused.code
                    self._floods.overflow(code, Refused(code, BEYOND), self._vault.now())
                elif applied.refused is not None:
                    await self._refused(delivery, digest, applied.refused)
                if applied.verdict is not Verdict.APPLIED and not sparing:
                    self._floods.spend()
                _log(applied, told=not sparing)
            log.info("group.applied", parts=len(group), ms=round((time.monotonic() - started) * 1000))
        for delivery in deliveries:
            delivery.acknowledge()
        await self._vault.settle()

    async def _refused(self, delivery: Delivery, digest: str, refused: Refused) -> None:
        """What was refused is kept for whoever wants to know why."""
        self._floods.answered(digest, refused, self._vault.now())
        if delivery.payload is not None:
            await asyncio.to_thread(self._quarantine.keep, delivery.payload, digest, self._vault.now())

    def _work(
        self, group: Sequence[Roll | Refused], *, sparing: bool = False
    ) -> Callable[[Transaction], Awaitable[list[Applied]]]:
        async def work(transaction: Transaction) -> list[Applied]:
            now = self._vault.now()
            return await apply(transaction, group, self._vault.devices, self._rules.guard, now, sparing=sparing)

        return work

    async def tell_floods(self, *, leaving: bool = False) -> None:
        """Receipt the floods of refusals that have ended; before leaving all of them, if the disk lets us."""
        floods = self._floods.ended(None if leaving else self._vault.now())
        if ended := [replace(refused, repeated=count) for refused, count in floods]:
            await (self._vault.attempt if leaving else self._vault.commit)(self._work(ended))


_Judged = tuple[Delivery, Roll | Refused]


def _log(applied: Applied, *, told: bool) -> None:
    """One line for each part, but for what floods: nobody reads those, and a journal may lie on the same card."""
    facts = {"batch_id": applied.batch_id, "part": applied.part}
    if applied.verdict is Verdict.APPLIED:
        log.info("part.applied", **facts, users=sum(applied.counts.values()), **applied.counts)
    elif told and applied.refused is not None:
        log.warning("part.rejected", **facts, code=applied.refused.code.value)
    elif told:
        log.info("part.replayed", **facts, users=sum(applied.counts.values()), **applied.counts)
