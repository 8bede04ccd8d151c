"""An intercom panel on the line: it asks by number or by one-time code, and opens nothing itself."""

from protocol.vocabulary import Action, Channel, Direction, Kind
from simulator.hardware import PATIENCE_S, Answer, Hardware


class Panel(Hardware):
    """An intercom. What it asks for moves the Fluss+ that the gateway has for it."""

    kind = Kind.INTERCOM

    @property
    def stands(self) -> str:
        """A panel stands where it stands."""
        return ""

    async def key_in(self, code: str, direction: Direction | None = None, *, patience_s: float = PATIENCE_S) -> Answer:
        """Somebody types a one-time code at the keypad; `direction` None where it has one keypad for both ways."""
        return await self.ask(code=code, direction=direction, patience_s=patience_s)

    def _usual_channel(self, code: str | None) -> Channel:
        return Channel.INTERCOM if code is None else Channel.KEYPAD

    def _act(self, action: Action, request_id: str) -> str | None:  # noqa: ARG002 -- whatever it is told
        return "an intercom opens nothing itself"
