"""A board through power cuts, steps and silence of its time service, beside a world that knows the true time."""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.chrony import Tracking
from agent.clock import Clock
from agent.floor import RELEASED, FloorFault, Ratchet
from agent.timekeeping import FRESH_MS, HOLDOVER_MS
from protocol.vocabulary import ClockState

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
YEAR = 365 * DAY
NEAR_MS = 3 * SECOND
"""What is not promised: two seconds of unnoticed steps, and what a service allows itself."""

elapsed = (
    st.sampled_from([400, 2 * SECOND, 32 * SECOND, 20 * MINUTE, HOUR, 2 * HOUR, 3 * DAY])
    | st.integers(1, 2 * HOUR)
    | st.integers(1, 10 * DAY)
)
steps = st.sampled_from([-400 * DAY, -HOUR, -3 * SECOND, -1_900, 1_900, 3 * SECOND, 30 * MINUTE, 2 * HOUR, 10 * YEAR])
waking = st.sampled_from(["1970", "2090", "as it was", "right"])


class World(RuleBasedStateMachine):
    """True time, an oscillator that strays by up to 90 ppm, an honest time service, and people who set clocks."""

    @initialize(
        start=st.integers(RELEASED, RELEASED + 5 * YEAR),
        service=st.sampled_from(["timesyncd", "chrony"]),
        wakes=waking,
        up=st.sampled_from([5 * SECOND, 3 * HOUR, 3 * DAY]),
    )
    def begin(self, start: int, service: str, wakes: str, up: int) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="clock-"))
        self.loop = asyncio.new_event_loop()
        self.true = start
        self.wall = start
        self.service = service
        self.kept_at = 0
        self.proven = 0
        self.proven_kept = 0
        self.power_up(wakes, ppm=90, up=up)
        self.service_speaks_twice_and_the_clock_is_exact()

    def power_up(self, wakes: str, ppm: int, up: int = 5 * SECOND) -> None:
        self.uptime = float(up)
        self.rate = 1 + ppm / 1e6
        self.wall = {"1970": 0, "2090": 120 * YEAR, "as it was": self.wall, "right": self.true}[wakes]
        self.mark = self.home / "synchronized"
        self.mark.unlink(missing_ok=True)
        self.tracking: Tracking | None = None
        self.words: list[float] = []
        self.set_by_hand = False
        self.kept_up_ms = 0
        self.unseen_back = self.unseen_forward = 0
        self.start_program()

    def start_program(self) -> None:
        # A program that starts cannot know what happened to the clock before, but by a floor of the same start; and
        # each may overlook a small step.
        if self.set_by_hand:
            self.unseen_back += NEAR_MS if self.kept_up_ms else FRESH_MS
            self.unseen_forward += NEAR_MS if self.kept_up_ms >= FRESH_MS else FRESH_MS
        self.ratchet = Ratchet(self.home)
        self.proven = self.proven_kept
        self.floor = 0
        self.clock = Clock(
            ratchet=self.ratchet,
            wall=lambda: self.wall,
            uptime=lambda: int(self.uptime),
            mark=self.mark,
            ask=self.ask,
        )
        self.look()

    async def ask(self) -> Tracking | None:
        return self.tracking

    def look(self) -> None:
        self.clock._ask_at = 0
        self.loop.run_until_complete(self.clock.look())

    @rule(ms=elapsed)
    def time_passes(self, ms: int) -> None:
        self.true += ms
        before = int(self.uptime)
        self.uptime += ms * self.rate
        self.wall += int(self.uptime) - before
        self.look()

    @rule()
    def time_service_speaks(self) -> None:
        """It steps the clock where that is wrong by as much as it does not slew, and leaves its mark."""
        if abs(self.true - self.wall) > 400:
            self.wall = self.true
        self.words.append(self.uptime)
        self.set_by_hand = False
        self.unseen_back = self.unseen_forward = 0
        if self.service == "timesyncd":
            self.mark.touch()
            os.utime(self.mark, ns=(0, self.wall * 1_000_000))
        else:
            self.tracking = Tracking(0x01020304, 2, 0, self.wall, 0.0)
        self.time_passes(SECOND)

    @rule()
    def time_service_has_gone_for_good(self) -> None:
        self.mark.unlink(missing_ok=True)
        self.tracking = None

    @rule(ms=steps)
    def somebody_sets_the_clock(self, ms: int) -> None:
        self.wall += ms
        self.set_by_hand = True

    @rule()
    def floor_is_kept(self) -> None:
        if self.clock._keeping.learnt:
            self.loop.run_until_complete(self.ratchet.keep(self.clock._keeping.learnt))

    @rule()
    def program_is_killed_and_starts_again(self) -> None:
        self.start_program()

    @rule()
    def program_ends_and_starts_again(self) -> None:
        self.loop.run_until_complete(self.clock._settle())
        self.remember_what_was_kept()
        self.start_program()

    @rule(off=st.integers(MINUTE, 30 * DAY), wakes=waking, ppm=st.integers(-90, 90))
    def power_fails(self, off: int, wakes: str, ppm: int) -> None:
        self.true += off
        self.power_up(wakes, ppm)

    @rule(torn=st.booleans())
    def card_loses_the_floor(self, torn: bool) -> None:
        file = self.home / "clock"
        if torn and file.exists():
            file.write_bytes(file.read_bytes()[:-1])
        else:
            file.unlink(missing_ok=True)
        self.kept_at = self.proven_kept = self.kept_up_ms = 0

    @rule()
    def service_speaks_twice_and_the_clock_is_exact(self) -> None:
        """Whatever has happened, two honest words are enough: nobody stays locked out."""
        for _ in range(2):
            self.time_service_speaks()
            self.time_passes(32 * SECOND)
        moment = self.clock.moment()
        assert moment.state is ClockState.SYNCED
        assert moment.latest == moment.earliest
        self.floor_is_known_to_be_proven()

    def floor_is_known_to_be_proven(self) -> None:
        """From here on, whatever ended before now has certainly ended."""
        self.proven = self.true

    @invariant()
    def moment_holds_the_true_time(self) -> None:
        moment = self.clock.moment()
        assert moment.earliest <= self.true + NEAR_MS + self.unseen_forward
        if moment.latest is None:
            assert moment.state is ClockState.UNKNOWN
        else:
            assert moment.earliest <= moment.latest
            assert moment.latest >= self.true - NEAR_MS - self.unseen_back

    @invariant()
    def nobody_gets_in_after_a_provable_end(self) -> None:
        """A grant needs `latest` before the end; what was proven to be past stays past."""
        moment = self.clock.moment()
        assert moment.latest is None or moment.latest >= self.proven - NEAR_MS
        assert self.clock.now() >= self.proven_kept - NEAR_MS

    @invariant()
    def floor_only_rises_and_is_never_ahead(self) -> None:
        floor = self.clock.facts().floor
        assert floor is not None
        assert max(self.floor, RELEASED) <= floor <= self.true
        self.floor = floor

    @invariant()
    def kept_floor_only_rises(self) -> None:
        self.remember_what_was_kept()

    @invariant()
    def state_is_what_the_last_word_allows(self) -> None:
        """A word looks younger than it is where the clock was set back, and no run of the program could see it."""
        state = self.clock.state()
        since = self.uptime - self.words[-1] if self.words else None
        if since is None or since > HOLDOVER_MS + SECOND + self.unseen_back:
            assert state is ClockState.UNKNOWN
        elif since > FRESH_MS + SECOND + self.unseen_back:
            assert state is not ClockState.SYNCED

    @invariant()
    def timestamps_are_possible(self) -> None:
        floor = self.clock.facts().floor
        assert floor is not None
        assert (
            RELEASED - NEAR_MS <= self.clock.now() <= floor + 5 * YEAR + NEAR_MS
            or self.clock.state() is not ClockState.UNKNOWN
        )

    def remember_what_was_kept(self) -> None:
        try:
            kept = Ratchet(self.home).read()
        except FloorFault:
            return
        at = kept.at if kept else 0
        assert at >= self.kept_at
        if at > self.kept_at:
            self.kept_up_ms = int(self.uptime)
        self.kept_at = at
        self.proven_kept = max(self.proven_kept, at)

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
            shutil.rmtree(self.home)


TestClock = World.TestCase
TestClock.settings = settings(stateful_step_count=30, max_examples=300)
