"""What a damaged store still says, put into the one that takes its place: only rows that are what was written."""

from collections.abc import Collection, Iterator
from typing import Any, Final

import structlog

from protocol.events import Event
from protocol.vocabulary import Mode, Status
from storage import changes, events, orders, seals, userlist
from storage.database import Reader, StorageFault, Transaction
from storage.grants import listed
from storage.ledger import Batch, save_batch
from storage.legible import read_events
from storage.origins import Origins
from storage.userlist import COLUMNS, User, tombstone

log = structlog.get_logger()

EVENTS: Final = 20_000
"""How many events are saved at most: the newest."""

BATCH: Final = "salvaged"
"""The batch of users of whom nobody knows any more which one put them there: older than any."""

_SLICE: Final = 200
_PEOPLE: Final = "SELECT device, mobile, status, name, permission, deadline FROM users"
_FORGOTTEN: Final = "SELECT device, hash, signer, revision FROM forgotten"
_PENDING: Final = "SELECT device, mobile FROM users WHERE status = 'Pending'"
_CODES: Final = f"SELECT {seals.CODE}, seal FROM codes"
_ORDERS: Final = "SELECT command_id, expires_at FROM orders"
_DEVICES: Final = "SELECT device, device_id, seal, revision, revised_by FROM devices"
_USERS: Final = f"SELECT {COLUMNS}, {seals.USER}, seal FROM users"


async def carry_over(transaction: Transaction, wreck: Reader | None, now: int) -> None:
    """Bring an older copy of a store up to what can still be read of it.

    Who was removed since stays removed: a row that has a person's number and nothing else counts for that even without
    its seal. What may be used once is believed only as it stands in the wreck, and is gone where it cannot be read.
    """
    await transaction.execute("DELETE FROM codes")
    if wreck is None or _epoch(wreck) not in await transaction.fetch("SELECT epoch FROM store"):
        return
    await _bury(transaction, _graves(wreck), now)
    await _forget(transaction, wreck)
    await _accept(transaction, wreck, now)
    await _save_codes(transaction, wreck)
    await _save_orders(transaction, wreck)
    await _save_events(transaction, wreck)


async def rebuild(transaction: Transaction, wreck: Reader, now: int, *, once: bool) -> int:
    """Fill an empty store with what can still be read; how many people are on its lists.

    The batches they came by are not sealed and so not believed: their people count as named by a batch older than any,
    and everything older than the newest batch of a device as superseded. The cloud sees another digest. `once`: it is
    the latest there was, and knows what may be used once only.
    """
    signers = {
        number: (number, thumbprint)
        for number, thumbprint in _rows(wreck, "SELECT signer, thumbprint FROM signers WHERE signer > 0", "signer")
        if isinstance(number, int) and isinstance(thumbprint, str)
    }
    await transaction.many("INSERT OR IGNORE INTO signers VALUES (?, ?, 1)", signers.values())
    known = {row[0] for row in _rows(wreck, "SELECT revision FROM batches", "batch")}
    devices: dict[int, tuple[object, ...]] = {}
    for number, device_id, seal, revision, by in _rows(wreck, _DEVICES, "device"):
        if seals.intact((number, device_id), seal):
            plausible = revision in known and (by == 0 or by in signers)
            standing = (revision, revision, by, by) if plausible else (0, 0, 0, 0)
            devices[number] = (number, device_id, seal, *standing)
    await transaction.many(
        "INSERT OR IGNORE INTO devices (device, device_id, seal, revision, replaced, revised_by, replaced_by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        devices.values(),
    )
    await _forget(transaction, wreck)
    users = _intact_users(wreck, devices)
    await _enlist(transaction, users, [str(row[1]) for row in devices.values()], now)
    if once:
        await _save_codes(transaction, wreck)
    await _save_orders(transaction, wreck)
    await _save_events(transaction, wreck)
    return sum(user.status is not None for user in users)


def _graves(wreck: Reader) -> set[tuple[int, int]]:
    return {
        (device, mobile)
        for device, mobile, *said in _rows(wreck, _PEOPLE, "device", "mobile")
        if said == [None] * len(said) and isinstance(device, int) and isinstance(mobile, int)
    }


async def _bury(transaction: Transaction, graves: Collection[tuple[int, int]], now: int) -> None:
    origins = await Origins.open(transaction)
    for device in sorted({device for device, _ in graves}):
        found = await userlist.glance(transaction, device, [mobile for its, mobile in graves if its == device])
        risen = {mobile: glance for mobile, glance in found.items() if glance.status is not None}
        await origins.load({glance.origin for glance in risen.values()})
        for mobile, (origin, status) in risen.items():
            origins[origin].leave(status, [mobile])
            origins[origin].join(None, [mobile])
        dead = [tombstone(device, mobile, glance.origin, now) for mobile, glance in risen.items()]
        await userlist.put(transaction, dead, risen)
    await origins.save()


