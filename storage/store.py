"""The store as a whole: its name, its devices, and what `state` says of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from protocol.digest import MODULUS
from storage.database import Reader, Transaction
from storage.ledger import Batch, batch_of

_HELD = """
SELECT batch, batch_id, revision, parts, mode, device_ids, applied, touched_at, stage, unnamed FROM batches
WHERE stage = 'held' ORDER BY revision
"""


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
    """Name the store if it is new, and give every configured device its number."""
    await transaction.execute("INSERT OR IGNORE INTO store (store, epoch) VALUES (1, ?)", (epoch,))
    await transaction.many("INSERT OR IGNORE INTO devices (device_id) VALUES (?)", [(each,) for each in device_ids])
    rows = await transaction.fetch("SELECT device_id, device FROM devices")
    return {device_id: device for device_id, device in rows if device_id in device_ids}


def latest(reader: Reader) -> int:
    """The latest moment (epoch ms) the store has seen."""
    ((moment,),) = reader.fetch("SELECT latest FROM store")
    return int(moment)


def device_states(reader: Reader) -> dict[str, DeviceState]:
    """The lists of all devices ever configured, in numbers."""
    digests: dict[int, int] = {}
    counts: dict[int, tuple[int, int, int]] = {}
    for device, pending, active, expired, digest in reader.fetch(
        "SELECT device, pending, active, expired, digest FROM origins"
    ):
        before = counts.get(device, (0, 0, 0))
        counts[device] = (before[0] + pending, before[1] + active, before[2] + expired)
        digests[device] = (digests.get(device, 0) + digest) % MODULUS
    return {
        device_id: DeviceState(*counts.get(device, (0, 0, 0)), revision, replaced, digests.get(device, 0))
        for device, device_id, revision, replaced in reader.fetch(
            "SELECT device, device_id, revision, replaced FROM devices"
        )
    }


def held_batches(reader: Reader, devices: Mapping[str, DeviceState]) -> list[Batch]:
    """Batches whose removals wait for a confirming command; a newer completed replace of a device ends the wait."""
    return [
        batch
        for batch in map(batch_of, reader.fetch(_HELD))
        if any(devices[each].replaced < batch.revision for each in batch.device_ids if each in devices)
    ]
