"""Access types and what they need beside themselves."""

from typing import Any

import orjson
import pytest

from protocol.terms import MAX_WINDOWS, Terms, TermsFault, canonical_schedule, schedule_windows, terms_of
from protocol.vocabulary import Fault, Permission

OFFICE = [{"days": ["tue", "mon", "tue"], "from": "09:00", "until": "17:00"}]
OFFICE_TEXT = '[{"days":["mon","tue"],"from":"09:00","until":"17:00"}]'


@pytest.mark.parametrize("permission", ["Owner", "Full", "Tenant", "Always"])
def test_residents_have_no_dates_and_no_schedule(permission: str) -> None:
    assert terms_of(permission, 5, 3, "not even a schedule") == Terms(Permission(permission))


def test_visitor_has_a_period() -> None:
    assert terms_of("Temporary", 3, 5, OFFICE) == Terms(Permission.TEMPORARY, 3, 5)


@pytest.mark.parametrize(("starts_at", "ends_at"), [(None, None), (3, None), (None, 5), (3, 5)])
def test_repeat_has_a_schedule_and_perhaps_a_period(starts_at: int | None, ends_at: int | None) -> None:
    assert terms_of("Repeat", starts_at, ends_at, OFFICE) == Terms(Permission.REPEAT, starts_at, ends_at, OFFICE_TEXT)


@pytest.mark.parametrize(
    ("terms", "code", "field", "words"),
    [
        ((None, None, None, None), Fault.MISSING_PERMISSION, "permission", "such as Always"),
        (("Friend", None, None, None), Fault.INVALID_PERMISSION, "permission", "'Friend' is not one of Owner, Full"),
        (("always", None, None, None), Fault.INVALID_PERMISSION, "permission", "'always' is not one of"),
        ((["Always"], None, None, None), Fault.INVALID_PERMISSION, "permission", "['Always'] is not one of"),
        ((7, None, None, None), Fault.INVALID_PERMISSION, "permission", "7 is not one of"),
        (("Temporary", None, 5, None), Fault.MISSING_DATES, "startDate", "needs startDate and endDate"),
        (("Temporary", 3, None, None), Fault.MISSING_DATES, "endDate", "needs startDate and endDate"),
        (("Temporary", 5, 5, None), Fault.DATES_REVERSED, "endDate", "after startDate"),
        (("Repeat", 5, 3, OFFICE), Fault.DATES_REVERSED, "endDate", "after startDate"),
        (("Repeat", None, None, None), Fault.MISSING_SCHEDULE, "schedule", "needs a schedule"),
    ],
)
def test_terms_that_cannot_stand_say_why(
    terms: tuple[Any, int | None, int | None, Any], code: Fault, field: str, words: str
) -> None:
    fault = terms_of(*terms)
    assert isinstance(fault, TermsFault)
    assert (fault.code, fault.field) == (code, field)
    assert words in fault.message


def window(**change: object) -> list[dict[str, Any]]:
    return [{"days": ["mon"], "from": "09:00", "until": "17:00"} | change]


@pytest.mark.parametrize(
    ("schedule", "field", "words"),
    [
        ([], "schedule", "a schedule is a list such as"),
        ("weekdays", "schedule", "a schedule is a list such as"),
        ([5], "schedule[0]", "a schedule is a list such as"),
        (window() * (MAX_WINDOWS + 1), "schedule", "a schedule is a list such as"),
        (window(days=[]), "schedule[0].days", "a schedule is a list such as"),
        (window(days=["Mon"]), "schedule[0].days[0]", "a day is one of mon, tue"),
        (window() + window(until="5 pm"), "schedule[1].until", "HH:MM, from 00:00 to 23:59"),
        (window(until="24:00"), "schedule[0].until", "HH:MM"),
        (window(until="9:00"), "schedule[0].until", "HH:MM"),
        (window(until="09:00\n"), "schedule[0].until", "HH:MM"),
        (window(until="\u0660\u0669:\u0660\u0660"), "schedule[0].until", "HH:MM"),
        (window(until=None), "schedule[0].until", "a schedule is a list such as"),
        ([{"days": ["mon"], "until": "17:00"}], "schedule[0].from", "a schedule is a list such as"),
    ],
)
def test_schedule_that_cannot_be_kept_names_the_place(schedule: object, field: str, words: str) -> None:
    fault = canonical_schedule(schedule)
    assert isinstance(fault, TermsFault)
    assert (fault.code, fault.field) == (Fault.INVALID_SCHEDULE, field)
    assert words in fault.message


def test_two_ways_of_writing_one_schedule_are_one() -> None:
    first = [*OFFICE, {"days": ["sat"], "from": "22:00", "until": "06:00", "note": "ignored"}]
    second = [{"until": "06:00", "from": "22:00", "days": ["sat"]}, *orjson.loads(OFFICE_TEXT)]
    assert canonical_schedule(first) == canonical_schedule(second)


def test_canonical_schedule_is_read_back_as_it_was_meant() -> None:
    written = canonical_schedule(OFFICE)
    assert written == OFFICE_TEXT
    (only,) = schedule_windows(OFFICE_TEXT)
    assert (only.days, only.from_, only.until) == (["mon", "tue"], "09:00", "17:00")


def test_message_quotes_no_more_than_a_line_of_what_was_written() -> None:
    fault = terms_of("x" * 10_000, None, None, None)
    assert isinstance(fault, TermsFault)
    assert len(fault.message) < 150
