"""The end of a replace: whom it did not name is removed, or the removal is held; and batches that stay incomplete."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from protocol.reports import Receipt, Run
from protocol.vocabulary import Outcome, Permission, Reason, Verdict
from storage.database import Reader, Transaction
from storage.ledger import BATCHES, Batch, batch_counts, batches_where, missing_parts, save_batch
from storage.merge import Device
from storage.origins import Origins
from storage.outbox import Desk

_ABSENTEES = """
SELECT mobile, status, origin FROM users
WHERE device = ? AND status IS NOT NULL AND permission IS NOT ? AND origin IN (SELECT value FROM json_each(?))
    AND mobile NOT IN (SELECT mobile FROM spared WHERE batch = ? AND device = ?)
ORDER BY mobile
"""
_BURY = """
UPDATE users SET origin = ?, changed_at = ?, status = NULL, accepted = 0, permission = NULL, starts_at = NULL,
    ends_at = NULL, schedule = NULL, name = NULL, notes = NULL, units = NULL, wifi = 1, deadline = NULL,
    seal = seal(device, mobile, NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1, NULL)
WHERE device = ? AND mobile IN (SELECT value FROM json_each(?))
"""


SLICE: Final = 2_000
REMIND_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Guard:
    """When a replace's removals wait for a confirming command: more than `share` of a list, and more than `users`."""

    share: float = 0.5
    users: int = 20

    def holds(self, removals: int, listed: int) -> bool:
        """Whether removing so many of those that were listed before looks like an accident."""
        return self.share < 1 and removals > self.users and removals > self.share * listed


@dataclass(frozen=True, slots=True)
class _Absentees:
    device: Device
    mobiles: list[int]
    by_origin: Mapping[tuple[int, str], list[int]]
    listed_before: int


async def finish(
    transaction: Transaction, batch: Batch, devices: Mapping[str, Device], guard: Guard, desk: Desk, now: int
) -> None:
    """Every part of a replace is applied: remove whom it did not name, or hold the removals; and say so."""
    origins = await Origins.open(transaction)
    absent = await _absentees(transaction, batch, devices, origins)
    removals = sum(len(each.mobiles) for each in absent)
    doubtful = removals > 0 and batch.unnamed > 0
    if doubtful or any(guard.holds(len(each.mobiles), each.listed_before) for each in absent):
        batch.stage = "held"
        await _say(transaction, batch, Verdict.HELD, desk, removals)
        return
    batch.stage = "complete"
    await _remove(transaction, batch, absent, origins, desk, now)
    await _say(transaction, batch, Verdict.COMPLETE, desk, removals)


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
    ((touched_at,),) = reader.fetch(f"SELECT min(touched_at) FROM ({BATCHES} AND stage = 'open')")
    return None if touched_at is None else int(touched_at) + wait_ms


async def remind(transaction: Transaction, silent_since: int, now: int) -> int:
    """Say once which parts are missing of batches that have been silent since that moment; how many there were."""
    overdue = await batches_where(transaction, "stage = 'open' AND touched_at <= ?", (silent_since,), REMIND_AT_ONCE)
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
    replaced: dict[int, int] = dict(await transaction.fetch("SELECT device, replaced FROM lists"))
    for device in (devices[device_id] for device_id in batch.device_ids if device_id in devices):
        if replaced[device.number] >= batch.revision:
            continue
        of_device = await origins.of_device(device.number)
        older = [o.number for o in of_device if o.rank < batch.revision]
        added = await _added(transaction, batch, device)
        listed = sum(o.users - o.counts.get(None, 0) for o in of_device) - added
        rows = await transaction.fetch(
            _ABSENTEES,
            (device.number, Permission.OWNER.value, orjson.dumps(older).decode(), batch.number, device.number),
        )
        by_origin: dict[tuple[int, str], list[int]] = {}
        for mobile, status, origin in rows:
            by_origin.setdefault((origin, status), []).append(mobile)
        found.append(_Absentees(device, [row[0] for row in rows], by_origin, max(listed, len(rows))))
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
            for (origin, status), gone in each.by_origin.items():
                for start in range(0, len(gone), SLICE):
                    origins[origin].leave(status, gone[start : start + SLICE])
                    await asyncio.sleep(0)  # the gate is answered meanwhile
            grave.join(None, mobiles)
            await transaction.execute(_BURY, (grave.number, now, number, orjson.dumps(mobiles).decode()))
            desk.statuses([Run(each.device.device_id, None, Outcome.CHANGED, None, mobiles, Reason.NOT_IN_LIST)])
        await transaction.execute(
            "UPDATE devices SET replaced = ?, replaced_by = ? WHERE device = ?", (batch.revision, batch.signer, number)
        )
    await origins.save()
    await _end_holds(transaction, batch)
    await transaction.execute("DELETE FROM spared WHERE batch = ?", (batch.number,))
    await transaction.execute("DELETE FROM additions WHERE batch = ?", (batch.number,))


async def _end_holds(transaction: Transaction, batch: Batch) -> None:
    """A newer completed replace of all its devices ends the wait of a held one."""
    replaced: dict[str, int] = dict(await transaction.fetch("SELECT device_id, replaced FROM lists"))
    for held in await batches_where(transaction, "stage = 'held' AND revision < ?", (batch.revision,)):
        if all(replaced.get(each, held.revision) >= held.revision for each in held.device_ids):
            held.stage = "complete"
            await save_batch(transaction, held)


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
