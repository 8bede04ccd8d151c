"""The recorder: what happened is stored together with what follows from it, in order, or counted as lost."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.recorder import MOST_WAITING, Recorder, Work
from agent.vault import Vault
from protocol.events import Event
from protocol.vocabulary import Action, Channel, ClockState, Denial
from storage import events, orders
from storage.database import StorageFault, Transaction
from tests.counterparts.gatehouse import HandClock
from tests.counterparts.waiting import until
from tests.oracle.histories import GATE, NOON
from tests.oracle.model import DeviceRule
from tests.oracle.parts import DAVID, part, person
from tests.oracle.store import Store


def event(number: int, **more: object) -> Event:
    fields: dict[str, object] = {
        "at": NOON + number,
        "device_id": GATE,
        "request": f"r{number}",
        "mobile": 27824511234,
        "name": "David",
        "channel": Channel.BLUETOOTH,
        "action": Action.TRIGGER,
        "reason": Denial.EXPIRED,
        "note": None,
        "clock": ClockState.SYNCED,
        "opened": None,
        "actuated": None,
        "error": None,
    }
    return Event(**(fields | more))  # type: ignore[arg-type]  # the test names fields


@dataclass
class Desk:
    """A recorder in front of a real store, and a disk that is sick at the test's will."""

    store: Store
    vault: Vault
    recorder: Recorder
    commits: int = 0
    sick: bool = False
    failed: int = 0

    async def ill(self, _: Transaction) -> None:
        """Goes with an event, and fails with the whole commit for as long as the disk is sick."""
        if self.sick:
            self.failed += 1
            raise StorageFault("no space left")

    def log(self) -> list[tuple[int, str]]:
        """The number and the request of every event there is."""
        return [(each.number, each.event.request) for each in events.events(self.store.reader, 1, 1 << 40, 1 << 20)]

    def count(self) -> None:
        """Called with every commit and every change of the disk's health."""
        self.commits += 1


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with Store(tmp_path / "gateway.db", {GATE: DeviceRule("fluss+", 100)}) as store:
        clock: Any = HandClock(NOON)
        vault = Vault(store.database, store.reader, store.devices, clock, Random(1))
        recorder = Recorder(vault)
        desk = Desk(store, vault, recorder)
        vault.on_change(desk.count)
        running = asyncio.create_task(recorder.run())
        yield desk
        running.cancel()
        await asyncio.wait([running])


async def fallen_ill(desk: Desk, *, first: int = 0) -> None:
    """One event is in hand, and cannot be stored."""
    desk.sick = True
    stored = desk.recorder.add(event(first), desk.ill)
    await until(lambda: desk.vault.fault)
    assert not stored.done()


async def test_event_is_durable_when_its_future_is_done(desk: Desk) -> None:
    for number in range(1, 4):
        await desk.recorder.add(event(number))
        assert desk.log()[-1] == (number, f"r{number}")
    assert desk.log() == [(1, "r1"), (2, "r2"), (3, "r3")]


async def test_what_waits_together_is_stored_together_and_in_order(desk: Desk) -> None:
    stored = [desk.recorder.add(event(number)) for number in range(1, 51)]
    await asyncio.gather(*stored)
    assert desk.commits == 1
    assert desk.log() == [(number, f"r{number}") for number in range(1, 51)]


async def test_what_follows_from_an_event_is_in_the_same_transaction(desk: Desk) -> None:
    """The disk fails between the two, and after the work of another event: nothing of it is there, then all of it."""
    reader = desk.store.reader
    desk.sick = True

    async def command(transaction: Transaction) -> None:
        await orders.remember(transaction, "c1", NOON)
        assert not orders.seen(reader, "c1", NOON), "nobody sees it before the event is there too"

    one, two = desk.recorder.add(event(1), command), desk.recorder.add(event(2), desk.ill)
    await until(lambda: desk.failed >= 2)
    assert (orders.seen(reader, "c1", NOON), desk.log(), one.done(), two.done()) == (False, [], False, False)
    desk.sick = False
    await asyncio.gather(one, two)
    assert (orders.seen(reader, "c1", NOON), desk.log()) == (True, [(1, "r1"), (2, "r2")])


async def test_commit_that_was_durable_although_the_disk_called_it_failed_is_not_done_again(desk: Desk) -> None:
    """So it is where the log of the store is read anew afterwards, and the last record turns out to be whole."""
    database, transact = desk.store.database, desk.store.database.transact
    times = 0

    async def lies(work: Work) -> None:
        nonlocal times
        times += 1
        await transact(work)
        if times < 3:
            raise StorageFault("disk I/O error")

    async def command(transaction: Transaction) -> None:
        await orders.remember(transaction, f"c{times}", NOON)

    database.transact = lies  # type: ignore[assignment, method-assign]  # a disk that tells an untruth
    await asyncio.gather(desk.recorder.add(event(1), command), desk.recorder.add(event(2)))
    assert times == 3
    assert desk.log() == [(1, "r1"), (2, "r2")]
    assert [orders.seen(desk.store.reader, name, NOON) for name in ("c1", "c2", "c3")] == [True, False, False]
    database.transact = transact  # type: ignore[method-assign]  # it is well again
    await desk.recorder.add(event(2))
    assert desk.log()[-1] == (3, "r2"), "the same once more is another event"


