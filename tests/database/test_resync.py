"""A picture of a list says of everybody what stands in the store, whatever is written meanwhile."""

import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from protocol.digest import bucket, digest_text
from protocol.reports import MAX_MESSAGE, Run, statuses_payload, unpacked
from protocol.vocabulary import MAX_REVISION
from storage import outbox, resync
from storage.database import Reader, Rows, Transaction
from storage.resync import PAGE, Picture
from storage.store import device_states
from tests.oracle.histories import GATE, NOON, PANEL
from tests.oracle.model import DeviceRule
from tests.oracle.parts import DAVID, THANDI, ZOE, crowd, gone, part, person
from tests.oracle.store import EPOCH, Store

if TYPE_CHECKING:
    from tests.oracle.items import Document

DEVICES = {GATE: DeviceRule("fluss+", 20_000), PANEL: DeviceRule("intercom", 20_000)}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(tmp_path / "gateway.db", DEVICES) as store:
        yield store


@pytest.fixture
def reader(store: Store) -> Reader:
    return Reader(store.path)


class Overtaken(Reader):
    """Everything is written anew once it has read a page."""

    pages = 0

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> Rows:
        rows = super().fetch(sql, parameters)
        self.pages += "LIMIT" in sql
        if self.pages == 1:
            with closing(sqlite3.connect(self._path, isolation_level=None)) as writer:
                writer.execute("UPDATE users SET status = 'Expired'")
                writer.execute("INSERT INTO reports VALUES (9999, 'receipt', 1, NULL, NULL, x'00')")
                writer.execute("UPDATE devices SET revision = 77")
        return rows


def word(mobile: str, revision: int) -> int:
    return int.from_bytes(sha256(f"{mobile}|{revision}".encode()).digest()[:8])


def digest(users: dict[str, int]) -> str:
    """By the letter of the contract."""
    return digest_text(sum(word(mobile, revision) for mobile, revision in users.items()))


def listed(picture: Picture) -> list[tuple[str, int, str]]:
    """Who is named, with revision and status, in order."""
    return [(f"+{mobile}", run.revision or 0, run.status or "") for run in runs(picture) for mobile in run.mobiles]


def runs(picture: Picture) -> list[Run]:
    return [run for message in picture.messages for run in message]


async def test_everybody_is_listed_with_revision_and_status_and_tombstones_are_not(store: Store) -> None:
    await store.receive([part("b1", 3, person(DAVID), person(THANDI), person(ZOE, accepted=True))], NOON)
    await store.receive([part("b2", 9, person(DAVID, "Dave"), revocations=[gone(THANDI)])], NOON)
    picture = resync.picture(Reader(store.path), store.devices[GATE], None)
    assert listed(picture) == [(ZOE, 3, "Active"), (DAVID, 9, "Pending")]
    assert [run.ends for run in runs(picture)] == [False, False, True]
    assert (picture.revision, picture.digest) == (9, digest({DAVID: 9, ZOE: 3}))
    assert picture.digest == digest_text(device_states(store.reader)[GATE].digest), "what `state` says"
    assert picture.buckets == {"20": digest({ZOE: 3}), "37": digest({DAVID: 9})}
    assert picture.as_of == outbox.position(store.reader).newest


async def test_only_the_users_of_the_wanted_buckets_are_listed(store: Store, reader: Reader) -> None:
    await store.receive([part("b1", 3, person(DAVID), person(THANDI), person(ZOE))], NOON)
    whole = resync.picture(Reader(store.path), store.devices[GATE], None)
    some = resync.picture(reader, store.devices[GATE], {"20", "ff"})
    assert listed(some) == [(ZOE, 3, "Pending")]
    assert (some.digest, some.buckets) == (whole.digest, whole.buckets)


async def test_revision_of_a_key_that_is_not_trusted_any_more_keeps_no_counter_from_going_on(store: Store) -> None:
    await store.trust("old", "stolen")
    await store.receive([part("b1", 3, person(DAVID))], NOON, "old")
    await store.receive([part("b2", MAX_REVISION, person(ZOE))], NOON, "stolen")
    await store.trust("old")
    picture = resync.picture(Reader(store.path), store.devices[GATE], None)
    assert picture.revision == 0 == device_states(store.reader)[GATE].revision
    assert listed(picture) == [(DAVID, 3, "Pending"), (ZOE, MAX_REVISION, "Pending")]


async def test_digests_alone_come_without_a_message(store: Store, reader: Reader) -> None:
    await store.receive([part("b1", 3, person(DAVID))], NOON)
    picture = resync.picture(reader, store.devices[GATE], ())
    assert (picture.messages, picture.buckets) == ([], {"37": digest({DAVID: 3})})


async def test_list_of_nobody_still_has_an_end(store: Store, reader: Reader) -> None:
    picture = resync.picture(reader, store.devices[PANEL], None)
    assert (picture.digest, picture.buckets, picture.revision, picture.as_of) == ("0" * 16, {}, 0, 0)
    ((end,),) = picture.messages
    assert (end.ends, end.device_id) == (True, PANEL)


async def test_picture_is_of_one_commit_though_the_list_changes_between_its_pages(store: Store) -> None:
    many = PAGE * 2 + 7
    people = crowd(many)
    await store.receive([part("b1", 1, *people)], NOON)
    newest = outbox.position(store.reader).newest

    picture = resync.picture(Overtaken(store.path), store.devices[GATE], None)
    assert {row[0] for row in store.reader.fetch("SELECT status FROM users")} == {"Expired"}, "it did change"
    assert {(revision, status) for _, revision, status in listed(picture)} == {(1, "Pending")}
    assert len(listed(picture)) == many
    assert (picture.as_of, picture.revision) == (newest, 1)


async def test_long_list_is_told_in_messages_that_every_broker_takes(store: Store, reader: Reader) -> None:
    people = crowd(2_500)
    await store.receive([part("b1", 7, *people)], NOON)
    before = outbox.position(store.reader).newest
    picture = resync.picture(reader, store.devices[GATE], None)

    async def work(transaction: Transaction) -> tuple[int, int]:
        return await resync.tell(transaction, picture.messages, NOON)

    first, last = await store.database.transact(work)
    assert (first, last) == (before + 1, outbox.position(store.reader).newest)
    stored = outbox.reports(store.reader, first, last, 100)
    assert sum(len(each.body) for each in stored) < 2_500 * 14, "as runs, not person by person"
    payloads = [
        statuses_payload("gw-1", EPOCH, each.number, each.at, each.batch, unpacked(each.body)) for each in stored
    ]
    assert max(map(len, payloads)) <= MAX_MESSAGE
    told: list[Document] = [json.loads(payload) for payload in payloads]
    assert [each.get("end") for each in told] == [*[None] * (len(told) - 1), True]
    assert {each["batchId"] for each in told} == {None}
    results = [result for each in told for result in each["results"]]
    assert sorted(result["mobile"] for result in results) == sorted(each["mobile"] for each in people)
    assert {(result["item"], result["outcome"], result["status"], result["revision"]) for result in results} == {
        (None, "listed", "Pending", 7)
    }
    assert all(bucket(int(result["mobile"])) in picture.buckets for result in results)
