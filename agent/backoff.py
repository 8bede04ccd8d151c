"""How long to stay away from a broker: exponential back-off with full jitter, and manners towards a double of ours.

Pure: outcomes, times and randomness come in, the next wait comes out.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto
from random import Random
from typing import Final


class Ending(Enum):
    """What the back-off has to know about how an attempt or a connection ended."""

    FAILED = auto()
    """Refused, unreachable, silent: what befalls one gateway as easily as all of them."""
    DISMISSED = auto()
    """Ended by a broker that said so, or is gone: it did that to everybody, and may be about to restart."""
    HUNG_UP = auto()
    """Closed without a word by a broker that is still there: also the way to evict a client whose identity came again,
    the only one in MQTT 3.1.1, and in 5 that of Mosquitto 2.0."""
    TAKEN_OVER = auto()
    """The broker said that another client connected with our identity (MQTT 5, reason code 0x8E)."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The times a back-off keeps, in seconds."""

    base_s: float = 1.0
    """The longest wait after a first failure; it doubles with every further one."""
    cap_s: float = 120.0
    stable_s: float = 60.0
    """Connected this long, the next failure counts as the first again. The CONNACK proves nothing: a broker that
    closes after accepting would be asked again without pause."""
    boot_s: float = 120.0
    """A board that has been up for less starts as a whole suburb does when its power returns."""
    duplicate_s: float = 300.0
    """The shortest wait while another client has our identity; the longest is twice that."""
    crowd: bool = True
    """There are other gateways on this broker, perhaps thousands: none are, on a broker of the board's own."""


_BAD_LINE: Final = 4
_HANG_UPS: Final = 4
_HANG_UPS_WITHIN_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """What has happened so far, as far as it decides the next wait."""

    pace: Pace = Pace()
    failures: int = 0
    crowded: bool = False
    """The broker itself ended a connection that was stable, so that perhaps everybody wants to come back now."""
    hang_ups: tuple[float, ...] = ()
    """When connections were closed without a word, lately, with no failure to connect in between; the end of a stable
    one, which is followed by a longer wait, is put off by as much."""
    duplicate: bool = False
    """Another client has our identity, as far as is known."""
    yielding: bool = False

    def before_first(self, board_uptime_s: float, rng: Random) -> float:
        """Seconds to wait before the first attempt of all: none, unless the board itself has just booted."""
        booted = board_uptime_s < self.pace.boot_s
        return rng.uniform(0, self.pace.cap_s) if booted and self.pace.crowd else 0.0

    def after(self, ending: Ending, *, lasted_s: float, now: float) -> "Backoff":
        """The back-off after an attempt that failed (``lasted_s`` 0) or a connection that ended.

        ``now`` is any monotonic clock, in seconds. The first take-over may be a mistake put right at once and costs no
        more than any failure; a second one, or four hang-ups within a minute, are a double to yield to. A line that
        breaks and carries a little each time is waited for some seconds, however often.
        """
        suspected = self.suspects(lasted_s)
        stable = lasted_s >= self.pace.stable_s
        carried = ending is Ending.FAILED and lasted_s >= self.pace.base_s
        crowded = stable and self.pace.crowd and ending in {Ending.DISMISSED, Ending.HUNG_UP}
        recent = tuple(at for at in self.hang_ups if now - at < _HANG_UPS_WITHIN_S) if lasted_s else ()
        if ending is Ending.HUNG_UP and lasted_s:
            recent = (*recent, now + self.pace.cap_s / 2 if crowded else now)
        evicted_silently = ending is Ending.HUNG_UP and (suspected or len(recent) >= _HANG_UPS)
        return replace(
            self,
            failures=1 if stable else self.failures + (-1 if carried and self.failures >= _BAD_LINE else 1),
            crowded=crowded or (self.crowded and (not lasted_s or ending is Ending.DISMISSED)),
            hang_ups=recent,
            duplicate=suspected or evicted_silently or ending is Ending.TAKEN_OVER,
            yielding=evicted_silently or (suspected and ending is Ending.TAKEN_OVER),
        )

    def suspects(self, connected_s: float) -> bool:
        """Whether a double is still likely after so long a connection: it would have come back by now."""
        return self.duplicate and connected_s <= 2 * self.pace.duplicate_s

    def delay(self, rng: Random) -> float:
        """Seconds to wait before the next attempt, drawn evenly from a range.

        Full jitter as in M. Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015). Its ladder begins
        low, for the one gateway with a line of its own in trouble; a crowd that lost its broker at the same instant is
        spread over a minute from the start, and over the minute after the next while the broker stays away.
        """
        if self.yielding:
            return rng.uniform(self.pace.duplicate_s, 2 * self.pace.duplicate_s)
        if self.crowded:
            half_s = self.pace.cap_s / 2
            return rng.uniform(0, half_s) if self.failures == 1 else rng.uniform(half_s, 2 * half_s)
        # A month without a broker must not end in an overflow, so the exponent is bounded too.
        return rng.uniform(0, min(self.pace.cap_s, self.pace.base_s * 2.0 ** min(self.failures - 1, 32)))
