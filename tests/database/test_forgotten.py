"""Of people who are forgotten a hash is kept, and it does what their tombstone did."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.store_path import key_file
from protocol.vocabulary import MAX_REVISION
from storage import forgotten
from storage.database import Database, Rows, StorageFault, Transaction
from storage.erasure import erase, is_unswept, swept
from storage.hashing import KEY, KEY_BYTES, hashing, key_in
from storage.store import device_states
from tests.oracle.histories import GATE, NOON, PANEL
from tests.oracle.model import DeviceRule
from tests.oracle.parts import DAVID, SIPHO, THANDI, ZOE, gone, part, person
from tests.oracle.store import Store

DAY = 86_400_000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    devices = {GATE: DeviceRule("fluss+", 100), PANEL: DeviceRule("intercom", 100)}
    async with Store(tmp_path / "gateway.db", devices) as opened:
        yield opened
        assert opened.unsound() == []


@pytest.mark.parametrize(("held", "used"), [(b"k" * KEY_BYTES, True), (b"\n", False), (b"7f" * 32 + b"\n", False)])
async def test_key_is_a_credential_where_there_is_one_and_the_store_opens_in_any_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: bytes, used: bool
) -> None:
    """Somebody gave 64 hex digits: the credential cannot be made anew, and the gate must work."""
    credentials, state_dir = tmp_path / "credentials", tmp_path / "state"
    for folder in (credentials, state_dir):
        folder.mkdir()
    (credentials / KEY).write_bytes(held)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    async with Database(state_dir / "gateway.db", key_file=key_file(state_dir)):
        assert (credentials / KEY).read_bytes() == held
        assert (state_dir / KEY).exists() != used


async def bury(store: Store, before: int) -> int:
    return await store.database.transact(lambda transaction: forgotten.bury(transaction, before))


async def forget(store: Store, mobile: str = DAVID) -> dict[str, int]:
    erased = await store.database.transact(lambda transaction: erase(transaction, int(mobile), NOON))
    return dict(erased.counts)


async def told(store: Store, payload: bytes, signer: str | None = None) -> list[tuple[str, str | None, bool]]:
    """What the results of a part say: outcome, number, and whether it is somebody's who is erased."""
    await store.receive([payload], NOON, signer)
    results = [each for each in store.reports() if "results" in each][-1]["results"]
    return [(each["outcome"], each["mobile"], each.get("erased", False)) for each in results]


async def test_tombstone_becomes_a_hash_when_it_is_old_and_not_before(store: Store) -> None:
    await store.receive([part("b1", 1, person(), person(ZOE, "Zoë"))], NOON)
    await store.receive([part("b2", 5, revocations=[gone(DAVID)])], NOON + DAY)
    states = device_states(store.reader)
    assert await bury(store, NOON + DAY) == 0
    assert (GATE, DAVID) in store.users()
    assert await bury(store, NOON + DAY + 1) == 1
    assert store.users().keys() == {(GATE, ZOE)}
    assert device_states(store.reader) == states, "nobody can see it from outside"
    ((kept,),) = store.reader.fetch("SELECT hash FROM forgotten WHERE device = 1")
    assert kept != int(DAVID)
    assert await told(store, part("late", 4, person())) == [("superseded", None, True)]
    assert await told(store, part("same", 3, revocations=[gone(DAVID)])) == [("superseded", None, True)]
    assert await told(store, part("new", 6, person())) == [("added", DAVID, False)]


async def test_hash_of_one_device_keeps_nobody_from_another(store: Store) -> None:
    await store.receive([part("b1", 5, revocations=[gone(DAVID)])], NOON)
    await bury(store, NOON + 1)
    assert await told(store, part("late", 4, person(), deviceIds=[GATE, PANEL])) == [
        ("superseded", None, True),
        ("added", DAVID, False),
    ]


async def test_somebody_forgotten_who_is_revoked_again_leaves_no_number(store: Store) -> None:
    await store.receive([part("b1", 5, revocations=[gone(DAVID)])], NOON)
    await bury(store, NOON + 1)
    assert await told(store, part("b2", 8, revocations=[gone(DAVID)])) == [("absent", None, True)]
    assert (GATE, DAVID) not in store.users()
    assert await told(store, part("late", 7, person())) == [("superseded", None, True)]
    assert await told(store, part("new", 9, person())) == [("added", DAVID, False)]


