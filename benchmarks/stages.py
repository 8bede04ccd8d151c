"""Where the time of an import goes: the stages of the flow in one process, without a broker, beside the floor.

The daemon's own functions with the daemon's own settings, group by group as it takes them; only the link is missing.
"""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final
from unittest.mock import patch

from agent.clock import Clock
from agent.daemon import _settle_memory
from agent.intake import GROUP_ITEMS
from agent.vault import Vault
from benchmarks import people
from benchmarks.floor import Floor
from protocol.codec import Limits, Part, decode
from protocol.mobile import Numbers
from protocol.reports import receipt_payload, statuses_payload, unpacked
from protocol.validate import Roll, validate
from protocol.vocabulary import Kind
from storage import apply as applying
from storage import outbox
from storage.database import Database, Reader, Transaction
from storage.merge import Device
from storage.replace import Guard
from storage.store import enroll

STAGES: Final = ("decode", "validate", "numbers", "merge", "statements", "commit", "apply: rest", "checkpoint", "report")


class Watch:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    @contextmanager
    def on(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - start

    def plain(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time noted."""

        @wraps(work)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.on(stage):
                return work(*args, **kwargs)

        return timed

    def awaited(self, stage: str, work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """The coroutine function, its time noted."""

        @wraps(work)
        async def timed(*args: Any, **kwargs: Any) -> Any:
            with self.on(stage):
                return await work(*args, **kwargs)

        return timed


async def flow(payloads: Sequence[bytes], home: Path, *, again: Sequence[bytes] = ()) -> list[Counter[str]]:
    """Seconds by stage of one import into a fresh store, then of the same people `again`."""
    found = []
    async with Database(home / "gateway.db") as database:
        (number,) = (await database.transact(lambda store: enroll(store, "bench", [people.DEVICE_ID]))).values()
        device = Device(number, people.DEVICE_ID, Kind.FLUSS, 1_000_000)
        reader = Reader(home / "gateway.db")
        vault = Vault(database, reader, {device.device_id: device}, Clock(trusted=True), Random(1))
        sent = 0
        for batch in (payloads, again):
            watch = Watch()
            with ExitStack() as patches:
                patches.enter_context(patch.object(applying, "merge", watch.plain("merge", applying.merge)))
                for name in ("fetch", "execute", "many"):
                    statement = watch.awaited("statements", getattr(Transaction, name))
                    patches.enter_context(patch.object(Transaction, name, statement))
                sent = await _import(batch, vault, watch, sent)
            found.append(watch.seconds)
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
    inside = watch.awaited("work", lambda transaction: applying.apply(transaction, group, vault.devices, guard, 1))
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


def settled(seconds: Counter[str]) -> dict[str, float]:
    """The stages apart from each other: those that hold others without them. Numbers are a part of `validate`."""
    return {
        "decode": seconds["decode"],
        "validate": seconds["validate"] - seconds["numbers"],
        "numbers": seconds["numbers"],
        "merge": seconds["merge"],
        "statements": seconds["statements"],
        "commit": seconds["apply"] - seconds["work"],
        "apply: rest": seconds["work"] - seconds["merge"] - seconds["statements"],
        "checkpoint": seconds["checkpoint"],
        "report": seconds["report"],
    }


Round = tuple[float, dict[str, float], dict[str, float]]
"""Seconds of the floor, by stage of a fresh import, and by stage of the same list again."""


def measure(count: int, rounds: int, home: Path) -> list[Round]:
    """Floor and flow in turn, which of them first changing every round."""
    crowd = people.invitees(count)
    payloads = people.parts(crowd)
    again = people.parts(crowd, batch_id="again", revision=2)
    floor = Floor(crowd, payloads, home)
    _settle_memory()
    found = []
    for number in range(rounds):
        below = floor.seconds() if number % 2 else 0.0
        with TemporaryDirectory(dir=home) as place:
            fresh, repeated = asyncio.run(flow(payloads, Path(place), again=again))
        gc.collect()
        found.append((below or floor.seconds(), settled(fresh), settled(repeated)))
    return found
