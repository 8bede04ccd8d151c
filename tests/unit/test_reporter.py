"""What the outbox holds reaches the broker in order and without a gap, over whatever line there is."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from agent import reporter as module
from agent.clock import Clock
from agent.link import LinkDown
from agent.reporter import Reporter
from agent.stream import READ_AT_ONCE
from agent.vault import Vault
from protocol.topics import Topics
from storage.outbox import position
from tests.counterparts.cloud import GATE, part, people
from tests.counterparts.waiting import until
from tests.oracle.model import DeviceRule
from tests.oracle.store import Store

if TYPE_CHECKING:
    from agent.link import Link

NOW = 1_795_300_000_000
TOPICS = Topics("gw-1")


class Line:
    """Stands in for the link: slow and out of order, and cut as often as the test wants, before or after it carried."""

    window = 5

    def __init__(self, rng: Random, cuts: int = 0) -> None:
        self.status = SimpleNamespace(connected=True)
        self.offered: list[bytes] = []
        """In the order in which it was handed over."""
        self.acknowledged: set[int] = set()
        self.most_at_once = 0
        self.cuts = cuts
        self._rng = rng
        self._underway = 0

    async def connected(self) -> int:
        return 1

    async def publish(self, topic: str, payload: bytes) -> None:
        assert topic in (TOPICS.receipts, TOPICS.statuses)
        self.offered.append(payload)
        self._underway += 1
        self.most_at_once = max(self.most_at_once, self._underway)
        try:
            for _ in range(self._rng.randrange(8)):
                await asyncio.sleep(0)
            if self.cuts and self._rng.random() < 0.1:
                self.cuts -= 1
                raise LinkDown("cut")
            self.acknowledged.add(number_of(payload))
        finally:
            self._underway -= 1


def number_of(payload: bytes) -> int:
    return int(json.loads(payload)["reportId"])


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """With more reports than are read at once."""
    async with Store(tmp_path / "gateway.db", {GATE: DeviceRule("fluss+", 1000)}) as store:
        await receive(store, range(1, 31))
        assert position(store.reader).newest > READ_AT_ONCE
        yield store


async def receive(store: Store, revisions: range) -> None:
    parts = [json.dumps(part(f"b-{number}", number, people([number]))).encode() for number in revisions]
    await store.receive(parts, NOW)


@asynccontextmanager
async def reporting(store: Store, line: Line) -> AsyncIterator[Reporter]:
    vault = Vault(store.database, store.reader, store.devices, Clock(trusted=True), Random(1))
    reporter = Reporter("gw-1", TOPICS, cast("Link", line), vault, lambda: None)
    task = asyncio.create_task(reporter.run())
    yield reporter
    assert not task.done(), "it runs until it is cancelled"
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("seed", range(20))
async def test_every_report_is_sent_over_a_line_that_is_cut_again_and_again(
    store: Store, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0)
    line = Line(Random(seed), cuts=6)
    newest = position(store.reader).newest
    async with reporting(store, line) as reporter:
        while reporter.unsent():
            await asyncio.sleep(0)
            await reporter.save()
            saved = position(store.reader).sent
            assert {*range(1, saved + 1)} <= line.acknowledged, "written down as sent before the broker had it"
        assert line.acknowledged == {*range(1, newest + 1)}
        assert line.most_at_once == Line.window
    once = list(dict.fromkeys(line.offered))
    assert [number_of(payload) for payload in once] == [*range(1, newest + 1)], "in order, and in one wording each"
    assert len(line.offered) >= newest + 6 - line.cuts > newest, "what was cut was sent again"


async def test_what_comes_later_is_sent_when_the_reporter_is_woken(store: Store) -> None:
    line = Line(Random(1))
    async with reporting(store, line) as reporter:
        await until(lambda: not reporter.unsent(), what="everything sent")
        await receive(store, range(31, 33))
        reporter.wake()
        await until(lambda: len(line.acknowledged) == position(store.reader).newest, what="the rest")
    assert [number_of(payload) for payload in line.offered] == [*range(1, position(store.reader).newest + 1)]


async def test_what_was_written_down_as_sent_is_not_sent_again_after_a_restart(store: Store) -> None:
    newest = position(store.reader).newest
    first, second, third = (Line(Random(seed)) for seed in range(3))
    async with reporting(store, first) as reporter:
        await reporter.drain(within_s=10)
    async with reporting(store, second) as reporter:
        await reporter.drain(within_s=10)
        await reporter.save()
    assert sorted(second.offered) == sorted(first.offered), "nobody had written it down: the same words once more"
    async with reporting(store, third) as reporter:
        await reporter.drain(within_s=10)
    assert (position(store.reader).sent, third.offered) == (newest, [])


async def test_reporting_goes_on_when_the_store_can_be_read_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Vault, "pause", lambda _: 0.01)
    line = Line(Random(1))
    async with reporting(store, line) as reporter:
        store.reader.close()
        away = store.path.rename(store.path.with_name("away.db"))
        await asyncio.sleep(0.05)
        assert not line.offered
        away.rename(store.path)
        await reporter.drain(within_s=10)
        assert len(line.acknowledged) == position(store.reader).newest
