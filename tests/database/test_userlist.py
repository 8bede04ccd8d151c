"""Rows of the list, written many with one statement and the rest one by one: the same rows, whatever their number."""

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from storage import userlist
from storage.checkup import defect
from storage.database import Database, Reader
from storage.store import enroll
from storage.userlist import BLOCK, COLUMNS, User

FIRST = 27820000000
DEVICE = "1234567890123456"
COUNTS = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7]


def user(device: int, mobile: int, name: str, *, at: int = 1) -> User:
    return User(device, mobile, 1, at, "Active", 1, "Always", None, None, None, name, "Zoë's", None, 1, None)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(tmp_path / "gateway.db") as opened:
        yield opened


def stored(path: Path) -> list[User]:
    with closing(Reader(path)) as reader:
        return [User(*row) for row in reader.fetch(f"SELECT {COLUMNS} FROM users ORDER BY mobile")]  # noqa: S608 -- ours


@pytest.mark.parametrize("changed", COUNTS)
@pytest.mark.parametrize("fresh", COUNTS)
async def test_rows_are_added_and_changed_in_any_number(database: Database, fresh: int, changed: int) -> None:
    (device,) = (await database.transact(lambda store: enroll(store, "gw-1", [DEVICE]))).values()
    before = [user(device, FIRST + number, f"Was {number}") for number in range(3 * BLOCK + 8)]
    await database.transact(lambda store: userlist.put(store, before, ()))
    assert stored(database.path) == before

    known = {each.mobile: each for each in before}
    again = [user(device, mobile, f"Is {mobile}", at=2) for mobile in Random(7).sample(sorted(known), changed)]
    more = [user(device, FIRST - 1 - number, f"New {number}") for number in range(fresh)]
    await database.transact(lambda store: userlist.put(store, [*again, *more], known))

    wanted = known | {each.mobile: each for each in (*again, *more)}
    assert stored(database.path) == [wanted[mobile] for mobile in sorted(wanted)]
    assert defect(database.path) is None
