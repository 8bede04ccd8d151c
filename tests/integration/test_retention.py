"""What is old is forgotten, and only while the clock is synchronised."""

import os
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from agent.config import load
from agent.keep import Keep
from agent.papers import Papers
from agent.quarantine import Quarantine
from agent.residue import Residue, traces
from agent.upkeep import Upkeep
from protocol.vocabulary import ClockState
from storage import events, orders, outbox
from tests.configurations import MINIMAL
from tests.counterparts.gatehouse import Gatehouse, gatehouse
from tests.oracle.histories import GATE, NOON
from tests.oracle.parts import DAVID, part, person

if TYPE_CHECKING:
    from agent.intake import Intake

DAY = 86_400_000


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Gatehouse]:
    async with gatehouse(tmp_path) as opened:
        await opened.store.receive([part("b1", 1, person(accepted=True))], NOON)
        for day in range(3):
            opened.clock.at = NOON + day * DAY
            await opened.ask(DAVID)
        await opened.store.database.transact(lambda transaction: orders.remember(transaction, "c1", NOON + DAY))
        await opened.store.database.transact(lambda transaction: events.sent(transaction, 3))
        yield opened


def upkeep(house: Gatehouse, days: int) -> Upkeep:
    (house.home / "agent.toml").write_text(f"{MINIMAL}\n[retention]\nevents_days = {days}\n")
    papers = Papers(house.home, house.intents, Quarantine(house.home / "quarantine"), Keep(house.home))
    return Upkeep(load(house.home / "agent.toml"), house.vault, cast("Intake", SimpleNamespace()), papers)


@pytest.mark.parametrize(("days", "left"), [(30, 1), (31, 2), (90, 3)])
async def test_events_stay_as_long_as_the_retention_says(house: Gatehouse, days: int, left: int) -> None:
    house.clock.at = NOON + 32 * DAY
    await upkeep(house, days)._prune()
    assert len(house.log()) == left
    assert not orders.seen(house.store.reader, "c1", NOON), "it has expired, and is refused for that"


async def test_events_that_nobody_takes_stay_for_ninety_days_but_for_the_newest(house: Gatehouse) -> None:
    """Its number must not be given out again."""
    for day in (3, 4):
        house.clock.at = NOON + day * DAY
        await house.ask(DAVID)
    keeper = upkeep(house, 30)
    for days, left in ((89, [3, 4]), (94, [4]), (400, [4])):
        house.clock.at = NOON + days * DAY
        await keeper._prune()
        assert [(event.at - NOON) // DAY for event in house.log()] == left, days


@pytest.mark.parametrize("state", [ClockState.HOLDOVER, ClockState.UNKNOWN])
async def test_nothing_is_forgotten_by_a_clock_that_is_not_synchronised(
    house: Gatehouse, state: ClockState, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.clock.at = NOON + 400 * DAY
    monkeypatch.setattr(house.clock, "state", lambda: state)
    await upkeep(house, 1)._prune()
    assert len(house.log()) == 3
    assert orders.seen(house.store.reader, "c1", NOON)


async def test_of_whoever_has_left_the_list_nothing_but_a_hash_is_left_after_ninety_days(house: Gatehouse) -> None:
    """By then the tombstone goes, as the reports and the events have gone before."""
    await house.store.receive([part("b2", 2, revocations=[{"mobile": DAVID}])], NOON + DAY)
    newest = house.store.reports()[-1]["reportId"]
    await house.store.database.transact(lambda transaction: outbox.sent(transaction, newest, (), ()))
    keeper = upkeep(house, 30)
    for days, (reports, log, rows) in {
        30: (True, 3, 1),
        89: (False, 0, 1),
        91: (False, 0, 1),
        92: (False, 0, 0),
    }.items():
        house.clock.at = NOON + days * DAY
        await keeper._prune()
        named = [each for each in house.store.reports() for each in each.get("results", ()) if each["mobile"] == DAVID]
        assert (bool(named), len(house.log()), len(house.store.users())) == (reports, log, rows), days
    await house.vault.leave_no_trace(rewritten=False)
    with closing(Residue(house.home, house.store.path)) as residue:
        assert not residue.in_store(traces(int(DAVID)))
        assert residue.beside(traces(int(DAVID))) == []
    await house.store.receive([part("b0", 1, person(accepted=True)), part("older", 1, person())], NOON)
    assert house.store.users() == {}
    await house.store.receive([part("b3", 3, person())], NOON)
    assert house.store.users().keys() == {(GATE, DAVID)}


@pytest.mark.parametrize("state", [ClockState.HOLDOVER, ClockState.UNKNOWN])
async def test_tombstone_stays_while_the_clock_is_not_synchronised(
    house: Gatehouse, state: ClockState, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.store.receive([part("b2", 2, revocations=[{"mobile": DAVID}])], NOON)
    house.clock.at = NOON + 400 * DAY
    monkeypatch.setattr(house.clock, "state", lambda: state)
    await upkeep(house, 1)._prune()
    assert house.store.users().keys() == {(GATE, DAVID)}


async def test_unusable_messages_go_with_the_events_of_their_time_and_copies_after_a_week(house: Gatehouse) -> None:
    """What a copy tells of the last month was a month old when it was made."""
    keeper = upkeep(house, 30)
    copy = house.home / "gateway.v1.db"
    copy.touch()
    os.utime(copy, (NOON / 1000, NOON / 1000))
    Quarantine(house.home / "quarantine").keep(b"+27824511234", "0" * 64, NOON)
    for days, copied, kept in ((7, True, True), (8, False, True), (30, False, True), (31, False, False)):
        house.clock.at = NOON + days * DAY
        await keeper._prune()
        assert copy.exists() == copied
        assert any((house.home / "quarantine").iterdir()) == kept


async def test_opening_that_named_somebody_is_still_known_by_its_request(house: Gatehouse) -> None:
    """What must not happen twice does not, and nobody is named in it any more."""
    before = house.intents.read()
    assert {intent.mobile for intent in before} == {int(DAVID)}
    house.clock.at = NOON + 32 * DAY
    await upkeep(house, 30)._prune()
    after = house.intents.read()
    assert [intent.mobile for intent in after] == [None, None, int(DAVID)], "the last is younger"
    assert [intent.name_of_request for intent in after] == [intent.name_of_request for intent in before]
    assert [intent.number for intent in after] == [intent.number for intent in before]
