"""The allowed-user list in SQL: one look at what is there, one sorted write of what changes."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from storage import seals
from storage.database import Damaged, Transaction

COLUMNS = (
    "device, mobile, origin, changed_at, status, accepted, permission, starts_at, ends_at, schedule, name, notes, "
    "units, wifi, deadline"
)
_GLANCE = """
SELECT mobile, origin, status FROM json_each(?) AS named
CROSS JOIN users ON users.device = ? AND users.mobile = named.value
"""
_WHOLE = f"""
SELECT {COLUMNS}, seal = seal({seals.USER})
FROM json_each(?) AS named CROSS JOIN users ON users.device = ? AND users.mobile = named.value
"""
_INSERT = f"INSERT INTO users ({COLUMNS}, seal) VALUES"
_ROW = f"({', '.join('?' * 16)})"
_UPDATE = """
ON CONFLICT (device, mobile) DO UPDATE SET origin = excluded.origin, changed_at = excluded.changed_at,
    status = excluded.status, accepted = excluded.accepted, permission = excluded.permission,
    starts_at = excluded.starts_at, ends_at = excluded.ends_at, schedule = excluded.schedule, name = excluded.name,
    notes = excluded.notes, units = excluded.units, wifi = excluded.wifi, deadline = excluded.deadline,
    seal = excluded.seal
"""
_MOVE = "UPDATE users SET origin = ? WHERE device = ? AND mobile = ?"


class User(NamedTuple):
    """A row of the list. `status` None is a tombstone; times are epoch milliseconds.

    Texts are plain strings, no members of an enumeration: the database asks its adapters about every other kind.
    """

    device: int
    mobile: int
    origin: int
    changed_at: int
    status: str | None
    accepted: int
    permission: str | None
    starts_at: int | None
    ends_at: int | None
    schedule: str | None
    name: str | None
    notes: str | None
    units: str | None
    wifi: int
    deadline: int | None


class Glance(NamedTuple):
    """What a row is judged by before its content matters."""

    origin: int
    status: str | None


SLICE: Final = 1_000
"""How many people the loop goes through at a time: between slices it answers the gate."""

BLOCK: Final = 250
"""How many rows a statement writes: a third faster than one each, and the interpreter is free meanwhile."""

_BLOCK: Final = _INSERT + ", ".join([_ROW] * BLOCK)
_MOBILE = attrgetter("mobile")
T = TypeVar("T")

CONTENT = slice(4, None)
"""The fields of a User that make two rows the same user."""


def tombstone(device: int, mobile: int, origin: int, at: int) -> User:
    """What is left of a revoked user: the number, and who said so."""
    return User(device, mobile, origin, at, None, 0, None, None, None, None, None, None, None, 1, None)


async def glance(transaction: Transaction, device: int, mobiles: Collection[int]) -> dict[int, Glance]:
    """Origin and status of those of `mobiles` that have a row, tombstones included."""
    found: dict[int, Glance] = {}
    for some in _slices(sorted(mobiles)):
        rows = await transaction.fetch(_GLANCE, (orjson.dumps(some).decode(), device))
        found.update((mobile, Glance(origin, status)) for mobile, origin, status in rows)
    return found


async def whole(transaction: Transaction, device: int, mobiles: Collection[int]) -> dict[int, User]:
    """The full rows of those of `mobiles` that have one; raises Damaged where one is not what was written."""
    found: dict[int, User] = {}
    for some in _slices(list(mobiles)):
        rows = await transaction.fetch(_WHOLE, (orjson.dumps(some).decode(), device))
        for *row, intact in rows:
            if not intact:
                raise Damaged(f"a row of device {device} is not what was written")
            found[row[1]] = User(*row)
    return found


async def put(transaction: Transaction, users: Collection[User], known: Collection[int]) -> None:
    """Write rows of one device, some of whose mobiles are `known`, in key order: neighbours share a page."""
    there = [user for user in users if user.mobile in known] if known else []
    new = [user for user in users if user.mobile not in known] if there else users
    await _write(transaction, sorted(new, key=_MOBILE), "")
    await _write(transaction, sorted(there, key=_MOBILE), _UPDATE)


async def _write(transaction: Transaction, users: Sequence[User], on_conflict: str) -> None:
    for some in _slices(users, BLOCK):
        rows = [_sealed(user) for user in some]
        if len(rows) == BLOCK:
            await transaction.execute(_BLOCK + on_conflict, tuple(chain.from_iterable(rows)))
        else:
            await transaction.many(_INSERT + _ROW + on_conflict, rows)


def _sealed(user: User) -> tuple[Any, ...]:
    """The row and its seal, as a plain tuple: sqlite3 takes much longer to bind one that has names."""
    row = tuple(user)
    return (*row, seals.seal(*(row[:2] + row[CONTENT])))


async def move(transaction: Transaction, device: int, moves: Iterable[tuple[int, int]]) -> None:
    """Give (mobile, origin) pairs their new origin; nothing else about them changes."""
    await transaction.many(_MOVE, [(origin, device, mobile) for mobile, origin in sorted(moves)])


def _slices(everybody: Sequence[T], most: int = SLICE) -> Iterator[Sequence[T]]:
    return (everybody[start : start + most] for start in range(0, len(everybody), most))
