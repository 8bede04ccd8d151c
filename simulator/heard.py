"""Which reports of a gateway a cloud has, over many sessions: what it has missed in between shows as gaps."""

from collections.abc import Iterable
from enum import Enum, auto

Span = tuple[int, int]
"""First and last of numbers without a gap."""


class Life(Enum):
    """Whether it is still the same store that speaks."""

    SAME = auto()
    FIRST = auto()
    """It was never heard before."""
    NEW = auto()
    """The store was made anew or put back: what was not heard of the old one is lost."""


class Heard:
    """All reports of an epoch through one number, and some beyond it."""

    def __init__(
        self, epoch: str | None = None, session: str | None = None, through: int = 0, beyond: Iterable[Span] = ()
    ) -> None:
        self.epoch = epoch
        self.session = session
        self.through = through
        self._beyond = {number for first, last in beyond for number in range(first, last + 1)}

    @property
    def newest(self) -> int:
        """The newest report that was heard."""
        return max(self._beyond, default=self.through)

    def begin(self, epoch: str, session: str, newest: int) -> Life:
        """The gateway says what its newest report is. Of a new life, what came before is taken for heard.

        Numbers that go back from one session to the next are those of an old store put back, whatever epoch it gives.
        """
        same = epoch == self.epoch and (session == self.session or newest >= self.newest)
        life = Life.SAME if same else Life.FIRST if self.epoch is None else Life.NEW
        self.epoch, self.session = epoch, session
        if same:
            return life
        self.through = newest
        self._beyond.clear()
        return life

    def note(self, epoch: str, number: int) -> bool:
        """A report has come; whether it was missing."""
        if epoch != self.epoch or number <= self.through or number in self._beyond:
            return False
        self._beyond.add(number)
        self._advance()
        return True

    def gaps(self, oldest: int, newest: int) -> list[Span]:
        """What was not heard of the reports from `oldest` to `newest`: older ones will not come any more."""
        found: list[Span] = []
        expected = max(self.through + 1, oldest)
        for first, last in (*self.spans(), (newest + 1, newest + 1)):
            if expected <= (end := min(first - 1, newest)):
                found.append((expected, end))
            expected = max(expected, last + 1)
        return found

    def give_up(self, before: int) -> int:
        """What was not heard and is older than report `before` is lost; how much."""
        if before <= self.through + 1:
            return 0
        kept = {number for number in self._beyond if number >= before}
        lost = before - 1 - self.through - (len(self._beyond) - len(kept))
        self.through, self._beyond = before - 1, kept
        self._advance()
        return lost

    def _advance(self) -> None:
        while self.through + 1 in self._beyond:
            self.through += 1
            self._beyond.remove(self.through)

    def spans(self) -> list[Span]:
        """What was heard beyond `through`."""
        return _spans(sorted(self._beyond))


def _spans(numbers: Iterable[int]) -> list[Span]:
    found: list[Span] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found
