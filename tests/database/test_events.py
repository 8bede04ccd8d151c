"""The access log: no number twice, no gap, nothing forgotten too early, and the card written once."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.events import Event, event_payload
from protocol.vocabulary import Action, Channel, ClockState, Denial
from storage import events, outbox
from storage.database import Transaction
from storage.events import Recorded, Span
from tests.oracle.histories import GATE, HOUR, NOON, PANEL, STRANGER
from tests.oracle.model import DeviceRule
from tests.oracle.store import Store

EVERYTHING = 1 << 40
MOST = 1 << 30
BOOT_OF_1970 = 600_000
DEVICES = {GATE: DeviceRule("fluss+", 100), PANEL: DeviceRule("intercom", 100)}
OPENED = Event(
    at=NOON,
    device_id=GATE,
    request="r-1",
    mobile=27824511234,
    name="David",
    channel=Channel.BLUETOOTH,
    action=Action.TRIGGER,
    reason=None,
    note=None,
    clock=ClockState.SYNCED,
    opened=None,
    actuated=True,
    error=None,
)
DENIED = replace(OPENED, mobile=None, name=None, reason=Denial.UNKNOWN_USER, actuated=None)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(tmp_path / "gateway.db", DEVICES) as opened:
        yield opened


async def record(store: Store, *happened: Event) -> int:
    return await store.database.transact(lambda transaction: events.record(transaction, happened))


async def sent(store: Store, through: int) -> None:
    await store.database.transact(lambda transaction: events.sent(transaction, through))


async def acknowledged(store: Store, through: int) -> None:
    await store.database.transact(lambda transaction: events.acknowledged(transaction, through))


async def prune(store: Store, before: int = 0, most: int = MOST) -> int:
    return await store.database.transact(lambda transaction: events.prune(transaction, before, most))


async def ask(store: Store, first: int, last: int) -> int:
    return await store.database.transact(lambda transaction: events.ask_again(transaction, first, last))


def kept(store: Store) -> list[int]:
    return [recorded.number for recorded in events.events(store.reader, 0, EVERYTHING, MOST)]


def log_of(*happened: Event) -> list[Recorded]:
    return [Recorded(number, event) for number, event in enumerate(happened, 1)]


def resends(store: Store, following: Callable[..., outbox.Resend | None]) -> list[tuple[int, int, int]]:
    found: list[outbox.Resend] = []
    while resend := following(store.reader, found[-1].number if found else 0):
        found.append(resend)
    return [(each.after, each.first, each.last) for each in found]


async def test_event_is_read_as_it_was_recorded(store: Store) -> None:
    """Whatever the vocabularies have, whoever it was, however it ended; and the wire form is the same bytes."""
    happened = [
        *(replace(OPENED, channel=channel, action=action) for channel in Channel for action in Action),
        *(replace(DENIED, reason=reason, clock=clock) for reason in Denial for clock in ClockState),
        *(replace(OPENED, actuated=actuated, error=error) for actuated in (True, False, None) for error in ("?", None)),
        replace(OPENED, device_id=PANEL, opened=GATE, note="'; DROP TABLE events\0é", intent=(1 << 53) - 1),
        replace(OPENED, at=BOOT_OF_1970, request="ü" * 64, name="", note=""),
    ]
    await record(store, *happened)
    stored = events.events(store.reader, 1, EVERYTHING, MOST)
    assert stored == log_of(*happened)
    assert [type(each.event.actuated) for each in stored] == [type(event.actuated) for event in happened]
    for each, event in zip(stored, happened, strict=True):
        assert event_payload("gw-1", "k3f9", each.number, each.event) == event_payload(
            "gw-1", "k3f9", each.number, event
        )


async def test_numbers_go_on_over_commits_and_restarts(store: Store) -> None:
    assert await record(store) == 0
    assert await record(store, OPENED, DENIED) == 2
    assert await record(store) == 2
    await store.restart()
    assert await record(store, OPENED) == 3
    assert kept(store) == [1, 2, 3]


async def test_event_of_a_transaction_that_fails_leaves_no_gap(store: Store) -> None:
    async def fails(transaction: Transaction) -> None:
        await events.record(transaction, [OPENED])
        raise ValueError("the disk")

    with pytest.raises(ValueError, match="the disk"):
        await store.database.transact(fails)
    assert await record(store, DENIED) == 1
    assert events.events(store.reader, 1, 9, 9) == log_of(DENIED)


async def test_event_of_a_device_that_the_store_does_not_know_is_kept(store: Store) -> None:
    """The intents of a board outlive its store, and tell of devices that it had once."""
    await record(store, replace(OPENED, device_id=STRANGER), OPENED)
    assert [each.event.device_id for each in events.events(store.reader, 1, 9, 9)] == [STRANGER, GATE]
    assert store.unsound() == []


async def test_event_costs_the_card_one_page(store: Store) -> None:
    """An index, or a row that changes with every event, would be another one."""
    log = store.path.with_name(store.path.name + "-wal")
    await record(store, OPENED)
    before = log.stat().st_size
    for _ in range(20):
        await record(store, OPENED)
    assert log.stat().st_size - before == 20 * (4096 + 24)


async def test_span_tells_where_the_log_stands(store: Store) -> None:
    assert events.span(store.reader) == Span(sent=0, acknowledged=0, oldest=1, newest=0, lost=0)
    await record(store, *[OPENED] * 5)
    await sent(store, 4)
    await sent(store, 2)
    await acknowledged(store, 3)
    await acknowledged(store, 1)
    assert events.span(store.reader) == Span(sent=4, acknowledged=3, oldest=1, newest=5, lost=0)


async def test_no_more_is_sent_or_acknowledged_than_happened(store: Store) -> None:
    await record(store, OPENED, OPENED)
    await sent(store, 900)
    await acknowledged(store, 900)
    assert await record(store, OPENED) == 3
    assert events.span(store.reader) == Span(sent=2, acknowledged=2, oldest=1, newest=3, lost=0)


async def test_lost_events_are_counted_together(store: Store) -> None:
    await store.database.transact(lambda transaction: events.count_lost(transaction, 2))
    await store.database.transact(lambda transaction: events.count_lost(transaction, 3))
    await store.restart()
    assert events.span(store.reader).lost == 5


async def test_events_come_in_order_a_few_at_a_time(store: Store) -> None:
    await record(store, *[OPENED] * 7)
    assert [each.number for each in events.events(store.reader, 2, 6, 3)] == [2, 3, 4]
    assert [each.number for each in events.events(store.reader, 5, 6, 3)] == [5, 6]


async def test_prune_by_age_keeps_what_was_not_sent(store: Store) -> None:
    await record(store, *[OPENED] * 3, *[replace(OPENED, at=NOON + 1)] * 3)
    await sent(store, 2)
    assert await prune(store, before=NOON + 1) == 2
    assert await prune(store, before=NOON + 1) == 0
    await sent(store, 6)
    assert await prune(store, before=NOON + 1) == 1
    assert kept(store) == [4, 5, 6]


async def test_prune_by_count_takes_the_oldest_sent_or_not(store: Store) -> None:
    await record(store, *[OPENED] * 10)
    await sent(store, 2)
    assert await prune(store, most=4) == 6
    assert kept(store) == [7, 8, 9, 10]
    assert events.span(store.reader).oldest == 7


@pytest.mark.parametrize("through", [0, 4, 10])
async def test_prune_of_everything_gives_no_number_out_again(store: Store, through: int) -> None:
    """(epoch, eventId) never repeats with other content, whatever was sent or forgotten."""
    await record(store, *[OPENED] * 10)
    await sent(store, through)
    await prune(store, before=NOON + 1, most=0)
    await store.restart()
    assert await record(store, OPENED) == 11
    assert events.span(store.reader).newest == 11


async def test_board_that_woke_in_1970_keeps_its_log_of_that_day(store: Store) -> None:
    """Events without a date are as old as those around them; they go with the ones before, never with those after."""
    lost = replace(OPENED, at=BOOT_OF_1970, clock=ClockState.UNKNOWN)
    await record(store, OPENED, lost, lost, replace(OPENED, at=NOON + HOUR), lost)
    await sent(store, 5)
    assert await prune(store, before=NOON) == 0
    assert await prune(store, before=NOON + 1) == 1
    assert kept(store) == [2, 3, 4, 5]
    assert await prune(store, before=NOON + HOUR + 1) == 3
    assert kept(store) == [5]


async def test_event_dated_by_a_clock_that_was_lost_keeps_no_other_for_longer(store: Store) -> None:
    await record(store, replace(OPENED, at=NOON + 1_000_000 * HOUR, clock=ClockState.UNKNOWN), OPENED)
    await sent(store, 2)
    assert await prune(store, before=NOON + 1) == 2


async def test_clock_that_was_wrong_and_sure_of_it_wipes_nothing(store: Store) -> None:
    """A board whose clock is trusted as it is, woken in 1970: what came before is not as old as that."""
    await record(store, OPENED, OPENED, replace(OPENED, at=BOOT_OF_1970), OPENED)
    await sent(store, 4)
    assert await prune(store, before=NOON) == 0
    assert await prune(store, before=NOON + 1) == 4


async def test_intents_stay_recorded_when_their_events_are_forgotten(store: Store) -> None:
    """An intent stays in its file for as long as its slot is not needed: years, at a quiet gate."""
    assert (events.last_intent(store.reader), events.recorded_intents(store.reader, [])) == (0, set())
    await record(store, *(replace(OPENED, intent=intent) for intent in (2, 1, None, 5)))
    assert events.recorded_intents(store.reader, range(1, 9)) == {1, 2, 5}
    assert events.last_intent(store.reader) == 5
    await prune(store, most=1)
    assert events.recorded_intents(store.reader, range(1, 9)) == {1, 2, 5}
    await record(store, *(replace(OPENED, intent=intent) for intent in (4, None)))
    assert events.last_intent(store.reader) == 5
    await prune(store, most=1)
    await store.restart()
    assert events.last_intent(store.reader) == 5
    assert events.recorded_intents(store.reader, range(1, 9)) == {1, 2, 3, 4, 5}


async def test_intents_may_end_in_another_order_than_they_began(store: Store) -> None:
    await record(store, *(replace(OPENED, intent=intent) for intent in (3, 1, 2)))
    for most in (2, 1):
        await prune(store, most=most)
        assert events.last_intent(store.reader) == 3
        assert events.recorded_intents(store.reader, range(1, 9)) == {1, 2, 3}


async def test_events_asked_for_again_go_out_after_the_newest(store: Store) -> None:
    await record(store, *[OPENED] * 5)
    assert [await ask(store, 2, 3), await ask(store, 4, 900), await ask(store, 6, 900)] == [2, 2, 0]
    assert resends(store, events.next_resend) == [(5, 2, 3), (5, 4, 5)]
    first = events.next_resend(store.reader, 0)
    assert first is not None
    await store.database.transact(lambda transaction: outbox.sent(transaction, 0, [first.number], ()))
    assert resends(store, events.next_resend) == [(5, 4, 5)]


async def test_requests_for_events_and_for_reports_do_not_mix(store: Store) -> None:
    """Very many of one kind become one, and leave the other alone."""

    async def ask_for_everything(transaction: Transaction) -> None:
        desk = await outbox.Desk.open(transaction, NOON)
        for number in range(1, 301):
            await events.ask_again(transaction, number, number)
            desk.resend(number, number)
        await desk.save()
        desk = await outbox.Desk.open(transaction, NOON)
        desk.resend(1, 2)
        await desk.save()

    await record(store, *[OPENED] * 300)
    await store.database.transact(ask_for_everything)
    assert resends(store, outbox.next_resend) == [(0, 1, 300), (0, 1, 2)]
    asked = resends(store, events.next_resend)
    assert {number for _, first, last in asked for number in range(first, last + 1)} == set(range(1, 301))
    assert len(asked) <= outbox.MOST_RESENDS
