"""How long a gateway stays away from its broker: alone, in a fleet of ten thousand, and beside its own double."""

import heapq
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.backoff import Backoff, Ending, Pace

FLEET = 10_000
ACCEPTED_PER_S = 500
HOUR_S = 3_600.0


def after_failures(count: int) -> Backoff:
    backoff = Backoff()
    for _ in range(count):
        backoff = backoff.after(Ending.FAILED, lasted_s=0, now=0)
    return backoff


def delays(backoff: Backoff, draws: int = 2_000) -> list[float]:
    rng = Random(1)
    return [backoff.delay(rng) for _ in range(draws)]


@pytest.mark.parametrize(("failures", "ceiling_s"), [(1, 1), (2, 2), (3, 4), (7, 64), (8, 120), (9, 120)])
def test_delay_is_spread_over_the_whole_range(failures: int, ceiling_s: float) -> None:
    waits = delays(after_failures(failures))

    assert min(waits) < 0.01 * ceiling_s
    assert 0.99 * ceiling_s < max(waits) <= ceiling_s
    assert sum(waits) / len(waits) == pytest.approx(ceiling_s / 2, rel=0.05)


@given(failures=st.integers(1, 100_000), seed=st.integers())
def test_delay_never_exceeds_the_cap(failures: int, seed: int) -> None:
    """Also after a month without a broker, when the exponent would no longer fit a float."""
    assert 0 <= Backoff(failures=failures).delay(Random(seed)) <= Pace().cap_s


@pytest.mark.parametrize(("lasted_s", "failures"), [(0, 8), (59.9, 8), (60, 1)])
def test_connection_starts_the_backoff_over_only_after_a_minute(lasted_s: float, failures: int) -> None:
    assert after_failures(7).after(Ending.HUNG_UP, lasted_s=lasted_s, now=0).failures == failures


def test_first_attempt_waits_only_on_a_board_that_has_just_booted() -> None:
    waits = [Backoff().before_first(119, Random(seed)) for seed in range(100)]

    assert min(waits) < 5
    assert max(waits) > 115
    assert Backoff().before_first(120, Random(1)) == 0


def lost(count: int, ending: Ending) -> list[Backoff]:
    """So many gateways that had been connected for an hour, and lost their broker just now."""
    return [Backoff().after(ending, lasted_s=HOUR_S, now=0) for _ in range(count)]


def reconnect_fleet(
    first: list[tuple[float, Backoff]], broker_back_s: float, *, dark: bool = False
) -> tuple[float, float]:
    """The most CONNECTs that a returned broker sees in a second, as a share of all, and when the last one is back.

    While it is away, it refuses at once; a dark one swallows what is sent to it: the kernel then asks again for
    the connection 1, 3 and 7 seconds after the first time, and the attempt ends after 15.
    """
    rng = Random(7)
    attempts = [(at, number, backoff) for number, (at, backoff) in enumerate(first)]
    heapq.heapify(attempts)
    asked, accepted, last = Counter[int](), Counter[int](), 0.0
    while attempts:
        at, number, backoff = heapq.heappop(attempts)
        asks_again = (1, 3, 7) if dark else ()
        reached = next((at + later for later in (0, *asks_again) if at + later >= broker_back_s), None)
        ended = reached if reached is not None else at + (15 if dark else 0)
        if reached is not None:
            second = int(reached - broker_back_s)
            asked[second] += 1
            if accepted[second] < ACCEPTED_PER_S:
                accepted[second] += 1
                last = max(last, reached - broker_back_s)
                continue
        backoff = backoff.after(Ending.FAILED, lasted_s=0, now=ended)
        heapq.heappush(attempts, (ended + backoff.delay(rng), number, backoff))
    return max(asked.values()) / len(first), last


@pytest.mark.parametrize("away_s", [0, 1, 5, 20, 45, 59, 61, 90, 119, 300, 600])
@pytest.mark.parametrize("ending", [Ending.DISMISSED, Ending.HUNG_UP])
def test_fleet_comes_back_in_an_even_stream_however_long_the_broker_was_away(
    away_s: float, ending: Ending, record_property: Callable[[str, object], None]
) -> None:
    rng = Random(3)

    peak, last_s = reconnect_fleet([(each.delay(rng), each) for each in lost(FLEET, ending)], away_s)

    assert peak <= 0.025
    assert last_s <= 130
    record_property("tried:gateways that lost their broker together", FLEET)


@pytest.mark.parametrize(("away_s", "most"), [(10, 0.10), (30, 0.35), (60, 0.25), (120, 0.15), (600, 0.06)])
def test_fleet_that_lost_a_broker_without_a_word_comes_back_in_time_and_not_as_evenly(
    away_s: float, most: float
) -> None:
    """Its host is gone. Nobody can tell that from a line of his own that is dead, and such a line is dialled soon."""
    rng = Random(3)
    first = [(rng.uniform(8, 38) + each.delay(rng), each) for each in lost(FLEET, Ending.FAILED)]

    peak, last_s = reconnect_fleet(first, away_s, dark=True)

    assert peak <= most
    assert last_s <= 130


def test_fleet_comes_in_an_even_stream_when_a_suburb_has_its_power_back(
    record_property: Callable[[str, object], None],
) -> None:
    rng = Random(4)

    peak, last_s = reconnect_fleet([(Backoff().before_first(15, rng), Backoff()) for _ in range(FLEET)], 0)

    assert peak <= 0.025
    assert last_s <= 130
    record_property("tried:gateways that started together", FLEET)


