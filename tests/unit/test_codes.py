"""One-time codes: which opens what, which may be given out, and how often somebody may guess."""

from dataclasses import replace
from random import Random

import pytest

from protocol.codes import OneTimeCode, Use, drawn, issue, judge
from protocol.moment import Moment, exact
from protocol.tries import BLOCK_S, FORGOTTEN_S, FREE, LONGEST_BLOCK_S, Tries
from protocol.vocabulary import ClockState, CommandRefusal, Denial, Direction

MADE, HOUR = 1_795_300_000_000, 3_600_000
EXPIRES = MADE + 12 * HOUR
NOW = exact(MADE + HOUR)
IN, OUT = Direction.ENTRY, Direction.EXIT
CODE = OneTimeCode(
    number=1,
    device_id="482913",
    digits="0417",
    name="A guest",
    mobile=27824511234,
    made_at=MADE,
    expires_at=EXPIRES,
    entry="1111222233334444",
    exit="5555666677778888",
)
ENTERED, LEFT = replace(CODE, entered_at=MADE), replace(CODE, left_at=MADE)
SPENT = replace(ENTERED, left_at=MADE)


def between(earliest: int, latest: int | None) -> Moment:
    return Moment(earliest, latest, ClockState.HOLDOVER if latest else ClockState.UNKNOWN)


@pytest.mark.parametrize(
    ("code", "direction", "opens"),
    [
        (CODE, None, IN),
        (CODE, IN, IN),
        (CODE, OUT, OUT),  # came in on another's heels, and gets out
        (ENTERED, None, OUT),
        (ENTERED, OUT, OUT),
        (ENTERED, IN, Denial.CODE_SPENT),
        (LEFT, None, IN),
        (LEFT, IN, IN),
        (LEFT, OUT, Denial.CODE_SPENT),
        (SPENT, None, Denial.CODE_SPENT),
        (SPENT, IN, Denial.CODE_SPENT),
        (SPENT, OUT, Denial.CODE_SPENT),
    ],
)
def test_code_opens_once_each_way(code: OneTimeCode, direction: Direction | None, opens: Direction | Denial) -> None:
    judged = judge([code], "0417", direction, NOW)
    if isinstance(opens, Direction):
        assert judged == Use(code, opens, {IN: code.entry, OUT: code.exit}[opens])
    else:
        assert judged is opens


@pytest.mark.parametrize("digits", ["0418", "417", "00417", "0417 ", "", "٠٤١٧"])
def test_other_digits_are_wrong(digits: str) -> None:
    assert judge([CODE], digits, None, NOW) is Denial.WRONG_CODE
    assert judge([], digits, None, NOW) is Denial.WRONG_CODE


@pytest.mark.parametrize(
    ("moment", "fresh", "spent"),
    [
        (exact(EXPIRES - 1), None, Denial.CODE_SPENT),
        (exact(EXPIRES), Denial.EXPIRED, Denial.EXPIRED),
        (between(EXPIRES - 2, EXPIRES - 1), None, Denial.CODE_SPENT),
        (between(EXPIRES - 1, EXPIRES), Denial.CLOCK_UNKNOWN, Denial.CODE_SPENT),
        (between(EXPIRES - 1, EXPIRES + 9), Denial.CLOCK_UNKNOWN, Denial.CODE_SPENT),
        (between(EXPIRES, EXPIRES + 1), Denial.EXPIRED, Denial.EXPIRED),
        (between(MADE, None), Denial.CLOCK_UNKNOWN, Denial.CODE_SPENT),
        (between(EXPIRES, None), Denial.EXPIRED, Denial.EXPIRED),
        (between(MADE - HOUR, MADE + HOUR), None, Denial.CODE_SPENT),  # a code just made opens with any clock
    ],
)
def test_code_by_the_clock(moment: Moment, fresh: Denial | None, spent: Denial) -> None:
    judged = judge([CODE], "0417", None, moment)
    assert (judged if isinstance(judged, Denial) else None) is fresh
    assert judge([SPENT], "0417", None, moment) is spent


def test_digits_given_out_again() -> None:
    """The newest that opens counts, in whatever order they come; where none does, the newest says why."""
    newer = replace(CODE, number=2)
    expired = replace(CODE, number=3, expires_at=NOW.earliest)
    for codes in ([CODE, newer], [newer, CODE], iter([expired, CODE, newer])):
        assert judge(codes, "0417", IN, NOW) == Use(newer, IN, newer.entry)
    assert judge([replace(newer, entered_at=MADE), CODE, expired], "0417", IN, NOW) == Use(CODE, IN, CODE.entry)
    assert judge([SPENT, expired], "0417", None, NOW) is Denial.EXPIRED
    assert judge([expired, replace(SPENT, number=4)], "0417", None, NOW) is Denial.CODE_SPENT


def others(count: int) -> list[OneTimeCode]:
    return [replace(CODE, number=number, digits=f"{number:04}") for number in range(count)]


def test_issue_gives_the_digits_asked_for_or_draws_them() -> None:
    assert issue([CODE], "0418", 10, NOW, Random(1)) == "0418"
    digits = issue([CODE], None, 10, NOW, Random(1))
    assert digits == drawn(Random(1), {"0417"})


