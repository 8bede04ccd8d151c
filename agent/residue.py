"""Residue: the files of a state directory, searched byte by byte for somebody who should not be in them any more."""

from collections.abc import Collection, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO, Final

from protocol.mobile import split

_CHUNK: Final = 256 << 10
_LEAST: Final = 4
"""Bytes of a word that are worth looking for."""

_LOG, _INDEX = "-wal", "-shm"
"""The index of the write-ahead log has numbers of pages, and nobody's name."""


def traces(mobile: int) -> list[bytes]:
    """A number (E.164 digits) as it may stand in a file: as text in any country's habit, and as SQLite's integer."""
    return [split(mobile)[1].encode(), mobile.to_bytes(6 if mobile < 1 << 47 else 8, "big")]


def words(texts: Collection[str]) -> list[bytes]:
    """Texts as they may stand in a file; not what is too short to be told from anything else."""
    return [each for text in texts if len(each := text.encode()) >= _LEAST]


class Residue:
    """A state directory with a store that is in use; of one that is encrypted, nobody can tell what is in it.

    Whoever closes a file gives up every lock that his process has on it (fcntl(2)): those of SQLite as well, which
    tell other programs that the store is in use. So the store stays open here, and its index is left alone.
    """

    def __init__(self, folder: Path, store: Path, *, encrypted: bool = False) -> None:
        self._folder = folder
        self._store = store
        self._log, self._index = (store.with_name(store.name + suffix) for suffix in (_LOG, _INDEX))
        self._encrypted = encrypted
        self._open: BinaryIO | None = None

    def in_store(self, wanted: Collection[bytes]) -> bool:
        """Whether the store may have any of these. Raises OSError."""
        return self._encrypted or any(self._holds(path, wanted) for path in (self._store, self._log))

    def beside(self, wanted: Collection[bytes]) -> list[Path]:
        """The other files that have any of these; those that go meanwhile have nothing. Raises OSError."""
        own = {self._store, self._log, self._index}
        files = (path for path in sorted(self._folder.rglob("*")) if path not in own and path.is_file())
        return [path for path in files if self._holds(path, wanted)]

    def close(self) -> None:
        """Let go of the store; not before everybody else has."""
        if self._open is not None:
            self._open.close()

    def _holds(self, path: Path, wanted: Collection[bytes]) -> bool:
        overlap = max(map(len, wanted), default=1)
        try:
            with path.open("rb") if path != self._store else nullcontext(self._opened()) as file:
                return any(each in chunk for chunk in _chunks(file, overlap) for each in wanted)
        except FileNotFoundError:
            return False

    def _opened(self) -> BinaryIO:
        if self._open is None:
            self._open = self._store.open("rb", buffering=0)
        self._open.seek(0)
        return self._open


def _chunks(file: BinaryIO, overlap: int) -> Iterator[bytes]:
    """The file in pieces that overlap: what lies across a border is whole in one of them."""
    end = b""
    while piece := file.read(_CHUNK):
        yield end + piece
        end = piece[-overlap:]
