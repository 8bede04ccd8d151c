"""Where a gate stands while its sensor flickers."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.drivers.settling import STEADY_S, Settling
from agent.drivers.stance import Stance
from protocol.vocabulary import Position

OPEN, CLOSED = Position.OPEN, Position.CLOSED


def after(*readings: tuple[float, Position]) -> Settling:
    settling = Settling()
    for at, position in readings:
        settling = settling.read(position, at)
    return settling


def test_first_reading_counts_at_once() -> None:
    assert after((5, OPEN)).settled is OPEN
    assert after((5, OPEN)).due is None


@pytest.mark.parametrize(("at", "position"), [(2.99, CLOSED), (3.0, OPEN), (9.0, OPEN)])
def test_reading_counts_once_it_was_steady_for_a_second(at: float, position: Position) -> None:
    assert after((0, CLOSED), (2, OPEN)).look(at).settled is position


def test_reading_that_is_repeated_is_not_younger_for_it() -> None:
    settling = after((0, CLOSED), (2, OPEN), (2.9, OPEN))
    assert settling.due == 3.0


def test_position_stands_while_the_sensor_flickers() -> None:
    flicker = [(1 + step / 10, OPEN if step % 2 else CLOSED) for step in range(200)]
    settling = after((0, CLOSED), *flicker)
    assert settling.settled is CLOSED
    assert settling.look(30).settled is OPEN


def test_return_to_where_it_stood_needs_no_second_look() -> None:
    assert after((0, CLOSED), (2, OPEN), (2.5, CLOSED)).due is None


def test_reading_that_was_steady_counts_although_nobody_looked_in_time() -> None:
    """A loop that was busy for a while settles late, and on the same."""
    assert after((0, CLOSED), (2, OPEN), (5, CLOSED)).settled is OPEN


async def test_flicker_leaves_one_timer_behind() -> None:
    told: list[Position | None] = []
    stance = Stance(lambda: told.append(stance.position))
    for _ in range(500):
        stance.read(OPEN)
        stance.read(CLOSED)
        await asyncio.sleep(0)
    timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]  # a loop shows them to nobody
    assert sum("Stance" in repr(timer) and not timer.cancelled() for timer in timers) == 1
    assert told == [OPEN]


async def test_position_that_is_forgotten_is_nobodys_any_more() -> None:
    told: list[Position | None] = []
    stance = Stance(lambda: told.append(stance.position))
    stance.forget()
    stance.read(OPEN)
    stance.forget()
    stance.read(CLOSED)
    assert told == [OPEN, None, CLOSED]


def settled(readings: list[tuple[float, Position]], at: float) -> Position:
    """The same from the definition: the latest run of equal readings that lasted a second, or else the first one."""
    runs = [
        (start, position)
        for index, (start, position) in enumerate(readings)
        if not index or readings[index - 1][1] is not position
    ]
    ends = [start for start, _ in runs[1:]] + [at]
    steady = [position for (start, position), end in zip(runs, ends, strict=True) if end >= start + STEADY_S]
    return steady[-1] if steady else runs[0][1]


PAUSES = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 3.0])


@given(
    pauses=st.lists(st.tuples(PAUSES, st.sampled_from(Position)), min_size=1),
    wait=st.sampled_from([0.0, 0.75, 1.0, 2.0]),
    looks=st.booleans(),
)
def test_position_is_the_one_of_the_definition(pauses: list[tuple[float, Position]], wait: float, looks: bool) -> None:
    """However often somebody looks between the readings."""
    now, readings, settling = 0.0, [], Settling()
    for pause, position in pauses:
        if looks:
            settling = settling.look(now + pause / 2).look(now + pause)
        now += pause
        readings.append((now, position))
        settling = settling.read(position, now)
    assert settling.look(now + wait).settled is settled(readings, now + wait)
