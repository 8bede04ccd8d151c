"""The clock at work: what it asks, what it keeps, what it tells."""

import asyncio
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent import clock as module
from agent.chrony import Tracking
from agent.clock import Clock, timekeeper, uptime_ms, wall_ms
from agent.config import load
from agent.floor import RELEASED, Floor, Ratchet
from agent.timekeeping import FRESH_MS, HOLDOVER_MS, UNDER_MS, YEAR_MS
from protocol.moment import Moment
from protocol.vocabulary import ClockState
from tests.counterparts.clocks import DAY, HOUR, MINUTE, NOON, SECOND, Clocks, confirmed, hears
from tests.counterparts.waiting import until

SYNCED, HOLDOVER, UNKNOWN = ClockState


@pytest.fixture
def board(tmp_path: Path) -> Clocks:
    return Clocks(tmp_path)


@pytest.fixture
async def synced(board: Clocks) -> Clock:
    return await confirmed(board)


async def test_time_service_behind_the_floor_is_told_of_once_with_the_cure(board: Clocks) -> None:
    Ratchet(board.home).write(Floor(NOON, 2 * HOUR))
    board.wall = NOON - DAY
    clock = board.clock()
    board.touch()
    with capture_logs() as events:
        running = asyncio.create_task(clock.run())
        await until(lambda: events)
        for _ in range(3):
            await clock.look()
            clock._tell()
        running.cancel()
        await asyncio.wait([running])
    (event,) = events
    assert (event["event"], event["log_level"]) == ("clock.refused", "error")
    assert f"remove {board.home / 'clock'} and restart fluss-agent" in event["reason"]
    assert clock.facts().concern == event["reason"]
    (board.home / "clock").unlink()
    assert await hears(board.clock(), board) is SYNCED, "the cure works"


