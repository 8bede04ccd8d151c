"""Decode: bytes from the wire to a typed part, or the reason why the part cannot be used.

Size, signature, depth, and only then what it says: each step sees only what the one before it has let through.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson
from pydantic import ValidationError

from protocol.invites import INVITEE_FIELDS, REVOCATION_FIELDS, Envelope
from protocol.nesting import MAX_DEPTH, depth
from protocol.signatures import EVERYBODY, Distrusted, Key, verified
from protocol.vocabulary import MAX_REVISION, Mode, Refusal

MAX_PART_BYTES = 1 << 20
MAX_PART_ITEMS = 5_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What this gateway takes in one part: bytes as they were received, and items × devices after parsing."""

    part_bytes: int = MAX_PART_BYTES
    part_items: int = MAX_PART_ITEMS


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a batch, decoded; its people are still as the sender wrote them."""

    batch_id: str
    revision: int
    number: int
    parts: int
    mode: Mode
    device_ids: tuple[str, ...]
    expires_at: int | None
    permission: object
    start_date: int | None
    end_date: int | None
    schedule: object
    invite_expires_at: int | None
    invited_by: str | None
    invitees: list[Any]
    revocations: list[Any]
    payload_sha256: str
    content: bytes
    """SHA-256 over what the part says, `issuedAt`, `expiresAt` and its place in the batch aside."""
    signer: str | None = None
    """The thumbprint of the key that signed it; None where nobody has to."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A part of which nothing is applied: why, and as much of its name as could be read."""

    code: Refusal
    message: str
    batch_id: str | None = None
    revision: int | None = None
    part: int | None = None
    parts: int | None = None
    payload_sha256: str | None = None
    repeated: int | None = None
    """How often the same payload came again; None for the first time."""


def decode(message: bytes, gateway_id: str, limits: Limits, trusted: Mapping[str, Key] = EVERYBODY) -> Part | Refused:
    """The part in a message that one of the `trusted` keys (by `kid`) signed; without any, in whatever comes.

    Of a message that is not trusted nothing is read, and so nothing is repeated. Unknown fields are ignored, so that a
    newer cloud does not break an older gateway.
    """
    digest = sha256(message).hexdigest()
    if len(message) > limits.part_bytes:
        return oversized(len(message), digest, limits)
    said = verified(message, trusted)
    if isinstance(said, Distrusted):
        return Refused(said.code, said.message, payload_sha256=digest)
    if depth(said.payload) > MAX_DEPTH:
        return Refused(Refusal.SCHEMA, f"nested deeper than {MAX_DEPTH} levels", payload_sha256=digest)
    try:
        document = orjson.loads(said.payload)
    except orjson.JSONDecodeError as broken:
        return Refused(Refusal.NOT_JSON, f"not JSON: {broken}", payload_sha256=digest)
    part = _part(document, digest, gateway_id, limits, said.signer)
    return part if isinstance(part, Part) else _named(part, document, digest)


def oversized(size: int, payload_sha256: str, limits: Limits) -> Refused:
    """The refusal of a payload that is over the limit in bytes, and so was never parsed."""
    message = f"{size:,} bytes in one part; this gateway takes {limits.part_bytes:,}"
    return Refused(Refusal.TOO_LARGE, message, payload_sha256=payload_sha256)


def _part(document: object, digest: str, gateway_id: str, limits: Limits, signer: str | None) -> Part | Refused:
    if not isinstance(document, dict):
        return Refused(Refusal.SCHEMA, "a part is a JSON object")
    if document.get("gatewayId", gateway_id) != gateway_id:
        return Refused(Refusal.WRONG_GATEWAY, f"this gateway is {gateway_id!r}")
    try:
        envelope = Envelope.model_validate(document)
    except ValidationError as invalid:
        return Refused(Refusal.SCHEMA, _schema_words(invalid))
    if envelope.part > envelope.parts:
        return Refused(Refusal.SCHEMA, f"part {envelope.part} of {envelope.parts}")
    if envelope.invitees is None and envelope.revocations is None and envelope.mode is not Mode.REPLACE:
        return Refused(Refusal.SCHEMA, "a merge names invitees or revocations")
    invitees, revocations = envelope.invitees or [], envelope.revocations or []
    device_ids = tuple(dict.fromkeys(envelope.device_ids))
    items = (len(invitees) + len(revocations)) * len(device_ids)
    if items > limits.part_items:
        return Refused(
            Refusal.TOO_LARGE,
            f"{items:,} items (people × devices) in one part; this gateway takes {limits.part_items:,}",
        )
    return Part(
        batch_id=envelope.batch_id,
        revision=envelope.revision,
        number=envelope.part,
        parts=envelope.parts,
        mode=envelope.mode,
        device_ids=device_ids,
        expires_at=envelope.expires_at,
        permission=envelope.permission,
        start_date=envelope.start_date,
        end_date=envelope.end_date,
        schedule=envelope.schedule,
        invite_expires_at=envelope.invite_expires_at,
        invited_by=envelope.invited_by,
        invitees=invitees,
        revocations=revocations,
        payload_sha256=digest,
        content=_content(envelope, device_ids, invitees, revocations),
        signer=signer,
    )


def _content(envelope: Envelope, device_ids: tuple[str, ...], invitees: list[Any], revocations: list[Any]) -> bytes:
    """The hash of what the part says: left out, null and `accepted: false` are the same, and so is any order."""
    said: list[Any] = [
        sorted(device_ids),
        envelope.permission,
        envelope.start_date,
        envelope.end_date,
        envelope.schedule,
        envelope.invite_expires_at,
        envelope.invited_by,
        _known(invitees, INVITEE_FIELDS),
        _known(revocations, REVOCATION_FIELDS),
    ]
    text = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    if b":null" in text or b'"accepted":false' in text:
        said[-2:] = [[_said(item) for item in items] for items in said[-2:]]
        text = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    return sha256(text).digest()


def _said(item: Any) -> Any:  # noqa: ANN401 -- whatever the sender wrote
    if not isinstance(item, dict):
        return item
    return {
        name: value for name, value in item.items() if value is not None and not (name == "accepted" and value is False)
    }


def _known(items: list[Any], fields: frozenset[str]) -> list[Any]:
    """The items without fields this contract does not know; the list itself in the usual case that there are none."""
    try:
        if fields.issuperset(set().union(*items)):
            return items
    except TypeError:
        pass  # an item that is no object at all: it is rejected alone, later
    return [
        {name: value for name, value in item.items() if name in fields} if isinstance(item, dict) else item
        for item in items
    ]


def _named(refused: Refused, document: object, payload_sha256: str) -> Refused:
    """The refusal with whatever can be read of the part's name."""
    fields = document if isinstance(document, dict) else {}
    batch_id = fields.get("batchId")

    def number(name: str) -> int | None:
        value = fields.get(name)
        return value if type(value) is int and 1 <= value <= MAX_REVISION else None

    return Refused(
        refused.code,
        refused.message,
        batch_id=batch_id if isinstance(batch_id, str) and 1 <= len(batch_id) <= 64 else None,
        revision=number("revision"),
        part=number("part"),
        parts=number("parts"),
        payload_sha256=payload_sha256,
    )


def _schema_words(invalid: ValidationError) -> str:
    """The first few faults of an envelope, each with its place; never the value, which may name a person."""
    errors = invalid.errors(include_url=False, include_input=False, include_context=False)
    words = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in errors[:3]]
    if len(errors) > 3:
        words.append(f"and {len(errors) - 3} more")
    return "; ".join(words)
