"""A list that is asked for again and again: one answer, no pile of reports, and nobody waits for it."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random

import pytest
from structlog.testing import capture_logs

from agent.clock import Clock
from agent.resync import Resync
from agent.vault import Vault
from protocol.commands import CommandMessage, Unusable
from protocol.vocabulary import CommandRefusal
from storage import erasure, outbox
from storage.database import Reader
from storage.outbox import position
from storage.store import leave_behind
from tests.counterparts.cloud import GATE, PANEL, part, people
from tests.oracle.items import Document
from tests.oracle.model import DeviceRule
from tests.oracle.store import EPOCH, Store

NOW = 1_795_300_000_000


class Asked:
    """A gateway that is asked; `sent` is how far the broker has come."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.sent = 0
        self.looks = 0
        vault = Vault(store.database, store.reader, store.devices, Clock(trusted=True), Random(1))
        self.resync = Resync(vault, self._reader, lambda: self.sent)

    def _reader(self) -> Reader:
        self.looks += 1
        return Reader(self.store.path)

    async def ask(self, command_id: str, device_id: str | None = GATE, buckets: list[str] | None = None) -> Document:
        asked = {"commandId": command_id, "gatewayId": "gw-1", "command": "resync", "deviceId": device_id}
        work = await self.resync.prepare(CommandMessage.model_validate(asked | {"buckets": buckets}))
        return await self.store.database.transact(work)

    async def receive(self, number: int) -> None:
        await self.store.receive([json.dumps(part(f"b-{number}", number, people([number]))).encode()], NOW)

    @property
    def newest(self) -> int:
        return position(self.store.reader).newest

    def resends(self) -> list[tuple[int, int]]:
        return [(each.first, each.last) for each in self.store.resends()]


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    rules = {GATE: DeviceRule("fluss+", 100), PANEL: DeviceRule("intercom", 100)}
    async with Store(tmp_path / "gateway.db", rules) as store:
        asked = Asked(store)
        await asked.receive(1)
        yield asked


async def test_question_without_news_brings_the_same_reports_once_the_broker_has_had_them(asked: Asked) -> None:
    first = await asked.ask("a")
    assert (first["fromReport"], first["throughReport"], asked.newest) == (4, 4, 4)
    (place,) = first["buckets"]
    assert first == {
        "deviceId": GATE, "epoch": EPOCH, "asOfReport": 3, "revision": 1, "digest": first["buckets"][place],
        "buckets": {place: first["digest"]}, "fromReport": 4, "throughReport": 4,
    }  # fmt: skip
    assert await asked.ask("b") == first
    assert asked.resends() == [], "they are on their way"
    asked.sent = 4
    assert await asked.ask("c") == first
    assert asked.resends() == [(4, 4)]
    assert (asked.newest, asked.looks) == (4, 1)


async def test_other_buckets_are_another_question(asked: Asked) -> None:
    asked.sent = 10**6
    digests = await asked.ask("a", buckets=[])
    assert "fromReport" not in digests
    assert await asked.ask("b", buckets=[]) == digests
    assert (asked.looks, asked.resends()) == (1, [])
    some = await asked.ask("c", buckets=["00", "01"])
    assert await asked.ask("d", buckets=["01", "00"]) == some
    assert (await asked.ask("e"))["fromReport"] == some["throughReport"] + 1
    assert asked.looks == 3


async def test_digests_alone_keep_nobody_waiting(asked: Asked) -> None:
    """There are no reports of theirs on their way, however slow the broker is."""
    before = await asked.ask("a", buckets=[])
    await asked.receive(2)
    assert (await asked.ask("b", buckets=[]))["asOfReport"] > before["asOfReport"]
    assert (await asked.ask("c"))["fromReport"] == asked.newest


async def test_list_that_has_changed_waits_until_the_earlier_one_is_gone(asked: Asked) -> None:
    first = await asked.ask("a")
    await asked.receive(2)
    with pytest.raises(Unusable, match="reports 4 to 4") as refused:
        await asked.ask("b")
    assert refused.value.code is CommandRefusal.BUSY
    assert await asked.ask("a") == first, "the same command has its answer"
    assert (await asked.ask("c", PANEL))["deviceId"] == PANEL, "and another device its own"
    asked.sent = 4
    second = await asked.ask("d")
    assert (second["asOfReport"], second["fromReport"]) == (8, 9)
    assert second["digest"] != first["digest"]


async def test_answer_of_an_earlier_epoch_is_none(asked: Asked) -> None:
    first = await asked.ask("a")
    await asked.store.database.transact(partial(leave_behind, epoch=EPOCH, reports=9, events=0, fresh="fresh"))
    again = await asked.ask("a")
    assert (again["epoch"], again["fromReport"]) == ("fresh", first["throughReport"] + 1)


async def test_reports_that_are_not_kept_any_more_are_not_promised_again(asked: Asked) -> None:
    first = await asked.ask("a")
    asked.sent = 4
    await asked.store.database.transact(partial(outbox.sent, through=4, resent=[], replied=[]))
    await asked.store.database.transact(partial(outbox.prune, before=NOW * 2, now=NOW * 3, most_bytes=1 << 20))
    for command_id in ("a", "b"):
        again = await asked.ask(command_id)
        assert again == first | {"asOfReport": 4, "fromReport": 5, "throughReport": 5}
    assert asked.looks == 2


async def test_somebody_who_was_erased_without_a_report_is_in_no_digest(asked: Asked) -> None:
    first = await asked.ask("a", buckets=[])
    (mobile,) = asked.store.reader.fetch("SELECT mobile FROM users")[0]
    await asked.store.database.transact(partial(erasure.erase, mobile=mobile, now=NOW))
    second = await asked.ask("b", buckets=[])
    assert second == first | {"digest": "0" * 16, "buckets": {}}


@pytest.mark.parametrize("device_id", ["9999", None])
async def test_device_that_the_gateway_does_not_have_is_refused(asked: Asked, device_id: str | None) -> None:
    with pytest.raises(Unusable, match=f"no device {device_id!r}") as refused:
        await asked.ask("a", device_id)
    assert refused.value.code is CommandRefusal.UNKNOWN_DEVICE


async def test_list_that_cannot_be_read_is_read_later(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    def renamed(before: str, after: str) -> None:
        with closing(sqlite3.connect(asked.store.path)) as other:
            other.execute(f"ALTER TABLE {before} RENAME TO {after}")

    def pause(_: Vault) -> float:
        renamed("hidden", "origins")
        return 0.0

    monkeypatch.setattr(Vault, "pause", pause)
    renamed("origins", "hidden")
    with capture_logs() as events:
        assert (await asked.ask("a"))["fromReport"] == 4
    assert asked.looks == 2
    assert [(event["event"], event["device_id"]) for event in events] == [("resync.postponed", GATE)]
    assert "origins" in events[0]["error"]
