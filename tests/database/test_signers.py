"""Whose word counts: what a key has signed outlives the key on the list, and nowhere else."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from protocol.vocabulary import MAX_REVISION
from storage.outbox import ask_batch_again
from storage.replace import next_silence
from storage.signers import Shift
from storage.store import device_states, held_batches
from tests.oracle.histories import GATE, NOON
from tests.oracle.items import Document
from tests.oracle.model import DeviceRule
from tests.oracle.parts import DAVID, ZOE, crowd, gone, part, person
from tests.oracle.store import Store

OLD, NEW, STOLEN = "thumbprint-of-the-old-key", "thumbprint-of-the-new-key", "thumbprint-of-the-stolen-key"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(tmp_path / "gateway.db", {GATE: DeviceRule("fluss+", 100)}) as opened:
        yield opened
        assert opened.unsound() == []


async def outcomes(store: Store, payload: bytes, signer: str | None) -> list[str]:
    """What became of a part: its refusal, or what became of its items."""
    (applied,) = await store.receive([payload], NOON, signer)
    return [applied.refused.code.value] if applied.refused else sorted(applied.counts)


def name(store: Store, mobile: str = DAVID) -> Document:
    user = store.users()[GATE, mobile]
    return {"name": user["name"], "revision": user["revision"], "status": user["status"]}


async def test_stolen_key_that_signed_the_last_revision_there_is_locks_nobody_out(store: Store) -> None:
    await store.trust(OLD, STOLEN)
    await outcomes(store, part("genuine", 5, person(), person(ZOE, "Zoë")), OLD)
    forged = part("forged", MAX_REVISION, person(DAVID, "Thief"), mode="replace")
    assert await outcomes(store, forged, STOLEN) == ["updated"]
    assert await outcomes(store, part("next", 6, person(DAVID, "David")), OLD) == ["superseded"]

    assert await store.trust(OLD) == Shift((), (STOLEN,))
    assert name(store) == {"name": "Thief", "revision": MAX_REVISION, "status": "Pending"}, "the list stays as it was"
    assert device_states(store.reader)[GATE].revision == 0
    assert await outcomes(store, part("after", 7, person(DAVID, "David"), person(ZOE, "Zoë")), OLD) == [
        "added",
        "updated",
    ]
    assert name(store) == {"name": "David", "revision": 7, "status": "Pending"}
    assert device_states(store.reader)[GATE].revision == 7


async def test_tombstone_of_a_key_that_was_taken_out_keeps_nobody_away(store: Store) -> None:
    await store.trust(STOLEN)
    await outcomes(store, part("forged", MAX_REVISION, revocations=[gone(DAVID)]), STOLEN)
    await store.trust(NEW)
    assert await outcomes(store, part("genuine", 1, person()), NEW) == ["added"]


async def test_replace_names_whoever_a_removed_key_put_there(store: Store) -> None:
    """The first whole list of the successor takes off what the thief put on."""
    await store.trust(STOLEN)
    await outcomes(store, part("forged", MAX_REVISION, person(DAVID, "Thief")), STOLEN)
    await store.trust(NEW)
    await outcomes(store, part("genuine", 1, person(ZOE, "Zoë"), mode="replace"), NEW)
    assert name(store)["status"] is None


async def test_key_that_is_rotated_keeps_its_list_and_its_order(store: Store) -> None:
    """Both are trusted for a while; then the old one goes, when everything has been said again with the new one."""
    await store.trust(OLD)
    await outcomes(store, part("b1", 5, person()), OLD)
    assert await store.trust(OLD, NEW) == Shift((NEW,), ())
    assert await outcomes(store, part("late", 4, person(DAVID, "Dave")), NEW) == ["superseded"]
    assert await outcomes(store, part("b2", 6, person()), NEW) == ["unchanged"]
    assert await store.trust(NEW) == Shift((), (OLD,))
    again = await outcomes(store, part("late", 4, person(DAVID, "Dave")), NEW)
    assert again == ["superseded"], "what was said again is the new key's word"
    before = store.reader.fetch("PRAGMA data_version")
    assert await store.trust(NEW) == Shift((), ()), "the same keys again are no news"
    assert store.reader.fetch("PRAGMA data_version") == before, "and cost the card nothing"


@pytest.mark.parametrize("same_revision", [True, False])
async def test_name_and_revision_of_a_batch_are_free_when_its_key_is_gone(store: Store, same_revision: bool) -> None:
    await store.trust(STOLEN)
    await outcomes(store, part("b1", 5, person(DAVID, "Thief")), STOLEN)
    await store.trust(NEW)
    again = part("b1", 5 if same_revision else 6, person())
    assert await outcomes(store, again, NEW) == ["updated"]
    assert await outcomes(store, again, NEW) == ["updated"], "the stored counts of the part, sent again"
    assert [report["outcome"] for report in store.reports() if "outcome" in report][-1] == "replayed"
    assert await store.database.transact(lambda transaction: ask_batch_again(transaction, "b1")) == 4


async def test_part_under_another_signature_does_not_join_a_batch(store: Store) -> None:
    """A stolen key adds nobody to a list that another key has begun."""
    await store.trust(OLD, STOLEN)
    first = part("b1", 5, person(), part=1, parts=2)
    await outcomes(store, first, OLD)
    assert await outcomes(store, part("b1", 5, person(ZOE, "Thief"), part=2, parts=2), STOLEN) == ["batch_conflict"]
    assert await outcomes(store, first, STOLEN) == ["added"], "the same part is the same, whoever says it again"
    assert await outcomes(store, part("b1", 5, person(ZOE, "Zoë"), part=2, parts=2), OLD) == ["added"]


async def test_what_a_removed_key_left_open_is_neither_confirmed_nor_missed(store: Store) -> None:
    await store.trust(OLD, STOLEN)
    await outcomes(store, part("genuine", 1, *crowd(30)), OLD)
    await outcomes(store, part("emptied", 2, mode="replace"), STOLEN)
    await outcomes(store, part("half", 3, person(), part=1, parts=2), STOLEN)
    assert [batch.batch_id for batch in held_batches(store.reader, device_states(store.reader))] == ["emptied"]
    assert next_silence(store.reader, 0) == NOON
    await store.trust(OLD)
    assert held_batches(store.reader, device_states(store.reader)) == []
    assert next_silence(store.reader, 0) is None
    assert await store.confirm("emptied", NOON) is None
    assert await store.remind(NOON, NOON) == 0
    assert device_states(store.reader)[GATE].pending == 31


async def test_unsigned_list_counts_until_there_is_a_key_and_stays(store: Store) -> None:
    await outcomes(store, part("unsigned", 900, person()), None)
    assert await store.trust(NEW) == Shift((NEW,), (None,))
    assert name(store)["revision"] == 900
    assert await outcomes(store, part("signed", 1, person(DAVID, "Dave")), NEW) == ["updated"]
    assert await store.trust() == Shift((None,), (NEW,))
    assert await outcomes(store, part("unsigned-again", 2, person()), None) == ["updated"]
    assert await outcomes(store, part("unsigned-late", 1, person(DAVID, "Dave")), None) == ["superseded"]


async def test_key_that_comes_back_finds_its_word_again(store: Store) -> None:
    await store.trust(OLD)
    await outcomes(store, part("b1", 50, person()), OLD)
    await store.trust(NEW)
    await store.trust(OLD, NEW)
    assert await outcomes(store, part("b2", 49, person(DAVID, "Dave")), NEW) == ["superseded"]
    assert await outcomes(store, part("b1", 50, person()), OLD) == ["added"]
