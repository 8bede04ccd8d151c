"""Orders: commands that are carried out once and never again, also over a restart."""

from collections.abc import Iterable
from typing import Final

from storage.database import Reader, Transaction

MOST: Final = 10_000

_OTHERS: Final = ""
"""In place of the names of all that had to be forgotten before their end: whatever ends no later than the last of them
may be one of them. No command is called so."""

_SEEN: Final = "SELECT 1 FROM orders WHERE command_id = ? OR command_id = ? AND expires_at >= ?"
_VERY: Final = "SELECT 1 FROM orders WHERE command_id = ?"
_REMEMBER: Final = """
INSERT INTO orders (command_id, expires_at) VALUES (?, ?)
ON CONFLICT (command_id) DO UPDATE SET expires_at = max(expires_at, excluded.expires_at)
"""
_SURPLUS: Final = """
SELECT max(expires_at) FROM (
    SELECT expires_at FROM orders ORDER BY expires_at LIMIT max(0, (SELECT count(*) FROM orders) - ?)
)
"""


def seen(reader: Reader, command_id: str, expires_at: int) -> bool:
    """Whether the command was carried out before, or nobody can tell any more; raises StorageFault."""
    return bool(reader.fetch(_SEEN, (command_id, _OTHERS, expires_at)))


async def carried_out(transaction: Transaction, command_id: str) -> bool:
    """Whether this very command was carried out; one whose name had to be forgotten counts as new."""
    return bool(await transaction.fetch(_VERY, (command_id,)))


async def remember(transaction: Transaction, command_id: str, expires_at: int) -> None:
    """The command was carried out; once it has expired (epoch ms) it is refused for that, and can be forgotten."""
    await remember_all(transaction, [(command_id, expires_at)])


async def remember_all(transaction: Transaction, orders: Iterable[tuple[str, int]]) -> None:
    """The same of several."""
    await transaction.many(_REMEMBER, orders)


async def prune(transaction: Transaction, earliest: int, most: int = MOST) -> int:
    """Forget what had expired by `earliest` (epoch ms), and over `most` the names of those that expire first."""
    gone = await transaction.execute("DELETE FROM orders WHERE expires_at <= ?", (earliest,))
    ((through,),) = await transaction.fetch(_SURPLUS, (most,))
    if through is not None:
        await remember(transaction, _OTHERS, through)
        gone += await transaction.execute(
            "DELETE FROM orders WHERE expires_at <= ? AND command_id != ?", (through, _OTHERS)
        )
    return gone
