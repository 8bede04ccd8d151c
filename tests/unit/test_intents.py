"""The file of intents: what was written is there after a crash, and what was not written is nothing."""

import asyncio
import errno
import os
import resource
import shutil
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent import intents as module
from agent.intents import SLOT_BYTES, SLOTS, Intent, IntentFault, Intents, next_number
from protocol.vocabulary import Action, Channel, ClockState, Direction
from tests.counterparts.waiting import until

NOON = 1_800_000_000_000
Limit = Callable[[int | None], None]


def intent(number: int, **more: object) -> Intent:
    plain = Intent(
        number=number,
        at=NOON + number,
        device_id="1234567890123456",
        request=f"r{number}",
        channel=Channel.BLUETOOTH,
        action=Action.TRIGGER,
        clock=ClockState.SYNCED,
        opens="1234567890123456",
    )
    return replace(plain, **more)  # type: ignore[arg-type]  # the test names fields


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "intents"


@pytest.fixture
def intents(path: Path) -> Iterator[Intents]:
    opened = Intents(path)
    yield opened
    opened.close()


def numbers(path: Path) -> list[int]:
    """What the next start finds."""
    return [each.number for each in Intents(path).read()]


async def written(intents: Intents, *wanted: int) -> None:
    for number in wanted:
        await intents.write(intent(number))


def facts(path: Path) -> os.stat_result:
    return path.stat()


def become_a_folder(path: Path) -> None:
    path.mkdir()


def slot(path: Path, number: int) -> bytes:
    return path.read_bytes()[number * SLOT_BYTES : (number + 1) * SLOT_BYTES]


def spoil(path: Path, number: int, content: bytes) -> None:
    """Put bytes at the beginning of a slot, past the program."""
    with path.open("r+b") as file:
        file.seek(number * SLOT_BYTES)
        file.write(content)


async def test_intent_comes_back_as_it_was(intents: Intents, path: Path) -> None:
    full = intent(
        7,
        channel=Channel.KEYPAD,
        action=Action.OPEN,
        clock=ClockState.UNKNOWN,
        opens="6543210987654321",
        mobile=27824511234,
        name="Thandi Ñkosi 🚪",
        note="with\nthe dog",
        command_id="c" * 64,
        expires_at=NOON,
        code=3,
        direction=Direction.EXIT,
    )
    await intents.write(full)
    assert Intents(path).read() == [full]


