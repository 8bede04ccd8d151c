"""The clocks of a board, set by hand, with a time service that speaks when told to."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from agent.chrony import Tracking
from agent.clock import Clock
from agent.floor import RELEASED, Ratchet
from protocol.vocabulary import ClockState

NOON = RELEASED + 100 * 86_400_000
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000


@dataclass
class Clocks:
    """Wall clock in epoch milliseconds, uptime in milliseconds; the floor and the mark lie in ``home``."""

    home: Path
    wall: int = NOON
    uptime: int = HOUR
    chrony: Tracking | None = None
    asked: list[int] = field(default_factory=list)
    """At which uptimes chronyd was asked."""

    def clock(self, *, trusted: bool = False, grace_s: int = 0) -> Clock:
        """The program starts."""
        return Clock(
            trusted=trusted,
            grace_s=grace_s,
            ratchet=Ratchet(self.home),
            wall=lambda: self.wall,
            uptime=lambda: self.uptime,
            mark=self.mark,
            ask=self.ask,
        )

    @property
    def mark(self) -> Path:
        return self.home / "synchronized"

    def touch(self) -> None:
        """systemd-timesyncd has corrected the clock."""
        self.mark.touch()
        os.utime(self.mark, ns=(0, self.wall * 1_000_000))

    def after(self, ms: int) -> None:
        """Time passes."""
        self.wall += ms
        self.uptime += ms

    async def ask(self) -> Tracking | None:
        self.asked.append(self.uptime)
        return self.chrony


async def hears(clock: Clock, board: Clocks) -> ClockState:
    """The time service speaks, and is heard."""
    board.touch()
    await clock.look()
    return clock.state()


async def confirmed(board: Clocks) -> Clock:
    """A clock that is synchronised by the second word of the time service, 32 seconds ago."""
    clock = board.clock()
    for _ in range(2):
        await hears(clock, board)
        board.after(32 * SECOND)
        await clock.look()
    return clock
