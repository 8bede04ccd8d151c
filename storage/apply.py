"""Apply: a group of parts in one transaction, with the ledger, the list and the reports.

All there or nothing: what a part does to the list, its ledger entry and its reports commit together, and parts that
wait together share the commit.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeVar

from protocol.codec import Refused
from protocol.reports import ERASED, Receipt, Run
from protocol.validate import Roll
from protocol.vocabulary import Mode, Outcome, Status, Verdict
from storage import forgotten, userlist
from storage.changes import expire_due
from storage.database import Transaction
from storage.ledger import Admitted, Batch, Ledger, Seen
from storage.merge import Device, View, merge
from storage.origins import Origins, occupancy
from storage.outbox import Desk
from storage.replace import Guard, finish
from storage.result import Result, result_extras, unknown_device

T = TypeVar("T")

_EXPIRED = Status.EXPIRED.value

_SPOKEN = "UPDATE devices SET revision = ?, revised_by = ? WHERE device = ?"
_ADD = """
INSERT INTO additions VALUES (?, ?, ?) ON CONFLICT (batch, device) DO UPDATE SET added = added + excluded.added
"""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one part of a group, for the log."""

    batch_id: str | None
    part: int | None
    verdict: Verdict
    counts: Mapping[str, int] = field(default_factory=dict)
    refused: Refused | None = None


async def apply(
    transaction: Transaction,
    group: Sequence[Roll | Refused],
    devices: Mapping[str, Device],
    guard: Guard,
    now: int,
    *,
    sparing: bool = False,
) -> list[Applied]:
    """Apply a group of validated parts in order, and receipt those that cannot be used; one outcome each.

    `sparing`: what changes nothing (replayed, refused) is told to nobody, so that nothing is written for it.
    Runs inside the caller's transaction; raises StorageFault, after which nothing of the group happened.
    """
    desk = await Desk.open(transaction, now)
    answers = Desk(transaction, 0, now) if sparing else desk  # one that is never saved
    await expire_due(transaction, now, desk)
    ledger = await Ledger.open(transaction, [each.part for each in group if isinstance(each, Roll)], now)
    outcomes: list[Applied] = []
    admitted: list[tuple[Roll, Admitted]] = []

    async def settle() -> None:
        outcomes.extend(await _settle(transaction, admitted, ledger, devices, desk, now))
        admitted.clear()

    for each in group:
        if isinstance(each, Refused):
            await settle()
            outcomes.append(_refused(each, answers))
            continue
        step = ledger.admit(each.part)
        if isinstance(step, Admitted):
            if admitted and _apart(admitted[-1][1].batch, step.batch):
                await settle()
            admitted.append((each, step))
            if step.completes and step.batch.mode is Mode.REPLACE:
                await settle()
                await finish(transaction, step.batch, devices, guard, desk, now)
            continue
        await settle()
        outcomes.append(_replayed(step, ledger, answers) if isinstance(step, Seen) else _refused(step, answers))
    await settle()
    await ledger.save()
    await desk.save()
    return outcomes


def _apart(batch: Batch, other: Batch) -> bool:
    """Whether parts of two batches cannot share a look: what a replace counts, the other would change."""
    return batch is not other and Mode.REPLACE in (batch.mode, other.mode)


