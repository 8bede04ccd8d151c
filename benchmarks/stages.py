"""Where the time of an import goes: the stages of the flow in one process, without a broker, beside the floor.

The daemon's own functions with the daemon's own settings, group by group as it takes them; only the link is missing.
"""

import asyncio
import gc
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final, ParamSpec, TypeVar
from unittest.mock import patch

from agent import memory
from agent.clock import Clock
from agent.intake import GROUP_ITEMS
from agent.vault import Vault
from benchmarks import people
from benchmarks.figure import MICROSECONDS, Figure, rotated
from benchmarks.floor import Floor
from protocol.codec import Limits, Part, decode
from protocol.mobile import Numbers
from protocol.reports import receipt_payload, statuses_payload, unpacked
from protocol.validate import Roll, validate
from protocol.vocabulary import Kind
from storage import outbox
from storage.apply import apply
from storage.database import Database, Reader, Transaction
from storage.merge import Device, merge
from storage.replace import Guard
from storage.store import enroll

P = ParamSpec("P")
T = TypeVar("T")

STAGES: Final = (
    "decode",
    "validate",
    "numbers",
    "merge",
    "statements",
    "commit",
    "rest of apply",
    "checkpoint",
    "report",
    "all",
)


class Watch:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def on(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - start

    def drawn(self, stage: str, work: Callable[P, Generator[None, None, T]]) -> Callable[P, Generator[None, None, T]]:
        """The generator function, the time of its steps noted."""

        @wraps(work)
        def timed(*args: P.args, **kwargs: P.kwargs) -> Generator[None, None, T]:
            steps = work(*args, **kwargs)
            while True:
                try:
                    with self.on(stage):
                        next(steps)
                except StopIteration as done:
                    result: T = done.value
                    return result
                yield

        return timed

    def awaited(self, stage: str, work: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """The coroutine function, its time noted."""

        @wraps(work)
        async def timed(*args: P.args, **kwargs: P.kwargs) -> T:
            with self.on(stage):
                return await work(*args, **kwargs)

        return timed


async def flow(fresh: Sequence[bytes], again: Sequence[bytes], home: Path) -> list[dict[str, float]]:
    """Seconds by stage of one import into a fresh store, then of the same people `again`."""
    found = []
    async with Database(home / "gateway.db") as database:
        (number,) = (await database.transact(lambda store: enroll(store, "bench", [people.DEVICE_ID]))).values()
        device = Device(number, people.DEVICE_ID, Kind.FLUSS, 1_000_000)
        reader = Reader(home / "gateway.db")
        vault = Vault(database, reader, {device.device_id: device}, Clock(trusted=True), Random(1))
        sent = 0
        for batch in (fresh, again):
            watch = Watch()
            with ExitStack() as patches:
                patches.enter_context(patch("storage.apply.merge", watch.drawn("merge", merge)))
                for name in ("fetch", "execute", "many"):
                    statement = watch.awaited("statements", getattr(Transaction, name))
                    patches.enter_context(patch.object(Transaction, name, statement))
                sent = await _import(batch, vault, watch, sent)
            found.append(_apart(watch.seconds))
        reader.close()
    return found


async def _import(payloads: Sequence[bytes], vault: Vault, watch: Watch, sent: int) -> int:
    numbers, guard = Numbers("ZA"), Guard(0.5)
    group: list[Roll] = []
    for payload in payloads:
        with watch.on("decode"):
            part = decode(payload, people.GATEWAY_ID, Limits())
        assert isinstance(part, Part)
        written = [person["mobile"] or "" for person in part.invitees]
        with watch.on("numbers"):
            numbers.read_many(written)
        with watch.on("validate"):
            group.append(validate(part, numbers))
        if sum(roll.items for roll in group) >= GROUP_ITEMS or payload is payloads[-1]:
            await _commit(group, vault, guard, watch)
            group = []
            with watch.on("report"):
                sent = _report(vault.reader, sent)
    return sent


async def _commit(group: Sequence[Roll], vault: Vault, guard: Guard, watch: Watch) -> None:
    inside = watch.awaited("work", lambda transaction: apply(transaction, group, vault.devices, guard, 1))
    with watch.on("apply"):
        await vault.commit(inside)
    with watch.on("checkpoint"):
        await vault.settle()


def _report(reader: Reader, sent: int) -> int:
    while reports := outbox.reports(reader, sent + 1, 1 << 40, 64):
        for report in reports:
            if report.kind == "receipt":
                receipt_payload(people.GATEWAY_ID, "bench", report.number, report.at, report.body)
            else:
                runs = unpacked(report.body)
                statuses_payload(people.GATEWAY_ID, "bench", report.number, report.at, report.batch, runs)
        sent = reports[-1].number
    return sent


def _apart(seconds: dict[str, float]) -> dict[str, float]:
    """The stages, those that hold others without them; and their sum."""
    stages = {
        "decode": seconds["decode"],
        "validate": seconds["validate"] - seconds["numbers"],
        "numbers": seconds["numbers"],
        "merge": seconds["merge"],
        "statements": seconds["statements"],
        "commit": seconds["apply"] - seconds["work"],
        "rest of apply": seconds["work"] - seconds["merge"] - seconds["statements"],
        "checkpoint": seconds["checkpoint"],
        "report": seconds["report"],
    }
    return {**stages, "all": sum(stages.values())}


def measure(count: int, rounds: int, home: Path) -> list[Figure]:
    """Microseconds a user by stage, of new users and of the same list again, beside the floor in the same process."""
    crowd = people.invitees(count)
    payloads = people.parts(crowd)
    again = people.parts(crowd, batch_id="again", revision=2)
    floor = Floor(crowd, payloads, home)

    def flowed() -> dict[str, float]:
        with TemporaryDirectory(dir=home) as place:
            new, same = asyncio.run(flow(payloads, again, Path(place)))
        return {f"{kind} {stage}": spent for kind, of in (("new", new), ("same", same)) for stage, spent in of.items()}

    with settled():
        found = rotated([lambda: {"floor": floor.seconds()}, flowed], rounds)
    each = {name: [seconds / count * MICROSECONDS for seconds in samples] for name, samples in found.items()}
    return [
        Figure(f"{called}: {stage}", "µs/user", each[f"{kind} {stage}"], "floor", each["floor"])
        for kind, called in (("new", f"{count:,} new users"), ("same", "the same again"))
        for stage in STAGES
    ]


@contextmanager
def settled() -> Iterator[None]:
    """The interpreter as the daemon sets it, and as it was afterwards."""
    switch, thresholds = sys.getswitchinterval(), gc.get_threshold()
    memory.collect_rarely()
    memory.settle()
    yield
    sys.setswitchinterval(switch)
    gc.unfreeze()
    gc.set_threshold(*thresholds)
