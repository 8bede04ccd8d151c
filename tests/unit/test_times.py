"""Moments as people type them, and the clock as a command beside the daemon sees it."""

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import Clock, ClockFacts
from agent.commands import clocks
from agent.commands.clocks import Seen, in_words, lasting, seen
from agent.commands.times import instant, local, since
from agent.config import load
from agent.floor import RELEASED, Ratchet
from protocol.vocabulary import ClockState
from tests.counterparts.agent import Agent

ZONES = [ZoneInfo(name) for name in ("Africa/Johannesburg", "Europe/London", "Australia/Lord_Howe", "Asia/Kathmandu")]
JOHANNESBURG, LONDON, LORD_HOWE, _ = ZONES
NOW = 1_795_300_000_000
HOUR, DAY = 3_600_000, 86_400_000
TODAY = RELEASED + 30 * DAY


@given(st.integers(DAY, 250_000_000_000_000), st.sampled_from(ZONES))
def test_moment_that_a_wall_shows_is_that_instant_or_the_first_that_looks_like_it(at: int, zone: ZoneInfo) -> None:
    shown = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)).astimezone(zone)
    wall = shown.replace(tzinfo=None, fold=0)
    found = instant(wall.isoformat(timespec="milliseconds"), zone)
    assert at - found in ({HOUR, HOUR // 2} if shown.fold else {0})
    assert instant(shown.isoformat(timespec="milliseconds"), zone) == at, "an offset leaves nothing open"


@pytest.mark.parametrize(
    ("written", "zone", "at"),
    [
        ("2026-11-22T00:26:40", JOHANNESBURG, NOW),
        (" 2026-11-22 00:26:40 ", JOHANNESBURG, NOW),
        ("2026-11-21T22:26:40Z", JOHANNESBURG, NOW),
        ("20261122T002640", JOHANNESBURG, NOW),
        ("2026-11-22", JOHANNESBURG, NOW - 1_600_000),
        ("2026-10-25T01:30", LONDON, 1_792_888_200_000),
        ("1970-01-01T00:00", ZoneInfo("UTC"), 0),
    ],
)
def test_moment_in_many_spellings(written: str, zone: ZoneInfo, at: int) -> None:
    assert instant(written, zone) == since(written, zone, NOW) == at


@pytest.mark.parametrize(
    ("written", "zone", "why"),
    [
        ("2026-03-29T01:00", LONDON, "never was in Europe/London: the clocks skipped it"),
        ("2026-10-04T02:15", LORD_HOWE, "never was in Australia/Lord_Howe: the clocks skipped it"),
        ("2026-11-22T10:00", None, "needs an offset, such as +02:00: these devices are in different time zones"),
        ("10:00", JOHANNESBURG, "is no time; write 2026-11-22T17:30, or 2026-11-22T17:30+02:00"),
        ("", JOHANNESBURG, "'' is no time"),
        ("1969-12-31T23:59", JOHANNESBURG, "is not between 1970 and 9998"),
        ("9999-12-31T23:59-12:00", JOHANNESBURG, "is not between 1970 and 9998"),
    ],
)
def test_moment_that_is_none_is_told_with_its_cure(written: str, zone: ZoneInfo | None, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        instant(written, zone)
    with pytest.raises(ValueError, match=re.escape(why)):
        since(written, zone, NOW)


@pytest.mark.parametrize(
    ("written", "ago"),
    [("90s", 90_000), ("15min", 900_000), ("15 min", 900_000), ("2h", 2 * HOUR), ("3d", 3 * DAY), ("1w", 7 * DAY)],
)
def test_how_long_ago(written: str, ago: int) -> None:
    assert since(written, None, NOW) == NOW - ago


def test_how_long_ago_reaches_back_to_the_epoch_and_no_further() -> None:
    assert since("999999w", None, NOW) == 0
    for written in ("2m", "-2h", "2 hours", "2.5h", "1234567d"):
        with pytest.raises(ValueError, match="or how long ago, such as 15min, 2h or 3d"):
            since(written, None, NOW)


def test_wall_beyond_every_calendar_shows_nothing() -> None:
    assert local(10**18, JOHANNESBURG) is None
    assert local(0, JOHANNESBURG) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s"), (119, "119 s"), (120, "2 min"), (7_199, "119 min"), (7_200, "2 h"), (3 * 86_400, "3 days")],
)
def test_how_long_something_has_lasted(seconds: float, words: str) -> None:
    assert lasting(seconds) == words


def facts(state: ClockState, service: str | None = None, concern: str | None = None) -> ClockFacts:
    return ClockFacts(state, NOW, service, None if service is None else 7_260, NOW, concern)


def test_words_for_a_clock_tell_whose_word_it_is() -> None:
    assert in_words(ClockState.SYNCED) == in_words(ClockState.SYNCED, facts(ClockState.SYNCED)) == "synced"
    chrony = facts(ClockState.SYNCED, "chrony")
    assert in_words(ClockState.SYNCED, chrony) == "synced: chrony confirmed it 2 h ago"
    assert in_words(ClockState.HOLDOVER, chrony) == "holdover: chrony confirmed it 2 h ago, within a week"
    why = facts(ClockState.UNKNOWN, concern="the time service says 1970, which cannot be")
    assert in_words(ClockState.UNKNOWN, why) == "unknown: the time service says 1970, which cannot be"


async def nobody() -> None:
    """No chronyd answers."""


@pytest.fixture
def noted_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[ClockState | None, bool], Seen]:
    """The clock as a command sees it that has just looked, beside a daemon that notes something of its own."""

    def look(noted: ClockState | None, synced: bool) -> Seen:
        mark = tmp_path / "synchronized"
        if synced:
            mark.touch()
            os.utime(mark, (TODAY / 1000, TODAY / 1000))
        clock = Clock(ratchet=Ratchet(tmp_path), wall=lambda: TODAY, mark=mark, ask=nobody)
        monkeypatch.setattr(clocks, "timekeeper", lambda _: clock)
        return seen(load(Agent(tmp_path, 1).file), noted)

    return look


@pytest.mark.parametrize("synced", [True, False])
@pytest.mark.parametrize("noted", [None, *ClockState])
def test_word_of_a_running_daemon_counts(
    noted_beside: Callable[[ClockState | None, bool], Seen], noted: ClockState | None, synced: bool
) -> None:
    clock = noted_beside(noted, synced)
    moment = clock.moment
    own = ClockState.SYNCED if synced else ClockState.UNKNOWN
    assert clock.facts.state is moment.state is (noted or own)
    assert (clock.facts.service is None) == (not synced or noted not in {None, own})
    if moment.state is ClockState.UNKNOWN:
        assert moment.latest is None
        assert RELEASED <= moment.earliest <= TODAY
        return
    assert moment.latest is not None
    assert moment.best == TODAY
    assert moment.latest - moment.earliest == (2 * 60_480 if moment.state is ClockState.HOLDOVER else 0)


def test_clock_that_is_right_by_configuration_needs_nobodys_word(tmp_path: Path) -> None:
    clock = seen(load(Agent(tmp_path, 1).file), ClockState.UNKNOWN)
    assert clock.facts.state is clock.moment.state is ClockState.SYNCED
