"""The list as the gate asks it: the store, and where that is damaged its last good copy."""

from collections.abc import Callable
from typing import TypeVar

import structlog

from agent.alarm import Alarm
from protocol.codes import OneTimeCode
from storage import codes
from storage.database import Damaged, Reader, StorageFault
from storage.forgotten import extent
from storage.grants import Listed, listed
from storage.outbox import position
from storage.snapshot import Snapshots

log = structlog.get_logger()

T = TypeVar("T")


class Rollcall:
    """Who is on the list, read in the loop's own thread. `reader` becomes its own.

    One rotten page keeps no resident outside: the copy has the person's row as it was, sealed like any other. One-time
    codes are not asked of it: it does not know of their latest uses.
    """

    def __init__(self, reader: Reader, snapshots: Snapshots | None = None, alarm: Alarm | None = None) -> None:
        self._reader = reader
        self._snapshots = snapshots
        self._alarm = alarm

    def listed(self, device: int, mobile: int) -> Listed | None:
        """What is known of a mobile (E.164 digits) at a device (its number); raises StorageFault."""
        try:
            found = self._tried(lambda: listed(self._reader, device, mobile))
        except StorageFault as fault:
            remembered = self._remembered(device, mobile)
            if isinstance(fault, Damaged):
                self._ring(fault)
            if remembered is None:
                raise
            log.warning("list.remembered", why=str(fault))
            return remembered
        if found is not None:
            return found
        epoch = position(self._reader).epoch  # a copy of another life proves nothing
        remembered = self._remembered(device, mobile, epoch)
        if remembered is None or remembered.grant.status is None:
            return None
        # Whoever is removed leaves a row behind: one that is gone altogether was not taken away by anybody.
        self._ring(Damaged(f"a row of device {device} is gone"))
        return remembered

    def codes(self, device_id: str) -> list[OneTimeCode]:
        """The codes of an intercom; raises StorageFault."""
        try:
            return self._tried(lambda: codes.live(self._reader, device_id))
        except Damaged as damage:
            self._ring(damage)
            raise

    def _tried(self, ask: Callable[[], T]) -> T:
        """Ask, and once more: a reader that has met a fault comes back with a fresh connection."""
        try:
            return ask()
        except Damaged:
            raise
        except StorageFault as fault:
            log.error("list.unreadable", error=str(fault))  # noqa: TRY400 -- the disk's trouble, not ours
            return ask()

    def _remembered(self, device: int, mobile: int, epoch: str | None = None) -> Listed | None:
        if self._snapshots is None:
            return None

        def ask(reader: Reader) -> Listed | None:
            if epoch not in {None, position(reader).epoch}:
                return None
            found = listed(reader, device, mobile)
            if epoch is not None and found is not None and extent(reader) != extent(self._reader):
                return None  # since this copy, rows were taken away for good: theirs may be one of them
            return found

        return self._snapshots.recall(ask)

    def _ring(self, damage: Damaged) -> None:
        if self._alarm is not None:
            self._alarm.ring(damage)
