"""How long the daemon's event loop lets others wait while a list is imported: a gate would be answered that late.

The daemon's own coroutine, in a process of its own with a sampler beside it on the same loop, which asks to be woken
every millisecond and notes how late it is. Run as `python -m benchmarks.lag CONFIG`, it writes its samples beside the
configuration when it is told to stop.
"""

import asyncio
import sys
import time
from array import array
from pathlib import Path
from statistics import quantiles
from typing import Final

from agent import daemon, logs
from agent.config import load
from benchmarks import people
from benchmarks.bench import bench
from benchmarks.figure import Figure, Of, Target, rotated

COMMAND: Final = (sys.executable, "-m", "benchmarks.lag")
SAMPLES: Final = "lag.samples"
EVERY_S: Final = 0.001
IDLE_S: Final = 1.0


def measure(count: int, rounds: int, home: Path) -> list[Figure]:
    """Lag in milliseconds during an import of `count` new users, beside that of the idle daemon."""
    payloads = people.parts(people.invitees(count))

    def import_once() -> dict[str, float]:
        with bench(home, COMMAND) as (gateway, office):
            time.sleep(IDLE_S)
            start = time.perf_counter()
            end = start + office.send(payloads, count)
            gateway.stop()
            late = _samples(gateway.home / SAMPLES)
        idle = _cuts([ms for at, ms in late if at < start])
        busy = _cuts([ms for at, ms in late if start <= at <= end])
        return busy | {f"idle {name}": ms for name, ms in idle.items()}

    found = rotated([import_once], rounds)
    targets = {"p50": None, "p99": Target(15.0, Of.MEDIAN), "worst": Target(50.0, Of.WORST)}
    return [
        Figure(f"the event loop is late by, {name}", "ms", found[name], "idle", found[f"idle {name}"], target)
        for name, target in targets.items()
    ]


def _cuts(late: list[float]) -> dict[str, float]:
    percentiles = quantiles(late, n=100)
    return {"p50": percentiles[49], "p99": percentiles[98], "worst": max(late)}


def _samples(file: Path) -> list[tuple[float, float]]:
    """When each sample was taken (seconds, monotonic over all processes), and how late (milliseconds)."""
    values = array("d", file.read_bytes())
    return list(zip(values[::2], values[1::2], strict=True))


async def _sample(into: "array[float]") -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(EVERY_S)
        now = time.perf_counter()
        into.append(now)
        into.append((now - before - EVERY_S) * 1000)


async def _serve(path: Path) -> None:
    samples = array("d")
    sampler = asyncio.create_task(_sample(samples))
    await daemon._until_told(load(path))
    sampler.cancel()
    path.with_name(SAMPLES).write_bytes(samples.tobytes())


if __name__ == "__main__":
    logs.configure()
    (config,) = map(Path, sys.argv[1:])
    load(config).state_dir.mkdir(parents=True)
    asyncio.run(_serve(config))
