"""The wall clock jumps: what is noticed, what is believed afterwards, and when."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.clock import Clock
from agent.timekeeping import UNDER_MS, YEAR_MS
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


@pytest.mark.parametrize(
    ("step", "state", "level"),
    [
        (1_900, SYNCED, None),
        (-1_900, SYNCED, None),
        (2_100, SYNCED, "info"),
        (HOUR - SECOND, SYNCED, "info"),
        (HOUR + SECOND, UNKNOWN, "warning"),
        (10 * YEAR_MS, UNKNOWN, "warning"),
        (-2_100, UNKNOWN, "warning"),
        (-400 * DAY, UNKNOWN, "warning"),
    ],
)
async def test_step_while_synced(synced: Clock, board: Clocks, step: int, state: ClockState, level: str | None) -> None:
    with capture_logs() as events:
        board.wall += step
        assert synced.state() is state
        await synced.look()
        assert synced.state() is state
    expected = [{"event": "clock.stepped", "ms": step, "log_level": level}] if level else []
    assert events == expected, "once"


async def test_moment_itself_notices_a_step(synced: Clock, board: Clocks) -> None:
    """A decision does not wait for the next look."""
    certain = synced.moment().earliest
    board.wall += 2 * HOUR
    moment = synced.moment()
    assert (moment.state, moment.latest) == (UNKNOWN, None)
    assert moment.earliest == certain - UNDER_MS


async def test_step_forward_within_the_hour_leaves_both_possible_until_the_service_speaks(
    synced: Clock, board: Clocks
) -> None:
    before = board.wall
    board.wall += 30 * MINUTE
    assert synced.moment() == Moment(before, board.wall, SYNCED)
    await synced.look()
    assert synced.moment() == Moment(before, board.wall, SYNCED), "the word before the step is none for the new time"
    await hears(synced, board)
    assert synced.moment() == Moment(board.wall, board.wall, SYNCED)


async def test_small_steps_are_no_step_together_where_the_service_speaks_in_between(
    synced: Clock, board: Clocks
) -> None:
    with capture_logs() as events:
        for _ in range(3):
            board.wall -= 1_500
            board.after(32 * SECOND)
            assert await hears(synced, board) is SYNCED
    assert events == []


async def test_small_steps_add_up_where_it_does_not(synced: Clock, board: Clocks) -> None:
    """Setting a clock back bit by bit is no way around the alarm: the word of before holds for none of them."""
    for _ in range(2):
        board.wall -= 1_500
        board.after(SECOND)
        await synced.look()
    assert synced.state() is UNKNOWN


async def test_word_holds_for_the_time_before_a_step_alone(synced: Clock, board: Clocks) -> None:
    """The service spoke, and half a second later somebody set the clock forward: both before the next look."""
    board.after(HOUR)
    await synced.look()
    board.after(100)
    board.touch()
    before = board.wall
    board.wall += 30 * MINUTE
    board.after(400)
    await synced.look()
    assert synced.moment() == Moment(before + 400, board.wall, SYNCED)


async def test_word_that_came_with_a_step_holds_though_the_look_came_late(board: Clocks) -> None:
    clock = board.clock()
    await clock.look()
    board.after(100)
    board.wall += DAY
    board.touch()
    board.after(900)
    await clock.look()
    assert clock.state() is SYNCED


async def test_step_back_within_the_straying_of_holdover_widens_it(synced: Clock, board: Clocks) -> None:
    """Nobody has said which of the two is right; what was certain stays certain."""
    board.after(4 * DAY)
    right, certain = board.wall, synced.certain()
    board.wall -= 30 * SECOND
    moment = synced.moment()
    assert (moment.earliest, moment.state) == (certain, HOLDOVER)
    assert moment.latest == right + 34_564


async def test_correction_of_what_holdover_strays_is_no_alarm(synced: Clock, board: Clocks) -> None:
    """After four days, a network: the oscillator was 30 s fast."""
    board.after(4 * DAY)
    with capture_logs() as events:
        board.wall -= 30 * SECOND
        assert await hears(synced, board) is SYNCED
    assert events == [{"event": "clock.stepped", "ms": -30_000, "log_level": "info"}]
    assert synced.moment() == Moment(board.wall, board.wall, SYNCED)


async def test_step_in_holdover_beyond_its_straying_is_an_alarm(synced: Clock, board: Clocks) -> None:
    board.after(4 * DAY)
    board.wall -= 60 * SECOND
    assert await hears(synced, board) is UNKNOWN


@pytest.mark.parametrize("moment_first", [True, False], ids=["seen by a decision", "seen by a look"])
async def test_step_is_confirmed_by_a_later_word_and_not_by_its_own(
    synced: Clock, board: Clocks, moment_first: bool
) -> None:
    """The time service itself set the clock forward by a year: its mark comes milliseconds after the step."""
    board.wall += YEAR_MS
    if moment_first:
        synced.moment()
    board.after(3)
    assert await hears(synced, board) is UNKNOWN
    board.after(32 * SECOND)
    await synced.look()
    assert synced.state() is UNKNOWN, "nothing new was said"
    assert await hears(synced, board) is SYNCED
    assert synced.moment() == Moment(board.wall, board.wall, SYNCED)


@pytest.mark.parametrize("seen", [True, False], ids=["heard before", "heard after"])
async def test_word_before_a_step_back_never_holds_again(synced: Clock, board: Clocks, seen: bool) -> None:
    """An hour later the clock comes by the moment at which it was given."""
    board.touch()
    if seen:
        await synced.look()
    board.wall -= HOUR
    for _ in range(90):
        await synced.look()
        assert synced.state() is UNKNOWN
        board.after(MINUTE)


async def test_step_that_is_put_right_waits_for_a_word_after_that(synced: Clock, board: Clocks) -> None:
    board.wall += DAY
    assert synced.state() is UNKNOWN
    board.after(20 * SECOND)
    board.wall -= DAY
    assert await hears(synced, board) is UNKNOWN
    board.after(32 * SECOND)
    assert await hears(synced, board) is SYNCED


async def test_first_synchronisation_is_no_step(board: Clocks) -> None:
    board.wall, board.uptime = 20 * SECOND, 20 * SECOND
    clock = board.clock()
    with capture_logs() as events:
        await clock.look()
        board.after(10 * SECOND)
        clock.moment()
        board.wall = NOON
        clock.moment()
        assert await hears(clock, board) is SYNCED
    assert events == []
