"""Whatever the terms and however wrong the clock: the gate says what every instant that now may be would say.

The model below knows a single instant, and reads the rules off the wall, word by word, as a person would.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.access import Grant, decide
from protocol.explain import explanation
from protocol.moment import Moment, exact
from protocol.terms import DAYS, Terms
from protocol.vocabulary import Channel, ClockState, Denial, Permission, Status
from tests.oracle import calendar

MINUTE, DAY = 60_000, 86_400_000

# Where clocks were changed: forward, back, by half an hour, over a whole day; and one that never is.
TURNS = {
    1_774_746_000_000: "Europe/London",
    1_792_890_000_000: "Europe/London",
    1_775_314_800_000: "Australia/Lord_Howe",
    1_791_041_400_000: "Australia/Lord_Howe",
    1_325_239_200_000: "Pacific/Apia",
    1_795_300_000_000: "Africa/Johannesburg",
}
ZONES = {name: calendar.zone(name) for name in TURNS.values()}


@dataclass
class Case:
    """Somebody asks."""

    grant: Grant | None
    channel: Channel
    zone: ZoneInfo
    unit: str | None
    earliest: int
    latest: int

    def says(self, earliest: int, latest: int | None) -> Denial | None:
        """What the gate says where now is between the two."""
        moment = Moment(earliest, latest, ClockState.HOLDOVER)
        return decide(self.grant, self.channel, moment, self.zone, self.unit).reason


def reason_at(case: Case, at: int) -> Denial | None:
    """Why not, at one instant."""
    grant = case.grant
    if grant is None:
        return Denial.UNKNOWN_USER
    visitor = grant.terms.permission in {Permission.TEMPORARY, Permission.REPEAT}
    starts, ends = (grant.terms.starts_at, grant.terms.ends_at) if visitor else (None, None)
    over = any(end is not None and at >= end for end in (grant.deadline, ends))
    reasons = {
        Denial.REVOKED: grant.status is None,
        Denial.EXPIRED: grant.status is Status.EXPIRED or over,
        Denial.NOT_ACCEPTED: grant.status is Status.PENDING,
        Denial.WIFI_NOT_ALLOWED: case.channel is Channel.WIFI and not grant.wifi,
        Denial.WRONG_UNIT: case.unit is not None and grant.units != () and case.unit not in grant.units,
        Denial.NOT_YET_VALID: starts is not None and at < starts,
        Denial.OUTSIDE_SCHEDULE: grant.terms.permission is Permission.REPEAT
        and not shown(grant.terms.schedule or "[]", case.zone, at),
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


def shown(schedule: str, zone: ZoneInfo, at: int) -> bool:
    """Whether the wall shows a day and a time of the schedule."""
    wall = datetime.fromtimestamp(at // 1000, zone)
    today, yesterday, time = DAYS[wall.weekday()], DAYS[wall.weekday() - 1], f"{wall:%H:%M}"
    for window in orjson.loads(schedule):
        start, until, days = window["from"], window["until"], window["days"]
        if start < until and today in days and start <= time < until:
            return True
        if until <= start and ((today in days and time >= start) or (yesterday in days and time < until)):
            return True
    return False


times = st.builds("{:02}:{:02}".format, st.integers(0, 4) | st.integers(0, 23), st.sampled_from([0, 30, 59]))
days = st.sets(st.sampled_from(DAYS), min_size=1).map(lambda chosen: sorted(chosen, key=DAYS.index))
windows = st.builds(lambda days, start, until: {"days": days, "from": start, "until": until}, days, times, times)
schedules = st.lists(windows, min_size=1, max_size=3).map(lambda made: orjson.dumps(made).decode())
lengths = st.sampled_from([0, 1, MINUTE, 10 * MINUTE, 60 * MINUTE, DAY // 2, DAY]) | st.integers(0, DAY)
minutes = st.integers(-90, 90).map(lambda minutes: minutes * MINUTE)
early, late = minutes | st.integers(-8 * DAY, 0), minutes | st.integers(0, 8 * DAY)
offsets = st.one_of(minutes, minutes, early, late)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Terms of every access type, as the list can hold them, around one change of the clocks."""
    turn, zone = draw(st.sampled_from(sorted(TURNS.items())))

    permission = draw(st.sampled_from([*Permission, None, Permission.TEMPORARY, Permission.REPEAT, Permission.REPEAT]))
    starts_at, ends_at = sorted((turn + draw(early), turn + draw(late)))
    terms = Terms(permission)
    if permission is Permission.TEMPORARY:
        terms = Terms(permission, starts_at, ends_at)
    elif permission is Permission.REPEAT:
        dates = draw(st.sampled_from([(None, None), (starts_at, None), (None, ends_at), (starts_at, ends_at)]))
        terms = Terms(permission, *dates, draw(schedules))
    status = draw(st.sampled_from([*[Status.ACTIVE] * 9, Status.PENDING, Status.EXPIRED, None]))
    deadline = terms.ends_at if status is Status.ACTIVE else turn + draw(offsets) if status is Status.PENDING else None
    grant = Grant(status, terms, draw(st.booleans()), draw(st.sampled_from([(), (), ("4", "7b")])), deadline)
    edges = [at + by for at in (starts_at, ends_at, deadline) if at is not None for by in (-1, 0)]
    moments = st.builds(int.__add__, st.just(turn), offsets) | st.sampled_from(edges)
    one = draw(moments)
    earliest, latest = sorted((one, draw(st.builds(int.__add__, st.just(one), lengths) | moments)))
    return Case(
        grant=draw(st.sampled_from([*[grant] * 20, None])),
        channel=draw(st.sampled_from(Channel)),
        zone=ZONES[zone],
        unit=draw(st.sampled_from([None, None, None, "4", "9"])),
        earliest=earliest,
        latest=min(latest, earliest + DAY),
    )