async def _settle(
    transaction: Transaction,
    admitted: Sequence[tuple[Roll, Admitted]],
    ledger: Ledger,
    devices: Mapping[str, Device],
    desk: Desk,
    now: int,
) -> list[Applied]:
    """Apply admitted parts that no removal stands between: one look, one decision, one write."""
    if not admitted:
        return []
    origins = await Origins.open(transaction)
    views = await _look(transaction, [(roll, step.batch) for roll, step in admitted], origins, devices)
    outcomes = []
    spared: list[tuple[int, int, int]] = []
    for roll, step in admitted:
        batch = step.batch
        counts: Counter[str] = Counter()
        runs: list[Run] = []
        unnamed = {mobile for view in views.values() for mobile in view.forgotten}.intersection(roll.mobiles)
        for device_id in roll.part.device_ids:
            view = views.get(device_id)
            if view is None:
                results = unknown_device(roll, device_id)
            else:
                origin = origins.new(
                    view.device.number, batch.number, batch.revision, _body(roll), roll.part.invited_by
                )
                results = await _unhurried(merge(view, roll, origin, now))
                if batch.revision > view.revision:
                    view.revision, view.signer = batch.revision, batch.signer
                if batch.mode is Mode.REPLACE:
                    spared += _spared(view, batch, roll, results)
                    view.added[batch.number] = view.added.get(batch.number, 0) + _growth(results)
            hidden = {each for each in unnamed if view is None or view.hides(each)}
            alike = _runs(device_id, *_without(hidden, roll.mobiles, results))
            for run in alike:
                counts[run.outcome.value] += len(run.mobiles)
            runs += alike
        if batch.mode is Mode.REPLACE and views:
            batch.unnamed += sum(roll.mobiles[item] is None for item in roll.faults)
        desk.receipt(_receipt(Verdict.APPLIED, roll, batch, counts), batch.number)
        ledger.enter(batch, roll.part, dict(counts), desk.statuses(runs, batch.number, roll.part.number))
        if step.completes and batch.mode is Mode.MERGE:
            batch.stage = "complete"
            totals = await ledger.totals(batch)
            desk.receipt(
                Receipt(Verdict.COMPLETE, batch.batch_id, batch.revision, None, batch.parts, totals), batch.number
            )
        outcomes.append(Applied(roll.part.batch_id, roll.part.number, Verdict.APPLIED, counts))
        await asyncio.sleep(0)  # the gate is answered between parts
    await transaction.many("INSERT OR IGNORE INTO spared VALUES (?, ?, ?)", spared)
    signers = {step.batch.number: step.batch.signer for _, step in admitted}
    for view in views.values():
        await _write(transaction, view, origins)
        again = view.revoked.items()
        await forgotten.revoked(
            transaction, [(view.device.number, who, signers[origin.batch], origin.revision) for who, origin in again]
        )
        await asyncio.sleep(0)
    await origins.save()
    await ledger.save()
    return outcomes


