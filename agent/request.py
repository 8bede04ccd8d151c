"""What is asked at a gate, and what comes of it."""

from asyncio import Future
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from agent.drivers.driver import Actuated
from protocol.vocabulary import Action, Channel, Denial, Direction


@dataclass(frozen=True, slots=True)
class Door:
    """A device as the gate knows it: its number in the store, its zone, and the Fluss+ that moves for it."""

    device: int
    device_id: str
    zone: ZoneInfo
    opens: str | None
    """Itself for a Fluss+; None for an intercom that has none."""


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asks: by number (E.164 digits; None for none that can be read), or by one-time code."""

    device_id: str
    request: str
    channel: Channel
    action: Action
    mobile: int | None = None
    code: str | None = None
    direction: Direction | None = None
    unit: str | None = None
    note: str | None = None
    age_ms: int = 0
    command_id: str | None = None
    expires_at: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request: denied for a reason, or allowed and `actuated`."""

    reason: Denial | None
    actuated: Actuated | None
    stored: Future[None]
    """Done when the event is durable, and what was to be stored with it."""