async def test_newest_word_on_somebody_counts_whichever_key_said_it(store: Store) -> None:
    await store.trust("one", "other")
    await store.receive([part("b1", 5, revocations=[gone(DAVID)])], NOON, "one")
    await bury(store, NOON + 1)
    assert await told(store, part("b2", 8, revocations=[gone(DAVID)]), "other") == [("absent", None, True)]
    assert await told(store, part("late", 7, person()), "one") == [("superseded", None, True)]
    assert await told(store, part("new", 9, person()), "one") == [("added", DAVID, False)]


async def test_extent_tells_of_everybody_who_is_taken_away_and_of_nothing_else(store: Store) -> None:
    def extent() -> tuple[int, int]:
        return forgotten.extent(store.reader)

    await forget(store, THANDI)
    assert extent() == (0, 0), "nobody has said anything yet, so there is nothing to stand over"
    await store.receive([part("b1", 1, person(), person(ZOE, "Zoë"))], NOON)
    await forget(store, THANDI)
    assert extent() == (1, 1)
    await store.receive([part("b2", 5, revocations=[gone(DAVID)])], NOON)
    assert extent() == (1, 1)
    await bury(store, NOON + 1)
    assert extent() == (2, 6)
    await store.receive([part("b3", 8, revocations=[gone(DAVID)])], NOON)
    assert extent() == (2, 9)