def instants(case: Case) -> set[int]:
    """Enough instants of an interval to tell all of it: rules change on whole minutes, and on dates."""
    first, last = case.earliest, case.latest
    dates = (case.grant.deadline, case.grant.terms.starts_at, case.grant.terms.ends_at) if case.grant else ()
    edges = {edge for at in dates if at is not None for edge in (at - 1, at) if first <= edge <= last}
    return {first, last, *range(first // MINUTE * MINUTE + MINUTE, last, MINUTE), *edges}


@settings(max_examples=500)
@given(cases())
def test_gate_says_what_every_instant_says(case: Case) -> None:
    """Where they differ: `clock_unknown`, or as the first one says where none lets anybody in."""
    said = case.says(case.earliest, case.latest)
    answers = {reason_at(case, at) for at in instants(case)}
    if len(answers) == 1:
        assert {said} == answers
    elif None in answers:
        assert said is Denial.CLOCK_UNKNOWN
    else:
        assert said in {Denial.CLOCK_UNKNOWN, reason_at(case, case.earliest)}


@settings(max_examples=300)
@given(cases())
def test_gate_knows_every_instant(case: Case) -> None:
    assert case.says(case.earliest, case.earliest) is reason_at(case, case.earliest)


@settings(max_examples=300)
@given(cases(), st.integers(0, DAY), st.none() | st.integers(0, DAY))
def test_knowing_less_never_opens(case: Case, before: int, after: int | None) -> None:
    """A wider moment says the same or less: it lets in nobody whom a narrower one keeps out, and `unknown` stays so."""
    narrow = case.says(case.earliest, case.latest)
    wide = case.says(case.earliest - before, None if after is None else case.latest + after)
    if narrow is None:
        assert wide in {None, Denial.CLOCK_UNKNOWN}
    elif narrow is Denial.CLOCK_UNKNOWN:
        assert wide is Denial.CLOCK_UNKNOWN
    else:
        assert wide is not None


@settings(max_examples=300)
@given(cases(), st.integers(0, 2**53), st.none() | st.integers(0, 2**53))
def test_clock_shuts_out_visitors_alone(case: Case, earliest: int, length: int | None) -> None:
    """Whatever the clock says, 1970 and 9999 among it; and with no upper bound no visitor comes in."""
    latest = None if length is None else earliest + length
    if case.grant is None or case.grant.status is not Status.ACTIVE:
        assert case.says(earliest, latest) is not None
    elif case.grant.terms.permission in {Permission.TEMPORARY, Permission.REPEAT}:
        assert latest is not None or case.says(earliest, latest) is not None
    else:
        assert case.says(earliest, latest) is reason_at(case, case.earliest)


@settings(max_examples=300)
@given(cases())
def test_explanation_agrees_with_the_gate(case: Case) -> None:
    """Its facts too: the bounds of an opening are where the gate changes its mind, and a next one is the first."""
    moment = Moment(case.earliest, case.latest, ClockState.HOLDOVER)
    told = explanation(case.grant, case.channel, moment, case.zone, case.unit)
    assert told.ruling == decide(case.grant, case.channel, moment, case.zone, case.unit)
    assert told.sentence
    if told.opened_at is not None:
        assert told.opened_at <= case.earliest
        assert reason_at(case, told.opened_at) is None
        assert reason_at(case, told.opened_at - 1) is not None
    if told.closes_at is not None:
        assert case.latest < told.closes_at
        assert reason_at(case, told.closes_at - 1) is None
        assert reason_at(case, told.closes_at) is not None
    if told.next_opening is not None:
        assert case.latest < told.next_opening
        until = replace(case, earliest=case.latest, latest=told.next_opening - 1)
        assert None not in {reason_at(case, at) for at in instants(until)}
        assert decide(case.grant, case.channel, exact(told.next_opening), case.zone, case.unit).allowed
    elif told.ruling.reason in {Denial.NOT_YET_VALID, Denial.OUTSIDE_SCHEDULE}:
        assert None not in {reason_at(case, case.latest + hour * 60 * MINUTE) for hour in range(20 * 24)}
