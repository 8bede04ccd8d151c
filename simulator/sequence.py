"""Which reports of a gateway have come: repeats are dropped, gaps are seen.

Reports are numbered without gaps within an epoch, over receipts and statuses alike. An epoch is the life of a
gateway's store: a new one means that the store was made anew, and its names never come again.
"""

from enum import Enum, auto


class Arrival(Enum):
    """What a report's number says of it."""

    NEW = auto()
    REPEATED = auto()
    STALE = auto()
    """From an epoch that has ended."""
    NEW_EPOCH = auto()
    """The first of a store that was made anew: what earlier reports said is no longer true."""


class Sequence:
    """The numbers of one gateway's reports, as far as this session should see them."""

    def __init__(self) -> None:
        self.epoch: str | None = None
        self._past: set[str] = set()
        self._through = 0
        self._beyond: set[int] = set()
        self._before: set[int] = set()
        self._start = 0

    def begin(self, epoch: str, newest: int) -> bool:
        """What was said through report `newest` was said before we listened; whether this ends an earlier epoch."""
        if epoch == self.epoch or epoch in self._past:
            return False
        ended = self.epoch is not None
        if self.epoch is not None:
            self._past.add(self.epoch)
        self.epoch = epoch
        self._start = self._through = newest
        self._beyond.clear()
        self._before.clear()
        return ended

    def take(self, epoch: str, number: int) -> Arrival:
        """Note a report. The first one of all is where this session starts, unless `begin` said so."""
        if epoch in self._past:
            return Arrival.STALE
        ended = self.begin(epoch, number - 1)
        if number <= self._start:
            return self._note(self._before, number)
        if number <= self._through:
            return Arrival.REPEATED
        arrival = self._note(self._beyond, number)
        while self._through + 1 in self._beyond:
            self._through += 1
            self._beyond.remove(self._through)
        return Arrival.NEW_EPOCH if ended else arrival

    def gaps(self) -> list[tuple[int, int]]:
        """First and last number of every gap below the newest report that came."""
        found = []
        expected = self._through + 1
        for number in sorted(self._beyond):
            if number > expected:
                found.append((expected, number - 1))
            expected = number + 1
        return found

    @staticmethod
    def _note(numbers: set[int], number: int) -> Arrival:
        if number in numbers:
            return Arrival.REPEATED
        numbers.add(number)
        return Arrival.NEW
