"""The state document: presence, capabilities, and where every list stands. Retained, and also the last will."""

from dataclasses import dataclass
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from protocol import CONTRACT
from protocol.nesting import MAX_DEPTH, depth
from protocol.vocabulary import MAX_REVISION, ClockState, Kind, Position


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


class Certificates(_Wire):
    """Until when (epoch ms) what TLS with the broker rests on is valid; null where there is no such thing.

    `client` is the gateway's own certificate. `authority` is the last of those in its `ca_file`: after it no broker is
    trusted any more. `broker` is the first to end of the chain that the broker showed last.
    """

    client: int | None = None
    authority: int | None = None
    broker: int | None = None


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


class RestoredDocument(_Wire):
    """How a store came to be that took the place of a damaged one."""

    at: int
    source: Literal["snapshot", "salvage", "itself", "nothing"] = Field(alias="from")
    """A copy that was made before; rows that could be read of the damaged one, without the batches they came by; the
    store itself, whose last commits are gone; or nothing."""
    reason: str


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
    restored: RestoredDocument | None = None
    """Where the store of this epoch was not made new but took the place of a damaged one: the cloud may know what the
    gateway has lost, and `resync` and a newer revision put it right."""
    held: list[str]
    started_at: int
    version: str
    contract: int = CONTRACT
    clock: ClockState
    certificates: Certificates = Certificates()
    storage: Literal["ok", "degraded"]
    copies: Literal["ok", "failing"] = "ok"
    """Whether copies of the store can be made, which take its place should it be damaged."""
    limits: PartLimits
    outbox: int
    devices: list[DeviceDocument]

    def payload(self) -> bytes:
        """The document as the wire carries it."""
        return orjson.dumps(self.model_dump(by_alias=True))


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody's state document says of a gateway's life; None and 0 for what it does not say."""

    session: str | None = None
    online: bool = False
    epoch: str | None = None
    reports: int = 0
    """Its newest report."""
    events: int = 0
    """Its newest event."""


def said_in(payload: bytes) -> Said:
    """What a payload on the topic of `state` says; nothing where it is no state document."""
    if depth(payload) > MAX_DEPTH:
        return Said()
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return Said()
    if not isinstance(document, dict):
        return Said()
    session, epoch = document.get("session"), document.get("epoch")
    return Said(
        session if isinstance(session, str) else None,
        document.get("online") is True,
        epoch if isinstance(epoch, str) else None,
        _newest(document.get("reports")),
        _newest(document.get("events")),
    )


def _newest(span: object) -> int:
    newest = span.get("newest") if isinstance(span, dict) else None
    return newest if type(newest) is int and 0 <= newest <= MAX_REVISION else 0
