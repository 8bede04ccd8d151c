"""Schema versions: forward only, from any version ever shipped, with a copy kept of what was there."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from protocol.codec import Limits, Part, decode
from protocol.codes import OneTimeCode
from protocol.mobile import Numbers
from protocol.validate import validate
from protocol.vocabulary import Kind
from storage import codes, events, orders, outbox
from storage.apply import apply
from storage.database import Database, Reader, SchemaFault, StorageFault, Transaction, shipped_schema
from storage.events import Recorded, Span
from storage.listing import entries
from storage.merge import Device
from storage.outbox import Resend
from storage.replace import Guard
from storage.store import device_states, enroll
from tests.golden.newest import DENIED, GATE, LET_IN, NOW, OPENED, PANEL, restored

NEWEST = len(shipped_schema())
NEXT = "CREATE TABLE fresh (number INTEGER PRIMARY KEY) STRICT;\nALTER TABLE devices ADD COLUMN label TEXT;\n"


@pytest.mark.parametrize("version", range(1, NEWEST + 1))
async def test_every_version_ever_shipped_still_opens(tmp_path: Path, version: int) -> None:
    """The people are there, and the next batch applies."""
    path = restored(version, tmp_path / "gateway.db")
    async with Database(path) as database:
        numbers = await database.transact(lambda transaction: enroll(transaction, "new", [GATE]))
        reader = Reader(path)
        people = list(entries(reader, [GATE]))
        assert [(each.name, each.mobile, each.status, each.revision) for each in people] == [
            ("David Mokoena", 27824511234, "Active", 42),
            ("Zoë Botha", 447911123456, "Pending", 42),
        ]
        part = decode(
            b'{"batchId":"later","gatewayId":"gw-1","revision":43,"deviceIds":["1234567890123456"],'
            b'"permission":"Always",'
            b'"invitees":[{"userName":"Zo\xc3\xab Botha","mobile":"+447911123456","notes":"Unit 5"}]}',
            "gw-1",
            Limits(),
        )
        assert isinstance(part, Part)
        roll = validate(part, Numbers("ZA"))
        devices = {GATE: Device(numbers[GATE], GATE, Kind.FLUSS, 10)}
        (applied,) = await database.transact(
            lambda transaction: apply(transaction, [roll], devices, Guard(), 1_900_000_000_000)
        )
        assert applied.counts == {"updated": 1}
        assert device_states(reader)[GATE].pending == 1
        assert reader.fetch("PRAGMA foreign_key_check") == []
        reader.close()


@pytest.mark.parametrize("version", range(1, NEWEST + 1))
async def test_every_version_gets_the_shape_of_a_store_made_today(tmp_path: Path, version: int) -> None:
    """And the newest golden database was made by the newest schema: nothing is left to migrate."""
    for path in (tmp_path / "fresh.db", restored(version, tmp_path / "gateway.db")):
        async with Database(path):
            pass
    assert shape(tmp_path / "gateway.db") == shape(tmp_path / "fresh.db")
    assert (tmp_path / f"gateway.v{version}.db").exists() == (version < NEWEST)


async def test_migration_to_version_2_begins_a_log_and_keeps_what_was_asked_for(tmp_path: Path) -> None:
    path = restored(1, tmp_path / "gateway.db")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE store SET sent = 2, acknowledged = 1, latest = 5")
        connection.execute("INSERT INTO resends (after, first, last) VALUES (3, 1, 2)")
    async with Database(path):
        with closing(Reader(path)) as reader:
            where = outbox.position(reader)
            assert (where.sent, where.acknowledged, where.newest) == (2, 1, 3)
            assert outbox.next_resend(reader, 0) == Resend(1, 3, 1, 2)
            assert events.next_resend(reader, 0) is None
            assert events.span(reader) == Span(sent=0, acknowledged=0, oldest=1, newest=0, lost=0)
            assert (events.last_intent(reader), events.recorded_intents(reader, [1])) == (0, set())


@pytest.mark.parametrize("version", range(2, NEWEST + 1))
async def test_log_codes_and_orders_are_still_read(tmp_path: Path, version: int) -> None:
    path = restored(version, tmp_path / "gateway.db")
    async with Database(path):
        with closing(Reader(path)) as reader:
            assert events.span(reader) == Span(sent=2, acknowledged=1, oldest=1, newest=3, lost=4)
            log = [Recorded(number, event) for number, event in enumerate([OPENED, DENIED, LET_IN], 1)]
            assert events.events(reader, 1, 9, 9) == log
            assert events.recorded_intents(reader, [6, 7, 8, 9]) == {7, 8}
            assert events.next_resend(reader, 0) == Resend(1, 3, 1, 2)
            assert outbox.next_resend(reader, 0) is None
            assert orders.seen(reader, "c-1", 0)
            assert codes.live(reader, PANEL) == [
                OneTimeCode(
                    1, PANEL, "0042", "Plumber", 27849998888, NOW, NOW + 43_200_000, GATE, GATE, entered_at=NOW + 2
                )
            ]


async def test_migration_keeps_a_copy_of_what_was_there_under_another_epoch(tmp_path: Path) -> None:
    path = restored(1, tmp_path / "gateway.db")
    async with Database(path, [*shipped_schema()[:1], NEXT]) as database:
        assert await database.transact(version_of) == 2
    before, after = Reader(tmp_path / "gateway.v1.db"), Reader(path)
    assert before.fetch("PRAGMA user_version") == [(1,)]
    assert before.fetch("SELECT count(*) FROM users") == after.fetch("SELECT count(*) FROM users")
    assert before.fetch("SELECT epoch FROM store") != after.fetch("SELECT epoch FROM store")
    before.close()
    after.close()


@pytest.mark.parametrize("broken", ["SELECT nothing FROM nowhere;", "INSERT INTO fresh VALUES ('no number');"])
async def test_migration_that_fails_changes_nothing(tmp_path: Path, broken: str) -> None:
    path = restored(1, tmp_path / "gateway.db")
    with pytest.raises((StorageFault, sqlite3.IntegrityError)):
        async with Database(path, [*shipped_schema()[:1], NEXT + broken]):
            pass
    reader = Reader(path)
    assert reader.fetch("PRAGMA user_version") == [(1,)]
    assert reader.fetch("SELECT count(*) FROM sqlite_schema WHERE name = 'fresh'") == [(0,)]
    reader.close()


async def test_newer_version_is_refused_in_clear_words(tmp_path: Path) -> None:
    path = restored(1, tmp_path / "gateway.db")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SchemaFault, match="schema version 99, this program knows"):
        async with Database(path):
            pass


def shape(path: Path) -> list[list[tuple[Any, ...]]]:
    """Everything that a store is made of, its content aside."""
    with closing(Reader(path)) as reader:
        return [
            reader.fetch("SELECT type, name, tbl_name FROM sqlite_schema ORDER BY name"),
            reader.fetch("SELECT name, ncol, wr, strict FROM pragma_table_list ORDER BY name"),
            reader.fetch(
                "SELECT made.name, is_.* FROM sqlite_schema AS made, pragma_table_xinfo(made.name) AS is_"
                " ORDER BY made.name, is_.cid"
            ),
        ]


async def version_of(transaction: Transaction) -> int:
    """The schema version of the file."""
    ((version,),) = await transaction.fetch("PRAGMA user_version")
    return int(version)
