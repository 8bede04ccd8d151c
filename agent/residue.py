"""Residue: the files of a state directory, searched byte by byte for somebody who should not be in them any more."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from protocol.mobile import split

_CHUNK: Final = 256 << 10
_LEAST: Final = 4
"""Bytes of a word that are worth looking for."""


def traces(mobile: int) -> list[bytes]:
    """A number (E.164 digits) as it may stand in a file: as text in any country's habit, and as SQLite's integer."""
    return [split(mobile)[1].encode(), mobile.to_bytes(6 if mobile < 1 << 47 else 8, "big")]


def words(texts: Collection[str]) -> list[bytes]:
    """Texts as they may stand in a file; not what is too short to be told from anything else."""
    return [each for text in texts if len(each := text.encode()) >= _LEAST]


def holding(folder: Path, wanted: Collection[bytes]) -> list[Path]:
    """The files below a folder in which any of these is found; those that go meanwhile hold nothing. Raises OSError."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and _holds(path, wanted)]


def _holds(path: Path, wanted: Collection[bytes]) -> bool:
    try:
        return any(each in chunk for chunk in _chunks(path, max(map(len, wanted), default=1)) for each in wanted)
    except FileNotFoundError:
        return False


def _chunks(path: Path, overlap: int) -> Iterator[bytes]:
    """The file in pieces that overlap: what lies across a border is whole in one of them."""
    end = b""
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield end + piece
            end = piece[-overlap:]