async def test_no_commit_shows_one_without_the_other(desk: Desk) -> None:
    """Looked at after every commit, as a crash there would leave it: events and commands are equally many."""
    reader = desk.store.reader
    unequal: list[tuple[int, int]] = []

    def look() -> None:
        ((remembered,),) = reader.fetch("SELECT count(*) FROM orders")
        if remembered != len(desk.log()):
            unequal.append((remembered, len(desk.log())))

    desk.vault.on_change(look)
    last = None
    for number in range(1, 60):

        async def command(transaction: Transaction, number: int = number) -> None:
            await orders.remember(transaction, f"c{number}", NOON)

        last = desk.recorder.add(event(number), command)
        if number % 7 == 0:
            await last
    assert last is not None
    await last
    assert unequal == []
    assert desk.commits > 3


async def test_acceptance_is_stored_and_reported_in_the_order_in_which_it_came(desk: Desk) -> None:
    await desk.store.receive([part("b1", 1, person())], NOON)
    await desk.recorder.accept(desk.store.devices[GATE].number, int(DAVID))
    assert desk.store.users()[GATE, DAVID]["status"] == "Active"
    assert [each["reason"] for each in desk.store.reports()[-1]["results"]] == ["accepted"]
    with capture_logs() as logs:
        await desk.recorder.accept(desk.store.devices[GATE].number, int(DAVID))
    assert "user.accepted" not in {each["event"] for each in logs}, "once is enough"


async def test_sick_disk_keeps_the_order_and_loses_nothing_up_to_the_bound(desk: Desk) -> None:
    await fallen_ill(desk)
    stored = [desk.recorder.add(event(number)) for number in range(1, MOST_WAITING + 1)]
    assert desk.recorder.lost == 0
    desk.sick = False
    await asyncio.gather(*stored)
    assert desk.log() == [(number + 1, f"r{number}") for number in range(MOST_WAITING + 1)]
    assert events.span(desk.store.reader).lost == 0


async def test_more_than_can_wait_is_lost_oldest_first_and_counted(desk: Desk) -> None:
    await fallen_ill(desk)
    with capture_logs() as logs:
        stored = [desk.recorder.add(event(number)) for number in range(1, MOST_WAITING + 8)]
    assert desk.recorder.lost == 7
    assert [each["event"] for each in logs] == ["event.lost"], "said once, not once for each"
    assert [each.cancelled() for each in stored[:8]] == [True] * 7 + [False]
    desk.sick = False
    await asyncio.gather(*stored[7:])
    kept = ["r0", *(f"r{number}" for number in range(8, MOST_WAITING + 8))]
    assert desk.log() == list(enumerate(kept, 1)), "numbers have no gap: the count tells of the loss"
    await until(lambda: desk.recorder.lost == 0)
    assert events.span(desk.store.reader).lost == 7


async def test_count_of_the_lost_never_says_less_than_was_lost(desk: Desk) -> None:
    """While it is being stored, too: that may take as long as the disk is sick."""
    sick_again = asyncio.Event()
    healed = False

    async def ill_again(_: Transaction) -> None:
        sick_again.set()
        if not healed:
            raise StorageFault("no space left")

    def told() -> int:
        return events.span(desk.store.reader).lost + desk.recorder.lost

    await fallen_ill(desk)
    stored = [desk.recorder.add(event(number), ill_again) for number in range(1, MOST_WAITING + 4)]
    desk.sick = False
    await sick_again.wait()
    assert told() == 3
    healed = True
    await stored[-1]
    assert (events.span(desk.store.reader).lost, desk.recorder.lost) == (3, 0)


async def test_what_must_not_happen_again_is_not_given_up_for_what_is_only_told(desk: Desk) -> None:
    """A command that was carried out and a use of a code, which must not come twice; and an acceptance."""
    await desk.store.receive([part("b1", 1, person())], NOON)

    async def command(transaction: Transaction) -> None:
        await orders.remember(transaction, "c1", NOON)

    await fallen_ill(desk)
    owed = desk.recorder.add(event(1), command)
    accepted = desk.recorder.accept(desk.store.devices[GATE].number, int(DAVID))
    others = [desk.recorder.add(event(number)) for number in range(2, MOST_WAITING + 10)]
    assert (owed.cancelled(), accepted.cancelled()) == (False, False)
    assert desk.recorder.lost == sum(each.cancelled() for each in others) > 9
    desk.sick = False
    await asyncio.gather(owed, accepted)
    assert orders.seen(desk.store.reader, "c1", NOON)
    assert [request for _, request in desk.log()[:2]] == ["r0", "r1"]


async def test_drain_waits_for_the_last_event_and_not_for_a_disk_that_is_sick(desk: Desk) -> None:
    await desk.recorder.drain(0.01)
    stored = desk.recorder.add(event(1))
    await desk.recorder.drain(5)
    assert stored.done()
    await fallen_ill(desk, first=2)
    with capture_logs() as logs:
        async with asyncio.timeout(2):
            await desk.recorder.drain(0.01)
    assert [each["event"] for each in logs] == ["events.abandoned"]
