"""The command `resync`: a device's digests, and the users that the cloud wants to compare with its own."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import structlog

from agent.vault import Vault
from protocol.commands import CommandMessage, Unusable
from protocol.vocabulary import CommandRefusal
from storage import forgotten, resync
from storage.database import Reader, StorageFault, Transaction
from storage.merge import Device
from storage.outbox import Position, position, request
from storage.resync import Picture

log = structlog.get_logger()

Work: TypeAlias = Callable[[Transaction], Awaitable[dict[str, Any]]]
"""What is left to do in the transaction of the reply; it comes to the reply's `result`."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a command wants to know; `buckets` None is all of them."""

    command_id: str
    device: Device
    buckets: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class _Told:
    """An answer that was given, and the reports that belong to it (last before first: none)."""

    asked: _Asked
    epoch: str
    as_of: int
    first: int
    last: int
    result: dict[str, Any]
    erased: tuple[int, int]
    """The extent of what was forgotten by then: no report tells of somebody who is erased."""

    def holds(self, asked: _Asked, where: Position, erased: tuple[int, int]) -> bool:
        """Whether it answers this too: the same command, or the same question while nothing has changed.

        Its reports have to be there still: what is promised comes.
        """
        kept = self.last < self.first or where.oldest <= self.first
        if not kept or (self.epoch, self.erased) != (where.epoch, erased):
            return False
        since = where.newest - self.as_of - (self.last - self.first + 1)
        same = self.asked.command_id == asked.command_id
        return same or (self.asked.buckets == asked.buckets and since == 0)


class Resync:
    """Prepares one answer at a time. What was listed already is sent again, and not written a second time.

    `new_reader` opens the store once more; `sent` tells the last report that the broker has.
    """

    def __init__(self, vault: Vault, new_reader: Callable[[], Reader], sent: Callable[[], int]) -> None:
        self._vault = vault
        self._new_reader = new_reader
        self._sent = sent
        self._told: dict[str, _Told] = {}
        """The last answer for each device."""

    async def prepare(self, command: CommandMessage) -> Work:
        """Look up what there is to say, while the gate is answered and the list may change. Raises Unusable."""
        device = self._vault.devices.get(command.device_id or "")
        if device is None:
            raise Unusable(CommandRefusal.UNKNOWN_DEVICE, f"this gateway has no device {command.device_id!r}")
        asked = _Asked(command.command_id, device, None if command.buckets is None else frozenset(command.buckets))
        while True:
            try:
                return await self._prepared(asked)
            except StorageFault as fault:
                log.debug("resync.postponed", device_id=device.device_id, error=str(fault))
                await asyncio.sleep(self._vault.pause())

    async def _prepared(self, asked: _Asked) -> Work:
        where = position(self._vault.reader)
        erased = forgotten.extent(self._vault.reader)
        told = self._told.get(asked.device.device_id)
        if told is not None:
            if told.holds(asked, where, erased):
                return partial(self._again, told=told)
            if told.first <= told.last and self._sent() < told.last and told.epoch == where.epoch:
                words = f"reports {told.first} to {told.last}, an earlier list of this device, are still on their way"
                raise Unusable(CommandRefusal.BUSY, words)
        picture = await asyncio.to_thread(self._picture, asked)
        return partial(self._tell, asked=asked, epoch=where.epoch, picture=picture, erased=erased)

    def _picture(self, asked: _Asked) -> Picture:
        with closing(self._new_reader()) as reader:
            return resync.picture(reader, asked.device, asked.buckets)

    async def _tell(
        self, transaction: Transaction, asked: _Asked, epoch: str, picture: Picture, erased: tuple[int, int]
    ) -> dict[str, Any]:
        first, last = await resync.tell(transaction, picture.messages, self._vault.now())
        result = {
            "deviceId": asked.device.device_id,
            "epoch": epoch,
            "asOfReport": picture.as_of,
            "revision": picture.revision,
            "digest": picture.digest,
            "buckets": picture.buckets,
        }
        if picture.messages:
            result |= {"fromReport": first, "throughReport": last}
        self._told[asked.device.device_id] = _Told(asked, epoch, picture.as_of, first, last, result, erased)
        return result

    async def _again(self, transaction: Transaction, told: _Told) -> dict[str, Any]:
        """The same answer; its reports once more, where they are not on their way anyhow."""
        if told.first <= told.last <= self._sent():
            await request(transaction, "reports", [(told.last, told.first, told.last)])
        return told.result
