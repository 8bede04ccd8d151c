"""A damaged store: whoever may go in gets in after the restart, nobody else does, and the cloud is told."""

import os
import sqlite3
import struct
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from agent import exits
from tests.counterparts.cloud import GATE, Document, mobile, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.premises import Premises, premises
from tests.counterparts.waiting import until

RecordProperty = Callable[[str, object], None]
RESIDENTS, REMOVED, STRANGER = range(400), 398, 900
ASKS = 200
"""Somebody in the middle of the list."""


async def inhabited(place: Premises) -> None:
    """People who may open the gate, one who is off the list again, and a copy that knows both."""
    await place.invite(*people(RESIDENTS, accepted=True))
    await place.invite(revocations=[{"mobile": mobile(REMOVED)}])
    await until(lambda: copied_through(place, 2), what="a copy of the store")


def copied_through(place: Premises, revision: int) -> bool:
    newest = max((place.agent.state_dir / "snapshots").glob("*.db"), default=None)
    return newest is not None and told(newest, "SELECT max(revision) FROM devices", immutable=1) == [(revision,)]


def told(path: Path, sql: str, **options: int) -> list[tuple[object, ...]]:
    """What a store says, without leaving a trace."""
    query = "&".join(["mode=ro", *(f"{name}={value}" for name, value in options.items())])
    with closing(sqlite3.connect(f"{path.as_uri()}?{query}", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def written(path: Path, sql: str) -> None:
    """Somebody, or something, writes to the store past the daemon."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(sql)


def cut_short(store: Path) -> None:
    os.truncate(store, store.stat().st_size // 2)


def a_page_of_zeros(store: Path) -> None:
    """The one that has whoever asks."""
    page = store.read_bytes().index(f"Resident {ASKS}".encode()) // 4096
    with store.open("r+b") as file:
        file.seek(page * 4096)
        file.write(bytes(4096))


def no_header(store: Path) -> None:
    with store.open("r+b") as file:
        file.write(bytes(100))


def a_version_nobody_wrote(store: Path) -> None:
    with store.open("r+b") as file:
        file.seek(60)  # the schema version; see "Database File Format", 1.3, at sqlite.org
        file.write(struct.pack(">I", 67))


def nobody_may_write_it(store: Path) -> None:
    with store.open("r+b") as file:
        file.seek(18)
        file.write(b"\x06")


def gone(store: Path) -> None:
    store.unlink()


def emptied(store: Path) -> None:
    os.truncate(store, 0)


def junk(store: Path) -> None:
    store.write_bytes(Random(5).randbytes(store.stat().st_size))


def somebody_elses(store: Path) -> None:
    store.unlink()
    written(store, "CREATE TABLE notes (note TEXT)")


def a_folder(store: Path) -> None:
    store.unlink()
    store.mkdir()


def false_rows(store: Path) -> None:
    """What no check of SQLite's own ever finds."""
    written(store, "UPDATE users SET permission = 'Tenant' WHERE mobile % 5 = 0")


def without_its_log(store: Path) -> None:
    """With which everything goes that had not been moved into the file."""
    store.with_name(f"{store.name}-wal").unlink()


def rot_in_its_log(store: Path) -> None:
    log = store.with_name(f"{store.name}-wal")
    content = bytearray(log.read_bytes())
    content[content.index(f"Resident {ASKS}".encode())] ^= 1
    log.write_bytes(content)


AFTER_A_STOP = (
    cut_short, a_page_of_zeros, no_header, a_version_nobody_wrote, nobody_may_write_it, gone, emptied, junk,
    somebody_elses, a_folder, false_rows,
)  # fmt: skip
AFTER_A_KILL = (rot_in_its_log, without_its_log)
"""The second time the list has been moved into the file: only the last commits are gone, and no copy is better."""


async def test_store_damaged_in_every_way_is_replaced_by_its_copy(
    mosquitto: Mosquitto, tmp_path: Path, record_property: RecordProperty
) -> None:
    async with premises(tmp_path, mosquitto.port) as place:
        await inhabited(place)
        for spoil in (*AFTER_A_KILL, *AFTER_A_STOP):
            epoch = place.cloud.state["epoch"]
            if spoil in AFTER_A_KILL:
                await place.agent.kill9()
            else:
                assert await place.agent.stop() == exits.OK
                assert not (place.agent.state_dir / "open").exists()
            spoil(place.agent.store)

            took_s = await decides_again(place)
            record_property(f"seconds until it decides again, {spoil.__name__}", round(took_s, 2))
            assert await place.gate.ask(mobile(REMOVED)) == "revoked"
            assert await place.gate.ask(mobile(STRANGER)) == "unknown_user"
            state = await place.cloud.sees(online=True, storage="ok")
            assert state["epoch"] != epoch, spoil
            assert state["restored"]["from"] == ("itself" if spoil is without_its_log else "snapshot"), spoil
            assert device(state)["users"]["Active"] == len(RESIDENTS) - 1
            moved_aside = list((place.agent.state_dir / "damaged").iterdir())
            assert 1 <= len(moved_aside) <= 2
        await put_right(place)
    record_property("tried:damaged stores replaced", len(AFTER_A_KILL + AFTER_A_STOP))


async def decides_again(place: Premises) -> float:
    """Start the agent, and have somebody ask until they get in; seconds from the start."""
    started = time.monotonic()
    place.agent.launch()
    await place.reached()
    assert await place.gate.ask(mobile(ASKS)) == "actuate", place.agent.log
    return time.monotonic() - started


async def put_right(place: Premises) -> None:
    """The cloud sends its list once more, under a new revision, and both agree again."""
    await place.invite(*people(RESIDENTS, accepted=True), mode="replace")
    users = await place.agent.users()
    assert {user["mobile"] for user in users} == {mobile(each) for each in RESIDENTS}


async def test_without_a_good_copy_what_can_be_read_is_saved(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with premises(tmp_path, mosquitto.port) as place:
        await inhabited(place)
        assert await place.agent.stop() == exits.OK
        for copy in (place.agent.state_dir / "snapshots").glob("*.db"):
            rot(copy)
        a_page_of_zeros(place.agent.store)

        await place.agent.online(place.cloud)
        await place.reached()
        state = await place.cloud.sees(online=True)
        assert state["restored"]["from"] == "salvage"
        assert place.agent.logged("snapshot.damaged")
        assert await place.gate.ask(mobile(ASKS)) == "unknown_user"
        assert await place.gate.ask(mobile(REMOVED)) == "revoked"
        assert [await place.gate.ask(mobile(each)) for each in (0, 397)] == ["actuate"] * 2
        assert 300 < len(await place.agent.users()) < len(RESIDENTS) - 1
        await put_right(place)


async def test_where_nothing_is_left_it_says_so_loudly_and_asks_for_all_of_it(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    async with premises(tmp_path, mosquitto.port) as place:
        await inhabited(place)
        assert await place.agent.stop() == exits.OK
        for copy in (place.agent.state_dir / "snapshots").glob("*.db"):
            junk(copy)
        junk(place.agent.store)

        await place.agent.online(place.cloud)
        await place.reached()
        state = await place.cloud.sees(online=True)
        assert state["restored"]["from"] == "nothing"
        assert [line["level"] for line in place.agent.logged("store.restored")] == ["critical"]
        assert await place.gate.ask(mobile(ASKS)) == "unknown_user"
        await put_right(place)
        assert await place.gate.ask(mobile(ASKS)) == "actuate"


def rot(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


WHERE = f"WHERE mobile = {mobile(ASKS)[1:]}"
FALSE_WORDS = f"UPDATE users SET wifi = 0 {WHERE}"  # noqa: S608 -- our own words
GONE = f"DELETE FROM users {WHERE}"  # noqa: S608 -- the same


@pytest.mark.parametrize("damage", [FALSE_WORDS, GONE])
async def test_damage_met_at_the_gate_keeps_nobody_outside_and_is_healed_by_the_next_start(
    mosquitto: Mosquitto, tmp_path: Path, damage: str
) -> None:
    """The decision is made from the copy. The daemon leaves for its next start, which finds the damage once more."""
    async with premises(tmp_path, mosquitto.port) as place:
        await inhabited(place)
        epoch = place.cloud.state["epoch"]
        written(place.agent.store, damage)
        assert await place.gate.ask(mobile(ASKS)) == "actuate"
        assert await place.agent.ends() == exits.IO
        assert len(place.agent.logged("store.damaged")) == 1

        await decides_again(place)
        state = await place.cloud.sees(online=True)
        assert (state["restored"]["from"], state["epoch"] != epoch) == ("snapshot", True)
        assert place.agent.running


async def test_whoever_was_removed_after_the_copy_stays_outside(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with premises(tmp_path, mosquitto.port) as place:
        await inhabited(place)
        await place.invite(revocations=[{"mobile": mobile(7)}])
        assert not copied_through(place, 3)
        assert await place.agent.stop() == exits.OK
        a_page_of_zeros(place.agent.store)

        await decides_again(place)
        state = await place.cloud.sees(online=True)
        assert state["restored"]["from"] == "snapshot"
        assert await place.gate.ask(mobile(7)) == "revoked"
        assert device(state)["users"]["Active"] == len(RESIDENTS) - 2


async def test_whoever_is_erased_is_not_taken_for_a_row_that_is_gone(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """The copies that had them go first, and a new one has everybody else."""
    async with premises(tmp_path, mosquitto.port) as place:
        await inhabited(place)
        reply = await place.cloud.ask("erase", mobile=mobile(ASKS))
        assert reply["outcome"] == "done"
        assert await place.gate.ask(mobile(ASKS)) == "unknown_user"
        assert await place.gate.ask(mobile(ASKS + 1)) == "actuate"
        await until(lambda: copied_through(place, 2), what="a new copy")
        [copy] = (place.agent.state_dir / "snapshots").glob("*.db")
        assert f"Resident {ASKS}".encode() not in copy.read_bytes()
        assert place.agent.running
        assert place.agent.logged("store.damaged") == []


def device(state: Document) -> Document:
    return {each["deviceId"]: dict(each) for each in state["devices"]}[GATE]
