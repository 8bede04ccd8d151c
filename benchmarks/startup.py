"""How soon the gateway is there after a start: from the start of the process to its `state`, heard in the office."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import people
from benchmarks.bench import bench
from benchmarks.figure import Figure, Of, Target, rotated
from benchmarks.gateway import Gateway
from benchmarks.office import Office
from tests.counterparts.board import Board


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


def deciding(held: int, rounds: int, home: Path) -> list[Figure]:
    """Seconds from the start of the process to its first answer at the gate: after a good end, and after kill -9."""
    payloads = people.parts([invitee | {"accepted": True} for invitee in people.invitees(held)])
    resident = f"+{people.mobiles(held)[-1]}"

    async def first_answer(board: Board, gateway: Gateway) -> float:
        asked = board.request(resident)
        board.again = [asked]  # said with the greeting, as soon as the gateway has dialled
        start = time.perf_counter()
        gateway.start()
        assert await board.answered(asked["requestId"]) == "actuate"
        return time.perf_counter() - start

    async def starts() -> dict[str, float]:
        async with Board(people.DEVICE_ID) as board:
            with bench(home, driver=board.url) as (gateway, office):
                await asyncio.to_thread(office.send, payloads, held)
                await asyncio.to_thread(office.settled, revision=1)
                await asyncio.to_thread(gateway.stop)
                after_stop = await first_answer(board, gateway)
                await asyncio.to_thread(office.online)
                await asyncio.to_thread(gateway.kill)
                return {"stopped": after_stop, "killed": await first_answer(board, gateway)}

    found = rotated([_bare, lambda: asyncio.run(starts())], rounds)
    what, bound = f"start to first decision, {held:,} held", Target(3.0, Of.MEDIAN)
    return [
        Figure(f"{what}, {name} before", "s", found[name], "bare Python", found["bare"], bound)
        for name in ("stopped", "killed")
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
