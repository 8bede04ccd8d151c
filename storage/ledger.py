"""The ledger: which batches and parts are known, and what a part that comes now means for them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from protocol.codec import Part, Refused
from protocol.vocabulary import Mode, Refusal
from storage.database import Transaction
from storage.signers import signers

BATCHES = """
SELECT batch, batch_id, revision, signer, parts, mode, device_ids, applied, touched_at, stage, unnamed
FROM batches JOIN signers USING (signer) WHERE trusted AND parts > 0
"""
_NAMED = "batch_id IN (SELECT value FROM json_each(?)) OR revision IN (SELECT value FROM json_each(?))"
_UPSERT = """
INSERT INTO batches (batch, batch_id, revision, signer, parts, mode, device_ids, applied, touched_at, stage, unnamed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (batch) DO UPDATE SET applied = excluded.applied, touched_at = excluded.touched_at,
    stage = iif(stage = 'complete', stage, excluded.stage), unnamed = excluded.unnamed
"""  # complete is the end: a hold that a newer replace has ended meanwhile does not come back
_PARTS = """
SELECT batch, part, content, counts, first_report, last_report FROM parts
WHERE batch IN (SELECT value FROM json_each(?)) AND part IN (SELECT value FROM json_each(?))
"""


@dataclass(slots=True)
class Batch:
    """A batch of which at least one part was applied. Stages: open, incomplete (said so), held, complete.

    The batches of signers who are not trusted any more are unknown to the ledger, and so is what was never sent: a
    batch without parts stands for lost ones (`storage.salvage`).
    """

    number: int
    batch_id: str
    revision: int
    signer: int
    """The number of whoever signed it; 0 for nobody."""
    parts: int
    mode: Mode
    device_ids: tuple[str, ...]
    applied: int
    touched_at: int
    stage: str
    unnamed: int

    @property
    def whole(self) -> bool:
        """Whether every part has been applied."""
        return self.applied == self.parts


@dataclass(frozen=True, slots=True)
class Entry:
    """A part that was applied: its content, what it did, and which reports say so."""

    content: bytes
    counts: dict[str, int]
    first_report: int
    last_report: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """A part to be applied; `batch` is its batch after it."""

    batch: Batch
    completes: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """A part that was applied before, to the letter."""

    batch: Batch
    number: int


class Ledger:
    """What one transaction knows and learns of batches and parts."""

    def __init__(self, transaction: Transaction, next_number: int, signers: Mapping[str | None, int], now: int) -> None:
        self._transaction = transaction
        self._next = next_number
        self._signers = signers
        self._now = now
        self._by_id: dict[str, Batch] = {}
        self._by_revision: dict[int, Batch] = {}
        self._contents: dict[tuple[int, int], bytes] = {}
        self._entries: dict[tuple[int, int], Entry] = {}
        self._new: dict[tuple[int, int], Entry] = {}

    @classmethod
    async def open(cls, transaction: Transaction, parts: Collection[Part], now: int) -> "Ledger":
        """The ledger as far as these parts are concerned."""
        ((last,),) = await transaction.fetch("SELECT coalesce(max(batch), 0) FROM batches")
        ledger = cls(transaction, last + 1, await signers(transaction), now)
        rows = await transaction.fetch(
            f"{BATCHES} AND ({_NAMED}) ORDER BY batch",
            (_json([part.batch_id for part in parts]), _json([part.revision for part in parts])),
        )
        for row in rows:
            ledger._know(batch_of(row))
        known = [batch.number for batch in ledger._by_id.values()]
        if known:
            wanted = (_json(known), _json([part.number for part in parts]))
            for batch, number, content, counts, first, last in await transaction.fetch(_PARTS, wanted):
                ledger._contents[batch, number] = content
                ledger._entries[batch, number] = Entry(content, orjson.loads(counts), first, last)
        return ledger

    def admit(self, part: Part) -> Admitted | Seen | Refused:
        """What a part means now; an admitted one counts as applied from here on.

        A part seen before is recognised even when it has expired since.
        """
        batch = self._by_id.get(part.batch_id)
        if batch is not None:
            if not _same_batch(batch, part):
                return _refused(part, Refusal.BATCH_CONFLICT, "the batch is known with another header")
            content = self._contents.get((batch.number, part.number))
            if content is not None:
                if content == part.content:
                    return Seen(batch, part.number)
                return _refused(part, Refusal.BATCH_CONFLICT, "the part is known with other content")
            if self._signers[part.signer] != batch.signer:
                return _refused(part, Refusal.BATCH_CONFLICT, "the batch is known under another signature")
        elif part.revision in self._by_revision:
            return _refused(part, Refusal.REVISION_CONFLICT, f"revision {part.revision} belongs to another batch")
        if part.expires_at is not None and part.expires_at <= self._now:
            return _refused(part, Refusal.EXPIRED, "the part came after its expiresAt")
        if batch is None:
            batch = self._begin(part)
        batch.applied += 1
        batch.touched_at = self._now
        batch.stage = "open"
        self._contents[batch.number, part.number] = part.content
        return Admitted(batch, batch.whole)

    def enter(self, batch: Batch, part: Part, counts: dict[str, int], reports: tuple[int, int]) -> None:
        """Write down what a part did."""
        entry = Entry(part.content, counts, *reports)
        self._new[batch.number, part.number] = self._entries[batch.number, part.number] = entry

    def entry(self, batch: Batch, part: int) -> Entry:
        """What a part did when it was applied."""
        return self._entries[batch.number, part]

    async def totals(self, batch: Batch) -> dict[str, int]:
        """The outcomes of a batch's items, over all parts applied so far."""
        totals = await batch_counts(self._transaction, batch)
        for (number, _), entry in self._new.items():
            if number == batch.number:
                for outcome, count in entry.counts.items():
                    totals[outcome] = totals.get(outcome, 0) + count
        return totals

    async def save(self) -> None:
        """Store what was learnt."""
        await self._transaction.many(_UPSERT, [_row(batch) for batch in self._by_id.values()])
        await self._transaction.many(
            "INSERT INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (batch, part, e.content, self._now, orjson.dumps(e.counts).decode(), e.first_report, e.last_report)
                for (batch, part), e in self._new.items()
            ],
        )
        self._new.clear()

    def _begin(self, part: Part) -> Batch:
        devices = tuple(sorted(part.device_ids))
        batch = Batch(
            self._next,
            part.batch_id,
            part.revision,
            self._signers[part.signer],
            part.parts,
            part.mode,
            devices,
            applied=0,
            touched_at=self._now,
            stage="open",
            unnamed=0,
        )
        self._next += 1
        self._know(batch)
        return batch

    def _know(self, batch: Batch) -> None:
        self._by_id[batch.batch_id] = batch
        self._by_revision[batch.revision] = batch


