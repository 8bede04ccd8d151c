"""What the daemon holds in memory: idle with a list, and at the most during an import."""

import re
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import people
from benchmarks.bench import bench
from benchmarks.figure import Figure, Of, Target, rotated

IDLE_S: Final = 2.0
BIG_PART: Final = 5_000
_SAY_STATUS: Final = "print(open('/proc/self/status').read())"


def measure(held: int, count: int, rounds: int, home: Path) -> list[Figure]:
    """Resident memory in MiB, beside that of a Python that does nothing."""
    crowd = people.invitees(count)
    usual, big = people.parts(crowd), people.parts(crowd, part_items=BIG_PART)
    few = people.parts(crowd[:held])

    def idle() -> dict[str, float]:
        with bench(home) as (gateway, office):
            office.send(few, held)
            office.settled(revision=1)
            gateway.stop()
            office.gone()
            gateway.start()
            office.online()
            time.sleep(IDLE_S)
            return {"idle": gateway.resident_kib() / 1024}

    def peak(name: str, payloads: list[bytes]) -> dict[str, float]:
        with bench(home) as (gateway, office):
            office.send(payloads, count)
            office.settled(revision=1)
            return {name: gateway.peak_kib() / 1024}

    found = rotated([_bare, idle, partial(peak, "usual", usual), partial(peak, "big", big)], rounds)
    bounds = [
        (f"idle, {held:,} users held", "idle", 50.0),
        (f"peak, {count:,} new users in {len(usual):,} parts", "usual", 130.0),
        (f"peak, {count:,} new users in {len(big):,} parts", "big", 130.0),
    ]
    return [
        Figure(what, "MiB", found[name], "bare Python", found["bare"], Target(most, Of.MEDIAN))
        for what, name, most in bounds
    ]


def _bare() -> dict[str, float]:
    said = subprocess.run([sys.executable, "-c", _SAY_STATUS], check=True, capture_output=True, text=True, timeout=30)
    found = re.search(r"^VmRSS:\s+(\d+)", said.stdout, re.MULTILINE)
    assert found is not None, said.stdout
    return {"bare": int(found[1]) / 1024}
