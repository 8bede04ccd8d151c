"""An intercom panel on the line: it asks by number or by one-time code, and opens nothing itself."""

from protocol.vocabulary import Action, Channel, Kind
from simulator.hardware import Hardware


class Panel(Hardware):
    """An intercom. What it asks for moves the Fluss+ that the gateway has for it."""

    kind = Kind.INTERCOM

    @property
    def stands(self) -> str:
        """A panel stands where it stands."""
        return ""

    def _usual_channel(self, code: str | None) -> Channel:
        return Channel.INTERCOM if code is None else Channel.KEYPAD

    def _act(self, action: Action, request_id: str) -> str | None:  # noqa: ARG002 -- whatever it is told
        return "an intercom opens nothing itself"
