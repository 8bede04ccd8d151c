"""Schema versions: forward only, from any version ever shipped, with a copy kept of what was there."""

import sqlite3
from pathlib import Path

import pytest

from protocol.codec import Limits, Part, decode
from protocol.mobile import Numbers
from protocol.validate import validate
from protocol.vocabulary import Kind
from storage.apply import apply
from storage.database import Database, Reader, SchemaFault, StorageFault, Transaction, shipped_schema, statements
from storage.listing import entries
from storage.merge import Device
from storage.replace import Guard
from storage.store import device_states, enroll
from tests.golden import GOLDEN

GATE = "1234567890123456"
NEXT = "CREATE TABLE fresh (number INTEGER PRIMARY KEY) STRICT;\nALTER TABLE devices ADD COLUMN label TEXT;\n"


def restored(version: int, path: Path) -> Path:
    """The golden database of a schema version, as a file."""
    with sqlite3.connect(path) as connection:
        connection.executescript((GOLDEN / f"store-v{version}.sql").read_text(encoding="utf-8"))
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    return path


@pytest.mark.parametrize("version", range(1, len(shipped_schema()) + 1))
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


def test_golden_database_has_the_latest_shape() -> None:
    """The newest golden database was made by the newest schema."""
    newest = (GOLDEN / f"store-v{len(shipped_schema())}.sql").read_text(encoding="utf-8")
    for script in shipped_schema():
        for statement in statements(script):
            name = statement.split("CREATE ", 1)[1].split("(", 1)[0].strip()
            assert name.split(" ON ")[0] in newest.replace('"', ""), name


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


async def version_of(transaction: Transaction) -> int:
    """The schema version of the file."""
    ((version,),) = await transaction.fetch("PRAGMA user_version")
    return int(version)
