"""The end of a batch: its receipt, and for a replace the removal of everyone it did not name."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from protocol.reports import Receipt, Run
from protocol.vocabulary import Mode, Outcome, Permission, Reason, Status, Verdict
from storage.database import Reader, Transaction
from storage.ledger import Batch, batch_counts, batches_where, missing_parts, save_batch
from storage.merge import Device
from storage.origins import Origins
from storage.outbox import Desk

_ABSENTEES = """
SELECT mobile, status, origin FROM users
WHERE device = ? AND status IS NOT NULL AND permission IS NOT ? AND origin IN (SELECT value FROM json_each(?))
    AND mobile NOT IN (SELECT spared.mobile FROM spared WHERE spared.batch = ? AND spared.device = users.device)
ORDER BY mobile
"""
_BURY = """
UPDATE users SET origin = ?, changed_at = ?, status = NULL, accepted = 0, permission = NULL, starts_at = NULL,
    ends_at = NULL, schedule = NULL, name = NULL, notes = NULL, units = NULL, wifi = 1, deadline = NULL
WHERE device = ? AND mobile IN (SELECT value FROM json_each(?))
"""


@dataclass(frozen=True, slots=True)
class Guard:
    """When a replace's removals wait for a confirming command: more than `share` of a list, and more than `users`."""

    share: float = 0.5
    users: int = 20

    def holds(self, removals: int, listed: int) -> bool:
        """Whether removing so many of those that were listed before looks like an accident."""
        return removals > self.users and removals > self.share * listed


@dataclass(frozen=True, slots=True)
class _Absentees:
    device: Device
    by_origin: Mapping[int, Mapping[Status, list[int]]]
    listed_before: int

    @property
    def mobiles(self) -> list[int]:
        return sorted(m for statuses in self.by_origin.values() for mobiles in statuses.values() for m in mobiles)


async def finish(
    transaction: Transaction, batch: Batch, devices: Mapping[str, Device], guard: Guard, desk: Desk, now: int
) -> None:
    """Every part of `batch` is applied: say so; a replace removes whom it did not name, or holds the removals."""
    removals: int | None = None
    batch.stage = "complete"
    if batch.mode is Mode.REPLACE:
        origins = await Origins.open(transaction)
        absent = await _absentees(transaction, batch, devices, origins)
        removals = sum(len(each.mobiles) for each in absent)
        doubtful = removals > 0 and batch.unnamed > 0
        if doubtful or any(guard.holds(len(each.mobiles), each.listed_before) for each in absent):
            batch.stage = "held"
        else:
            await _remove(transaction, batch, absent, origins, desk, now)
    verdict = Verdict.HELD if batch.stage == "held" else Verdict.COMPLETE
    await _say(transaction, batch, verdict, desk, removals)


async def confirm(transaction: Transaction, batch_id: str, devices: Mapping[str, Device], now: int) -> str | None:
    """Carry out the removals a batch holds; the stage it is in afterwards, None for an unknown batch."""
    found = await batches_where(transaction, "batch_id = ?", (batch_id,))
    if not found:
        return None
    batch = found[0]
    if batch.stage == "held":
        desk = await Desk.open(transaction, now)
        origins = await Origins.open(transaction)
        absent = await _absentees(transaction, batch, devices, origins)
        batch.stage = "complete"
        await _remove(transaction, batch, absent, origins, desk, now)
        await _say(transaction, batch, Verdict.COMPLETE, desk, sum(len(each.mobiles) for each in absent))
        await save_batch(transaction, batch)
        await desk.save()
    return batch.stage


def next_silence(reader: Reader, wait_ms: int) -> int | None:
    """When (epoch ms) the batch that has been silent longest will have been so for `wait_ms`."""
    ((touched_at,),) = reader.fetch("SELECT min(touched_at) FROM batches WHERE stage = 'open'")
    return None if touched_at is None else int(touched_at) + wait_ms


async def remind(transaction: Transaction, silent_since: int, now: int) -> int:
    """Say once which parts are missing of batches that have been silent since that moment; how many there were."""
    overdue = await batches_where(transaction, "stage = 'open' AND touched_at <= ?", (silent_since,))
    if overdue:
        desk = await Desk.open(transaction, now)
        for batch in overdue:
            batch.stage = "incomplete"
            missing = await missing_parts(transaction, batch)
            await _say(transaction, batch, Verdict.INCOMPLETE, desk, None, missing)
            await save_batch(transaction, batch)
        await desk.save()
    return len(overdue)


async def _absentees(
    transaction: Transaction, batch: Batch, devices: Mapping[str, Device], origins: Origins
) -> list[_Absentees]:
    """Whom a replace did not name, per device; a device with a newer completed replace has none."""
    found = []
    replaced: dict[int, int] = dict(await transaction.fetch("SELECT device, replaced FROM devices"))
    for device in (devices[device_id] for device_id in batch.device_ids if device_id in devices):
        if replaced[device.number] >= batch.revision:
            continue
        of_device = await origins.of_device(device.number)
        older = [o.number for o in of_device if o.revision < batch.revision]
        added = await _added(transaction, batch, device)
        listed = sum(o.users - o.counts.get(None, 0) for o in of_device) - added
        rows = await transaction.fetch(
            _ABSENTEES, (device.number, Permission.OWNER.value, orjson.dumps(older).decode(), batch.number)
        )
        by_origin: dict[int, dict[Status, list[int]]] = {}
        for mobile, status, origin in rows:
            by_origin.setdefault(origin, {}).setdefault(Status(status), []).append(mobile)
        found.append(_Absentees(device, by_origin, listed))
    return found


async def _added(transaction: Transaction, batch: Batch, device: Device) -> int:
    """How many users the batch itself put on the device."""
    ((added,),) = await transaction.fetch(
        "SELECT coalesce(sum(added), 0) FROM additions WHERE batch = ? AND device = ?", (batch.number, device.number)
    )
    return int(added)


async def _remove(
    transaction: Transaction, batch: Batch, absent: list[_Absentees], origins: Origins, desk: Desk, now: int
) -> None:
    for each in absent:
        mobiles = each.mobiles
        number = each.device.number
        if mobiles:
            grave = origins.new(number, batch.number, batch.revision)
            for origin, statuses in each.by_origin.items():
                for status, gone in statuses.items():
                    origins[origin].leave(status, gone)
            grave.join(None, mobiles)
            await transaction.execute(_BURY, (grave.number, now, number, orjson.dumps(mobiles).decode()))
            desk.statuses([Run(each.device.device_id, None, Outcome.CHANGED, None, mobiles, Reason.NOT_IN_LIST)])
        await transaction.execute("UPDATE devices SET replaced = ? WHERE device = ?", (batch.revision, number))
    await origins.save()
    await transaction.execute("DELETE FROM spared WHERE batch = ?", (batch.number,))
    await transaction.execute("DELETE FROM additions WHERE batch = ?", (batch.number,))


async def _say(
    transaction: Transaction,
    batch: Batch,
    verdict: Verdict,
    desk: Desk,
    removals: int | None,
    missing: list[int] | None = None,
) -> None:
    counts = await batch_counts(transaction, batch)
    receipt = Receipt(
        verdict, batch.batch_id, batch.revision, None, batch.parts, counts, missing=missing or (), removals=removals
    )
    desk.receipt(receipt, batch.number)