@pytest.mark.parametrize("digits", ["", "123", "12345", "12a4", "１２３４", "1234\n", " 123"])
def test_issue_wants_four_digits(digits: str) -> None:
    assert issue([], digits, 10, NOW, Random(1)) is CommandRefusal.SCHEMA
    assert issue(others(10), digits, 10, NOW, Random(1)) is CommandRefusal.SCHEMA


def test_issue_keeps_the_limit() -> None:
    """A code frees its place when it is spent or has certainly expired, not when half used or perhaps expired."""
    full = others(10)
    assert issue(full, None, 10, NOW, Random(1)) is CommandRefusal.CODE_LIMIT
    assert issue(full, "0001", 10, NOW, Random(1)) is CommandRefusal.CODE_LIMIT
    assert issue(full, "9999", 11, NOW, Random(1)) == "9999"
    assert issue(full[:9], "9999", 10, NOW, Random(1)) == "9999"
    assert issue([*full[:9], SPENT], "9999", 10, NOW, Random(1)) == "9999"
    assert issue([*full[:9], ENTERED], "9999", 10, NOW, Random(1)) is CommandRefusal.CODE_LIMIT
    assert issue([*full[:9], LEFT], "9999", 10, NOW, Random(1)) is CommandRefusal.CODE_LIMIT
    assert issue(full, "0001", 10, exact(EXPIRES), Random(1)) == "0001"
    assert issue(full, "9999", 10, between(EXPIRES - 1, EXPIRES), Random(1)) is CommandRefusal.CODE_LIMIT
    assert issue(full, "9999", 10, between(MADE, None), Random(1)) is CommandRefusal.CODE_LIMIT


def test_issue_never_gives_digits_that_somebody_may_still_try() -> None:
    for code in (CODE, ENTERED, SPENT):
        assert issue([code], "0417", 10, NOW, Random(1)) is CommandRefusal.CODE_TAKEN
        assert issue([code], "0417", 10, exact(EXPIRES), Random(1)) == "0417"
    spent = [replace(code, entered_at=MADE, left_at=MADE) for code in others(10_000)]
    assert issue(spent[:-1], None, 10, NOW, Random(1)) == "9999"
    assert issue(spent, None, 10, NOW, Random(1)) is CommandRefusal.CODE_LIMIT


def test_drawn_is_four_free_digits_any_of_them() -> None:
    rng, free = Random(1), {"0000", "0417", "9999"}
    taken = {f"{number:04}" for number in range(10_000)} - free
    assert {drawn(rng, taken) for _ in range(50)} == free
    assert all(len(digits) == 4 and digits.isdecimal() for digits in (drawn(rng, ()) for _ in range(50)))
    with pytest.raises(IndexError):
        drawn(rng, taken | free)


def guessed(tries: Tries, times: int, now_s: float) -> Tries:
    for _ in range(times):
        tries = tries.after_wrong(now_s)
    return tries


def test_keypad_blocks_at_the_fifth_wrong_code_and_for_twice_as_long_at_each_further() -> None:
    assert FREE == 5
    tries, now = guessed(Tries(), FREE - 1, 1000.0), 1000.0
    assert tries.blocked_for(now) == 0
    blocks = []
    for _ in range(7):
        tries = tries.after_wrong(now)
        blocks.append(tries.blocked_for(now))
        now += blocks[-1]
        assert tries.blocked_for(now - 1) == 1
        assert tries.blocked_for(now) == tries.blocked_for(now + 1) == 0
    assert blocks == [60, 120, 240, 480, 900, 900, 900]
    assert guessed(tries, 100_000, now).blocked_for(now) == LONGEST_BLOCK_S


def test_right_code_starts_anew() -> None:
    blocked = guessed(Tries(), FREE, 0.0)
    assert blocked.blocked_for(0.0) == BLOCK_S
    assert blocked.after_right() == Tries()
    assert guessed(blocked.after_right(), FREE - 1, 0.0).blocked_for(0.0) == 0


def test_wrong_codes_are_forgotten_after_a_quiet_time() -> None:
    four = guessed(Tries(), FREE - 1, 0.0)
    assert FORGOTTEN_S == 10_800
    assert four.after_wrong(FORGOTTEN_S - 1).blocked_for(FORGOTTEN_S - 1) == BLOCK_S
    assert four.after_wrong(FORGOTTEN_S) == Tries(1, FORGOTTEN_S)
    assert Tries().after_wrong(10 * FORGOTTEN_S) == Tries(1, 10 * FORGOTTEN_S)


@pytest.mark.parametrize("patience", [*range(1, 20), 1_000])
def test_guesses_fit_into_a_day_about_a_hundred_times(patience: int) -> None:
    """However many guesses somebody makes before waiting to be forgotten: ten codes, one chance in nine a day."""
    tries, now, guesses = Tries(), 0.0, 0
    while now < 86_400:
        tries, guesses = tries.after_wrong(now), guesses + 1
        now += FORGOTTEN_S if tries.wrong >= patience else tries.blocked_for(now)
    assert guesses <= 105
    assert 1 - (1 - 10 / 10_000) ** guesses < 1 / 9
