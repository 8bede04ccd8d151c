"""The outbox: everything the gateway has to say waits here, and is kept after it was sent.

A broker's acknowledgement is not the cloud's, so a report stays for as long as the retention says, and is sent again
when asked for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from protocol.reports import Receipt, Run, chunked, packed, packed_receipt
from storage.database import Reader, Transaction

_INSERT = "INSERT INTO reports (report, kind, at, batch, part, body) VALUES (?, ?, ?, ?, ?, ?)"
_SELECT = """
SELECT report, kind, at, batch_id, part, revision, body FROM reports LEFT JOIN batches USING (batch)
WHERE report BETWEEN ? AND ? ORDER BY report LIMIT ?
"""


_EVER = 2**63 - 1
_AGE = f"""
DELETE FROM reports WHERE report <= (SELECT sent FROM store) AND report <= (
    SELECT max(report) FROM reports WHERE at < ?1 AND report < (
        SELECT coalesce(min(report), {_EVER}) FROM reports WHERE at BETWEEN ?1 AND ?2
    )
)
"""
_SHRINK = """
DELETE FROM reports WHERE report <= (
    SELECT max(report) FROM (SELECT report, sum(length(body) + 64) OVER (ORDER BY report DESC) AS kept FROM reports)
    WHERE kept > ?
) AND report < (SELECT max(report) FROM reports)
"""  # never the newest: its number must not be given out again
MOST_REPLIES = 10_000
MOST_RESENDS = 64

Kind: TypeAlias = Literal["reports", "events"]
"""What is numbered, kept after it was sent, and sent again when asked for."""


@dataclass(frozen=True, slots=True)
class Report:
    """One report as stored: `kind` is receipt or statuses; `at` is epoch milliseconds."""

    number: int
    kind: str
    at: int
    batch: tuple[str, int, int] | None
    """(batchId, part, revision) of the part these statuses answer; None for later changes."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Resend:
    """A range of reports, or of events, to be sent again, once `after` of the same kind has gone out."""

    number: int
    after: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Position:
    """Where the outbox stands: `epoch` and the numbers of reports sent, acknowledged, kept."""

    epoch: str
    sent: int
    acknowledged: int
    oldest: int
    newest: int


class Desk:
    """Reports being written by one transaction: numbered as they come, stored together at its end."""

    def __init__(self, transaction: Transaction, newest: int, at: int) -> None:
        self._transaction = transaction
        self.newest = newest
        self._at = at
        self._rows: list[tuple[int, str, int, int | None, int | None, bytes]] = []
        self._resends: list[tuple[int, int, int]] = []

    @classmethod
    async def open(cls, transaction: Transaction, at: int) -> "Desk":
        """A desk for one transaction at the moment `at`."""
        ((newest,),) = await transaction.fetch(NEWEST)
        return cls(transaction, newest, at)

    def receipt(self, receipt: Receipt, batch: int | None = None) -> None:
        """Say what became of a part or a batch."""
        self._append("receipt", batch, receipt.part, packed_receipt(receipt))

    def statuses(self, runs: Iterable[Run], batch: int | None = None, part: int | None = None) -> tuple[int, int]:
        """Say what became of users; the first and last report that say it (last before first: nothing to say)."""
        first = self.newest + 1
        for chunk in chunked(runs):
            self._append("statuses", batch, part, packed(chunk))
        return first, self.newest

    def resend(self, first: int, last: int) -> None:
        """Have old reports sent again after the newest one so far."""
        if first <= last:
            self._resends.append((self.newest, first, last))

    async def save(self) -> None:
        """Store what was said."""
        await self._transaction.many(_INSERT, self._rows)
        if self._resends:
            await request(self._transaction, "reports", self._resends)

    def _append(self, kind: str, batch: int | None, part: int | None, body: bytes) -> None:
        self.newest += 1
        self._rows.append((self.newest, kind, self._at, batch, part, body))


NEWEST = "SELECT max(sent, coalesce((SELECT max(report) FROM reports), 0)) FROM store"


def position(reader: Reader) -> Position:
    """Where the outbox stands."""
    ((epoch, sent, acknowledged, oldest, newest),) = reader.fetch(
        f"SELECT epoch, sent, acknowledged, (SELECT min(report) FROM reports), ({NEWEST}) FROM store"
    )
    return Position(epoch, sent, acknowledged, newest + 1 if oldest is None else oldest, newest)


