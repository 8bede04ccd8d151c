"""Dates and schedules as people write them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from protocol.vocabulary import Permission
from simulator.access import describe, parse_instant, parse_schedule
from simulator.batching import Offer

JOHANNESBURG = ZoneInfo("Africa/Johannesburg")
WORKDAYS = ["mon", "tue", "wed", "thu", "fri"]


def at(*moment: int, zone: ZoneInfo = JOHANNESBURG) -> int:
    year, month, day, *rest = moment
    hour, minute = rest or (0, 0)
    return int(datetime(year, month, day, hour, minute, tzinfo=zone).timestamp()) * 1000


def test_date_alone_is_its_first_moment_and_as_an_end_its_last() -> None:
    assert parse_instant("2026-12-24", JOHANNESBURG) == at(2026, 12, 24)
    assert parse_instant("2026-12-24", JOHANNESBURG, ends=True) == at(2026, 12, 25)


def test_time_of_day_is_meant_exactly() -> None:
    assert parse_instant("2026-12-24T18:00", JOHANNESBURG, ends=True) == at(2026, 12, 24, 18, 0)
    assert parse_instant("2026-12-24 18:00", JOHANNESBURG) == at(2026, 12, 24, 18, 0)


def test_offset_wins_over_the_zone() -> None:
    there = int(datetime(2026, 12, 24, 16, tzinfo=UTC).timestamp()) * 1000
    assert parse_instant("2026-12-24T18:00+02:00", ZoneInfo("Asia/Tokyo")) == there
    assert parse_instant("2026-12-24T16:00Z", None) == there


def test_date_in_summer_time_has_its_own_offset() -> None:
    london = ZoneInfo("Europe/London")
    assert parse_instant("2026-07-01", london) == at(2026, 7, 1, zone=london)
    assert parse_instant("2026-07-01", london) != parse_instant("2026-07-01", ZoneInfo("UTC"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tomorrow", "'tomorrow' is no date: write 2026-12-24"),
        ("24/12/2026", "is no date"),
        ("2026-02-30", "is no date"),
        ("1969-12-31", "not between 1970 and 9999"),
        ("9999-12-31", "later than any calendar"),
    ],
)
def test_what_is_no_date_is_named(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_instant(text, JOHANNESBURG, ends=True)


def test_date_without_a_zone_asks_for_one() -> None:
    with pytest.raises(ValueError, match="add --timezone Africa/Johannesburg"):
        parse_instant("2026-12-24", None)


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("mon-fri 09:00-17:00", [(WORKDAYS, "09:00", "17:00")]),
        ("Mon – Fri 9:00 – 17:00", [(WORKDAYS, "09:00", "17:00")]),
        ("monday, wednesday 08:00-12:00", [(["mon", "wed"], "08:00", "12:00")]),
        ("mon 08:00-12:00 13:00-17:00", [(["mon"], "08:00", "12:00"), (["mon"], "13:00", "17:00")]),
        ("sat 08:00-12:00; mon 20:00-02:00;", [(["mon"], "20:00", "02:00"), (["sat"], "08:00", "12:00")]),
        ("sat-mon 06:00-24:00", [(["mon", "sat", "sun"], "06:00", "00:00")]),
        ("daily 00:00-24:00", [([*WORKDAYS, "sat", "sun"], "00:00", "00:00")]),
        ('[{"days": ["sun"], "from": "10:00", "until": "11:00"}]', [(["sun"], "10:00", "11:00")]),
    ],
)
def test_schedule_is_read_as_it_is_meant(text: str, windows: list[tuple[list[str], str, str]]) -> None:
    assert parse_schedule(text) == [{"days": days, "from": start, "until": until} for days, start, until in windows]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mon-fri", "'mon-fri' has no times"),
        ("09:00-17:00", "has no days"),
        ("mon-fri 9-17", "'9-17' is neither a day nor a time"),
        ("monkey 09:00-17:00", "'monkey' is neither a day nor a time"),
        ("mo 09:00-17:00", "'mo' is neither"),
        ("mon 25:00-26:00", "a time is written HH:MM"),
        ("[1", "is JSON, and this is none"),
        ('[{"days": ["mo"], "from": "09:00", "until": "17:00"}]', r"schedule\[0\].days\[0\]: a day is one of"),
        ("", "a schedule is a list"),
    ],
)
def test_what_is_no_schedule_is_named(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_schedule(text)


def test_offer_is_described_with_what_counts() -> None:
    start, end = at(2026, 12, 24), at(2026, 12, 27)
    visitor = Offer(("1234567890123456",), Permission.TEMPORARY, start, end)
    assert describe(visitor, JOHANNESBURG) == (
        "Temporary, from 2026-12-24 00:00 Africa/Johannesburg, until 2026-12-27 00:00 Africa/Johannesburg"
    )
    cleaner = Offer(("1234567890123456",), Permission.REPEAT, schedule=parse_schedule("mon 08:00-12:00"))
    assert describe(cleaner, None) == "Repeat, mon 08:00-12:00"
    assert describe(Offer(("1234567890123456",), Permission.ALWAYS, invite_expires_at=0), None) == (
        "Always, to be taken up before 1970-01-01 00:00 UTC"
    )
