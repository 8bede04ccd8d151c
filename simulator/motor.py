"""A gate's motor and its leaf: what it is told, where the leaf is, and what a sensor makes of that.

Pure: times are milliseconds of any clock that never goes back.
"""

from enum import StrEnum
from random import Random
from typing import Final

from protocol.vocabulary import Action, Denial, Position

TRAVEL_MS: Final = 12_000
"""From closed to open, where nobody says otherwise."""

_FLICKERS: Final = 0.3
"""How often a flickering sensor shows the other position while the gate runs."""


class Motion(StrEnum):
    """What the leaf does."""

    CLOSED = "closed"
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"
    STOPPED = "stopped"
    """Somewhere between closed and open."""


class Motor:
    """A motor that has one button, as step-by-step controllers do: it starts, stops, and starts the other way.

    The leaf takes `travel_ms` from closed to open. With `auto_close_ms` it closes by itself after it has stood for so
    long anywhere but closed. At first it is closed.
    """

    def __init__(self, *, travel_ms: int = TRAVEL_MS, auto_close_ms: int | None = None) -> None:
        self._travel_ms = travel_ms
        self._auto_close_ms = auto_close_ms
        self._opened_ms = 0
        self._since_ms = 0
        self._way = -1
        self._runs = False

    def told(self, action: Action, now_ms: int) -> Denial | None:
        """Do this; None, or why it is not done.

        A trigger stops a gate that moves, and sends one that stands the other way than it came. `open` is refused where
        the gate is anything but closed, because that is all a sensor tells; `close` where it is closed.
        """
        match action, self.position(now_ms):
            case Action.OPEN, Position.OPEN:
                return Denial.ALREADY_OPEN
            case Action.CLOSE, Position.CLOSED:
                return Denial.ALREADY_CLOSED
            case Action.TRIGGER, _ if self._runs:
                self._stand(now_ms)
            case Action.OPEN, _:
                self._run(1, now_ms)
            case Action.CLOSE, _:
                self._run(-1, now_ms)
            case _:
                self._run(-self._way, now_ms)
        return None

    def motion(self, now_ms: int) -> Motion:
        """What the leaf does now."""
        self._catch_up(now_ms)
        if self._runs:
            return Motion.OPENING if self._way > 0 else Motion.CLOSING
        if self._opened_ms == 0:
            return Motion.CLOSED
        return Motion.OPEN if self._opened_ms == self._travel_ms else Motion.STOPPED

    def opened_ms(self, now_ms: int) -> int:
        """How far it is open, as the time it takes to get there from closed."""
        self._catch_up(now_ms)
        return self._opened_ms + self._runs * self._way * (now_ms - self._since_ms)

    def position(self, now_ms: int) -> Position:
        """Where it stands as a sensor at its closed end has it: open as soon as it leaves."""
        return Position.CLOSED if self.motion(now_ms) is Motion.CLOSED else Position.OPEN

    def sensed(self, now_ms: int, flicker: Random | None = None) -> Position:
        """What the sensor says; with `flicker` it is wrong now and then while the gate runs, as some motors make it."""
        position = self.position(now_ms)
        if flicker is None or not self._runs or flicker.random() >= _FLICKERS:
            return position
        return Position.CLOSED if position is Position.OPEN else Position.OPEN

    @property
    def due_ms(self) -> int | None:
        """When it will do something by itself: arrive, or close; None where it just stands."""
        if self._runs:
            return self._since_ms + (self._travel_ms - self._opened_ms if self._way > 0 else self._opened_ms)
        if self._auto_close_ms is None or self._opened_ms == 0:
            return None
        return self._since_ms + self._auto_close_ms

    def _catch_up(self, now_ms: int) -> None:
        while (due_ms := self.due_ms) is not None and due_ms <= now_ms:
            if self._runs:
                self._stand(due_ms)
            else:
                self._run(-1, due_ms)

    def _run(self, way: int, at_ms: int) -> None:
        if self._runs:
            self._stand(at_ms)
        self._way, self._runs, self._since_ms = way, True, at_ms

    def _stand(self, at_ms: int) -> None:
        self._opened_ms += self._way * (at_ms - self._since_ms)
        self._runs, self._since_ms = False, at_ms
        if self._opened_ms in {0, self._travel_ms}:  # at an end there is one way to go, however it got there
            self._way = 1 if self._opened_ms else -1
