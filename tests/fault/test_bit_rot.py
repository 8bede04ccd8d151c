"""A memory card that gives back other bits than it was given: nobody gets in by that, and nobody stays outside.

One bit at a time, anywhere in the store, in its log and in its copies, against what was written.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import structlog

from agent.rollcall import Rollcall
from protocol.access import decide
from protocol.moment import exact
from protocol.vocabulary import Channel
from storage import seals
from storage.database import Damaged, Reader, StorageFault
from storage.grants import Listed, listed
from storage.healing import Healer, Source
from storage.snapshot import Snapshots
from storage.wreckage import Wreckage
from tests.counterparts.soak import scaled
from tests.oracle.histories import GATE, HOUR, NOON, PANEL
from tests.oracle.model import DeviceRule
from tests.oracle.parts import part, person
from tests.oracle.store import Store

RecordProperty = Callable[[str, object], None]
DEVICES = {GATE: DeviceRule("fluss+", 200), PANEL: DeviceRule("intercom", 200)}
ZONE = ZoneInfo("Africa/Johannesburg")
PEOPLE, STRANGERS = range(80), range(80, 90)
LATE = 3
"""Removed by the last commit of all."""

Answers = dict[tuple[int, int], Listed | None]


def number(each: int) -> int:
    return 27_824_511_000 + each


def invited(each: int) -> dict[str, Any]:
    """All sorts of people."""
    terms: list[dict[str, Any]] = [
        {"permission": "Always"},
        {"permission": "Temporary", "startDate": NOON - HOUR, "endDate": NOON + HOUR},
        {"permission": "Temporary", "startDate": NOON - 2 * HOUR, "endDate": NOON - HOUR},
        {"permission": "Repeat", "schedule": [{"days": ["mon", "fri"], "from": "00:00", "until": "23:59"}]},
        {"permission": "Full", "wifi": False},
    ]
    return person(f"+{number(each)}", f"Resident {each}", accepted=each % 7 != 0, **terms[each % 5])


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """A daemon says each of these things once in its life."""
    structlog.configure(processors=[_dropped])
    yield
    structlog.reset_defaults()


def _dropped(*_: object) -> str:
    raise structlog.DropEvent


async def revoke(store: Store, revision: int, *people: int) -> None:
    revoked = [{"mobile": f"+{number(each)}"} for each in people]
    await store.receive([part(f"b{revision}", revision, revocations=revoked)], NOON - 3 * HOUR)


@asynccontextmanager
async def furnished(home: Path) -> AsyncIterator[tuple[Store, Snapshots]]:
    """A store with a list that came in some commits, and no copy yet."""
    home.mkdir()  # noqa: ASYNC240 -- nobody waits
    async with Store(home / "gateway.db", DEVICES) as store:
        everybody = [invited(each) for each in PEOPLE]
        await store.receive([part("b5", 5, *everybody, deviceIds=[GATE, PANEL])], NOON - 3 * HOUR)
        await revoke(store, 6, *PEOPLE[::9])
        with closing(Snapshots(home / "snapshots", store.path)) as snapshots:
            yield store, snapshots


def asked(ask: Callable[[int, int], Listed | None], devices: Mapping[str, Any]) -> Answers:
    """What is said of everybody, and of some whom nobody knows."""
    answers: Answers = {}
    for key in [(device.number, number(each)) for device in devices.values() for each in (*PEOPLE, *STRANGERS)]:
        try:
            answers[key] = ask(*key)
        except StorageFault:  # the gate says so, and stays shut
            answers[key] = None
    return answers


def allowed(answers: Answers) -> set[tuple[Any, ...]]:
    """Who gets in, and by which channel."""
    return {
        (*key, channel)
        for key, found in answers.items()
        for channel in (Channel.BLUETOOTH, Channel.WIFI)
        if decide(found.grant if found else None, channel, exact(NOON), ZONE).allowed
    }


def flipped(content: bytes, at: int) -> bytes:
    return content[: at // 8] + bytes([content[at // 8] ^ (1 << at % 8)]) + content[at // 8 + 1 :]


def rows(store: Path) -> list[Any] | None:
    """What the rows of the list say, believed without a look at their seals; None where SQLite itself objects."""
    try:
        with closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(f"SELECT {seals.USER} FROM users").fetchall()  # noqa: S608 -- our names
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return None


def objects(store: Path, check: str) -> bool:
    """Whether a check of SQLite's own notices anything."""
    try:
        with closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(f"PRAGMA {check}(1)").fetchall() != [("ok",)]
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return True