async def test_no_number_is_hashed_where_nobody_is_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of thousands is asked about with every part."""
    asked: list[str] = []
    fetch = Transaction.fetch

    async def noted(self: Transaction, sql: str, parameters: Sequence[Any] = ()) -> Rows:
        asked.append(sql)
        return await fetch(self, sql, parameters)

    async def ranks(*mobiles: str) -> tuple[dict[int, int], int]:
        asked.clear()
        numbers = [int(mobile) for mobile in mobiles]
        return await store.database.transact(lambda transaction: forgotten.ranks(transaction, 1, numbers)), len(asked)

    monkeypatch.setattr(Transaction, "fetch", noted)
    assert await ranks(DAVID, ZOE) == ({}, 1)
    await store.receive([part("b1", 5, revocations=[gone(DAVID)])], NOON)
    await bury(store, NOON + 1)
    assert await ranks(DAVID, ZOE) == ({int(DAVID): 5}, 2)
    assert await ranks() == ({}, 0)


async def test_rejected_row_names_nobody_who_is_forgotten(store: Store) -> None:
    await forget(store)
    await store.receive([part("b1", 5, person(ZOE, "Zoë"))], NOON)
    await forget(store)
    assert await told(store, part("b2", 6, person(name=""), person(ZOE, ""))) == [
        ("rejected", None, True),
        ("rejected", ZOE, False),
    ]
    unassigned = f"+27{'9' * 9}"
    await forget(store, unassigned)
    (result,) = await told(store, part("b3", 2, person(unassigned)))
    assert result == ("superseded", None, True)
    assert "999" not in str([each for each in store.reports() if each.get("batchId") == "b3"])


async def test_replace_spares_nobody_by_a_row_that_is_older_than_their_erasure(store: Store) -> None:
    await store.receive([part("b9", 9, person(ZOE, "Zoë"))], NOON)
    await forget(store)
    first = part("r", 8, person(name=""), person(SIPHO, "Sipho"), mode="replace", part=1, parts=2)
    assert ("rejected", None, True) in await told(store, first)
    assert store.reader.fetch("SELECT count(*) FROM spared") == [(0,)]
    newer = part("r2", 10, person(name=""), mode="replace", part=1, parts=2)
    await store.receive([newer], NOON)
    assert store.reader.fetch("SELECT count(*) FROM spared") == [(1,)], "it may be the last word on them"


async def test_erased_everywhere_also_where_no_device_is_configured_yet(store: Store) -> None:
    await store.receive([part("b1", 5, person(), person(ZOE, "Zoë"), invitedBy=DAVID)], NOON)
    before = device_states(store.reader)[GATE]
    assert await forget(store) == {"users": 1, "codes": 0, "events": 0, "reports": 1}
    assert store.users().keys() == {(GATE, ZOE)}
    assert store.users()[GATE, ZOE]["invited_by"] is None
    after = device_states(store.reader)[GATE]
    assert (after.pending, after.digest) == (before.pending - 1, after.digest)
    assert after.digest != before.digest
    assert await told(store, part("late", 4, person(), deviceIds=[PANEL])) == [("superseded", None, True)]


async def test_erasure_stands_over_the_newest_of_all_batches(store: Store) -> None:
    for revision in (3, 9, 4):
        await store.receive([part(f"b{revision}", revision, person(ZOE, "Zoë"))], NOON)
    await forget(store)
    assert await told(store, part("late", 8, person())) == [("superseded", None, True)]
    assert await told(store, part("new", 10, person())) == [("added", DAVID, False)]


async def test_rest_of_the_batch_that_was_the_newest_then_brings_nobody_back(store: Store) -> None:
    await store.receive([part("b1", 5, person(), part=1, parts=2)], NOON)
    await forget(store)
    rest = part("b1", 5, person(), person(ZOE, "Zoë"), part=2, parts=2)
    assert await told(store, rest) == [("superseded", None, True), ("added", ZOE, False)]


async def test_notes_of_others_lose_the_number_and_nothing_else(store: Store) -> None:
    await store.receive([part("b1", 5, person(ZOE, "Zoë", notes="Unit 4, David: 082 451 1234, 12345678"))], NOON)
    await forget(store)
    assert store.users()[GATE, ZOE]["notes"] == "Unit 4, David: <erased>, 12345678"


async def test_erasure_of_somebody_nobody_knows_is_done_too(store: Store) -> None:
    assert not any((await forget(store, THANDI)).values())
    assert is_unswept(store.reader)
    await store.database.transact(swept)
    assert not is_unswept(store.reader)


async def test_word_of_a_key_that_was_taken_out_keeps_nobody_erased_for_ever(store: Store) -> None:
    """A stolen key signed the last revision there is; whose word the erasure stands over is told by signer."""
    await store.trust("genuine", "stolen")
    await store.receive([part("b1", 5, person())], NOON, "genuine")
    await store.receive([part("forged", MAX_REVISION, person(ZOE, "Thief"))], NOON, "stolen")
    await forget(store)
    await store.trust("genuine")
    assert await told(store, part("late", 4, person()), "genuine") == [("superseded", None, True)]
    assert await told(store, part("next", 6, person()), "genuine") == [("added", DAVID, False)]


async def test_erased_is_whoever_was_not_invited_again(store: Store) -> None:
    async def is_erased() -> tuple[bool, bool]:
        async def work(transaction: Transaction) -> tuple[bool, bool]:
            now = await forgotten.is_erased(transaction, int(DAVID))
            return now, await forgotten.was_erased(transaction, int(DAVID))

        return await store.database.transact(work)

    await store.receive([part("b1", 5, person())], NOON)
    assert await is_erased() == (False, False)
    await forget(store)
    assert await is_erased() == (True, True)
    await store.receive([part("b2", 6, person())], NOON)
    assert await is_erased() == (False, True)


async def test_whoever_was_only_revoked_was_not_erased(store: Store) -> None:
    await store.receive([part("b1", 5, revocations=[gone(DAVID)])], NOON)
    await bury(store, NOON + 1)
    assert not await store.database.transact(lambda transaction: forgotten.was_erased(transaction, int(DAVID)))


def test_key_is_made_once_and_is_nobody_elses_business(tmp_path: Path) -> None:
    file = tmp_path / KEY
    key = key_in(file)
    assert (len(key), key_in(file), file.stat().st_mode & 0o777) == (KEY_BYTES, key, 0o600)
    assert hashing(key)(27824511234) != hashing(key_in(tmp_path / "other"))(27824511234)
    file.write_bytes(key[:-1])
    assert len(key_in(file)) == KEY_BYTES, "a damaged one is not used"


async def test_key_that_cannot_be_read_is_a_fault_of_the_store(tmp_path: Path) -> None:
    (tmp_path / KEY).mkdir()
    with pytest.raises(StorageFault, match=KEY):
        async with Database(tmp_path / "gateway.db"):
            pass