async def _forget(transaction: Transaction, wreck: Reader) -> None:
    """Who was forgotten stays forgotten: hashes that have rotted are nobody's."""
    rows = {row for row in _rows(wreck, _FORGOTTEN, "device", "hash", "signer") if _are_numbers(row)}
    await transaction.many("INSERT OR IGNORE INTO forgotten VALUES (?, ?, ?, ?)", sorted(rows))


def _are_numbers(row: tuple[Any, ...]) -> bool:
    return all(isinstance(each, int) for each in row)


async def _accept(transaction: Transaction, wreck: Reader, now: int) -> None:
    for device, mobile in await transaction.fetch(_PENDING):
        try:
            found = listed(wreck, device, mobile)
        except StorageFault:
            continue
        if found is not None and found.grant.status is Status.ACTIVE:
            await changes.accept(transaction, device, mobile, now)


async def _save_codes(transaction: Transaction, wreck: Reader) -> None:
    intact = [row for row in set(_rows(wreck, _CODES, "code")) if seals.intact(row[:-1], row[-1])]
    marks = ", ".join("?" * (len(seals.CODE.split(",")) + 1))
    await transaction.many(f"INSERT OR REPLACE INTO codes ({seals.CODE}, seal) VALUES ({marks})", intact)


async def _save_orders(transaction: Transaction, wreck: Reader) -> None:
    """What was carried out is not carried out again: an order that has rotted is nobody's, and refuses nothing."""
    rows = {row for row in _rows(wreck, _ORDERS, "command_id") if isinstance(row[0], str) and isinstance(row[1], int)}
    await orders.remember_all(transaction, sorted(rows))


async def _save_events(transaction: Transaction, wreck: Reader) -> None:
    try:
        newest = events.span(wreck).newest
    except StorageFault:
        return
    ((after,),) = await transaction.fetch("SELECT coalesce(max(event), 0) FROM events")
    saved = [event for first in range(max(after, newest - EVENTS) + 1, newest + 1, _SLICE)
             for event in _events(wreck, first, min(first + _SLICE - 1, newest))]  # fmt: skip
    await events.record(transaction, saved)


def _events(wreck: Reader, first: int, last: int) -> list[Event]:
    """Those that can be read, in order; a word that was none when they were written makes an event unreadable."""
    try:
        return read_events(wreck, first, last)
    except (StorageFault, ValueError):
        if first == last:
            return []
        middle = (first + last) // 2
        return _events(wreck, first, middle) + _events(wreck, middle + 1, last)


def _intact_users(wreck: Reader, devices: Collection[int]) -> list[User]:
    width = len(User._fields)
    rows = {row[:2]: row for row in _rows(wreck, _USERS, "device", "mobile")}
    return [
        User(*row[:width])
        for row in rows.values()
        if row[0] in devices and isinstance(row[3], int) and seals.intact(row[width:-1], row[-1])
    ]  # fmt: skip


async def _enlist(transaction: Transaction, users: Collection[User], device_ids: Collection[str], now: int) -> None:
    batch = Batch(1, BATCH, 0, 0, 1, Mode.MERGE, tuple(device_ids), 1, now, "complete", 0)
    await save_batch(transaction, batch)
    origins = await Origins.open(transaction)
    for device in sorted({user.device for user in users}):
        origin = origins.new(device, batch.number, batch.revision)
        here = [user._replace(origin=origin.number) for user in users if user.device == device]
        for status in {user.status for user in here}:
            origin.join(status, [user.mobile for user in here if user.status == status])
        await userlist.put(transaction, here, ())
    await origins.save()


def _epoch(wreck: Reader) -> tuple[Any, ...] | None:
    try:
        return next(iter(wreck.fetch("SELECT epoch FROM store")), None)
    except StorageFault:
        return None


def _rows(wreck: Reader, select: str, *key: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a table from the front as far as it can be read, and then from the back: some come twice.

    A row is lost where SQLite stumbles while it looks for the next one, so nothing is filtered here.
    """
    for way in ("ASC", "DESC"):
        order = ", ".join(f"{column} {way}" for column in key)
        try:
            yield from wreck.scan(f"{select} ORDER BY {order}")
        except StorageFault as fault:
            log.debug("wreck.unreadable", error=str(fault))
        else:
            return
