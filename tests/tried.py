"""What a run has tried, and how often: told by the tests that held, said at its end, and kept for the documents."""

import json
import os
import platform
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from tests.counterparts.soak import FACTOR

FILE: Final = Path(__file__).parents[1] / "build" / "tried.json"
PREFIX: Final = "tried:"


def counted(properties: Iterable[tuple[str, object]]) -> dict[str, int]:
    """How often what was tried, from what tests have recorded as `tried:<what>`."""
    tried: Counter[str] = Counter()
    for name, count in properties:
        what = name.removeprefix(PREFIX)
        if what != name and isinstance(count, int):
            tried[what] += count
    return dict(sorted(tried.items()))


def keep(tried: dict[str, int], passed: int, failed: int, seconds: float) -> None:
    """Write down what a whole run has tried, for `make reliability`."""
    run: dict[str, Any] = {
        "day": time.strftime("%Y-%m-%d"),
        "factor": FACTOR,
        "passed": passed,
        "failed": failed,
        "seconds": round(seconds),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "machine": f"{platform.system()} {platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "tried": tried,
    }
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(run, indent=2) + "\n")
