"""The SQLite that opens the store's files, and what its errors mean."""

import sqlite3
from enum import Enum
from pathlib import Path
from typing import Final


class Access(Enum):
    """How a file is opened."""

    WRITE = "mode=rwc"
    READ = "mode=ro"
    FROZEN = "mode=ro&immutable=1"
    """A file that nobody writes any more: it is read without a lock, and nothing is put beside it."""


BUGS: Final = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)
"""What a sick file cannot cause, such as a broken constraint: a bug."""

_ROTTEN: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

_UNREADABLE: Final = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}

GARBLED: Final = "a text in it is no text any more"

FAULTY: Final = (3, 7, 0), (3, 51, 2)
"""The first and the last version whose write-ahead log two connections can ruin: by writing or checkpointing at the
same instant, one of them just when the log begins anew. Cured in 3.51.3."""


def connect(path: Path, access: Access, patience_s: float) -> sqlite3.Connection:
    """A connection without transactions of its own making, which waits so long for a lock; raises sqlite3.Error."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{access.value}",
        uri=True,
        isolation_level=None,
        timeout=patience_s,
        check_same_thread=False,  # each has one owner, who may work in a thread
    )
    if access is not Access.WRITE:
        connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA wal_autocheckpoint=0")
    return connection


def is_bug(error: sqlite3.DatabaseError) -> bool:
    """Whether it is the program that is wrong, and not the disk."""
    return isinstance(error, BUGS)


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is not what was written: asking again does not cure it."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # Our statements name nothing that a store has not: where a name is missing, the schema has rotted.
    return code in _ROTTEN or (code == sqlite3.SQLITE_ERROR and str(error).startswith("no such")) or _is_garbled(error)


def is_unreadable(error: sqlite3.DatabaseError) -> bool:
    """Whether the card did not give back a block: now, or for good."""
    return getattr(error, "sqlite_errorcode", 0) in _UNREADABLE


def words(error: sqlite3.DatabaseError) -> str:
    """What to say of it: never the text that could not be read, which may be somebody's name."""
    return GARBLED if _is_garbled(error) else str(error)


def _is_garbled(error: sqlite3.DatabaseError) -> bool:
    return not hasattr(error, "sqlite_errorcode") and str(error).startswith("Could not decode to UTF-8")


def version() -> str:
    """Of the library."""
    return sqlite3.sqlite_version


def concern() -> str | None:
    """What to know about this version of SQLite; None where there is nothing."""
    first, last = FAULTY
    if not first <= sqlite3.sqlite_version_info <= last:
        return None
    return (
        f"SQLite {version()} has a fault in its write-ahead log that is cured in 3.51.3. It needs two connections that "
        "write at the same instant, and this program has one; do not write to the store with another program while it "
        "runs, and take the newer SQLite with the system's next upgrade"
    )