async def test_intent_is_synced_before_it_counts_as_written(
    intents: Intents, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[list[int]] = []
    sync = os.fdatasync

    def watched(file: int) -> None:
        synced.append(numbers(path))
        sync(file)

    monkeypatch.setattr(os, "fdatasync", watched)
    await written(intents, 1, 2)
    assert synced == [[1], [1, 2]], "each is in the file when the file is synced, and the file is synced for each"


async def test_file_has_its_whole_size_from_the_start_and_keeps_it(intents: Intents, path: Path) -> None:
    """So that no later write needs room, or another block of the file system's books."""
    await written(intents, 1)
    first = facts(path)
    assert first.st_size == SLOTS * SLOT_BYTES
    assert first.st_blocks * 512 >= first.st_size, "no holes"
    assert first.st_mode & 0o777 == 0o600
    await written(intents, *range(2, SLOTS + 10))
    assert (facts(path).st_size, facts(path).st_ino) == (first.st_size, first.st_ino)


async def test_the_newest_overwrite_the_oldest_and_come_in_order(intents: Intents, path: Path) -> None:
    last = SLOTS * 2 + 5
    await written(intents, *range(1, last + 1))
    assert numbers(path) == list(range(last - SLOTS + 1, last + 1))


@pytest.mark.parametrize("owes", [{"command_id": "c1"}, {"code": 3, "direction": Direction.EXIT}])
async def test_what_may_happen_once_is_kept_until_the_store_knows_of_it(
    intents: Intents, path: Path, owes: dict[str, object]
) -> None:
    """However many others come meanwhile, and over a restart: and it takes no place but its own from them."""
    await intents.write(intent(1, **owes))
    for number in range(2, 3 * SLOTS):
        await written(intents, number)
        assert numbers(path) == [1, *range(max(2, number - SLOTS + 2), number + 1)]

    again = Intents(path)
    assert again.read()[-1].number == 3 * SLOTS - 1
    for number in range(3 * SLOTS, 5 * SLOTS):
        await written(again, number)
        assert numbers(path) == [1, *range(number - SLOTS + 2, number + 1)]
    again.settle(1)
    await written(again, *range(5 * SLOTS, 6 * SLOTS))
    assert numbers(path) == list(range(5 * SLOTS, 6 * SLOTS))
    again.close()


async def test_file_in_which_every_slot_is_owed_takes_nothing_until_one_is_free(intents: Intents, path: Path) -> None:
    for number in range(1, SLOTS + 1):
        await intents.write(intent(number, command_id=f"c{number}"))
    with pytest.raises(IntentFault, match="every slot is owed"):
        await written(intents, SLOTS + 1)
    intents.settle(7)
    await written(intents, SLOTS + 2)
    assert numbers(path) == [*range(1, 7), *range(8, SLOTS + 1), SLOTS + 2]


def test_no_file_holds_nothing(path: Path) -> None:
    assert numbers(path) == []
    assert next_number([], 0) == 1


async def test_numbers_go_on_above_file_and_store(intents: Intents, path: Path) -> None:
    await written(intents, 4, 5)
    kept = Intents(path).read()
    assert next_number(kept, 3) == 6
    assert next_number(kept, 80) == 81


@pytest.mark.parametrize("torn", [1, 8, 9, 100, 511])
async def test_torn_slot_holds_nothing_and_costs_no_other(intents: Intents, path: Path, torn: int) -> None:
    """The power went in the middle of a write: its beginning is the new intent, and the rest still the old one."""
    await written(intents, *range(1, SLOTS + 1))
    before = slot(path, 1)
    await intents.write(intent(SLOTS + 1, note="longer than the one before it, " * 20))
    spoil(path, 1, slot(path, 1)[:torn] + before[torn:])
    with capture_logs() as logs:
        assert numbers(path) == list(range(2, SLOTS + 1))
    assert [each["event"] for each in logs] == ["intent.unreadable"]
    await written(intents, *range(SLOTS + 2, 2 * SLOTS + 2))
    assert numbers(path) == list(range(SLOTS + 2, 2 * SLOTS + 2))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1 << 32), flips=st.integers(1, 30))
async def test_flipped_bits_are_noticed(tmp_path: Path, seed: int, flips: int) -> None:
    """Whatever a sick card makes of it: an intent is read as it was written, or not at all."""
    path, rng = tmp_path / f"{seed}-{flips}", Random(seed)
    ring = Intents(path)
    wanted = {number: intent(number, note=f"note {number}") for number in range(1, 6)}
    for each in wanted.values():
        await ring.write(each)
    ring.close()
    content = bytearray(path.read_bytes())
    for _ in range(flips):
        content[rng.randrange(SLOT_BYTES, SLOT_BYTES + 300) + rng.randrange(5) * SLOT_BYTES] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    read = Intents(path).read()
    path.unlink()
    assert all(each == wanted[each.number] for each in read)


@pytest.mark.parametrize("size", [0, 1, SLOT_BYTES * 3, SLOT_BYTES * 3 + 100, SLOTS * SLOT_BYTES + 1])
async def test_file_of_another_size_is_read_as_far_as_it_goes_and_made_anew(path: Path, size: int) -> None:
    first = Intents(path)
    await written(first, *range(1, 7))
    first.close()
    os.truncate(path, size)
    assert numbers(path) == [number for number in range(1, 7) if (number + 1) * SLOT_BYTES <= size]
    second = Intents(path)
    await written(second, 7)
    second.close()
    assert len(slot(path, SLOTS - 1)) == SLOT_BYTES
    assert numbers(path)[-1] == 7


async def test_slot_of_another_version_stops_no_start(intents: Intents, path: Path) -> None:
    """A downgrade: what a newer version knew and this one does not must not keep the gate shut."""
    await written(intents, 1, 2)
    newer = module._packed(intent(2), None).replace(b'"bluetooth"', b'"telepathy"').rstrip(b"\0")[8:]
    framed = zlib.crc32(newer).to_bytes(4, "big") + len(newer).to_bytes(4, "big") + newer
    spoil(path, 2, framed)
    with capture_logs() as logs:
        assert numbers(path) == [1]
    assert "another version" in logs[0]["reason"]


