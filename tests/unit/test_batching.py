"""A list into parts: how large, how many, under which revision and name."""

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from protocol.codec import Limits
from protocol.invites import Invitee
from protocol.keys import SigningKey, new_signing_key, public_half, public_jwk
from protocol.vocabulary import MAX_REVISION, Mode, Permission
from simulator.batching import PART_BYTES, PART_ITEMS, Batch, BatchError, Offer, make_batch, new_batch_id, next_revision
from tests.oracle.notary import attested

GATE, PANEL = "1234567890123456", "482913"
OFFER = Offer((GATE,), Permission.ALWAYS)


def person(number: int, notes: str = "") -> Invitee:
    return Invitee(userName=f"Resident {number}", mobile=f"+2782{number:07}", notes=notes)


def batch(
    invitees: list[Invitee],
    revoked: tuple[str, ...] = (),
    offer: Offer = OFFER,
    limits: Limits | None = None,
    key: SigningKey | None = None,
) -> Batch:
    return make_batch(
        invitees,
        revoked,
        offer,
        gateway_id="gw-1",
        batch_id="b-1",
        revision=42,
        issued_at=1_795_300_000_000,
        limits=limits or Limits(),
        key=key,
    )


def documents(made: Batch) -> list[dict[str, Any]]:
    return [json.loads(part.payload) for part in made.parts]


def test_ten_thousand_people_make_under_thirty_parts() -> None:
    made = batch([person(number, "Unit 4") for number in range(10_000)])
    assert len(made.parts) == 25
    assert all(part.items == PART_ITEMS and len(part.payload) <= PART_BYTES for part in made.parts)


def test_ten_thousand_people_with_all_that_is_known_of_them_make_under_forty_signed_parts() -> None:
    """240 bytes each, twice what a name and a number take."""
    people = [person(number, f"Unit {number}, {'x' * 168}") for number in range(10_000)]
    key = new_signing_key("cloud-2026")
    bare, signed = batch(people), batch(people, key=key)
    assert 230 < len(bare.parts[0].payload) / bare.parts[0].items < 250
    assert (len(bare.parts), len(signed.parts)) == (25, 34)
    sizes = [len(part.payload) for part in signed.parts]
    assert max(sizes) <= PART_BYTES, "as the wire carries it"
    assert min(sizes[:-1]) > PART_BYTES * 0.99, "parts are filled"
    names: list[str] = []
    for part in signed.parts:
        found = attested(part.payload, public_jwk(public_half(key)))
        assert found is not None
        header, payload = found
        assert header == {"alg": "EdDSA", "kid": "cloud-2026"}
        names += [invitee["userName"] for invitee in json.loads(payload)["invitees"]]
    assert names == [each["userName"] for each in people]


def test_signed_parts_stay_within_a_small_gateway_s_limit() -> None:
    made = batch([person(number) for number in range(100)], limits=Limits(part_bytes=2_000), key=new_signing_key("k"))
    assert 1_800 < max(len(part.payload) for part in made.parts) <= 2_000


def test_long_notes_make_smaller_parts() -> None:
    made = batch([person(number, "界" * 400) for number in range(400)])
    sizes = [len(part.payload) for part in made.parts]
    assert len(sizes) == 6
    assert max(sizes) <= PART_BYTES
    assert min(sizes[:-1]) > PART_BYTES * 0.95, "parts are filled"


def test_places_run_through_all_parts() -> None:
    made = batch([person(number) for number in range(900)], ("083 111 2222", "+27831112223"))
    assert [(part.first, part.items) for part in made.parts] == [(0, 400), (400, 400), (800, 100), (900, 2)]
    assert made.items == 902
    assert made.place(3, 7) == 807
    assert documents(made)[2]["invitees"][7]["userName"] == "Resident 807"
    assert documents(made)[3]["revocations"] == [{"mobile": "083 111 2222"}, {"mobile": "+27831112223"}]


def test_parts_are_numbered_and_alike_otherwise() -> None:
    first, second = documents(batch([person(number) for number in range(401)]))
    assert (first.pop("part"), second.pop("part")) == (1, 2)
    assert (len(first.pop("invitees")), len(second.pop("invitees"))) == (400, 1)
    assert first == second
    assert first == {
        "batchId": "b-1",
        "gatewayId": "gw-1",
        "revision": 42,
        "parts": 2,
        "mode": "merge",
        "issuedAt": 1_795_300_000_000,
        "deviceIds": [GATE],
        "permission": "Always",
    }


def test_offer_says_only_what_was_said() -> None:
    offer = Offer(
        (GATE, PANEL),
        Permission.TEMPORARY,
        start_date=1,
        end_date=2,
        invite_expires_at=3,
        invited_by="+27824511234",
        mode=Mode.REPLACE,
    )
    (said,) = documents(batch([person(1)], offer=offer))
    assert (said["startDate"], said["endDate"], said["inviteExpiresAt"]) == (1, 2, 3)
    assert (said["mode"], said["invitedBy"], said["deviceIds"]) == ("replace", "+27824511234", [GATE, PANEL])
    assert "schedule" not in said


def test_gateway_with_small_limits_gets_smaller_parts() -> None:
    """Items are people × devices: 64 devices leave 6 people to a part of 400."""
    devices = tuple(f"{number:06}" for number in range(64))
    made = batch([person(number) for number in range(13)], offer=Offer(devices), limits=Limits(part_items=400))
    assert [part.items for part in made.parts] == [6, 6, 1]
    made = batch([person(number) for number in range(100)], limits=Limits(part_bytes=2_000))
    assert max(len(part.payload) for part in made.parts) <= 2_000


def test_more_devices_than_a_gateway_takes_at_once_are_refused() -> None:
    with pytest.raises(BatchError, match="import to fewer devices at a time"):
        batch([person(1)], offer=Offer((GATE, PANEL)), limits=Limits(part_items=1))


def test_person_larger_than_a_part_is_refused() -> None:
    with pytest.raises(BatchError, match="shorten name or notes"):
        batch([person(1, "x" * PART_BYTES)])


def test_replace_by_nobody_is_one_empty_part() -> None:
    (said,) = documents(batch([], offer=replace(OFFER, mode=Mode.REPLACE)))
    assert (said["invitees"], said["parts"]) == ([], 1)


@pytest.mark.parametrize(
    ("now_ms", "newest", "revision"),
    [
        (1_795_300_000_000, 0, 1_795_300_000_000),
        (5, 41, 42),
        (42, 42, 43),
        (43, 42, 43),
        (1, MAX_REVISION - 1, MAX_REVISION),
    ],
)
def test_revision_is_above_everything_known(now_ms: int, newest: int, revision: int) -> None:
    assert next_revision(now_ms, newest) == revision


def test_no_revision_is_left_above_the_highest() -> None:
    with pytest.raises(BatchError, match="nothing can be newer"):
        next_revision(1, MAX_REVISION)


def test_batch_ids_are_uuids_of_version_7_and_sort_by_time() -> None:
    ids = [new_batch_id(now_ms, b"\xff" * 10) for now_ms in (0, 1, 1_795_300_000_000, (1 << 48) - 1)]
    assert ids == sorted(ids)
    assert {UUID(each).version for each in ids} == {7}
    assert {UUID(each).variant for each in ids} == {"specified in RFC 4122"}
    assert UUID(ids[2]).int >> 80 == 1_795_300_000_000
    assert new_batch_id(1, b"\0" * 10) != new_batch_id(1, b"\0" * 9 + b"\1")
