"""What the gate reads of a person, in one look; and where that came from, for whoever asks why."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from protocol.access import Grant
from protocol.terms import NO_TERMS, Terms, schedule_windows
from protocol.vocabulary import Permission, Status
from storage import grants
from storage.grants import Listed, Provenance, listed, origin_of
from tests.oracle.histories import GATE, HOUR, NIGHTS, NOON, PANEL
from tests.oracle.model import DeviceRule
from tests.oracle.parts import DAVID, SIPHO, THANDI, ZOE, crowd, gone, part, person
from tests.oracle.store import Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    devices = {GATE: DeviceRule("fluss+", 1000), PANEL: DeviceRule("intercom", 1000)}
    async with Store(tmp_path / "gateway.db", devices) as opened:
        yield opened


def look(store: Store, mobile: str, device: str = GATE) -> Listed | None:
    return listed(store.reader, store.devices[device].number, int(mobile))


def origin(store: Store, mobile: str, device: str = GATE) -> Provenance | None:
    return origin_of(store.reader, store.devices[device].number, int(mobile))


def always(status: Status | None, *, wifi: bool = True, deadline: int | None = None) -> Grant:
    return Grant(status, Terms(Permission.ALWAYS), wifi, (), deadline)


@pytest.mark.parametrize("permission", Permission)
async def test_terms_are_those_of_the_invitation(store: Store, permission: Permission) -> None:
    visits = permission in {Permission.TEMPORARY, Permission.REPEAT}
    terms: dict[str, Any] = {"startDate": NOON, "endDate": NOON + HOUR, "schedule": NIGHTS}
    await store.receive([part("b1", 1, person(accepted=True, permission=permission, **terms))], NOON)
    found = look(store, DAVID)
    assert found is not None
    its = found.grant.terms
    assert (found.name, found.grant.status, its.permission) == ("David", Status.ACTIVE, permission)
    assert (its.starts_at, its.ends_at) == ((NOON, NOON + HOUR) if visits else (None, None))
    assert found.grant.deadline == (NOON + HOUR if visits else None)
    assert len(schedule_windows(its.schedule) if its.schedule else []) == (2 if permission is Permission.REPEAT else 0)
    for word in (found.grant.status, its.permission):
        assert type(word) in {Status, Permission}


async def test_invited_person_is_pending_until_they_accept(store: Store) -> None:
    await store.receive([part("b1", 1, person(wifi=False), inviteExpiresAt=NOON + HOUR)], NOON)
    assert look(store, DAVID) == Listed(always(Status.PENDING, wifi=False, deadline=NOON + HOUR), "David")
    await store.accept(GATE, DAVID, NOON + 1)
    assert look(store, DAVID) == Listed(always(Status.ACTIVE, wifi=False), "David")


async def test_invitation_that_lapsed_is_expired(store: Store) -> None:
    await store.receive([part("b1", 1, person(), inviteExpiresAt=NOON + HOUR)], NOON)
    await store.expire(NOON + HOUR)
    assert look(store, DAVID) == Listed(always(Status.EXPIRED), "David")


async def test_intercom_user_has_units_and_no_terms(store: Store) -> None:
    await store.receive([part("b1", 1, person(units=["4", "4B"], accepted=True), person(ZOE), deviceIds=[PANEL])], NOON)
    assert look(store, DAVID, PANEL) == Listed(Grant(Status.ACTIVE, NO_TERMS, True, ("4", "4B"), None), "David")
    assert look(store, ZOE, PANEL) == Listed(Grant(Status.PENDING, NO_TERMS, True, (), None), "David")
    assert look(store, DAVID) is None


async def test_revoked_person_is_a_tombstone_without_a_name(store: Store) -> None:
    """Revoked by name, revoked without ever being listed, and left out of a replace."""
    await store.receive([part("b1", 1, person(), person(SIPHO), units=["4"])], NOON)
    await store.receive([part("b2", 2, revocations=[gone(), gone(THANDI)])], NOON)
    await store.receive([part("b3", 3, person(ZOE), mode="replace")], NOON)
    for mobile in (DAVID, THANDI, SIPHO):
        assert look(store, mobile) == Listed(Grant(None, NO_TERMS, True, (), None), None)


async def test_stranger_is_nobody(store: Store) -> None:
    """At a device that never heard of them, whatever the others say."""
    await store.receive([part("b1", 1, person()), part("b2", 2, person(THANDI), deviceIds=[PANEL])], NOON)
    for mobile, device in ((ZOE, GATE), (DAVID, PANEL), (THANDI, GATE)):
        assert look(store, mobile, device) is None
        assert origin(store, mobile, device) is None


async def test_look_at_the_gate_is_one_search_of_one_key(store: Store) -> None:
    """No scan, no second table, however long the list is."""
    await store.receive([part("b1", 1, *crowd(400))], NOON)
    plan = store.reader.fetch(f"EXPLAIN QUERY PLAN {grants._LISTED}", (1, 27820000000))
    assert [row[-1] for row in plan] == ["SEARCH users USING PRIMARY KEY (device=? AND mobile=?)"]


async def test_origin_is_the_batch_that_spoke_last(store: Store) -> None:
    await store.receive([part("b1", 1, person(), person(ZOE), invitedBy="+27820000001")], NOON)
    await store.receive([part("b2", 2, person(ZOE, name="Zoë"), invitedBy="+27820000002")], NOON + HOUR)
    assert origin(store, DAVID) == Provenance("b1", 1, "+27820000001", NOON, NOON)
    assert origin(store, ZOE) == Provenance("b2", 2, "+27820000002", NOON + HOUR, NOON + HOUR)


async def test_origin_of_a_list_sent_again_is_newer_than_what_it_says(store: Store) -> None:
    """The batch came later; nothing has changed since the first."""
    await store.receive([part("b1", 1, person())], NOON)
    await store.receive([part("b2", 2, person())], NOON + HOUR)
    assert origin(store, DAVID) == Provenance("b2", 2, None, NOON, NOON + HOUR)


async def test_origin_of_someone_who_accepted_or_expired_is_still_the_batch(store: Store) -> None:
    await store.receive([part("b1", 1, person(), person(ZOE), inviteExpiresAt=NOON + HOUR)], NOON)
    await store.accept(GATE, DAVID, NOON + 5)
    await store.expire(NOON + HOUR)
    assert origin(store, DAVID) == Provenance("b1", 1, None, NOON + 5, NOON)
    assert origin(store, ZOE) == Provenance("b1", 1, None, NOON + HOUR, NOON)


async def test_origin_of_someone_revoked_is_the_batch_that_did_it(store: Store) -> None:
    await store.receive([part("b1", 1, person(), person(SIPHO))], NOON)
    await store.receive([part("b2", 2, revocations=[gone()], invitedBy="+27820000002")], NOON + HOUR)
    await store.receive([part("b3", 3, person(ZOE), mode="replace")], NOON + 2 * HOUR)
    assert origin(store, DAVID) == Provenance("b2", 2, "+27820000002", NOON + HOUR, NOON + HOUR)
    assert origin(store, SIPHO) == Provenance("b3", 3, None, NOON + 2 * HOUR, NOON + 2 * HOUR)
