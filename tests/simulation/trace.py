"""What happened, line by line: kept where somebody wants to read it, and hashed in any case."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Final

import structlog
from structlog.typing import EventDict

from tests.simulation.timeline import Timeline

_SPARE: Final = 400
"""How many of the latest lines are kept of a history that nobody asked to read."""


class Trace:
    """The history of one world. `whole` keeps all of it."""

    def __init__(self, timeline: Timeline, *, whole: bool = False) -> None:
        self.lines: list[str] = []
        self.count = 0
        self._timeline = timeline
        self._whole = whole
        self._hash = blake2b(digest_size=12)

    def say(self, who: str, what: str, /, **facts: object) -> None:
        """One thing that happened."""
        told = " ".join([f"{name}={value}" for name, value in facts.items()])
        line = f"{self._timeline.now:12.3f}  {who:<8} {what} {told}"
        self.count += 1
        self._hash.update(line.encode())
        self.lines.append(line)
        if not self._whole and len(self.lines) > 2 * _SPARE:
            del self.lines[:_SPARE]

    @property
    def digest(self) -> str:
        """The same for the same history, and for no other."""
        return self._hash.hexdigest()


@contextmanager
def listening(hear: Callable[[EventDict], None]) -> Iterator[None]:
    """Have the daemon's log heard, and not written anywhere else."""

    def note(_logger: object, _method: str, event: EventDict) -> EventDict:
        hear(event)
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[note], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)
