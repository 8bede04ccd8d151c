"""What is old is forgotten, and only while the clock is synchronised."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from agent.config import load
from agent.upkeep import Upkeep
from protocol.vocabulary import ClockState
from storage import events, orders
from tests.configurations import MINIMAL
from tests.counterparts.gatehouse import Gatehouse, gatehouse
from tests.oracle.histories import NOON
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
    return Upkeep(load(house.home / "agent.toml"), house.vault, cast("Intake", SimpleNamespace()))


@pytest.mark.parametrize(("days", "left"), [(30, 1), (31, 2), (90, 3)])
async def test_events_stay_as_long_as_the_retention_says(house: Gatehouse, days: int, left: int) -> None:
    house.clock.at = NOON + 32 * DAY
    await upkeep(house, days)._prune()
    assert len(house.log()) == left
    assert not orders.seen(house.store.reader, "c1"), "it has expired, and is refused for that"


@pytest.mark.parametrize("state", [ClockState.HOLDOVER, ClockState.UNKNOWN])
async def test_nothing_is_forgotten_by_a_clock_that_is_not_synchronised(
    house: Gatehouse, state: ClockState, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.clock.at = NOON + 400 * DAY
    monkeypatch.setattr(house.clock, "state", lambda: state)
    await upkeep(house, 1)._prune()
    assert len(house.log()) == 3
    assert orders.seen(house.store.reader, "c1")
