"""What the gateway sends, as models: the published reference, and what the hand-written encoders must equal."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from protocol.vocabulary import (
    Action,
    Caution,
    Channel,
    ClockState,
    Decision,
    Denial,
    Fault,
    Outcome,
    Reason,
    Refusal,
    Status,
    Verdict,
)

Mobile = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{1,14}$")]


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)


class RefusalMessage(_Wire):
    """Why nothing of a part was applied."""

    code: Refusal
    message: str


class ReceiptMessage(_Wire):
    """What became of a part, or, with `part` null, of a batch. What cannot be known of a refused message is null."""

    batch_id: str | None
    gateway_id: str
    revision: int | None
    part: int | None
    parts: int | None
    epoch: str
    report_id: int
    at: int
    outcome: Verdict
    counts: dict[Outcome, int]
    error: RefusalMessage | None
    missing_parts: list[int]
    removals: int | None = None
    """Users a replace removed; with `held`, users it would remove."""
    payload_sha256: Annotated[str | None, Field(alias="payloadSha256")] = None
    """The bytes that were refused, in hex."""
    repeated: int | None = None
    """How often the same bytes came again, or, without `payloadSha256`, how many more were refused with this code."""


class FaultMessage(_Wire):
    """Why an item was rejected."""

    code: Fault
    field: str | None
    message: str


class CautionMessage(_Wire):
    """What the office should look at although the item was applied."""

    code: Caution
    field: str | None
    message: str


class ResultMessage(_Wire):
    """What became of one item on one device, of one user later (`changed`), or where a user stands (`listed`)."""

    item: int | None
    device_id: str
    mobile: Mobile | None
    outcome: Outcome
    status: Status | None
    revision: int | None = None
    """With `listed`: of the batch that spoke of the user last."""
    reason: Reason | None = None
    error: FaultMessage | None = None
    warnings: list[CautionMessage] | None = None
    erased: bool | None = None
    """True where the person was erased since, or named nobody and may have been meant: `mobile` is null then."""


class StatusesMessage(_Wire):
    """Results of a part, or, with `batchId` null, later changes of status or the users of a resync; at most 96 KiB."""

    gateway_id: str
    epoch: str
    report_id: int
    at: int
    batch_id: str | None
    part: int | None
    revision: int | None
    end: bool | None = None
    """True in the last message of a resync, else left out."""
    results: list[ResultMessage]


class EventMessage(_Wire):
    """One entry of the access log, with the time at which it happened, however much later it is sent."""

    gateway_id: str
    epoch: str
    event_id: Annotated[int, Field(ge=1)]
    """(epoch, eventId) is contiguous and never repeats with other content."""
    at: int
    device_id: str
    mobile: Mobile | None
    user_name: str | None
    channel: Channel
    action: Action
    decision: Decision
    reason: Denial | None
    note: str | None
    clock: ClockState
    opened_device_id: str | None
    """The Fluss+ that was moved, where it is another device than the one that was asked."""
    actuated: bool | None
    """Whether the hardware says that it moved; null where the request was denied, or nobody knows."""
    error: str | None
    """Why it did not."""
    erased: bool | None = None
    """True where the person was erased since: `mobile`, `userName` and `note` are null then."""
