"""Bytes to a part, or one clear reason why not."""

import json
from hashlib import sha256
from typing import Any

import orjson
import pytest

from protocol.codec import Limits, Part, Refused, decode, oversized
from protocol.vocabulary import Mode, Refusal
from tests.oracle.parts import document, gone, person

LIMITS = Limits(part_bytes=4000, part_items=10)
GATE, PANEL = "1234567890123456", "482913"


def decoded(**change: object) -> Part | Refused:
    return decode(json.dumps(document("b-1", 42, person()) | change).encode(), "gw-1", LIMITS)


def refused(payload: bytes) -> Refused:
    refusal = decode(payload, "gw-1", LIMITS)
    assert isinstance(refusal, Refused)
    assert refusal.payload_sha256 == sha256(payload).hexdigest()
    return refusal


def test_smallest_part_takes_the_defaults() -> None:
    smallest = {"batchId": "b-1", "gatewayId": "gw-1", "revision": 1, "deviceIds": [GATE], "revocations": []}
    part = decode(orjson.dumps(smallest), "gw-1", LIMITS)
    assert isinstance(part, Part)
    assert (part.number, part.parts, part.mode, part.expires_at) == (1, 1, Mode.MERGE, None)
    assert (part.invitees, part.revocations) == ([], [])


def test_full_part_arrives_as_it_was_sent() -> None:
    part = decoded(
        part=2, parts=3, mode="replace", issuedAt=1, expiresAt=9, deviceIds=[GATE, PANEL], startDate=3, endDate=4,
        schedule=["open"], inviteExpiresAt=5, invitedBy="office", revocations=[gone()],
    )  # fmt: skip
    assert isinstance(part, Part)
    assert (part.batch_id, part.revision, part.number, part.parts) == ("b-1", 42, 2, 3)
    assert (part.mode, part.expires_at, part.device_ids) == (Mode.REPLACE, 9, (GATE, PANEL))
    assert (part.permission, part.start_date, part.end_date, part.schedule) == ("Always", 3, 4, ["open"])
    assert (part.invite_expires_at, part.invited_by) == (5, "office")
    assert (part.invitees, part.revocations) == ([person()], [gone()])


def test_device_named_twice_is_one() -> None:
    part = decoded(deviceIds=[PANEL, GATE, PANEL])
    assert isinstance(part, Part)
    assert part.device_ids == (PANEL, GATE)


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"\xff\xfe", b'{"revision": NaN}', b"[" * 8, b'"\\ud800"', b"{} {}", b"\xef\xbb\xbf{}", b"{'a': 1}"],
)
def test_what_is_no_json_is_refused_by_its_hash_alone(payload: bytes) -> None:
    refusal = refused(payload)
    assert refusal.code is Refusal.NOT_JSON
    assert (refusal.batch_id, refusal.revision, refusal.part, refusal.parts) == (None, None, None, None)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"batchId": None}, "batchId"),
        ({"batchId": ""}, "batchId"),
        ({"batchId": "x" * 65}, "batchId"),
        ({"batchId": "nul\x00"}, "batchId"),
        ({"batchId": 7}, "batchId"),
        ({"revision": None}, "revision"),
        ({"revision": 0}, "revision"),
        ({"revision": 2**53}, "revision"),
        ({"revision": 10**30}, "revision"),
        ({"revision": 42.0}, "revision"),
        ({"revision": "42"}, "revision"),
        ({"revision": True}, "revision"),
        ({"part": 0}, "part"),
        ({"part": 2}, "part 2 of 1"),
        ({"parts": 10_001}, "parts"),
        ({"mode": "append"}, "mode"),
        ({"deviceIds": []}, "deviceIds"),
        ({"deviceIds": GATE}, "deviceIds"),
        ({"deviceIds": [int(GATE)]}, "deviceIds.0"),
        ({"deviceIds": [str(number) for number in range(65)]}, "deviceIds"),
        ({"startDate": "2026-11-22"}, "startDate"),
        ({"endDate": -1}, "endDate"),
        ({"expiresAt": 10**15}, "expiresAt"),
        ({"inviteExpiresAt": 1.5}, "inviteExpiresAt"),
        ({"invitedBy": 27824511234}, "invitedBy"),
        ({"invitees": {}}, "invitees"),
        ({"revocations": "all"}, "revocations"),
        ({"invitees": None}, "invitees or revocations"),
    ],
)
def test_envelope_that_breaks_the_schema_names_the_place(change: dict[str, Any], place: str) -> None:
    refusal = decoded(**change)
    assert isinstance(refusal, Refused)
    assert refusal.code is Refusal.SCHEMA
    assert place in refusal.message


