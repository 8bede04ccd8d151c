"""The store as a whole: its name, its devices, and what `state` says of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from protocol.digest import MODULUS
from storage import events as log
from storage import outbox, places
from storage.database import Reader, Transaction
from storage.ledger import BATCHES, Batch, batch_of

_STATES = """
SELECT device_id, revision, replaced, coalesce(sum(pending), 0), coalesce(sum(active), 0),
    coalesce(sum(expired), 0),
    coalesce(sum(digest >> 32), 0), coalesce(sum(digest & 4294967295), 0)
FROM lists LEFT JOIN origins USING (device) GROUP BY device
"""  # the digest in halves: a sum of whole ones would overflow


_LEAVE = f"UPDATE store SET epoch = ? WHERE epoch = ? AND (({outbox.NEWEST}) < ? OR ({log.NEWEST}) < ?)"


@dataclass(frozen=True, slots=True)
class DeviceState:
    """One device's list in numbers: users by status, the newest revision that spoke of it, and the digest."""

    pending: int
    active: int
    expired: int
    revision: int
    replaced: int
    digest: int


async def enroll(transaction: Transaction, epoch: str, device_ids: Collection[str]) -> dict[str, int]:
    """Name the store if it is new, and give every configured device its number; raises Damaged."""
    await transaction.execute("INSERT OR IGNORE INTO store (store, epoch) VALUES (1, ?)", (epoch,))
    return await places.given(transaction, device_ids)


async def leave_behind(transaction: Transaction, epoch: str, reports: int, events: int, fresh: str) -> bool:
    """Take the name `fresh` where this store has given out fewer numbers under `epoch` than were; whether it did.

    Then it is an old copy, put back: under its old name it would give out the same numbers with another content.
    """
    return await transaction.execute(_LEAVE, (fresh, epoch, reports, events)) > 0


def device_states(reader: Reader) -> dict[str, DeviceState]:
    """The lists of all devices ever configured, in numbers."""
    return {
        device_id: DeviceState(pending, active, expired, revision, replaced, ((high << 32) + low) % MODULUS)
        for device_id, revision, replaced, pending, active, expired, high, low in reader.fetch(_STATES)
    }


def held_batches(reader: Reader, devices: Mapping[str, DeviceState]) -> list[Batch]:
    """Batches whose removals wait for a confirming command; a newer completed replace of a device ends the wait."""
    return [
        batch
        for batch in map(batch_of, reader.fetch(f"{BATCHES} AND stage = 'held' ORDER BY revision"))
        if any(devices[each].replaced < batch.revision for each in batch.device_ids if each in devices)
    ]
