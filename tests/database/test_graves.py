"""A store is put back from its copy: whoever was removed after the copy does not come back by a word from before."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest

from protocol.vocabulary import MAX_REVISION
from storage import forgotten
from storage.erasure import erase
from storage.healing import Healer, Source
from storage.snapshot import Snapshots
from storage.store import device_states
from storage.wreckage import Wreckage
from tests.oracle.histories import GATE, HOUR, NOON, PANEL
from tests.oracle.items import Document
from tests.oracle.model import DeviceRule
from tests.oracle.parts import DAVID, SIPHO, THANDI, ZOE, gone, part, person
from tests.oracle.store import Store

OLD, NEW = "thumbprint-of-the-old-key", "thumbprint-of-the-new-key"
SIDE = "2234567890123456"
RULES = {GATE: DeviceRule("fluss+", 3), PANEL: DeviceRule("intercom", 3)}
LATER = NOON + HOUR


class House:
    """A store that is damaged one day; before, and again after, messages come."""

    def __init__(self, home: Path, opened: AsyncExitStack) -> None:
        self.path = home / "gateway.db"
        self.rules = dict(RULES)
        self.snapshots = Snapshots(home / "snapshots", self.path)
        self.healer = Healer(self.path, self.snapshots, Wreckage(home / "damaged"), home / "restored.json")
        self._opened = opened
        self.store: Store

    async def open(self) -> None:
        """The gateway starts."""
        self.store = await self._opened.enter_async_context(Store(self.path, self.rules))

    async def told(self, payload: bytes, signer: str | None = None) -> list[str]:
        """What became of the items of a part, or of the part."""
        (applied,) = await self.store.receive([payload], NOON, signer)
        return [applied.refused.code.value] if applied.refused else sorted(applied.counts)

    async def copied(self) -> None:
        """The last copy is made."""
        await self.snapshots.take()

    async def restored(self, *rot: str) -> None:
        """The card goes bad, also by these statements, and the next start puts the copy in its place."""
        await self._opened.aclose()
        with closing(sqlite3.connect(self.path)) as card, card:
            for spoil in ("UPDATE users SET wifi = 1 - wifi WHERE status IS NOT NULL", *rot):
                card.execute(spoil)
        restored = await self.healer.heal(LATER, unclean=False)
        assert restored is not None
        assert restored.source is Source.SNAPSHOT
        await self.open()
        assert self.store.unsound() == []

    def row(self, mobile: str = DAVID, device: str = GATE) -> Document | None:
        return self.store.users().get((device, mobile))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as opened:
        home = House(tmp_path, opened)
        await home.open()
        assert await home.told(part("b5", 5, person(ZOE, "Zoë"))) == ["added"]
        yield home
        assert home.store.unsound() == []
        home.snapshots.close()


BEFORE = {
    "nobody": part("b3", 3, person(SIPHO, "Sipho")),
    "a resident": part("b3", 3, person()),
    "removed": part("b3", 3, revocations=[gone()]),
}
REMOVED = {
    "by name": part("b7", 7, revocations=[gone()]),
    "by not being on the whole list": part("b7", 7, person(ZOE, "Zoë"), mode="replace"),
}
INVITED = part("b6", 6, person(DAVID, "David M"))


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("removed", REMOVED)
async def test_invite_from_before_a_removal_brings_nobody_back(house: House, before: str, removed: str) -> None:
    """However the copy knew them, and also when a hash is all that is left; a newer word counts."""
    await house.told(BEFORE[before])
    await house.copied()
    await house.told(INVITED)
    await house.told(REMOVED[removed])
    await house.restored()
    assert await house.told(INVITED) == ["superseded"]
    assert house.row() == {**(house.row() or {}), "status": None, "name": None, "revision": 7}
    assert device_states(house.store.reader)[GATE].revision == 7, "no cloud that has lost its own counts on from less"
    assert await house.store.database.transact(lambda store: forgotten.bury(store, NOON)) == 0
    assert await house.store.database.transact(lambda store: forgotten.bury(store, NOON + 1)) > 0, "it is of its day"
    assert await house.told(part("b7-again", 7, person())) == ["superseded"]
    assert await house.told(part("b8", 8, person())) == ["added"]


async def test_part_that_the_broker_brings_again_harms_nobody_else(house: House) -> None:
    """Of a batch that invites in one part and revokes in another, also where only the first comes again."""
    await house.copied()
    await house.told(part("b6", 6, person(THANDI, "Thandi")))
    first = part("b7", 7, person(), person(SIPHO, "Sipho"), part=1, parts=2)
    await house.told(first)
    await house.told(part("b7", 7, revocations=[gone()], part=2, parts=2))
    await house.restored()
    assert await house.told(part("b6", 6, person(THANDI, "Thandi"))) == ["added"]
    assert await house.told(first) == ["added", "superseded"], "neither grave nor limit is in anybody's way"
    standing = {mobile: user["status"] for (_, mobile), user in house.store.users().items()}
    assert standing == {DAVID: None, ZOE: "Pending", THANDI: "Pending", SIPHO: "Pending"}
    assert await house.told(part("b7", 7, revocations=[gone()], part=2, parts=2)) == ["absent"]


async def test_whole_list_that_the_copy_does_not_know_stands_against_everything_older(house: House) -> None:
    """Also for whoever an invite names that was held back all the time: of them there is no grave."""
    await house.copied()
    await house.told(part("b7", 7, person(THANDI, "Thandi"), mode="replace"))
    await house.restored()
    assert await house.told(INVITED) == ["superseded"]
    assert await house.told(part("b7", 7, person(THANDI, "Thandi"), mode="replace")) == ["added"]


def renumbered(moved: int) -> list[str]:
    named = {"signers": "signer", "batches": "signer", "devices": "revised_by", "forgotten": "signer"}
    return [f"UPDATE {table} SET {column} = {column} + {moved} WHERE {column}" for table, column in named.items()]  # noqa: S608 -- our names


@pytest.mark.parametrize("moved", [0, 10])
async def test_grave_is_of_whoever_said_it_under_whichever_number(house: House, moved: int) -> None:
    await house.store.trust(OLD)
    await house.told(part("b6", 6, person()), OLD)
    await house.copied()
    await house.store.trust(OLD, NEW)
    await house.told(part("b9", 9, revocations=[gone()]), NEW)
    await house.restored(*renumbered(moved))
    assert (await house.store.trust(OLD, NEW)).gained == ()
    assert await house.told(part("b8", 8, person()), OLD) == ["superseded"]
    await house.store.trust(OLD)
    assert await house.told(part("b7", 7, person()), OLD) == ["added"], "a key that is taken out keeps nobody away"


async def test_word_of_a_key_that_was_taken_out_takes_no_grave_away(house: House) -> None:
    await house.store.trust(OLD, NEW)
    await house.told(part("b6", 6, person()), OLD)
    await house.told(part("b7", 7, revocations=[gone()]), OLD)
    await house.told(part("forged", MAX_REVISION, person(THANDI, "Thief")), NEW)
    await house.copied()
    await house.store.trust(OLD)
    await house.restored()
    assert (await house.store.trust(OLD)).lost == ()
    assert await house.told(part("b4", 4, person()), OLD) == ["superseded"]
    assert await house.told(part("b8", 8, person()), OLD) == ["added"]


async def test_next_word_after_a_stolen_key_is_the_last_one_though_its_revision_is_lower(house: House) -> None:
    await house.store.trust(OLD, NEW)
    await house.told(part("forged", MAX_REVISION, person(THANDI, "Thief")), NEW)
    await house.copied()
    await house.store.trust(OLD)
    await house.told(part("b6", 6, person()), OLD)
    await house.told(part("b7", 7, revocations=[gone()]), OLD)
    await house.restored()
    assert await house.told(part("b6", 6, person()), OLD) == ["superseded"]
    assert device_states(house.store.reader)[GATE].revision == 7


async def test_each_device_has_a_last_word_of_its_own_also_one_that_came_after_the_copy(house: House) -> None:
    await house.copied()
    house.rules[SIDE] = DeviceRule("fluss+", 3)
    await house.open()
    for revision, device in ((6, GATE), (7, PANEL), (8, SIDE)):
        await house.told(part(f"r{revision}", revision, revocations=[gone()], deviceIds=[device]))
    await house.restored()
    assert await house.told(part("b7", 7, person(), deviceIds=[GATE])) == ["added"]
    assert await house.told(part("b6", 6, person(), deviceIds=[PANEL, SIDE])) == ["superseded"]
    states = device_states(house.store.reader)
    assert {device: state.revision for device, state in states.items()} == {GATE: 7, PANEL: 7, SIDE: 8}


@pytest.mark.parametrize(
    "rot",
    [
        "UPDATE devices SET revision = revision | 1 << 40, replaced = replaced | 1 << 40",
        "UPDATE devices SET revised_by = 3, replaced = 8",
        "UPDATE devices SET seal = seal + 1",
    ],
)
async def test_last_word_that_has_rotted_locks_nobody_out(house: House, rot: str) -> None:
    """Then it is the copy's own."""
    await house.store.trust(OLD)
    await house.told(part("b6", 6, person(ZOE, "Zoë"), mode="replace"), OLD)
    await house.copied()
    await house.told(part("b7", 7, person()), OLD)
    await house.told(part("b8", 8, revocations=[gone()]), OLD)
    await house.restored(rot)
    state = device_states(house.store.reader)[GATE]
    assert (state.revision, state.replaced) == (6, 6)
    assert await house.told(part("b4", 4, person()), OLD) == ["superseded"]
    assert await house.told(part("b7", 7, person()), OLD) == ["added"]


