"""What a damaged store still says, put into the one that takes its place: only rows that are what was written."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

import structlog

from protocol.events import Event
from protocol.vocabulary import Mode, Status
from storage import changes, events, orders, seals, userlist
from storage.database import Reader, StorageFault, Transaction
from storage.grants import listed
from storage.ledger import Batch, save_batch
from storage.legible import read_events
from storage.origins import Origins
from storage.signers import signers
from storage.userlist import COLUMNS, User, tombstone

log = structlog.get_logger()

EVENTS: Final = 20_000
"""How many events are saved at most: the newest."""

BATCH: Final = "salvaged"
"""The batch of users of whom nobody knows any more which one put them there. It has no parts: nobody sends it."""

_SLICE: Final = 200
_PEOPLE: Final = "SELECT device, mobile, changed_at, status, name, permission, deadline FROM users"
_FORGOTTEN: Final = "SELECT device, hash, signer, revision FROM forgotten"
_PENDING: Final = "SELECT device, mobile FROM users WHERE status = 'Pending'"
_CODES: Final = f"SELECT {seals.CODE}, seal FROM codes"
_ORDERS: Final = "SELECT command_id, expires_at FROM orders"
_SIGNERS: Final = "SELECT signer, thumbprint, trusted FROM signers"
_BATCHES: Final = "SELECT revision, signer, mode FROM batches"
_DEVICES: Final = "SELECT device, device_id, seal, revision, revised_by, replaced, replaced_by FROM devices"
_LATER: Final = "WHERE device = ?3 AND device_id = ?4 AND ({} < ?1 OR {} != ?2)"
_REVISED: Final = "UPDATE devices SET revision = ?1, revised_by = ?2 " + _LATER.format("revision", "revised_by")
_REPLACED: Final = "UPDATE devices SET replaced = ?1, replaced_by = ?2 " + _LATER.format("replaced", "replaced_by")
_LAST_WORDS: Final = """
SELECT device, device_id, revision, revised_by, trusted FROM devices JOIN signers ON signer = revised_by
"""
_USERS: Final = f"SELECT {COLUMNS}, {seals.USER}, seal FROM users"


class _Standing(NamedTuple):
    """A device, whose word was its newest, and whose its last completed replace; 0 where the ledger says otherwise."""

    device: int
    device_id: str
    seal: int
    revision: int
    revised_by: int
    replaced: int
    replaced_by: int


async def carry_over(transaction: Transaction, wreck: Reader | None, now: int) -> None:
    """Bring an older copy of a store up to what can still be read of it.

    Who was removed since stays removed: a row that has a person's number and nothing else counts for that even without
    its seal, and against every word that the wreck had heard. What may be used once is believed only as it stands in
    the wreck, and is gone where it cannot be read.
    """
    await transaction.execute("DELETE FROM codes")
    if wreck is None or _epoch(wreck) not in await transaction.fetch("SELECT epoch FROM store"):
        return
    numbers = await _identify(transaction, wreck)
    await _catch_up(transaction, _standings(wreck, numbers))
    await _bury(transaction, _graves(wreck, now), now)
    await _forget(transaction, wreck, numbers)
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
    numbers = await _identify(transaction, wreck)
    standings = [each._replace(replaced=each.revision, replaced_by=each.revised_by)
                 for each in _standings(wreck, numbers)]  # fmt: skip
    await transaction.many(
        f"INSERT OR IGNORE INTO devices ({', '.join(_Standing._fields)}) VALUES (?, ?, ?, ?, ?, ?, ?)", standings
    )
    await _forget(transaction, wreck, numbers)
    users = _intact_users(wreck, {each.device for each in standings})
    await _enlist(transaction, users, [each.device_id for each in standings], now)
    if once:
        await _save_codes(transaction, wreck)
    await _save_orders(transaction, wreck)
    await _save_events(transaction, wreck)
    return sum(user.status is not None for user in users)


async def _identify(transaction: Transaction, wreck: Reader) -> dict[int, int]:
    """The wreck's signers under their numbers here; whose word counts is as it was last."""
    said = {
        number: (thumbprint, trusted)
        for number, thumbprint, trusted in _rows(wreck, _SIGNERS, "signer")
        if trusted in (0, 1) and (thumbprint is None if number == 0 else isinstance(thumbprint, str))
    }
    new = [(thumbprint,) for thumbprint, _ in said.values() if thumbprint is not None]
    await transaction.many("INSERT OR IGNORE INTO signers (thumbprint, trusted) VALUES (?, 1)", new)
    trust = [(trusted, thumbprint) for thumbprint, trusted in said.values()]
    await transaction.many("UPDATE signers SET trusted = ? WHERE thumbprint IS ?", trust)
    here = await signers(transaction)
    same = {number: number for number in here.values()}  # as long as nothing says otherwise
    return same | {number: here[thumbprint] for number, (thumbprint, _) in said.items()}


