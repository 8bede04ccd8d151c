"""An invite batch part on the wire: the envelope and its items.

Field names follow Fluss's public REST API, so the body of a `POST /v1/access` can be piped into a batch.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict  # pydantic asks for it before Python 3.12

from protocol.vocabulary import MAX_REVISION, Mode

LAST_INSTANT = 253_402_300_799_999
"""31 December 9999 in epoch milliseconds: the last instant a calendar can show."""

MAX_NAME = 100
MAX_NOTES = 400
MAX_DEVICES = 64
MAX_PARTS = 10_000
"""So that a receipt can name every missing part in one message."""

MAX_UNITS = 100

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""Without control characters: SQLite's JSON functions end a text at NUL, and no person can read the others."""

Instant = Annotated[int, Field(ge=0, le=LAST_INSTANT)]
Revision = Annotated[int, Field(ge=1, le=MAX_REVISION)]
PartNumber = Annotated[int, Field(ge=1, le=MAX_PARTS)]


class Envelope(BaseModel):
    """Everything of a part but its people; what an item does not carry comes from here."""

    model_config = ConfigDict(extra="ignore", strict=True, alias_generator=to_camel, frozen=True)

    batch_id: Identifier
    gateway_id: str
    revision: Revision
    part: PartNumber = 1
    parts: PartNumber = 1
    mode: Annotated[Mode, Field(strict=False)] = Mode.MERGE
    issued_at: Instant | None = None
    expires_at: Instant | None = None
    device_ids: Annotated[list[Identifier], Field(min_length=1, max_length=MAX_DEVICES)]
    permission: Any = None
    start_date: Instant | None = None
    end_date: Instant | None = None
    schedule: Any = None
    invite_expires_at: Instant | None = None
    invited_by: Annotated[str, StringConstraints(max_length=100)] | None = None
    invitees: list[Any] | None = None
    revocations: list[Any] | None = None


_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME)]
_Notes = Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_NOTES)]
_Unit = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME)]


class _Named(TypedDict):
    userName: _Name
    mobile: str


class Invitee(_Named, total=False):
    """One person of a batch. Permission and schedule are judged with the batch's own, so they are open here."""

    __pydantic_config__ = ConfigDict(extra="ignore", strict=True)  # type: ignore[misc]  # pydantic reads it from the class body

    notes: _Notes | None
    accepted: bool | None
    wifi: bool | None
    units: Annotated[list[_Unit], Field(max_length=MAX_UNITS)] | None
    permission: Any
    startDate: Instant | None
    endDate: Instant | None
    schedule: Any


class Revocation(TypedDict):
    """One person to be taken off the list."""

    __pydantic_config__ = ConfigDict(extra="ignore", strict=True)  # type: ignore[misc]  # pydantic reads it from the class body

    mobile: str


INVITEE_FIELDS = frozenset(Invitee.__annotations__)
TERM_FIELDS = frozenset({"permission", "startDate", "endDate", "schedule"})
REVOCATION_FIELDS = frozenset(Revocation.__annotations__)
