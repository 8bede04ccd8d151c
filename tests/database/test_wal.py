"""The write-ahead log after a power cut and after rot: only the second is damage."""

import struct
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from storage.wal import lost_commits
from tests.oracle.histories import GATE, NOON
from tests.oracle.model import DeviceRule
from tests.oracle.parts import crowd, part
from tests.oracle.store import Store

FRAME = 24 + 4096


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Path]:
    """Three commits of a few pages each behind those that made the store."""
    async with Store(tmp_path / "gateway.db", {GATE: DeviceRule("fluss+", 1000)}) as store:
        for revision in (1, 2, 3):
            await store.receive([part(f"b{revision}", revision, *crowd(100, 100 * revision))], NOON)
        yield tmp_path / "gateway.db-wal"


def commits(content: bytes) -> list[int]:
    """Where the frame stands that ends each transaction."""
    frames = range(32, len(content) - FRAME + 1, FRAME)
    return [start for start in frames if struct.unpack_from(">I", content, start + 4)[0]]


def changed(path: Path, content: bytes, at: int) -> Path:
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    return path


def test_whole_log_or_none_has_lost_nothing(log: Path, tmp_path: Path) -> None:
    assert not lost_commits(log)
    assert not lost_commits(tmp_path / "no-log")
    (tmp_path / "empty").touch()
    assert not lost_commits(tmp_path / "empty")


def test_power_cut_at_any_moment_loses_nothing_that_was_synced(log: Path, tmp_path: Path) -> None:
    """Only what came after the last sync, the last transaction, can be torn, and it in any way at all."""
    content, rng, torn = log.read_bytes(), Random(1), tmp_path / "torn"
    begins = commits(content)[-2] + FRAME
    assert len(content) - begins >= 3 * FRAME
    for _ in range(40):
        sectors = bytearray(content)
        for start in range(begins, len(content), 512):
            if rng.random() < 0.3:
                sectors[start : start + 512] = bytes(len(sectors[start : start + 512]))
        torn.write_bytes(sectors[: rng.randint(begins, len(content))])
        assert not lost_commits(torn)


def test_rot_before_the_last_transaction_is_told_from_that(log: Path, tmp_path: Path) -> None:
    content, rotten = log.read_bytes(), tmp_path / "rotten"
    *_, before, last = commits(content)
    for at in (40, 60, FRAME + 33, before, before + 4, before + 9, before + 17, before + 100, before + FRAME - 1):
        assert lost_commits(changed(rotten, content, at)), at
    for at in (0, 8, 12, 16, 24, 31):
        assert lost_commits(changed(rotten, content, at)), f"the header at {at}"
    for at in (last + 9, last + 17, last + 100):
        assert not lost_commits(changed(rotten, content, at)), "as a power cut might have left it"


async def test_what_is_left_of_an_earlier_round_is_no_loss(tmp_path: Path) -> None:
    async with Store(tmp_path / "gateway.db", {GATE: DeviceRule("fluss+", 1000)}) as store:
        await store.receive([part("b1", 1, *crowd(400))], NOON)
        await store.database.checkpoint(over=0)
        store.reader.close()
        await store.receive([part("b2", 2, *crowd(1))], NOON)
        content = (tmp_path / "gateway.db-wal").read_bytes()
        assert len({content[start + 8 : start + 16] for start in range(32, len(content) - FRAME + 1, FRAME)}) == 2
        assert not lost_commits(tmp_path / "gateway.db-wal")
