"""The rules of a board's time at their edges, to the millisecond."""

import pytest

from agent.floor import RELEASED, Floor
from agent.timekeeping import Doubt, Mark, Reading, Step, Timekeeping
from protocol.moment import Moment
from protocol.vocabulary import ClockState

SYNCED, HOLDOVER, UNKNOWN = ClockState
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
YEAR = 365 * DAY
WEEK = 7 * DAY
NOON = RELEASED + 100 * DAY


def at(ms: int, jumped: int = 0) -> Reading:
    """So long after noon, when the board had been up for an hour; the wall clock may have jumped since."""
    return Reading(NOON + ms + jumped, HOUR + ms)


def word(now: Reading, ago: int = 0) -> Mark:
    """The time service spoke so long ago, by the wall clock of now."""
    return Mark("ntp", now.wall - ago)


def vouched(floor: int = RELEASED) -> Timekeeping:
    """The time service has spoken at noon, once."""
    keeping = Timekeeping(at(0), Floor(floor, HOUR))
    keeping.heed(word(at(0)), at(0))
    assert keeping.state(at(0)) is SYNCED
    return keeping


def believes(keeping: Timekeeping, now: Reading, ago: int = 0) -> bool:
    """Whether a word of so long ago is the last one that counts."""
    keeping.heed(word(now, ago), now)
    return keeping.marked(now) == ("ntp", max(0, ago))


@pytest.mark.parametrize(
    ("age", "state"),
    [
        (0, SYNCED),
        (4_200_000 - 1, SYNCED),
        (4_200_000, HOLDOVER),
        (604_800_000 - 1, HOLDOVER),
        (604_800_000, UNKNOWN),
    ],
)
def test_word_is_fresh_for_seventy_minutes_and_holds_for_a_week(age: int, state: ClockState) -> None:
    assert vouched().state(at(age)) is state


@pytest.mark.parametrize(
    ("age", "jump", "noticed"),
    [
        (0, 2_000, None),
        (0, -2_000, None),
        (0, 2_001, Step(2_001, False)),
        (0, -2_001, Step(-2_001, True)),
        (0, HOUR, Step(HOUR, False)),
        (0, HOUR + 1, Step(HOUR + 1, True)),
        (4 * DAY, -2_000, None),
        (4 * DAY, -36_560, Step(-36_560, False)),
        (4 * DAY, -36_561, Step(-36_561, True)),
        (WEEK, 3 * HOUR, None),
    ],
    ids=str,
)
def test_step_is_more_than_two_seconds_and_suspect_beyond_what_a_clock_needs(
    age: int, jump: int, noticed: Step | None
) -> None:
    keeping = vouched()
    assert keeping.glance(at(age, jump)) == noticed
    assert keeping.doubt is (Doubt.STEPPED if noticed and noticed.suspect else None)
    assert keeping.glance(at(age + SECOND, jump)) is None, "told once"


@pytest.mark.parametrize(("ago", "counts"), [(1_500, True), (1_501, False), (-500, True), (-501, False)])
def test_word_is_placed_among_the_jumps_to_half_a_second(ago: int, counts: bool) -> None:
    """It was steady ten seconds after noon for the last time, and had jumped a second later."""
    keeping, now = vouched(), at(11_000, 30 * MINUTE)
    keeping.glance(at(10_000))
    assert keeping.glance(now) == Step(30 * MINUTE, False)
    assert believes(keeping, now, ago) is counts


@pytest.mark.parametrize(("ago", "counts"), [(1_500, True), (1_501, False)])
def test_word_from_before_the_board_was_up_is_none(ago: int, counts: bool) -> None:
    now = Reading(NOON, 1_000)
    assert believes(Timekeeping(now, Floor(RELEASED, 0)), now, ago) is counts


@pytest.mark.parametrize(("later", "confirmed"), [(5_000, False), (5_001, True)])
def test_step_is_confirmed_by_a_word_more_than_five_seconds_later(later: int, confirmed: bool) -> None:
    keeping = vouched()
    assert keeping.glance(at(SECOND, DAY)) == Step(DAY, True)
    now = at(SECOND + later, DAY)
    assert believes(keeping, now) is confirmed
    assert (keeping.doubt is None) is confirmed
    assert keeping.state(now) is (SYNCED if confirmed else UNKNOWN)
    keeping.learn(now)
    assert (keeping.learnt is not None) is confirmed, "it is the second word of the new time"


@pytest.mark.parametrize(("later", "learnt"), [(5_000, False), (5_001, True)])
@pytest.mark.parametrize("began", [at(0), Reading(NOON, 0)], ids=["an hour up", "just up"])
def test_floor_is_learnt_from_a_word_more_than_five_seconds_after_the_first(
    began: Reading, later: int, learnt: bool
) -> None:
    keeping = Timekeeping(began, Floor(RELEASED, 0))
    keeping.heed(word(began), began)
    now = Reading(began.wall + later, began.uptime + later)
    assert believes(keeping, now)
    keeping.learn(now)
    assert keeping.learnt == (Floor(now.wall - 10_000, now.uptime) if learnt else None)


def test_first_word_of_just_before_the_start_is_as_one_at_the_start() -> None:
    began = Reading(NOON, 0)
    for later in (5_000, 5_001):
        keeping, now = Timekeeping(began, Floor(RELEASED, 0)), Reading(NOON + later, later)
        keeping.heed(word(began, 500), began)
        keeping.heed(word(now), now)
        keeping.learn(now)
        assert (keeping.learnt is not None) is (later > 5_000)