async def test_signer_who_cannot_be_read_is_who_had_the_number_when_the_copy_was_made(house: House) -> None:
    await house.store.trust(OLD)
    await house.copied()
    await house.told(part("b6", 6, person()), OLD)
    await house.told(part("b7", 7, revocations=[gone()]), OLD)
    await house.restored("UPDATE signers SET trusted = 7, thumbprint = 'rot' WHERE signer")
    assert await house.told(part("b6", 6, person()), OLD) == ["superseded"]


async def test_grave_counts_without_its_seal_and_whenever_it_says_it_was_dug(house: House) -> None:
    await house.copied()
    await house.told(INVITED)
    await house.told(part("b7", 7, revocations=[gone(), gone(SIPHO)]))
    await house.restored("UPDATE users SET seal = seal + 1, changed_at = changed_at + (1 << 50) WHERE status IS NULL")
    assert await house.told(INVITED) == ["superseded"]
    assert await house.store.database.transact(lambda store: forgotten.bury(store, LATER)) == 0
    assert await house.store.database.transact(lambda store: forgotten.bury(store, LATER + 1)) == 2


async def test_whoever_is_erased_after_it_stays_so_by_all_that_the_damaged_store_had_heard(house: House) -> None:
    await house.copied()
    await house.told(part("b7", 7, person(THANDI, "Thandi")))
    await house.restored()
    await house.store.database.transact(lambda store: erase(store, int(DAVID), LATER))
    assert await house.told(INVITED) == ["superseded"]
    assert await house.told(part("b8", 8, person())) == ["added"]


@pytest.mark.parametrize("moved", [0, 10])
async def test_who_was_forgotten_by_the_word_of_a_new_key_stays_forgotten(house: House, moved: int) -> None:
    await house.copied()
    await house.store.trust(NEW)
    await house.told(part("b7", 7, revocations=[gone()]), NEW)
    await house.store.database.transact(lambda store: forgotten.bury(store, NOON + 1))
    await house.restored(*renumbered(moved))
    assert house.row() is None
    assert await house.told(INVITED, NEW) == ["superseded"]
