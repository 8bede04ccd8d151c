"""A flood of equal refusals is counted instead of receipted one by one."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from protocol.codec import Refused

WINDOW_MS: Final = 60_000
MOST: Final = 256


@dataclass(slots=True)
class _Flood:
    refused: Refused
    since: int
    repeated: int = 0


class Repeats:
    """Which payloads (by SHA-256) were refused within the last minute, and how often they came again."""

    def __init__(self) -> None:
        self._floods: dict[str, _Flood] = {}

    def known(self, sha256: str, now: int) -> bool:
        """Whether this was refused lately. Not where the clock has gone back since: it may not be expired any more."""
        flood = self._floods.get(sha256)
        return flood is not None and flood.since <= now

    def refused(self, sha256: str, refused: Refused, now: int) -> None:
        """A payload was refused and receipted; the same again is counted from here on."""
        flood = self._floods.setdefault(sha256, _Flood(refused, now))
        flood.since = now

    def count(self, sha256: str) -> None:
        """The same payload came again."""
        self._floods[sha256].repeated += 1

    def ended(self, now: int | None) -> Iterator[Refused]:
        """The floods to tell of: whose minute is over, or the oldest where there are too many; for None all."""
        for sha256, flood in list(self._floods.items()):
            if now is not None and abs(now - flood.since) < WINDOW_MS and len(self._floods) <= MOST:
                return
            del self._floods[sha256]
            if flood.repeated:
                yield replace(flood.refused, repeated=flood.repeated)
