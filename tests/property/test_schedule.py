"""Every answer about a schedule is that of a calendar counted out by hand, around changes of the clocks above all."""

import os
from collections.abc import Iterator
from datetime import date, timedelta
from random import Random, SystemRandom
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from protocol.schedule import holds, is_open, next_opening, open_window
from protocol.terms import DAYS, canonical_schedule
from tests.oracle import calendar
from tests.oracle.calendar import Calendar

ZONES = (
    "Africa/Cairo",
    "Africa/Casablanca",
    "Africa/Johannesburg",
    "America/Havana",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Europe/London",
    "Pacific/Apia",
    "Pacific/Chatham",
)
WEEKS, SCHEDULES, INSTANTS = 8, 7, 150
CASES = len(ZONES) * WEEKS * SCHEDULES * INSTANTS
YEARS = (1972, 2095)

# Another seed every time; CI repeats one, so that red means a change, not bad luck.
SEED = 20_260_329 if os.environ.get("CI") else SystemRandom().getrandbits(32)


def time_of_day(rng: Random) -> str:
    """Often in the small hours, when clocks are changed; often on the half hour."""
    hour = rng.choice([rng.randrange(4), rng.randrange(24)])
    return f"{hour:02}:{rng.choice([0, 30, rng.randrange(60)]):02}"


def windows(rng: Random) -> list[dict[str, Any]]:
    made = []
    for _ in range(rng.randint(1, 4)):
        start = time_of_day(rng)
        until = start if rng.random() < 0.1 else time_of_day(rng)
        made.append({"days": rng.sample(DAYS, rng.choice([1, 1, 2, 5, 7])), "from": start, "until": until})
    return made


def weeks(name: str, rng: Random) -> Iterator[Calendar]:
    """Ten days each, more often than not around a change of the clocks."""
    zone = calendar.zone(name)
    changed = list(calendar.changes(zone, *YEARS))
    for _ in range(WEEKS):
        day = date(rng.randint(*YEARS), 1, 1) + timedelta(days=rng.randrange(365))
        if changed and rng.random() < 0.7:
            day = rng.choice(changed)
        yield Calendar(zone, day - timedelta(days=rng.randint(1, 7)), 10)


def instants(known: Calendar, minutes: set[int], rng: Random) -> list[int]:
    """More often than not around an edge."""
    edges = [minute for minute in minutes if {minute - 1, minute + 1} - minutes] or [known.begin]
    anywhere = range((known.begin + 2) * 60_000, (known.end - 2) * 60_000)
    near = (rng.choice(edges) * 60_000 + rng.randint(-90_000, 90_000) for _ in range(INSTANTS * 3 // 4))
    chosen = [at if at in anywhere else rng.choice(anywhere) for at in near]
    return [*chosen, *(rng.choice(anywhere) for _ in range(INSTANTS - len(chosen)))]


def test_there_are_enough_cases() -> None:
    assert len(ZONES) >= 12
    assert CASES >= 100_000


@pytest.mark.parametrize("name", ZONES)
def test_schedule_agrees_with_a_calendar_counted_out(name: str) -> None:
    rng, zone = Random(f"{SEED} {name}"), calendar.zone(name)
    for known in weeks(name, rng):
        for _ in range(SCHEDULES):
            written = windows(rng)
            schedule = canonical_schedule(written)
            assert isinstance(schedule, str)
            minutes = known.open(written)
            chosen = instants(known, minutes, rng)
            for at in chosen:
                assert is_open(schedule, zone, at) == (at // 60_000 in minutes), (SEED, name, schedule, at)
            for at in chosen[:: INSTANTS // 4]:
                agree_on_intervals(schedule, zone, known, minutes, at, rng)
            for at in (chosen[0], chosen[-1]):
                agree_on_edges(schedule, zone, known, minutes, at)


def agree_on_intervals(schedule: str, zone: ZoneInfo, known: Calendar, minutes: set[int], at: int, rng: Random) -> None:
    for length in (0, 999, rng.randint(0, 3_600_000), rng.randint(0, 86_400_000)):
        latest = min(at + length, known.end * 60_000 - 1)
        states = {minute in minutes for minute in range(at // 60_000, latest // 60_000 + 1)}
        expected = states.pop() if len(states) == 1 else None
        assert holds(schedule, zone, at, latest) is expected, (SEED, zone, schedule, at, latest)


def agree_on_edges(schedule: str, zone: ZoneInfo, known: Calendar, minutes: set[int], at: int) -> None:
    """What opens next; and what is open, since when and until when; as far as the days that are known tell."""
    case, minute = (SEED, zone, schedule, at), at // 60_000
    ahead = range(minute + 1, known.end)
    opens = next((later * 60_000 for later in ahead if later in minutes and later - 1 not in minutes), None)
    assert within(known, next_opening(schedule, zone, at)) == opens, case
    opening = open_window(schedule, zone, at)
    assert (opening is not None) == (minute in minutes), case
    if opening is not None:
        since = next((earlier for earlier in range(minute, known.begin, -1) if earlier - 1 not in minutes), None)
        until = next((later for later in ahead if later not in minutes), None)
        assert within(known, opening.since) == (since and since * 60_000), case
        assert within(known, opening.until) == (until and until * 60_000), case
        assert minute in known.open([opening.window.model_dump(by_alias=True)]), case


def within(known: Calendar, at: int | None) -> int | None:
    """An instant, where the calendar can know it."""
    return at if at is not None and known.begin < at // 60_000 < known.end else None
