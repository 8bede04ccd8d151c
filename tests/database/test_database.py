"""The file itself: durable, whole or not at all, one writer, readers that never wait, and faults that pass."""

import asyncio
import os
import random
import resource
import shutil
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage import database
from storage.database import CHECKPOINT_BYTES, Database, Reader, StorageFault, Transaction

SCHEMA = ["CREATE TABLE things (thing INTEGER PRIMARY KEY, owner TEXT, body BLOB) STRICT;\n"]
PUT = "INSERT INTO things (owner, body) VALUES (?, ?)"
COUNT = "SELECT count(*) FROM things WHERE owner = ?"
NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Database]:
    async with Database(path, SCHEMA) as opened:
        yield opened


@pytest.fixture
def reader(path: Path, store: Database) -> Iterator[Reader]:
    opened = Reader(path)
    yield opened
    opened.close()


async def put(store: Database, owner: str, count: int = 1, size: int = 8) -> None:
    await store.transact(lambda transaction: transaction.many(PUT, [(owner, os.urandom(size))] * count))


def count(reader: Reader, owner: str) -> int:
    ((found,),) = reader.fetch(COUNT, (owner,))
    return int(found)


def log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


async def test_commit_is_durable_and_only_we_checkpoint(store: Database) -> None:
    async def pragmas(transaction: Transaction) -> dict[str, object]:
        names = ("journal_mode", "synchronous", "wal_autocheckpoint", "secure_delete")
        return {name: (await transaction.fetch(f"PRAGMA {name}"))[0][0] for name in names}

    assert await store.transact(pragmas) == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "wal_autocheckpoint": 0,
        "secure_delete": 1,
    }


async def test_transact_gives_back_what_the_work_gives(store: Database) -> None:
    assert await store.transact(lambda transaction: transaction.fetch("SELECT 1, 'one'")) == [(1, "one")]
    assert await store.transact(lambda transaction: transaction.execute(PUT, ("a", b""))) == 1


async def test_work_that_raises_leaves_nothing(store: Database, reader: Reader) -> None:
    async def work(transaction: Transaction) -> None:
        await transaction.execute(PUT, ("a", b""))
        raise KeyError("no such luck")

    with pytest.raises(KeyError):
        await store.transact(work)
    await put(store, "b")
    assert (count(reader, "a"), count(reader, "b")) == (0, 1)


async def test_bug_in_the_work_stays_a_bug(store: Database, reader: Reader) -> None:
    """What no disk can cause is not waited out."""
    await put(store, "a")
    with pytest.raises(sqlite3.IntegrityError):
        await store.transact(lambda transaction: transaction.execute("INSERT INTO things (thing) VALUES (1)"))
    with pytest.raises(sqlite3.ProgrammingError):
        await store.transact(lambda transaction: transaction.execute(PUT, ("one parameter",)))
    assert count(reader, "a") == 1


async def test_transactions_do_not_mix(store: Database, reader: Reader) -> None:
    async def one_more(transaction: Transaction) -> None:
        ((before,),) = await transaction.fetch("SELECT coalesce(max(thing), 0) FROM things")
        await asyncio.sleep(0)
        await transaction.execute("INSERT INTO things (thing, owner) VALUES (?, 'a')", (before + 1,))

    await asyncio.gather(*[store.transact(one_more) for _ in range(50)])
    assert count(reader, "a") == 50


async def test_cancelled_caller_knows_the_outcome_and_the_next_one_works(store: Database, reader: Reader) -> None:
    """A hundred callers, cancelled at random moments, some twice: each leaves its whole work, or none of it."""
    rng = random.Random(7)

    async def work(transaction: Transaction, owner: str) -> None:
        for _ in range(3):
            await transaction.many(PUT, [(owner, b"")] * 10)

    left = []
    for number in range(100):
        owner = str(number)
        caller = asyncio.create_task(store.transact(lambda transaction, owner=owner: work(transaction, owner)))  # type: ignore[misc]  # bound now, not when it runs
        for _ in range(rng.randint(1, 2)):
            await asyncio.sleep(rng.uniform(0, 0.003))
            caller.cancel()
        ended = await asyncio.gather(caller, return_exceptions=True)
        left.append(count(reader, owner))
        assert left[-1] == 30 if ended == [None] else isinstance(ended[0], asyncio.CancelledError)
    assert set(left) <= {0, 30}
    assert left.count(30) > 50
    await put(store, "after")
    assert count(reader, "after") == 1


async def test_caller_cancelled_while_waiting_for_its_turn_holds_nobody_up(store: Database, reader: Reader) -> None:
    go = asyncio.Event()

    async def slow(transaction: Transaction) -> None:
        await transaction.execute(PUT, ("slow", b""))
        await go.wait()

    first = asyncio.create_task(store.transact(slow))
    second = asyncio.create_task(put(store, "second"))
    await asyncio.sleep(0.01)
    second.cancel()
    go.set()
    await asyncio.wait([first, second])
    await put(store, "third")
    assert [count(reader, owner) for owner in ("slow", "third")] == [1, 1]
    assert count(reader, "second") in {0, 1}