async def _unhurried(work: Generator[None, None, T]) -> T:
    """What long work comes to; the gate is answered wherever it yields."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            result: T = done.value
            return result
        await asyncio.sleep(0)


async def _look(
    transaction: Transaction,
    admitted: Sequence[tuple[Roll, Batch]],
    origins: Origins,
    devices: Mapping[str, Device],
) -> dict[str, View]:
    """Everything the parts need to know of the lists they name, with a few statements per device."""
    views: dict[str, View] = {}
    standing = {
        number: (revision, replaced)
        for number, revision, replaced in await transaction.fetch("SELECT device, revision, replaced FROM lists")
    }
    replace = next((batch for _, batch in admitted if batch.mode is Mode.REPLACE), None)
    for device_id in dict.fromkeys(device_id for roll, _ in admitted for device_id in roll.part.device_ids):
        device = devices.get(device_id)
        if device is None:
            continue
        rolls = [roll for roll, _ in admitted if device_id in roll.part.device_ids]
        since = replace.revision if replace else 0
        any_yet, occupied, named = await occupancy(transaction, device.number, since)
        mobiles = {mobile for roll in rolls for mobile in roll.mobiles if mobile is not None}
        known = await userlist.glance(transaction, device.number, mobiles) if any_yet else {}
        await origins.load({row.origin for row in known.values()})
        wanted = await _wanted(rolls, known, origins) if known else set()
        contents = await userlist.whole(transaction, device.number, wanted) if wanted else {}
        revision, replaced = standing[device.number]
        gone = await forgotten.ranks(transaction, device.number, mobiles.difference(known))
        views[device_id] = View(device, revision, replaced, occupied, known, contents, origins, forgotten=gone)
        if replace:
            views[device_id].named[replace.number] = named
    return views


async def _wanted(rolls: Sequence[Roll], known: Mapping[int, userlist.Glance], origins: Origins) -> set[int]:
    """Users whose content has to be compared; where the same part is sent again, the origin alone proves it equal."""
    bodies = {number: origins[number].body for number in {row.origin for row in known.values()}}
    wanted: set[int] = set()
    for roll in rolls:
        equal = {number for number, body in bodies.items() if body == roll.part.content}
        wanted.update(
            person.mobile
            for person in roll.people
            if (row := known.get(person.mobile)) is not None
            and row.status is not None
            and (row.origin not in equal or row.status == _EXPIRED)
        )
        await asyncio.sleep(0)
    return wanted


async def _write(transaction: Transaction, view: View, origins: Origins) -> None:
    """Write what was decided for one device: changed rows, and origins that moved or were left."""
    device = view.device.number
    stayed: dict[int, list[int]] = {}
    for mobile in view.restated:
        stayed.setdefault(view.known[mobile].origin, []).append(mobile)
    moves: list[tuple[int, int]] = []
    for number, mobiles in stayed.items():
        heirs = {view.restated[mobile] for mobile in mobiles}
        if len(heirs) == 1 and origins[number].users == len(mobiles):
            origins.hand_over(origins[number], origins[heirs.pop()], mobiles)
        else:
            moves += _move(view, origins, number, mobiles)
    await userlist.put(transaction, view.written.values(), view.known)
    await userlist.move(transaction, device, moves)
    if view.signer is not None:
        await transaction.execute(_SPOKEN, (view.revision, view.signer, device))
    await transaction.many(_ADD, [(batch, device, added) for batch, added in view.added.items()])


def _move(view: View, origins: Origins, number: int, mobiles: Sequence[int]) -> list[tuple[int, int]]:
    """Only some users of an origin were named again: they leave it, each to what spoke of them."""
    moving: dict[tuple[int, str | None], list[int]] = {}
    for mobile in mobiles:
        moving.setdefault((view.restated[mobile], view.known[mobile].status), []).append(mobile)
    for (heir, status), each in moving.items():
        origins[number].leave(status, each)
        origins[heir].join(status, each)
    return [(mobile, view.restated[mobile]) for mobile in mobiles]


def _body(roll: Roll) -> bytes | None:
    """What proves users equal when it comes again; nothing where a number repeats: next time another item may stand."""
    named = [mobile for mobile in roll.mobiles if mobile is not None]
    return roll.part.content if len(set(named)) == len(named) else None


def _spared(view: View, batch: Batch, roll: Roll, results: Sequence[Result]) -> list[tuple[int, int, int]]:
    """Users whom a rejected row of a replace names: they stay as they were."""
    return [
        (batch.number, view.device.number, mobile)
        for mobile, result in zip(roll.mobiles, results, strict=True)
        if result.outcome is Outcome.REJECTED and mobile is not None and batch.revision > view.forgotten.get(mobile, 0)
    ]


def _without(
    hidden: Collection[int], mobiles: Sequence[int | None], results: Sequence[Result]
) -> tuple[Sequence[int | None], Sequence[Result]]:
    """The results as a report may tell them: of some people neither the number nor words that repeat it."""
    if not hidden:
        return mobiles, results
    pairs = list(zip(mobiles, results, strict=True))
    return (
        [ERASED if mobile in hidden else mobile for mobile, _ in pairs],
        [result.wordless() if mobile in hidden else result for mobile, result in pairs],
    )


def _runs(device_id: str, mobiles: Sequence[int | None], results: Sequence[Result]) -> list[Run]:
    """Results of one device, alike neighbours together."""
    runs, first = [], 0
    for result, alike in groupby(results):
        count = len(list(alike))
        runs.append(
            Run(
                device_id, first, result.outcome, result.status, mobiles[first : first + count], **result_extras(result)
            )
        )
        first += count
    return runs


def _growth(results: Sequence[Result]) -> int:
    """Users a part put on the list, less those it took off by name."""
    return sum((result.outcome is Outcome.ADDED) - (result.outcome is Outcome.REVOKED) for result in results)


def _receipt(verdict: Verdict, roll: Roll, batch: Batch, counts: Mapping[str, int]) -> Receipt:
    return Receipt(verdict, batch.batch_id, batch.revision, roll.part.number, batch.parts, counts)


def _replayed(seen: Seen, ledger: Ledger, desk: Desk) -> Applied:
    """The part was applied before: the stored results are sent again under their old ids, after the new receipt."""
    entry, batch = ledger.entry(seen.batch, seen.number), seen.batch
    receipt = Receipt(Verdict.REPLAYED, batch.batch_id, batch.revision, seen.number, batch.parts, entry.counts)
    desk.receipt(receipt, batch.number)
    desk.resend(entry.first_report, entry.last_report)
    return Applied(batch.batch_id, seen.number, Verdict.REPLAYED, entry.counts)


def _refused(refused: Refused, desk: Desk) -> Applied:
    """Nothing of the part is applied, and its sender hears why."""
    desk.receipt(
        Receipt(
            Verdict.REJECTED,
            refused.batch_id,
            refused.revision,
            refused.part,
            refused.parts,
            error=refused.code,
            message=refused.message,
            payload_sha256=refused.payload_sha256,
            repeated=refused.repeated,
        )
    )
    return Applied(refused.batch_id, refused.part, Verdict.REJECTED, refused=refused)
