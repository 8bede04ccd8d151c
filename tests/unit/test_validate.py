"""Each person of a part on its own: one bad row costs that row, and says so in words a person understands."""

import pytest

from protocol.codec import Limits, Part, decode
from protocol.mobile import Numbers
from protocol.terms import Terms, TermsFault
from protocol.validate import Person, Roll, validate
from protocol.vocabulary import Caution, Fault, Permission
from tests.oracle.parts import gone, part, person

SOUTH_AFRICA = Numbers("ZA")


def judged(*invitees: object, **more: object) -> Roll:
    decoded = decode(part("b1", 1, *invitees, **more), "gw-1", Limits())
    assert isinstance(decoded, Part)
    return validate(decoded, SOUTH_AFRICA)


def only(*invitees: object, **more: object) -> Person:
    (found,) = judged(*invitees, **more).people
    return found


def test_people_revocations_and_faults_are_told_apart_by_item() -> None:
    roll = judged(person(), person("082 45"), person("083 111 2222"), revocations=[gone("nobody"), gone("0841112222")])
    assert [(each.item, each.mobile) for each in roll.people] == [(0, 27824511234), (2, 27831112222)]
    assert (roll.revoked, sorted(roll.faults)) == ([4], [1, 3])
    assert roll.mobiles == [27824511234, None, 27831112222, None, 27841112222]
    assert roll.items == 5


@pytest.mark.parametrize(
    ("row", "code", "field", "words"),
    [
        (None, Fault.SCHEMA, None, "an item is a JSON object"),
        ("082 451 1234", Fault.SCHEMA, None, "an item is a JSON object"),
        ({}, Fault.INVALID_MOBILE, "mobile", "the number is missing"),
        (person(None), Fault.INVALID_MOBILE, "mobile", "the number is missing"),
        (person(""), Fault.INVALID_MOBILE, "mobile", "'' is empty"),
        (person(27824511234), Fault.INVALID_MOBILE, "mobile", "a number is written as text"),
        (person(["082 451 1234"]), Fault.INVALID_MOBILE, "mobile", "a number is written as text"),
        (person("082 45"), Fault.INVALID_MOBILE, "mobile", "'082 45' is too short for a number in South Africa"),
        (person("27824511234.0"), Fault.INVALID_MOBILE, "mobile", "ruined by a spreadsheet"),
        (person(name=None), Fault.MISSING_NAME, "userName", "the name is missing"),
        (person(name=""), Fault.MISSING_NAME, "userName", "the name is missing"),
        (person(name=" \t\u00a0"), Fault.MISSING_NAME, "userName", "the name is missing"),
        ({"mobile": "082 451 1234"}, Fault.MISSING_NAME, "userName", "the name is missing"),
        (person(name=7), Fault.SCHEMA, "userName", "a name is text"),
        (person(name="x" * 101), Fault.NAME_TOO_LONG, "userName", "at most 100"),
        (person(notes="x" * 401), Fault.NOTES_TOO_LONG, "notes", "at most 400"),
        (person(notes=5), Fault.SCHEMA, "notes", "valid string"),
        (person(accepted="yes"), Fault.SCHEMA, "accepted", "boolean"),
        (person(wifi=1), Fault.SCHEMA, "wifi", "boolean"),
        (person(units="4"), Fault.SCHEMA, "units", "list"),
        (person(units=[""]), Fault.SCHEMA, "units", "1 character"),
        (person(startDate="tomorrow"), Fault.SCHEMA, "startDate", "integer"),
        (person("082 45", name="", notes=5), Fault.INVALID_MOBILE, "mobile", "too short"),
        (person(name="x" * 101, notes="x" * 401), Fault.NAME_TOO_LONG, "userName", "at most 100"),
    ],
)
def test_bad_row_costs_that_row(row: object, code: Fault, field: str | None, words: str) -> None:
    roll = judged(person("083 111 2222"), row, person("084 111 2222"))
    assert [each.item for each in roll.people] == [0, 2]
    ((item, fault),) = roll.faults.items()
    assert (item, fault.code, fault.field) == (1, code, field)
    assert words in fault.message


