"""How far the board's clock is believed."""

from pathlib import Path

from agent.clock import HOLDOVER_S, Clock
from protocol.vocabulary import ClockState


class _Board:
    """A board whose clocks are set by hand."""

    def __init__(self, wall_ms: int) -> None:
        self.wall_ms = wall_ms
        self.uptime_s = 0.0

    def clock(self, mark: Path, *, floor_ms: int = 0, trusted: bool = False) -> Clock:
        return Clock(
            floor_ms=floor_ms,
            trusted=trusted,
            wall=lambda: self.wall_ms,
            monotonic=lambda: self.uptime_s,
            mark=mark,
        )


def test_clock_without_a_time_service_is_unknown_and_never_behind_the_floor(tmp_path: Path) -> None:
    """A board that wakes in 1970 goes on from the latest moment that was sure."""
    board = _Board(wall_ms=5_000)
    clock = board.clock(tmp_path / "synchronized", floor_ms=1_795_000_000_000)
    assert clock.state() is ClockState.UNKNOWN
    assert clock.certain() is None
    board.uptime_s = 2.5
    assert clock.now() == 1_795_000_002_500


def test_clock_is_synced_then_in_holdover_then_unknown(tmp_path: Path) -> None:
    """The time service's mark makes it sure, and for a week after the mark is gone."""
    mark = tmp_path / "synchronized"
    mark.touch()
    board = _Board(wall_ms=1_000)
    clock = board.clock(mark, floor_ms=9_000)
    assert clock.state() is ClockState.SYNCED
    assert clock.now() == clock.certain() == 1_000, "a clock that is vouched for counts, whatever the floor says"
    mark.unlink()
    board.uptime_s = HOLDOVER_S - 1
    assert clock.state() is ClockState.HOLDOVER
    board.uptime_s = HOLDOVER_S + 1
    assert clock.state() is ClockState.UNKNOWN


def test_clock_of_a_trusted_system_is_synced(tmp_path: Path) -> None:
    """`trust = "system"` takes the clock as it is."""
    assert _Board(wall_ms=1).clock(tmp_path / "none", trusted=True).state() is ClockState.SYNCED