async def batches_where(
    transaction: Transaction, condition: str, parameters: Sequence[object] = (), most: int = -1
) -> list[Batch]:
    """The batches that meet an SQL condition, oldest revision first; `most` of them, or all (-1)."""
    rows = await transaction.fetch(f"{BATCHES} AND ({condition}) ORDER BY revision LIMIT ?", (*parameters, most))
    return [batch_of(row) for row in rows]


async def save_batch(transaction: Transaction, batch: Batch) -> None:
    """Store a batch that went on."""
    await transaction.many(_UPSERT, [_row(batch)])


async def batch_counts(transaction: Transaction, batch: Batch) -> dict[str, int]:
    """The outcomes of a batch's items, over all parts applied so far."""
    totals: dict[str, int] = {}
    for (counts,) in await transaction.fetch("SELECT counts FROM parts WHERE batch = ?", (batch.number,)):
        for outcome, count in orjson.loads(counts).items():
            totals[outcome] = totals.get(outcome, 0) + count
    return totals


async def missing_parts(transaction: Transaction, batch: Batch) -> list[int]:
    """The numbers of the parts that have not come."""
    rows = await transaction.fetch("SELECT part FROM parts WHERE batch = ?", (batch.number,))
    return sorted(set(range(1, batch.parts + 1)).difference(row[0] for row in rows))


async def forget(transaction: Transaction, before: int) -> int:
    """Forget batches last touched before that moment (epoch ms) that no user names any more; how many."""
    old = "touched_at < ? AND batch NOT IN (SELECT batch FROM origins)"
    for table in ("parts", "spared", "additions"):
        await transaction.execute(
            f"DELETE FROM {table} WHERE batch IN (SELECT batch FROM batches WHERE {old})", (before,)
        )
    return await transaction.execute(f"DELETE FROM batches WHERE {old}", (before,))


def batch_of(row: tuple[Any, ...]) -> Batch:
    """A batch from its row."""
    number, batch_id, revision, signer, parts, mode, devices, *rest = row
    return Batch(number, batch_id, revision, signer, parts, Mode(mode), tuple(orjson.loads(devices)), *rest)


def _row(batch: Batch) -> tuple[object, ...]:
    return (
        batch.number,
        batch.batch_id,
        batch.revision,
        batch.signer,
        batch.parts,
        batch.mode.value,
        _json(batch.device_ids),
        batch.applied,
        batch.touched_at,
        batch.stage,
        batch.unnamed,
    )


def _same_batch(batch: Batch, part: Part) -> bool:
    return (batch.revision, batch.parts, batch.mode, batch.device_ids) == (
        part.revision,
        part.parts,
        part.mode,
        tuple(sorted(part.device_ids)),
    )


def _refused(part: Part, code: Refusal, message: str) -> Refused:
    return Refused(code, message, part.batch_id, part.revision, part.number, part.parts, part.payload_sha256)


def _json(values: Collection[object]) -> str:
    return orjson.dumps(list(values)).decode()
