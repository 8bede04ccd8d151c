"""A thousand worlds, a day in one of them, and mistakes put in on purpose. A failure tells how to see it again."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable

import psutil
import pytest

from tests.counterparts.soak import FACTOR, scaled
from tests.counterparts.waiting import wait_until
from tests.simulation.mutants import MUTANTS
from tests.simulation.world import LENGTH_S, Outcome, live

CHUNKS = 50
WORLDS = scaled(20)
"""In each chunk."""

DAY_S = 86_400.0
DAYS = scaled(1)
PATIENCE = 100
"""So many worlds a mistake may live through at most."""

LINES = 60

Record = Callable[[str, object], None]


def sound(outcome: Outcome, length_s: float) -> None:
    """Nothing was broken; else its seed, what happened last, and how to see all of it."""
    if outcome.anomaly is not None:
        again = f"python -m tests.simulation --seed {outcome.seed} --seconds {length_s:g} --trace"
        lines = "\n".join(outcome.lines[-LINES:])
        pytest.fail(f"seed {outcome.seed}: {outcome.anomaly}\n\n{lines}\n\nThe whole history: {again}", pytrace=False)


@pytest.mark.timeout(60 * max(1.0, FACTOR))
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_worlds(chunk: int, record_property: Record) -> None:
    lived_s, files = 0.0, psutil.Process().num_fds()
    for seed in range(chunk * WORLDS + 1, (chunk + 1) * WORLDS + 1):
        outcome = live(seed, LENGTH_S)
        sound(outcome, LENGTH_S)
        lived_s += outcome.lived_s
    gc.collect()  # the last of the dead, where they hold one another
    wait_until(lambda: psutil.Process().num_fds() <= files, what="every file of the dead closed")
    record_property("tried:simulated worlds", WORLDS)
    record_property("tried:hours in simulated worlds", round(lived_s / 3600))


@pytest.mark.timeout(120 * max(1.0, FACTOR))
def test_days_with_faults(record_property: Record) -> None:
    for seed in range(1, DAYS + 1):
        outcome = live(seed, DAY_S)
        sound(outcome, DAY_S)
        assert outcome.lives > 10, "it was killed and started again"
        assert outcome.requests > 100
    record_property("tried:simulated days with random faults", DAYS)


def test_same_seed_is_the_same_history() -> None:
    """In another process, too, where sets of words come in another order."""
    seeds = range(1, 13)
    command = [sys.executable, "-m", "tests.simulation", "--seeds", f"{seeds[0]}-{seeds[-1]}", "--digests"]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    answer = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True, env=environment)
    here = [f"{seed} {live(seed, LENGTH_S).digest}" for seed in seeds]
    assert answer.stdout.splitlines() == here
    assert len({line.split()[1] for line in here}) == len(seeds), "another seed is another history"


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_mistake_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch, record_property: Record) -> None:
    MUTANTS[name](monkeypatch)
    for seed in range(1, PATIENCE + 1):
        if live(seed, LENGTH_S).anomaly is not None:
            record_property(f"worlds until noticed: {name}", seed)
            return
    pytest.fail(f"{name} went unnoticed through {PATIENCE} worlds")
