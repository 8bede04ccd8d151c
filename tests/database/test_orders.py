"""Commands that are carried out once are remembered for as long as one could come again."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage import orders
from storage.database import Transaction
from tests.oracle.histories import GATE, HOUR, NOON
from tests.oracle.model import DeviceRule
from tests.oracle.store import Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(tmp_path / "gateway.db", {GATE: DeviceRule("fluss+", 100)}) as opened:
        yield opened


async def remember(store: Store, command_id: str, expires_at: int) -> None:
    await store.database.transact(lambda transaction: orders.remember(transaction, command_id, expires_at))


async def prune(store: Store, earliest: int, most: int = orders.MOST) -> int:
    return await store.database.transact(lambda transaction: orders.prune(transaction, earliest, most))


NEVER = 1 << 60


def seen(store: Store, *command_ids: str) -> list[str]:
    return [each for each in command_ids if orders.seen(store.reader, each, NEVER)]


async def test_order_is_known_again_after_a_restart(store: Store) -> None:
    await remember(store, "c-1", NOON + 1)
    await store.restart()
    assert seen(store, "c-1", "C-1", "c-1 ", "c", "") == ["c-1"]


async def test_order_whose_name_had_to_be_forgotten_is_refused_and_not_known(store: Store) -> None:
    """Nobody is told that something was done because it may have been."""
    for number in range(2):
        await remember(store, f"c-{number}", NOON + number)
    await prune(store, 0, most=1)
    assert seen(store, "c-0", "c-1") == ["c-1"]

    async def known(transaction: Transaction) -> list[bool]:
        return [await orders.carried_out(transaction, name) for name in ("c-0", "c-1", "C-1", "another")]

    assert await store.database.transact(known) == [False, True, False, False]


async def test_order_of_a_transaction_that_fails_was_not_carried_out(store: Store) -> None:
    async def fails(transaction: Transaction) -> None:
        await orders.remember(transaction, "c-1", NOON)
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await store.database.transact(fails)
    assert seen(store, "c-1") == []


async def test_order_is_forgotten_when_it_would_be_refused_as_expired_anyway(store: Store) -> None:
    for number in range(3):
        await remember(store, f"c-{number}", NOON + number)
    assert await prune(store, NOON - 1) == 0
    assert await prune(store, NOON + 1) == 2
    assert seen(store, "c-0", "c-1", "c-2") == ["c-2"]


async def test_order_said_twice_is_kept_until_the_later_end(store: Store) -> None:
    """The same id with an earlier end does not make room for a repetition."""
    for expires_at in (NOON, NOON + HOUR, NOON + 1):
        await remember(store, "c-1", expires_at)
    assert await prune(store, NOON + HOUR - 1) == 0
    assert await prune(store, NOON + HOUR) == 1


async def test_over_the_bound_those_that_expire_first_go(store: Store) -> None:
    for number in (3, 1, 4, 0, 2):
        await remember(store, f"c-{number}", NOON + number)
    assert await prune(store, 0, most=5) == 0
    assert await prune(store, 0, most=2) == 3
    assert seen(store, *(f"c-{number}" for number in range(5))) == ["c-3", "c-4"]
    assert not orders.seen(store.reader, "another", NOON + 3)
    assert all(orders.seen(store.reader, f"c-{number}", NOON + number) for number in range(5)), "they might come again"
    assert orders.seen(store.reader, "another", NOON + 2), "nobody can tell"
    assert await prune(store, 0, most=2) == 0
    assert await prune(store, NOON + 2, most=2) == 1
    assert not orders.seen(store.reader, "another", NOON + 2), "all of them have ended, and are refused for that"
    assert await prune(store, NOON + 3, most=2) == 1


async def test_what_is_forgotten_again_and_again_stays_refused(store: Store) -> None:
    """Ends far away, and more orders than there is room for."""
    for number in range(20):
        await remember(store, f"c-{number}", NOON + number)
        await prune(store, 0, most=3)
        assert all(orders.seen(store.reader, f"c-{each}", NOON + each) for each in range(number + 1))
    assert len(store.reader.fetch("SELECT * FROM orders")) == 4
