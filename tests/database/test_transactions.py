"""Transactions on real files: whole or nothing, whatever happens to the caller or to the disk."""

import asyncio
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from storage.database import Database, Reader, StorageFault, Transaction

INSERT = "INSERT INTO devices (device_id) VALUES (?)"
COUNT = "SELECT count(*) FROM devices"


def fetched(path: Path, sql: str = COUNT) -> list[tuple[Any, ...]]:
    """What somebody else sees in the file."""
    with closing(Reader(path)) as reader:
        return reader.fetch(sql)


async def ten(transaction: Transaction, *, prefix: str = "device") -> int:
    """Ten rows in two statements, with the loop let in between."""
    await transaction.many(INSERT, [(f"{prefix}-{number}",) for number in range(5)])
    await asyncio.sleep(0)
    await transaction.many(INSERT, [(f"{prefix}-{number}",) for number in range(5, 10)])
    return 10


async def test_writer_is_durable_and_checkpoints_only_when_told(tmp_path: Path) -> None:
    async with Database(tmp_path / "gateway.db") as database:

        async def pragmas(transaction: Transaction) -> list[object]:
            names = ("journal_mode", "synchronous", "wal_autocheckpoint", "secure_delete")
            return [(await transaction.fetch(f"PRAGMA {name}"))[0][0] for name in names]

        assert await database.transact(pragmas) == ["wal", 2, 0, 1]


async def test_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    async with Database(tmp_path / "gateway.db") as database:

        async def fails(transaction: Transaction) -> None:
            await ten(transaction)
            raise ValueError("a bug behind ten rows")

        with pytest.raises(ValueError, match="a bug"):
            await database.transact(fails)
        assert fetched(tmp_path / "gateway.db") == [(0,)]
        assert await database.transact(ten) == 10


async def test_transactions_of_several_tasks_never_mix(tmp_path: Path) -> None:
    async with Database(tmp_path / "gateway.db") as database:

        async def half(transaction: Transaction) -> None:
            await ten(transaction, prefix="lost")
            raise ValueError("rolled back")

        kept = [database.transact(partial(ten, prefix=f"kept-{n}")) for n in range(5)]
        lost = [database.transact(half) for _ in range(5)]
        results = await asyncio.gather(*kept, *lost, return_exceptions=True)
        assert results[:5] == [10] * 5
        assert all(isinstance(result, ValueError) for result in results[5:])
        assert Reader(tmp_path / "gateway.db").fetch("SELECT count(*) FROM devices WHERE device_id LIKE 'kept-%'") == [
            (50,)
        ]
        assert fetched(tmp_path / "gateway.db") == [(50,)]


async def test_cancelled_transaction_is_whole_or_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    rng = Random(7)
    async with Database(tmp_path / "gateway.db") as database:
        reader = Reader(tmp_path / "gateway.db")
        rows = 0
        cancelled = 0
        for number in range(100):
            task = asyncio.create_task(database.transact(partial(ten, prefix=f"try-{number}")))
            await asyncio.sleep(rng.uniform(0, 0.003))
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                cancelled += 1
            ((now,),) = reader.fetch(COUNT)
            assert now in (rows, rows + 10), "a half transaction"
            rows = now
        assert cancelled > 10, "too few were cancelled to show anything"
        await database.transact(ten)
        assert reader.fetch(COUNT) == [(rows + 10,)]
        reader.close()


async def test_full_disk_is_a_fault_and_passes(tmp_path: Path) -> None:
    """SQLITE_FULL, from SQLite itself: the file may not grow."""
    path = tmp_path / "gateway.db"
    async with Database(path) as database:

        async def fill(transaction: Transaction) -> None:
            await transaction.execute("PRAGMA max_page_count = 1")  # no less than it has
            await transaction.many(INSERT, [(f"{number:0500d}",) for number in range(200)])

        with pytest.raises(StorageFault, match=r"gateway\.db: database or disk is full"):
            await database.transact(fill)
        assert await database.transact(ten) == 10, "a fresh connection has room again"
        assert fetched(path) == [(10,)]


async def test_locked_database_is_a_fault_and_passes(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    async with Database(path) as database:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageFault, match="locked"):
            await database.transact(ten)
        other.execute("ROLLBACK")
        other.close()
        assert await database.transact(ten) == 10


async def test_broken_constraint_is_a_bug_and_no_fault(tmp_path: Path) -> None:
    """What a sick disk cannot cause must not be tried for ever."""
    async with Database(tmp_path / "gateway.db") as database:
        await database.transact(ten)
        with pytest.raises(sqlite3.IntegrityError):
            await database.transact(ten)


async def test_reader_sees_the_last_commit_and_waits_for_no_writer(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    async with Database(path) as database:
        reader = Reader(path)

        async def looked_at(transaction: Transaction) -> list[tuple[object, ...]]:
            await ten(transaction)
            return reader.fetch(COUNT)

        assert await database.transact(looked_at) == [(0,)]
        assert reader.fetch(COUNT) == [(10,)]
        with pytest.raises(StorageFault, match=r"readonly|read-only"):
            reader.fetch("DELETE FROM devices RETURNING device")
        reader.close()


async def test_checkpoint_moves_the_log_once_it_has_grown(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    async with Database(path) as database:
        for number in range(20):
            await database.transact(partial(ten, prefix=f"{number}-" + "x" * 2000))
        before = path.stat().st_size
        await database.checkpoint(over=1 << 30)
        assert path.stat().st_size == before
        await database.checkpoint(over=1 << 10)
        assert path.stat().st_size > before


async def test_corrupt_file_is_a_fault_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    path.write_bytes(b"not a database at all" * 300)
    with pytest.raises(StorageFault, match=r"gateway\.db: file is not a database"):
        async with Database(path):
            pass
