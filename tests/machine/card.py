"""A memory card with a cache that forgets: what a power cut leaves of the writes that nobody had flushed.

QEMU's `blklogwrites` writes down every write and flush of the machine, in the order in which they ended, in the format
of the kernel's dm-log-writes. The card is the image as it was at the start, and on it everything up to the last flush;
of what came later, some writes, and some of those torn between two sectors.
"""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SECTOR: Final = 512
_MAGIC: Final = 0x6A736677736872
_ENTRY: Final = struct.Struct("<QQQQ")
_FLUSH: Final = 1
_FUA: Final = 2
_DISCARD: Final = 4


@dataclass(frozen=True, slots=True)
class Write:
    """What was written where, in bytes; `flushes` says that all before it is durable, `durable` that it is itself."""

    offset: int
    content: bytes
    flushes: bool
    durable: bool


@dataclass(frozen=True, slots=True)
class Left:
    """What a cut left: how many entries up to the last flush; of later writes, how many are there, torn and gone."""

    flushed: int
    kept: int
    torn: int
    gone: int


def cut(log: Path, card: Path, chance: random.Random) -> Left:
    """Bring `card` from where it was when the machine started to what a power cut leaves of the writes in `log`."""
    writes = list(written(log))
    flushed = max((number for number, each in enumerate(writes) if each.flushes), default=-1)
    kept = torn = gone = 0
    with card.open("r+b") as file:
        for number, each in enumerate(writes):
            content = each.content
            if number > flushed and not each.durable and content:
                match chance.choice(("kept", "torn", "gone", "gone")):
                    case "kept":
                        kept += 1
                    case "torn":
                        torn += 1
                        content = content[: SECTOR * chance.randrange(len(content) // SECTOR)]
                    case _:
                        gone += 1
                        continue
            file.seek(each.offset)
            file.write(content)
    return Left(flushed + 1, kept, torn, gone)


def written(log: Path) -> Iterator[Write]:
    """Every write in the log. Discards change nothing that anybody may read. Raises ValueError where it has a hole."""
    with log.open("rb") as file:
        magic, _, _, sector = struct.unpack("<QQQI", file.read(28))
        if magic != _MAGIC or sector != SECTOR:
            raise ValueError(f"{log} is no log of writes in sectors of {SECTOR} bytes")
        file.seek(SECTOR)
        while len(head := file.read(SECTOR)) == SECTOR:
            place, sectors, flags, _ = _ENTRY.unpack_from(head)
            if not any(head):
                if file.read().strip(b"\0"):
                    raise ValueError(f"{log} has a hole at byte {file.tell()}: a write that was under way at the cut")
                return
            content = b"" if flags & _DISCARD else file.read(sectors * SECTOR)
            if not flags & _DISCARD and len(content) < sectors * SECTOR:
                return  # under way when the power went
            yield Write(place * SECTOR, content, bool(flags & _FLUSH), bool(flags & _FUA))