async def test_longest_intent_fits_its_slot(intents: Intents, path: Path) -> None:
    """Control characters take six bytes each; what people typed gives way to what must be known."""
    long = intent(1, request="r" * 64, name="\u0001" * 100, note="\u0001" * 400, command_id="\u0001" * 64)
    await intents.write(long)
    assert Intents(path).read() == [long]
    longer = replace(long, number=2, request="\u0001" * 64, device_id="d" * 64, opens="o" * 64)
    await intents.write(longer)
    assert [each.number for each in Intents(path).read()] == [1, 2]


async def test_directory_in_its_place_is_a_fault_that_may_pass(intents: Intents, path: Path) -> None:
    become_a_folder(path)
    with pytest.raises(IntentFault, match="Is a directory"):
        await intents.write(intent(1))
    shutil.rmtree(path)
    await written(intents, 2)
    assert numbers(path) == [2]


@pytest.fixture
def no_larger_than() -> Iterator[Limit]:
    """Sets a limit on the size of files, which stands for a disk that is full; see setrlimit(2)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, before if size is None else (size, before[1]))

    yield limit
    limit(None)


@pytest.mark.parametrize("room", [0, 100, 10 * SLOT_BYTES, 10 * SLOT_BYTES + 100])
async def test_disk_too_full_for_the_file_takes_no_intent_until_there_is_room(
    intents: Intents, path: Path, no_larger_than: Limit, room: int
) -> None:
    """Also where the intent itself would have found room: a half-made file is made anew, with all it held."""
    no_larger_than(room)
    try:
        for number in (1, 10, 60):
            with pytest.raises(IntentFault, match=r"No space left|File too large"):
                await intents.write(intent(number))
    finally:
        no_larger_than(None)
    await written(intents, 61)
    assert numbers(path) == [61]


async def test_full_disk_costs_a_file_that_is_there_nothing(
    intents: Intents, path: Path, no_larger_than: Limit
) -> None:
    await written(intents, 1)
    no_larger_than(SLOTS * SLOT_BYTES)
    try:
        await written(intents, *range(2, SLOTS + 1))
    finally:
        no_larger_than(None)
    assert numbers(path) == list(range(1, SLOTS + 1))


async def test_failed_sync_is_told_and_the_next_one_starts_from_a_fresh_descriptor(
    intents: Intents, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await written(intents, 1)
    opened: list[int] = []
    open_file = os.open

    def fail(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def watched(name: Path, flags: int, mode: int = 0o777) -> int:
        opened.append(open_file(name, flags, mode))
        return opened[-1]

    with monkeypatch.context() as sick:
        sick.setattr(os, "fdatasync", fail)
        sick.setattr(os, "open", watched)
        with pytest.raises(IntentFault, match="Input/output error"):
            await intents.write(intent(2))
        assert opened == []
        with pytest.raises(IntentFault, match="Input/output error"):
            await intents.write(intent(3))
        assert len(opened) == 1
    await written(intents, 4)
    assert {1, 4} <= set(numbers(path))


async def test_card_that_hangs_keeps_nobody_waiting_for_long(
    intents: Intents, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it takes at last belongs to the same number: the event that was recorded meanwhile bears it."""
    monkeypatch.setattr(module, "WRITE_S", 0.05)
    hangs, sync = threading.Event(), os.fdatasync

    def hang(file: int) -> None:
        hangs.wait(10)
        sync(file)

    monkeypatch.setattr(os, "fdatasync", hang)
    with pytest.raises(IntentFault, match=r"no answer from the disk within 0\.05 s"):
        await intents.write(intent(1))
    waiting = asyncio.create_task(intents.write(intent(2)))
    hangs.set()
    await waiting
    assert numbers(path) == [1, 2]


async def test_descriptor_that_could_not_be_closed_in_order_is_not_used_again(
    intents: Intents, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await written(intents, 1)

    def failed(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def closed_with_an_error(file: int, close: Callable[[int], None] = os.close) -> None:
        close(file)
        failed(file)

    with monkeypatch.context() as sick:
        sick.setattr("agent.intents.os.fdatasync", failed)
        sick.setattr("agent.intents.os.close", closed_with_an_error)
        with pytest.raises(IntentFault):
            await intents.write(intent(2))
    await written(intents, 3)
    assert 3 in numbers(path)


async def test_closed_it_holds_no_file(path: Path) -> None:
    opened = Intents(path)
    await written(opened, 1, 2)
    assert path in held()
    opened.close()
    await until(lambda: path not in held())


def held() -> list[Path]:
    """What this process has open."""
    return [Path(entry.path) for entry in psutil.Process().open_files()]
