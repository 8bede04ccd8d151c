"""What a board can know of the time: rules fed with its two clocks and the word of its time service.

Elapsed time is the board's uptime, which nobody can set. The wall clock counts as far as the time service has vouched
for it; what it has jumped since is measured against the uptime.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from agent.floor import DRIFT, Floor
from protocol.moment import Moment, exact
from protocol.vocabulary import ClockState

STEP_MS: Final = 2_000
"""Less than this is no jump of the wall clock: leap seconds, and what a time service corrects in passing."""

UNDER_MS: Final = 10_000
"""The floor lies so far below what a time service says: over a line that is slow in one direction alone, even an honest
one is wrong by half its delay, and systemd-timesyncd waits ten seconds for an answer."""

LEAP_MS: Final = 3_600_000
"""A jump forward beyond this is nothing that a clock which was right needs."""

SLOP_MS: Final = 500
"""How finely a word can be placed among the jumps around it."""

SETTLE_MS: Final = 5_000
"""The word that comes with a jump does not confirm it; one that comes so much later does. No service asks as often."""

FRESH_MS: Final = 4_200_000
"""systemd-timesyncd asks every 2,048 s at most, chrony by default every 1,024 s: twice that, and a little."""

HOLDOVER_MS: Final = 7 * 86_400_000

YEAR_MS: Final = 365 * 86_400_000
LIKELY_MS: Final = 5 * YEAR_MS
"""So far ahead of the floor a wall clock that nobody vouches for may still be right."""

POSSIBLE_MS: Final = 20 * YEAR_MS
"""Further ahead of the floor no time service is right either: no such board is still in use."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The two clocks of a board, read at the same instant, in milliseconds."""

    wall: int
    """Since the epoch, as far as the board knows."""
    uptime: int
    """Since the board started, sleep included."""

    @property
    def offset(self) -> int:
        """What only a jump of the wall clock changes: the kernel slews both clocks alike."""
        return self.wall - self.uptime


@dataclass(frozen=True, slots=True)
class Mark:
    """The word of a time service: the wall clock was right when it said `at` (epoch ms)."""

    service: str
    at: int


@dataclass(frozen=True, slots=True)
class Step:
    """The wall clock jumped by `ms`; a `suspect` one must be confirmed before the clock is believed again."""

    ms: int
    suspect: bool


class Doubt(Enum):
    """Why a time service is not believed."""

    STEPPED = auto()
    """The wall clock has jumped further than a right clock needs, and it has not confirmed that yet."""
    BEHIND = auto()
    """It says that it is earlier than a moment this board has seen."""
    AHEAD = auto()
    """It says a year in which this board will not be in use any more."""


@dataclass(frozen=True, slots=True)
class _Vouched:
    service: str
    made: int
    """The uptime at which it was made."""
    offset: int


