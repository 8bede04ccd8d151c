"""The words in which a decision is explained, and the facts beside them."""

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from protocol.access import Grant, decide
from protocol.explain import Explanation, explanation
from protocol.moment import Moment, exact
from protocol.terms import NO_TERMS, Terms, canonical_schedule
from protocol.vocabulary import Channel, ClockState, Permission, Status
from tests.oracle.calendar import zone

ZONE = "Africa/Johannesburg"
JOHANNESBURG = zone(ZONE)
MINUTE, DAY = 60_000, 86_400_000
WORKDAYS = ["mon", "tue", "wed", "thu", "fri"]


def at(text: str, where: ZoneInfo = JOHANNESBURG) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=where).timestamp() * 1000)


def hours(*windows: tuple[list[str], str, str]) -> str:
    schedule = canonical_schedule([{"days": days, "from": start, "until": until} for days, start, until in windows])
    assert isinstance(schedule, str)
    return schedule


def between(earliest: int, latest: int | None) -> Moment:
    return Moment(earliest, latest, ClockState.UNKNOWN if latest is None else ClockState.HOLDOVER)


def repeat(schedule: str | None, starts_at: int | None = None, ends_at: int | None = None) -> Grant:
    return replace(RESIDENT, terms=Terms(Permission.REPEAT, starts_at, ends_at, schedule), deadline=ends_at)


def pending(grant: Grant, deadline: int | None = None) -> Grant:
    return replace(grant, status=Status.PENDING, deadline=deadline)


def why(
    grant: Grant | None, moment: Moment | int, channel: Channel = Channel.BLUETOOTH, unit: str | None = None
) -> Explanation:
    moment = exact(moment) if isinstance(moment, int) else moment
    told = explanation(grant, channel, moment, JOHANNESBURG, unit)
    assert told.ruling == decide(grant, channel, moment, JOHANNESBURG, unit)
    return told


STARTS, ENDS = at("2026-11-16T08:00"), at("2026-11-27T18:00")
MONDAY, SUNDAY = at("2026-11-23T09:00"), at("2026-11-22T14:02")
RESIDENT = Grant(Status.ACTIVE, Terms(Permission.ALWAYS), wifi=True, units=(), deadline=None)
NEIGHBOUR = replace(RESIDENT, terms=NO_TERMS, units=("4", "7b"))
VISITOR = replace(RESIDENT, terms=Terms(Permission.TEMPORARY, STARTS, ENDS), deadline=ENDS)
CLEANER = repeat(hours((WORKDAYS, "08:00", "12:00")))
SEASONAL = repeat(hours((WORKDAYS, "08:00", "12:00")), STARTS, ENDS)
ROUND_THE_CLOCK = repeat(hours(([*WORKDAYS, "sat", "sun"], "00:00", "00:00")))
OPEN_ENDED = repeat(hours((WORKDAYS, "08:00", "12:00")), STARTS)

GUEST = "Temporary: from Monday 2026-11-16 08:00 until Friday 2026-11-27 18:00, Africa/Johannesburg"
CLEANS = "Repeat: Mon–Fri 08:00–12:00, Africa/Johannesburg"
SEASON = "Repeat: Mon–Fri 08:00–12:00, from Monday 2026-11-16 08:00, until Friday 2026-11-27 18:00, Africa/Johannesburg"
IS_MONDAY, IS_SUNDAY = "it is Monday 2026-11-23 09:00 there", "it is Sunday 2026-11-22 14:02 there"
UNSURE = "the clock is not sure enough to tell, and until it is the gate stays shut"
LAPSED = "expired: the invitation was not accepted in time, or access has ended"


