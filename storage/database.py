"""The database file: one connection that writes and checkpoints, and read-only ones beside it.

`synchronous=FULL` makes COMMIT mean durable, and with one writer the WAL-reset fault of SQLite before 3.51.3 cannot
happen: it needs two connections that write or checkpoint at the same instant.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, TypeVar

import aiosqlite
import structlog

from storage import engine
from storage.engine import Access
from storage.hashing import KEY, hashing, key_in
from storage.seals import resealed, seal

log = structlog.get_logger()

CACHE_KIB = 8_192
CHECKPOINT_BYTES = 8 << 20
BUSY_S = 1.0
"""How long to wait for a lock. Nobody else should hold one; whoever does is waited out by trying again."""

GLIMPSE_S = 0.02
"""The same for a reader on the event loop."""

CLOSE_S = 1.0
FAREWELL_S = 0.1

FUNCTIONS: Final[Sequence[tuple[str, int, Callable[..., int]]]] = (("seal", -1, seal), ("resealed", 3, resealed))
"""What the SQL of this package calls, on every connection that writes."""

Rows: TypeAlias = list[tuple[Any, ...]]
T = TypeVar("T")


class StorageFault(Exception):
    """The store could not do it: disk full, I/O error, locked or read-only. Nothing of the transaction happened."""


class Damaged(StorageFault):
    """What is read is not what was written: the file is not to be believed, and asking again does not cure it."""


class Unreadable(StorageFault):
    """The card did not give back a block: now, or for good."""


OnDamage = Callable[[Damaged], None]


class SchemaFault(Exception):
    """The file is no store of ours, or one of a newer version."""


class EncryptionFault(SchemaFault):
    """The store is encrypted with another key, or with one and none was given, or the other way round."""


class Transaction:
    """What a unit of work may do: everything it does commits together or not at all."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> Rows:
        """All rows of a query."""
        return list(await self._connection.execute_fetchall(sql, parameters))  # type: ignore[arg-type]  # tuples without a row factory

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement; the number of rows it changed."""
        async with self._connection.execute(sql, parameters) as cursor:
            return cursor.rowcount

    async def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for every row, in one call to the database's thread."""
        await self._connection.executemany(sql, rows)


Opens: TypeAlias = Callable[..., Awaitable[aiosqlite.Connection]]
"""Opens a connection, with what makes one of SQLite's, as `aiosqlite.Connection` does."""


