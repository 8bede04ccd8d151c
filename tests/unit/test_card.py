"""The card of the booted machine: what it keeps and what it loses when the power goes."""

import random
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.machine import card

FLUSH, FUA = 1, 2
HEAD = struct.pack("<QQQI", 0x6A736677736872, 1, 0, card.SECTOR).ljust(card.SECTOR, b"\0")


def entry(place: int, content: bytes = b"", flags: int = 0) -> bytes:
    """One record as dm-log-writes has it, at a sector."""
    head = struct.pack("<QQQQ", place, len(content) // card.SECTOR, flags, 0)
    return head.ljust(card.SECTOR, b"\0") + content


def sector(letter: str) -> bytes:
    return letter.encode() * card.SECTOR


def left(home: Path, log: Sequence[bytes], seed: int, sectors: int = 4) -> str:
    """The first letter of every sector of a card of blanks, after the power went."""
    writes, disk = home / "writes", home / "disk"
    writes.write_bytes(HEAD + b"".join(log))
    disk.write_bytes(sector(".") * sectors)
    card.cut(writes, disk, random.Random(seed))
    return disk.read_bytes()[:: card.SECTOR].decode()


def test_what_was_flushed_stays_and_the_rest_may_go(tmp_path: Path) -> None:
    log = [
        entry(0, sector("a")),
        entry(1, sector("f"), FUA),
        entry(0, flags=FLUSH),
        entry(2, sector("b") + sector("c")),
    ]
    assert {left(tmp_path, log, seed) for seed in range(40)} == {"af..", "afb.", "afbc"}


def test_nothing_is_certain_that_was_never_flushed(tmp_path: Path) -> None:
    log = [entry(0, sector("a")), entry(1, sector("b")), entry(2, sector("f"), FUA)]
    assert {left(tmp_path, log, seed) for seed in range(40)} == {"..f.", "a.f.", ".bf.", "abf."}


def test_write_under_way_is_not_there_and_a_hole_is_told(tmp_path: Path) -> None:
    whole = [entry(0, sector("a")), entry(0, flags=FLUSH)]
    assert left(tmp_path, [*whole, entry(1, sector("b"))[:-1]], 1) == "a..."
    with pytest.raises(ValueError, match="hole"):
        left(tmp_path, [*whole, bytes(2 * card.SECTOR), entry(1, sector("b"))], 1)
