"""Copies of the store: whole, verified, two of them, for nobody else to read, and gone when they have to be."""

import asyncio
import resource
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.rollcall import Rollcall
from storage import forgotten
from storage.checkup import defect, vanished
from storage.database import Damaged, Reader, StorageFault
from storage.engine import Access
from storage.snapshot import Snapshots
from storage.store import device_states
from tests.oracle.histories import GATE, NOON
from tests.oracle.model import DeviceRule
from tests.oracle.parts import crowd, part
from tests.oracle.store import Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(tmp_path / "gateway.db", {GATE: DeviceRule("fluss+", 100_000)}) as opened:
        await opened.receive([part("b1", 1, *crowd(300))], NOON)
        yield opened


@pytest.fixture
async def snapshots(store: Store) -> AsyncIterator[Snapshots]:
    with closing(Snapshots(store.path.with_name("snapshots"), store.path)) as opened:
        yield opened


async def test_copy_has_all_that_the_store_has_and_stands_alone(store: Store, snapshots: Snapshots) -> None:
    path = await snapshots.take()
    assert defect(path, access=Access.FROZEN, closely=True) is None
    assert snapshots.recall(device_states) == device_states(store.reader)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


async def test_two_are_kept_and_nobody_else_may_read_them(store: Store, snapshots: Snapshots) -> None:
    taken = []
    for revision in (2, 3, 4):
        await store.receive([part(f"b{revision}", revision, *crowd(revision))], NOON)
        taken.append(await snapshots.take())
    assert snapshots.paths() == taken[:0:-1] == list(snapshots.good())
    assert {path.stat().st_mode & 0o077 for path in (*taken[1:], taken[1].parent)} == {0}


async def test_commits_meanwhile_neither_wait_nor_get_into_it(
    store: Store, snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.snapshot.PAGES", 2)  # a step for every few people: commits come between all of them
    await store.receive([part("b2", 2, *crowd(3_000, 1_000))], NOON)
    before = device_states(store.reader)
    taking = asyncio.create_task(snapshots.take())
    while not store.path.with_name("snapshots").joinpath("new").exists():  # noqa: ASYNC110 -- a file tells nobody that it is there
        await asyncio.sleep(0)
    revision = 2
    while not taking.done():
        revision += 1
        await store.receive([part(f"b{revision}", revision, *crowd(revision, 9_000))], NOON)
    assert revision > 3
    path = await taking
    with closing(Reader(path, access=Access.FROZEN)) as reader:
        copied = device_states(reader)[GATE]
    assert before[GATE].revision <= copied.revision <= 3
    assert defect(path, access=Access.FROZEN, closely=True) is None


async def test_damaged_store_is_not_copied(store: Store, snapshots: Snapshots) -> None:
    good = await snapshots.take()
    with closing(sqlite3.connect(store.path)) as other, other:
        other.execute("UPDATE users SET wifi = 0 WHERE mobile % 7 = 0")
    with pytest.raises(Damaged, match="its copy is not sound"):
        await snapshots.take()
    assert snapshots.paths() == [good]
    assert [each.name for each in good.parent.iterdir()] == [good.name]


async def test_copy_that_does_not_fit_on_the_card_leaves_it_as_it_was(store: Store, snapshots: Snapshots) -> None:
    await store.database.checkpoint(over=0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (store.path.stat().st_size // 2, before[1]))
    try:
        with pytest.raises(StorageFault):
            await snapshots.take()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(store.path.with_name("snapshots").iterdir()) == []


async def test_rotten_copy_is_passed_over(store: Store, snapshots: Snapshots) -> None:
    older = await snapshots.take()
    newer = await snapshots.take()
    newer.write_bytes(newer.read_bytes()[:-1] + b"?")
    assert list(snapshots.good()) == [older]
    newer.write_bytes(b"junk")
    assert snapshots.recall(device_states) == device_states(store.reader)


async def test_none_is_left_where_somebody_is_to_be_forgotten(store: Store, snapshots: Snapshots) -> None:
    await snapshots.take()
    await snapshots.take()
    folder = store.path.with_name("snapshots")
    (folder / "new").write_bytes(b"what a power cut has left of a copy")
    await snapshots.drop()
    assert list(folder.iterdir()) == []
    assert snapshots.recall(device_states) is None
    [path] = [await snapshots.take()]
    assert snapshots.recall(device_states) == device_states(store.reader)
    assert list(path.parent.iterdir()) == [path]


async def test_copy_that_is_under_way_goes_as_well_and_whatever_else_is_there_is_nobodys(
    store: Store, snapshots: Snapshots
) -> None:
    """It may have begun before somebody was forgotten."""
    folder = store.path.with_name("snapshots")
    folder.mkdir()
    (folder / "gateway-2026.db").touch()
    taking = asyncio.create_task(snapshots.take())
    while not (folder / "new").exists():  # noqa: ASYNC110 -- a file tells nobody that it is there
        await asyncio.sleep(0)
    await snapshots.drop()
    assert (taking.done(), [each.name for each in folder.iterdir()]) == (True, ["gateway-2026.db"])


async def test_row_that_is_gone_was_lost_unless_somebody_was_taken_away_for_good_since_the_copy(
    store: Store, snapshots: Snapshots
) -> None:
    """Whoever was revoked, and forgotten before there was another copy, must not come back by the one there is."""
    device, rollcall = store.devices[GATE].number, Rollcall(store.reader, snapshots)
    somebody, other = 27_820_000_000, 27_820_000_001
    copy = await snapshots.take()
    with closing(sqlite3.connect(store.path)) as rot:
        (row,) = rot.execute("SELECT * FROM users WHERE mobile = ?", (other,))
        rot.execute("DELETE FROM users WHERE mobile = ?", (other,))
        rot.commit()
        assert rollcall.listed(device, other) is not None, "a row that nobody has taken away is remembered"
        assert vanished(store.path, copy)
        with pytest.raises(Damaged, match="not what their rows say"):
            await snapshots.take()
        rot.execute(f"INSERT INTO users VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608 -- marks alone
        rot.commit()

    await store.receive([part("b2", 2, revocations=[{"mobile": f"+{somebody}"}])], NOON)
    await store.database.transact(lambda transaction: forgotten.bury(transaction, NOON + 1))
    assert rollcall.listed(device, somebody) is None
    assert not vanished(store.path, copy)

    await store.receive([part("b3", 3, *crowd(1))], NOON)
    copy = await snapshots.take()
    assert rollcall.listed(device, somebody) is not None
    await store.receive([part("b4", 4, revocations=[{"mobile": f"+{somebody}"}])], NOON)
    await store.database.transact(lambda transaction: forgotten.bury(transaction, NOON + 1))
    assert rollcall.listed(device, somebody) is None, "forgotten a second time, too"
    assert not vanished(store.path, copy)