async def test_time_service_that_is_refused_is_told_of_in_words_for_a_person(board: Clocks) -> None:
    Ratchet(board.home).write(Floor(NOON, 2 * HOUR))
    board.wall = NOON - DAY
    clock = board.clock()
    await hears(clock, board)
    assert clock.facts().concern == (
        "the time service says 2026-04-10T00:00:00+00:00, but this board has seen 2026-04-11T00:59:59+00:00 already: "
        f"if the time service is right, remove {board.home / 'clock'} and restart fluss-agent"
    )
    board.wall = NOON + 64 * YEAR_MS
    clock = board.clock()
    await hears(clock, board)
    assert clock.facts().concern == (
        "the time service says 2090-03-26T00:00:00+00:00, which cannot be: check which time servers this board asks"
    )


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks and writes follow each other at once."""
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(module, "KEEP_EVERY_S", 0.001)


async def test_running_clock_keeps_the_floor_and_leaves_the_newest(hurried: None, board: Clocks) -> None:
    clock = board.clock()
    running = asyncio.create_task(clock.run())
    board.touch()
    await until(lambda: clock.state() is SYNCED)
    assert not (board.home / "clock").exists(), "one word is not enough"
    board.after(MINUTE)
    board.touch()
    first = Floor(board.wall - UNDER_MS, board.uptime)
    await until(lambda: Ratchet(board.home).read() == first)
    board.after(MINUTE)
    await until(lambda: clock.certain() == board.wall - UNDER_MS)
    assert Ratchet(board.home).read() == first, "a quarter of an hour has not gone by"
    running.cancel()
    await asyncio.wait([running])
    assert Ratchet(board.home).read() == Floor(board.wall - UNDER_MS, board.uptime)


@pytest.mark.parametrize("contradicted", [True, False], ids=["contradicted", "jumped"])
async def test_floor_at_the_end_while_in_doubt(hurried: None, board: Clocks, synced: Clock, contradicted: bool) -> None:
    """Kept where the clock has jumped. Not where the time service contradicts it: it may just have been removed."""
    running = asyncio.create_task(synced.run())
    file = board.home / "clock"
    await until(file.exists)
    board.after(MINUTE)
    await until(lambda: synced.certain() == board.wall - UNDER_MS)
    uptime, at = board.uptime, board.wall - UNDER_MS
    board.wall -= DAY
    await until(lambda: synced.state() is UNKNOWN)
    if contradicted:
        board.after(MINUTE)
        board.touch()
        await until(lambda: "has seen" in (synced.facts().concern or ""))
    file.unlink()
    running.cancel()
    await asyncio.wait([running])
    assert Ratchet(board.home).read() == (None if contradicted else Floor(at, uptime))


async def test_clock_without_a_place_for_its_floor_keeps_none(hurried: None, board: Clocks) -> None:
    looks: list[int] = []

    def wall() -> int:
        looks.append(board.wall)
        return board.wall

    clock = Clock(wall=wall, uptime=lambda: board.uptime, mark=board.mark, ask=board.ask)
    running = asyncio.create_task(clock.run())
    for _ in range(2):
        board.touch()
        await until(lambda: clock.state() is SYNCED)
        board.after(MINUTE)
    board.touch()
    await until(lambda: clock.certain() == board.wall - UNDER_MS)
    looks.clear()
    await until(lambda: len(looks) > 20)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert [path.name for path in board.home.iterdir()] == ["synchronized"]


async def test_command_beside_the_daemon_writes_nothing(synced: Clock, board: Clocks) -> None:
    assert synced.certain() == board.wall - UNDER_MS
    assert [path.name for path in board.home.iterdir()] == ["synchronized"]


async def test_running_clock_tells_each_change_once(hurried: None, board: Clocks) -> None:
    clock = board.clock()
    with capture_logs() as events:
        running = asyncio.create_task(clock.run())

        async def tells(event: str) -> None:
            await until(lambda: events and events[-1]["event"] == event)
            looks = len(board.asked)
            board.after(MINUTE)
            await until(lambda: len(board.asked) > looks)

        board.chrony = Tracking(0x01020304, 2, 0, board.wall, 0.0)
        board.after(MINUTE)
        await tells("clock.synchronised")
        board.after(FRESH_MS)
        await tells("clock.held_over")
        board.after(HOLDOVER_MS)
        await tells("clock.lost")
        board.chrony = Tracking(0x01020304, 2, 0, board.wall, 0.0)
        board.after(MINUTE)
        await tells("clock.synchronised")
        board.wall -= DAY
        await tells("clock.lost")
        running.cancel()
        await asyncio.wait([running])
    told = [(event["event"], event["log_level"]) for event in events]
    assert told == [
        ("clock.synchronised", "info"),
        ("clock.held_over", "warning"),
        ("clock.lost", "warning"),
        ("clock.synchronised", "info"),
        ("clock.stepped", "warning"),
        ("clock.lost", "warning"),
    ]
    assert events[0]["service"] == "chrony"
    assert events[2]["reason"] == "the time service has been silent for a week"
    assert "jumped" in events[5]["reason"]


async def test_damaged_floor_is_told_of_and_forgotten(hurried: None, board: Clocks) -> None:
    (board.home / "clock").write_bytes(b"rubbish")
    clock = board.clock()
    with capture_logs() as events:
        running = asyncio.create_task(clock.run())
        await until(lambda: events)
        running.cancel()
        await asyncio.wait([running])
    assert running.cancelled()
    assert [event["event"] for event in events] == ["clock.floor_lost"]
    assert str(board.home / "clock") in events[0]["error"]
    assert clock.moment() == Moment(RELEASED, None, UNKNOWN)
    assert clock.facts().concern == events[0]["error"]


async def test_chrony_is_asked_where_there_is_no_mark_of_timesyncd(board: Clocks) -> None:
    clock = board.clock()
    for _ in range(60):
        await clock.look()
        board.after(SECOND)
    assert len(board.asked) == 6, "every ten seconds, until it vouches for the clock"
    board.chrony = Tracking(0x01020304, 2, 0, board.wall, 0.0)
    board.asked.clear()
    for _ in range(600):
        await clock.look()
        board.after(SECOND)
    assert len(board.asked) == 11, "and then every minute"
    assert clock.facts().service == "chrony"
    board.touch()
    board.after(MINUTE)
    await clock.look()
    assert len(board.asked) == 11
    assert clock.facts().service == "systemd-timesyncd"


async def test_chrony_is_asked_after_ten_seconds_and_once_it_vouches_after_a_minute(board: Clocks) -> None:
    clock = board.clock()
    asked: list[int] = []
    for ms in (0, 9_999, 1, 10_000, 10_000, 59_999, 1):
        board.chrony = Tracking(0x01020304, 2, 0, board.wall, 0.0) if len(asked) == 3 else board.chrony
        board.after(ms)
        await clock.look()
        asked.append(len(board.asked))
    assert asked == [1, 1, 2, 3, 4, 4, 5]


@pytest.mark.parametrize(
    "tracking",
    [
        Tracking(0x01020304, 2, 3, NOON, 0.0),
        Tracking(0x7F7F0101, 10, 0, NOON, 0.0),
        Tracking(0x01020304, 2, 0, NOON, 30.0),
    ],
    ids=["no source", "its own time", "not corrected yet"],
)
async def test_chrony_that_does_not_vouch_for_the_clock_is_no_word(board: Clocks, tracking: Tracking) -> None:
    board.chrony = tracking
    clock = board.clock()
    await clock.look()
    assert clock.state() is UNKNOWN


async def test_clocks_are_read_again_where_something_came_in_between(board: Clocks) -> None:
    """Stopped for a minute between the one and the other: no step backward."""
    clock = board.clock()
    await hears(clock, board)
    stops = iter([MINUTE])

    def wall() -> int:
        said = board.wall
        board.after(next(stops, 0))
        return said

    clock._wall = wall
    with capture_logs() as events:
        assert clock.moment() == Moment(NOON + MINUTE, NOON + MINUTE, SYNCED)
    assert events == []


@pytest.mark.parametrize(("gap", "reads"), [(99, 1), (100, 2)])
async def test_clocks_are_read_together_to_a_tenth_of_a_second(board: Clocks, gap: int, reads: int) -> None:
    clock, said, stops = board.clock(), list[int](), iter([gap])

    def wall() -> int:
        said.append(board.wall)
        board.after(next(stops, 0))
        return said[-1]

    clock._wall = wall
    clock.moment()
    assert len(said) == reads


async def test_facts_of_a_clock(synced: Clock, board: Clocks) -> None:
    board.after(90 * SECOND)
    facts = synced.facts()
    assert (facts.state, facts.now, facts.service, facts.concern) == (SYNCED, board.wall, "systemd-timesyncd", None)
    assert facts.marked_s == 122
    assert facts.floor == board.wall - UNDER_MS - 9
    board.after(HOUR)
    assert synced.facts().marked_s == 3_722
    board.wall += DAY
    facts = synced.facts()
    assert (facts.state, facts.service, facts.marked_s) == (UNKNOWN, None, None)
    assert "jumped" in (facts.concern or "")


def test_facts_of_a_trusted_clock(board: Clocks) -> None:
    facts = board.clock(trusted=True).facts()
    assert (facts.state, facts.now, facts.floor, facts.concern) == (SYNCED, NOON, None, None)


def test_clock_of_this_machine_is_read_in_milliseconds() -> None:
    for read, kind in ((wall_ms, time.CLOCK_REALTIME), (uptime_ms, time.CLOCK_BOOTTIME)):
        before = time.clock_gettime_ns(kind) // 1_000_000
        assert before <= read() <= time.clock_gettime_ns(kind) // 1_000_000
    clock = Clock(wall=lambda: NOON, uptime=lambda: 0)
    assert clock.moment() == Moment(RELEASED, None, UNKNOWN), (
        "nothing is trusted, and there is no grace, unless asked for"
    )


@pytest.mark.parametrize("trust", ["auto", "system"])
def test_timekeeper_is_as_configured(tmp_path: Path, trust: str) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(
        f"""
        gateway_id = "gw-1"
        state_dir = "{tmp_path}"
        mqtt.host = "127.0.0.1"
        clock = {{trust = "{trust}", grace_s = 60}}
        [[devices]]
        id = "1234567890123456"
        kind = "fluss+"
        timezone = "Africa/Johannesburg"
        """
    )
    Ratchet(tmp_path).write(Floor(NOON, 0))
    clock = timekeeper(load(file))
    if trust == "system":
        assert (clock.state(), clock.facts().floor) == (SYNCED, None)
    else:
        assert (clock.state(), clock.now() >= NOON, clock._keeping._grace_ms) == (UNKNOWN, True, 60_000)
