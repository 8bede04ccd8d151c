"""How far the board's clock is believed."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.clock import Clock
from agent.floor import RELEASED, Floor, Ratchet
from agent.timekeeping import FRESH_MS, HOLDOVER_MS, POSSIBLE_MS, UNDER_MS, YEAR_MS
from protocol.moment import Moment
from protocol.vocabulary import ClockState
from tests.counterparts.clocks import DAY, HOUR, MINUTE, NOON, SECOND, Clocks, confirmed, hears

SYNCED, HOLDOVER, UNKNOWN = ClockState


@pytest.fixture
def board(tmp_path: Path) -> Clocks:
    return Clocks(tmp_path)


@pytest.fixture
async def synced(board: Clocks) -> Clock:
    return await confirmed(board)


async def test_board_without_a_time_service_knows_the_past_alone(board: Clocks) -> None:
    board.wall, board.uptime = 5 * SECOND, 5 * SECOND
    clock = board.clock()
    await clock.look()
    assert clock.moment() == Moment(RELEASED, None, UNKNOWN)
    board.after(HOUR)
    assert clock.moment() == Moment(RELEASED + HOUR - 360, None, UNKNOWN), "its oscillator may be fast by 100 ppm"
    assert (clock.state(), clock.certain()) == (UNKNOWN, None)


@pytest.mark.parametrize(
    ("age", "state", "slack"),
    [
        (0, SYNCED, 0),
        (FRESH_MS - 1, SYNCED, 0),
        (FRESH_MS, HOLDOVER, 420),
        (DAY, HOLDOVER, 8_640),
        (HOLDOVER_MS - 1, HOLDOVER, 60_480),
    ],
)
async def test_clock_is_exact_while_synced_and_strays_in_holdover(
    board: Clocks, age: int, state: ClockState, slack: int
) -> None:
    clock = board.clock()
    await hears(clock, board)
    board.after(age)
    assert clock.moment() == Moment(board.wall - slack, board.wall + slack, state)
    assert clock.now() == board.wall


async def test_holdover_ends_after_a_week(synced: Clock, board: Clocks) -> None:
    board.after(HOLDOVER_MS)
    await synced.look()
    moment = synced.moment()
    assert (moment.state, moment.latest) == (UNKNOWN, None)
    assert board.wall - 2 * MINUTE - UNDER_MS < moment.earliest < board.wall
    assert await hears(synced, board) is SYNCED, "a later word puts it right, though it comes alone"


async def test_holdover_is_a_week_to_the_millisecond(board: Clocks) -> None:
    clock = board.clock()
    await hears(clock, board)
    board.after(HOLDOVER_MS)
    assert clock.state() is UNKNOWN


async def test_mark_that_goes_away_takes_nothing_back(synced: Clock, board: Clocks) -> None:
    """The time service was stopped: what it said last was right."""
    board.mark.unlink()
    await synced.look()
    assert synced.state() is SYNCED
    board.after(FRESH_MS)
    assert synced.state() is HOLDOVER


@pytest.mark.parametrize("wall", [0, NOON, NOON + 64 * YEAR_MS])
async def test_clock_of_a_trusted_system_is_right_whatever_it_says(board: Clocks, wall: int) -> None:
    board.wall = wall
    clock = board.clock(trusted=True)
    await clock.look()
    assert clock.moment() == Moment(wall, wall, SYNCED)
    assert clock.state() is SYNCED
    assert clock.now() == clock.certain() == wall
    with capture_logs() as events:
        board.wall -= DAY
        assert clock.moment() == Moment(wall - DAY, wall - DAY, SYNCED)
    assert events == [{"event": "clock.stepped", "ms": -DAY, "log_level": "warning"}]
    assert clock.facts().concern is None
    assert board.asked == []


@pytest.mark.parametrize(
    ("wall", "doubted"),
    [
        (NOON - 10 * MINUTE, True),
        (NOON + 40 * MINUTE, True),
        (NOON + HOUR + SECOND, False),
        (NOON + 30 * DAY, False),
        (NOON + POSSIBLE_MS, False),
        (NOON + POSSIBLE_MS + 2 * HOUR, True),
        (NOON + 64 * YEAR_MS, True),
        (0, True),
    ],
)
async def test_time_service_that_contradicts_the_floor_is_not_believed(board: Clocks, wall: int, doubted: bool) -> None:
    """The floor says noon; the board has been up for an hour since."""
    Ratchet(board.home).write(Floor(NOON, 2 * HOUR))
    board.wall = wall
    clock = board.clock(grace_s=7 * 86_400)
    assert await hears(clock, board) is (UNKNOWN if doubted else SYNCED)
    moment = clock.moment()
    assert (moment.latest is None) is doubted, "no grace for a clock that is contradicted"
    if doubted:
        assert moment.earliest == NOON + HOUR - 360


async def test_contradiction_ends_with_a_word_that_fits(board: Clocks) -> None:
    Ratchet(board.home).write(Floor(NOON, 2 * HOUR))
    board.wall = NOON - DAY
    clock = board.clock()
    assert await hears(clock, board) is UNKNOWN
    board.wall = NOON + DAY
    assert await hears(clock, board) is UNKNOWN, "the word that came with the correction"
    board.after(32 * SECOND)
    assert await hears(clock, board) is SYNCED


@pytest.mark.parametrize(
    ("wall", "best"),
    [
        (5 * SECOND, RELEASED),
        (RELEASED - SECOND, RELEASED),
        (RELEASED + DAY, RELEASED + DAY),
        (RELEASED + 4 * YEAR_MS, RELEASED + 4 * YEAR_MS),
        (RELEASED + 6 * YEAR_MS, RELEASED),
        (RELEASED + 64 * YEAR_MS, RELEASED),
    ],
)
async def test_grace_takes_the_best_guess_after_an_unsynchronised_start(board: Clocks, wall: int, best: int) -> None:
    """And what is written down is that guess, with or without grace."""
    board.wall, board.uptime = wall, 30 * SECOND
    graceful, strict = board.clock(grace_s=60), board.clock()
    assert graceful.moment() == Moment(best, best, UNKNOWN)
    assert strict.moment() == Moment(RELEASED, None, UNKNOWN)
    assert graceful.now() == strict.now() == best
    board.after(30 * SECOND)
    assert graceful.moment() == strict.moment()


async def test_grace_is_none_for_a_clock_that_has_jumped(board: Clocks) -> None:
    clock = board.clock(grace_s=7 * 86_400)
    await hears(clock, board)
    board.wall += DAY
    assert clock.moment().latest is None


@pytest.mark.parametrize(
    ("age", "state"),
    [
        (MINUTE, SYNCED),
        (3 * DAY, HOLDOVER),
        (8 * DAY, UNKNOWN),
        (11 * DAY, UNKNOWN),
        (-MINUTE, UNKNOWN),
    ],
    ids=["fresh", "days old", "a week old", "older than the start", "from the future"],
)
async def test_restarted_program_takes_the_age_of_the_mark_into_account(
    board: Clocks, age: int, state: ClockState
) -> None:
    board.uptime = 10 * DAY
    Ratchet(board.home).write(Floor(board.wall - UNDER_MS, max(0, board.uptime - age)))
    board.touch()
    board.wall += age
    clock = board.clock()
    await clock.look()
    assert clock.state() is state
    if state is HOLDOVER:
        assert clock.moment() == Moment(board.wall - 25_920, board.wall + 25_920, HOLDOVER)


@pytest.mark.parametrize(
    ("step", "kept", "believed"),
    [
        (0, Floor(NOON - HOUR - UNDER_MS, 9 * DAY), True),
        (3 * HOUR, Floor(NOON - HOUR - UNDER_MS, 9 * DAY), False),
        (5 * MINUTE, Floor(NOON - HOUR - UNDER_MS, 9 * DAY), False),
        (-5 * MINUTE, Floor(NOON - HOUR - UNDER_MS, 9 * DAY), False),
        (3 * HOUR, None, False),
        (0, None, True),
        (3 * HOUR, Floor(NOON - 30 * DAY, MINUTE), False),
        (0, Floor(NOON - 30 * DAY, MINUTE), True),
    ],
)
async def test_mark_is_as_old_as_it_looks_only_if_nobody_has_set_the_clock(
    board: Clocks, step: int, kept: Floor | None, believed: bool
) -> None:
    """The program starts an hour after the mark. Its floor was kept two hours ago, or a month ago, or never."""
    board.uptime = 9 * DAY + HOUR
    if kept:
        Ratchet(board.home).write(kept)
    board.touch()
    board.after(HOUR)
    board.wall += step
    clock = board.clock()
    await clock.look()
    assert clock.state() is (SYNCED if believed else UNKNOWN)
    if step >= 0:
        assert await hears(clock, board) is SYNCED, "a new one is believed in any case"


async def test_mark_older_than_the_board_is_up_is_not_believed(board: Clocks) -> None:
    """However fresh it looks: the clock was wrong when it was made, or is wrong now."""
    board.uptime = 10 * MINUTE
    board.touch()
    board.wall += 30 * MINUTE
    clock = board.clock()
    await clock.look()
    assert clock.state() is UNKNOWN


def test_what_ends_by_itself_ends_by_a_guess_where_no_time_service_ever_was(board: Clocks) -> None:
    assert board.clock().past() == NOON
    Ratchet(board.home).write(Floor(NOON - DAY, 0))
    assert board.clock().past() == NOON - DAY + HOUR - 360, "the floor, which one has brought"


async def test_what_ends_by_itself_waits_for_a_time_service_that_once_was(synced: Clock, board: Clocks) -> None:
    assert synced.past() == board.wall
    board.wall += DAY
    assert synced.state() is UNKNOWN
    assert synced.past() == synced.facts().floor == board.wall - DAY - UNDER_MS


async def test_floor_is_learnt_from_a_second_word(board: Clocks) -> None:
    clock = board.clock()
    await hears(clock, board)
    assert clock.certain() == RELEASED
    board.after(MINUTE)
    await clock.look()
    assert clock.certain() == RELEASED + MINUTE - 6, "nothing new was said"
    await hears(clock, board)
    assert clock.certain() == board.wall - UNDER_MS


async def test_floor_is_not_learnt_in_holdover(synced: Clock, board: Clocks) -> None:
    """It rises with the uptime, as far as a fast oscillator allows."""
    before = synced.certain()
    assert before is not None
    board.after(4 * DAY)
    await synced.look()
    assert synced.certain() == before + 4 * DAY - 34_560


async def test_floor_does_not_follow_a_small_step_back(synced: Clock, board: Clocks) -> None:
    certain = synced.certain()
    board.wall -= 1_900
    await synced.look()
    assert synced.certain() == certain


async def test_floor_is_not_learnt_from_the_first_word_after_a_step(synced: Clock, board: Clocks) -> None:
    """A time server that lies by less than an hour must do so twice."""
    board.wall += 50 * MINUTE
    assert await hears(synced, board) is SYNCED
    certain = synced.certain()
    assert certain is not None
    assert certain < board.wall - 50 * MINUTE
    board.after(32 * SECOND)
    await hears(synced, board)
    assert synced.certain() == board.wall - UNDER_MS


@pytest.mark.parametrize("wall", [0, NOON - DAY, NOON + 10 * YEAR_MS, NOON + 64 * YEAR_MS])
async def test_clock_that_nobody_vouches_for_never_moves_the_floor(synced: Clock, board: Clocks, wall: int) -> None:
    before = synced.facts().floor
    assert before is not None
    board.wall = wall
    for _ in range(3):
        board.after(MINUTE)
        await synced.look()
    after = synced.facts().floor
    assert after is not None
    assert before <= after <= before + 3 * MINUTE


async def test_what_ends_by_itself_ends_by_the_best_guess_where_no_time_service_ever_spoke(board: Clocks) -> None:
    clock = board.clock()
    await clock.look()
    assert clock.past() == board.wall == clock.now()


async def test_what_ends_by_itself_waits_for_a_certain_moment_where_one_has_spoken(
    synced: Clock, board: Clocks
) -> None:
    """In this run or in one before it: a clock that leaps ahead, and that nobody vouches for, expires nobody."""
    assert synced.past() == board.wall
    board.wall += YEAR_MS
    await synced.look()
    assert synced.state() is UNKNOWN
    assert board.wall - YEAR_MS - 2 * MINUTE - UNDER_MS < synced.past() < board.wall - YEAR_MS

    await Ratchet(board.home).settle(Floor(NOON, board.uptime))
    board.uptime = 5 * SECOND
    restarted = board.clock()
    await restarted.look()
    assert restarted.now() == board.wall, "the best guess is a year ahead"
    assert NOON <= restarted.past() < NOON + MINUTE
