"""The SQLite that opens the store's files, and what its errors mean.

Where the store has a key it is SQLCipher, the same interface over encrypted pages, each with a MAC of its own.
"""

import sqlite3
import sys
from enum import Enum
from pathlib import Path
from typing import Any, Final

Errors = tuple[type[sqlite3.DatabaseError], ...]
"""SQLCipher's errors are no relatives of SQLite's, and the same for whoever handles them."""


class Access(Enum):
    """How a file is opened."""

    WRITE = "mode=rwc"
    READ = "mode=ro"
    FROZEN = "mode=ro&immutable=1"
    """A file that nobody writes any more: it is read without a lock, and nothing is put beside it."""


_ROTTEN: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
"""The last because our statements are right: a name that is missing, or a format nobody knows, is the file's fault."""

_UNREADABLE: Final = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}

_PLAIN: Final = b"SQLite format 3\0"

GARBLED: Final = "a text in it is no text any more"

FAULTY: Final = (3, 7, 0), (3, 51, 2)
"""The first and the last version whose write-ahead log two connections can ruin: by writing or checkpointing at the
same instant, one of them just when the log begins anew. Cured in 3.51.3."""


def connect(path: Path, access: Access, patience_s: float, key: bytes | None = None) -> sqlite3.Connection:
    """A connection without transactions of its own making, which waits so long for a lock; raises one of `errors()`.

    A `key` of 32 bytes opens an encrypted store; whoever has one has made sure that `can_encrypt`.
    """
    module: Any = sqlite3 if key is None else _sqlcipher()
    connection: sqlite3.Connection = module.connect(
        f"{path.absolute().as_uri()}?{access.value}",
        uri=True,
        isolation_level=None,
        timeout=patience_s,
        check_same_thread=False,  # each has one owner, who may work in a thread
    )
    if key is not None:
        connection.execute(f'PRAGMA key = "{_raw(key)}"')
    if access is not Access.WRITE:
        connection.execute("PRAGMA query_only=ON")
        connection.execute("PRAGMA wal_autocheckpoint=0")
    return connection


def can_encrypt() -> bool:
    """Whether SQLCipher is installed; if so, it is loaded from now on."""
    try:
        _sqlcipher()
    except ImportError:
        return False
    return True


def _sqlcipher() -> Any:  # noqa: ANN401 -- a module without type hints
    from sqlcipher3 import dbapi2  # noqa: PLC0415 -- 5 MiB that only a key makes use of, and not installed everywhere

    return dbapi2


def errors() -> Errors:
    """What either of them raises."""
    return _called("DatabaseError")


def bugs() -> Errors:
    """What a sick file cannot cause, such as a broken constraint: a bug."""
    return _called("IntegrityError", "ProgrammingError", "DataError")


def _called(*names: str) -> Errors:
    """The errors of these names. SQLCipher's can be met once it is loaded, and not before."""
    loaded = filter(None, (sqlite3, sys.modules.get("sqlcipher3.dbapi2")))
    return tuple(getattr(module, name) for module in loaded for name in names)


def is_plain(path: Path) -> bool:
    """Whether a file is a store that anybody can read; raises OSError."""
    with path.open("rb") as file:
        return file.read(len(_PLAIN)) == _PLAIN


def is_read_only(path: Path) -> bool:
    """Whether the header of a plain store says that no SQLite may write it ("Database File Format", 1.3.3).

    Not for a store that is open: closing a file drops the locks that this process has on it. Raises OSError.
    """
    with path.open("rb") as file:
        return is_plain(path) and not {1, 2}.issuperset(file.read(20)[18:])


def encrypt(path: Path, encrypted: Path, key: bytes) -> None:
    """Write a plain store to a fresh file, encrypted; raises one of `errors()`."""
    connection = _sqlcipher().connect(str(path), isolation_level=None)
    try:
        connection.execute("ATTACH DATABASE ? AS encrypted KEY ?", (str(encrypted), _raw(key)))
        connection.execute("SELECT sqlcipher_export('encrypted')").fetchall()
        ((version,),) = connection.execute("PRAGMA user_version").fetchall()
        connection.execute(f"PRAGMA encrypted.user_version = {version}")
        connection.execute("DETACH DATABASE encrypted")
    finally:
        connection.close()


def _raw(key: bytes) -> str:
    """A key that is one already: nothing has to be stretched."""
    return f"x'{key.hex()}'"


def is_bug(error: sqlite3.DatabaseError) -> bool:
    """Whether it is the program that is wrong, and not the disk."""
    return isinstance(error, bugs())


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is not what was written: asking again does not cure it."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in _ROTTEN or _is_garbled(error)


def is_unreadable(error: sqlite3.DatabaseError) -> bool:
    """Whether the card did not give back a block: now, or for good."""
    return getattr(error, "sqlite_errorcode", 0) in _UNREADABLE


def words(error: sqlite3.DatabaseError) -> str:
    """What to say of it: never the text that could not be read, which may be somebody's name."""
    return GARBLED if _is_garbled(error) else str(error)


def _is_garbled(error: sqlite3.DatabaseError) -> bool:
    return not hasattr(error, "sqlite_errorcode") and str(error).startswith("Could not decode to UTF-8")


def version(*, encrypted: bool = False) -> str:
    """Of the SQLite that opens the store; SQLCipher has one of its own."""
    return str(_sqlcipher().sqlite_version if encrypted else sqlite3.sqlite_version)


def concern(*, encrypted: bool = False) -> str | None:
    """What to know about this version of SQLite; None where there is nothing."""
    first, last = FAULTY
    named = version(encrypted=encrypted)
    if not first <= tuple(map(int, named.split("."))) <= last:
        return None
    return (
        f"SQLite {named} has a fault in its write-ahead log that is cured in 3.51.3. It needs two connections that "
        "write at the same instant, and this program has one; do not write to the store with another program while it "
        "runs, and take the newer SQLite with the system's next upgrade"
    )
