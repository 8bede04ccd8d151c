"""The floor: what decoding these bytes and storing these rows costs with nothing in between, and nothing lost.

orjson over the payloads, then sqlite3's executemany of ready tuples into the product's own table of users, in one
transaction with `synchronous=FULL`. No validation, no numbers, no outcomes, no reports, no broker.
"""

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import orjson

from benchmarks import people

_INSERT: Final = f"INSERT INTO users VALUES ({','.join('?' * 15)})"
_SCHEMA: Final = Path(__file__).parents[1] / "storage" / "schema" / "0001.sql"


class Floor:
    """The floor of one list of people; each measurement writes a fresh file in `home`."""

    def __init__(self, crowd: list[people.Invitee], payloads: Sequence[bytes], home: Path) -> None:
        self._payloads = payloads
        self._rows = people.rows(crowd)
        self._home = home

    def seconds(self) -> float:
        """Decode and store once; the wall time."""
        path = self._home / "floor.db"
        with closing(_fresh(path)) as database:
            start = time.perf_counter()
            for payload in self._payloads:
                orjson.loads(payload)
            database.execute("BEGIN IMMEDIATE")
            database.executemany(_INSERT, self._rows)
            database.execute("COMMIT")
            elapsed = time.perf_counter() - start
        _remove(path)
        return elapsed


def _fresh(path: Path) -> sqlite3.Connection:
    _remove(path)
    database = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=0", "cache_size=-8192"):
        database.execute(f"PRAGMA {pragma}").fetchall()
    database.executescript(_SCHEMA.read_text())
    return database


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
