"""Origins: what last spoke of a set of users, with the sums kept over them.

Because counts and digests live here, a list that is sent again unchanged costs one row per part, not one per user.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

import orjson

from protocol.digest import MODULUS, digest_sum
from protocol.vocabulary import Status
from storage.database import Transaction

_SELECT = """
SELECT origin, device, batch, revision, trusted, body, invited_by, pending, active, expired, gone, digest
FROM origins JOIN batches USING (batch) JOIN signers USING (signer)
"""
_ROOM = """
SELECT count(*), coalesce(sum(pending + active), 0), coalesce(sum((pending + active) * (revision * trusted >= ?)), 0)
FROM origins JOIN batches USING (batch) JOIN signers USING (signer) WHERE device = ?
"""
_UPSERT = """
INSERT INTO origins (origin, device, batch, body, invited_by, pending, active, expired, gone, digest)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (origin) DO UPDATE SET batch = excluded.batch, body = excluded.body, invited_by = excluded.invited_by,
    pending = excluded.pending, active = excluded.active, expired = excluded.expired, gone = excluded.gone,
    digest = excluded.digest
"""


@dataclass(slots=True)
class Origin:
    """One part's word on users of one device; the counts are by status, `gone` for tombstones."""

    number: int
    device: int
    batch: int
    revision: int
    trusted: bool = True
    """Whether its word is that of a signer who still counts."""
    body: bytes | None = None
    invited_by: str | None = None
    counts: dict[str | None, int] = field(default_factory=dict)
    digest: int = 0
    changed: bool = False

    @property
    def rank(self) -> int:
        """What newer and older are told by; below every revision where nobody trusts the signer any more."""
        return self.revision if self.trusted else 0

    def outranks(self, invite: "Origin") -> bool:
        """Whether an invite comes too late: a revision belongs to one batch, so in another one it is nothing newer."""
        return self.rank > invite.rank or (self.rank == invite.rank and self.batch != invite.batch)

    @property
    def users(self) -> int:
        """Rows that name this origin, tombstones included."""
        return sum(self.counts.values())

    @property
    def occupied(self) -> int:
        """Users that count to the device's limit."""
        return self.counts.get(Status.PENDING, 0) + self.counts.get(Status.ACTIVE, 0)

    def join(self, status: str | None, mobiles: Collection[int]) -> None:
        """These users name this origin from now on."""
        self.changed = True
        self.counts[status] = self.counts.get(status, 0) + len(mobiles)
        if status is not None:
            self.digest = (self.digest + digest_sum(mobiles, self.revision)) % MODULUS

    def leave(self, status: str | None, mobiles: Collection[int]) -> None:
        """These users name another origin from now on."""
        self.changed = True
        self.counts[status] = self.counts.get(status, 0) - len(mobiles)
        if status is not None:
            self.digest = (self.digest - digest_sum(mobiles, self.revision)) % MODULUS

    def turn(self, before: str, after: str, users: int) -> None:
        """So many users changed their status and kept their origin."""
        self.changed = True
        self.counts[before] = self.counts.get(before, 0) - users
        self.counts[after] = self.counts.get(after, 0) + users


async def occupancy(transaction: Transaction, device: int, since: int) -> tuple[int, int, int]:
    """A device's origins, its users that count to the limit, and those of them that revision `since` or newer named."""
    ((origins, users, named),) = await transaction.fetch(_ROOM, (since, device))
    return origins, users, named


class Origins:
    """The origins one transaction touches: loaded once, saved once."""

    def __init__(self, transaction: Transaction, next_number: int) -> None:
        self._transaction = transaction
        self._next = next_number
        self._known: dict[int, Origin] = {}

    @classmethod
    async def open(cls, transaction: Transaction) -> "Origins":
        """Origins for one transaction."""
        ((last,),) = await transaction.fetch("SELECT coalesce(max(origin), 0) FROM origins")
        return cls(transaction, last + 1)

    def __getitem__(self, number: int) -> Origin:
        return self._known[number]

    def new(
        self, device: int, batch: int, revision: int, body: bytes | None = None, invited_by: str | None = None
    ) -> Origin:
        """A fresh origin without users."""
        origin = Origin(self._next, device, batch, revision, body=body, invited_by=invited_by)
        self._known[origin.number] = origin
        self._next += 1
        return origin

    async def load(self, numbers: Iterable[int]) -> None:
        """Make these origins known."""
        missing = [number for number in numbers if number not in self._known]
        if missing:
            await self._take(
                f"{_SELECT} WHERE origin IN (SELECT value FROM json_each(?))", orjson.dumps(missing).decode()
            )

    async def of_device(self, device: int) -> list[Origin]:
        """Every origin of a device."""
        return await self._take(f"{_SELECT} WHERE device = ?", device)

    async def _take(self, sql: str, parameter: str | int) -> list[Origin]:
        rows = await self._transaction.fetch(sql, (parameter,))
        for number, device, batch, revision, trusted, body, invited_by, pending, active, expired, gone, digest in rows:
            counts: dict[str | None, int] = {
                Status.PENDING: pending, Status.ACTIVE: active, Status.EXPIRED: expired, None: gone,
            }  # fmt: skip
            origin = Origin(number, device, batch, revision, trusted == 1, body, invited_by, counts, digest % MODULUS)
            self._known.setdefault(number, origin)
        return [self._known[row[0]] for row in rows]

    def hand_over(self, origin: Origin, heir: Origin, mobiles: Collection[int]) -> None:
        """All users of `origin` were named again, unchanged, by `heir`'s part: the origin becomes the heir's word."""
        whole = replace(heir, number=origin.number, counts=origin.counts, digest=0, changed=True)
        whole.digest = digest_sum(mobiles, heir.revision)
        self._known[origin.number] = whole

    async def save(self) -> None:
        """Write what has users, forget what has none."""
        rows, empty = [], []
        for origin in self._known.values():
            if not origin.changed:
                continue
            if origin.users == 0:
                empty.append((origin.number,))
                continue
            counts = origin.counts
            rows.append(
                (
                    origin.number,
                    origin.device,
                    origin.batch,
                    origin.body,
                    origin.invited_by,
                    counts.get(Status.PENDING, 0),
                    counts.get(Status.ACTIVE, 0),
                    counts.get(Status.EXPIRED, 0),
                    counts.get(None, 0),
                    signed(origin.digest),
                )
            )
        await self._transaction.many(_UPSERT, rows)
        await self._transaction.many("DELETE FROM origins WHERE origin = ?", empty)


def signed(digest: int) -> int:
    """A digest as SQLite's signed 64-bit integer."""
    return digest - MODULUS if digest >= MODULUS // 2 else digest
