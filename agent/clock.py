"""The board's clock, and how far it can be trusted. Boards without a battery wake in the past."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from agent import chrony
from agent.config import Config
from agent.floor import RELEASED, Floor, FloorFault, Ratchet
from agent.timekeeping import Doubt, Mark, Reading, Timekeeping
from protocol.moment import Moment
from protocol.vocabulary import ClockState

log = structlog.get_logger()

SYNCHRONISED: Final = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd touches it whenever it has corrected the clock; when it stops, or the board starts, it is gone."""

LOOK_EVERY_S: Final = 1.0
ASK_EVERY_MS: Final = 60_000
ASK_AGAIN_MS: Final = 10_000
"""Chronyd is asked sooner while the clock is not synced: somebody may be standing at the gate."""

KEEP_EVERY_S: Final = 30.0
_TOGETHER_MS: Final = 100


def wall_ms() -> int:
    """What the board's clock says, in epoch milliseconds."""
    return time.time_ns() // 1_000_000


def uptime_ms() -> int:
    """Milliseconds since the board started, those it slept included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """The clock at a glance, for a person."""

    state: ClockState
    now: int
    """Epoch milliseconds, as far as is known."""
    service: str | None
    """The time service that is believed, and how many seconds ago it gave its word last."""
    marked_s: int | None
    floor: int | None
    """It is certainly later than this (epoch ms); None where the wall clock is right by configuration."""
    concern: str | None
    """What keeps the time service from being believed, with its cure."""


class Clock:
    """Time for everyone, passed in wherever a rule needs it.

    `trusted`: the wall clock is right, whatever it says. `grace_s`: how long after an unsynchronised start of the board
    its best guess counts as sure. `ratchet`: where the floor is kept; only `run` writes there, so that a command may
    look at the clock beside the daemon.
    """

    def __init__(
        self,
        *,
        trusted: bool = False,
        grace_s: int = 0,
        ratchet: Ratchet | None = None,
        wall: Callable[[], int] = wall_ms,
        uptime: Callable[[], int] = uptime_ms,
        mark: Path = SYNCHRONISED,
        ask: Callable[[], Awaitable[chrony.Tracking | None]] = chrony.ask,
    ) -> None:
        self._trusted = trusted
        self._ratchet = ratchet
        self._wall = wall
        self._uptime = uptime
        self._mark = mark
        self._ask = ask
        self._ask_at = 0
        self._asked: Mark | None = None
        self._fault: str | None = None
        self._told: tuple[ClockState, Doubt | None] = (ClockState.UNKNOWN, None)
        reading, kept = self._read(), self._kept()
        self._served = kept is not None
        floor = Floor(RELEASED, reading.uptime)
        if kept:
            floor = max(floor, kept.carried(reading.uptime), key=lambda each: each.now(reading.uptime))
        self._keeping = Timekeeping(reading, floor, kept=kept, grace_ms=grace_s * 1000, trusted=trusted)

    def moment(self) -> Moment:
        """Now, as far as it can be known; some microseconds."""
        return self._keeping.moment(self._glance())

    def now(self) -> int:
        """The moment to write down, in epoch milliseconds: never one that cannot be right."""
        return self._keeping.best(self._glance())

    def certain(self) -> int | None:
        """A moment (epoch ms) certainly past, for what cannot be undone; None while no time service is believed.

        A service's first word is not enough to move it on: it takes a second one.
        """
        now = self._glance()
        if self._trusted:
            return now.wall
        return None if self._keeping.state(now) is ClockState.UNKNOWN else self._keeping.floor(now)

    def past(self) -> int:
        """A moment (epoch ms) that is past, for what ends by itself: no guess on a board that has a time service.

        One that never had any goes by its best guess, for nobody will ever tell it better.
        """
        now = self._glance()
        served = self._served or self._keeping.learnt is not None
        return self._keeping.moment(now).earliest if served else self._keeping.best(now)

    def state(self) -> ClockState:
        """Synced while the time service's word is fresh, holdover for a week after, else unknown."""
        return self._keeping.state(self._glance())

    def facts(self) -> ClockFacts:
        """How the clock stands, for `fluss-agent status` and `explain`. A command calls `look` once before."""
        now = self._glance()
        service, ago_ms = self._keeping.marked(now) or (None, None)
        return ClockFacts(
            state=self._keeping.state(now),
            now=self._keeping.best(now),
            service=service,
            marked_s=None if ago_ms is None else ago_ms // 1000,
            floor=None if self._trusted else self._keeping.floor(now),
            concern=self._concern(now) or self._fault,
        )

    async def look(self) -> None:
        """Hear what the time service says: at once, but for chronyd, which gets a second to answer."""
        if not self._trusted:
            mark = self._touched() or await self._chrony()
            now = self._glance()
            if mark:
                self._keeping.heed(mark, now)
            self._keeping.learn(now)

    async def run(self) -> None:
        """Follow the time service, log what becomes of the clock, and keep the floor, until cancelled."""
        if self._fault:
            log.warning("clock.floor_lost", error=self._fault)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow(), name="clock")
                tasks.create_task(self._keep(), name="floor")
        finally:
            await self._settle()

    async def _follow(self) -> None:
        while True:
            await self.look()
            self._tell()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(KEEP_EVERY_S)
            if self._ratchet and self._keeping.learnt:
                await self._ratchet.keep(self._keeping.learnt)

    async def _settle(self) -> None:
        """Keep the floor as it stands; not one that the time service contradicts: somebody may just have removed it."""
        if self._ratchet and self._keeping.learnt and self._keeping.doubt is not Doubt.BEHIND:
            await self._ratchet.settle(self._keeping.learnt)

    def _kept(self) -> Floor | None:
        try:
            return self._ratchet.read() if self._ratchet else None
        except FloorFault as fault:
            self._fault = str(fault)
            return None

    def _read(self) -> Reading:
        """Both clocks; again where something held us up in between."""
        while True:
            uptime, wall = self._uptime(), self._wall()
            if self._uptime() - uptime < _TOGETHER_MS:
                return Reading(wall, uptime)

    def _glance(self) -> Reading:
        now = self._read()
        if step := self._keeping.glance(now):
            (log.warning if step.suspect else log.info)("clock.stepped", ms=step.ms)
        return now

    def _touched(self) -> Mark | None:
        try:
            return Mark("systemd-timesyncd", self._mark.stat().st_mtime_ns // 1_000_000)
        except OSError:
            return None

    async def _chrony(self) -> Mark | None:
        """Chrony's word: a new one every minute or so, and the last one in between."""
        now = self._glance()
        if now.uptime >= self._ask_at:
            synced = self._keeping.state(now) is ClockState.SYNCED
            self._ask_at = now.uptime + (ASK_EVERY_MS if synced else ASK_AGAIN_MS)
            tracking = await self._ask()
            self._asked = Mark("chrony", tracking.at) if tracking and tracking.synchronised else None
        return self._asked

    def _tell(self) -> None:
        now = self._glance()
        state, doubt = told = self._keeping.state(now), self._keeping.doubt
        if told == self._told or self._trusted:
            return
        if state is ClockState.SYNCED:
            service, _ = self._keeping.marked(now) or (None, None)
            log.info("clock.synchronised", service=service)
        elif state is ClockState.HOLDOVER:
            log.warning("clock.held_over")
        elif doubt in {Doubt.BEHIND, Doubt.AHEAD}:
            log.error("clock.refused", reason=self._concern(now))
        else:
            log.warning("clock.lost", reason=self._concern(now) or "the time service has been silent for a week")
        self._told = told

    def _concern(self, now: Reading) -> str | None:
        wall, floor = _iso(now.wall), _iso(self._keeping.floor(now))
        match self._keeping.doubt:
            case Doubt.STEPPED:
                return "the clock has jumped, and the time service has not confirmed yet that it is right"
            case Doubt.BEHIND:
                where = self._ratchet.path if self._ratchet else "the floor"
                cure = f"if the time service is right, remove {where} and restart fluss-agent"
                return f"the time service says {wall}, but this board has seen {floor} already: {cure}"
            case Doubt.AHEAD:
                return f"the time service says {wall}, which cannot be: check which time servers this board asks"
        return None


def timekeeper(config: Config) -> Clock:
    """The clock of a board as configured: for the daemon, and for a command beside it, which calls `look` once."""
    trusted = config.clock.trust == "system"
    return Clock(trusted=trusted, grace_s=config.clock.grace_s, ratchet=None if trusted else Ratchet(config.state_dir))


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds")
