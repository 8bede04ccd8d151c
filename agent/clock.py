"""The board's clock, and how far it can be trusted. Boards without a battery wake in the past."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from protocol.vocabulary import ClockState

SYNCHRONISED: Final = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd touches it whenever a time server has set the clock; gone after a restart of the board."""

HOLDOVER_S: Final = 7 * 86_400


def wall_ms() -> int:
    """What the board's clock says, in epoch milliseconds."""
    return time.time_ns() // 1_000_000


class Clock:
    """Time for everyone, passed in wherever a rule needs it.

    `floor_ms` is a moment known to be past: a clock that is behind it is wrong, and time goes on from there.
    """

    def __init__(
        self,
        *,
        floor_ms: int = 0,
        trusted: bool = False,
        wall: Callable[[], int] = wall_ms,
        monotonic: Callable[[], float] = time.monotonic,
        mark: Path = SYNCHRONISED,
    ) -> None:
        self._floor_ms = floor_ms
        self._trusted = trusted
        self._wall = wall
        self._monotonic = monotonic
        self._mark = mark
        self._started = monotonic()
        self._synced: float | None = None

    def now(self) -> int:
        """The moment in epoch milliseconds, never before the floor unless the time service vouches for it."""
        wall = self._wall()
        if self.state() is not ClockState.UNKNOWN:
            return wall
        return max(wall, self._floor_ms + int((self._monotonic() - self._started) * 1000))

    def certain(self) -> int | None:
        """The moment as far as the time service vouches for it; what is stored of it is the next start's floor."""
        return None if self.state() is ClockState.UNKNOWN else self._wall()

    def state(self) -> ClockState:
        """Synced while the time service says so, holdover for a week after, else unknown."""
        if self._trusted:
            return ClockState.SYNCED
        now = self._monotonic()
        if self._mark.exists():
            self._synced = now
            return ClockState.SYNCED
        if self._synced is not None and now - self._synced < HOLDOVER_S:
            return ClockState.HOLDOVER
        return ClockState.UNKNOWN
