"""A list of people into the parts of one batch: small enough for every broker, numbered, ready to send.

Pure: times, ids and what is known of the gateway are passed in.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import orjson

from protocol.codec import Limits
from protocol.invites import MAX_PARTS, Invitee
from protocol.keys import SigningKey, sign
from protocol.vocabulary import MAX_REVISION, Mode, Permission
from simulator.exits import Failure

PART_BYTES: Final = 96 * 1024
PART_ITEMS: Final = 400
"""What a sender keeps a part within, its signature included, so that it fits every broker and cloud quota."""

_CLOSING: Final = len(',"invitees":[]}') + len(',"revocations":[]')


class BatchError(Failure):
    """A list that cannot be made into a batch; the message says why, and the cure."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What everyone of a batch is offered, and where. Times are epoch milliseconds."""

    device_ids: tuple[str, ...]
    permission: Permission | None = None
    start_date: int | None = None
    end_date: int | None = None
    schedule: list[dict[str, Any]] | None = None
    invite_expires_at: int | None = None
    invited_by: str | None = None
    mode: Mode = Mode.MERGE


@dataclass(frozen=True, slots=True)
class Part:
    """One part as it goes over the wire, signed where it has to be, and which people of the batch it holds."""

    number: int
    payload: bytes
    first: int
    """The place of its first item in `Batch.names`."""
    items: int

    @property
    def sha256(self) -> str:
        """What a receipt names bytes by that could not be read."""
        return sha256(self.payload).hexdigest()


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch ready to send: its people counted through, invitees first, then revocations."""

    batch_id: str
    gateway_id: str
    revision: int
    mode: Mode
    device_ids: tuple[str, ...]
    items: int
    parts: tuple[Part, ...]

    def place(self, part: int, item: int) -> int:
        """Which person of the batch a result of the wire speaks of."""
        return self.parts[part - 1].first + item


def next_revision(now_ms: int, newest: int) -> int:
    """A revision above everything the gateway has: the time, unless a clock was wrong once. Raises BatchError."""
    revision = max(now_ms, newest + 1)
    if revision > MAX_REVISION:
        raise BatchError(
            f"the gateway's list is at revision {newest}, the highest there is: nothing can be newer."
            " Its store has to be made anew"
        )
    return revision


def new_batch_id(now_ms: int, entropy: bytes) -> str:
    """A UUID of version 7 (RFC 9562, section 5.7), so that batches sort by time; `entropy` is 10 random bytes."""
    number = (now_ms & (1 << 48) - 1) << 80 | int.from_bytes(entropy[:10])
    number = number & ~(0xF << 76) | 0x7 << 76
    return str(UUID(int=number & ~(0x3 << 62) | 0x2 << 62))


def make_batch(
    invitees: Sequence[Invitee],
    revoked: Sequence[str],
    offer: Offer,
    *,
    gateway_id: str,
    batch_id: str,
    revision: int,
    issued_at: int,
    limits: Limits,
    key: SigningKey | None = None,
) -> Batch:
    """The batch that invites some and revokes others (written numbers), in order, within the gateway's `limits`.

    With a `key` every part is signed. Raises BatchError where one person alone is too much for a part, and where there
    are too many parts.
    """
    head: dict[str, Any] = {
        "batchId": batch_id,
        "gatewayId": gateway_id,
        "revision": revision,
        "part": MAX_PARTS,
        "parts": MAX_PARTS,
        "mode": offer.mode,
        "issuedAt": issued_at,
        "deviceIds": offer.device_ids,
    }
    head |= {name: value for name, value in _terms(offer) if value is not None}
    room = _room(min(PART_BYTES, limits.part_bytes), key) - len(orjson.dumps(head)) - _CLOSING
    most = min(PART_ITEMS, limits.part_items // len(offer.device_ids))
    if most == 0:
        raise BatchError(
            f"the gateway takes {limits.part_items} items (people × devices) at once, and there are"
            f" {len(offer.device_ids)} devices: import to fewer devices at a time"
        )
    chunks = [("invitees", chunk) for chunk in _chunked(map(orjson.dumps, invitees), room, most)]
    chunks += [("revocations", chunk) for chunk in _chunked((orjson.dumps({"mobile": m}) for m in revoked), room, most)]
    if not chunks:
        chunks = [("invitees", [])]
    if len(chunks) > MAX_PARTS:
        raise BatchError(f"the list makes {len(chunks):,} parts, and a batch has {MAX_PARTS:,} at most: split the list")
    parts: list[Part] = []
    first = 0
    for number, (field, items) in enumerate(chunks, 1):
        start = orjson.dumps(head | {"part": number, "parts": len(chunks)})[:-1]
        said = b'%b,"%b":[%b]}' % (start, field.encode(), b",".join(items))
        parts.append(Part(number, said if key is None else sign(said, key), first, len(items)))
        first += len(items)
    return Batch(batch_id, gateway_id, revision, offer.mode, offer.device_ids, first, tuple(parts))


def _room(most: int, key: SigningKey | None) -> int:
    """Bytes that can be said in `most` bytes of the wire: a JWS has four letters for every three of them."""
    return most if key is None else (most - len(sign(b"", key))) * 3 // 4


def _terms(offer: Offer) -> Iterator[tuple[str, Any]]:
    yield "permission", offer.permission
    yield "startDate", offer.start_date
    yield "endDate", offer.end_date
    yield "schedule", offer.schedule
    yield "inviteExpiresAt", offer.invite_expires_at
    yield "invitedBy", offer.invited_by


def _chunked(items: Iterable[bytes], room: int, most: int) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    left = room
    for item in items:
        size = len(item) + 1
        if size > room:
            raise BatchError(f"one person alone takes {size:,} bytes, and a part has {room:,}: shorten name or notes")
        if size > left or len(chunk) == most:
            yield chunk
            chunk, left = [], room
        chunk.append(item)
        left -= size
    if chunk:
        yield chunk
