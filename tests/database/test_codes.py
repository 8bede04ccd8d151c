"""One-time codes in the store: kept until they expire, used once each way, gone at once when taken back."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from protocol.codes import OneTimeCode
from protocol.vocabulary import Direction
from storage import codes
from tests.oracle.histories import GATE, HOUR, NOON, PANEL
from tests.oracle.model import DeviceRule
from tests.oracle.store import Store

OTHER = "482914"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    devices = {each: DeviceRule("intercom", 100) for each in (PANEL, OTHER)} | {GATE: DeviceRule("fluss+", 100)}
    async with Store(tmp_path / "gateway.db", devices) as opened:
        yield opened


async def issue(store: Store, digits: str = "0042", panel: str = PANEL, **other: Any) -> OneTimeCode:  # noqa: ANN401 -- any field
    fields: dict[str, Any] = {
        "name": "Plumber", "mobile": 27824511234, "made_at": NOON, "expires_at": NOON + 12 * HOUR, "entry": GATE,
        "exit": "9999999999999999",
    } | other  # fmt: skip
    device = store.devices[panel].number
    return await store.database.transact(lambda transaction: codes.issue(transaction, device, digits=digits, **fields))


async def use(store: Store, code: OneTimeCode, direction: Direction, at: int) -> bool:
    return await store.database.transact(lambda transaction: codes.use(transaction, code.number, direction, at))


async def revoke(store: Store, digits: str, panel: str = PANEL) -> bool:
    device = store.devices[panel].number
    return await store.database.transact(lambda transaction: codes.revoke(transaction, device, digits))


async def purge(store: Store, earliest: int) -> int:
    return await store.database.transact(lambda transaction: codes.purge(transaction, earliest))


def digits_of(store: Store, panel: str = PANEL) -> list[str]:
    return [code.digits for code in codes.live(store.reader, panel)]


async def test_code_is_read_as_it_was_given_out(store: Store) -> None:
    """Leading zeros too; the oldest first, each panel its own, also after a restart."""
    issued = [await issue(store), await issue(store, "0007", name="Zoë", mobile=447911123456, entry=GATE, exit=GATE)]
    elsewhere = await issue(store, "0042", OTHER, expires_at=NOON + HOUR)
    assert issued[0] == OneTimeCode(
        1, PANEL, "0042", "Plumber", 27824511234, NOON, NOON + 12 * HOUR, GATE, "9999999999999999"
    )
    await store.restart()
    assert codes.live(store.reader, PANEL) == issued
    assert codes.live(store.reader, OTHER) == [elsewhere]
    assert codes.live(store.reader, "000000") == []
    assert store.unsound() == []


async def test_code_is_used_once_each_way(store: Store) -> None:
    """The first use stands, however often it is noted; a spent code stays, so that it is told as spent."""
    code, other = await issue(store), await issue(store, "0043")
    assert await use(store, code, Direction.EXIT, NOON + 2)
    assert not await use(store, code, Direction.EXIT, NOON + 3)
    assert [(each.entered_at, each.left_at) for each in codes.live(store.reader, PANEL)] == [
        (None, NOON + 2),
        (None,) * 2,
    ]
    assert await use(store, code, Direction.ENTRY, NOON + 4)
    assert not await use(store, code, Direction.ENTRY, NOON + 5)
    spent, unspent = codes.live(store.reader, PANEL)
    assert (spent.entered_at, spent.left_at, spent.spent) == (NOON + 4, NOON + 2, True)
    assert unspent == other


async def test_use_of_a_code_that_is_gone_is_no_use(store: Store) -> None:
    code = await issue(store)
    await revoke(store, "0042")
    assert not await use(store, code, Direction.ENTRY, NOON)


async def test_code_taken_back_is_gone_at_once(store: Store) -> None:
    """Whatever became of it, on that panel alone; and saying so again takes nothing else back."""
    await issue(store)
    await issue(store, panel=OTHER)
    await issue(store, "0043")
    assert await revoke(store, "0042")
    assert not await revoke(store, "0042")
    assert (digits_of(store), digits_of(store, OTHER)) == (["0043"], ["0042"])


async def test_number_of_a_code_is_never_given_out_again(store: Store) -> None:
    """A use noted late must not fall upon somebody else's code."""
    first = await issue(store)
    await revoke(store, first.digits)
    await store.restart()
    assert (await issue(store)).number == first.number + 1


async def test_codes_are_forgotten_when_they_have_expired(store: Store) -> None:
    """At their very end; spent ones no sooner; one that was given out again stays with its new end."""
    spent = await issue(store, expires_at=NOON + HOUR)
    await use(store, spent, Direction.ENTRY, NOON)
    await use(store, spent, Direction.EXIT, NOON)
    await issue(store, "0043", expires_at=NOON + 2 * HOUR)
    await issue(store, "0042", expires_at=NOON + 3 * HOUR)
    assert await purge(store, NOON + HOUR - 1) == 0
    assert await purge(store, NOON + HOUR) == 1
    assert await purge(store, NOON + HOUR) == 0
    assert digits_of(store) == ["0043", "0042"]
    assert await purge(store, NOON + 3 * HOUR) == 2
    assert digits_of(store) == []
