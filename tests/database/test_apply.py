"""What a part does to a list: one small story for each rule that reads two ways."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from protocol.reports import MAX_MESSAGE, statuses_payload, unpacked
from storage import outbox
from storage.database import StorageFault, Transaction
from tests.oracle.histories import GATE, HOUR, NOON, PANEL, STRANGER
from tests.oracle.items import Document
from tests.oracle.model import DeviceRule
from tests.oracle.parts import DAVID, SIPHO, ZOE, crowd, gone, part, person
from tests.oracle.store import EPOCH, Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    devices = {GATE: DeviceRule("fluss+", 2), PANEL: DeviceRule("intercom", 5000)}
    async with Store(tmp_path / "gateway.db", devices) as opened:
        yield opened


async def results(store: Store, *payloads: bytes, now: int = NOON) -> list[Document]:
    """What the last part of a group says of its items."""
    await store.receive(payloads, now)
    return next(report["results"] for report in reversed(store.reports()) if report.get("batchId") and "part" in report
                and "results" in report)  # fmt: skip


def outcomes(said: Sequence[Document]) -> list[Any]:
    return [result["error"]["code"] if result["outcome"] == "rejected" else result["outcome"] for result in said]


def statuses(said: Sequence[Document]) -> list[str | None]:
    return [result["status"] for result in said]


def warnings(said: Sequence[Document]) -> list[list[str]]:
    return [[warning["code"] for warning in result.get("warnings", [])] for result in said]


async def test_results_are_device_by_device_in_the_order_of_the_part(store: Store) -> None:
    """Every device × every item, each device once; a stranger costs only its own results."""
    said = await results(
        store,
        part("b1", 1, person("082 45"), person(ZOE), revocations=[gone()], deviceIds=[PANEL, STRANGER, GATE, PANEL]),
    )
    assert [(result["deviceId"], result["item"]) for result in said] == [
        (device, item) for device in (PANEL, STRANGER, GATE) for item in range(3)
    ]
    faulty = ["invalid_mobile", "added", "absent"]
    assert outcomes(said) == [*faulty, *["unknown_device"] * 3, *faulty]
    assert [result["mobile"] for result in said[3:6]] == [None, ZOE, DAVID]


async def test_intercom_knows_no_permission(store: Store) -> None:
    said = await results(store, part("b1", 1, person(), permission="Guest", deviceIds=[PANEL, GATE]))
    assert outcomes(said) == ["added", "invalid_permission"]


async def test_first_item_that_is_not_rejected_stands_for_its_number(store: Store) -> None:
    said = await results(store, part("b1", 1, person(name=""), person(name="David"), person("082 451 1234", "Dave")))
    assert outcomes(said) == ["missing_name", "added", "duplicate_in_batch"]
    assert "item 1" in said[2]["error"]["message"]


async def test_item_over_the_user_limit_does_not_stand_for_its_number(store: Store) -> None:
    await store.receive([part("b1", 1, person(ZOE), person(SIPHO))], NOON)
    said = await results(store, part("b2", 2, person(), person()))
    assert outcomes(said) == ["user_limit", "user_limit"]


async def test_same_content_says_the_same_when_a_repeated_number_stands_for_another_item_now(store: Store) -> None:
    """The device was full when the first item came, so the second one stood; now the first one does."""
    people = [person(name="David", accepted=True), person(name="Dave")]
    expiry = {"inviteExpiresAt": NOON}
    full = [part("b1", 1, person(ZOE), person(SIPHO)), part("b2", 2, *people, **expiry)]
    assert outcomes(await results(store, *full)) == ["user_limit", "added"]
    said = await results(store, part("b3", 3, revocations=[gone(ZOE)]), part("b4", 4, *people, **expiry))
    assert outcomes(said) == ["updated", "duplicate_in_batch"]
    assert store.users()[GATE, DAVID]["name"] == "David"


async def test_list_sent_again_unchanged_says_of_its_repeated_number_what_it_said_before(store: Store) -> None:
    people = [person(), person(ZOE), person()]
    first = await results(store, part("b1", 1, *people))
    again = await results(store, part("b2", 2, *people))
    assert (outcomes(first), outcomes(again)) == (
        ["added", "added", "duplicate_in_batch"],
        ["unchanged", "unchanged", "duplicate_in_batch"],
    )


async def test_revocation_stands_before_an_invitee_of_the_same_part(store: Store) -> None:
    said = await results(store, part("b1", 1, person(), revocations=[gone(), gone()]))
    assert outcomes(said) == ["duplicate_in_batch", "absent", "duplicate_in_batch"]
    assert "item 1, which revokes it" in said[0]["error"]["message"]


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 1, 3)])
async def test_number_that_a_batch_invites_and_revokes_is_revoked_whatever_the_order(
    store: Store, order: tuple[int, int, int]
) -> None:
    parts = {
        1: part("b1", 1, person(), part=1, parts=3),
        2: part("b1", 1, revocations=[gone()], part=2, parts=3),
        3: part("b1", 1, person(name="Dave"), part=3, parts=3),
    }
    await store.receive([parts[number] for number in order], NOON)
    assert store.users()[GATE, DAVID]["status"] is None


async def test_second_revocation_in_a_later_part_is_a_duplicate(store: Store) -> None:
    again = [part("b1", 1, revocations=[gone()], part=number, parts=2) for number in (1, 2)]
    assert outcomes(await results(store, *again)) == ["duplicate_in_batch"]


async def test_who_leaves_makes_room_for_who_comes_in_the_same_part(store: Store) -> None:
    await store.receive([part("b1", 1, person(ZOE), person(SIPHO))], NOON)
    said = await results(store, part("b2", 2, person(), revocations=[gone(ZOE)]))
    assert outcomes(said) == ["added", "revoked"]


async def test_result_of_a_rejected_item_has_the_status_after_the_part(store: Store) -> None:
    await store.receive([part("b1", 1, person(accepted=True))], NOON)
    said = await results(store, part("b2", 2, person(name=""), revocations=[gone()]))
    assert list(zip(outcomes(said), statuses(said), strict=True)) == [("missing_name", None), ("revoked", None)]
    said = await results(store, part("b3", 3, person(name=""), person()))
    assert list(zip(outcomes(said), statuses(said), strict=True)) == [("missing_name", "Pending"), ("added", "Pending")]


async def test_full_device_refuses_new_people_and_never_those_it_has(store: Store) -> None:
    await store.receive([part("b1", 1, person(), person(ZOE))], NOON)
    said = await results(store, part("b2", 2, person(SIPHO), person(name="Dave"), person(ZOE, accepted=True)))
    assert outcomes(said) == ["user_limit", "updated", "updated"]


async def test_expired_user_takes_a_place_again_only_where_there_is_one(store: Store) -> None:
    await store.receive([part("b1", 1, person(), inviteExpiresAt=NOON + 1)], NOON)
    said = await results(store, part("b2", 2, person(ZOE), person(SIPHO), person(name="Dave")), now=NOON + 1)
    assert outcomes(said) == ["added", "added", "user_limit"]
    assert statuses(said) == ["Pending", "Pending", "Expired"]


async def test_import_again_takes_nothing_away(store: Store) -> None:
    """What an item leaves out stays: acceptance, notes, remote access, units."""
    here = {"deviceIds": [PANEL]}
    full = person(notes="Unit 4", wifi=False, units=["4"], accepted=True)
    await store.receive([part("b1", 1, full, **here)], NOON)
    said = await results(store, part("b2", 2, person(), **here), part("b3", 3, person(accepted=False), **here))
    assert list(zip(outcomes(said), statuses(said), strict=True)) == [("unchanged", "Active")]
    row = store.users()[PANEL, DAVID]
    assert (row["notes"], row["wifi"], row["units"], row["revision"]) == ("Unit 4", False, ["4"], 3)


async def test_accepted_user_whose_time_ended_is_active_again_with_a_new_period(store: Store) -> None:
    visit = {"permission": "Temporary", "startDate": NOON - HOUR}
    await store.receive([part("b1", 1, person(accepted=True), endDate=NOON + HOUR, **visit)], NOON)
    said = await results(store, part("b2", 2, person(), endDate=NOON + 5 * HOUR, **visit), now=NOON + 2 * HOUR)
    assert (outcomes(said), statuses(said)) == (["updated"], ["Active"])


async def test_revoked_user_who_is_invited_again_starts_anew(store: Store) -> None:
    said = await results(
        store,
        part("b1", 1, person(notes="Unit 4", accepted=True)),
        part("b2", 2, revocations=[gone()]),
        part("b3", 3, person()),
    )
    assert (outcomes(said), statuses(said)) == (["added"], ["Pending"])
    assert store.users()[GATE, DAVID]["notes"] is None


@pytest.mark.parametrize("listed", [True, False])
async def test_tombstone_keeps_a_late_older_invite_out(store: Store, listed: bool) -> None:
    """Also of somebody who was revoked without being listed."""
    before = [part("b1", 1, person())] if listed else []
    said = await results(store, *before, part("b3", 3, revocations=[gone()]), part("b2", 2, person()))
    assert (outcomes(said), statuses(said)) == (["superseded"], [None])


async def test_owner_is_changed_only_by_an_item_that_names_the_permission(store: Store) -> None:
    await store.receive([part("b1", 1, person(permission="Owner"))], NOON)
    for revision in (2, 3):
        said = await results(store, part(f"b{revision}", revision, person(name="Dave", accepted=True)))
        assert (outcomes(said), statuses(said), warnings(said)) == (["unchanged"], ["Pending"], [["owner_kept"]])
        assert store.users()[GATE, DAVID]["revision"] == revision
    said = await results(store, part("b4", 4, person(name="Dave", permission="Full")))
    assert (outcomes(said), warnings(said)) == (["updated"], [[]])
    assert store.users()[GATE, DAVID]["terms"][0] == "Full"


async def test_owner_of_whom_a_batch_says_nothing_new_is_no_matter_of_warning(store: Store) -> None:
    """Whether or not anything else in the part is as it was."""
    owners = {"permission": "Owner"}
    await store.receive([part("b1", 1, person(), **owners)], NOON)
    for again in (part("b2", 2, person(), **owners), part("b3", 3, person(), person("082 45"), **owners)):
        said = await results(store, again)
        assert (outcomes(said)[0], warnings(said)[0]) == ("unchanged", [])


async def test_owner_can_be_revoked_by_name(store: Store) -> None:
    await store.receive([part("b1", 1, person(permission="Owner"))], NOON)
    assert outcomes(await results(store, part("b2", 2, revocations=[gone()]))) == ["revoked"]


async def test_group_that_the_disk_cannot_take_leaves_nothing_at_all(store: Store) -> None:
    await store.receive([part("b1", 1, person())], NOON)
    before = store.observed()
    group = [store.judged(each) for each in (part("b2", 2, person(name="Dave")), part("b3", 3, *crowd(2000)))]

    async def on_a_full_disk(transaction: Transaction) -> None:
        ((pages,),) = await transaction.fetch("PRAGMA page_count")
        await transaction.execute(f"PRAGMA max_page_count = {pages + 2}")
        await store.apply(transaction, group, NOON)

    with pytest.raises(StorageFault, match="full"):
        await store.database.transact(on_a_full_disk)
    assert store.observed() == before
    await store.database.transact(lambda transaction: store.apply(transaction, group, NOON))
    assert store.users()[GATE, DAVID]["name"] == "Dave"


async def test_results_of_a_large_part_come_in_messages_that_every_broker_takes(store: Store) -> None:
    people = [person(f"082 45{number % 10}", "x" * 99) for number in range(2400)]
    await store.receive([part("b1", 1, *people, *crowd(2400), deviceIds=[PANEL])], NOON)
    stored = [report for report in outbox.reports(store.reader, 1, 1 << 40, 1000) if report.kind == "statuses"]
    sizes = [
        len(statuses_payload("gw-1", EPOCH, each.number, each.at, each.batch, unpacked(each.body))) for each in stored
    ]
    assert max(sizes) <= MAX_MESSAGE
    assert min(sizes[:-1]) > MAX_MESSAGE / 2
    said = [result["item"] for report in store.reports() if "results" in report for result in report["results"]]
    assert said == list(range(4800))
