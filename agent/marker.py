"""The mark that stands while the store is open: found at a start, it says that nobody closed it."""

from pathlib import Path
from typing import Final

import structlog

from storage import durable

log = structlog.get_logger()

_OPEN: Final = "open"
_DAMAGED: Final = "damaged"


class Marker:
    """A small file that is there from the opening of the store to its end."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def found(self) -> bool:
        """Whether the store was not closed when it was used last."""
        return self._path.exists()

    @property
    def tells_of_damage(self) -> bool:
        """Whether it was left because the store was found to be damaged."""
        try:
            return self._path.read_text().startswith(_DAMAGED)
        except (OSError, ValueError):
            return False

    def set(self) -> None:
        """The store is open, and has its log: both names are on the card, if it lets us."""
        try:
            durable.put(self._path, _OPEN.encode())
        except OSError as error:  # a full card: the store can be read all the same
            log.warning("marker.failed", error=str(error))

    def set_damaged(self, reason: str) -> None:
        """The store is to be looked through closely at the next start."""
        try:
            durable.put(self._path, f"{_DAMAGED}: {reason}\n".encode())
        except OSError as error:  # the mark that is there says enough
            log.warning("marker.failed", error=str(error))

    def clear(self) -> None:
        """All is stored; what follows is the closing itself."""
        try:
            durable.take_away(self._path)
        except OSError as error:  # the next start looks more closely than it need
            log.warning("marker.failed", error=str(error))
