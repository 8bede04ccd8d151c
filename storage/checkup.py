"""Looking a store through: is it what was written? It is only read here."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from storage import seals
from storage.database import BUSY_S, Damaged, Reader, StorageFault, pristine, shipped_schema
from storage.engine import Access
from storage.forgotten import extent
from storage.legible import illegible
from storage.sums import false_sum

SEALED_SINCE: Final = 3
"""The schema version whose rows are sealed."""

_SEALED: Final = {"users": seals.USER, "codes": seals.CODE, "devices": seals.DEVICE}
_CHAIN: Final = ("users", "origins", "batches", "devices")
"""Rows that lead from a person to whoever spoke of them. Where one leads nowhere, whatever names the person ends the
daemon, again and again."""

_SHAPE: Final = """
SELECT made.name, has.name, has.type, has."notnull", has.pk
FROM sqlite_schema AS made JOIN pragma_table_xinfo(made.name) AS has WHERE made.type IN ('table', 'view')
UNION ALL SELECT name, tbl_name, type, 0, 0 FROM sqlite_schema WHERE type = 'index'
ORDER BY 1, 2
"""


def is_empty(path: Path, key: bytes | None = None) -> bool:
    """Whether nothing was ever written to the file, or there is none: a store begins so. Raises StorageFault."""
    try:
        if path.stat().st_size == 0:
            return True
    except FileNotFoundError:
        return True
    except OSError as error:
        raise StorageFault(f"{path}: {error}") from error
    try:
        with closing(Reader(path, key=key)) as reader:
            return reader.fetch("SELECT 1 FROM sqlite_schema LIMIT 1") == [] and _version(reader) == 0
    except Damaged:
        return False


def defect(path: Path, *, access: Access = Access.READ, closely: bool = False, key: bytes | None = None) -> str | None:
    """What is wrong with a store, in words; None where it is sound. Raises StorageFault where it cannot be read now.

    Looking closely compares the indexes with the tables as well, and follows and reads what has no seal: ten times the
    work.
    """
    with closing(Reader(path, BUSY_S, access=access, key=key)) as reader:
        try:
            check = "integrity_check" if closely else "quick_check"
            ((verdict,),) = reader.fetch(f"PRAGMA {check}(1)")
            if verdict != "ok":
                return str(verdict)
            version = _version(reader)
            if (wrong := _wrong_shape(reader, version)) is not None:
                return wrong
            if version < SEALED_SINCE:
                return None
            return next(broken_seals(reader), None) or (_unsealed_defect(reader) if closely else None)
        except Damaged as damage:
            return str(damage)


def broken_seals(reader: Reader) -> Iterator[str]:
    """Every row that is not what was written, without a word of what it says; raises StorageFault."""
    for table, covered in _SEALED.items():
        for *said, stored in reader.scan(f"SELECT {covered}, seal FROM {table}"):
            if not seals.intact(said, stored) and not (table == "devices" and stored == 0):
                yield f"a row of {table} is not what was written"


def _unsealed_defect(reader: Reader) -> str | None:
    return _astray(reader) or false_sum(reader) or illegible(reader)


def _astray(reader: Reader) -> str | None:
    for table in _CHAIN:
        if next(reader.scan(f"PRAGMA foreign_key_check({table})"), None) is not None:
            return f"a row of {table} names another that is not there"
    return None


def older(path: Path, copy: Path, key: bytes | None = None) -> bool:
    """Whether a store stands before a copy of the same epoch, where it has once been. Raises StorageFault."""
    with _both(path, copy, key) as (here, there):
        mine, its = _position(here), _position(there)
    return mine[0] == its[0] and (mine[1] < its[1] or mine[2] < its[2])


def vanished(path: Path, copy: Path, key: bytes | None = None) -> bool:
    """Whether somebody is in a copy of the same epoch and not in the store. Raises StorageFault.

    Whoever is removed leaves a row behind, until it is taken away for good.
    """
    with _both(path, copy, key) as (here, there):
        if _position(here)[0] != _position(there)[0] or extent(here) != extent(there):
            return False
        left = set(there.scan("SELECT device, mobile FROM users WHERE status IS NOT NULL"))
        return not left.issubset(here.scan("SELECT device, mobile FROM users"))


@contextmanager
def _both(path: Path, copy: Path, key: bytes | None) -> Iterator[tuple[Reader, Reader]]:
    with closing(Reader(path, key=key)) as here, closing(Reader(copy, access=Access.FROZEN, key=key)) as there:
        yield here, there


def _position(reader: Reader) -> tuple[str, int, int]:
    """The epoch, and numbers that only rise."""
    rows = reader.fetch(
        """
        SELECT epoch, max(sent, coalesce((SELECT max(report) FROM reports), 0)),
            max(events_sent, coalesce((SELECT max(event) FROM events), 0)) FROM store
        """
    )
    return next(iter(rows), ("", 0, 0))


def _version(reader: Reader) -> int:
    ((version,),) = reader.fetch("PRAGMA user_version")
    return int(version)


@cache
def _shipped_shape() -> list[tuple[object, ...]]:
    with closing(pristine()) as ours:
        return ours.execute(_SHAPE).fetchall()


def _wrong_shape(reader: Reader, version: int) -> str | None:
    """Whether tables or columns are called otherwise than they were, or the version of them all is."""
    latest = len(shipped_schema())
    as_shipped = reader.fetch(_SHAPE) == _shipped_shape()
    if version == latest:
        return None if as_shipped else "its tables are not those of a store"
    if as_shipped:
        return f"its schema version cannot be {version}"
    return "it is another database" if version == 0 else None
