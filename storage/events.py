"""The access log: every request at a gate and its end, kept after it was sent for as long as the retention says.

An event costs the card one page: numbers are given out in order and nothing else of the store changes with it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from protocol.events import Event
from protocol.vocabulary import Action, Channel, ClockState, Denial
from storage import outbox, places
from storage.database import Reader, Transaction
from storage.outbox import Resend

_COLUMNS: Final = (
    "at, device_id, request, mobile, name, channel, action, reason, note, clock, opened, actuated, error, intent, "
    "erased"
)
_SELECT: Final = f"SELECT event, {_COLUMNS} FROM events CROSS JOIN devices USING (device)"
_BETWEEN: Final = f"{_SELECT} WHERE event BETWEEN ? AND ? ORDER BY event LIMIT ?"
_SEARCH: Final = f"""
{_SELECT} WHERE event < ?1 AND at < ?2 AND at >= ?3 AND (?4 IS NULL OR device_id IN (SELECT value FROM json_each(?4)))
ORDER BY event DESC LIMIT ?5
"""
_NEWEST_ONES: Final = f"{_SELECT} ORDER BY event DESC LIMIT ?"
_WITH_INTENTS: Final = "SELECT intent FROM events WHERE intent IN (SELECT value FROM json_each(?))"
_EVER: Final = 2**63 - 1
_INSERT: Final = f"""
INSERT INTO events (event, {_COLUMNS.replace("device_id", "device")})
VALUES (?, ?, (SELECT device FROM devices WHERE device_id = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
NEWEST: Final = "SELECT max(events_sent, coalesce((SELECT max(event) FROM events), 0)) FROM store"
_LAST_INTENT: Final = "SELECT max(intents, coalesce((SELECT max(intent) FROM events), 0)) FROM store"
_OLD: Final = """
SELECT coalesce(max(event), 0) FROM events WHERE clock != 'unknown' AND event < (
    SELECT coalesce(min(event), ?3) FROM events WHERE clock != 'unknown' AND at >= {}
)
"""
_OVER: Final = f"""
SELECT max(({NEWEST}) - ?2, min(events_sent, ({_OLD.format("?1")})), min(({NEWEST}) - 1, ({_OLD.format("?4")})))
FROM store
"""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event and its number."""

    number: int
    event: Event


@dataclass(frozen=True, slots=True)
class Span:
    """Where the log stands: numbers sent, acknowledged and kept (oldest after newest: none), and how many are lost."""

    sent: int
    acknowledged: int
    oldest: int
    newest: int
    lost: int


async def record(transaction: Transaction, happened: Sequence[Event]) -> int:
    """Store events in order, under the numbers that follow; the newest number afterwards."""
    ((newest,),) = await transaction.fetch(NEWEST)
    if happened:
        # An intent may outlive the store that knew its device.
        devices = sorted({event.device_id for event in happened})
        await places.given(transaction, devices)
        await transaction.many(_INSERT, [_row(number, event) for number, event in enumerate(happened, newest + 1)])
    return int(newest) + len(happened)


async def are_newest(transaction: Transaction, happened: Sequence[Event]) -> bool:
    """Whether these were stored, and nothing since: a disk may report a commit as failed that was durable."""
    found = await transaction.fetch(_NEWEST_ONES, (len(happened),))
    return [_recorded(row).event for row in reversed(found)] == list(happened)


async def count_lost(transaction: Transaction, count: int) -> None:
    """Note that so many events could not be stored."""
    await transaction.execute("UPDATE store SET events_lost = events_lost + ?", (count,))


def span(reader: Reader) -> Span:
    """Where the log stands."""
    ((sent_through, stored, oldest, newest, lost),) = reader.fetch(
        f"SELECT events_sent, events_acknowledged, (SELECT min(event) FROM events), ({NEWEST}), events_lost FROM store"
    )
    return Span(sent_through, stored, newest + 1 if oldest is None else oldest, newest, lost)


def events(reader: Reader, first: int, last: int, most: int) -> list[Recorded]:
    """Up to `most` stored events between `first` and `last`, in order."""
    return [_recorded(row) for row in reader.fetch(_BETWEEN, (first, last, most))]


def search(
    reader: Reader,
    *,
    device_ids: Collection[str] | None = None,
    since: int | None = None,
    until: int | None = None,
    before: int | None = None,
    most: int,
) -> list[Recorded]:
    """Up to `most` events of these devices (None: all) in [since, until) (epoch ms), the newest number first.

    `before` is a number to go on from: that of the last event of the page before.
    """
    devices = None if device_ids is None else orjson.dumps(list(device_ids)).decode()
    first = 0 if since is None else since
    ends = (_EVER if each is None else each for each in (before, until))
    return [_recorded(row) for row in reader.fetch(_SEARCH, (*ends, first, devices, most))]


def last_intent(reader: Reader) -> int:
    """The highest number of an intent whose event was ever stored."""
    ((number,),) = reader.fetch(_LAST_INTENT)
    return int(number)


def recorded_intents(reader: Reader, numbers: Collection[int]) -> set[int]:
    """Those of these intents whose event was stored, forgotten ones among them."""
    ((forgotten,),) = reader.fetch("SELECT intents FROM store")
    rows = reader.fetch(_WITH_INTENTS, (orjson.dumps(list(numbers)).decode(),))
    return {number for number in numbers if number <= forgotten}.union(row[0] for row in rows)


async def stored_intents(transaction: Transaction, numbers: Collection[int]) -> set[int]:
    """Those of these intents whose event is stored, seen from inside a transaction."""
    return {row[0] for row in await transaction.fetch(_WITH_INTENTS, (orjson.dumps(list(numbers)).decode(),))}


async def sent(transaction: Transaction, through: int) -> None:
    """Note that the broker has taken the events through a number."""
    await transaction.execute(f"UPDATE store SET events_sent = max(events_sent, min(?, ({NEWEST})))", (through,))


async def acknowledged(transaction: Transaction, through: int) -> None:
    """Note that the cloud itself has stored the events through a number."""
    await transaction.execute(
        f"UPDATE store SET events_acknowledged = max(events_acknowledged, min(?, ({NEWEST})))", (through,)
    )


async def ask_again(transaction: Transaction, first: int, last: int) -> int:
    """Have stored events of a range sent again; how many there still are."""
    ((count, newest),) = await transaction.fetch(
        f"SELECT count(*), ({NEWEST}) FROM events WHERE event BETWEEN ? AND ?", (first, last)
    )
    if count:
        await outbox.request(transaction, "events", [(newest, first, min(last, newest))])
    return int(count)


def next_resend(reader: Reader, after: int) -> Resend | None:
    """The oldest request for events again whose number is above `after`; `outbox.sent` notes that it is done."""
    return outbox.next_resend(reader, after, "events")


async def prune(transaction: Transaction, before: int, most: int, bound: int = 0) -> int:
    """Forget the oldest: what was sent and happened before that moment (epoch ms), and all but the newest `most`.

    What happened before the `bound` goes though it was never sent, but for the newest: `state` says what is kept.
    What is kept stays without a gap, so an event is forgotten with those around it, whatever its own date: a board
    that woke in 1970 does not lose its log of that day, nor what was recorded before. Returns how many went.
    """
    ((through,),) = await transaction.fetch(_OVER, (before, max(most, 1), _EVER, bound))
    if not await transaction.fetch("SELECT 1 FROM events WHERE event <= ?", (through,)):
        return 0
    await transaction.execute(
        "UPDATE store SET intents = max(intents, coalesce((SELECT max(intent) FROM events WHERE event <= ?), 0))",
        (through,),
    )
    return await transaction.execute("DELETE FROM events WHERE event <= ?", (through,))


def _row(number: int, event: Event) -> tuple[object, ...]:
    return (
        number,
        event.at,
        event.device_id,
        event.request,
        event.mobile,
        event.name,
        event.channel.value,
        event.action.value,
        None if event.reason is None else event.reason.value,
        event.note,
        event.clock.value,
        event.opened,
        event.actuated,
        event.error,
        event.intent,
        event.erased,
    )


def _recorded(row: tuple[Any, ...]) -> Recorded:
    number, at, device, request, mobile, name, channel, action, reason, note, clock, opened, actuated, *rest = row
    error, intent, erased = rest
    event = Event(
        at,
        device,
        request,
        mobile,
        name,
        Channel(channel),
        Action(action),
        None if reason is None else Denial(reason),
        note,
        ClockState(clock),
        opened,
        None if actuated is None else bool(actuated),
        error,
        intent,
        bool(erased),
    )
    return Recorded(number, event)