def _standings(wreck: Reader, numbers: Mapping[int, int]) -> list[_Standing]:
    """The devices of a wreck whose names have their seals. A revision has none, and counts where a batch has it too."""
    modes = {(revision, by): mode for revision, by, mode in _rows(wreck, _BATCHES, "batch") if by in numbers}
    found = {}
    for device, device_id, seal, revision, by, replaced, replaced_by in _rows(wreck, _DEVICES, "device"):
        if seals.intact((device, device_id), seal):
            spoken = (revision, numbers[by]) if (revision, by) in modes else (0, 0)
            whole = (replaced, numbers[replaced_by]) if modes.get((replaced, replaced_by)) == Mode.REPLACE else (0, 0)
            found[device] = _Standing(device, device_id, seal, *spoken, *whole)
    return list(found.values())


async def _catch_up(transaction: Transaction, standings: Collection[_Standing]) -> None:
    """The copy's devices have heard what those of the wreck had: what is erased later is safe from it, too.

    Another signer's word is the later one even where its revision is lower: that of a key that is trusted no more.
    """
    await transaction.many(
        "INSERT OR IGNORE INTO devices (device, device_id, seal) VALUES (?, ?, ?)", [each[:3] for each in standings]
    )
    revised = [(each.revision, each.revised_by, each.device, each.device_id) for each in standings if each.revision]
    await transaction.many(_REVISED, revised)
    replaced = [(each.replaced, each.replaced_by, each.device, each.device_id) for each in standings if each.replaced]
    await transaction.many(_REPLACED, replaced)


def _graves(wreck: Reader, now: int) -> dict[int, dict[int, int]]:
    """By device, the numbers of whoever was removed, and when (epoch ms), as far as that can be."""
    graves: dict[int, dict[int, int]] = {}
    for device, mobile, at, *said in _rows(wreck, _PEOPLE, "device", "mobile"):
        if said == [None] * len(said) and _are_numbers((device, mobile)):
            graves.setdefault(device, {})[mobile] = min(at, now) if isinstance(at, int) else now
    return graves


async def _bury(transaction: Transaction, graves: Mapping[int, Mapping[int, int]], now: int) -> None:
    """Whoever was removed is so by the last word on their device: no invite that the wreck knew brings them back."""
    origins = await Origins.open(transaction)
    ((batch,),) = await transaction.fetch("SELECT coalesce(max(batch), 0) FROM batches")
    for device, device_id, revision, signer, trusted in await transaction.fetch(_LAST_WORDS):
        if not (here := graves.get(device)):
            continue
        batch += 1
        await save_batch(transaction, _batch(batch, revision, signer, [device_id], now))
        grave = origins.new(device, batch, revision)
        grave.trusted = trusted == 1
        found = await userlist.glance(transaction, device, here)
        await origins.load({glance.origin for glance in found.values()})
        dead = []
        for mobile, at in here.items():
            origin = grave
            if (row := found.get(mobile)) is not None:
                origin = max(grave, origins[row.origin], key=lambda each: each.rank)
                origins[row.origin].leave(row.status, [mobile])
            origin.join(None, [mobile])
            dead.append(tombstone(device, mobile, origin.number, at))
        await userlist.put(transaction, dead, found)
    await origins.save()


async def _forget(transaction: Transaction, wreck: Reader, numbers: Mapping[int, int]) -> None:
    """Who was forgotten stays forgotten: hashes that have rotted are nobody's."""
    rows = {
        (device, hashed, numbers[signer], revision)
        for device, hashed, signer, revision in _rows(wreck, _FORGOTTEN, "device", "hash", "signer")
        if _are_numbers((device, hashed, revision)) and signer in numbers
    }
    await transaction.many("INSERT OR IGNORE INTO forgotten VALUES (?, ?, ?, ?)", sorted(rows))


def _are_numbers(said: tuple[Any, ...]) -> bool:
    return all(isinstance(each, int) for each in said)


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
    batch = _batch(1, 0, 0, device_ids, now)
    await save_batch(transaction, batch)
    origins = await Origins.open(transaction)
    for device in sorted({user.device for user in users}):
        origin = origins.new(device, batch.number, batch.revision)
        here = [user._replace(origin=origin.number) for user in users if user.device == device]
        for status in {user.status for user in here}:
            origin.join(status, [user.mobile for user in here if user.status == status])
        await userlist.put(transaction, here, ())
    await origins.save()


def _batch(number: int, revision: int, signer: int, device_ids: Collection[str], now: int) -> Batch:
    """What stands in for batches that nobody knows any more; without parts, it is in nobody's way."""
    return Batch(number, BATCH, revision, signer, 0, Mode.MERGE, tuple(device_ids), 0, now, "complete", 0)


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
