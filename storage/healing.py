"""A store that heals: at every start it is looked through, and where it is damaged something better takes its place.

The newest copy that is to the bit what was written, brought up to what can be read of the damaged one; else what can be
read of that; and only then nothing. Each leaves another epoch behind, by which the cloud sees that it has to ask. Every
step can be interrupted, and is begun anew at the next start.
"""

import secrets
import shutil
import time
from collections.abc import Awaitable, Callable
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import orjson
import structlog

from storage import durable, engine, wal
from storage.checkup import defect, is_empty, older, vanished
from storage.database import (
    Damaged,
    Database,
    EncryptionFault,
    Reader,
    SchemaFault,
    StorageFault,
    Transaction,
    Unreadable,
    faults_of,
)
from storage.engine import Access
from storage.hashing import KEY
from storage.salvage import carry_over, rebuild
from storage.snapshot import Snapshots
from storage.wreckage import Wreckage

log = structlog.get_logger()

LOOKS: Final = 3
LOOK_AGAIN_S: Final = 0.2
"""A card may have a bad moment."""


_UNUSABLE: Final[tuple[type[Exception], ...]] = (Damaged, SchemaFault, ValueError, TypeError)
"""What comes of a copy of another version, and of a wreck, which may say anything."""


class Source(StrEnum):
    """Where the store that takes the place of a damaged one comes from."""

    SNAPSHOT = "snapshot"
    SALVAGE = "salvage"
    ITSELF = "itself"
    """It is sound, but what was written last is gone."""
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Restored:
    """How the store of this epoch came to be; `at` is epoch milliseconds."""

    epoch: str
    at: int
    source: Source
    reason: str