def test_broker_that_falls_over_as_the_crowd_returns_is_not_asked_more_often() -> None:
    again = lost(1, Ending.DISMISSED)[0].after(Ending.DISMISSED, lasted_s=20, now=60)

    assert min(delays(again)) >= 60
    assert max(delays(again)) <= 120


def test_line_of_its_own_that_failed_is_dialled_soon_and_so_is_a_broker_of_its_own() -> None:
    """One gateway alone: nobody who stands at it has to wait for a crowd."""
    [line] = lost(1, Ending.FAILED)
    alone = Backoff(Pace(crowd=False)).after(Ending.DISMISSED, lasted_s=HOUR_S, now=0)
    once_more = lost(1, Ending.DISMISSED)[0].after(Ending.FAILED, lasted_s=HOUR_S, now=2 * HOUR_S)

    assert max(max(delays(each)) for each in (line, alone, once_more)) <= 1
    assert Backoff(Pace(crowd=False)).before_first(5, Random(1)) == 0


def connects_beside_a_double(
    ending: Ending, *, seed: int, rude: bool, alone_s: float, hours: float = 6
) -> tuple[list[float], list[Backoff]]:
    """When a gateway connects beside another client with its identity, and what becomes of the two.

    The other one comes after ``alone_s``. Each connect evicts the other, who hears of it as ``ending``. A rude one
    tries again after a second, for ever.
    """
    rng = Random(seed)
    backoffs = [Backoff(), Backoff()]
    since = [0.0, 0.0]
    next_at = [0.0, alone_s]
    ours: list[float] = []
    while min(next_at) < alone_s + hours * HOUR_S:
        who = next_at.index(min(next_at))
        now, other = next_at[who], 1 - who
        since[who], next_at[who] = now, float("inf")
        if who == 0:
            ours.append(now)
        if next_at[other] == float("inf"):
            backoffs[other] = backoffs[other].after(ending, lasted_s=now - since[other], now=now)
            next_at[other] = now + (1 if rude and other == 1 else backoffs[other].delay(rng))
    return ours, backoffs


@pytest.mark.parametrize("rude", [False, True])
@pytest.mark.parametrize("ending", [Ending.TAKEN_OVER, Ending.HUNG_UP])
@pytest.mark.parametrize("alone_s", [5, HOUR_S], ids=["installed twice", "copied later"])
def test_duplicate_identity_is_not_fought_over(
    ending: Ending, rude: bool, alone_s: float, record_property: Callable[[str, object], None]
) -> None:
    """Three reconnects in the first minute, then one in five; of two that are polite, one may never need to know."""
    for seed in range(50):
        connects, ends = connects_beside_a_double(ending, seed=seed, rude=rude, alone_s=alone_s)

        began, *later = connects[1:]
        assert began <= alone_s + 60
        assert len([at for at in later if at < began + 60]) <= 2
        later = [at for at in later if at >= began + 60]
        assert later
        assert all(b - a >= 300 for a, b in pairwise(later))
        assert any(each.duplicate for each in ends[: 1 if rude else 2])
    record_property("tried:fights with a double", 50)


def test_line_that_breaks_again_and_again_is_waited_for_some_seconds_each_time() -> None:
    """A mobile line at its worst: the list still comes through. A broker that ends connections is asked ever less."""
    rng, waited = Random(1), []
    line = broker = silent = Backoff()
    for at in range(2000):
        line = line.after(Ending.FAILED, lasted_s=rng.expovariate(1 / 6), now=at)
        waited.append(line.delay(rng))
    for at in range(9):
        broker = broker.after(Ending.DISMISSED, lasted_s=5, now=at * 100)
        silent = silent.after(Ending.FAILED, lasted_s=0.1, now=at * 100)

    assert 1 < sum(waited) / len(waited) < 6
    assert max(delays(broker)) > 100
    assert max(delays(silent)) > 100


def test_single_take_over_costs_no_more_than_any_failure() -> None:
    once = Backoff().after(Ending.TAKEN_OVER, lasted_s=HOUR_S, now=0)

    assert once.duplicate
    assert max(delays(once)) <= 1


def test_duplicate_is_forgotten_once_it_would_have_come_back() -> None:
    twice = Backoff().after(Ending.TAKEN_OVER, lasted_s=HOUR_S, now=0).after(Ending.TAKEN_OVER, lasted_s=3, now=4)

    assert min(delays(twice)) >= 300
    assert twice.suspects(600)
    assert not twice.suspects(601)
    assert max(delays(twice.after(Ending.TAKEN_OVER, lasted_s=601, now=700))) <= 1


def test_broker_that_is_away_is_no_duplicate() -> None:
    """Hang-ups count only four within a minute, and none from before the broker could not be reached."""
    backoff = Backoff()
    for at in (0, 21, 42, 63, 84, 110):
        backoff = backoff.after(Ending.HUNG_UP, lasted_s=5, now=at)
    backoff = backoff.after(Ending.FAILED, lasted_s=0, now=111)
    for at in (112, 113, 114):
        backoff = backoff.after(Ending.HUNG_UP, lasted_s=1, now=at)

    assert not backoff.duplicate
    assert max(delays(backoff)) <= 120
    assert backoff.after(Ending.HUNG_UP, lasted_s=1, now=115).duplicate
