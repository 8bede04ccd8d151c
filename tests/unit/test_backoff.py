"""How long a gateway stays away from its broker: alone, in a fleet of ten thousand, and beside its own double."""

import heapq
from collections import Counter
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
    assert after_failures(7).after(Ending.FAILED, lasted_s=lasted_s, now=0).failures == failures


def test_first_attempt_waits_only_on_a_board_that_has_just_booted() -> None:
    waits = [Backoff().before_first(119, Random(seed)) for seed in range(100)]

    assert min(waits) < 5
    assert max(waits) > 115
    assert Backoff().before_first(120, Random(1)) == 0


def reconnect_fleet(first: list[tuple[float, Backoff]], broker_back_s: float) -> tuple[int, float]:
    """The most CONNECTs a returned broker sees in a second, and when the last gateway is back, after its return."""
    rng = Random(7)
    attempts = [(at, number, backoff) for number, (at, backoff) in enumerate(first)]
    heapq.heapify(attempts)
    asked, accepted, last = Counter[int](), Counter[int](), 0.0
    while attempts:
        at, number, backoff = heapq.heappop(attempts)
        second = int(at - broker_back_s)
        if at >= broker_back_s:
            asked[second] += 1
            if accepted[second] < ACCEPTED_PER_S:
                accepted[second] += 1
                last = at - broker_back_s
                continue
        backoff = backoff.after(Ending.FAILED, lasted_s=0, now=at)
        heapq.heappush(attempts, (at + backoff.delay(rng), number, backoff))
    return max(asked.values()), last


def test_fleet_comes_back_in_an_even_stream_after_an_outage() -> None:
    rng = Random(3)
    lost = [Backoff().after(Ending.FAILED, lasted_s=HOUR_S, now=0) for _ in range(FLEET)]

    peak, last_s = reconnect_fleet([(backoff.delay(rng), backoff) for backoff in lost], broker_back_s=600)

    assert peak <= 0.025 * FLEET
    assert last_s <= 130


def test_fleet_comes_in_an_even_stream_when_a_suburb_has_its_power_back() -> None:
    rng = Random(4)

    peak, last_s = reconnect_fleet(
        [(Backoff().before_first(15, rng), Backoff()) for _ in range(FLEET)], broker_back_s=0
    )

    assert peak <= 0.025 * FLEET
    assert last_s <= 130


def connects_beside_a_double(
    ending: Ending, *, seed: int, rude: bool, hours: float = 6
) -> tuple[list[float], list[Backoff]]:
    """When a gateway connects while another client with its identity does the same, and its back-off each time.

    Each connect evicts the other, who hears of it as ``ending``. A rude one tries again after a second, for ever.
    """
    rng = Random(seed)
    backoffs = [Backoff(), Backoff()]
    since = [0.0, 0.0]
    next_at = [0.0, 5.0]
    ours: list[float] = []
    states: list[Backoff] = []
    while min(next_at) < hours * HOUR_S:
        who = next_at.index(min(next_at))
        now, other = next_at[who], 1 - who
        since[who], next_at[who] = now, float("inf")
        if who == 0:
            ours.append(now)
            states.append(backoffs[0])
        if next_at[other] == float("inf"):
            backoffs[other] = backoffs[other].after(ending, lasted_s=now - since[other], now=now)
            next_at[other] = now + (1 if rude and other == 1 else backoffs[other].delay(rng))
    return ours, states


@pytest.mark.parametrize("rude", [False, True])
@pytest.mark.parametrize("ending", [Ending.TAKEN_OVER, Ending.HUNG_UP])
@pytest.mark.parametrize("seed", range(6))
def test_duplicate_identity_is_not_fought_over(ending: Ending, rude: bool, seed: int) -> None:
    connects, states = connects_beside_a_double(ending, seed=seed, rude=rude)

    reconnects = connects[1:]
    evicted_s = 5.0
    assert len([at for at in reconnects if at < evicted_s + 60]) <= 3
    later = [at for at in reconnects if at >= evicted_s + 60]
    assert later
    assert all(b - a >= 300 for a, b in pairwise(later))
    assert states[-1].duplicate


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
