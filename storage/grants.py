"""What the list says of one person at one device: one look at the gate, and the whole story for whoever asks why."""

from dataclasses import dataclass
from typing import Final

import orjson

from protocol.access import Grant
from protocol.terms import NO_TERMS, Terms
from protocol.vocabulary import Permission, Status
from storage import seals
from storage.database import Damaged, Reader

_LISTED: Final = f"SELECT {seals.USER}, seal FROM users WHERE device = ? AND mobile = ?"
_PROVENANCE: Final = """
SELECT batch_id, revision, invited_by, changed_at, touched_at
FROM users JOIN origins USING (origin) JOIN batches USING (batch) WHERE users.device = ? AND mobile = ?
"""


@dataclass(frozen=True, slots=True)
class Listed:
    """Somebody who is on the list, or was; whoever was has no name any more."""

    grant: Grant
    name: str | None


@dataclass(frozen=True, slots=True)
class Provenance:
    """The batch that spoke of somebody last; times are epoch milliseconds."""

    batch_id: str
    revision: int
    invited_by: str | None
    changed_at: int
    """When the person's own row last changed, by a batch or by time."""
    received_at: int
    """When the latest part of the batch came."""


def listed(reader: Reader, device: int, mobile: int) -> Listed | None:
    """What the list of a device (its number) says of a mobile (E.164 digits); None for someone it never heard of.

    Raises StorageFault, and Damaged where the row is not what was written.
    """
    rows = reader.fetch(_LISTED, (device, mobile))
    if not rows:
        return None
    ((*said, stored),) = rows
    if not seals.intact(said, stored):
        raise Damaged(f"a row of device {device} is not what was written")
    _, _, status, _, permission, starts_at, ends_at, schedule, name, _, units, wifi, deadline = said
    grant = Grant(
        status=None if status is None else Status(status),
        terms=NO_TERMS if permission is None else Terms(Permission(permission), starts_at, ends_at, schedule),
        wifi=wifi == 1,
        units=() if units is None else tuple(orjson.loads(units)),
        deadline=deadline,
    )
    return Listed(grant, name)


def origin_of(reader: Reader, device: int, mobile: int) -> Provenance | None:
    """Which batch put somebody where they are, off the list included; raises StorageFault."""
    rows = reader.fetch(_PROVENANCE, (device, mobile))
    return Provenance(*rows[0]) if rows else None
