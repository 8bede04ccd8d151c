"""Wrong one-time codes at one keypad, limited. A pure value; times are seconds of a clock that never steps.

A panel has up to ten live codes of 10,000 by default, so every guess opens with a chance of one in a thousand: somebody
who may type a code every three seconds is in within the hour. With these limits, about a hundred guesses fit into the
first day and fewer into every other, which is one chance in ten for who stands at the gate day and night. Guests who
mistype lose nothing before the fifth time, and a right code starts anew.
"""

from dataclasses import dataclass
from typing import Final

FREE: Final = 5
"""Wrong codes in a row before the keypad blocks; every further one blocks it again, for twice as long."""

BLOCK_S: Final = 60
LONGEST_BLOCK_S: Final = 15 * 60

FORGOTTEN_S: Final = 3 * 3_600
"""Quiet time after which wrong codes are forgotten; so long that waiting for it gains no guesses."""


@dataclass(frozen=True, slots=True)
class Tries:
    """How many wrong codes were typed in a row, and when the last one was."""

    wrong: int = 0
    last_s: float = 0.0

    def after_wrong(self, now_s: float) -> "Tries":
        """One more wrong code."""
        forgotten = now_s - self.last_s >= FORGOTTEN_S
        return Tries(1 if forgotten else self.wrong + 1, now_s)

    def after_right(self) -> "Tries":
        """A right code: no wrong one counts any more."""
        return Tries()

    def blocked_for(self, now_s: float) -> float:
        """Seconds for which no code is looked at, and none counts; 0 where the keypad is free."""
        if self.wrong < FREE:
            return 0.0
        doublings = min(self.wrong - FREE, LONGEST_BLOCK_S // BLOCK_S)  # keeps the power small
        return max(0.0, self.last_s + min(BLOCK_S << doublings, LONGEST_BLOCK_S) - now_s)
