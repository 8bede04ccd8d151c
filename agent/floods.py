"""What cannot be used is answered one by one while there is little of it, and counted where there is much.

Whoever has the broker can forge without end, and repeat what was genuine once. Every answer is a commit and wears the
memory card; a count is told once a minute.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import structlog

from agent.budget import Budget

log = structlog.get_logger()

WINDOW_MS: Final = 60_000
MOST: Final = 256

AT_ONCE: Final = 1_000
PER_S: Final = 0.2
"""So many are answered at once, and twelve a minute in the long run."""

BEYOND: Final = "more than are answered one by one: these were counted"
"""The words of a refusal that stands for all that were refused with its code."""

T = TypeVar("T")


@dataclass(slots=True)
class _Flood(Generic[T]):
    refusal: T
    since: int
    count: int = 0


class Floods(Generic[T]):
    """Refusals of one kind of message: which are answered, and how many others there were. Moments are epoch ms.

    A payload (by SHA-256) that was refused within the last minute is only counted; so is, by its code, whatever is
    refused once the budget is spent.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, at_once: int = AT_ONCE) -> None:
        self._monotonic = monotonic
        self._budget = Budget(at_once, PER_S)
        self._floods: dict[str, _Flood[T]] = {}

    def counted(self, sha256: str, now: int) -> bool:
        """Count the payload if it was refused lately; not where the clock has gone back since: it may be good now."""
        flood = self._floods.get(sha256)
        if flood is None or flood.since > now:
            return False
        flood.count += 1
        return True

    @property
    def overflowing(self) -> bool:
        """Whether the budget is spent."""
        return self._budget.exhausted(self._monotonic())

    def overflow(self, code: str, refusal: T, now: int) -> None:
        """Count what is not answered; `refusal` stands for all of its code."""
        if code not in self._floods:
            log.warning("refusals.counted", code=code)
        self._floods.setdefault(code, _Flood(refusal, now)).count += 1

    def answered(self, sha256: str, refusal: T, now: int) -> None:
        """The refusal of a payload is stored for its sender; the same again is counted from here on."""
        self._floods.setdefault(sha256, _Flood(refusal, now)).since = now

    def spend(self) -> None:
        """Something is answered that changes nothing."""
        self._budget.spend(self._monotonic())

    def ended(self, now: int | None) -> Iterator[tuple[T, int]]:
        """The floods to tell of: whose minute is over, or the oldest where there are too many; for None all."""
        for name, flood in list(self._floods.items()):
            if now is not None and abs(now - flood.since) < WINDOW_MS and len(self._floods) <= MOST:
                return
            del self._floods[name]
            if flood.count:
                yield flood.refusal, flood.count
