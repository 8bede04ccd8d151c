"""The state document: presence, capabilities, and where every list stands. Retained, and also the last will."""

from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from protocol import CONTRACT
from protocol.nesting import MAX_DEPTH, depth
from protocol.vocabulary import ClockState, Kind, Position


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)


class Span(_Wire):
    """The oldest and newest number that is kept; oldest after newest means none."""

    oldest: int
    newest: int


class PartLimits(_Wire):
    """What one part may hold: bytes, and items × devices."""

    max_part_bytes: int
    max_part_items: int


class DeviceDocument(_Wire):
    """One device and its list in numbers."""

    device_id: str
    kind: Kind
    name: str
    connected: bool
    position: Position | None
    users: dict[str, int]
    max_users: int
    revision: int
    digest: str


class StateDocument(_Wire):
    """What the gateway says of itself."""

    gateway_id: str
    online: bool
    session: str
    epoch: str
    reports: Span
    events: Span
    events_lost: int = 0
    """Events that could not be stored: the gate opened all the same."""
    held: list[str]
    started_at: int
    version: str
    contract: int = CONTRACT
    clock: ClockState
    storage: Literal["ok", "degraded"]
    limits: PartLimits
    outbox: int
    devices: list[DeviceDocument]

    def payload(self) -> bytes:
        """The document as the wire carries it."""
        return orjson.dumps(self.model_dump(by_alias=True))


def session_of(payload: bytes) -> tuple[str | None, bool]:
    """Session and `online` of a state document somebody sent; (None, False) for anything else."""
    if depth(payload) > MAX_DEPTH:
        return None, False
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None, False
    if not isinstance(document, dict):
        return None, False
    session = document.get("session")
    return session if isinstance(session, str) else None, document.get("online") is True
