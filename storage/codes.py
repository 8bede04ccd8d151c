"""One-time codes of intercoms: given out, used on the way in and on the way out, revoked, and forgotten in the end."""

from typing import Final

from protocol.codes import OneTimeCode
from protocol.vocabulary import Direction
from storage import seals
from storage.database import Damaged, Reader, Transaction

_COLUMNS: Final = "device_id, digits, name, mobile, made_at, expires_at, entry, exit"
_LIVE: Final = f"""
SELECT code, {_COLUMNS}, entered_at, left_at, device, codes.seal FROM codes JOIN devices USING (device)
WHERE device_id = ? ORDER BY code
"""
_ISSUE: Final = f"""
INSERT INTO codes ({_COLUMNS.replace("device_id", "device")}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
RETURNING code, (SELECT device_id FROM devices WHERE devices.device = codes.device)
"""
_SEAL: Final = f"UPDATE codes SET seal = seal({seals.CODE}) WHERE code = ?"
_USE: Final = {
    direction: f"""
    UPDATE codes SET {column} = ?1, seal = resealed(seal, seal({seals.CODE}),
        seal({seals.changed(seals.CODE, **{column: "?1"})}))
    WHERE code = ?2 AND {column} IS NULL
    """
    for direction, column in ((Direction.ENTRY, "entered_at"), (Direction.EXIT, "left_at"))
}


def live(reader: Reader, device_id: str) -> list[OneTimeCode]:
    """The codes of an intercom, oldest first: spent ones too, and expired ones that are still to be purged.

    Raises StorageFault, and Damaged where a row is not what was written.
    """
    found = []
    for *row, device, stored in reader.fetch(_LIVE, (device_id,)):
        number, _, *said = row
        if not seals.intact((number, device, *said), stored):
            raise Damaged(f"a one-time code of device {device_id} is not what was written")
        found.append(OneTimeCode(*row))
    return found


def extent(reader: Reader) -> tuple[int, int]:
    """What is another whenever a code was given out or taken back, or was forgotten; raises StorageFault."""
    ((count, moments),) = reader.fetch("SELECT count(*), coalesce(sum(made_at), 0) FROM codes")
    return count, moments


async def issue(
    transaction: Transaction,
    device: int,
    *,
    digits: str,
    name: str,
    mobile: int,
    made_at: int,
    expires_at: int,
    entry: str,
    exit: str,  # noqa: A002 -- the contract's word
) -> OneTimeCode:
    """Store a new code of an intercom (its number in the store); times are epoch milliseconds."""
    row = (digits, name, mobile, made_at, expires_at, entry, exit)
    ((number, device_id),) = await transaction.fetch(_ISSUE, (device, *row))
    await transaction.execute(_SEAL, (number,))
    return OneTimeCode(number, device_id, *row)


async def use(transaction: Transaction, number: int, direction: Direction, at: int) -> bool:
    """Note that a code was used this way; whether that was the first time."""
    return await transaction.execute(_USE[direction], (at, number)) == 1


async def revoke(transaction: Transaction, device: int, digits: str) -> bool:
    """Take a code back: from now on its digits are wrong, and its place is free. Whether there was one."""
    return await transaction.execute("DELETE FROM codes WHERE device = ? AND digits = ?", (device, digits)) > 0


async def purge(transaction: Transaction, earliest: int) -> int:
    """Forget the codes that had expired by `earliest` (epoch ms); how many."""
    return await transaction.execute("DELETE FROM codes WHERE expires_at <= ?", (earliest,))
