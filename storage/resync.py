"""Resync: who stands on a device's list at one moment, for a cloud that compares it with its own."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from protocol.digest import Sums, digest_text
from protocol.reports import Run, chunked
from protocol.vocabulary import Outcome
from storage.database import Reader, Transaction
from storage.merge import Device
from storage.outbox import Desk, position

_PAGE = """
SELECT mobile, revision, status FROM users JOIN origins USING (origin) JOIN batches USING (batch)
WHERE users.device = ? AND mobile > ? AND status IS NOT NULL ORDER BY mobile LIMIT ?
"""
PAGE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Picture:
    """One device's list as a single commit left it; the digests are of its rows, and no sums that were kept."""

    as_of: int
    """The newest report of that moment: the list is as all reports through this one tell it."""
    revision: int
    digest: str
    buckets: dict[str, str]
    """The digest of every bucket that anybody is in."""
    messages: list[list[Run]]
    """The users of the wanted buckets, cut to the size of messages, and an end; nothing where none were wanted."""


def picture(reader: Reader, device: Device, wanted: Collection[str] | None) -> Picture:
    """The list of `device`, with the users of the buckets `wanted` (None: all). Raises StorageFault.

    `reader` is for this alone, and on any thread: it stays with one commit, whatever is written meanwhile. It takes
    some 3 µs a user.
    """
    reader.fetch("BEGIN")
    ((revision,),) = reader.fetch("SELECT revision FROM lists WHERE device = ?", (device.number,))
    sums = Sums()
    listed: dict[tuple[int, str], list[int]] = {}
    after = 0
    while rows := reader.fetch(_PAGE, (device.number, after, PAGE)):
        after = rows[-1][0]
        alike: dict[tuple[int, str], list[int]] = {}
        for mobile, of_batch, status in rows:
            alike.setdefault((of_batch, status), []).append(mobile)
        for (of_batch, status), mobiles in alike.items():
            places = sums.count(mobiles, of_batch)
            some = [mobile for mobile, place in zip(mobiles, places, strict=True) if wanted is None or place in wanted]
            if some:
                listed.setdefault((of_batch, status), []).extend(some)
    runs = [
        Run(device.device_id, None, Outcome.LISTED, status, mobiles, revision=of_batch)
        for (of_batch, status), mobiles in sorted(listed.items())
    ]
    end = Run(device.device_id, None, Outcome.LISTED, None, ())
    messages = list(chunked([*runs, end])) if wanted is None or wanted else []
    return Picture(position(reader).newest, revision, digest_text(sums.digest), sums.texts(), messages)


async def tell(transaction: Transaction, messages: Collection[list[Run]], now: int) -> tuple[int, int]:
    """Put the users of a picture into the outbox; the first and last report that name them."""
    desk = await Desk.open(transaction, now)
    first = desk.newest + 1
    for runs in messages:
        desk.statuses(runs)
    await desk.save()
    return first, desk.newest
