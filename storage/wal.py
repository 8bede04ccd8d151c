"""The write-ahead log as bytes: whether commits in it are lost behind a frame that has rotted.

SQLite reads the log up to the first frame whose checksum is wrong and drops the rest without a word, because that is
what a power cut leaves: the last transaction, half written. But with `synchronous=FULL` the next transaction begins
only when the one before is on the card. So where a whole frame of a *later* transaction stands behind the wrong one,
no power cut did that. Format: "Database File Format", section 4, at sqlite.org.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

_HEADER: Final = struct.Struct(">8I")
_FRAME: Final = struct.Struct(">6I")
_MAGIC: Final = 0x377F0682
"""With its last bit set the checksums are made of big-endian words."""

_WORD: Final = 0xFFFF_FFFF
_PAGES: Final = {1 << power for power in range(9, 17)}

_Sum = tuple[int, int]
_Order = Literal["<", ">"]


@dataclass(frozen=True, slots=True)
class _Frame:
    salts: tuple[int, int]
    commits: bool
    right: bool
    """Whether its checksum follows from that of the frame before."""


def lost_commits(path: Path) -> bool:
    """Whether a log holds commits that SQLite will not find; False where there is no log. Raises OSError."""
    try:
        content = memoryview(path.read_bytes())
    except FileNotFoundError:
        return False
    if len(content) < _HEADER.size:
        return False
    magic, _, page, _, *salts, first, second = _HEADER.unpack_from(content)
    order: _Order = ">" if magic & 1 else "<"
    if _summed((0, 0), content[:24], order) != (first, second):
        # The header is one sector, synced before a frame is written: it is never half written.
        return any(_follow_each_other(content, size, order) for size in _PAGES for order in ("<", ">"))
    if page not in _PAGES or magic & ~1 != _MAGIC:
        return False
    broken = ended = False
    for frame in _frames(content, page, order, (first, second)):
        right = frame.right and frame.salts == tuple(salts)  # other salts: left over from the round before
        if ended and right:
            return True
        broken = broken or not right
        ended = ended or (broken and frame.commits)
    return False


def _frames(content: memoryview, page: int, order: _Order, before: _Sum) -> Iterator[_Frame]:
    size = _FRAME.size + page
    for start in range(_HEADER.size, len(content) - size + 1, size):
        _, commits, *salts, first, second = _FRAME.unpack_from(content, start)
        summed = _summed(before, content[start : start + 8], order)
        summed = _summed(summed, content[start + _FRAME.size : start + size], order)
        yield _Frame((salts[0], salts[1]), commits != 0, summed == (first, second))
        before = (first, second)


def _follow_each_other(content: memoryview, page: int, order: _Order) -> bool:
    """Whether the second frame follows from the first: then the header once said so too."""
    start = _HEADER.size
    if len(content) < start + 2 * (_FRAME.size + page):
        return False
    first, second = _FRAME.unpack_from(content, start)[4:]
    return next(_frames(content[start + _FRAME.size + page - _HEADER.size :], page, order, (first, second))).right


def _summed(before: _Sum, content: memoryview, order: _Order) -> _Sum:
    first, second = before
    for left, right in struct.iter_unpack(f"{order}II", content):
        first = (first + left + second) & _WORD
        second = (second + right + first) & _WORD
    return first, second
