"""A moment as far as a board can know it: an interval, because its clock may be wrong."""

from dataclasses import dataclass

from protocol.vocabulary import ClockState


@dataclass(frozen=True, slots=True)
class Moment:
    """Now lies somewhere in [earliest, latest]; epoch milliseconds."""

    earliest: int
    """It is certainly not earlier than this."""
    latest: int | None
    """Nor later than this; None where nobody knows."""
    state: ClockState

    @property
    def best(self) -> int:
        """The moment to write down."""
        return self.earliest if self.latest is None else (self.earliest + self.latest) // 2


def exact(at: int) -> Moment:
    """A moment (epoch ms) that is known to the millisecond."""
    return Moment(at, at, ClockState.SYNCED)