@pytest.mark.parametrize(
    ("row", "code"),
    [("0824511234", Fault.SCHEMA), ({}, Fault.INVALID_MOBILE), (gone(5), Fault.INVALID_MOBILE)],
)
def test_bad_revocation_costs_that_revocation(row: object, code: Fault) -> None:
    roll = judged(revocations=[row, gone()])
    assert ([fault.code for fault in roll.faults.values()], roll.revoked) == ([code], [1])


def test_rejected_row_names_whom_it_means_where_it_can() -> None:
    """So that a replace leaves that person alone."""
    assert judged(person(name="")).mobiles == [27824511234]
    assert judged(person(27824511234)).mobiles == [None]


def test_number_outside_every_known_range_is_applied_with_a_caution() -> None:
    roll = judged(person("099 999 9999"), person("099 999 9998", name=""))
    assert [each.mobile for each in roll.people] == [27999999999]
    assert {item: caution for item, (caution, _) in roll.cautions.items()} == {0: Caution.UNASSIGNED_RANGE}


def test_name_and_notes_are_trimmed_and_composed() -> None:
    found = only(person(name="  Zoe\u0308 van  Wyk\n", notes="\u00a0Une\u0301 "))
    assert (found.name, found.notes) == ("Zo\u00eb van  Wyk", "Un\u00e9")


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("x" * 100, True),
        (" " * 50 + "x" * 100 + " " * 50, True),
        ("e\u0301" * 100, True),
        ("e\u0301" * 101, False),
        ("\u0958" * 50, True),
        ("\u0958" * 51, False),
    ],
    ids=["100", "trimmed", "composes to 100", "composes to 101", "decomposes to 100", "decomposes to 102"],
)
def test_name_is_measured_as_it_is_kept(name: str, accepted: bool) -> None:
    roll = judged(person(name=name))
    assert [len(each.name) for each in roll.people] == ([100] if accepted else [])
    assert [fault.code for fault in roll.faults.values()] == ([] if accepted else [Fault.NAME_TOO_LONG])


def test_notes_are_measured_as_they_are_kept() -> None:
    assert judged(person(notes="\u0958" * 201)).faults[0].code is Fault.NOTES_TOO_LONG
    assert only(person(notes="e\u0301" * 400)).notes == "\u00e9" * 400


def test_what_is_left_out_is_not_what_is_empty() -> None:
    left_out = only(person())
    assert (left_out.notes, left_out.units, left_out.wifi, left_out.accepted) == (None, None, None, False)
    nothing = only(person(notes=None, units=None, wifi=None, accepted=None))
    assert nothing == left_out
    empty = only(person(notes=" ", units=[], wifi=False, accepted=True))
    assert (empty.notes, empty.units, empty.wifi, empty.accepted) == ("", [], False, True)


def test_item_says_what_it_carries_and_the_batch_the_rest() -> None:
    batch = {"permission": "Temporary", "startDate": 3, "endDate": 9}
    roll = judged(person(), person(endDate=5), person(permission=None, startDate=4), person(permission="Full"), **batch)
    assert [each.terms for each in roll.people] == [
        Terms(Permission.TEMPORARY, 3, 9),
        Terms(Permission.TEMPORARY, 3, 5),
        Terms(Permission.TEMPORARY, 4, 9),
        Terms(Permission.FULL),
    ]
    assert [each.named_terms for each in roll.people] == [False, False, False, True]


def test_terms_that_cannot_stand_leave_the_row_to_devices_that_need_none() -> None:
    """An intercom has no permission; the batch's own fault is everybody's."""
    found = only(person(permission="Friend"))
    assert isinstance(found.terms, TermsFault)
    assert isinstance(only(person(), permission=None).terms, TermsFault)


def test_unknown_fields_are_ignored() -> None:
    assert only(person(shoeSize=44)) == only(person())