async def test_reader_sees_the_last_commit_and_waits_for_nobody(store: Database, reader: Reader) -> None:
    await put(store, "a")

    async def look_in_between(transaction: Transaction) -> tuple[int, float]:
        await transaction.execute(PUT, ("a", b""))
        began = time.perf_counter()
        return count(reader, "a"), time.perf_counter() - began

    seen, took_s = await store.transact(look_in_between)
    assert seen == 1
    assert took_s < database.BUSY_S / 2
    assert count(reader, "a") == 2


async def test_reader_writes_nothing(store: Database, reader: Reader) -> None:
    for attempt in ("INSERT INTO things (owner) VALUES ('a')", "DELETE FROM things", "DROP TABLE things"):
        with pytest.raises(StorageFault, match=r"gateway\.db: attempt to write a readonly database"):
            reader.fetch(attempt)
    reader.fetch("PRAGMA query_only=OFF")
    with pytest.raises(StorageFault, match="readonly"):
        reader.fetch("DELETE FROM things")


async def test_reader_never_checkpoints_whatever_the_log_has_grown_to(path: Path, store: Database) -> None:
    """Not even as the last one to leave a store whose writer was killed."""
    await put(store, "a", count=3000, size=1000)
    killed = path.with_name("killed.db")
    shutil.copy(path, killed)
    shutil.copy(log_of(path), log_of(killed))
    before = killed.read_bytes(), log_of(killed).read_bytes()
    reader = Reader(killed)
    assert count(reader, "a") == 3000
    reader.close()
    assert (killed.read_bytes(), log_of(killed).read_bytes()) == before


async def test_log_is_moved_into_the_file_when_it_has_grown_and_shrinks_after(
    path: Path, store: Database, reader: Reader
) -> None:
    await put(store, "a", count=100, size=1000)
    before = path.read_bytes()
    await store.checkpoint()
    assert path.read_bytes() == before
    await put(store, "a", count=(CHECKPOINT_BYTES >> 10) + 100, size=1024)
    assert path.read_bytes() == before
    assert log_of(path).stat().st_size > CHECKPOINT_BYTES
    await store.checkpoint()
    assert path.stat().st_size > CHECKPOINT_BYTES
    await put(store, "b")
    assert log_of(path).stat().st_size < CHECKPOINT_BYTES, "a log that stays large is moved after every commit"
    assert count(reader, "b") == 1


async def test_locked_database_is_a_fault_that_passes(
    path: Path, store: Database, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.01)
    await store.__aexit__(None, None, None)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageFault, match=r"gateway\.db: database is locked"):
        await put(store, "a")
    assert count(reader, "a") == 0
    other.execute("ROLLBACK")
    other.close()
    await put(store, "a")
    assert count(reader, "a") == 1


async def test_full_disk_is_a_fault_that_passes(store: Database, reader: Reader) -> None:
    async def too_much(transaction: Transaction) -> None:
        ((pages,),) = await transaction.fetch("PRAGMA page_count")
        await transaction.execute(f"PRAGMA max_page_count = {pages + 3}")
        await transaction.execute(PUT, ("a", b""))
        await transaction.many(PUT, [("a", os.urandom(4000))] * 20)

    with pytest.raises(StorageFault, match=r"gateway\.db: database or disk is full"):
        await store.transact(too_much)
    assert count(reader, "a") == 0
    await put(store, "a", count=20, size=4000)
    assert count(reader, "a") == 20


async def test_write_that_fails_in_the_middle_of_a_commit_leaves_nothing(
    path: Path, store: Database, reader: Reader
) -> None:
    """The log may grow by a few pages, and the commit needs more: a real error of a real write."""
    await put(store, "a")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log_of(path).stat().st_size + 20_000, before[1]))
    try:
        with pytest.raises(StorageFault, match=r"gateway\.db: disk I/O error"):
            await put(store, "b", count=20, size=4000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (count(reader, "a"), count(reader, "b")) == (1, 0)
    await put(store, "b", count=20, size=4000)
    assert count(reader, "b") == 20


@contextmanager
def as_anyone() -> Iterator[None]:
    """Root may write everywhere: for a while be nobody, who may not."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


async def test_read_only_file_is_a_fault_that_passes() -> None:
    with tempfile.TemporaryDirectory() as folder:  # the one of pytest is closed to others
        path = Path(folder) / "gateway.db"
        async with Database(path, SCHEMA) as store:
            await put(store, "a")
        path.chmod(0o444)
        path.parent.chmod(0o555)
        with as_anyone(), pytest.raises(StorageFault, match=r"gateway\.db: "):
            await put(Database(path, SCHEMA), "b")
        path.chmod(0o600)
        path.parent.chmod(0o700)
        async with Database(path, SCHEMA) as store:
            await put(store, "a")
        reader = Reader(path)
        assert count(reader, "a") == 2
        reader.close()


async def test_file_that_is_no_database_is_named(path: Path) -> None:
    path.write_bytes(b"Dear diary, today I was a text file. " * 200)
    with pytest.raises(StorageFault, match=r"gateway\.db: file is not a database"):
        await Database(path, SCHEMA).__aenter__()


async def test_reader_comes_back_after_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "later" / "gateway.db"
    reader = Reader(path)
    with pytest.raises(StorageFault, match=r"gateway\.db: unable to open database file"):
        reader.fetch("SELECT 1")
    path.parent.mkdir()
    async with Database(path, SCHEMA) as store:
        await put(store, "a")
        assert count(reader, "a") == 1
        reader.close()
