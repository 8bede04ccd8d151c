"""What a gateway says, read as a cloud reads it: what it knows, it checks; what it does not know, it ignores.

Words that a newer gateway may add to (outcomes, reasons, codes) are text here, so that an older cloud still counts
everybody.
"""

from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from protocol.codec import MAX_PART_BYTES, MAX_PART_ITEMS
from protocol.topics import Topics


class _Document(BaseModel):
    model_config = ConfigDict(extra="ignore", alias_generator=to_camel, frozen=True)


class Complaint(_Document):
    """Why something was refused, or what to look at although it was not."""

    code: str
    field: str | None = None
    message: str | None = None


class Result(_Document):
    """What became of one item on one device, or (item None) of one user later, or where a user stands."""

    item: int | None
    device_id: str
    mobile: str | None
    outcome: str
    status: str | None
    revision: int | None = None
    reason: str | None = None
    error: Complaint | None = None
    warnings: tuple[Complaint, ...] = ()


class Statuses(_Document):
    """What became of people: by a part, or (batch_id None) by themselves."""

    epoch: str
    report_id: int
    at: int
    batch_id: str | None
    part: int | None
    revision: int | None
    results: tuple[Result, ...]


class Receipt(_Document):
    """What became of a part, or (part None) of a batch."""

    epoch: str
    report_id: int
    at: int
    batch_id: str | None
    revision: int | None
    part: int | None
    parts: int | None
    outcome: str
    counts: dict[str, int] = Field(default_factory=dict)
    error: Complaint | None = None
    missing_parts: tuple[int, ...] = ()
    removals: int | None = None
    payload_sha256: str | None = None


class Event(_Document):
    """What happened at a gate; `at` is when it happened, however late it was told."""

    epoch: str
    event_id: int
    at: int
    device_id: str
    mobile: str | None
    user_name: str | None
    channel: str
    action: str
    decision: str
    reason: str | None
    clock: str
    note: str | None = None
    opened_device_id: str | None = None
    actuated: bool | None = None
    error: str | None = None


class Reply(_Document):
    """The answer to a command; one that could not be read is named by its bytes alone."""

    command_id: str | None
    outcome: str
    at: int
    payload_sha256: str | None = None
    error: Complaint | None = None
    result: dict[str, object] = Field(default_factory=dict)


class _Span(_Document):
    oldest: int
    newest: int


_NONE = _Span(oldest=1, newest=0)


class _Limits(_Document):
    max_part_bytes: int = Field(MAX_PART_BYTES, ge=1)
    max_part_items: int = Field(MAX_PART_ITEMS, ge=1)


class ListState(_Document):
    """One device and its list in numbers."""

    device_id: str
    kind: str
    name: str
    users: dict[str, int]
    max_users: int
    revision: int
    digest: str
    connected: bool = False
    position: str | None = None


class State(_Document):
    """What the gateway says of itself; `online` False is its last will, or its farewell."""

    online: bool
    session: str
    epoch: str
    reports: _Span
    events: _Span = _NONE
    held: tuple[str, ...] = ()
    version: str
    clock: str
    storage: str
    limits: _Limits = _Limits()
    devices: tuple[ListState, ...]

    @property
    def revision(self) -> int:
        """The newest revision any of its lists has."""
        return max((device.revision for device in self.devices), default=0)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message on a gateway's topic that makes no sense."""

    topic: str
    why: str


Message = State | Receipt | Statuses | Event | Reply | Unreadable
_Kind = TypeVar("_Kind", State, Receipt, Statuses, Event, Reply)


def read(topic: str, payload: bytes, topics: Topics) -> Message | None:
    """The message that came over a topic of the gateway; None for topics that were not asked for."""
    if topic == topics.state:
        return _read(State, topic, payload)
    if topic == topics.receipts:
        return _read(Receipt, topic, payload)
    if topic == topics.statuses:
        return _read(Statuses, topic, payload)
    if topic == topics.events:
        return _read(Event, topic, payload)
    if topic == topics.replies:
        return _read(Reply, topic, payload)
    return None


def _read(kind: type[_Kind], topic: str, payload: bytes) -> _Kind | Unreadable:
    try:
        return kind.model_validate_json(payload)
    except ValidationError as invalid:
        error = invalid.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, error["loc"]))
        return Unreadable(topic, f"{place}: {error['msg']}" if place else error["msg"])
