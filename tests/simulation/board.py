"""The board: its two clocks, and the time service that sets one of them right."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

from agent.chrony import Tracking
from agent.clock import Clock
from agent.config import Config
from agent.floor import RELEASED, Ratchet
from tests.simulation.hostility import Hostility
from tests.simulation.timeline import Timeline
from tests.simulation.trace import Trace

BEGINNING: Final = RELEASED + 300 * 86_400_000
"""The moment (epoch ms) at which every world begins: some months after the program was released."""

_DAY_MS: Final = 86_400_000
_YEARS_MS: Final = 3_652 * _DAY_MS
_POLL_S: Final = (64.0, 2_048.0)
_HEARD_S: Final = 15.0
"""By then the daemon has heard what the time service says."""


class Board:
    """``online`` says whether the time servers can be reached."""

    def __init__(
        self,
        timeline: Timeline,
        hostility: Hostility,
        trace: Trace,
        rng: Random,
        home: Path,
        online: Callable[[], bool],
    ) -> None:
        self._timeline = timeline
        self._rng = rng
        self._hostility = hostility
        self._trace = trace
        self._mark = home / "synchronized"
        self._online = online
        self._booted = -3_600.0
        self._start = 0
        self._ahead_ms = 0
        self._misled_until = 0.0
        self._stepped = False
        self.poll(self._start, 1.0)
        if hostility.steps is not None:
            self._timeline.after(rng.expovariate(1 / hostility.steps), self._step)

    @property
    def truth(self) -> int:
        """The moment, epoch milliseconds."""
        return BEGINNING + round(self._timeline.now * 1000)

    @property
    def online(self) -> bool:
        """Whether the time servers can be reached."""
        return self._online()

    @property
    def misled(self) -> bool:
        """Whether the daemon cannot know better: the clock jumped before it started, and was not set right yet."""
        return self._timeline.now < self._misled_until

    def meet(self) -> None:
        """The daemon starts on this board: what a mark of before a jump means now, nothing on the board can tell."""
        self._misled_until = math.inf if self._stepped else 0.0

    def wall(self) -> int:
        """What the board believes."""
        return self.truth + self._ahead_ms

    def uptime(self) -> int:
        """Milliseconds since the board got its power."""
        return round((self._timeline.now - self._booted) * 1000)

    def clock(self, config: Config) -> Clock:
        """The daemon's clock on this board."""

        async def ask() -> Tracking | None:
            return None

        ratchet = Ratchet(config.state_dir)
        return Clock(ratchet=ratchet, wall=self.wall, uptime=self.uptime, mark=self._mark, ask=ask)

    def boot(self, off_s: float) -> None:
        """The power is back after so many seconds: the uptime begins anew, and the wall clock is what it is."""
        self._start += 1
        self._booted = self._timeline.now
        self._mark.unlink(missing_ok=True)
        match self._hostility.wakes:
            case "right":
                self._ahead_ms = 0
            case "late":
                self._ahead_ms -= round(off_s * 1000)
            case "1970":
                self._ahead_ms = _DAY_MS - self.truth
            case "ahead":
                self._ahead_ms = _YEARS_MS
        self._stepped = False
        self._trace.say("board", "booted", ahead_ms=self._ahead_ms)
        self.poll(self._start, self._hostility.unsynchronised_s * self._rng.uniform(0.1, 1.0))

    def settle(self) -> None:
        """The time service finds its servers, twice."""
        for after_s in (20.0, 40.0):
            self.poll(self._start, after_s)

    def poll(self, start: int, after_s: float) -> None:
        """Have the time service ask its servers after a while, and then again and again."""

        def ask() -> None:
            if start != self._start:
                return
            if self._online():
                self._ahead_ms = 0
                self._touch()
                self._misled_until = min(self._misled_until, self._timeline.now + _HEARD_S)
                self._stepped = False
                self.poll(start, self._rng.uniform(*_POLL_S))
            else:
                self.poll(start, 30.0)

        self._timeline.after(after_s, ask)

    def _touch(self) -> None:
        self._mark.touch()
        os.utime(self._mark, ns=(0, self.wall() * 1_000_000))
        self._trace.say("board", "synchronised")

    def _step(self) -> None:
        rate = self._hostility.steps
        assert rate is not None, "a world without jumps has none"
        if self._timeline.now < self._hostility.length_s:
            ms = self._rng.choice([-400 * _DAY_MS, -7_200_000, -60_000, 30_000, 1_800_000, 86_400_000, _YEARS_MS])
            self._ahead_ms += ms
            self._stepped = True
            self._trace.say("board", "stepped", ms=ms)
            self.poll(self._start, self._rng.uniform(1.0, self._hostility.unsynchronised_s + 60))
            self._timeline.after(self._rng.expovariate(1 / rate), self._step)
