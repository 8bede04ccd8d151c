"""One-time codes of an intercom: four digits that open once on the way in and once on the way out."""

from collections.abc import Iterable
from dataclasses import dataclass

from protocol.moment import Moment
from protocol.vocabulary import Denial, Direction


@dataclass(frozen=True, slots=True)
class OneTimeCode:
    """A code as it was given out: settings changed since do not change it. Times are epoch milliseconds."""

    number: int
    """Its own in the store; digits are given out again one day."""
    device_id: str
    digits: str
    name: str
    mobile: int
    """E.164 digits of the person it was given to."""
    made_at: int
    expires_at: int
    entry: str
    """The Fluss+ that opens on the way in."""
    exit: str
    entered_at: int | None = None
    left_at: int | None = None

    @property
    def spent(self) -> bool:
        """Whether both uses are behind it."""
        return self.entered_at is not None and self.left_at is not None


@dataclass(frozen=True, slots=True)
class Use:
    """One of the two uses of a code, and the Fluss+ it opens."""

    code: OneTimeCode
    direction: Direction
    opens: str


def judge(codes: Iterable[OneTimeCode], digits: str, direction: Direction | None, moment: Moment) -> Use | Denial:
    """What these digits open now; `direction` None where a panel has one keypad: first the way in, then out."""
    raise NotImplementedError
