"""The alarm: the store was found to be damaged. The daemon leaves in good order, and heals at its next start.

Until then every decision that the store cannot make is made from its last good copy.
"""

import asyncio
from typing import Final

import structlog

from agent.marker import Marker
from storage.database import Damaged

log = structlog.get_logger()

PATIENCE_S: Final = 600.0
"""How long a start that has just healed goes on all the same: what healing did not cure must not become a loop."""


class Alarm:
    """Rings once, and sets `stop`. `just_healed`: this start has restored the store, or was the answer to an alarm."""

    def __init__(self, marker: Marker, stop: asyncio.Event, *, just_healed: bool) -> None:
        self._marker = marker
        self._stop = stop
        self._patience_s = PATIENCE_S if just_healed else 0.0
        self.rung = False

    def ring(self, damage: Damaged) -> None:
        """The store is not what was written."""
        if self.rung:
            return
        self.rung = True
        log.critical("store.damaged", error=str(damage), leaving_in_s=self._patience_s)
        self._marker.set_damaged(str(damage))
        asyncio.get_running_loop().call_later(self._patience_s, self._stop.set)
