"""The card: real files, real SQLite, and trouble by seed. Everything happens in one thread, in its turn."""

import asyncio
import errno
import shutil
import sqlite3
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final, Literal

import aiosqlite

from agent.intents import Intents
from storage.database import Database
from tests.simulation.hostility import Hostility
from tests.simulation.trace import Trace

Point = Literal["open", "begin", "statement", "commit", "committed", "thread"]

_POINTS: Final[tuple[Point, ...]] = ("open", "begin", "statement", "commit", "committed", "thread")
_WORDS: Final = ("disk I/O error", "database or disk is full", "database is locked")


class Disk:
    """``home`` holds a folder for each life of the process; ``committed`` is called when something has become durable.

    ``touch`` is called with every point at which a process may die.
    """

    def __init__(self, hostility: Hostility, trace: Trace, rng: Random, home: Path) -> None:
        self.committed: Callable[[], None] = lambda: None
        self.touch: Callable[[str], None] = lambda _: None
        self.folder = home / "card-0"
        self.folder.mkdir()
        self.unwritten_intents = 0
        """How many intents the card did not take."""
        self._home = home
        self._images = 0
        self._rng = rng
        self._hostility = hostility
        self._trace = trace
        self._sick_at: frozenset[Point] = frozenset()
        self._once = False
        self._connections: list[Connection] = []

    def take_image(self) -> None:
        """The process ends here: what the card holds at this instant is what the next one finds.

        Whatever the dead still do, they do to a card that nobody looks at.
        """
        dead, self._images = self.folder, self._images + 1
        self.folder = self._home / f"card-{self._images}"
        shutil.copytree(dead, self.folder, ignore=shutil.ignore_patterns("bench"))

    def let_go(self) -> None:
        """A process is gone, and with it every connection it had."""
        for connection in self._connections:
            connection.stop()
        self._connections.clear()

    def forget(self) -> None:
        """Throw away the cards of the dead."""
        for old in self._home.glob("card-*"):
            if old != self.folder:
                shutil.rmtree(old)

    def fall_sick(self, *, once: bool | None = None) -> float:
        """Trouble begins; how long it lasts, in seconds. Some of it happens once, some every time, some everywhere."""
        self._once = self._rng.random() < 0.5 if once is None else once
        self._sick_at = frozenset(
            _POINTS if self._rng.random() < 0.3 else [self._rng.choice((*_POINTS, "committed", "thread"))]
        )
        self._trace.say("disk", "sick", at=",".join(sorted(self._sick_at)), once=self._once)
        return self._rng.choice([1.0, 10.0, 90.0])

    def recover(self) -> None:
        """The trouble is over."""
        if self._sick_at:
            self._trace.say("disk", "well")
        self._sick_at = frozenset()

    @property
    def is_sick(self) -> bool:
        """Whether there is trouble now."""
        return bool(self._sick_at)

    def thread_s(self) -> float:
        """How long a piece of work takes."""
        slow_s = self._hostility.disk_slow_s
        return self._rng.uniform(0, 2 * slow_s) if slow_s and self._rng.random() < 0.5 else 0.0

    def on_thread(self, work: Callable[..., Any]) -> None:
        """A piece of work on a thread is about to be done; for an intent, raises OSError in its place."""
        self.touch("thread")
        if getattr(work, "__func__", None) is Intents._write and self._is_sick("thread"):
            self.unwritten_intents += 1
            raise OSError(errno.EIO, "simulated")

    def database(self, path: Path, **more: Any) -> Database:
        """The writer of the store, with its connections on this card."""
        return Database(path, opens=self._open, **more)

    def _open(self, connector: Callable[[], sqlite3.Connection], **_: int) -> "Connection":
        self._connections.append(Connection(self, connector))
        return self._connections[-1]

    def meet(self, point: Point) -> None:
        """Something is about to be done there, or has just been; raises what SQLite would."""
        self.touch(point)
        if self._is_sick(point):
            raise sqlite3.OperationalError(self._rng.choice(_WORDS))

    def _is_sick(self, point: Point) -> bool:
        if point not in self._sick_at:
            return False
        if self._once:
            self._sick_at = frozenset()
        self._trace.say("disk", "failed", at=point)
        return True


class Connection(aiosqlite.Connection):
    """A connection whose thread is the loop's: statements take their time and their turn, and are done all the same."""

    def __init__(self, disk: Disk, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, iter_chunk_size=64)
        self._disk = disk
        self._turns: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()

    def __await__(self) -> Generator[Any, None, aiosqlite.Connection]:
        return self._opened().__await__()

    async def _opened(self) -> aiosqlite.Connection:
        await asyncio.sleep(self._disk.thread_s())
        self._disk.meet("open")
        self._connection = self._connector()
        return self

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._connection is None:
            raise ValueError("Connection closed")
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._turns.append((partial(self._run, fn, args, kwargs), done))
        if takes_s := self._disk.thread_s():
            loop.call_later(takes_s, self._next)
        else:
            loop.call_soon(self._next)
        return await done

    def stop(self) -> None:
        """Close at once."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def close(self) -> None:
        """Finish what waits, and close."""
        if self._connection is not None:
            while self._turns:
                self._next()
            self.stop()

    def _next(self) -> None:
        """Do what waits longest."""
        if not self._turns:
            return
        work, done = self._turns.popleft()
        try:
            result = work()
        except sqlite3.Error as error:
            if not done.done():
                done.set_exception(error)
        else:
            if not done.done():
                done.set_result(result)

    def _run(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        said = args[0] if args and isinstance(args[0], str) else ""
        if said == "COMMIT":
            self._disk.meet("commit")
            result = fn(*args, **kwargs)
            self._disk.committed()
            self._disk.meet("committed")
            return result
        if said != "ROLLBACK":
            self._disk.meet("begin" if said.startswith("BEGIN") else "statement")
        return fn(*args, **kwargs)
