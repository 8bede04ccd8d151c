"""One-time codes of intercoms: given out, used on the way in and on the way out, revoked, and forgotten in the end."""

from typing import Final

from protocol.codes import OneTimeCode
from protocol.vocabulary import Direction
from storage.database import Reader, Transaction

_COLUMNS: Final = "device_id, digits, name, mobile, made_at, expires_at, entry, exit"
_LIVE: Final = f"""
SELECT code, {_COLUMNS}, entered_at, left_at FROM codes JOIN devices USING (device) WHERE device_id = ? ORDER BY code
"""
_ISSUE: Final = f"""
INSERT INTO codes ({_COLUMNS.replace("device_id", "device")}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
RETURNING code, (SELECT device_id FROM devices WHERE devices.device = codes.device)
"""
_USE: Final = {
    Direction.ENTRY: "UPDATE codes SET entered_at = ? WHERE code = ? AND entered_at IS NULL",
    Direction.EXIT: "UPDATE codes SET left_at = ? WHERE code = ? AND left_at IS NULL",
}


def live(reader: Reader, device_id: str) -> list[OneTimeCode]:
    """The codes of an intercom, oldest first: spent ones too, and expired ones that are still to be purged.

    Raises StorageFault.
    """
    return [OneTimeCode(*row) for row in reader.fetch(_LIVE, (device_id,))]


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
