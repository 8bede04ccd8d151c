"""What a damaged store still says finds its way into the one that takes its place, and nothing else does."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.events import Event
from protocol.vocabulary import Action, Channel, ClockState, Direction
from storage import codes, events, orders
from storage.database import Reader, Transaction
from storage.grants import listed
from storage.healing import Healer, Source
from storage.outbox import position
from storage.snapshot import Snapshots
from storage.store import device_states
from storage.wreckage import Wreckage
from tests.counterparts.soak import scaled
from tests.oracle.histories import GATE, HOUR, NOON, PANEL
from tests.oracle.model import DeviceRule
from tests.oracle.parts import crowd, gone, part, person
from tests.oracle.store import EPOCH, Store

DEVICES = {GATE: DeviceRule("fluss+", 1000), PANEL: DeviceRule("intercom", 1000)}
OPENED = Event(
    at=NOON,
    device_id=GATE,
    request="r1",
    mobile=27820000001,
    name="Person 1",
    channel=Channel.BLUETOOTH,
    action=Action.TRIGGER,
    reason=None,
    note=None,
    clock=ClockState.SYNCED,
    opened=None,
    actuated=True,
    error=None,
)


class House:
    """A store with people, a copy, and what came after the copy."""

    def __init__(self, home: Path) -> None:
        self.path = home / "gateway.db"
        self.snapshots = Snapshots(home / "snapshots", self.path)
        self.wreckage = Wreckage(home / "damaged")
        self.healer = Healer(self.path, self.snapshots, self.wreckage, home / "restored.json")

    async def furnish(self) -> None:
        async with Store(self.path, DEVICES) as store:
            people = [*crowd(300), person("+27824511234", "Pending", accepted=False)]
            await store.receive([part("b1", 5, *people, deviceIds=[GATE, PANEL])], NOON)
            panel = store.devices[PANEL].number
            for digits in ("1111", "2222", "3333"):
                await store.database.transact(partial(plumber, panel, digits))
            await store.database.transact(lambda t: events.record(t, [OPENED]))
            await store.database.transact(lambda t: orders.remember(t, "early", NOON + HOUR))
            await self.snapshots.take()
            await store.database.transact(lambda t: orders.remember(t, "late", NOON + HOUR))
            await store.receive([part("b2", 6, revocations=[gone("+27820000007")])], NOON)
            await store.accept(GATE, "27824511234", NOON)
            await store.database.transact(lambda t: codes.use(t, 1, Direction.ENTRY, NOON))
            await store.database.transact(lambda t: codes.revoke(t, panel, "2222"))
            await store.database.transact(lambda t: events.record(t, [OPENED, OPENED]))

    def spoil(self, sql: str) -> None:
        """Make a row another one, past its seal."""
        with closing(sqlite3.connect(self.path)) as other, other:
            other.execute(sql)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    opened = House(tmp_path)
    await opened.furnish()
    yield opened
    opened.snapshots.close()


async def plumber(panel: int, digits: str, transaction: Transaction) -> None:
    """A one-time code is given out."""
    await codes.issue(
        transaction,
        panel,
        digits=digits,
        name="Plumber",
        mobile=27_849_998_888,
        made_at=NOON,
        expires_at=NOON + HOUR,
        entry=GATE,
        exit=GATE,
    )


def carried_out(reader: Reader) -> list[str]:
    """The commands that would not be carried out once more."""
    return [name for name in ("early", "late", "another") if orders.seen(reader, name, NOON)]


SOMEBODY = "UPDATE users SET wifi = 0 WHERE mobile = 27820000200"


async def test_copy_is_brought_up_to_what_the_damaged_store_still_says(house: House) -> None:
    house.spoil(SOMEBODY)
    restored = await house.healer.heal(NOON, unclean=False)
    assert restored is not None
    assert restored == house.healer.last()
    assert (restored.source, restored.reason) == (Source.SNAPSHOT, "a row of users is not what was written")
    with closing(Reader(house.path)) as reader:
        where, states = position(reader), device_states(reader)
        assert where.epoch == restored.epoch != EPOCH
        removed, accepted = listed(reader, 1, 27820000007), listed(reader, 1, 27824511234)
        assert removed is not None
        assert removed.grant.status is None
        assert accepted is not None
        assert accepted.grant.status == "Active"
        assert (states[GATE].pending, states[GATE].active) == (299, 1)
        assert [(code.digits, code.entered_at) for code in codes.live(reader, PANEL)] == [
            ("1111", NOON),
            ("3333", None),
        ]
        assert [each.number for each in events.events(reader, 1, 9, 9)] == [1, 2, 3]
        assert carried_out(reader) == ["early", "late"], "a command of before does not move a gate again"
    async with Store(house.path, DEVICES) as store:
        assert store.unsound() == []


async def test_codes_of_a_store_that_cannot_be_read_are_gone_and_its_people_are_not(house: House) -> None:
    house.path.write_bytes(Random(1).randbytes(50_000))
    restored = await house.healer.heal(NOON, unclean=False)
    assert restored is not None
    assert restored.source is Source.SNAPSHOT
    with closing(Reader(house.path)) as reader:
        assert codes.live(reader, PANEL) == []
        assert device_states(reader)[GATE].pending == 301
    async with Store(house.path, DEVICES) as store:
        assert store.unsound() == []


async def test_without_a_copy_every_row_with_its_seal_is_saved_as_older_than_any(house: House) -> None:
    await house.snapshots.drop()
    house.spoil(SOMEBODY)
    restored = await house.healer.heal(NOON, unclean=False)
    assert restored is not None
    assert restored.source is Source.SALVAGE
    async with Store(house.path, DEVICES) as store:
        assert store.unsound() == []
        assert len([each for each in store.users().values() if each["status"]]) == 599
        assert {each["revision"] for each in store.users().values()} == {0}
        assert len(codes.live(store.reader, PANEL)) == 2
        assert [each.event for each in events.events(store.reader, 1, 9, 9)] == [OPENED] * 3
        assert carried_out(store.reader) == ["early", "late"]
        # An older word does not bring back who was removed; the last one, said again, and any newer one count.
        (late,) = await store.receive([part("b0", 4, person("+27820000007", "Again"))], NOON)
        assert late.counts == {"superseded": 1}
        (newer,) = await store.receive([part("b3", 7, person("+27820000200", "Back"))], NOON)
        assert newer.counts == {"added": 1}


async def test_rotten_copy_is_better_than_nothing_but_for_codes(house: House) -> None:
    [copy] = house.snapshots.paths()
    copy.write_bytes(copy.read_bytes()[:-1] + b"?")
    house.path.write_bytes(b"junk")
    restored = await house.healer.heal(NOON, unclean=False)
    assert restored is not None
    assert restored.source is Source.SALVAGE
    async with Store(house.path, DEVICES) as store:
        assert store.unsound() == []
        assert len(store.users()) == 602
        assert codes.live(store.reader, PANEL) == []


async def test_what_stands_in_its_place_is_a_store_of_somebody_else(house: House) -> None:
    """A whole store with right seals, but of another life: nothing of it is taken for news of ours."""
    other = House(house.path.parent / "other")
    other.path.parent.mkdir()
    await other.furnish()
    other.spoil("UPDATE store SET epoch = 'abcd'")
    other.spoil(SOMEBODY)
    house.path.write_bytes(other.path.read_bytes())
    await house.healer.heal(NOON, unclean=False)
    with closing(Reader(house.path)) as reader:
        assert device_states(reader)[GATE].pending == 301
        assert codes.live(reader, PANEL) == []


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("users", "origin"),
        ("origins", "batch"),
        ("batches", "signer"),
        ("devices", "revised_by"),
        ("origins", "device"),
    ],
)
async def test_row_that_leads_nowhere_ends_the_daemon_once(house: House, table: str, column: str) -> None:
    """Whoever names the person comes upon it; the next start looks closely, and finds it."""
    house.spoil(f"UPDATE {table} SET {column} = {column} + 4096")  # noqa: S608 -- our names
    assert await house.healer.heal(NOON, unclean=False) is None
    restored = await house.healer.heal(NOON, unclean=False, closely=True)
    assert restored is not None
    assert (restored.source, restored.reason) == (
        Source.SNAPSHOT,
        f"a row of {table} names another that is not there",
    )
    async with Store(house.path, DEVICES) as store:
        assert store.unsound() == []
        (again,) = await store.receive([part("b3", 7, person("+27820000001", "Person 1"))], NOON)
        assert again.refused is None


@pytest.mark.parametrize(
    "rot",
    [
        "UPDATE batches SET revision = revision | 1 << 40 WHERE revision = 5",
        "UPDATE batches SET revision = revision - 1 WHERE revision = 5",
        "UPDATE origins SET batch = (SELECT max(batch) FROM batches) WHERE active + pending > 200",
        "UPDATE origins SET digest = digest + 1 WHERE active + pending > 200",
        "UPDATE origins SET gone = 0 WHERE gone",
        "UPDATE users SET origin = (SELECT max(origin) FROM origins) WHERE mobile = 27820000200",
    ],
)
async def test_word_that_became_newer_or_older_by_itself_is_noticed(house: House, rot: str) -> None:
    """By a look as close as every copy of the store gets: whoever is revoked then stays so, and else."""
    house.spoil(rot)
    restored = await house.healer.heal(NOON, unclean=False, closely=True)
    assert restored is not None
    assert restored.reason == "what is kept of a set of users is not what their rows say"
    async with Store(house.path, DEVICES) as store:
        assert store.unsound() == []
        (revoked,) = await store.receive([part("b3", 7, revocations=[gone("+27820000200")])], NOON)
        assert revoked.counts == {"revoked": 1}


async def test_power_cut_at_any_step_of_healing_is_made_good_by_the_next_start(house: House) -> None:
    house.spoil(SOMEBODY)
    house.wreckage.take(house.path, "and here the power went")
    left = house.path.with_name("gateway.db-wal")
    left.write_bytes(b"not moved yet")
    restored = await house.healer.heal(NOON, unclean=True)
    assert restored is not None
    assert (restored.source, restored.reason) == (Source.SNAPSHOT, "it is gone")
    with closing(Reader(house.path)) as reader:
        removed = listed(reader, 1, 27820000007)
        assert removed is not None
        assert removed.grant.status is None
    [place] = house.path.with_name("damaged").iterdir()
    assert (place / left.name).read_bytes() == b"not moved yet"
    assert await house.healer.heal(NOON, unclean=True) is None


async def test_sound_store_is_left_alone(house: House) -> None:
    before = house.path.read_bytes()
    for unclean in (False, True):
        assert await house.healer.heal(NOON, unclean=unclean, closely=True) is None
    assert house.path.read_bytes() == before
    assert house.healer.last() is None


async def test_first_start_of_all_heals_nothing(tmp_path: Path) -> None:
    healer = House(tmp_path).healer
    assert await healer.heal(NOON, unclean=False) is None
    (tmp_path / "gateway.db").touch()
    assert await healer.heal(NOON, unclean=True) is None


@settings(max_examples=scaled(20))
@given(data=st.data())
async def test_any_wreck_is_either_mended_or_passed_over(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever is in the file: a store comes of it, sound, with right seals, and nobody in it whom nobody invited."""
    home = tmp_path_factory.mktemp("wreck")
    house = House(home)
    await house.furnish()
    if data.draw(st.booleans(), label="no copies"):
        await house.snapshots.drop()
    content = bytearray(house.path.read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(content) - 64), min_size=1, max_size=6), label="where"):
        rot = data.draw(st.binary(min_size=1, max_size=64), label="rot")
        content[at : at + len(rot)] = rot
    house.path.write_bytes(content)
    await house.healer.heal(NOON, unclean=False, closely=True)
    house.snapshots.close()
    async with Store(house.path, DEVICES) as store:
        assert store.unsound() == []
        invited = {each["mobile"] for each in crowd(300)} | {"+27824511234"}
        assert {mobile for (_, mobile), user in store.users().items() if user["status"] is not None} <= invited
