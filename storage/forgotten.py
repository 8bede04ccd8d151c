"""Forgotten: people of whom a keyed hash is all that is kept, so that an older invite does not bring them back."""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

import orjson

from storage.database import Reader, Transaction
from storage.origins import Origins

BURIED_AT_ONCE: Final = 2_000

_EXTENT: Final = "SELECT count(*), coalesce(sum(revision), 0) FROM forgotten"
_ANY: Final = "SELECT 1 FROM forgotten LIMIT 1"
_RANKS: Final = """
SELECT named.value, max(revision) FROM json_each(?) AS named
CROSS JOIN forgotten ON device IN (0, ?) AND hash = hashed(named.value) JOIN signers USING (signer)
WHERE trusted GROUP BY named.value
"""
_REMEMBER: Final = """
INSERT INTO forgotten (device, hash, signer, revision) {}
ON CONFLICT (device, hash, signer) DO UPDATE SET revision = max(revision, excluded.revision)
"""
_REVOKED: Final = _REMEMBER.format("VALUES (?, hashed(?), ?, ?)")
_ERASED: Final = _REMEMBER.format("""
SELECT 0, hashed(?), signer, max(revision) FROM (
    SELECT signer, revision FROM batches UNION ALL SELECT revised_by, revision FROM devices
) WHERE revision > 0 GROUP BY signer
""")
_BURIED: Final = _REMEMBER.format("""
SELECT users.device, hashed(mobile), signer, revision FROM users JOIN origins USING (origin) JOIN batches USING (batch)
WHERE users.device = ? AND mobile = ?
""")
_AGED: Final = """
SELECT device, mobile, origin FROM users INDEXED BY users_gone WHERE status IS NULL AND changed_at < ? LIMIT ?
"""
_DELETE: Final = "DELETE FROM users WHERE device = ? AND mobile = ?"
_WAS_ERASED: Final = "SELECT 1 FROM forgotten WHERE device = 0 AND hash = hashed(?)"
_IS_ERASED: Final = """
SELECT 1 FROM forgotten WHERE device = 0 AND hash = hashed(?1)
AND NOT EXISTS (SELECT 1 FROM devices CROSS JOIN users USING (device) WHERE mobile = ?1)
"""


def extent(reader: Reader) -> tuple[int, int]:
    """What is another whenever somebody's row was taken away without a trace; raises StorageFault.

    Where a copy of the store has another one, a row that it has may be gone from the store for that reason.
    """
    ((count, revisions),) = reader.fetch(_EXTENT)
    return count, revisions


async def ranks(transaction: Transaction, device: int, mobiles: Collection[int]) -> dict[int, int]:
    """Those of these numbers that were forgotten on a device, and the revision that an invite has to be newer than."""
    if not mobiles or not await transaction.fetch(_ANY):
        return {}
    return dict(await transaction.fetch(_RANKS, (orjson.dumps(list(mobiles)).decode(), device)))


async def revoked(transaction: Transaction, rows: Iterable[tuple[int, int, int, int]]) -> None:
    """People who are forgotten already are named again, to be revoked: (device, mobile, signer, revision) each."""
    await transaction.many(_REVOKED, sorted(rows))


async def erased(transaction: Transaction, mobile: int) -> None:
    """Somebody is forgotten on every device, by whatever anybody has said so far."""
    await transaction.execute(_ERASED, (mobile,))


async def was_erased(transaction: Transaction, mobile: int) -> bool:
    """Whether somebody was erased once, invited again or not; nobody knows it of a store that had heard no list."""
    return bool(await transaction.fetch(_WAS_ERASED, (mobile,)))


async def is_erased(transaction: Transaction, mobile: int) -> bool:
    """Whether somebody was erased, and nobody has invited them again."""
    return bool(await transaction.fetch(_IS_ERASED, (mobile,)))


async def bury(transaction: Transaction, before: int) -> int:
    """Of people who left the lists before that moment (epoch ms), keep a hash; how many there were, some at a time."""
    aged = await transaction.fetch(_AGED, (before, BURIED_AT_ONCE))
    await transaction.many(_BURIED, sorted((device, mobile) for device, mobile, _ in aged))
    await remove(transaction, [(device, mobile, origin, None) for device, mobile, origin in aged])
    return len(aged)


async def remove(transaction: Transaction, rows: Sequence[tuple[int, int, int, str | None]]) -> None:
    """Take rows off the lists without a trace: (device, mobile, origin, status) each."""
    origins = await Origins.open(transaction)
    await origins.load({origin for _, _, origin, _ in rows})
    for _, mobile, origin, status in rows:
        origins[origin].leave(status, [mobile])
    await transaction.many(_DELETE, sorted((device, mobile) for device, mobile, *_ in rows))
    await origins.save()
