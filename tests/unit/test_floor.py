"""The floor under the clock: kept whole or not at all, and only ever moved forward."""

import asyncio
import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent import floor as module
from agent.clock import wall_ms
from agent.floor import KEEP_EVERY_MS, RELEASED, Floor, FloorFault, Ratchet
from tests.counterparts.waiting import until

NOW = RELEASED + 86_400_000
HOUR_MS = 3_600_000


def kept(state_dir: Path, uptime: int = 0) -> Floor | None:
    """What a program that starts now would find."""
    floor = Ratchet(state_dir).read()
    return floor and floor.carried(uptime)


def test_release_is_past() -> None:
    """A release date that lies ahead would keep every board from believing its time service."""
    assert wall_ms() > RELEASED == datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000


def test_floor_rises_with_the_uptime_and_never_faster_than_a_fast_oscillator() -> None:
    floor = Floor(NOW, 1_000)
    assert floor.now(1_000) == NOW
    assert floor.now(10_001_000) == NOW + 9_999_000
    true_elapsed = 10_000_000
    assert floor.now(1_000 + int(true_elapsed * 1.0001)) <= NOW + true_elapsed


def test_ratchet_has_nothing_at_first_and_keeps_what_is_written(tmp_path: Path) -> None:
    assert kept(tmp_path) is None
    Ratchet(tmp_path).write(Floor(NOW, 5_000))
    assert kept(tmp_path, 5_000) == Floor(NOW, 5_000)
    assert [path.name for path in tmp_path.iterdir()] == ["clock"]


@pytest.mark.parametrize(
    ("uptime", "expected"),
    [
        (5_000, NOW),
        (65_000, NOW + 59_994),
        (4_999, NOW + 4_998),
        (0, NOW),
    ],
    ids=["the same start", "a minute later", "a later start", "just started"],
)
def test_floor_of_an_earlier_run_counts_as_far_as_is_certain(tmp_path: Path, uptime: int, expected: int) -> None:
    """What was learnt 5 s after a start of the board, read by a program at other uptimes."""
    Ratchet(tmp_path).write(Floor(NOW, 5_000))
    found = kept(tmp_path, uptime)
    assert found is not None
    assert found.now(uptime) == expected


def test_floor_of_a_later_start_goes_on_rising_past_the_uptime_it_was_learnt_at(tmp_path: Path) -> None:
    """The board has started again; the uptime then reaches that of the earlier start, and nothing falls back."""
    Ratchet(tmp_path).write(Floor(NOW, 5_000))
    found = kept(tmp_path, 4_000)
    assert found is not None
    assert found.now(6_000) == NOW + 5_999


def test_ratchet_only_moves_forward(tmp_path: Path) -> None:
    Ratchet(tmp_path).write(Floor(NOW, 0))
    later = Ratchet(tmp_path)
    later.read()
    for at in (NOW - 1, NOW):
        later.write(Floor(at, 77))
        assert Ratchet(tmp_path).read() == Floor(NOW, 0)
    later.write(Floor(NOW + 2, 0))
    later.write(Floor(NOW + 1, 0))
    assert kept(tmp_path) == Floor(NOW + 2, 0)


def test_torn_file_is_no_floor(tmp_path: Path) -> None:
    """However many of its bytes have reached the card."""
    Ratchet(tmp_path).write(Floor(NOW, 5_000))
    file = tmp_path / "clock"
    content = file.read_bytes()
    for length in range(len(content)):
        file.write_bytes(content[:length])
        with pytest.raises(FloorFault, match="clock: is damaged"):
            kept(tmp_path)


@given(bit=st.integers(min_value=0), uptime=st.integers(0, 10**12))
def test_flipped_bit_is_no_floor(tmp_path_factory: pytest.TempPathFactory, bit: int, uptime: int) -> None:
    folder = tmp_path_factory.mktemp("state")
    Ratchet(folder).write(Floor(NOW, uptime))
    content = bytearray((folder / "clock").read_bytes())
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    (folder / "clock").write_bytes(content)
    with pytest.raises(FloorFault):
        kept(folder)


@given(content=st.binary(max_size=300))
@example(b"past 01795392000000 uptime 5000 crc32 00000000\n")
def test_any_file_is_a_floor_or_a_fault(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("state")
    (folder / "clock").write_bytes(content)
    with pytest.raises(FloorFault):
        kept(folder)


def test_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "clock").mkdir()
    with pytest.raises(FloorFault, match=r"/clock: cannot be read: Is a directory"):
        kept(tmp_path)


def test_damaged_file_is_replaced_by_the_next_floor(tmp_path: Path) -> None:
    (tmp_path / "clock").write_bytes(b"rubbish")
    ratchet = Ratchet(tmp_path)
    with pytest.raises(FloorFault):
        ratchet.read()
    ratchet.write(Floor(NOW, 0))
    assert kept(tmp_path) == Floor(NOW, 0)


