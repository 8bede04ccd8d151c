"""Whatever comes over the wire: a part, or a reason; and each row judged as if it stood alone."""

import json
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import Limits, Part, Refused, decode
from protocol.mobile import Numbers
from protocol.terms import Terms as RealTerms
from protocol.terms import TermsFault
from protocol.validate import Roll, validate
from protocol.vocabulary import Caution, Refusal
from tests.oracle.histories import FAULTS, LOOSE, NOBODY, mobiles, moments, people, revocations, schedules
from tests.oracle.items import UNASSIGNED, Document, Item, Terms, items_of
from tests.oracle.parts import document, person

LIMITS = Limits()
SOUTH_AFRICA = Numbers("ZA")
FIELDS = [
    "batchId", "gatewayId", "revision", "part", "parts", "mode", "issuedAt", "expiresAt", "deviceIds", "permission",
    "startDate", "endDate", "schedule", "inviteExpiresAt", "invitedBy", "invitees", "revocations",
]  # fmt: skip
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
)
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
)
words = st.text(st.sampled_from("aZ \u00e9e\u0301\u0958\u00a0\n\U0001f6aa\u202e"), max_size=120).map(
    lambda word: word * 2
)
wild = st.fixed_dictionaries({"userName": words, "mobile": mobiles}, optional={"notes": words, **LOOSE})
rows = people() | wild | st.sampled_from([person() | fault for fault in FAULTS] + NOBODY)
parts: st.SearchStrategy[Document] = st.fixed_dictionaries(
    {
        "permission": st.sampled_from(["Always", "Temporary", "Repeat", "Owner", "Guest", None, ["Always"]]),
        "startDate": moments,
        "endDate": moments,
        "schedule": schedules,
        "invitees": st.lists(rows, max_size=6),
        "revocations": st.lists(revocations, max_size=3),
    }
).map(lambda said: document("b1", 1) | said)


def part_of(said: object) -> Part:
    part = decode(json.dumps(said).encode(), "gw-1", LIMITS)
    assert isinstance(part, Part)
    return part


@given(st.binary(max_size=200) | anything.map(lambda value: json.dumps(value).encode()))
def test_decode_of_anything_is_a_part_or_a_reason(payload: bytes) -> None:
    found = decode(payload, "gw-1", LIMITS)
    assert isinstance(found, Refused)
    assert found.code in {Refusal.NOT_JSON, Refusal.SCHEMA, Refusal.WRONG_GATEWAY}


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(FIELDS), anything, max_size=3))
def test_part_with_anything_in_it_is_judged_to_its_end(change: Document) -> None:
    """Nothing that a sender writes anywhere in a part raises."""
    found = decode(json.dumps(document("b1", 1, person()) | change).encode(), "gw-1", LIMITS)
    if isinstance(found, Part):
        judged_as_the_contract_says(validate(found, SOUTH_AFRICA), None)
    else:
        assert found.payload_sha256


@settings(max_examples=300)
@given(parts)
def test_each_item_is_judged_as_the_contract_says(said: Document) -> None:
    judged_as_the_contract_says(validate(part_of(said), SOUTH_AFRICA), items_of(said))


def judged_as_the_contract_says(roll: Roll, items: list[Item] | None) -> None:
    judged = [person.item for person in roll.people] + roll.revoked + list(roll.faults)
    assert sorted(judged) == list(range(roll.items)), "every item has one verdict"
    if items is None:
        return
    assert [mobile and f"+{mobile}" for mobile in roll.mobiles] == [item.mobile for item in items]
    assert {number: fault.code for number, fault in roll.faults.items()} == {
        item.number: item.fault for item in items if item.fault
    }
    assert roll.revoked == [item.number for item in items if item.revocation and not item.fault]
    assert set(roll.cautions) == {item.number for item in items if not item.fault and item.mobile in UNASSIGNED}
    assert all(caution is Caution.UNASSIGNED_RANGE for caution, _ in roll.cautions.values())
    for found in roll.people:
        meant = items[found.item]
        assert (found.name, found.notes) == (meant.name, meant.notes)
        assert (found.units, found.wifi, found.accepted) == (meant.units, meant.wifi, meant.accepted)
        assert found.named_terms == meant.names_permission
        assert terms(found.terms) == meant.terms


def terms(found: RealTerms | TermsFault) -> Terms:
    if isinstance(found, TermsFault):
        return Terms(fault=found.code)
    windows = None if found.schedule is None else json.loads(found.schedule)
    kept = windows and {(frozenset(each["days"]), each["from"], each["until"]) for each in windows}
    return Terms(found.permission, found.starts_at, found.ends_at, kept)


@given(parts, st.randoms(use_true_random=False), anything.filter(lambda each: levels(each) <= 5), moments, moments)
def test_content_is_what_a_part_says_and_not_how(
    said: Document, rng: Random, unknown: object, issued_at: int | None, expires_at: int | None
) -> None:
    """The order of fields, unknown ones, and when it was issued make no other part of it."""
    rewritten: Document = {"issuedAt": issued_at, "expiresAt": expires_at, "colour": unknown} | said
    rewritten["invitees"] = [row | {"shoe": unknown} if isinstance(row, dict) else row for row in said["invitees"]]
    assert part_of(shuffled(rewritten, rng)).content == part_of(said).content


@given(parts, parts)
def test_content_differs_where_anything_differs(said: Document, other: Document) -> None:
    same = all(said[name] == other[name] for name in FIELDS if name in said)
    assert (part_of(said).content == part_of(other).content) == same


@given(parts, st.data())
def test_content_differs_where_one_thing_differs(said: Document, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["permission", "startDate", "endDate", "schedule", "invitees", "revocations"]))
    other = said | {name: data.draw(parts)[name]}
    assert (part_of(said).content == part_of(other).content) == (said[name] == other[name])


def levels(value: object) -> int:
    """How deep a value is nested; within an invitee there is room for five."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(levels, inside), default=0)


def shuffled(value: object, rng: Random) -> object:
    if isinstance(value, dict):
        return {name: shuffled(value[name], rng) for name in rng.sample(sorted(value), len(value))}
    return [shuffled(each, rng) for each in value] if isinstance(value, list) else value
