"""Orders: commands that are carried out once and never again, also over a restart."""

from storage.database import Reader, Transaction

MOST = 10_000


def seen(reader: Reader, command_id: str) -> bool:
    """Whether the command was carried out before; raises StorageFault."""
    return bool(reader.fetch("SELECT 1 FROM orders WHERE command_id = ?", (command_id,)))


async def remember(transaction: Transaction, command_id: str, expires_at: int) -> None:
    """The command was carried out; once it has expired (epoch ms) it is refused for that, and can be forgotten."""
    await transaction.execute(
        "INSERT INTO orders (command_id, expires_at) VALUES (?, ?)"
        " ON CONFLICT (command_id) DO UPDATE SET expires_at = max(expires_at, excluded.expires_at)",
        (command_id, expires_at),
    )


async def prune(transaction: Transaction, earliest: int, most: int = MOST) -> int:
    """Forget what had expired by `earliest` (epoch ms), and over `most` those that expire first; how many went."""
    gone = await transaction.execute("DELETE FROM orders WHERE expires_at <= ?", (earliest,))
    return gone + await transaction.execute(
        "DELETE FROM orders WHERE command_id IN (SELECT command_id FROM orders"
        " ORDER BY expires_at LIMIT max(0, (SELECT count(*) FROM orders) - ?))",
        (most,),
    )
