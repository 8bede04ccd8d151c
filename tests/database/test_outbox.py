"""The outbox: what is kept, what goes again, what is forgotten, and that no number is ever given out twice."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from protocol.reports import Receipt
from protocol.vocabulary import Verdict
from storage import outbox
from storage.database import Transaction
from storage.outbox import Desk, Position
from tests.oracle.histories import GATE, NOON
from tests.oracle.model import DeviceRule
from tests.oracle.parts import ZOE, part, person
from tests.oracle.store import EPOCH, Store

DAY_MS = 86_400_000
EVERYTHING = 1 << 40
SAID = Receipt(Verdict.REJECTED, None, None, None, None)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(tmp_path / "gateway.db", {GATE: DeviceRule("fluss+", 100)}) as opened:
        yield opened


async def say(store: Store, count: int, at: int = NOON) -> None:
    async def work(transaction: Transaction) -> None:
        desk = await Desk.open(transaction, at)
        for _ in range(count):
            desk.receipt(SAID)
        await desk.save()

    await store.database.transact(work)


async def sent(store: Store, through: int) -> None:
    await store.database.transact(lambda transaction: outbox.sent(transaction, through, (), ()))


async def acknowledged(store: Store, through: int) -> None:
    await store.database.transact(lambda transaction: outbox.acknowledged(transaction, through))


async def prune(store: Store, before: int = 0, most_bytes: int = EVERYTHING, now: int = 2 * NOON) -> int:
    return await store.database.transact(lambda transaction: outbox.prune(transaction, before, now, most_bytes))


def kept(store: Store) -> list[int]:
    return [report.number for report in outbox.reports(store.reader, 0, EVERYTHING, 1000)]


async def test_position_tells_where_the_outbox_stands(store: Store) -> None:
    assert outbox.position(store.reader) == Position(EPOCH, 0, 0, oldest=1, newest=0)
    await say(store, 5)
    await sent(store, 3)
    await sent(store, 2)
    await acknowledged(store, 2)
    await acknowledged(store, 1)
    assert outbox.position(store.reader) == Position(EPOCH, 3, 2, oldest=1, newest=5)


async def test_acknowledged_is_never_more_than_was_said(store: Store) -> None:
    await say(store, 5)
    await acknowledged(store, 900)
    await say(store, 1)
    assert outbox.position(store.reader).acknowledged == 5


async def test_reports_come_in_order_a_few_at_a_time(store: Store) -> None:
    await say(store, 7)
    assert [report.number for report in outbox.reports(store.reader, 2, 6, 3)] == [2, 3, 4]


async def test_prune_by_age_keeps_what_was_not_sent(store: Store) -> None:
    await say(store, 3)
    await say(store, 3, NOON + 1)
    await sent(store, 2)
    assert await prune(store, before=NOON + 1) == 2
    assert kept(store) == [3, 4, 5, 6]


async def test_prune_by_age_leaves_no_gap_for_a_report_that_a_lost_clock_has_dated(store: Store) -> None:
    """The cloud would ask for what is between the ends that `state` names, for as long as those are kept."""
    for at in (NOON, NOON - 400 * DAY_MS, NOON + 1, NOON):
        await say(store, 1, at)
    await sent(store, 4)
    assert await prune(store, before=NOON) == 0
    assert await prune(store, before=NOON + 1) == 2
    assert kept(store) == [3, 4]


async def test_report_dated_after_now_keeps_no_other_for_longer(store: Store) -> None:
    for at in (NOON + 4_000 * DAY_MS, NOON, NOON + 4_000 * DAY_MS, NOON + 2):
        await say(store, 1, at)
    await sent(store, 4)
    assert await prune(store, before=-1, now=0) == 0, "nothing is old while nobody knows the time"
    assert await prune(store, before=NOON + 1, now=NOON + 3) == 2
    assert kept(store) == [3, 4]


async def test_prune_by_size_takes_the_oldest(store: Store) -> None:
    await say(store, 10)
    ((size,),) = store.reader.fetch("SELECT length(body) + 64 FROM reports WHERE report = 1")
    assert await prune(store, most_bytes=4 * size) == 6
    assert kept(store) == [7, 8, 9, 10]
    assert outbox.position(store.reader).oldest == 7


@pytest.mark.parametrize("through", [0, 4, 10])
async def test_prune_of_everything_gives_no_number_out_again(store: Store, through: int) -> None:
    """(epoch, reportId) never repeats with other content, whatever was sent or forgotten."""
    await say(store, 10)
    await sent(store, through)
    await prune(store, before=NOON + 1, most_bytes=0)
    await say(store, 1)
    assert kept(store)[-1] == 11
    assert outbox.position(store.reader).newest == 11


async def test_reports_asked_for_again_go_out_after_the_newest(store: Store) -> None:
    await say(store, 5)

    async def ask(first: int, last: int) -> int:
        return await store.database.transact(lambda transaction: outbox.ask_again(transaction, first, last))

    assert [await ask(2, 3), await ask(4, 900), await ask(6, 900)] == [2, 2, 0]
    assert [(each.after, each.first, each.last) for each in store.resends()] == [(5, 2, 3), (5, 4, 5)]
    await store.database.transact(lambda transaction: outbox.sent(transaction, 5, [store.resends()[0].number], ()))
    assert [(each.first, each.last) for each in store.resends()] == [(4, 5)]


async def test_requests_for_reports_stay_few_and_lose_nothing(store: Store) -> None:
    await say(store, 500)

    async def ask(transaction: Transaction) -> None:
        for number in range(1, 301):
            await outbox.ask_again(transaction, number, number)

    await store.database.transact(ask)
    covered = {number for each in store.resends() for number in range(each.first, each.last + 1)}
    assert covered >= set(range(1, 301))
    assert len(store.resends()) <= outbox.MOST_RESENDS


async def test_all_reports_of_a_batch_can_be_asked_for_again(store: Store) -> None:
    """Receipts and statuses, replays among them, and nothing of others in between."""
    first = part("b1", 1, person(), part=1, parts=2)
    await store.receive([first, part("b2", 2, person(ZOE)), first], NOON)

    async def ask(batch_id: str) -> int | None:
        return await store.database.transact(lambda transaction: outbox.ask_batch_again(transaction, batch_id))

    assert (await ask("b1"), await ask("b9")) == (3, None)
    assert [(each.first, each.last) for each in store.resends()[1:]] == [(1, 2), (6, 6)]


async def test_part_whose_statuses_are_gone_is_replayed_with_its_counts_alone(store: Store) -> None:
    await store.receive([part("b1", 1, person())], NOON)
    await sent(store, 3)
    await prune(store, before=NOON + 1)
    await store.receive([part("b1", 1, person())], NOON)
    (receipt,) = store.reports()
    assert (receipt["outcome"], receipt["counts"], receipt["reportId"]) == ("replayed", {"added": 1}, 4)


async def test_replies_go_in_order_and_once(store: Store) -> None:
    async def answer(transaction: Transaction) -> None:
        for body in (b"first", b"second", b"third"):
            await outbox.reply(transaction, body)

    await store.database.transact(answer)
    assert [body for _, body in outbox.replies(store.reader, 2)] == [b"first", b"second"]
    taken = [number for number, _ in outbox.replies(store.reader, 2)]
    await store.database.transact(lambda transaction: outbox.sent(transaction, 0, (), taken))
    await store.database.transact(lambda transaction: outbox.reply(transaction, b"fourth"))
    assert [body for _, body in outbox.replies(store.reader, 9)] == [b"third", b"fourth"]
