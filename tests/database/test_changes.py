"""Changes of status that no batch brings: what time ends, and what people take up."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage import changes
from tests.oracle.histories import GATE, HOUR, NOON, PANEL
from tests.oracle.items import Document
from tests.oracle.model import DeviceRule
from tests.oracle.parts import DAVID, SIPHO, THANDI, ZOE, crowd, gone, part, person
from tests.oracle.store import Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    devices = {GATE: DeviceRule("fluss+", 100), PANEL: DeviceRule("intercom", 100)}
    async with Store(tmp_path / "gateway.db", devices) as opened:
        yield opened


def visit(ends: int, batch: str = "b1", revision: int = 1, *people: Document, **more: object) -> bytes:
    return part(batch, revision, *people, permission="Temporary", startDate=NOON - HOUR, endDate=ends, **more)


def changed(store: Store) -> list[tuple[str, str | None, str]]:
    return [
        (result["mobile"], result["status"], result["reason"])
        for report in store.reports()
        if report["batchId"] is None
        for result in report["results"]
    ]


async def test_invitation_ends_at_its_very_moment(store: Store) -> None:
    await store.receive([part("b1", 1, person(), person(ZOE, accepted=True), inviteExpiresAt=NOON + HOUR)], NOON)
    assert changes.next_deadline(store.reader) == NOON + HOUR
    await store.expire(NOON + HOUR - 1)
    assert changed(store) == []
    await store.expire(NOON + HOUR)
    assert changed(store) == [(DAVID, "Expired", "invite_expired")]
    assert store.users()[GATE, ZOE]["status"] == "Active"
    assert changes.next_deadline(store.reader) is None


async def test_access_ends_for_whoever_accepted_and_whoever_did_not(store: Store) -> None:
    await store.receive([visit(NOON + HOUR, "b1", 1, person(), person(ZOE, accepted=True))], NOON)
    await store.expire(NOON + HOUR)
    assert changed(store) == [(DAVID, "Expired", "access_ended"), (ZOE, "Expired", "access_ended")]


@pytest.mark.parametrize("looked_at", [NOON + HOUR, NOON + 3 * HOUR])
async def test_reason_is_the_bound_that_came_first_however_late_it_is_noticed(store: Store, looked_at: int) -> None:
    both = {"inviteExpiresAt": NOON + HOUR}
    await store.receive([visit(NOON + 2 * HOUR, "b1", 1, person(), **both)], NOON)
    await store.expire(looked_at)
    assert changed(store) == [(DAVID, "Expired", "invite_expired")]


async def test_part_that_comes_after_the_end_is_expired_from_the_start(store: Store) -> None:
    await store.receive([visit(NOON, "b1", 1, person())], NOON)
    assert store.reports()[1]["results"][0]["status"] == "Expired"
    assert changes.next_deadline(store.reader) is None


async def test_expiry_is_reported_before_the_part_that_meets_it(store: Store) -> None:
    """A part that renews somebody says `updated` of an Expired user, not of one who still looks Pending."""
    await store.receive([part("b1", 1, person(), inviteExpiresAt=NOON + 1)], NOON)
    await store.receive([part("b2", 2, person(), inviteExpiresAt=NOON + HOUR)], NOON + 1)
    kinds = [report.get("outcome") or (report["batchId"] and "results") or "changes" for report in store.reports()]
    assert kinds == ["applied", "results", "complete", "changes", "applied", "results", "complete"]
    assert store.reports()[5]["results"][0]["outcome"] == "updated"


async def test_expiry_survives_a_restart(store: Store) -> None:
    await store.receive([part("b1", 1, person(), inviteExpiresAt=NOON + 1)], NOON)
    await store.restart()
    assert changes.next_deadline(store.reader) == NOON + 1
    await store.expire(NOON + 1)
    assert changed(store) == [(DAVID, "Expired", "invite_expired")]


async def test_expiry_of_very_many_is_done_in_pieces(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MOST_AT_ONCE", 20)
    await store.receive([part("b1", 1, *crowd(50), inviteExpiresAt=NOON + 1, deviceIds=[PANEL])], NOON)
    for _ in range(3):
        await store.expire(NOON + 1)
    assert len(set(changed(store))) == len(changed(store)) == 50
    assert store.observed()["devices"][PANEL][:3] == (0, 0, 50)
    assert store.unsound() == []


async def test_acceptance_at_the_device_makes_a_pending_user_active(store: Store) -> None:
    await store.receive([visit(NOON + HOUR, "b1", 1, person(), inviteExpiresAt=NOON + 5)], NOON)
    assert await store.accept(GATE, DAVID, NOON + 1)
    assert changed(store) == [(DAVID, "Active", "accepted")]
    assert changes.next_deadline(store.reader) == NOON + HOUR
    await store.expire(NOON + HOUR)
    assert changed(store)[1:] == [(DAVID, "Expired", "access_ended")]


async def test_acceptance_of_anyone_else_changes_nothing(store: Store) -> None:
    """Somebody Active, revoked, unknown, or on another device; and an invitation whose time is up, noticed or not."""
    await store.receive(
        [
            part("b1", 1, person(accepted=True), person(ZOE), revocations=[gone(THANDI)]),
            part("b2", 2, person(SIPHO), inviteExpiresAt=NOON + 1),
        ],
        NOON,
    )
    before = store.observed()
    for device, mobile in ((GATE, DAVID), (GATE, THANDI), (GATE, "+27840000000"), (PANEL, ZOE), (GATE, SIPHO)):
        assert not await store.accept(device, mobile, NOON + 1)
    assert store.observed() == before


async def test_acceptance_outlives_every_import(store: Store) -> None:
    await store.receive([part("b1", 1, person())], NOON)
    await store.accept(GATE, DAVID, NOON)
    await store.receive([part("b2", 2, person()), part("b3", 3, person(name="Dave", accepted=False))], NOON)
    assert store.users()[GATE, DAVID]["status"] == "Active"
