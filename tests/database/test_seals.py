"""A row that is not what was written is not believed, whichever of its bits has changed."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from protocol.vocabulary import Direction
from storage import codes, grants, seals, userlist
from storage.database import Damaged
from storage.store import enroll
from tests.oracle.histories import GATE, NOON, PANEL
from tests.oracle.model import DeviceRule
from tests.oracle.parts import DAVID, part, person
from tests.oracle.store import Store

NUMBER = int(DAVID)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    devices = {GATE: DeviceRule("fluss+", 100), PANEL: DeviceRule("intercom", 100)}
    async with Store(tmp_path / "gateway.db", devices) as opened:
        window = {"days": ["mon"], "from": "09:00", "until": "17:00"}
        invited = person(DAVID, "David", notes="Unit 4", accepted=True, permission="Repeat", schedule=[window])
        await opened.receive([part("b1", 5, invited, inviteExpiresAt=NOON + 5)], NOON)
        yield opened


def rotten(store: Store, table: str, column: str, value: object, where: str = "1") -> None:
    """The file gives back other bits than it was given; no statement of ours has changed them."""
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        statement = f"UPDATE {table} SET {column} = ? WHERE {where}"  # noqa: S608 -- names that this file chooses
        assert connection.execute(statement, (value,)).rowcount == 1


ROTTEN_USER = [
    ("status", "Bctive"),
    ("status", None),
    ("accepted", 0),
    ("permission", "Owner"),
    ("starts_at", 1),
    ("ends_at", 1 << 60),
    ("schedule", None),
    ("name", "David\0"),
    ("notes", "Unit 5"),
    ("units", '["4"]'),
    ("wifi", 0),
    ("deadline", 5),
    ("mobile", NUMBER + 1),
    ("seal", 12345),
]


@pytest.mark.parametrize(("column", "value"), ROTTEN_USER)
async def test_row_of_a_user_that_was_changed_by_nobody_opens_nothing(store: Store, column: str, value: object) -> None:
    device, mobile = store.devices[GATE].number, NUMBER + (column == "mobile")
    assert grants.listed(store.reader, device, NUMBER)
    rotten(store, "users", column, value)
    assert "seals" in store.unsound()
    with pytest.raises(Damaged):
        grants.listed(store.reader, device, mobile)
    with pytest.raises(Damaged):
        await store.database.transact(lambda transaction: userlist.whole(transaction, device, [mobile]))


async def test_what_time_and_people_change_is_sealed_again(store: Store) -> None:
    device = store.devices[GATE].number
    waits = part("b2", 6, person(accepted=False), person("+27831112222", "Zoë"), inviteExpiresAt=NOON + 5)
    await store.receive([waits], NOON)
    assert await store.accept(GATE, "+27831112222", NOON + 1)
    await store.receive([part("b3", 7, person("+27831113333", "Ann"), inviteExpiresAt=NOON + 9)], NOON + 1)
    await store.expire(NOON + 10)
    await store.receive([part("b4", 8, mode="replace")], NOON + 11)
    assert store.unsound() == []
    assert grants.listed(store.reader, device, 27831112222)


async def test_status_that_changes_does_not_make_a_rotten_row_sound(store: Store) -> None:
    """Acceptance and expiry write into a row without reading it: what was wrong before stays wrong."""
    await store.receive([part("b2", 6, person("+27831112222", "Zoë"), inviteExpiresAt=NOON + 5)], NOON)
    rotten(store, "users", "permission", "Owner", where="mobile = 27831112222")
    await store.accept(GATE, "+27831112222", NOON + 1)
    with pytest.raises(Damaged):
        grants.listed(store.reader, store.devices[GATE].number, 27831112222)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("digits", "0043"),
        ("expires_at", 1 << 60),
        ("entry", PANEL),
        ("entered_at", None),
        ("left_at", 5),
    ],
)
async def test_rotten_code_opens_nothing(store: Store, column: str, value: object) -> None:
    panel = store.devices[PANEL].number
    code = await store.database.transact(
        lambda transaction: codes.issue(
            transaction, panel, digits="0042", name="Plumber", mobile=27849998888, made_at=NOON,
            expires_at=NOON + 5, entry=GATE, exit=GATE,
        )
    )  # fmt: skip
    await store.database.transact(lambda transaction: codes.use(transaction, code.number, Direction.ENTRY, NOON + 1))
    ((used),) = codes.live(store.reader, PANEL)
    assert used.entered_at == NOON + 1
    rotten(store, "codes", column, value)
    with pytest.raises(Damaged):
        codes.live(store.reader, PANEL)


async def test_number_of_a_device_that_has_become_anothers_is_not_believed(store: Store) -> None:
    """The lists of the two would be each other's."""
    rotten(store, "devices", "device_id", "x", where=f"device_id = '{GATE}'")
    with pytest.raises(Damaged):
        await store.database.transact(lambda transaction: enroll(transaction, "new", [GATE, PANEL]))


def test_seal_is_that_of_the_columns_in_order() -> None:
    """A fixed value: what one release has sealed, the next must find intact."""
    assert seals.seal(1, 27824511234, "Active", None, "Zoë") == 5354873711508067096
    assert seals.seal(1, "2") != seals.seal(12, "") != seals.seal("1", 2)