def test_trusted_clock_learns_nothing() -> None:
    keeping = Timekeeping(at(0), Floor(RELEASED, HOUR), trusted=True)
    keeping.learn(at(0))
    assert (keeping.learnt, keeping.state(at(0)), keeping.marked(at(0))) == (None, SYNCED, None)


@pytest.mark.parametrize(("above", "learnt"), [(0, False), (1, True)])
def test_floor_is_learnt_where_it_is_higher(above: int, learnt: bool) -> None:
    now = at(MINUTE)
    keeping = vouched(NOON - 10_000 - above + 6)
    assert keeping.floor(now) == now.wall - 10_000 - above
    keeping.heed(word(now), now)
    keeping.learn(now)
    assert (keeping.learnt is not None) is learnt
    assert keeping.floor(now) == now.wall - 10_000


@pytest.mark.parametrize(
    ("floor", "doubt"),
    [
        (NOON + 1, Doubt.BEHIND),
        (NOON, None),
        (NOON - 20 * YEAR, None),
        (NOON - 20 * YEAR - 1, Doubt.AHEAD),
    ],
    ids=str,
)
def test_time_service_is_refused_below_the_floor_and_twenty_years_above(floor: int, doubt: Doubt | None) -> None:
    keeping = Timekeeping(at(0), Floor(floor, HOUR))
    assert believes(keeping, at(0)) is (doubt is None)
    assert keeping.doubt is doubt


@pytest.mark.parametrize(
    ("ahead", "best"), [(-1, NOON), (0, NOON), (1, NOON + 1), (5 * YEAR, NOON + 5 * YEAR), (5 * YEAR + 1, NOON)]
)
def test_wall_clock_nobody_vouches_for_is_likely_for_five_years(ahead: int, best: int) -> None:
    assert Timekeeping(at(0), Floor(NOON, HOUR)).best(Reading(NOON + ahead, HOUR)) == best


@pytest.mark.parametrize(("uptime", "latest"), [(0, NOON), (59_999, NOON), (60_000, None)])
def test_grace_ends_to_the_millisecond(uptime: int, latest: int | None) -> None:
    now = Reading(NOON, uptime)
    assert Timekeeping(now, Floor(RELEASED, 0), grace_ms=60_000).moment(now).latest == latest
    assert Timekeeping(now, Floor(RELEASED, 0)).moment(now).latest is None


@pytest.mark.parametrize(("ago", "counts"), [(4_200_000 - 1, True), (4_200_000, False)])
def test_word_of_before_our_time_that_nothing_can_check_is_believed_while_fresh(ago: int, counts: bool) -> None:
    now = Reading(NOON, 2 * HOUR)
    assert believes(Timekeeping(now, Floor(RELEASED, 0)), now, ago) is counts


@pytest.mark.parametrize(
    ("past", "ago", "counts"),
    [
        (HOUR, HOUR + MINUTE, True),
        (HOUR + 2_000, HOUR + MINUTE, True),
        (HOUR - 2_000, HOUR + MINUTE, True),
        (HOUR + 2_001, HOUR + MINUTE, False),
        (HOUR - 2_001, HOUR + MINUTE, False),
        (HOUR, 3 * HOUR - MINUTE, True),
        (3 * HOUR, HOUR + MINUTE, True),
        (3 * HOUR - 1, HOUR + MINUTE, False),
        (3 * HOUR, 4_200_000 - 1, True),
        (3 * HOUR, 4_200_000, False),
    ],
)
def test_word_of_before_our_time_is_checked_against_the_floor_that_was_kept(past: int, ago: int, counts: bool) -> None:
    """Up for three hours; the floor was kept after two of them, or in an earlier start of the board."""
    now = Reading(NOON, 3 * HOUR)
    kept = Floor(NOON - 10_000 - past, 2 * HOUR)
    assert believes(Timekeeping(now, kept.carried(now.uptime), kept=kept), now, ago) is counts


@pytest.mark.parametrize(
    ("age", "jumped", "moment"),
    [
        (MINUTE, 2_000, (2_000, 2_000)),
        (MINUTE, -2_000, (-2_000, -2_000)),
        (MINUTE, 2_001, (0, 2_001)),
        (MINUTE, -2_001, (-2_001, 0)),
        (4 * DAY, 0, (-34_560, 34_560)),
        (4 * DAY + 1, 0, (-34_561, 34_561)),
        (4 * DAY, 2_001, (-34_560, 36_561)),
    ],
)
def test_moment_holds_what_is_right_and_what_the_wall_shows(age: int, jumped: int, moment: tuple[int, int]) -> None:
    earliest, latest = (NOON + age + off for off in moment)
    assert vouched().moment(at(age, jumped)) == Moment(earliest, latest, SYNCED if age == MINUTE else HOLDOVER)


def test_moment_in_holdover_does_not_begin_below_the_floor() -> None:
    floor = NOON - 1_000
    now = at(4 * DAY, -30 * SECOND)
    keeping = vouched(floor)
    assert keeping.moment(now) == Moment(keeping.floor(now), NOON + 4 * DAY + 34_560, HOLDOVER)
    assert keeping.floor(now) == floor + 4 * DAY - 34_560


def test_same_word_again_is_no_news_and_another_service_has_its_own() -> None:
    keeping, now = vouched(), at(MINUTE)
    keeping.heed(Mark("ntp", NOON), now)
    assert keeping.marked(now) == ("ntp", MINUTE)
    keeping.heed(Mark("other", NOON + SECOND), now)
    assert keeping.marked(now) == ("other", MINUTE - SECOND)
