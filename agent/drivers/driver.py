"""What every driver does, whatever wire it drives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from protocol.hardware import Asked
from protocol.vocabulary import Action, Position

ACTUATE_S: Final = 5.0
"""How long hardware may take to say that it did what it was told; the write time-out of Fluss's own SDK."""


class Offline(Exception):
    """Nobody is there: nothing was sent, and nothing can have moved."""


@dataclass(frozen=True, slots=True)
class Actuated:
    """What came back: `ok` is None where hardware was told and never answered, so that nobody knows."""

    ok: bool | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Ears:
    """Who hears what hardware says. Called in the event loop; must return at once."""

    asked: Callable[[Asked], None]
    """Somebody asks to be let in."""
    accepted: Callable[[str], None]
    """The person with this number, as the hardware wrote it, has taken up the invitation."""
    changed: Callable[[], None]
    """`connected` or `position` is another."""


class Driver(Protocol):
    """One device's hardware. Trouble with it is logged and told by `connected`, and goes no further."""

    @property
    def connected(self) -> bool:
        """Whether the device can be told something now."""

    @property
    def position(self) -> Position | None:
        """Where the gate stands, once it has stood there for a moment; None without a sensor."""

    async def run(self) -> None:
        """Keep in touch with the device until cancelled; the hardware is safe when this returns."""

    async def actuate(self, request_id: str, action: Action) -> Actuated:
        """Move the gate, and say what came back within ACTUATE_S; raises Offline."""

    def grant(self, request_id: str) -> None:
        """Tell a panel that its request was granted; without effect where nobody is there."""

    def refuse(self, request_id: str, reason: str) -> None:
        """Tell the device that its request was refused, and why; without effect where nobody is there."""