def failing(number: int) -> Callable[[int], None]:
    """An fsync whose call of that number fails, as on a card that is going."""
    calls = iter(range(1, 10))
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if next(calls) == number:
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    return fsync


def test_floor_whose_sync_fails_does_not_replace_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ratchet = Ratchet(tmp_path)
    ratchet.write(Floor(NOW, 0))
    monkeypatch.setattr(os, "fsync", failing(1))
    with pytest.raises(OSError, match="Input/output error"):
        ratchet.write(Floor(NOW + 1, 0))
    assert kept(tmp_path) == Floor(NOW, 0)
    ratchet.write(Floor(NOW + 1, 0))
    assert kept(tmp_path) == Floor(NOW + 1, 0), "the leftover of the failed try is in nobody's way"


def test_floor_whose_folder_is_not_synced_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows whether the new name is on the card: it does not count as kept."""
    ratchet = Ratchet(tmp_path)
    monkeypatch.setattr(os, "fsync", failing(2))
    with pytest.raises(OSError, match="Input/output error"):
        ratchet.write(Floor(NOW, 0))
    (tmp_path / "clock").unlink()
    ratchet.write(Floor(NOW, 0))
    assert kept(tmp_path) == Floor(NOW, 0)


def test_floor_is_for_the_daemons_user_alone(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        Ratchet(tmp_path).write(Floor(NOW, 0))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "clock").stat().st_mode) == 0o600


async def test_ratchet_keeps_a_floor_every_quarter_of_an_hour(tmp_path: Path) -> None:
    ratchet = Ratchet(tmp_path)
    steps = range(0, HOUR_MS, 60_000)
    written = []
    for ms in steps:
        await ratchet.keep(Floor(NOW + ms, ms))
        found = kept(tmp_path, HOUR_MS)
        assert found is not None
        if found.at not in written:
            written.append(found.at)
    assert written == [NOW + ms for ms in range(0, HOUR_MS, KEEP_EVERY_MS)]


async def test_ratchet_of_a_program_that_keeps_restarting_spares_the_card(tmp_path: Path) -> None:
    """The quarter of an hour counts from what is kept, not from the start of the program."""
    for ms in range(0, HOUR_MS, 60_000):
        ratchet = Ratchet(tmp_path)
        ratchet.read()
        await ratchet.keep(Floor(NOW + ms, ms))
        found = kept(tmp_path, ms)
        assert found is not None
        assert found.at == NOW + ms // KEEP_EVERY_MS * KEEP_EVERY_MS


async def test_settled_ratchet_has_the_newest_floor(tmp_path: Path) -> None:
    ratchet = Ratchet(tmp_path)
    await ratchet.keep(Floor(NOW, 0))
    await ratchet.settle(Floor(NOW + 1_000, 1_000))
    assert kept(tmp_path, 1_000) == Floor(NOW + 1_000, 1_000)


@pytest.fixture
def full_disk(tmp_path: Path) -> Path:
    """A state directory in which no file can be made."""
    folder = tmp_path / "state"
    (folder / "clock.new").mkdir(parents=True)
    return folder


async def test_card_that_takes_nothing_is_told_of_once_and_tried_every_quarter_of_an_hour(full_disk: Path) -> None:
    ratchet = Ratchet(full_disk)
    with capture_logs() as events:
        for ms in range(0, HOUR_MS, 60_000):
            await ratchet.keep(Floor(NOW + ms, ms))
        assert [event["event"] for event in events] == ["clock.not_kept"]
        (full_disk / "clock.new").rmdir()
        await ratchet.keep(Floor(NOW + HOUR_MS, HOUR_MS))
        assert kept(full_disk, HOUR_MS) == Floor(NOW + HOUR_MS, HOUR_MS)
        (full_disk / "clock.new").mkdir()
        await ratchet.keep(Floor(NOW + 2 * HOUR_MS, 2 * HOUR_MS))
    assert [event["event"] for event in events] == ["clock.not_kept"] * 2, "it had recovered in between"


@pytest.fixture
def hung_card(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Syncs that do not return before the event is set; it is set at the end in any case."""
    thawed = threading.Event()
    real = os.fsync

    def fsync(descriptor: int) -> None:
        thawed.wait(30)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    yield thawed
    thawed.set()


async def test_card_that_hangs_holds_up_neither_the_loop_nor_the_end(
    tmp_path: Path, hung_card: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAVE_S", 0.01)
    ratchet = Ratchet(tmp_path)
    keeping = asyncio.create_task(ratchet.keep(Floor(NOW, 0)))
    await until((tmp_path / "clock.new").exists)
    with capture_logs() as events:
        await ratchet.settle(Floor(NOW + 1_000, 0))
        assert not keeping.done()
        assert kept(tmp_path) is None
        hung_card.set()
        await keeping
        await until(lambda: kept(tmp_path) == Floor(NOW + 1_000, 0), what="the second, after the first")
    assert [event["event"] for event in events] == ["clock.not_kept"], "they did not get in each other's way"
