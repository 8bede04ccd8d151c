"""Snapshots: whole copies of the store, each looked through before it counts, and named after its own bytes.

The name carries a digest of the file, so one flipped bit in it is noticed before a word of it is believed.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Final, TypeVar

import structlog

from storage import durable
from storage.checkup import defect
from storage.database import Damaged, Reader, StorageFault
from storage.engine import Access

log = structlog.get_logger()

KEPT: Final = 2
PAGES: Final = 64
PAUSE_S: Final = 0.002
"""A copy is made in steps of 256 KB with pauses, so that the card has time for the gate's intents."""

_DIGITS: Final = 8
_DIGEST_BYTES: Final = 16
T = TypeVar("T")


class Snapshots:
    """The last two good copies of a store, in a folder of their own."""

    def __init__(self, folder: Path, store: Path, key: bytes | None = None) -> None:
        self._folder = folder
        self._fresh = folder / "new"
        """The copy that is being made; what a power cut has left of it says as much as any."""
        self._store = store
        self._key = key
        self._turn = asyncio.Lock()
        self._open: dict[Path, Reader] = {}

    def plain(self) -> "Snapshots":
        """The same files, as those of a store without a key."""
        return Snapshots(self._folder, self._store)

    def paths(self) -> list[Path]:
        """The files, newest first, whatever has become of them since."""
        return sorted(self._folder.glob(f"{'[0-9]' * _DIGITS}-*.db"), reverse=True)

    def good(self) -> Iterator[Path]:
        """The files, newest first, that are to the bit what was written."""
        return filter(self.is_good, self.paths())

    def is_good(self, path: Path) -> bool:
        """Whether a file is to the bit what was written, when it is read from the card once more."""
        try:
            if path.stem.partition("-")[2] == _digest(path):
                return True
            reason = "it is not what was written"
        except OSError as error:
            reason = str(error)
        log.error("snapshot.damaged", path=str(path), reason=reason)
        return False

    def recall(self, ask: Callable[[Reader], T]) -> T | None:
        """What the newest snapshot says that can answer; None where none can. Rows in it are sealed like any other."""
        return next(self.answers(ask), None)

    def answers(self, ask: Callable[[Reader], T]) -> Iterator[T]:
        """What each of the snapshots says that can answer, the newest first."""
        for path in self.paths():
            reader = self._open.setdefault(path, Reader(path, access=Access.FROZEN, key=self._key))
            try:
                answer = ask(reader)
            except StorageFault as fault:
                log.error("snapshot.damaged", path=str(path), reason=str(fault))  # noqa: TRY400 -- the card's trouble
            else:
                yield answer

    async def take(self) -> Path:
        """Keep the store as it is now, and of the older ones the newest.

        Raises StorageFault; Damaged, and nothing is kept, where the copy is not sound: then the store is not either.
        """
        async with self._turn:
            path = await asyncio.to_thread(self._take)
            await self._keep(KEPT)
        log.info("snapshot.taken", path=str(path), bytes=path.stat().st_size)
        return path

    async def make_room(self) -> bool:
        """Keep the newest alone, where it is good: the store needs the room more. Whether there was another."""
        async with self._turn:
            newest, *others = self.paths() or [self._fresh]
            if not others or not await asyncio.to_thread(self.is_good, newest):
                return False
            await self._keep(1)
        log.error("snapshot.given_up", copies=len(others), reason="the card is full")
        return True

    async def drop(self) -> None:
        """Keep none, for what is about to be forgotten; one that is being made is waited for. Raises OSError."""
        async with self._turn:
            await self._keep(0)
            if self._fresh.exists():
                await self._remove(self._fresh)

    def close(self) -> None:
        """Let go of the files."""
        for reader in self._open.values():
            reader.close()
        self._open.clear()

    def _take(self) -> Path:
        fresh = self._fresh
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            fresh.unlink(missing_ok=True)
            fresh.touch(mode=0o600)
            with closing(Reader(self._store, key=self._key)) as reader:
                reader.copy_to(fresh, PAGES, PAUSE_S)
            durable.sync(fresh)
            name = f"{self._next_number():0{_DIGITS}}-{_digest(fresh)}.db"
            if (reason := defect(fresh, access=Access.FROZEN, closely=True, key=self._key)) is not None:
                raise Damaged(f"{self._store}: its copy is not sound: {reason}")
            path = fresh.replace(self._folder / name)
            durable.sync(self._folder)
        except OSError as error:
            raise StorageFault(f"{self._folder}: {error}") from error
        finally:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)  # half a copy takes the room that the store itself may need
        return path

    def _next_number(self) -> int:
        newest = next(iter(self.paths()), None)
        return 1 if newest is None else int(newest.stem.partition("-")[0]) + 1

    async def _keep(self, most: int) -> None:
        for path in self.paths()[most:]:
            await self._remove(path)

    async def _remove(self, path: Path) -> None:
        try:
            await asyncio.to_thread(durable.take_away, path)
        finally:  # and only then, or somebody might open it again meanwhile
            if (reader := self._open.pop(path, None)) is not None:
                reader.close()


def _digest(path: Path) -> str:
    """Of what the card gives back, not of what the system remembers having written."""
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        found = blake2b(digest_size=_DIGEST_BYTES)
        while content := file.read(1 << 18):
            found.update(content)
    return found.hexdigest()