def reports(reader: Reader, first: int, last: int, most: int) -> list[Report]:
    """Up to `most` stored reports between `first` and `last`, in order."""
    return [
        Report(number, kind, at, None if batch_id is None else (batch_id, part, revision), body)
        for number, kind, at, batch_id, part, revision, body in reader.fetch(_SELECT, (first, last, most))
    ]


def next_resend(reader: Reader, after: int, kind: Kind = "reports") -> Resend | None:
    """The oldest request of a kind whose number is above `after`; the numbers are those of both kinds."""
    rows = reader.fetch(
        "SELECT resend, after, first, last FROM resends WHERE resend > ? AND kind = ? ORDER BY resend LIMIT 1",
        (after, kind),
    )
    return Resend(*rows[0]) if rows else None


def replies(reader: Reader, most: int) -> list[tuple[int, bytes]]:
    """Up to `most` replies to commands that wait to be sent, with their numbers."""
    return [
        (number, body)
        for number, body in reader.fetch("SELECT reply, body FROM replies ORDER BY reply LIMIT ?", (most,))
    ]


async def reply(transaction: Transaction, body: bytes) -> None:
    """Answer a command."""
    await transaction.execute("INSERT INTO replies (body) VALUES (?)", (body,))


async def sent(transaction: Transaction, through: int, resent: Sequence[int], replied: Sequence[int]) -> None:
    """Note what the broker has taken: reports through a number, whole resends of either kind, replies."""
    await transaction.execute("UPDATE store SET sent = max(sent, ?)", (through,))
    await transaction.many("DELETE FROM resends WHERE resend = ?", [(number,) for number in resent])
    await transaction.many("DELETE FROM replies WHERE reply = ?", [(number,) for number in replied])


async def acknowledged(transaction: Transaction, through: int) -> None:
    """Note that the cloud itself has stored the reports through a number."""
    await transaction.execute(f"UPDATE store SET acknowledged = max(acknowledged, min(?, ({NEWEST})))", (through,))


async def ask_again(transaction: Transaction, first: int, last: int) -> int:
    """Have stored reports of a range sent again; how many there still are."""
    ((count, newest),) = await transaction.fetch(
        f"SELECT count(*), ({NEWEST}) FROM reports WHERE report BETWEEN ? AND ?", (first, last)
    )
    if count:
        await request(transaction, "reports", [(newest, first, min(last, newest))])
    return int(count)


async def ask_batch_again(transaction: Transaction, batch_id: str) -> int | None:
    """Have every stored report of a batch sent again; how many there still are, None for an unknown batch."""
    known = await transaction.fetch("SELECT max(batch) FROM batches WHERE batch_id = ? HAVING count(*)", (batch_id,))
    if not known:
        return None
    rows = await transaction.fetch("SELECT report FROM reports WHERE batch = ? ORDER BY report", known[0])
    desk = await Desk.open(transaction, 0)
    for first, last in _ranges([row[0] for row in rows]):
        desk.resend(first, last)
    await desk.save()
    return len(rows)


async def request(transaction: Transaction, kind: Kind, ranges: Iterable[tuple[int, int, int]]) -> None:
    """Have ranges (after, first, last) sent again.

    Very many requests become one that covers them all: more is sent than was asked for, and nothing is forgotten.
    """
    insert = "INSERT INTO resends (kind, after, first, last) VALUES (?, ?, ?, ?)"
    await transaction.many(insert, [(kind, *each) for each in ranges])
    ((count, *cover),) = await transaction.fetch(
        "SELECT count(*), max(after), min(first), max(last) FROM resends WHERE kind = ?", (kind,)
    )
    if count > MOST_RESENDS:
        await transaction.execute("DELETE FROM resends WHERE kind = ?", (kind,))
        await transaction.execute(insert, (kind, *cover))


def _ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


async def prune(transaction: Transaction, before: int, now: int, most_bytes: int) -> int:
    """Forget reports older than `before` that were sent, and the oldest over `most_bytes`; how many went.

    What is kept stays without a gap, for `state` names its ends alone: one that a clock which was lost has dated too
    early, or after `now`, goes with those around it. The oldest are those the cloud has acknowledged, then those sent,
    and only then unsent ones: the cloud sees from `state` that they are gone.
    """
    gone = await transaction.execute(_AGE, (before, now))
    gone += await transaction.execute(_SHRINK, (most_bytes,))
    await transaction.execute(
        "DELETE FROM replies WHERE reply <= (SELECT max(reply) FROM replies) - ?", (MOST_REPLIES,)
    )
    return gone