class Healer:
    """Keeps one store alive. `note` is where it is written down how the store was restored last."""

    def __init__(
        self,
        store: Path,
        snapshots: Snapshots,
        wreckage: Wreckage,
        note: Path,
        key_file: Path | None = None,
        key: bytes | None = None,
    ) -> None:
        self._key_file = key_file or store.with_name(KEY)
        self._store = store
        self._key = key
        self._snapshots = snapshots
        self._wreckage = wreckage
        self._note = note

    async def heal(self, now: int, *, unclean: bool, closely: bool = False) -> Restored | None:
        """See to it that there is a sound store; how it was restored, where it had to be.

        `unclean`: it was not closed when it was used last. Raises StorageFault and OSError where the disk does not let
        us, and SchemaFault.
        """
        if self._key is not None and self._is_plain():
            plainly = Healer(self._store, self._snapshots.plain(), self._wreckage, self._note, self._key_file)
            restored = await plainly.heal(now, unclean=unclean, closely=closely)
            self._encrypt(self._key)
            return restored
        self._fit_the_key()
        lost = unclean and self._has_lost_commits()  # before anybody opens it
        reason = self._reason(closely)
        if reason is not None:
            return await self._replace(reason, now)
        if lost:
            return await self._rename("the end of its write-ahead log is gone", now)
        return None

    def last(self) -> Restored | None:
        """How a store was restored last; it counts for the one that has its epoch."""
        try:
            said = orjson.loads(self._note.read_bytes())
            return Restored(said["epoch"], said["at"], Source(said["source"]), said["reason"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _reason(self, closely: bool) -> str | None:
        """Why the store has to be replaced."""
        looks = 0
        while True:
            try:
                return self._found(closely)
            except Unreadable as fault:
                looks += 1
                if looks == LOOKS:
                    if next(self._snapshots.good(), None) is None:
                        raise  # there is nothing better
                    return str(fault)
            time.sleep(LOOK_AGAIN_S)

    def _found(self, closely: bool) -> str | None:
        if self._store.is_dir():
            return "a folder stands in its place"
        if is_empty(self._store, self._key):
            there_was = self._snapshots.paths() or self._wreckage.newest(self._store.name)
            return "it is gone" if there_was else None
        if engine.is_read_only(self._store):
            return "its header says that nobody may write it"
        return defect(self._store, closely=closely, key=self._key) or self._worse_than_a_copy(closely)

    def _worse_than_a_copy(self, closely: bool) -> str | None:
        """What the newest copy knows and the store does not."""
        looks = ((older, "it is older than its own copy"), (vanished, "a row is gone that its copy has"))
        for snapshot in self._snapshots.paths():
            try:
                for look, reason in looks[: 2 if closely else 1]:
                    if look(self._store, snapshot, self._key) and self._snapshots.is_good(snapshot):
                        return reason
            except StorageFault as fault:
                log.warning("snapshot.unreadable", path=str(snapshot), error=str(fault))
            else:
                return None
        return None

    def _is_plain(self) -> bool:
        """Whether the store is from before there was a key; where it cannot tell any more, its copies do."""
        if self._store.is_file() and self._opens(self._store):
            return False
        return any(path.is_file() and engine.is_plain(path) for path in (self._store, *self._snapshots.paths()))

    def _fit_the_key(self) -> None:
        """Raises EncryptionFault where the key is not that of the store.

        A copy that is what was written, and that the key does not open, tells a wrong key from a damaged store.
        """
        for snapshot in self._snapshots.paths():
            if self._opens(snapshot):
                return
            if self._snapshots.is_good(snapshot):
                cure = "name its key in [store] key_file" if self._key is None else "give it the key it was made with"
                raise EncryptionFault(f"{self._store} is encrypted with another key, or with one: {cure}")

    def _opens(self, path: Path) -> bool:
        try:
            with closing(Reader(path, access=Access.FROZEN, key=self._key)) as reader:
                return bool(reader.fetch("SELECT 1 FROM sqlite_schema LIMIT 1"))
        except Damaged:
            return False

    def _encrypt(self, key: bytes) -> None:
        """Once, and anew where a power cut came between: the plain store is the last of what is plain to go.

        What was written before stays on the card until it has been overwritten. Raises StorageFault, OSError.
        """
        folder = self._fresh.parent
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        with faults_of(self._store):
            engine.encrypt(self._store, self._fresh, key)
        durable.sync(self._fresh)
        if (reason := defect(self._fresh, access=Access.FROZEN, closely=True, key=key)) is not None:
            raise Damaged(f"{self._fresh}: {reason}")
        for path in (*self._snapshots.paths(), *self._store.parent.glob(f"{self._store.stem}.v*.db")):
            path.unlink()
        self._wreckage.drop()
        for suffix in ("-wal", "-shm"):
            self._store.with_name(self._store.name + suffix).unlink(missing_ok=True)
        self._fresh.replace(self._store)
        durable.sync(self._store.parent)
        shutil.rmtree(folder)
        log.warning("store.encrypted", path=str(self._store))

    def _has_lost_commits(self) -> bool:
        log_file, index = (self._store.with_name(self._store.name + suffix) for suffix in ("-wal", "-shm"))
        # Whoever closes a store properly takes both away.
        return wal.lost_commits(log_file) if log_file.exists() else index.exists() and self._store.exists()

    async def _replace(self, reason: str, now: int) -> Restored:
        log.critical("store.damaged", path=str(self._store), reason=reason)
        self._wreckage.take(self._store, reason)
        epoch = secrets.token_hex(4)
        source = await self._anything(epoch, now)
        restored = Restored(epoch, now, source, reason)
        durable.put(self._note, orjson.dumps(asdict(restored)))
        self._fresh.replace(self._store)
        durable.sync(self._store.parent)
        self._wreckage.mended()
        shutil.rmtree(self._fresh.parent)
        (log.critical if source is Source.NOTHING else log.warning)("store.restored", source=source.value)
        return restored

    async def _anything(self, epoch: str, now: int) -> Source:
        """Have a store in `fresh`: the best there can be."""
        wreck = self._wreckage.newest(self._store.name)
        for snapshot in self._snapshots.good():
            for old in dict.fromkeys((wreck, None)):
                if await self._made(snapshot, old, epoch, lambda store, old: carry_over(store, old, now)):
                    return Source.SNAPSHOT
        saved = 0

        async def rebuilt(store: Transaction, old: Reader | None) -> None:
            nonlocal saved
            saved = 0 if old is None else await rebuild(store, old, now, once=old_path == wreck)

        for old_path in (wreck, *self._snapshots.paths()):  # rows that have their seals, whatever is wrong beside them
            if old_path is not None and await self._made(None, old_path, epoch, rebuilt) and saved:
                return Source.SALVAGE
        await self._made(None, None, epoch, _nothing)
        return Source.NOTHING

    async def _made(
        self,
        snapshot: Path | None,
        wreck: Path | None,
        epoch: str,
        fill: Callable[[Transaction, Reader | None], Awaitable[None]],
    ) -> bool:
        """Make a store in `fresh`, and fill it with what is left; whether that could be done. Raises OSError."""
        folder = self._fresh.parent
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        if snapshot is not None:
            shutil.copyfile(snapshot, self._fresh)

        async def work(store: Transaction) -> None:
            await store.execute("INSERT OR IGNORE INTO store (store, epoch) VALUES (1, '')")
            access = Access.FROZEN if wreck in self._snapshots.paths() else Access.READ
            with nullcontext() if wreck is None else closing(Reader(wreck, access=access, key=self._key)) as old:
                await fill(store, old)
            await store.execute("UPDATE store SET epoch = ?", (epoch,))

        try:
            async with Database(self._fresh, key_file=self._key_file, key=self._key) as database:
                await database.transact(work)
                await database.checkpoint(over=0)
            durable.sync(self._fresh)
            return defect(self._fresh, access=Access.FROZEN, closely=True, key=self._key) is None
        except (*_UNUSABLE, *engine.bugs()) as fault:
            log.error("restoring.failed", snapshot=str(snapshot), error=str(fault))  # noqa: TRY400 -- the next may do
            return False

    async def _rename(self, reason: str, now: int) -> Restored:
        """The store goes on under another epoch: the cloud may know what it has lost."""
        log.error("store.lost_commits", path=str(self._store), reason=reason)
        restored = Restored(secrets.token_hex(4), now, Source.ITSELF, reason)
        durable.put(self._note, orjson.dumps(asdict(restored)))
        async with Database(self._store, key_file=self._key_file, key=self._key) as database:
            await database.transact(lambda store: store.execute("UPDATE store SET epoch = ?", (restored.epoch,)))
        return restored

    @property
    def _fresh(self) -> Path:
        return self._store.parent / "restoring" / self._store.name


async def _nothing(_: Transaction, __: Reader | None) -> None:
    """An empty store."""