def test_refusal_of_the_schema_keeps_what_was_sent_to_itself() -> None:
    refusal = decoded(invitedBy=["+27824511234"], startDate="Thandi", mode="Unit 4", parts=0)
    assert isinstance(refusal, Refused)
    assert not [word for word in ("4511234", "Thandi", "Unit 4") if word in refusal.message]
    assert refusal.message.endswith("and 1 more")


@pytest.mark.parametrize("payload", [b"[]", b"7", b"null", b'"part"'])
def test_what_is_no_object_is_refused(payload: bytes) -> None:
    assert refused(payload).code is Refusal.SCHEMA


def test_replace_needs_neither_invitees_nor_revocations() -> None:
    assert isinstance(decoded(mode="replace", invitees=None), Part)


def test_refusal_says_as_much_of_the_name_as_can_be_read() -> None:
    refusal = refused(orjson.dumps({"batchId": "b-1", "revision": 7, "part": "2", "parts": True, "gatewayId": "gw-1"}))
    assert (refusal.batch_id, refusal.revision, refusal.part, refusal.parts) == ("b-1", 7, None, None)
    refusal = refused(orjson.dumps({"batchId": "x" * 65, "revision": 2**53, "part": 0, "gatewayId": "gw-1"}))
    assert (refusal.batch_id, refusal.revision, refusal.part) == (None, None, None)


@pytest.mark.parametrize("gateway", ["gw-2", None, 7, ["gw-1"]])
def test_part_for_another_gateway_is_refused_before_anything_else(gateway: object) -> None:
    refusal = refused(orjson.dumps({"gatewayId": gateway, "batchId": "b-1", "revision": "?"}))
    assert (refusal.code, refusal.batch_id) == (Refusal.WRONG_GATEWAY, "b-1")


def test_part_for_nobody_breaks_the_schema() -> None:
    """As an older tool may send it; it is not said to be for someone else."""
    nameless = document("b-1", 42)
    del nameless["gatewayId"]
    assert refused(orjson.dumps(nameless)).code is Refusal.SCHEMA


def test_bytes_over_the_limit_are_not_parsed() -> None:
    large = b" " * (LIMITS.part_bytes + 1)
    refusal = refused(large)
    assert refusal == oversized(len(large), sha256(large).hexdigest(), LIMITS)
    assert (refusal.code, refusal.batch_id) == (Refusal.TOO_LARGE, None)
    assert refusal.message == "4,001 bytes in one part; this gateway takes 4,000"


@pytest.mark.parametrize(("people", "devices", "taken"), [(10, 1, True), (11, 1, False), (5, 2, True), (6, 2, False)])
def test_items_are_counted_people_by_devices(people: int, devices: int, taken: bool) -> None:
    """A device named twice counts once."""
    invitees, revocations = [person()] * (people - 2), [gone()] * 2
    part = decoded(invitees=invitees, revocations=revocations, deviceIds=[GATE, PANEL, GATE][: devices + devices // 2])
    assert isinstance(part, Part) is taken
    if isinstance(part, Refused):
        assert (part.code, part.batch_id) == (Refusal.TOO_LARGE, "b-1")


@pytest.mark.parametrize(("levels", "taken"), [(7, True), (8, False), (500, False)])
def test_nesting_is_bounded_wherever_it_is(levels: int, taken: bool) -> None:
    """Beside the part itself, which is a level too; nothing is known of what is nested deeper."""
    deep = b"[" * levels + b"]" * levels
    payload = orjson.dumps(document("b-1", 42))[:-1] + b',"unheard":' + deep + b"}"
    if taken:
        assert isinstance(decode(payload, "gw-1", LIMITS), Part)
    else:
        assert refused(payload) == Refused(
            Refusal.SCHEMA, "nested deeper than 8 levels", payload_sha256=sha256(payload).hexdigest()
        )


@pytest.mark.parametrize("payload", [b"[" * 3000, b'{"a":' * 9])
def test_nesting_too_deep_is_told_before_what_is_no_json(payload: bytes) -> None:
    assert refused(payload).code is Refusal.SCHEMA
