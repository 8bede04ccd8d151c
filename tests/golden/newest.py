"""The golden database of the newest schema: `python -m tests.golden.newest` writes it, until that version is shipped.

It is the one of the version before, migrated, with something in every table that came.
"""

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Final

from protocol.events import Event
from protocol.vocabulary import Action, Channel, ClockState, Denial
from storage.database import Database, Transaction, shipped_schema
from tests.golden import GOLDEN

GATE: Final = "1234567890123456"
PANEL: Final = "482913"
NOW: Final = 1_795_300_001_234
DAVID: Final = 27824511234
OPENED: Final = Event(
    NOW, GATE, "r-1", DAVID, "David Mokoena", Channel.BLUETOOTH, Action.TRIGGER, None, "late", ClockState.SYNCED, None,
    True, None, 7,
)  # fmt: skip
DENIED: Final = Event(
    NOW + 1, GATE, "r-2", 27831112222, None, Channel.WIFI, Action.OPEN, Denial.REVOKED, None, ClockState.HOLDOVER, None,
    None, None,
)  # fmt: skip
LET_IN: Final = Event(
    NOW + 2, PANEL, "r-3", 27849998888, "Plumber", Channel.KEYPAD, Action.TRIGGER, None, None, ClockState.SYNCED, GATE,
    False, "motor stalled", 8,
)  # fmt: skip


def restored(version: int, path: Path) -> Path:
    """The golden database of a schema version, as a file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((GOLDEN / f"store-v{version}.sql").read_text(encoding="utf-8"))
        connection.execute(f"PRAGMA user_version = {version}")
    return path


async def _live(transaction: Transaction) -> None:
    """In the words of version 4: somebody who was erased, and somebody whose tombstone has aged."""
    await transaction.execute("INSERT INTO forgotten VALUES (0, 7210987654321098765, 0, 42), (1, -3, 0, 41)")


async def _dump(version: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = restored(version - 1, Path(folder) / "gateway.db")
        async with Database(path) as database:
            await database.transact(_live)
            await database.checkpoint(0)
        with closing(sqlite3.connect(path)) as connection:
            return "\n".join(connection.iterdump()) + "\n"


if __name__ == "__main__":
    newest = len(shipped_schema())
    (GOLDEN / f"store-v{newest}.sql").write_text(asyncio.run(_dump(newest)), encoding="utf-8")
