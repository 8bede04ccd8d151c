"""The file itself: who may write it, who moves its log, and errors of real writes that pass."""

import asyncio
import os
import resource
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from storage.database import CHECKPOINT_BYTES, Database, Reader, StorageFault, Transaction

SCHEMA = ["CREATE TABLE things (thing INTEGER PRIMARY KEY, owner TEXT, body BLOB) STRICT;\n"]
PUT = "INSERT INTO things (owner, body) VALUES (?, ?)"
NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Database]:
    async with Database(path, SCHEMA) as opened:
        yield opened


async def put(store: Database, owner: str, count: int = 1, body: int = 8) -> None:
    await store.transact(lambda transaction: transaction.many(PUT, [(owner, os.urandom(body))] * count))


def count(path: Path, owner: str) -> int:
    with closing(Reader(path)) as reader:
        ((found,),) = reader.fetch("SELECT count(*) FROM things WHERE owner = ?", (owner,))
        return int(found)


def log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def size(path: Path) -> int:
    return path.stat().st_size


async def test_caller_cancelled_twice_still_waits_until_the_outcome_is_known(path: Path, store: Database) -> None:
    go = asyncio.Event()

    async def slow(transaction: Transaction) -> None:
        await transaction.execute(PUT, ("slow", b""))
        await go.wait()

    caller = asyncio.create_task(store.transact(slow))
    for _ in range(2):
        await asyncio.sleep(0.01)
        caller.cancel()
    await asyncio.wait([caller], timeout=0.05)
    assert not caller.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert count(path, "slow") == 1


async def test_caller_cancelled_while_waiting_for_its_turn_holds_nobody_up(path: Path, store: Database) -> None:
    go = asyncio.Event()

    async def slow(transaction: Transaction) -> None:
        await transaction.execute(PUT, ("slow", b""))
        await go.wait()

    first = asyncio.create_task(store.transact(slow))
    second = asyncio.create_task(put(store, "second", count=2))
    await asyncio.sleep(0.01)
    second.cancel()
    go.set()
    await asyncio.wait([first, second])
    await put(store, "third")
    assert [count(path, owner) for owner in ("slow", "second", "third")] == [1, 2, 1]


async def test_reader_cannot_be_talked_into_writing(path: Path, store: Database) -> None:
    with closing(Reader(path)) as reader:
        reader.fetch("PRAGMA query_only=OFF")
        with pytest.raises(StorageFault, match=r"gateway\.db: attempt to write a readonly database"):
            reader.fetch("DELETE FROM things")


async def test_reader_never_checkpoints_however_large_the_log(path: Path, store: Database) -> None:
    """Not even as the last one to leave a store whose writer was killed."""
    await put(store, "a", count=3000, body=1000)
    killed = path.with_name("killed.db")
    shutil.copy(path, killed)
    shutil.copy(log_of(path), log_of(killed))
    before = killed.read_bytes(), log_of(killed).read_bytes()
    assert count(killed, "a") == 3000
    assert (killed.read_bytes(), log_of(killed).read_bytes()) == before


async def test_log_that_was_moved_into_the_file_is_small_again(path: Path, store: Database) -> None:
    """If it stayed large, every later commit would be followed by a checkpoint: twice the wear of the card."""
    await put(store, "a", count=(CHECKPOINT_BYTES >> 10) + 100, body=1024)
    assert size(log_of(path)) > CHECKPOINT_BYTES
    await store.checkpoint()
    assert size(path) > CHECKPOINT_BYTES
    await put(store, "b")
    assert size(log_of(path)) < CHECKPOINT_BYTES


async def test_write_that_fails_in_the_middle_of_a_commit_leaves_nothing(path: Path, store: Database) -> None:
    """The log may grow by a few pages and the commit needs more: a real error of a real write."""
    await put(store, "a")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size(log_of(path)) + 20_000, before[1]))
    try:
        with pytest.raises(StorageFault, match=r"gateway\.db: disk I/O error"):
            await put(store, "b", count=20, body=4000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (count(path, "a"), count(path, "b")) == (1, 0)
    await put(store, "b", count=20, body=4000)
    assert count(path, "b") == 20


@contextmanager
def as_anyone() -> Iterator[None]:
    """Root may write everywhere; for a while be nobody, who may not."""
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
        assert (count(path, "a"), count(path, "b")) == (2, 0)


async def test_reader_comes_back_after_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "later" / "gateway.db"
    with closing(Reader(path)) as reader:
        with pytest.raises(StorageFault, match=r"gateway\.db: unable to open database file"):
            reader.fetch("SELECT 1")
        path.parent.mkdir()
        async with Database(path, SCHEMA) as store:
            await put(store, "a")
            assert reader.fetch("SELECT count(*) FROM things") == [(1,)]