async def test_no_bit_of_the_store_that_flips_lets_anybody_in_or_keeps_anybody_out(
    tmp_path: Path, record_property: RecordProperty
) -> None:
    """While the daemon runs, and without any of the looks that it takes at its start."""
    async with furnished(tmp_path / "home") as (store, snapshots):
        await snapshots.take()
        truth = asked(Rollcall(store.reader).listed, store.devices)
        await store.restart()
        await store.database.checkpoint(over=0)
        store.reader.close()
        content, said = store.path.read_bytes(), rows(store.path)
        rng, rotten = Random(9), tmp_path / "rotten.db"
        tried = scaled(1000)
        changed = noticed = quick = integrity = 0
        for _ in range(tried):
            rotten.write_bytes(flipped(content, rng.randrange(len(content) * 8)))
            with closing(Reader(rotten)) as reader:
                rollcall = Rollcall(reader, snapshots)
                assert allowed(asked(rollcall.listed, store.devices)) == allowed(truth)
                if (now := rows(rotten)) is not None and now != said:
                    changed += 1
                    noticed += believes_only(truth, reader)
                    quick += objects(rotten, "quick_check")
                    integrity += objects(rotten, "integrity_check")
        assert noticed == changed > tried / 50
    record_property("tried:bits flipped", tried)
    record_property("flips that change what a row says", changed)
    record_property("of them noticed by quick_check", quick)
    record_property("of them noticed by integrity_check", integrity)


def believes_only(truth: Answers, reader: Reader) -> bool:
    """Whether every row that is read says what was written, is not there, or is not believed."""
    for key, written in truth.items():
        try:
            found = listed(reader, *key)
        except Damaged:
            continue
        if found is not None and found != written:
            return False
    return True


async def test_no_bit_of_the_log_that_flips_is_passed_over_in_silence(
    tmp_path: Path, record_property: RecordProperty
) -> None:
    """Rot in the last transaction of all looks like a power cut in the middle of it: then the list is as before it."""
    async with furnished(tmp_path / "home") as (store, _):
        await revoke(store, 7, 1, 2)
        before = asked(Rollcall(store.reader).listed, store.devices)
        log = store.path.with_name("gateway.db-wal")
        earlier = len(log.read_bytes())
        await revoke(store, 8, LATE)
        truth = asked(Rollcall(store.reader).listed, store.devices)
        main, content = store.path.read_bytes(), log.read_bytes()
        rng, tried, told, undone = Random(10), scaled(400), 0, 0
        for turn in range(tried):
            home = tmp_path / f"{turn}"
            home.mkdir()
            at = rng.randrange(len(content) * 8)
            rotten = home / "gateway.db"
            rotten.write_bytes(main)
            rotten.with_name("gateway.db-wal").write_bytes(flipped(content, at))
            healer = Healer(rotten, Snapshots(home / "snapshots", rotten), Wreckage(home / "damaged"), home / "note")
            restored = await healer.heal(NOON, unclean=True)
            if restored is not None:
                assert restored.source is Source.ITSELF
                told += 1
                continue
            with closing(Reader(rotten)) as reader:
                now = asked(Rollcall(reader).listed, store.devices)
            assert now in (truth, before)
            undone += now == before
            assert now == truth or at // 8 >= earlier
    record_property("tried:bits flipped", tried)
    record_property("flips that looked like a power cut in the last transaction", undone)
    assert told > tried / 2


async def test_no_bit_of_a_copy_that_flips_is_believed(tmp_path: Path, record_property: RecordProperty) -> None:
    async with furnished(tmp_path / "home") as (_, snapshots):
        path = await snapshots.take()
        content = path.read_bytes()
        assert snapshots.is_good(path)
        rng, tried = Random(11), scaled(600)
        for _ in range(tried):
            path.write_bytes(flipped(content, rng.randrange(len(content) * 8)))
            assert not snapshots.is_good(path)
    record_property("tried:bits flipped", tried)
