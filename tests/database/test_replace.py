"""The end of a batch: who goes when a list is replaced, what is held back, and what is said of missing parts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.replace import next_silence
from tests.oracle.histories import GATE, NOON, PANEL, STRANGER
from tests.oracle.items import Document
from tests.oracle.model import DeviceRule
from tests.oracle.parts import DAVID, SIPHO, THANDI, ZOE, crowd, gone, part, person
from tests.oracle.store import Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    devices = {GATE: DeviceRule("fluss+", 100), PANEL: DeviceRule("intercom", 100)}
    async with Store(tmp_path / "gateway.db", devices) as opened:
        yield opened


def replace(batch: str, revision: int, *invitees: object, **more: object) -> bytes:
    return part(batch, revision, *invitees, mode="replace", **more)


def on_list(store: Store, device: str = GATE) -> set[str]:
    return {mobile for (each, mobile), row in store.users().items() if each == device and row["status"]}


def receipts(store: Store) -> list[tuple[str, int | None]]:
    return [(report["outcome"], report.get("removals")) for report in store.reports() if "outcome" in report]


def removed(store: Store) -> list[Document]:
    changes = [report["results"] for report in store.reports() if report.get("batchId") is None]
    return [result for results in changes for result in results if result["reason"] == "not_in_list"]


async def test_replace_removes_nobody_before_its_last_part(store: Store) -> None:
    await store.receive([part("b1", 1, *crowd(3))], NOON)
    await store.receive([replace("b2", 2, person(), part=2, parts=2)], NOON)
    assert len(on_list(store)) == 4
    await store.receive([replace("b2", 2, person(ZOE), part=1, parts=2)], NOON)
    assert on_list(store) == {DAVID, ZOE}
    assert receipts(store)[-2:] == [("applied", None), ("complete", 3)]
    assert [(result["mobile"], result["status"]) for result in removed(store)] == [
        (each["mobile"], None) for each in crowd(3)
    ]


async def test_replace_with_nobody_clears_a_small_list(store: Store) -> None:
    await store.receive([part("b1", 1, *crowd(20)), replace("b2", 2)], NOON)
    assert on_list(store) == set()


async def test_replace_leaves_other_devices_alone(store: Store) -> None:
    await store.receive([part("b1", 1, *crowd(3), deviceIds=[GATE, PANEL])], NOON)
    await store.receive([replace("b2", 2, person(), deviceIds=[STRANGER, GATE])], NOON)
    assert (on_list(store), len(on_list(store, PANEL))) == ({DAVID}, 3)


async def test_replace_keeps_owners_and_whoever_is_newer(store: Store) -> None:
    await store.receive([part("b1", 1, person(permission="Owner"), person(ZOE)), part("b9", 9, person(SIPHO))], NOON)
    await store.receive([replace("b2", 2, person(THANDI))], NOON)
    assert on_list(store) == {DAVID, SIPHO, THANDI}


async def test_older_item_after_a_replace_brings_nobody_back(store: Store) -> None:
    """Neither somebody the replace removed, nor somebody it never heard of; and it takes nobody off."""
    await store.receive([part("b1", 1, person()), replace("b3", 3, person(THANDI))], NOON)
    await store.receive([part("b2", 2, person(), person(ZOE), revocations=[gone(THANDI), gone(SIPHO)])], NOON)
    assert [result["outcome"] for result in store.reports()[-2]["results"]] == ["superseded"] * 4
    assert on_list(store) == {THANDI}


async def test_older_item_after_a_replace_does_not_change_whom_the_replace_left_standing(store: Store) -> None:
    """An Owner it did not name, and somebody whose row was rejected: their rows are older than it, the item is too."""
    await store.receive([part("b1", 1, person(permission="Owner"), person(ZOE))], NOON)
    await store.receive([replace("b3", 3, person(ZOE, name=""))], NOON)
    late = part("b2", 2, person(name="Dave", permission="Full"), revocations=[gone(ZOE)])
    await store.receive([late], NOON)
    assert [result["outcome"] for result in store.reports()[-2]["results"]] == ["superseded"] * 2
    assert on_list(store) == {DAVID, ZOE}


async def test_older_replace_that_completes_late_removes_nobody(store: Store) -> None:
    await store.receive([part("b1", 1, person()), replace("b2", 2, person(ZOE), part=1, parts=2)], NOON)
    await store.receive([replace("b3", 3, person(THANDI))], NOON)
    await store.receive([replace("b2", 2, person(SIPHO), part=2, parts=2)], NOON)
    assert on_list(store) == {THANDI}
    assert receipts(store)[-1] == ("complete", 0)


async def test_replace_keeps_as_they_were_those_whose_rows_were_rejected(store: Store) -> None:
    await store.receive([part("b1", 1, person(), person(ZOE))], NOON)
    await store.receive([replace("b2", 2, person(name=" "), person(THANDI))], NOON)
    assert on_list(store) == {DAVID, THANDI}
    assert store.users()[GATE, DAVID]["revision"] == 1
    await store.receive([replace("b3", 3, person(THANDI))], NOON)
    assert on_list(store) == {THANDI}


async def test_row_that_names_nobody_holds_the_removals_alone(store: Store) -> None:
    await store.receive([part("b1", 1, person(), person(ZOE))], NOON)
    await store.receive([replace("b2", 2, person("082 45"), person(THANDI), revocations=[gone(ZOE)])], NOON)
    assert on_list(store) == {DAVID, THANDI}
    assert receipts(store)[-1] == ("held", 1)
    assert store.observed()["held"] == ["b2"]


async def test_row_that_names_nobody_holds_nothing_where_nobody_is_removed(store: Store) -> None:
    await store.receive([part("b1", 1, person()), replace("b2", 2, person("082 45"), person())], NOON)
    assert receipts(store)[-1] == ("complete", 0)


@pytest.mark.parametrize(
    ("listed", "kept", "outcome"),
    [(40, 20, "complete"), (41, 20, "held"), (39, 19, "complete"), (20, 0, "complete"), (21, 0, "held")],
)
async def test_guard_holds_more_than_its_share_and_more_than_its_users(
    store: Store, listed: int, kept: int, outcome: str
) -> None:
    """More than half, and more than 20; newcomers of the replace itself do not count to the list before it."""
    await store.receive([part("b1", 1, *crowd(listed))], NOON)
    await store.receive([replace("b2", 2, *crowd(kept), *crowd(30, first=1000))], NOON)
    assert receipts(store)[-1] == (outcome, listed - kept)


async def test_guard_counts_whom_the_replace_revoked_by_name_to_the_list_before(store: Store) -> None:
    """25 of 50 go unnamed: not more than half."""
    await store.receive([part("b1", 1, *crowd(50))], NOON)
    revoked = [gone(each["mobile"]) for each in crowd(5, first=20)]
    await store.receive([replace("b2", 2, *crowd(20), revocations=revoked)], NOON)
    assert receipts(store)[-1] == ("complete", 25)


async def test_confirm_ends_a_hold_once(store: Store) -> None:
    await store.receive([part("b1", 1, *crowd(30)), replace("b2", 2, person())], NOON)
    assert len(on_list(store)) == 31
    assert await store.confirm("b2", NOON) == "complete"
    assert on_list(store) == {DAVID}
    assert receipts(store)[-1] == ("complete", 30)
    said = len(store.reports())
    assert await store.confirm("b2", NOON) == "complete"
    assert len(store.reports()) == said
    assert await store.confirm("b9", NOON) is None


async def test_confirm_spares_whoever_was_named_since(store: Store) -> None:
    await store.receive([part("b1", 1, *crowd(30)), replace("b2", 2, person())], NOON)
    await store.receive([part("b3", 3, crowd(1)[0])], NOON)
    await store.confirm("b2", NOON)
    assert on_list(store) == {DAVID, crowd(1)[0]["mobile"]}


@pytest.mark.parametrize("together", [True, False])
async def test_newer_replace_ends_a_hold_for_good(store: Store, together: bool) -> None:
    """Even where one transaction brings both, or a repetition of the held one."""
    held, newer = replace("b2", 2, person()), replace("b3", 3, *crowd(30))
    await store.receive([part("b1", 1, *crowd(30))], NOON)
    for group in [[held, newer]] if together else [[held], [held, newer]]:
        await store.receive(group, NOON)
    assert store.observed()["held"] == []
    said = len(store.reports())
    assert await store.confirm("b2", NOON) == "complete"
    assert len(store.reports()) == said
    assert len(on_list(store)) == 30


async def test_newer_replace_of_one_device_leaves_the_hold_of_the_other(store: Store) -> None:
    both = {"deviceIds": [GATE, PANEL]}
    await store.receive([part("b1", 1, *crowd(30), **both), replace("b2", 2, person(), **both)], NOON)
    await store.receive([replace("b3", 3, *crowd(30))], NOON)
    assert store.observed()["held"] == ["b2"]
    await store.confirm("b2", NOON)
    assert (len(on_list(store)), on_list(store, PANEL)) == (30, {DAVID})


async def test_user_limit_of_a_replace_is_measured_against_those_who_stay(tmp_path: Path) -> None:
    async with Store(tmp_path / "small.db", {GATE: DeviceRule("fluss+", 2)}) as store:
        await store.receive([part("b1", 1, person(), person(ZOE))], NOON)
        await store.receive([replace("b3", 3, person(SIPHO), person(THANDI), person("+27 84 111 2222"))], NOON)
        assert on_list(store) == {SIPHO, THANDI}
        await store.receive([replace("b2", 2, person(DAVID))], NOON)
        assert on_list(store) == {SIPHO, THANDI}


async def test_user_limit_of_a_replace_counts_what_is_newer(tmp_path: Path) -> None:
    """It stays as well, and the device holds no more."""
    async with Store(tmp_path / "small.db", {GATE: DeviceRule("fluss+", 2)}) as store:
        await store.receive([part("b3", 3, person(), person(ZOE)), replace("b2", 2, person(THANDI))], NOON)
        assert on_list(store) == {DAVID, ZOE}


async def test_user_limit_of_a_replace_gives_no_place_away_that_somebody_has(tmp_path: Path) -> None:
    async with Store(tmp_path / "small.db", {GATE: DeviceRule("fluss+", 2)}) as store:
        await store.receive([part("b1", 1, person(), person(ZOE))], NOON)
        await store.receive([replace("b2", 2, person(THANDI), person(DAVID), person(ZOE))], NOON)
        assert on_list(store) == {DAVID, ZOE}


async def test_missing_parts_are_named_once_for_each_silence(store: Store) -> None:
    await store.receive([part("b1", 1, person(), part=3, parts=5)], NOON)
    assert next_silence(store.reader, 600) == NOON + 600
    assert [await store.remind(NOON - 1, NOON + 599), await store.remind(NOON, NOON + 600)] == [0, 1]
    assert store.reports()[-1]["missingParts"] == [1, 2, 4, 5]
    assert await store.remind(NOON + 600, NOON + 1200) == 0
    await store.receive([part("b1", 1, person(ZOE), part=1, parts=5)], NOON + 1300)
    assert await store.remind(NOON + 1300, NOON + 1900) == 1
    assert store.reports()[-1]["missingParts"] == [2, 4, 5]
    assert [outcome for outcome, _ in receipts(store)] == ["applied", "incomplete", "applied", "incomplete"]
