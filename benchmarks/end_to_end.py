"""The main job over a real broker: from the first publish in the office to the last status back there.

Beside it, in the same rounds: the floor, the naive program, and what one would type instead (`sqlite-utils upsert`).
"""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks import people
from benchmarks.bench import bench
from benchmarks.figure import MICROSECONDS, Figure, Target, rotated
from benchmarks.floor import Floor

NAIVE: Final = (sys.executable, "-m", "benchmarks.naive")
SQLITE_UTILS: Final = str(Path(sys.executable).with_name("sqlite-utils"))
FAULTY_EVERY: Final = 100
UNIT: Final = "µs/user"


class EndToEnd:
    """What is timed of lists of `count` people; every method gives microseconds a user, by name."""

    def __init__(self, count: int, home: Path) -> None:
        self._count = count
        self._home = home
        self._crowd = people.invitees(count)
        self._fresh = people.parts(self._crowd)
        self._again = people.parts(self._crowd, batch_id="again", revision=2)
        self._faulty = people.parts(people.invitees(count, faulty_every=FAULTY_EVERY))
        self._floor = Floor(self._crowd, self._fresh, home)

    def floor(self) -> dict[str, float]:
        """What decoding and storing alone cost."""
        return {"floor": self._each(self._floor.seconds())}

    def imported(self) -> dict[str, float]:
        """A list of new users, and the same list under a new revision."""
        with bench(self._home) as (gateway, office):
            fresh = office.send(self._fresh, self._count)
            office.verify(added=self._count)
            office.settled(revision=1)
            again = office.send(self._again, self._count)
            office.verify(unchanged=self._count)
            office.settled(revision=2)
            gateway.stop()
        return {"fresh": self._each(fresh), "again": self._each(again)}

    def faulty(self) -> dict[str, float]:
        """New users, one row in a hundred of them wrong."""
        wrong = self._count // FAULTY_EVERY
        with bench(self._home) as (gateway, office):
            seconds = office.send(self._faulty, self._count)
            office.verify(added=self._count - wrong, rejected=wrong)
            gateway.stop()
        return {"faulty": self._each(seconds)}

    def naive(self, count: int) -> dict[str, float]:
        """The naive program, with fewer users: its cost is the same for each."""
        with bench(self._home, NAIVE) as (_, office):
            seconds = office.send(people.parts(self._crowd[:count]), count)
            office.verify(added=count)
        return {"naive": seconds / count * MICROSECONDS}

    def sqlite_utils(self) -> dict[str, float]:
        """The whole process, from the same list as CSV into a fresh file: no rules, no outcomes, no broker."""
        with TemporaryDirectory(dir=self._home) as place:
            file = Path(place) / "list.csv"
            file.write_text(people.table(self._crowd))
            command = [SQLITE_UTILS, "upsert", str(file.with_suffix(".db")), "users", str(file), "--csv", "--silent"]
            start = time.perf_counter()
            subprocess.run([*command, "--pk", "mobile"], check=True, timeout=300, stdin=subprocess.DEVNULL)
            return {"sqlite-utils": self._each(time.perf_counter() - start)}

    def _each(self, seconds: float) -> float:
        return seconds / self._count * MICROSECONDS


def small(count: int, rounds: int, home: Path) -> list[Figure]:
    """A list as an estate has it."""
    job = EndToEnd(count, home)
    return _ours(count, 4.0, rotated([job.floor, job.imported, job.faulty], rounds))


def large(count: int, naive_count: int, rounds: int, home: Path) -> list[Figure]:
    """Ten times that, and what others do with it."""
    job = EndToEnd(count, home)
    naive = partial(job.naive, naive_count)
    found = rotated([job.floor, job.imported, job.faulty, naive, job.sqlite_utils], rounds)
    others = [
        (f"naive program, {naive_count:,} new users", found["naive"], 40.0),
        (f"sqlite-utils upsert --csv, {count:,} rows", found["sqlite-utils"], 3.0),
    ]
    return [
        *_ours(count, 3.0, found),
        *[
            Figure(what, UNIT, samples, "ours", found["fresh"], Target(bound, at_least=True))
            for what, samples, bound in others
        ],
    ]


def _ours(count: int, times_floor: float, found: Mapping[str, Sequence[float]]) -> list[Figure]:
    floor, fresh, again, faulty = (found[name] for name in ("floor", "fresh", "again", "faulty"))
    return [
        Figure(f"floor of {count:,}: orjson and one INSERT", UNIT, floor),
        Figure(f"{count:,} new users, publish to last status", UNIT, fresh, "floor", floor, Target(times_floor)),
        Figure(f"the same {count:,} again, nothing changed", UNIT, again, "new", fresh, Target(0.7)),
        Figure(f"{count:,} new users, 1 % faulty rows", UNIT, faulty, "new", fresh, Target(1.2)),
    ]
