"""How the daemon treats memory, in a process of its own."""

import subprocess
import sys

from tests.meta.tree import ROOT

HOLES = """
import gc, re, sys
from pathlib import Path
from agent import memory

def resident():
    return int(re.search(r"^Rss:\\s+(\\d+)", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE)[1])

memory.collect_rarely()
memory.settle()
assert gc.get_freeze_count() > 1000 and gc.get_threshold()[0] == 50_000 and sys.getswitchinterval() < 0.001
blocks = [b"x" * 100_000 for _ in range(200)]
del blocks[:-1]
before = resident()
memory.give_back()
print(before - resident())
"""


def test_what_was_freed_under_something_that_stays_is_given_back() -> None:
    said = subprocess.run(
        [sys.executable, "-c", HOLES],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert int(said.stdout) > 15_000