class Timekeeping:
    """One run of the program on one board, from its first reading of the clocks.

    `kept`: what an earlier run has learnt. `trusted`: the wall clock is right, whatever it says.
    """

    def __init__(
        self, reading: Reading, floor: Floor, *, kept: Floor | None = None, grace_ms: int = 0, trusted: bool = False
    ) -> None:
        self.doubt: Doubt | None = None
        self.learnt: Floor | None = None
        """The newest floor that a confirmed time service has brought, for keeping."""
        self._floor = floor
        self._grace_ms = grace_ms
        self._trusted = trusted
        self._kept = kept
        self._began = reading.uptime
        self._last = reading
        self._offset = reading.offset
        self._steady_since = 0
        self._unsettled = 0
        self._vouched: _Vouched | None = None
        self._heard: dict[str, int] = {}

    def glance(self, now: Reading) -> Step | None:
        """Take note of how the clocks stand; whether the wall clock has jumped while it was believed."""
        last, self._last = self._last, now
        ms = now.offset - self._offset
        if abs(ms) <= STEP_MS:
            return None
        believed = self.state(now) is not ClockState.UNKNOWN
        right = self._vouched.offset if self._vouched else self._offset
        suspect = not -STEP_MS - self._slack(now) <= now.offset - right <= LEAP_MS
        self._offset, self._steady_since, self._unsettled = now.offset, last.uptime, now.uptime
        if not believed:
            return None
        if suspect and not self._trusted:
            self._vouched, self.doubt = None, Doubt.STEPPED
        return Step(ms, suspect)

    def heed(self, mark: Mark, now: Reading) -> None:
        """Take the time service's word, if it holds for the wall clock as it stands, and contradicts nothing certain.

        It may be brought again and again, and is weighed when it is new: once the clock was set back, an old word would
        seem to be of now when the clock comes by there again.
        """
        if self._heard.get(mark.service) == mark.at:
            return
        self._heard[mark.service] = mark.at
        made = mark.at - now.offset
        if not self._steady_since - SLOP_MS <= made <= now.uptime + SLOP_MS:
            return
        if made < self._began and not self._aged(now.uptime - made, now):
            return
        if self.doubt and made <= self._unsettled + SETTLE_MS:
            return
        ahead_ms = now.wall - self._floor.now(now.uptime)
        if not 0 <= ahead_ms <= POSSIBLE_MS:
            self._vouched, self.doubt = None, Doubt.BEHIND if ahead_ms < 0 else Doubt.AHEAD
            return
        if self.state(now) is ClockState.UNKNOWN and self.doubt is None:
            self._unsettled = max(self._unsettled, made)
        self._vouched, self.doubt = _Vouched(mark.service, made, now.offset), None
        self._offset = now.offset

    def learn(self, now: Reading) -> None:
        """Raise the floor, while the wall clock is right by the word of a time service that has been asked twice."""
        vouched = self._vouched
        if vouched is None or self.state(now) is not ClockState.SYNCED:
            return
        if vouched.made <= self._unsettled + SETTLE_MS:
            return
        floor = Floor(now.wall - UNDER_MS, now.uptime)
        if floor.at > self._floor.now(now.uptime):
            self._floor = self.learnt = floor

    def state(self, now: Reading) -> ClockState:
        """Synced while the time service's last word is fresh, in holdover for a week from then, else unknown."""
        if self._trusted:
            return ClockState.SYNCED
        if self._vouched is None or (age := now.uptime - self._vouched.made) >= HOLDOVER_MS:
            return ClockState.UNKNOWN
        return ClockState.SYNCED if age < FRESH_MS else ClockState.HOLDOVER

    def moment(self, now: Reading) -> Moment:
        """The moment, as far as it can be known."""
        if self._trusted:
            return exact(now.wall)
        state, floor = self.state(now), self.floor(now)
        if self._vouched is None or state is ClockState.UNKNOWN:
            if now.uptime < self._grace_ms and self.doubt is None:
                return Moment(best := self.best(now), best, state)
            return Moment(floor, None, state)
        right, slack = self._vouched.offset + now.uptime, self._slack(now)
        low, high = sorted((now.wall, right)) if abs(now.wall - right) > STEP_MS else (now.wall, now.wall)
        earliest = low if state is ClockState.SYNCED else max(low - slack, floor)
        return Moment(earliest, high + slack, state)

    def best(self, now: Reading) -> int:
        """The moment to write down (epoch ms): the wall clock, unless it cannot be right."""
        if self.state(now) is not ClockState.UNKNOWN:
            return now.wall
        floor = self.floor(now)
        return now.wall if floor <= now.wall <= floor + LIKELY_MS else floor

    def floor(self, now: Reading) -> int:
        """It is later than this (epoch ms), whatever the clocks say."""
        return self._floor.now(now.uptime)

    def marked(self, now: Reading) -> tuple[str, int] | None:
        """The time service that is believed, and how many milliseconds ago it gave its last word."""
        if (vouched := self._vouched) is None:
            return None
        return vouched.service, max(0, now.uptime - vouched.made)

    def _aged(self, age: int, now: Reading) -> bool:
        """Whether a mark of before our time is as old as it looks: nobody has set the clock between the two.

        A floor kept since the same start of the board can tell: the wall clock stands as it did then. One of an earlier
        start is further back than this start. Where nothing can tell, a fresh mark is believed, and no old one.
        """
        if self._kept is None:
            return age < FRESH_MS
        past_ms = now.wall - self._kept.at - UNDER_MS
        if abs(past_ms - (now.uptime - self._kept.uptime)) <= STEP_MS:
            return True
        return past_ms >= now.uptime and age < FRESH_MS

    def _slack(self, now: Reading) -> int:
        """How far the board's own oscillator may have strayed since the time service's last word, in milliseconds."""
        if self._vouched is None or self.state(now) is ClockState.SYNCED:
            return 0
        return math.ceil((now.uptime - self._vouched.made) * DRIFT)
