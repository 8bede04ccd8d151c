"""What a gateway keeps, and what it may forget: what the broker has taken and what is old, and nothing else."""

from collections.abc import Callable
from typing import Final, Literal

from storage.database import Reader

Kind = Literal["reports", "events"]

_SENT: Final = "SELECT sent, events_sent FROM store"
_COUNT: Final[dict[Kind, str]] = {"reports": "SELECT count(*) FROM reports", "events": "SELECT count(*) FROM events"}
_NUMBERS: Final[dict[Kind, str]] = {"reports": "SELECT report FROM reports", "events": "SELECT event FROM events"}
_SLACK_MS: Final = 60_000


class Anomaly(AssertionError):
    """What cannot be: the words say which of the world's rules is broken."""


class Keeping:
    """``truth`` is the true moment (epoch ms), ``keep_ms`` how long the configuration keeps reports and events."""

    def __init__(self, truth: Callable[[], int], keep_ms: int) -> None:
        self.kept: dict[Kind, dict[int, int]] = {"reports": {}, "events": {}}
        """When what is kept was stored, by number: the true moment, or one before."""
        self._taken: dict[Kind, set[int]] = {"reports": set(), "events": set()}
        self._sent: dict[Kind, int] = {"reports": 0, "events": 0}
        self._truth = truth
        self._keep_ms = keep_ms

    def stored(self, kind: Kind, number: int, at: int | None = None) -> None:
        """It is in the store from now on; `at` is a moment that counts in place of this one, where it is earlier."""
        now = self._truth()
        self.kept[kind][number] = now if at is None else min(at, now)

    def taken(self, kind: Kind, number: int) -> None:
        """The gateway hears that the broker has it."""
        self._taken[kind].add(number)

    def check(self, reader: Reader) -> None:
        """Nothing counts as sent that the broker has not taken, and nothing is forgotten before its time.

        Raises Anomaly.
        """
        ((sent, events_sent),) = reader.fetch(_SENT)
        through: dict[Kind, int] = {"reports": sent, "events": events_sent}
        for kind, last in through.items():
            if untaken := set(range(self._sent[kind] + 1, last + 1)) - self._taken[kind]:
                raise Anomaly(f"{kind} {sorted(untaken)} count as sent, and the broker never said that it has them")
            self._sent[kind] = max(self._sent[kind], last)
            if reader.fetch(_COUNT[kind]) != [(len(self.kept[kind]),)]:
                self._forget(kind, {row[0] for row in reader.fetch(_NUMBERS[kind])}, last)

    def _forget(self, kind: Kind, left: set[int], sent: int) -> None:
        for number in sorted(self.kept[kind].keys() - left):
            age_ms = self._truth() - self.kept[kind].pop(number)
            if number > sent or age_ms < self._keep_ms - _SLACK_MS:
                raise Anomaly(f"number {number} of the {kind} was forgotten after {age_ms} ms, sent: {number <= sent}")
        if kind == "events" and left and min(left) + len(left) - 1 != max(left):
            raise Anomaly("the access log has a gap")
