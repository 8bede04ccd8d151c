"""When the store is copied and looked through, and what happens when that finds damage."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from agent import alarm, caretaker
from agent.alarm import Alarm
from agent.caretaker import DAILY_S, LISTS_EVERY_S, Caretaker
from agent.clock import Clock
from agent.keep import Keep
from agent.vault import Vault
from storage import forgotten
from storage.database import Damaged
from storage.grants import listed
from storage.snapshot import KEPT
from tests.counterparts.waiting import until
from tests.oracle.histories import GATE, NOON
from tests.oracle.model import DeviceRule
from tests.oracle.parts import crowd, part
from tests.oracle.store import Store


class House:
    """A store that is looked after, and a watch of its own."""

    def __init__(self, store: Store, home: Path, *, healed: bool = False) -> None:
        self.store, self.keep, self.seconds = store, Keep(home), 0.0
        self.stop = asyncio.Event()
        self.alarm = Alarm(self.keep.marker, self.stop, just_healed=healed)
        vault = Vault(store.database, store.reader, store.devices, Clock(trusted=True), Random(1))
        self.told: list[str | None] = []
        self.caretaker = Caretaker(
            keep=self.keep,
            vault=vault,
            alarm=self.alarm,
            told=lambda: self.told.append(self.caretaker.fault),
            monotonic=lambda: self.seconds,
        )
        self._revision = 0

    async def hear(self, people: int = 3, **fields: object) -> None:
        """A batch comes."""
        self._revision += 1
        batch = part(f"b{self._revision}", self._revision, *crowd(people), **fields)
        await self.store.receive([batch], NOON)
        self.caretaker.changed()

    def copies(self) -> int:
        """How many were made so far."""
        return max((int(path.name[:8]) for path in self.keep.snapshots.paths()), default=0)

    async def copied(self, times: int) -> None:
        def copied() -> bool:
            return self.copies() == times and len(self.keep.snapshots.paths()) <= KEPT

        await until(copied, what=f"{times} copies, and none too many left")

    async def nothing_more(self) -> None:
        """Time enough for what should not happen."""
        self.caretaker.changed()
        copies = self.copies()
        await asyncio.sleep(0.15)
        assert self.copies() == copies


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(caretaker, "SETTLE_S", 0.01)
    async with Store(tmp_path / "gateway.db", {GATE: DeviceRule("fluss+", 100)}) as store:
        opened = House(store, tmp_path)
        running = asyncio.create_task(opened.caretaker.run())
        yield opened
        running.cancel()
        await asyncio.wait([running])
        opened.keep.snapshots.close()


async def test_list_is_copied_when_it_has_changed_and_not_again(house: House) -> None:
    await house.nothing_more()
    await house.hear()
    await house.copied(1)
    house.seconds += LISTS_EVERY_S + 1
    await house.nothing_more()
    await house.hear(5)
    await house.copied(2)


async def test_copies_of_a_list_that_changes_all_the_time_are_spared(house: House) -> None:
    await house.hear()
    await house.copied(1)
    await house.hear(4)
    await house.nothing_more()
    house.seconds += LISTS_EVERY_S + 1
    house.caretaker.changed()
    await house.copied(2)


async def test_half_a_batch_is_not_worth_a_copy(house: House) -> None:
    await house.hear(2, part=1, parts=2)
    await house.nothing_more()
    await house.store.receive([part("b1", 1, *crowd(2, 50), part=2, parts=2)], NOON)
    house.caretaker.changed()
    await house.copied(1)


async def test_daily_copy_is_made_of_what_else_has_changed_and_in_place_of_a_rotten_one(house: House) -> None:
    await house.hear()
    await house.copied(1)
    house.seconds += DAILY_S + 1
    await house.nothing_more()
    await house.store.expire(NOON)
    await house.store.receive([b"junk"], NOON)
    house.seconds += DAILY_S + 1
    house.caretaker.changed()
    await house.copied(2)

    path = house.keep.snapshots.paths()[1]
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    house.seconds += DAILY_S + 1
    house.caretaker.changed()
    await house.copied(3)
    assert len(list(house.keep.snapshots.good())) == 2


async def test_damage_found_while_copying_rings_the_alarm_and_leaves_a_mark(house: House) -> None:
    await house.hear()
    await house.copied(1)
    with closing(sqlite3.connect(house.store.path)) as other, other:
        other.execute("UPDATE users SET wifi = 0")
    house.seconds += LISTS_EVERY_S + 1
    await house.store.receive([part("b9", 9, *crowd(2, 60))], NOON)
    house.caretaker.changed()
    async with asyncio.timeout(5):
        await house.stop.wait()
    assert house.copies() == 1
    assert house.keep.marker.tells_of_damage


async def test_it_is_told_that_no_copy_can_be_made_and_that_one_can_again(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caretaker, "AFTER_FAILURE_S", 0.01)
    in_the_way = tmp_path / "snapshots"
    in_the_way.touch()
    await house.hear()
    await until(lambda: house.told, what="that no copy can be made")
    await asyncio.sleep(0.05)
    in_the_way.unlink()
    await house.copied(1)
    await until(lambda: house.told[1:], what="that one can be made again")
    first, second = house.told
    assert (str(in_the_way) in str(first), second) == (True, None)


async def test_start_that_has_just_healed_does_not_leave_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alarm, "PATIENCE_S", 0.2)
    async with Store(tmp_path / "gateway.db", {GATE: DeviceRule("fluss+", 100)}) as store:
        house = House(store, tmp_path, healed=True)
        started = asyncio.get_running_loop().time()
        house.alarm.ring(Damaged("a row of users is not what was written"))
        house.alarm.ring(Damaged("and another"))
        assert not house.stop.is_set()
        await house.stop.wait()
        assert asyncio.get_running_loop().time() - started >= 0.19


async def test_whoever_is_forgotten_is_in_no_copy_two_days_later(house: House) -> None:
    """Nothing else happens meanwhile: the store of a gate that nobody uses says the same as ever."""
    gone = "+27820000000"

    def in_copies() -> list[bool]:
        place = house.store.devices[GATE].number
        return list(house.keep.snapshots.answers(lambda copy: listed(copy, place, int(gone)) is not None))

    await house.hear()
    await house.copied(1)
    house.seconds += LISTS_EVERY_S + 1
    await house.hear(0, revocations=[{"mobile": gone}])
    await house.copied(2)
    house.seconds += DAILY_S + 1
    house.caretaker.changed()
    await house.copied(3)
    await house.nothing_more()
    assert in_copies() == [True, True]
    await house.store.database.transact(lambda transaction: forgotten.bury(transaction, NOON + 1))
    for copies in (4, 5):
        house.seconds += DAILY_S + 1
        house.caretaker.changed()
        await house.copied(copies)
    assert in_copies() == [False, False]
    house.seconds += DAILY_S + 1
    await house.nothing_more()


async def test_wrecks_are_forgotten_and_copies_stay(house: House, tmp_path: Path) -> None:
    await house.hear()
    await house.copied(1)
    house.seconds += LISTS_EVERY_S + 1
    await house.hear(5)
    await house.copied(2)
    wreck = tmp_path / "wreck.db"
    wreck.write_bytes(b"names")
    house.keep.wreckage.take(wreck, "damaged")
    await house.keep.drop_copies(before=0)
    assert house.keep.wreckage.newest("wreck.db") is not None
    assert len(house.keep.snapshots.paths()) == 2
    await house.keep.drop_copies(before=20_000_000_000_000)
    assert list((tmp_path / "damaged").iterdir()) == []
    assert len(house.keep.snapshots.paths()) == 2
    await house.keep.drop_copies(before=None)
    assert house.keep.snapshots.paths() == []
    house.caretaker.changed()
    await house.copied(1)
