"""A program that is told the time by libfaketime: what it sees of its clocks, and that it does its work as always."""

import json
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from simulator.storyclock import StoryClock, find_library
from tests.conftest import gone_if_missing
from tests.counterparts.wristwatch import FAKETIME

MORNING = datetime(2026, 12, 8, 6, 45, tzinfo=ZoneInfo("Africa/Johannesburg"))

CLOCKS = """
import json, resource, threading, time

def busy():
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        pass

waited = time.monotonic()
threading.Event().wait(0.2)
waited = time.monotonic() - waited
other = threading.Thread(target=busy)
other.start()
busy()
other.join()
used = resource.getrusage(resource.RUSAGE_SELF)
wall, boot = time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)
print(json.dumps({"wall": wall, "boot": boot, "waited": waited, "system": used.ru_stime}))
"""


@pytest.fixture
def clock(tmp_path: Path) -> StoryClock:
    gone_if_missing("faketime", FAKETIME)
    return StoryClock(tmp_path / "clock", find_library(), MORNING)


def clocks(clock: StoryClock) -> dict[str, Any]:
    answer = subprocess.run(
        [sys.executable, "-c", CLOCKS],
        env={**os.environ, **clock.environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return dict(json.loads(answer.stdout))


def test_wall_clock_stands_where_the_story_does_and_no_other_clock_is_touched(clock: StoryClock) -> None:
    seen = clocks(clock)
    assert seen["wall"] * 1000 == clock.now_ms
    assert 0 <= time.clock_gettime(time.CLOCK_BOOTTIME) - seen["boot"] < 10
    assert 0.2 <= seen["waited"] < 2


def test_threads_that_share_the_interpreter_wait_for_it_without_asking_all_the_time(clock: StoryClock) -> None:
    """Where the library corrects waits that need none, they end at once, over and over: most of a second of them."""
    assert clocks(clock)["system"] < 0.1
