"""Where a gate stands as it is told on: settled, and said at once when it changes."""

import asyncio
from collections.abc import Callable

from agent.drivers.settling import Settling
from protocol.vocabulary import Position


class Stance:
    """The settled position of one gate; ``changed`` is called in the event loop whenever it becomes another."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._settling = Settling()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def position(self) -> Position | None:
        """Where the gate stands; None where nobody knows."""
        return self._settling.settled

    def read(self, position: Position) -> None:
        """Take in a reading of the sensor."""
        self._become(self._settling.read(position, asyncio.get_running_loop().time()))

    def forget(self) -> None:
        """Nobody knows any more where the gate stands."""
        self._become(Settling())

    def _become(self, settling: Settling) -> None:
        moved = settling.settled is not self._settling.settled
        self._settling = settling
        self._wait_until(settling.due)
        if moved:
            self._changed()

    def _wait_until(self, due: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # A loop may fire a hair early: what counts is the time it was told, not what its clock says by then.
        self._timer = asyncio.get_running_loop().call_at(due, self._look, due) if due is not None else None

    def _look(self, due: float) -> None:
        self._become(self._settling.look(due))
