"""What the files of a state directory say: read with SQL and code of our own, and columns by their names."""

import json
import re
import sqlite3
import zlib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from protocol.reports import receipt_payload, statuses_payload, unpacked
from tests.counterparts.cloud import GATEWAY, Document

STORE: Final = "gateway.db"
STORE_FILES: Final = (STORE, f"{STORE}-wal", f"{STORE}-journal")
INTENTS: Final = "intents"
FLOOR: Final = "clock"

SLOT: Final = 4_096
_FLOOR = re.compile(rb"(past (\d+) uptime \d+) crc32 ([0-9a-f]{8})\n")

Files: TypeAlias = Mapping[str, bytes]
User: TypeAlias = tuple[Any, ...]

_USERS = """
SELECT device_id, mobile, batch_id, batches.revision, status, accepted, permission, starts_at, ends_at, name, notes,
    units, wifi, invited_by
FROM users JOIN devices USING (device) JOIN origins USING (origin) JOIN batches USING (batch)
"""
_PARTS = "SELECT batch_id, part FROM parts JOIN batches USING (batch)"
_MISCOUNTED = """
SELECT batch_id FROM batches LEFT JOIN parts USING (batch) GROUP BY batch HAVING count(part) != applied
"""
_FALSE_SUMS = """
SELECT origin FROM origins LEFT JOIN users USING (origin) GROUP BY origin
HAVING pending != sum(status IS 'Pending') OR active != sum(status IS 'Active') OR expired != sum(status IS 'Expired')
    OR gone != sum(status IS NULL) OR count(users.mobile) = 0
"""
_REPORTS = """
SELECT report, kind, at, batch_id, part, revision, body FROM reports LEFT JOIN batches USING (batch) ORDER BY report
"""
_EVENTS = """
SELECT event, at, device_id, request, mobile, name, channel, action, reason, note, clock, opened, actuated, error,
    intent
FROM events JOIN devices USING (device) ORDER BY event
"""


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the access log: its request, its intent, and what the cloud is told of it."""

    request: str
    intent: int | None
    opened: bool
    """Whether it does not say that the gate stayed as it was."""
    said: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Remains:
    """A store. ``version`` 0: none, or one without a schema yet."""

    version: int = 0
    unsound: tuple[str, ...] = ()
    epoch: str | None = None
    sent: int = 0
    acknowledged: int = 0
    events_sent: int = 0
    users: Mapping[tuple[str, str], User] = field(default_factory=dict)
    parts: frozenset[tuple[str, int]] = frozenset()
    reports: Mapping[int, bytes] = field(default_factory=dict)
    events: Mapping[int, Event] = field(default_factory=dict)
    codes: Mapping[int, tuple[bool, bool]] = field(default_factory=dict)
    """By number: whether it was used on the way in, and on the way out."""
    orders: frozenset[str] = frozenset()
    replies: frozenset[str] = frozenset()

    @property
    def newest_report(self) -> int:
        """The last number that was given out."""
        return max(self.sent, *self.reports, 0, 0)

    @property
    def newest_event(self) -> int:
        """The last number that was given out."""
        return max(self.events_sent, *self.events, 0, 0)


def store_in(files: Files, scratch: Path) -> Remains:
    """The store among files, opened in the folder ``scratch``, which nobody else uses."""
    for name in (*STORE_FILES, f"{STORE}-shm"):
        path = scratch / name
        if (content := files.get(name)) is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(content)
    if not files.get(STORE):
        return Remains()
    # A rollback journal can only be rolled back by whoever may write; closing a WAL then costs a checkpoint.
    how = "rw" if files.get(f"{STORE}-journal") else "ro"
    try:
        with closing(sqlite3.connect(f"{(scratch / STORE).as_uri()}?mode={how}", uri=True)) as database:
            return _read(database)
    except sqlite3.DatabaseError as error:
        return Remains(unsound=(f"SQLite: {error}",))


def _read(database: sqlite3.Connection) -> Remains:
    database.row_factory = sqlite3.Row
    ((version,),) = database.execute("PRAGMA user_version")
    unsound = [f"integrity: {said}" for (said,) in database.execute("PRAGMA integrity_check") if said != "ok"]
    if version == 0 or unsound:
        return Remains(unsound=tuple(unsound))
    unsound += [f"a dangling key: {tuple(row)}" for row in database.execute("PRAGMA foreign_key_check")]
    unsound += [f"batch {name} miscounts its parts" for (name,) in database.execute(_MISCOUNTED)]
    unsound += [f"origin {number} has false sums" for (number,) in database.execute(_FALSE_SUMS)]
    store = _only(database, "SELECT * FROM store")
    logs = version >= 2
    return Remains(
        version=version,
        unsound=tuple(unsound),
        epoch=store.get("epoch"),
        sent=store.get("sent", 0),
        acknowledged=store.get("acknowledged", 0),
        events_sent=store.get("events_sent", 0),
        users={(row["device_id"], f"+{row['mobile']}"): _user(row) for row in database.execute(_USERS)},
        parts=frozenset((row["batch_id"], row["part"]) for row in database.execute(_PARTS)),
        reports={row["report"]: _payload(store["epoch"], tuple(row)) for row in database.execute(_REPORTS)},
        events={row["event"]: _event(row) for row in database.execute(_EVENTS)} if logs else {},
        codes={
            row["code"]: (row["entered_at"] is not None, row["left_at"] is not None)
            for row in (database.execute("SELECT * FROM codes") if logs else ())
        },
        orders=frozenset(row["command_id"] for row in (database.execute("SELECT * FROM orders") if logs else ())),
        replies=frozenset(json.loads(row["body"])["commandId"] for row in database.execute("SELECT * FROM replies")),
    )


def _only(database: sqlite3.Connection, query: str) -> Document:
    rows = database.execute(query).fetchall()
    return dict(rows[0]) if rows else {}


def _user(row: sqlite3.Row) -> User:
    listed = row["status"] is not None
    return (
        *(row["batch_id"], row["revision"], row["status"], row["accepted"] == 1),
        *(row["permission"], row["starts_at"], row["ends_at"], row["name"], row["notes"]),
        *(row["units"] and tuple(json.loads(row["units"])), row["wifi"] == 1, row["invited_by"] if listed else None),
    )


@cache
def _payload(epoch: str, row: tuple[Any, ...]) -> bytes:
    """A stored report as the wire carries it; the same rows are in most states."""
    number, kind, at, batch_id, part, revision, body = row
    if kind == "receipt":
        return receipt_payload(GATEWAY, epoch, number, at, body)
    batch = None if batch_id is None or part is None else (batch_id, part, revision)
    return statuses_payload(GATEWAY, epoch, number, at, batch, unpacked(body))


def _event(row: sqlite3.Row) -> Event:
    said = {
        **{name: row[name] for name in ("at", "channel", "action", "reason", "note", "clock", "error")},
        "eventId": row["event"],
        "deviceId": row["device_id"],
        "mobile": None if row["mobile"] is None else f"+{row['mobile']}",
        "userName": row["name"],
        "openedDeviceId": row["opened"],
        "actuated": None if row["actuated"] is None else row["actuated"] == 1,
    }
    opened = row["reason"] is None and row["actuated"] != 0
    return Event(row["request"], row["intent"], opened, tuple(sorted(said.items())))


def intents_in(files: Files) -> frozenset[int]:
    """The numbers of the intents that can be read."""
    return _numbers(files.get(INTENTS, b""))


@lru_cache(1_000)
def _numbers(content: bytes) -> frozenset[int]:
    found = (intent_in(content[start : start + SLOT]) for start in range(0, len(content), SLOT))
    return frozenset(intent["number"] for intent in found if intent is not None)


def intent_in(slot: bytes) -> Document | None:
    """The intent of a slot: CRC-32 and length of a JSON document, and the document; None in an empty or torn one."""
    length = int.from_bytes(slot[4:8], "big")
    body = slot[8 : 8 + length]
    if not length or len(body) < length or zlib.crc32(body) != int.from_bytes(slot[:4], "big"):
        return None
    return dict(json.loads(body))


def floor_in(files: Files) -> int | None:
    """The floor under the clock (epoch ms); None where there is none. Raises ValueError where it is damaged."""
    if (content := files.get(FLOOR)) is None:
        return None
    if (found := _FLOOR.fullmatch(content)) is None or zlib.crc32(found[1]) != int(found[3], 16):
        raise ValueError(f"the floor under the clock is damaged: {content!r}")
    return int(found[2])
