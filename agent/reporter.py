"""Report: what the outbox holds goes to the broker, in order, a bounded window at a time, until the broker has it."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from agent.link import Link, LinkDown
from agent.vault import Vault
from protocol.reports import receipt_payload, statuses_payload, unpacked
from protocol.topics import Topics
from storage import outbox
from storage.database import StorageFault, Transaction
from storage.outbox import Report

log = structlog.get_logger()

READ_AT_ONCE: Final = 64
SAVE_EVERY_S: Final = 30.0
"""How long the note of what was sent may wait for a write: losing it costs a repetition, which the cloud drops."""

PAUSE_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class _Outgoing:
    topic: str
    payload: bytes
    taken: Callable[[], None]


class Reporter:
    """Sends replies, receipts and statuses from the outbox, which is the only queue."""

    def __init__(self, gateway_id: str, topics: Topics, link: Link, vault: Vault, drained: Callable[[], None]) -> None:
        self._gateway_id = gateway_id
        self._topics = topics
        self._link = link
        self._vault = vault
        self._drained = drained
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        where = outbox.position(vault.reader)
        self._epoch = where.epoch
        self._newest = where.newest
        self._sent = self._saved = where.sent
        self._underway: deque[int] = deque()
        self._taken: set[int] = set()
        self._resent: set[int] = set()
        self._again: tuple[int, int] | None = None
        """Which request is being answered, and the next report of it."""
        self._replied: set[int] = set()

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    def unsent(self) -> int:
        """How many reports wait for the broker, as far as can be read."""
        with suppress(StorageFault):
            self._newest = outbox.position(self._vault.reader).newest
        return self._newest - self._sent

    async def run(self) -> None:
        """Send what there is, on whatever connection there is, until cancelled."""
        self._wake.set()
        while True:
            await self._wake.wait()
            await self._link.connected()
            self._wake.clear()
            try:
                while await self._send(self._replies()) + await self._send(self._fresh()) + await self._resend():
                    pass
                self._idle.set()
                self._drained()
            except* LinkDown:
                self._wake.set()
                await asyncio.sleep(PAUSE_S)  # the link notices its end in its own time
            except* StorageFault as faults:
                log.debug("outbox.read_failed", error=str(faults.exceptions[0]))
                self._wake.set()
                await asyncio.sleep(self._vault.pause())

    async def drain(self, within_s: float) -> None:
        """Wait until everything is sent, but no longer than that."""
        self._idle.clear()
        self._wake.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), within_s if self._link.status.connected else 0)

    async def save(self) -> None:
        """Write down what the broker has taken."""
        through, resent, replied = self._sent, tuple(self._resent), tuple(self._replied)
        if (through, resent, replied) == (self._saved, (), ()):
            return
        latest = self._vault.clock.certain()

        async def work(transaction: Transaction) -> bool:
            await outbox.sent(transaction, through, resent, replied, latest)
            return True

        if await self._vault.attempt(work):
            self._saved = through
            self._resent.difference_update(resent)
            self._replied.difference_update(replied)

    async def keep_saving(self) -> None:
        """Write down what was sent every now and then, until cancelled."""
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            await self.save()

    async def _send(self, messages: Iterable[_Outgoing]) -> int:
        """Send messages in order, several on their way at a time; how many the broker has taken: all of them."""
        room = asyncio.Semaphore(self._link.window)
        count = 0

        async def publish(message: _Outgoing) -> None:
            await self._link.publish(message.topic, message.payload)
            message.taken()
            room.release()

        async with asyncio.TaskGroup() as window:
            for message in messages:
                await room.acquire()
                window.create_task(publish(message))
                count += 1
        return count

    def _replies(self) -> Iterator[_Outgoing]:
        for number, body in outbox.replies(self._vault.reader, READ_AT_ONCE + len(self._replied)):
            if number not in self._replied:
                yield _Outgoing(self._topics.replies, body, partial(self._replied.add, number))

    def _fresh(self) -> Iterator[_Outgoing]:
        self._underway.clear()
        self._taken.clear()
        self._newest = outbox.position(self._vault.reader).newest
        for report in outbox.reports(self._vault.reader, self._sent + 1, self._newest, READ_AT_ONCE):
            self._underway.append(report.number)
            yield self._written(report, partial(self._took, report.number))

    def _took(self, number: int) -> None:
        """The broker has this report; what it has without a gap need not be sent again."""
        self._taken.add(number)
        while self._underway and self._underway[0] in self._taken:
            self._sent = self._underway.popleft()

    async def _resend(self) -> int:
        """Send again what was asked for, some messages at a time: what is new goes before it, also in between."""
        resend = outbox.next_resend(self._vault.reader, max(self._resent, default=0))
        if resend is None or resend.after > self._sent:
            return 0
        if self._again is None or self._again[0] != resend.number:
            self._again = (resend.number, resend.first)
        stored = outbox.reports(self._vault.reader, self._again[1], resend.last, READ_AT_ONCE)
        if stored:
            await self._send(self._written(report, lambda: None) for report in stored)
            self._again = (resend.number, stored[-1].number + 1)
        if not stored or stored[-1].number == resend.last:
            self._resent.add(resend.number)
        return 1

    def _written(self, report: Report, taken: Callable[[], None]) -> _Outgoing:
        """A report as the wire carries it: the same bytes every time."""
        if report.kind == "receipt":
            payload = receipt_payload(self._gateway_id, self._epoch, report.number, report.at, report.body)
            return _Outgoing(self._topics.receipts, payload, taken)
        runs = unpacked(report.body)
        payload = statuses_payload(self._gateway_id, self._epoch, report.number, report.at, report.batch, runs)
        return _Outgoing(self._topics.statuses, payload, taken)
