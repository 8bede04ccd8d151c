"""Where a gate stands, when its sensor flickers while the motor runs.

Pure: readings and the times they came in, the settled position and the time to look again out. Times are seconds of
any monotonic clock.
"""

from dataclasses import dataclass, replace
from typing import Final

from protocol.vocabulary import Position

STEADY_S: Final = 1.0
"""How long a sensor must say the same before it counts. Fluss: some motors flicker for as long as the gate runs."""


@dataclass(frozen=True, slots=True)
class Settling:
    """What a sensor has said so far, as far as it decides where the gate stands."""

    settled: Position | None = None
    """The last position that was steady; the first reading of all counts at once."""
    reading: Position | None = None
    """What the sensor says now."""
    since: float = 0.0
    """Since when it has said so without a break."""

    def read(self, position: Position, now: float) -> "Settling":
        """After a reading."""
        if self.settled is None:
            return Settling(position, position, now)
        before = self.look(now)
        return before if position is before.reading else replace(before, reading=position, since=now)

    def look(self, now: float) -> "Settling":
        """As it is at a later moment without a new reading."""
        return replace(self, settled=self.reading) if self.due is not None and now >= self.due else self

    @property
    def due(self) -> float | None:
        """When the reading will have been steady for long enough; None where it is settled already."""
        return None if self.reading is self.settled else self.since + STEADY_S
