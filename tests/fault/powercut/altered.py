"""`fluss-agent`, altered: ``python -P -m tests.fault.powercut.altered ALTERATION… -- ARGUMENT…``.

`hurried` does within a second what takes a gateway hours. Each of the others breaks a promise on purpose, in the
smallest way there is: the judge has to notice.
"""

import asyncio
import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import aiosqlite

from agent import chrony, clock, floor, timekeeping
from agent.cli import main
from agent.intake import Intake
from agent.intents import Intent, Intents
from agent.link import Delivery
from protocol.codec import Refused
from protocol.events import Event
from protocol.validate import Roll
from storage import database, events
from storage.database import Transaction
from storage.ledger import Ledger


def hurried() -> None:
    """The log goes into the store after 64 KiB, and a time service that always agrees raises the floor all the time."""
    alter(database, CHECKPOINT_BYTES=64 << 10)
    alter(database.Database.checkpoint, __defaults__=(64 << 10,))
    alter(clock, LOOK_EVERY_S=0.05, KEEP_EVERY_S=0.05, ASK_EVERY_MS=50, ASK_AGAIN_MS=50)
    alter(timekeeping, SETTLE_MS=50)
    alter(floor, KEEP_EVERY_MS=50)

    async def agrees() -> chrony.Tracking:
        return chrony.Tracking(reference=1, stratum=2, leap=0, at=clock.wall_ms(), correction_s=0.0)

    alter(clock.Clock.__init__, __kwdefaults__={**(clock.Clock.__init__.__kwdefaults__ or {}), "ask": agrees})


def acknowledged_first() -> None:
    """The broker has its acknowledgement before the commit has begun."""
    commit = Intake._commit

    async def too_soon(
        self: Intake, group: Mapping[str, tuple[Delivery, Roll | Refused]], deliveries: Sequence[Delivery]
    ) -> None:
        for delivery in deliveries:
            delivery.acknowledge()
        await asyncio.sleep(0.005)
        await commit(self, group, deliveries)

    alter(Intake, _commit=too_soon)


def in_two_transactions() -> None:
    """What a part does to the list; and then that it was taken, and what is said of it."""
    save = Ledger.save

    async def apart(self: Ledger) -> None:
        await self._transaction.execute("COMMIT")
        await self._transaction.execute("BEGIN IMMEDIATE")
        await save(self)

    alter(Ledger, save=apart)


def recorded_in_two_transactions() -> None:
    """That a command is done for and a code used up; and then what happened at the gate."""
    record = events.record

    async def apart(transaction: Transaction, happened: Sequence[Event]) -> int:
        await transaction.execute("COMMIT")
        await transaction.execute("BEGIN IMMEDIATE")
        return await record(transaction, happened)

    alter(events, record=apart)


def migrated_without_a_copy() -> None:
    """The copy of the store as it was is left out."""

    async def nothing(*_: object) -> None:
        pass

    alter(database.Database, _snapshot=nothing)


def synced_at_checkpoints_only() -> None:
    """`synchronous=NORMAL`: a commit is in the log, and the log is nowhere."""
    synchronous("NORMAL")


def never_synced() -> None:
    """`synchronous=OFF`: the store trusts the card to keep everything in order."""
    synchronous("OFF")


def synchronous(mode: str) -> None:
    """Open every store this way."""
    opened = database.Database._open

    async def carelessly(self: database.Database) -> aiosqlite.Connection:
        connection = await opened(self)
        await connection.execute(f"PRAGMA synchronous={mode}")
        return connection

    alter(database.Database, _open=carelessly)


def intents_not_synced() -> None:
    """The gate moves when its intent is written, wherever that is."""
    alter(os, fdatasync=lambda _: None)


def moved_first() -> None:
    """The gate moves, and its intent is written when there is time."""
    write = Intents.write
    writing = set()

    async def written(intents: Intents, intent: Intent) -> None:
        await asyncio.sleep(0.005)
        await write(intents, intent)

    async def later(self: Intents, intent: Intent) -> None:
        task = asyncio.create_task(written(self, intent))
        writing.add(task)
        task.add_done_callback(writing.discard)

    alter(Intents, write=later)


def floor_not_synced() -> None:
    """The floor under the clock has its name before it has its bytes."""
    fsync = os.fsync

    def only_names(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            fsync(file)

    alter(os, fsync=only_names)


def alter(place: object, **names: object) -> None:
    """Give things of a module, a class or a function, which has them by these names, other values."""
    for name, value in names.items():
        assert hasattr(place, name), f"{place} has no {name} any more"
        setattr(place, name, value)


ALTERATIONS: Final[Mapping[str, Callable[[], None]]] = {
    each.__name__: each
    for each in (
        hurried,
        acknowledged_first,
        in_two_transactions,
        recorded_in_two_transactions,
        migrated_without_a_copy,
        synced_at_checkpoints_only,
        never_synced,
        intents_not_synced,
        moved_first,
        floor_not_synced,
    )
}

if __name__ == "__main__":
    end = sys.argv.index("--")
    for name in sys.argv[1:end]:
        ALTERATIONS[name]()
    sys.exit(main(sys.argv[end + 1 :]))
