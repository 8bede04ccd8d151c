"""How long somebody waits at the gate while a list is imported: from the request on the line to the order to move.

The hardware is a process of its own, `python -m benchmarks.opening PORT SAMPLES`, which asks every ten milliseconds:
much more often than people do, and each time another synced intent and another event for the gateway to write.
"""

import json
import signal
import socket
import sys
import time
from array import array
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import quantiles
from typing import Final
from zoneinfo import ZoneInfo

from benchmarks import people
from benchmarks.bench import bench
from benchmarks.figure import Figure, Of, Target, rotated
from protocol.access import decide
from protocol.moment import exact
from protocol.vocabulary import Channel
from storage.database import Reader
from storage.grants import listed
from tests.counterparts.ports import LOOPBACK, free_port
from tests.counterparts.program import Program

EVERY_S: Final = 0.01
IDLE_S: Final = 3.0
IMPORTS: Final = 6
"""Lists of `count` that are imported in a row, each time with other names: one alone is over too soon to tell."""

DECISIONS: Final = 10_000
ZONE: Final = ZoneInfo("Africa/Johannesburg")
_FLOOR: Final = "SELECT status FROM users WHERE device = ? AND mobile = ?"


def measure(count: int, rounds: int, home: Path) -> list[Figure]:
    """Milliseconds from request to actuate over the TCP line, during imports and idle; and of the decision alone."""
    listings = [
        people.parts(
            [invitee | {"userName": f"{invitee['userName']} {number}", "accepted": True} for invitee in crowd],
            batch_id=f"bench-{number}",
            revision=number,
        )
        for crowd in [people.invitees(count)]
        for number in range(1, IMPORTS + 2)
    ]

    def imports_and_openings() -> dict[str, float]:
        port = free_port()
        with bench(home, driver=f"tcp://{LOOPBACK}:{port}") as (gateway, office):
            office.send(listings[0], count)
            samples = gateway.home / "opening.samples"
            command: list[str | Path] = [sys.executable, "-m", "benchmarks.opening", str(port), samples]
            with Program(command, gateway.home / "hardware.log") as hardware:
                assert hardware.says("asking"), hardware.output()
                time.sleep(IDLE_S)
                start = time.perf_counter()
                for listing in listings[1:]:
                    office.send(listing, count)
                end = time.perf_counter()
                hardware.stop()
            took = _read(samples)
            decided = _decisions(gateway.home / "state" / "gateway.db", count)
        idle = _cuts([ms for at, ms in took if at < start])
        busy = _cuts([ms for at, ms in took if start <= at <= end])
        return busy | {f"idle {name}": ms for name, ms in idle.items()} | decided

    found = rotated([imports_and_openings], rounds)
    targets = {"p50": None, "p99": Target(20.0, Of.MEDIAN), "worst": Target(100.0, Of.WORST)}
    return [
        Figure(f"request to actuate, {name}", "ms", found[name], "idle", found[f"idle {name}"], target)
        for name, target in targets.items()
    ] + [
        Figure("decision alone, p50", "µs", found["decision p50"], "one SELECT by key", found["select p50"]),
        Figure(
            "decision alone, p99",
            "µs",
            found["decision p99"],
            "one SELECT by key",
            found["select p99"],
            Target(1_000.0, Of.MEDIAN),
        ),
    ]


def _decisions(database: Path, count: int) -> dict[str, float]:
    """Microseconds of reading somebody's row and deciding, beside reading one column of it."""
    mobiles = people.mobiles(count)
    moment = exact(time.time_ns() // 1_000_000)
    with closing(Reader(database)) as reader:

        def decision(mobile: int) -> None:
            found = listed(reader, 1, mobile)
            assert found is not None
            assert decide(found.grant, Channel.BLUETOOTH, moment, ZONE).allowed

        def select(mobile: int) -> None:
            assert reader.fetch(_FLOOR, (1, mobile))

        return {
            f"{name} {cut}": micros
            for name, work in {"select": select, "decision": decision}.items()
            for cut, micros in _cuts(_timed(work, mobiles)).items()
        }


def _timed(work: Callable[[int], None], mobiles: list[int]) -> list[float]:
    took = []
    for index in range(DECISIONS):
        mobile = mobiles[index * 7919 % len(mobiles)]
        start = time.perf_counter_ns()
        work(mobile)
        took.append((time.perf_counter_ns() - start) / 1000)
    return took


def _cuts(values: list[float]) -> dict[str, float]:
    percentiles = quantiles(values, n=100)
    return {"p50": percentiles[49], "p99": percentiles[98], "worst": max(values)}


def _read(file: Path) -> list[tuple[float, float]]:
    """When each request was made (seconds, monotonic over all processes), and how long it took (milliseconds)."""
    values = array("d", file.read_bytes())
    return list(zip(values[::2], values[1::2], strict=True))


def _hardware(port: int, samples: Path) -> None:
    """A Fluss+ that asks for one resident, again and again, until it is told to stop."""
    took = array("d")
    mobile = f"+{people.mobiles(1)[0]}"
    with socket.create_server((LOOPBACK, port)) as server:
        line, _ = server.accept()
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        heard = line.makefile("rb")
        _say(line, type="hello", deviceId=people.DEVICE_ID, kind="fluss+", sensor=False)
        sys.stdout.write("asking\n")
        sys.stdout.flush()
        number = 0
        try:
            while True:
                number += 1
                start = time.perf_counter()
                _say(line, type="request", requestId=f"r{number}", mobile=mobile, channel="bluetooth", action="trigger")
                answer = json.loads(heard.readline())
                took.extend((start, (time.perf_counter() - start) * 1000))
                assert answer["type"] == "actuate", answer
                _say(line, type="actuated", requestId=answer["requestId"], ok=True)
                time.sleep(EVERY_S)
        finally:
            samples.write_bytes(took.tobytes())


def _say(line: socket.socket, **message: object) -> None:
    line.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":

    def leave(*_: object) -> None:
        sys.exit(0)

    signal.signal(signal.SIGTERM, leave)
    _hardware(int(sys.argv[1]), Path(sys.argv[2]))
