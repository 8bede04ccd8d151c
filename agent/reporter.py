"""Report: what the outbox holds goes to the broker, in order, a bounded window at a time, until the broker has it."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final

import structlog

from agent.link import Link, LinkDown
from agent.stream import READ_AT_ONCE, Kind, Outgoing, Stream
from agent.vault import Vault
from protocol.events import event_payload
from protocol.reports import receipt_payload, statuses_payload, unpacked
from protocol.topics import Topics
from storage import events, outbox
from storage.database import StorageFault, Transaction
from storage.events import Recorded
from storage.outbox import Report

log = structlog.get_logger()

SAVE_EVERY_S: Final = 300.0
"""How long the note of what was sent may wait for a write: losing it costs a repetition, which the cloud drops."""

PAUSE_S: Final = 0.2


class Reporter:
    """Sends replies, receipts, statuses and events from the outbox, which is the only queue."""

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
        reports = Kind(lambda reader: outbox.position(reader).newest, outbox.reports, outbox.next_resend, self._report)
        log_of_gates = Kind(lambda reader: events.span(reader).newest, events.events, events.next_resend, self._event)
        self._reports: Stream[Report] = Stream(reports, vault, where.sent)
        self._events: Stream[Recorded] = Stream(log_of_gates, vault, events.span(vault.reader).sent)
        self._saved = self._reports.sent, self._events.sent
        self._replied: set[int] = set()

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    def unsent(self) -> int:
        """How many reports and events wait for the broker, as far as can be read."""
        return self._reports.unsent() + self._events.unsent()

    def sent(self) -> int:
        """The last report of which, and of all before it, the broker has word."""
        return self._reports.sent

    async def run(self) -> None:
        """Send what there is, on whatever connection there is, until cancelled."""
        self._wake.set()
        while True:
            await self._wake.wait()
            await self._link.connected()
            self._wake.clear()
            try:
                while await self._send_some():
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
        through = self._reports.sent, self._events.sent
        resent, replied = (*self._reports.resent, *self._events.resent), tuple(self._replied)
        if (through, resent, replied) == (self._saved, (), ()):
            return

        async def work(transaction: Transaction) -> bool:
            await outbox.sent(transaction, through[0], resent, replied)
            await events.sent(transaction, through[1])
            return True

        if await self._vault.attempt(work):
            self._saved = through
            self._reports.resent.difference_update(resent)
            self._events.resent.difference_update(resent)
            self._replied.difference_update(replied)

    async def keep_saving(self) -> None:
        """Write down what was sent every now and then, until cancelled."""
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            await self.save()

    async def _send_some(self) -> int:
        """Send some of each kind; how many messages that were, what was asked for again counted once."""
        self._epoch = outbox.position(self._vault.reader).epoch
        count = await self._send(self._replies())
        for stream in (self._reports, self._events):
            count += await self._send(stream.fresh())
        for stream in (self._reports, self._events):
            await self._send(stream.again())
            count += stream.answered()
        return count

    async def _send(self, messages: Iterable[Outgoing]) -> int:
        """Send messages in order, several on their way at a time; how many the broker has taken: all of them."""
        room = asyncio.Semaphore(self._link.window)
        count = 0

        async def publish(message: Outgoing) -> None:
            await self._link.publish(message.topic, message.payload)
            message.taken()
            room.release()

        async with asyncio.TaskGroup() as window:
            for message in messages:
                await room.acquire()
                window.create_task(publish(message))
                count += 1
                await asyncio.sleep(0)  # the gate is answered between messages
        return count

    def _replies(self) -> Iterator[Outgoing]:
        for number, body in outbox.replies(self._vault.reader, READ_AT_ONCE + len(self._replied)):
            if number not in self._replied:
                yield Outgoing(self._topics.replies, body, partial(self._replied.add, number))

    def _report(self, report: Report) -> tuple[str, bytes]:
        if report.kind == "receipt":
            payload = receipt_payload(self._gateway_id, self._epoch, report.number, report.at, report.body)
            return self._topics.receipts, payload
        runs = unpacked(report.body)
        payload = statuses_payload(self._gateway_id, self._epoch, report.number, report.at, report.batch, runs)
        return self._topics.statuses, payload

    def _event(self, recorded: Recorded) -> tuple[str, bytes]:
        return self._topics.events, event_payload(self._gateway_id, self._epoch, recorded.number, recorded.event)
