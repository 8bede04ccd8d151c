"""Who may open, and every reason for which somebody may not."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from protocol.access import Grant, decide
from protocol.invites import LAST_INSTANT
from protocol.moment import Moment, exact
from protocol.terms import NO_TERMS, Terms, canonical_schedule
from protocol.vocabulary import Channel, ClockState, Denial, Permission, Status
from tests.oracle.calendar import zone

JOHANNESBURG = zone("Africa/Johannesburg")
LONDON = zone("Europe/London")
BLUETOOTH, WIFI, INTERCOM = Channel.BLUETOOTH, Channel.WIFI, Channel.INTERCOM
DAY = 86_400_000


def at(text: str, where: ZoneInfo = JOHANNESBURG) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=where).timestamp() * 1000)


def hours(*windows: tuple[list[str], str, str]) -> str:
    schedule = canonical_schedule([{"days": days, "from": start, "until": until} for days, start, until in windows])
    assert isinstance(schedule, str)
    return schedule


WORKDAYS = hours((["mon", "tue", "wed", "thu", "fri"], "08:00", "12:00"))
STARTS, ENDS = at("2026-11-16T08:00"), at("2026-11-27T18:00")
MONDAY = at("2026-11-23T09:00")

RESIDENT = Grant(Status.ACTIVE, Terms(Permission.ALWAYS), wifi=True, units=(), deadline=None)
VISITOR = replace(RESIDENT, terms=Terms(Permission.TEMPORARY, STARTS, ENDS), deadline=ENDS)
CLEANER = replace(RESIDENT, terms=Terms(Permission.REPEAT, None, None, WORKDAYS))
SEASONAL = replace(CLEANER, terms=Terms(Permission.REPEAT, STARTS, ENDS, WORKDAYS), deadline=ENDS)
NEIGHBOUR = replace(RESIDENT, terms=NO_TERMS, units=("Flat 4", "7b"))
PERMANENT = [Permission.OWNER, Permission.FULL, Permission.TENANT, Permission.ALWAYS, None]


def pending(grant: Grant, deadline: int | None = None) -> Grant:
    return replace(grant, status=Status.PENDING, deadline=deadline)


def between(earliest: int, latest: int | None) -> Moment:
    return Moment(earliest, latest, ClockState.UNKNOWN if latest is None else ClockState.HOLDOVER)


def reason(
    grant: Grant | None, moment: Moment | int = MONDAY, channel: Channel = BLUETOOTH, unit: str | None = None
) -> Denial | None:
    moment = exact(moment) if isinstance(moment, int) else moment
    ruling = decide(grant, channel, moment, JOHANNESBURG, unit)
    assert ruling.allowed == (ruling.reason is None)
    return ruling.reason


ANY_CLOCK = [exact(0), exact(MONDAY), exact(at("2090-01-01T00:00")), exact(2**53), between(0, None), between(0, 2**53)]


@pytest.mark.parametrize("moment", ANY_CLOCK)
@pytest.mark.parametrize("permission", PERMANENT)
def test_residents_never_depend_on_the_clock(permission: Permission | None, moment: Moment) -> None:
    """Nor on dates, were there any with such terms."""
    for terms in (Terms(permission), Terms(permission, ENDS, STARTS, "[]"), Terms(permission, LAST_INSTANT, 0)):
        assert reason(replace(RESIDENT, terms=terms), moment) is None


@pytest.mark.parametrize("moment", ANY_CLOCK)
@pytest.mark.parametrize("grant", [RESIDENT, VISITOR, CLEANER, NEIGHBOUR])
def test_nobody_who_is_off_the_list_may_open(grant: Grant, moment: Moment) -> None:
    assert reason(None, moment) is Denial.UNKNOWN_USER
    assert reason(replace(grant, status=None), moment) is Denial.REVOKED
    assert reason(replace(grant, status=Status.EXPIRED), moment) is Denial.EXPIRED


@pytest.mark.parametrize("grant", [RESIDENT, VISITOR, CLEANER, NEIGHBOUR])
def test_nobody_may_open_before_accepting(grant: Grant) -> None:
    assert reason(pending(grant)) is Denial.NOT_ACCEPTED
    assert reason(pending(grant, MONDAY + 1)) is Denial.NOT_ACCEPTED
    assert reason(pending(grant, MONDAY)) is Denial.EXPIRED
    assert reason(pending(grant, MONDAY), between(MONDAY - 1, MONDAY)) is Denial.NOT_ACCEPTED
    assert reason(pending(grant, MONDAY), between(MONDAY, None)) is Denial.EXPIRED


def test_wifi_permission_is_for_wifi_alone() -> None:
    bounded = replace(RESIDENT, wifi=False)
    denied = {channel for channel in Channel if reason(bounded, channel=channel) is Denial.WIFI_NOT_ALLOWED}
    assert denied == {WIFI}
    assert {reason(bounded, channel=channel) for channel in Channel if channel is not WIFI} == {None}
    assert {reason(RESIDENT, channel=channel) for channel in Channel} == {None}


@pytest.mark.parametrize(
    ("units", "asked", "denied"),
    [
        ((), "9", False),
        (("4", "7b"), None, False),
        (("4", "7b"), "4", False),
        (("4", "7b"), "7b", False),
        (("4", "7b"), "9", True),
        (("4", "7b"), "7", True),
        (("4", "7b"), " 7B ", False),
        (("Flat  4",), "FLAT 4", False),
        (("Flat 4",), "Flat4", True),
        (("Caf\u00e9",), "cafe\u0301", False),
        (("Straße 1",), "STRASSE 1", False),
        (("4",), " ", True),
    ],
)
def test_unit_that_was_asked_for(units: tuple[str, ...], asked: str | None, denied: bool) -> None:
    found = reason(replace(NEIGHBOUR, units=units), channel=INTERCOM, unit=asked)
    assert found is (Denial.WRONG_UNIT if denied else None)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (exact(STARTS - 1), Denial.NOT_YET_VALID),
        (exact(STARTS), None),
        (exact(ENDS - 1), None),
        (exact(ENDS), Denial.EXPIRED),
        (between(STARTS - 2, STARTS - 1), Denial.NOT_YET_VALID),
        (between(STARTS - 1, STARTS), Denial.CLOCK_UNKNOWN),
        (between(STARTS - 1, STARTS + 9), Denial.CLOCK_UNKNOWN),
        (between(STARTS, ENDS - 1), None),
        (between(STARTS, ENDS), Denial.CLOCK_UNKNOWN),
        (between(ENDS - 1, ENDS + 9), Denial.CLOCK_UNKNOWN),
        (between(ENDS - 1, ENDS), Denial.CLOCK_UNKNOWN),
        (between(ENDS, ENDS + 1), Denial.EXPIRED),
        (between(STARTS - 1, ENDS), Denial.CLOCK_UNKNOWN),
        (between(0, None), Denial.CLOCK_UNKNOWN),
        (between(STARTS, None), Denial.CLOCK_UNKNOWN),
        (between(ENDS - 1, None), Denial.CLOCK_UNKNOWN),
        (between(ENDS, None), Denial.EXPIRED),
        (Moment(STARTS, ENDS - 1, ClockState.UNKNOWN), None),  # a moment of grace: the bounds count, not the state
    ],
)
def test_temporary_is_from_its_start_to_before_its_end(moment: Moment, expected: Denial | None) -> None:
    assert reason(VISITOR, moment) is expected
    assert reason(replace(VISITOR, deadline=None), moment) is expected


OPENS, CLOSES = at("2026-11-23T08:00"), at("2026-11-23T12:00")


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (exact(OPENS - 1), Denial.OUTSIDE_SCHEDULE),
        (exact(OPENS), None),
        (exact(CLOSES - 1), None),
        (exact(CLOSES), Denial.OUTSIDE_SCHEDULE),
        (between(OPENS - 1, OPENS), Denial.CLOCK_UNKNOWN),
        (between(OPENS - 1, OPENS + 9), Denial.CLOCK_UNKNOWN),
        (between(OPENS, CLOSES - 1), None),
        (between(OPENS, CLOSES), Denial.CLOCK_UNKNOWN),
        (between(CLOSES, OPENS + DAY - 1), Denial.OUTSIDE_SCHEDULE),
        (between(OPENS, OPENS + DAY), Denial.CLOCK_UNKNOWN),
        (between(OPENS, None), Denial.CLOCK_UNKNOWN),
        (between(CLOSES, None), Denial.CLOCK_UNKNOWN),
    ],
)
def test_repeat_is_open_in_its_windows(moment: Moment, expected: Denial | None) -> None:
    assert reason(CLEANER, moment) is expected
    assert reason(SEASONAL, moment) is expected


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (exact(at("2026-11-13T09:00")), Denial.NOT_YET_VALID),  # a Friday before, in the window
        (exact(at("2026-11-14T09:00")), Denial.NOT_YET_VALID),  # a Saturday before
        (exact(STARTS), None),
        (exact(at("2026-11-27T11:59")), None),
        (exact(at("2026-11-27T12:00")), Denial.OUTSIDE_SCHEDULE),
        (exact(ENDS), Denial.EXPIRED),
        (exact(at("2026-11-30T09:00")), Denial.EXPIRED),
        (between(STARTS - 1, STARTS), Denial.CLOCK_UNKNOWN),
        (between(ENDS - 1, ENDS), Denial.CLOCK_UNKNOWN),
        (between(ENDS, None), Denial.EXPIRED),
    ],
)
def test_dates_come_before_the_schedule(moment: Moment, expected: Denial | None) -> None:
    assert reason(SEASONAL, moment) is expected


def test_schedule_is_read_in_the_zone_of_the_device() -> None:
    moment = exact(at("2026-11-23T08:00", LONDON))
    assert decide(CLEANER, BLUETOOTH, moment, LONDON).allowed
    assert decide(CLEANER, BLUETOOTH, exact(moment.best - 1), LONDON).reason is Denial.OUTSIDE_SCHEDULE
    assert decide(CLEANER, BLUETOOTH, exact(moment.best - 1), JOHANNESBURG).allowed


@pytest.mark.parametrize(
    "terms",
    [
        Terms(Permission.TEMPORARY),
        Terms(Permission.TEMPORARY, STARTS),
        Terms(Permission.TEMPORARY, None, ENDS),
        Terms(Permission.TEMPORARY, ENDS, STARTS),
        Terms(Permission.TEMPORARY, None, None, WORKDAYS),
        Terms(Permission.REPEAT),
        Terms(Permission.REPEAT, STARTS, ENDS),
        Terms(Permission.REPEAT, None, None, ""),
        Terms(Permission.REPEAT, None, None, "[]"),
        Terms(Permission.REPEAT, None, None, "mon 08:00-12:00"),
        Terms(Permission.REPEAT, ENDS, STARTS, WORKDAYS),
    ],
)
@pytest.mark.parametrize("moment", [*ANY_CLOCK, between(MONDAY - 1, MONDAY + 1)])
def test_terms_that_make_no_sense_stay_shut(terms: Terms, moment: Moment) -> None:
    broken = replace(RESIDENT, terms=terms)
    assert reason(broken, moment) in {
        Denial.NOT_YET_VALID,
        Denial.OUTSIDE_SCHEDULE,
        Denial.EXPIRED,
        Denial.CLOCK_UNKNOWN,
    }


def test_first_reason_of_several_is_given() -> None:
    """Each step keeps what the steps before it spoilt."""
    sundays = Terms(Permission.REPEAT, None, ENDS, hours((["sun"], "08:00", "12:00")))
    steps: list[tuple[dict[str, Any], Denial | None]] = [
        ({"units": ("4",)}, None),
        ({"terms": sundays}, Denial.OUTSIDE_SCHEDULE),
        ({"terms": replace(sundays, starts_at=MONDAY + 1)}, Denial.NOT_YET_VALID),
        ({"units": ("7b",)}, Denial.WRONG_UNIT),
        ({"wifi": False}, Denial.WIFI_NOT_ALLOWED),
        ({"status": Status.PENDING}, Denial.NOT_ACCEPTED),
        ({"deadline": MONDAY}, Denial.EXPIRED),
        ({"status": None}, Denial.REVOKED),
    ]
    grant = SEASONAL
    for change, expected in steps:
        grant = replace(grant, **change)
        assert reason(grant, MONDAY, WIFI, unit="4") is expected
