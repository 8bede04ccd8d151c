"""How soon the gateway is there after a start: from the start of the process to its `state`, heard in the office."""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks import people
from benchmarks.bench import bench
from benchmarks.figure import Figure, Of, Target, rotated
from benchmarks.gateway import Gateway
from benchmarks.office import Office


def measure(held: int, rounds: int, home: Path) -> list[Figure]:
    """Seconds to online, with an empty list and with `held` users, beside a Python that does nothing."""
    payloads = people.parts(people.invitees(held))

    def starts() -> dict[str, float]:
        with bench(home) as (gateway, office):
            empty = _restart(gateway, office)
            office.send(payloads, held)
            office.settled(revision=1)
            return {"empty": empty, "held": _restart(gateway, office)}

    found = rotated([_bare, starts], rounds)
    return [
        Figure(f"start to online, {what}", "s", found[name], "bare Python", found["bare"], Target(0.6, Of.MEDIAN))
        for what, name in (("empty list", "empty"), (f"{held:,} users held", "held"))
    ]


def _restart(gateway: Gateway, office: Office) -> float:
    gateway.stop()
    office.gone()
    start = time.perf_counter()
    gateway.start()
    return office.online() - start


def _bare() -> dict[str, float]:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True, timeout=30)
    return {"bare": time.perf_counter() - start}