@pytest.mark.parametrize(
    ("grant", "moment", "sentence"),
    [
        (None, MONDAY, ["Not on the list of this device"]),
        (replace(CLEANER, status=None), MONDAY, ["Revoked: only a newer invitation opens again"]),
        (RESIDENT, MONDAY, ["Always: at any time"]),
        (NEIGHBOUR, between(0, None), ["Intercom: at any time"]),
        (pending(RESIDENT), MONDAY, ["Always: at any time", "the invitation has not been accepted yet"]),
        (
            pending(RESIDENT, SUNDAY),
            MONDAY,
            ["Always: at any time", IS_MONDAY, "the invitation lapsed on Sunday 2026-11-22 14:02"],
        ),
        (replace(RESIDENT, status=Status.EXPIRED), MONDAY, ["Always: at any time", IS_MONDAY, LAPSED]),
        (VISITOR, MONDAY, [GUEST, IS_MONDAY, "open until Friday 2026-11-27 18:00"]),
        (
            VISITOR,
            STARTS - MINUTE,
            [GUEST, "it is Monday 2026-11-16 07:59 there", "opens next on Monday 2026-11-16 08:00"],
        ),
        (VISITOR, ENDS, [GUEST, "it is Friday 2026-11-27 18:00 there", "access ended on Friday 2026-11-27 18:00"]),
        # It was later when the status changed.
        (replace(VISITOR, status=Status.EXPIRED, deadline=None), MONDAY, [GUEST, IS_MONDAY, LAPSED]),
        (
            replace(VISITOR, status=Status.EXPIRED),
            between(ENDS - 1, ENDS + 9),
            [GUEST, "it is Friday 2026-11-27 18:00 there", LAPSED],
        ),
        (VISITOR, between(MONDAY, None), [GUEST, "it is Monday 2026-11-23 09:00 or later there", UNSURE]),
        (
            VISITOR,
            between(0, 2**53),
            [GUEST, "it is between Thursday 1970-01-01 02:00 and a day beyond the calendar there", UNSURE],
        ),
        (
            replace(RESIDENT, terms=Terms(Permission.TEMPORARY)),
            MONDAY,
            ["Temporary: without its dates, Africa/Johannesburg", IS_MONDAY, "does not open again"],
        ),
        (
            replace(RESIDENT, terms=Terms(Permission.TEMPORARY, ENDS)),
            MONDAY,
            ["Temporary: without its dates, Africa/Johannesburg", IS_MONDAY, "does not open again"],
        ),
        (CLEANER, SUNDAY, [CLEANS, IS_SUNDAY, "opens next on Monday 2026-11-23 08:00"]),
        (
            CLEANER,
            between(MONDAY - 29_999, MONDAY + 30_000),
            [CLEANS, IS_MONDAY, "open until Monday 2026-11-23 12:00"],
        ),
        (CLEANER, between(MONDAY + 10_000, MONDAY + 65_000), [CLEANS, IS_MONDAY, "open until Monday 2026-11-23 12:00"]),
        (
            CLEANER,
            between(MONDAY, MONDAY + MINUTE),
            [
                CLEANS,
                "it is between Monday 2026-11-23 09:00 and Monday 2026-11-23 09:01 there",
                "open until Monday 2026-11-23 12:00",
            ],
        ),
        (SEASONAL, MONDAY, [SEASON, IS_MONDAY, "open until Monday 2026-11-23 12:00"]),
        (
            SEASONAL,
            at("2026-11-14T09:00"),
            [SEASON, "it is Saturday 2026-11-14 09:00 there", "opens next on Monday 2026-11-16 08:00"],
        ),
        (SEASONAL, at("2026-11-27T12:00"), [SEASON, "it is Friday 2026-11-27 12:00 there", "does not open again"]),
        (
            repeat(None),
            MONDAY,
            ["Repeat: no schedule that can be read, Africa/Johannesburg", IS_MONDAY, "does not open again"],
        ),
        (
            repeat("[]", SUNDAY),
            SUNDAY - DAY,
            [
                "Repeat: no schedule that can be read, from Sunday 2026-11-22 14:02, Africa/Johannesburg",
                "it is Saturday 2026-11-21 14:02 there",
                "does not open again",
            ],
        ),
        (
            ROUND_THE_CLOCK,
            MONDAY,
            ["Repeat: every day, all day, Africa/Johannesburg", IS_MONDAY, "open all week"],
        ),
    ],
)
def test_sentence_tells_the_rule_the_time_and_what_follows(
    grant: Grant | None, moment: Moment | int, sentence: list[str]
) -> None:
    assert why(grant, moment).sentence == "; ".join(sentence)


def test_days_in_words() -> None:
    told = " ".join(why(VISITOR, between(MONDAY + day * DAY, None)).sentence for day in range(7))
    for day in ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"):
        assert f"it is {day} 2026-11-2" in told