class Database:
    """The writer. Work is handed in whole; a fault closes the connection, and the next work opens a fresh one.

    A failed fsync leaves pages in a state no retry on the same file handle can trust (Rebello et al., ATC 2020).
    Damage that the work comes upon is told to `on_damage` as well.
    """

    def __init__(
        self,
        path: Path,
        schema: Sequence[str] | None = None,
        *,
        key_file: Path | None = None,
        on_damage: OnDamage | None = None,
        key: bytes | None = None,
        opens: Opens = aiosqlite.Connection,
    ) -> None:
        self.path = path
        self._opens = opens
        self._key_file = key_file or path.with_name(KEY)
        self._key = key
        self._on_damage = on_damage
        self._schema = shipped_schema() if schema is None else schema
        self._connection: aiosqlite.Connection | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        async with self._turn:
            with faults_of(self.path):
                self._connection = await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        async with self._turn:
            await self._close()

    async def transact(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` inside one transaction, to its end even if the caller is cancelled; raises StorageFault.

        Cancelling an await does not cancel the SQL behind it, so a cancelled caller waits until the outcome is known.
        """
        task = asyncio.ensure_future(self._transact(work))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            while not task.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([task])
            if not task.cancelled() and (fault := task.exception()) is not None:
                log.warning("transaction.failed", error=str(fault))
            raise

    async def _transact(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        async with self._turn:
            try:
                with faults_of(self.path):
                    connection = self._connection = self._connection or await self._open()
                    await connection.execute("BEGIN IMMEDIATE")
                    try:
                        result = await work(Transaction(connection))
                        await connection.execute("COMMIT")
                    except BaseException:
                        if connection.in_transaction:
                            await connection.execute("ROLLBACK")
                        raise
                    return result
            except StorageFault as fault:
                await self._close()
                self._told(fault)
                raise

    async def checkpoint(self, over: int | None = None) -> None:
        """Move the write-ahead log into the file, once it has more than `over` bytes (CHECKPOINT_BYTES)."""
        most = CHECKPOINT_BYTES if over is None else over
        async with self._turn:
            try:
                with faults_of(self.path):
                    if self._connection is not None and _size(self.path.with_name(self.path.name + "-wal")) > most:
                        await self._connection.execute_fetchall("PRAGMA wal_checkpoint(PASSIVE)")
            except StorageFault as fault:
                await self._close()
                self._told(fault)
                raise

    async def rewrite(self) -> None:
        """Write the whole file anew, so that no page keeps what was in it before.

        `secure_delete` clears what is deleted, but not what a page kept of rows that moved to another one before.
        """
        await self._apart("PRAGMA temp_store=FILE", "VACUUM", "PRAGMA temp_store=MEMORY")  # it may not fit in memory

    async def empty_log(self) -> bool:
        """Move all of the write-ahead log into the file and cut it to nothing; False while somebody still reads it."""
        ((busy, *_),) = await self._apart("PRAGMA wal_checkpoint(PASSIVE)", "PRAGMA wal_checkpoint(TRUNCATE)")
        return not busy

    async def _apart(self, *statements: str) -> Rows:
        """Run statements that are no transaction; the rows of the last."""
        async with self._turn:
            try:
                with faults_of(self.path):
                    connection = self._connection = self._connection or await self._open()
                    fetched = [list(await connection.execute_fetchall(statement)) for statement in statements]
                    return fetched[-1]  # type: ignore[return-value]  # tuples without a row factory
            except StorageFault as fault:
                await self._close()
                self._told(fault)
                raise

    def _told(self, fault: StorageFault) -> None:
        if self._on_damage is not None and isinstance(fault, Damaged):
            self._on_damage(fault)

    async def _open(self) -> aiosqlite.Connection:
        try:
            connection = await self._opens(
                lambda: engine.connect(self.path, Access.WRITE, BUSY_S, self._key), iter_chunk_size=64
            )
        except engine.errors():
            await asyncio.sleep(FAREWELL_S)  # its thread still answers to the loop, which may end with this error
            raise
        try:
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                "foreign_keys=OFF",  # one writer keeps them by construction; the tests check them
                "wal_autocheckpoint=0",
                f"journal_size_limit={CHECKPOINT_BYTES // 2}",  # so that its size tells what it holds
                f"cache_size=-{CACHE_KIB}",
                "temp_store=MEMORY",
                "secure_delete=ON",
            ):
                await connection.execute_fetchall(f"PRAGMA {pragma}")
            hashed = hashing(self._forgetting())
            for name, arguments, function in (*FUNCTIONS, ("hashed", 1, hashed)):
                await connection.create_function(name, arguments, function, deterministic=True)
            await self._migrate(connection)
        except BaseException:
            await connection.close()
            raise
        return connection

    def _forgetting(self) -> bytes:
        try:
            return key_in(self._key_file)
        except OSError as error:
            raise StorageFault(f"{self._key_file}: {error.strerror}") from error

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            unclosed: tuple[type[Exception], ...] = (*engine.errors(), TimeoutError)
            try:
                await asyncio.wait_for(connection.close(), CLOSE_S)
            except unclosed as error:
                log.warning("database.close_failed", error=str(error))
                connection.stop()

    async def _migrate(self, connection: aiosqlite.Connection) -> None:
        ((version,),) = await connection.execute_fetchall("PRAGMA user_version")
        latest = len(self._schema)
        if version == latest:
            return
        if version > latest:
            raise SchemaFault(
                f"{self.path} has schema version {version}, this program knows {latest}: install the newer one again"
            )
        if version > 0:
            await self._snapshot(connection, version)
        try:
            await connection.execute("BEGIN EXCLUSIVE")
            for script in self._schema[version:]:
                for statement in statements(script):
                    await connection.execute(statement)
            await connection.execute(f"PRAGMA user_version = {latest}")
            await connection.execute("COMMIT")
        except engine.errors():
            if connection.in_transaction:
                await connection.execute("ROLLBACK")
            raise
        log.info("schema.migrated", before=version, after=latest)

    async def _snapshot(self, connection: aiosqlite.Connection, version: int) -> None:
        """Keep the list as it was before a migration, so that a bad one can be undone by hand."""
        path = self.path.with_name(f"{self.path.stem}.v{version}.db")
        path.unlink(missing_ok=True)
        async with aiosqlite.Connection(
            lambda: engine.connect(path, Access.WRITE, BUSY_S, self._key), iter_chunk_size=64
        ) as copy:
            await connection.backup(copy)
            # Put back one day, it goes on from old report numbers: they must not be taken for those given out since.
            await copy.execute("UPDATE store SET epoch = lower(hex(randomblob(4)))")
        log.info("schema.snapshot_taken", path=str(path))


class Reader:
    """A read-only connection in the caller's own thread: microseconds a row, always the last commit.

    Damage that it comes upon is told to `on_damage` as well.
    """

    def __init__(
        self,
        path: Path,
        patience_s: float = BUSY_S,
        on_damage: OnDamage | None = None,
        access: Access = Access.READ,
        key: bytes | None = None,
    ) -> None:
        self._path = path
        self._patience_s = patience_s
        self._on_damage = on_damage
        self._access = access
        self._key = key
        self._connection: sqlite3.Connection | None = None

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> Rows:
        """All rows of a query; raises StorageFault."""
        with self._reading() as connection:
            return connection.execute(sql, parameters).fetchall()

    def scan(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of a query one by one, as far as the file can be read; raises StorageFault."""
        with self._reading() as connection:
            yield from connection.execute(sql, parameters)

    def copy_to(self, path: Path, pages: int, pause_s: float) -> None:
        """Write the store as it is now to a fresh file, so many pages at a time; raises StorageFault, OSError.

        A transaction that reads is held open meanwhile, so that what is committed between two steps changes nothing.
        """
        self.close()
        with faults_of(self._path), closing(self._connect()) as source:
            source.execute("BEGIN")
            source.execute("SELECT 1 FROM sqlite_schema").fetchone()
            with closing(engine.connect(path, Access.WRITE, self._patience_s, self._key)) as copy:
                for pragma in ("journal_mode=OFF", "synchronous=OFF"):  # whoever wants to keep it syncs the whole file
                    copy.execute(f"PRAGMA {pragma}")
                source.backup(copy, pages=pages, sleep=pause_s)

    def _connect(self) -> sqlite3.Connection:
        return engine.connect(self._path, self._access, self._patience_s, self._key)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with faults_of(self._path):
                if self._connection is None:
                    self._connection = self._connect()
                yield self._connection
        except StorageFault as fault:
            self.close()
            if self._on_damage is not None and isinstance(fault, Damaged):
                self._on_damage(fault)
            raise

    def close(self) -> None:
        """Let go of the file; the next fetch opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def shipped_schema() -> list[str]:
    """The schema scripts in order; their count is the schema version (`PRAGMA user_version`)."""
    scripts = sorted((files("storage") / "schema").iterdir(), key=lambda script: script.name)
    return [script.read_text() for script in scripts]


def pristine() -> sqlite3.Connection:
    """A store as it begins, in memory: what any other has to look like."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for name, arguments, function in FUNCTIONS:
        connection.create_function(name, arguments, function, deterministic=True)
    for script in shipped_schema():
        connection.executescript(script)
    return connection


def statements(script: str) -> list[str]:
    """The statements of a script, one by one: `executescript` would commit on its own."""
    found, rest = [], ""
    for line in script.splitlines(keepends=True):
        rest += line
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    return found


@contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """Say which file is sick. What a sick file cannot cause, such as a broken constraint, is a bug and stays one."""
    try:
        yield
    except engine.errors() as error:
        if engine.is_bug(error):
            raise
        fault = Damaged if engine.is_damage(error) else Unreadable if engine.is_unreadable(error) else StorageFault
        raise fault(f"{path}: {engine.words(error)}") from None
    except UnicodeDecodeError:  # SQLite's own complaint may quote what it stumbled over
        raise Damaged(f"{path}: {engine.GARBLED}") from None


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
