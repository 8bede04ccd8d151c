"""Weekly windows around real changes of the clocks. Instants are written in UTC, windows as the wall shows them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from protocol.invites import LAST_INSTANT
from protocol.schedule import holds, is_open, local, next_opening, open_window
from protocol.terms import canonical_schedule
from protocol.vocabulary import MAX_REVISION
from tests.oracle.calendar import zone

LONDON, NEW_YORK, JOHANNESBURG = "Europe/London", "America/New_York", "Africa/Johannesburg"
LORD_HOWE, KATHMANDU, CASABLANCA, APIA = "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca", "Pacific/Apia"
WEEK = "mon tue wed thu fri sat sun"


def hours(text: str) -> str:
    """A schedule as `mon tue 08:00-12:00; sat 22:00-06:00`."""
    windows = []
    for clause in text.split("; "):
        *days, span = clause.split(" ")
        start, until = span.split("-")
        windows.append({"days": days, "from": start, "until": until})
    schedule = canonical_schedule(windows)
    assert isinstance(schedule, str), schedule
    return schedule


def utc(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def stretches(schedule: str, where: ZoneInfo, start: str, end: str) -> list[str]:
    """When it is open between two instants, told minute by minute."""
    minutes = range(utc(start), utc(end), 60_000)
    edges = [at for at in minutes if is_open(schedule, where, at) != is_open(schedule, where, at - 60_000)]
    return [f"{datetime.fromtimestamp(at / 1000, UTC):%m-%d %H:%M}" for at in edges]


@pytest.mark.parametrize(
    ("where", "schedule", "start", "end", "edges"),
    [
        # Plain days: half-open, over midnight, around Sunday.
        (JOHANNESBURG, "mon 08:00-12:00", "2026-11-22", "2026-11-25", ["11-23 06:00", "11-23 10:00"]),
        (JOHANNESBURG, "mon 22:00-06:00", "2026-11-22", "2026-11-25", ["11-23 20:00", "11-24 04:00"]),
        (JOHANNESBURG, "sun 22:00-06:00", "2026-11-21", "2026-11-25", ["11-22 20:00", "11-23 04:00"]),
        (JOHANNESBURG, "sun 22:00-00:00", "2026-11-21", "2026-11-25", ["11-22 20:00", "11-22 22:00"]),
        (JOHANNESBURG, "mon 09:00-09:00", "2026-11-22", "2026-11-25", ["11-23 07:00", "11-24 07:00"]),
        (JOHANNESBURG, "mon 08:00-10:00; mon 09:00-11:00", "2026-11-22", "2026-11-25", ["11-23 06:00", "11-23 09:00"]),
        (JOHANNESBURG, "mon 08:00-10:00; mon 10:00-11:00", "2026-11-22", "2026-11-25", ["11-23 06:00", "11-23 09:00"]),
        (JOHANNESBURG, "tue 08:00-08:01", "2028-02-28", "2028-03-02", ["02-29 06:00", "02-29 06:01"]),
        (KATHMANDU, "sun 00:00-00:15", "2026-11-21", "2026-11-23", ["11-21 18:15", "11-21 18:30"]),
        # The clocks went from +5:30 to +5:45 as 1986 began: 00:00 to 00:15 was never shown.
        (KATHMANDU, "wed 00:00-00:15", "1985-12-31", "1986-01-02", []),
        (KATHMANDU, "tue 23:00-00:30", "1985-12-31", "1986-01-02", ["12-31 17:30", "12-31 18:45"]),
        # London, 29 March 2026, 01:00 UTC: 01:00 to 02:00 is skipped.
        (LONDON, "sun 01:00-02:00", "2026-03-28", "2026-03-31", []),
        (LONDON, "sun 01:30-03:00", "2026-03-28", "2026-03-31", ["03-29 01:00", "03-29 02:00"]),
        (LONDON, "sat 22:00-06:00", "2026-03-28", "2026-03-31", ["03-28 22:00", "03-29 05:00"]),
        # London, 25 October 2026, 01:00 UTC: 01:00 to 02:00 comes twice.
        (LONDON, "sun 01:00-02:00", "2026-10-24", "2026-10-27", ["10-25 00:00", "10-25 02:00"]),
        (
            LONDON,
            "sun 01:00-01:30",
            "2026-10-24",
            "2026-10-27",
            ["10-25 00:00", "10-25 00:30", "10-25 01:00", "10-25 01:30"],
        ),
        (
            LONDON,
            "sun 01:30-03:00",
            "2026-10-24",
            "2026-10-27",
            ["10-25 00:30", "10-25 01:00", "10-25 01:30", "10-25 03:00"],
        ),
        (LONDON, "sat 22:00-06:00", "2026-10-24", "2026-10-27", ["10-24 21:00", "10-25 06:00"]),
        # New York: the same, at 2 o'clock.
        (NEW_YORK, "sun 02:00-03:00", "2026-03-07", "2026-03-10", []),
        (NEW_YORK, "sat 22:00-06:00", "2026-03-07", "2026-03-10", ["03-08 03:00", "03-08 10:00"]),
        (NEW_YORK, "sat 22:00-06:00", "2026-10-31", "2026-11-03", ["11-01 02:00", "11-01 11:00"]),
        # Lord Howe turns by half an hour: in October 02:00 to 02:30 is skipped, in April 01:30 to 02:00 comes twice.
        (LORD_HOWE, "sun 02:00-02:30", "2026-10-03", "2026-10-05", []),
        (LORD_HOWE, "sun 01:45-02:45", "2026-10-03", "2026-10-05", ["10-03 15:15", "10-03 15:45"]),
        (LORD_HOWE, "sun 01:30-02:00", "2026-04-04", "2026-04-06", ["04-04 14:30", "04-04 15:30"]),
        # Casablanca is an hour back in Ramadan: 02:00 to 03:00 comes twice as it begins, and is skipped as it ends.
        (CASABLANCA, "sun 02:00-03:00", "2026-02-14", "2026-02-16", ["02-15 01:00", "02-15 03:00"]),
        (CASABLANCA, "sun 02:00-03:00", "2026-03-21", "2026-03-23", []),
        # Recife tried summer time for a week, less an hour, and gave it up: 23:00 to 24:00 came twice.
        (
            "America/Recife",
            "sat 23:30-23:45",
            "2000-10-08T03:00",
            "2000-10-22T02:00",
            ["10-15 01:30", "10-15 01:45", "10-15 02:30", "10-15 02:45"],
        ),
        # Apia had no 30 December 2011: a Friday, and what of its night is Saturday's remains.
        (APIA, "fri 00:00-00:00", "2011-12-28", "2012-01-02", []),
        (APIA, "thu 22:00-02:00", "2011-12-28", "2012-01-02", ["12-30 08:00", "12-30 10:00"]),
        (APIA, "fri 22:00-06:00", "2011-12-28", "2012-01-02", ["12-30 10:00", "12-30 16:00"]),
        # The first and the last that a wrong clock is likely to say.
        (JOHANNESBURG, "thu 02:00-03:00", "1970-01-01T00:01", "1970-01-02", ["01-01 01:00"]),
        (LONDON, "sun 09:00-10:00", "2090-06-11", "2090-06-12", ["06-11 08:00", "06-11 09:00"]),
        (LONDON, "sun 09:00-10:00", "2090-01-01", "2090-01-02", ["01-01 09:00", "01-01 10:00"]),
    ],
)
def test_edges_of_a_window(where: str, schedule: str, start: str, end: str, edges: list[str]) -> None:
    assert stretches(hours(schedule), zone(where), start, end) == edges


def test_window_begins_with_its_first_millisecond_and_ends_before_the_last() -> None:
    schedule, where = hours("mon 08:15-12:45"), zone(JOHANNESBURG)
    opens, closes = utc("2026-11-23T06:15"), utc("2026-11-23T10:45")
    instants = (opens - 30_000, opens - 1, opens, opens + 30_000, closes - 30_000, closes - 1, closes, closes + 30_000)
    assert [is_open(schedule, where, at) for at in instants] == [False] * 2 + [True] * 4 + [False] * 2


def test_zone_that_was_off_by_seconds() -> None:
    """Monrovia stood 44 minutes and 30 seconds behind until 1972."""
    schedule, where = hours("thu 12:00-13:00"), zone("Africa/Monrovia")
    opens = utc("1970-01-01T12:44:30")
    assert next_opening(schedule, where, 0) == opens
    assert [is_open(schedule, where, opens - 1), is_open(schedule, where, opens)] == [False, True]


@pytest.mark.parametrize("schedule", ["", "null", "[]", "{}", '[{"days":["mon"]}]', '[{"days":["moon"]}]', "\ud800"])
def test_schedule_that_cannot_be_read_opens_never(schedule: str) -> None:
    where, at = zone(LONDON), utc("2026-11-23T08:00")
    assert not is_open(schedule, where, at)
    assert holds(schedule, where, at, at + 1) is False
    assert open_window(schedule, where, at) is None
    assert next_opening(schedule, where, at) is None


@pytest.mark.parametrize("name", [JOHANNESBURG, APIA, NEW_YORK, "Pacific/Kiritimati", "Etc/GMT+12"])
@pytest.mark.parametrize("at", [-1, LAST_INSTANT, LAST_INSTANT + 1, MAX_REVISION, 2**80])
@pytest.mark.parametrize("days", [f"{WEEK} 00:00-00:00", f"{WEEK} 01:00-23:00"])
def test_outside_the_calendar_everything_is_closed(name: str, at: int, days: str) -> None:
    schedule, where = hours(days), zone(name)
    assert not is_open(schedule, where, at)
    assert open_window(schedule, where, at) is None
    assert local(where, at) is None
    assert holds(schedule, where, at, at) is False


def test_calendar_has_two_ends() -> None:
    schedule, where, last = hours(f"{WEEK} 00:00-00:00"), zone(LONDON), LAST_INSTANT + 1 - 86_400_000
    assert next_opening(schedule, where, -86_400_000) == 0
    assert [is_open(schedule, where, at) for at in (0, last - 1, last)] == [True, True, False]
    assert holds(schedule, where, last - 1, last) is None
    assert holds(schedule, where, last, last + 1) is False
    opening = open_window(schedule, where, last - 1)
    assert opening
    assert (opening.since, opening.until) == (None, last)
    opening = open_window(schedule, where, 5)
    assert opening
    assert (opening.since, opening.until) == (0, None)


def test_interval_is_open_closed_or_mixed() -> None:
    schedule, where = hours("mon 08:00-12:00"), zone(JOHANNESBURG)
    opens, closes = utc("2026-11-23T06:00"), utc("2026-11-23T10:00")
    assert holds(schedule, where, opens, closes - 1) is True
    assert holds(schedule, where, opens, closes) is None
    assert holds(schedule, where, opens - 1, closes - 1) is None
    assert holds(schedule, where, closes, opens + 7 * 86_400_000 - 1) is False
    assert holds(schedule, where, closes, opens + 7 * 86_400_000) is None
    assert holds(schedule, where, opens - 1, opens - 1) is False
    assert holds(schedule, where, closes - 1, opens) is True  # the wrong way round: the earliest is certain


def test_interval_across_a_change_of_the_clocks() -> None:
    """Open before and after it, though the hour in between has gone; and closed before and after, though it is back."""
    where = zone(LONDON)
    skipped = utc("2026-03-29T01:00")
    assert holds(hours("sun 00:00-01:00; sun 02:00-03:00"), where, skipped - 1, skipped) is True
    assert holds(hours("sun 01:00-02:00"), where, skipped - 3_600_000, skipped + 3_600_000) is False
    repeated = utc("2026-10-25T01:00")
    assert holds(hours("sun 01:00-01:30"), where, repeated - 1, repeated) is None
    assert holds(hours("sun 01:00-02:00"), where, repeated - 1, repeated) is True


def test_interval_of_more_than_a_year_is_not_answered() -> None:
    always, where, year = hours(f"{WEEK} 00:00-00:00"), zone(LONDON), 370 * 86_400_000
    at = utc("2026-11-23T08:00")
    assert holds(always, where, at, at + year) is True
    assert holds(always, where, at, at + year + 1000) is None
    assert holds("", where, at, at + year) is False


def test_next_opening_is_the_next_turn() -> None:
    schedule, where = hours("mon 08:00-12:00; wed 08:00-12:00"), zone(JOHANNESBURG)
    monday, wednesday = utc("2026-11-23T06:00"), utc("2026-11-25T06:00")
    assert next_opening(schedule, where, monday - 1) == monday
    assert next_opening(schedule, where, monday) == wednesday
    assert next_opening(schedule, where, wednesday) == monday + 7 * 86_400_000


def test_next_opening_after_one_that_is_skipped() -> None:
    schedule, where = hours("sun 01:00-02:00"), zone(LONDON)
    assert next_opening(schedule, where, utc("2026-03-23")) == utc("2026-04-05T00:00")


def test_next_opening_when_the_clocks_change_and_change_back_before_it() -> None:
    schedule, where = hours("sat 23:30-23:45"), zone("America/Recife")
    assert next_opening(schedule, where, utc("2000-10-08T02:45")) == utc("2000-10-15T01:30")


def test_open_window_names_what_is_open_and_its_stretch() -> None:
    schedule, where = hours("mon 08:00-12:00; mon 12:00-13:00; sat 22:00-06:00"), zone(JOHANNESBURG)
    opening = open_window(schedule, where, utc("2026-11-23T10:00"))
    assert opening
    assert opening.window.model_dump(by_alias=True) == {"days": ["mon"], "from": "12:00", "until": "13:00"}
    assert (opening.since, opening.until) == (utc("2026-11-23T06:00"), utc("2026-11-23T11:00"))
    opening = open_window(schedule, where, utc("2026-11-22T03:59"))
    assert opening
    assert opening.window.from_ == "22:00"
    assert (opening.since, opening.until) == (utc("2026-11-21T20:00"), utc("2026-11-22T04:00"))
    assert open_window(schedule, where, utc("2026-11-22T04:00")) is None


def test_open_window_whose_closed_hour_is_skipped() -> None:
    """All week but for an hour, which London skipped: two weeks without an end."""
    schedule, where = hours("mon tue wed thu fri sat 00:00-00:00; sun 00:00-01:00; sun 02:00-00:00"), zone(LONDON)
    opening = open_window(schedule, where, utc("2026-04-04T12:00"))
    assert opening
    assert (opening.since, opening.until) == (utc("2026-03-22T02:00"), utc("2026-04-05T00:00"))


def test_open_all_week_has_no_edges() -> None:
    schedule, where, at = hours(f"{WEEK} 00:00-00:00"), zone(NEW_YORK), utc("2026-11-23T06:00")
    opening = open_window(schedule, where, at)
    assert opening
    assert (opening.since, opening.until) == (None, None)
    assert next_opening(schedule, where, at) is None