def test_sentence_for_what_was_asked() -> None:
    told = why(replace(CLEANER, wifi=False), MONDAY, Channel.WIFI)
    assert told.sentence == f"{CLEANS}; opening from afar (Wi-Fi) is switched off for this user"
    told = why(NEIGHBOUR, MONDAY, Channel.INTERCOM, unit="9")
    assert told.sentence == "Intercom: at any time; unit 9 was asked for, and this user belongs to 4, 7b"


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        ([(["mon"], "08:00", "12:00")], "Mon 08:00–12:00"),
        ([(["sat", "sun"], "08:00", "12:00")], "Sat, Sun 08:00–12:00"),
        ([(["fri", "sat", "sun"], "08:00", "12:00")], "Fri–Sun 08:00–12:00"),
        ([(["mon", "wed", "thu", "fri", "sun"], "08:00", "12:00")], "Mon, Wed–Fri, Sun 08:00–12:00"),
        ([(["fri"], "22:00", "06:00")], "Fri 22:00–06:00 the next day"),
        ([(["fri"], "22:00", "00:00")], "Fri 22:00–00:00 the next day"),
        ([(["fri"], "08:00", "08:00")], "Fri 08:00–08:00 the next day"),
        ([(["fri"], "00:00", "00:00")], "Fri, all day"),
        ([(["fri"], "00:00", "01:00")], "Fri 00:00–01:00"),
        ([(["mon"], "08:00", "12:00"), (["sat"], "09:00", "10:00")], "Mon 08:00–12:00 and Sat 09:00–10:00"),
    ],
)
def test_schedule_in_words(windows: list[tuple[list[str], str, str]], words: str) -> None:
    assert why(repeat(hours(*windows)), MONDAY).sentence.startswith(f"Repeat: {words}, Africa/Johannesburg; it is ")


def facts(told: Explanation) -> tuple[str | None, int | None, int | None, int | None]:
    return told.window, told.opened_at, told.closes_at, told.next_opening


@pytest.mark.parametrize(
    ("grant", "moment", "expected"),
    [
        (RESIDENT, MONDAY, (None, None, None, None)),
        (NEIGHBOUR, MONDAY, (None, None, None, None)),
        (VISITOR, MONDAY, (None, STARTS, ENDS, None)),
        (VISITOR, STARTS - 1, (None, None, None, STARTS)),
        (VISITOR, ENDS, (None, None, None, None)),
        (VISITOR, between(MONDAY, None), (None, None, None, None)),
        (pending(VISITOR, ENDS), STARTS - 1, (None, None, None, None)),
        (
            replace(VISITOR, terms=replace(VISITOR.terms, schedule=hours((["mon"], "00:00", "10:00")))),
            MONDAY,
            (None, STARTS, ENDS, None),
        ),
        (CLEANER, MONDAY, ("Mon–Fri 08:00–12:00", at("2026-11-23T08:00"), at("2026-11-23T12:00"), None)),
        (ROUND_THE_CLOCK, MONDAY, ("every day, all day", None, None, None)),
        (CLEANER, SUNDAY, (None, None, None, at("2026-11-23T08:00"))),
        (CLEANER, between(SUNDAY, SUNDAY + 1), (None, None, None, at("2026-11-23T08:00"))),
        (CLEANER, between(SUNDAY, MONDAY), (None, None, None, None)),
        (SEASONAL, STARTS - 8 * DAY, (None, None, None, STARTS)),
        (OPEN_ENDED, STARTS - 8 * DAY, (None, None, None, STARTS)),
        (SEASONAL, at("2026-11-27T12:00"), (None, None, None, None)),
        (OPEN_ENDED, at("2026-11-27T12:00"), (None, None, None, at("2026-11-30T08:00"))),
        # Dates cut the window short.
        (
            repeat(hours((["mon"], "08:00", "12:00")), MONDAY - MINUTE, MONDAY + MINUTE),
            MONDAY,
            ("Mon 08:00–12:00", MONDAY - MINUTE, MONDAY + MINUTE, None),
        ),
        # It begins between two windows, and ends before the next one of them.
        (repeat(hours((["mon"], "08:00", "12:00")), SUNDAY), SUNDAY - DAY, (None, None, None, at("2026-11-23T08:00"))),
        (
            repeat(hours((["mon"], "08:00", "12:00")), SUNDAY, MONDAY),
            SUNDAY,
            (None, None, None, at("2026-11-23T08:00")),
        ),
        (repeat(hours((["tue"], "08:00", "12:00")), SUNDAY, MONDAY), SUNDAY, (None, None, None, None)),
        (repeat(hours((["tue"], "08:00", "12:00")), SUNDAY, MONDAY), SUNDAY - 1, (None, None, None, None)),
    ],
)
def test_facts_beside_the_sentence(
    grant: Grant, moment: Moment | int, expected: tuple[str | None, int | None, int | None, int | None]
) -> None:
    assert facts(why(grant, moment)) == expected


def test_unit_and_channel_of_the_request_hold_for_the_next_opening_too() -> None:
    told = why(replace(VISITOR, units=("4",)), STARTS - 1, unit="4")
    assert told.next_opening == STARTS
    assert why(VISITOR, STARTS - 1, Channel.WIFI).next_opening == STARTS
