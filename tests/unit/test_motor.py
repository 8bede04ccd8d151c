"""A gate's motor: what a button does to it, and what a sensor sees."""

from random import Random

import pytest

from protocol.vocabulary import Action, Denial, Position
from simulator.motor import Motion, Motor

TRAVEL = 10_000


def opened(*, auto_close_ms: int | None = None) -> Motor:
    """A gate that arrived open at the moment `TRAVEL`."""
    motor = Motor(travel_ms=TRAVEL, auto_close_ms=auto_close_ms)
    assert motor.told(Action.TRIGGER, 0) is None
    return motor


def test_gate_is_closed_at_first() -> None:
    motor = Motor(travel_ms=TRAVEL)
    assert (motor.motion(0), motor.position(0), motor.due_ms) == (Motion.CLOSED, Position.CLOSED, None)


def test_trigger_opens_a_closed_gate_and_closes_an_open_one() -> None:
    motor = opened()
    assert motor.motion(TRAVEL - 1) is Motion.OPENING
    assert motor.motion(TRAVEL) is Motion.OPEN
    motor.told(Action.TRIGGER, 50_000)
    assert motor.motion(50_000 + TRAVEL - 1) is Motion.CLOSING
    assert motor.motion(50_000 + TRAVEL) is Motion.CLOSED


def test_trigger_stops_a_gate_that_moves_and_then_sends_it_back() -> None:
    motor = opened()
    motor.told(Action.TRIGGER, 4_000)
    assert (motor.motion(90_000), motor.opened_ms(90_000)) == (Motion.STOPPED, 4_000)
    motor.told(Action.TRIGGER, 100_000)
    assert (motor.motion(100_001), motor.opened_ms(101_000)) == (Motion.CLOSING, 3_000)
    motor.told(Action.TRIGGER, 101_000)
    motor.told(Action.TRIGGER, 102_000)
    assert (motor.motion(102_001), motor.due_ms) == (Motion.OPENING, 102_000 + TRAVEL - 3_000)


def test_gate_stopped_before_it_left_opens_next() -> None:
    motor = opened()
    motor.told(Action.TRIGGER, 0)
    assert (motor.motion(0), motor.position(0)) == (Motion.CLOSED, Position.CLOSED)
    motor.told(Action.TRIGGER, 0)
    assert motor.motion(1) is Motion.OPENING


@pytest.mark.parametrize("at_ms", [0, 5_000, TRAVEL, 60_000])
def test_open_is_refused_unless_the_gate_is_closed(at_ms: int) -> None:
    motor = opened()
    before = motor.motion(at_ms)
    assert motor.told(Action.OPEN, at_ms) is Denial.ALREADY_OPEN
    assert motor.motion(at_ms) is before
    assert Motor().told(Action.OPEN, 0) is None


def test_close_is_refused_where_the_gate_is_closed_and_turns_one_that_opens() -> None:
    assert Motor().told(Action.CLOSE, 0) is Denial.ALREADY_CLOSED
    motor = opened()
    assert motor.told(Action.CLOSE, 4_000) is None
    assert motor.motion(4_001) is Motion.CLOSING
    assert motor.told(Action.CLOSE, 5_000) is None, "it is on its way, and stays on it"
    assert motor.motion(8_000) is Motion.CLOSED


def test_gate_closes_by_itself_wherever_it_stands() -> None:
    motor = opened(auto_close_ms=30_000)
    assert motor.motion(TRAVEL + 29_999) is Motion.OPEN
    assert motor.motion(TRAVEL + 30_000) is Motion.CLOSING
    assert motor.motion(900_000) is Motion.CLOSED
    motor = opened(auto_close_ms=30_000)
    motor.told(Action.TRIGGER, 4_000)
    assert motor.motion(34_000) is Motion.CLOSING
    assert motor.motion(38_000) is Motion.CLOSED


def test_due_is_when_something_happens_by_itself() -> None:
    motor = opened(auto_close_ms=30_000)
    assert motor.due_ms == TRAVEL
    motor.motion(TRAVEL)
    assert motor.due_ms == TRAVEL + 30_000
    motor.motion(TRAVEL + 30_000)
    assert motor.due_ms == TRAVEL + 30_000 + TRAVEL
    motor.motion(900_000)
    assert motor.due_ms is None


def test_sensor_says_open_as_soon_as_the_gate_leaves_and_closed_once_it_is_back() -> None:
    motor = opened()
    assert motor.sensed(0) is Position.OPEN
    motor.told(Action.CLOSE, 20_000)
    assert motor.sensed(20_000 + TRAVEL - 1) is Position.OPEN
    assert motor.sensed(20_000 + TRAVEL) is Position.CLOSED


def test_sensor_flickers_while_the_gate_runs_and_only_then() -> None:
    rng = Random(3)
    motor = opened()
    running = {motor.sensed(at_ms, rng) for at_ms in range(0, TRAVEL, 100)}
    assert running == {Position.OPEN, Position.CLOSED}
    assert {motor.sensed(at_ms, rng) for at_ms in range(TRAVEL, 2 * TRAVEL, 100)} == {Position.OPEN}


def test_flicker_comes_from_its_seed() -> None:
    def seen(seed: int) -> list[Position]:
        motor, rng = opened(), Random(seed)
        return [motor.sensed(at_ms, rng) for at_ms in range(0, TRAVEL, 100)]

    assert seen(1) == seen(1)
    assert seen(1) != seen(2)
