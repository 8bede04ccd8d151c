"""A moment is an interval; what is written down is its middle, or all that is certain."""

from protocol.moment import Moment, exact
from protocol.vocabulary import ClockState


def test_middle_of_the_interval_is_written_down_and_without_an_end_its_beginning() -> None:
    assert Moment(1_000, 1_003, ClockState.HOLDOVER).best == 1_001
    assert Moment(1_000, None, ClockState.UNKNOWN).best == 1_000
    assert exact(1_000) == Moment(1_000, 1_000, ClockState.SYNCED)
