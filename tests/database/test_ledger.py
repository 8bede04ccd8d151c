"""Which parts are known: the same again, another under the same name, and what has expired."""

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import orjson
import pytest

from storage import ledger
from tests.oracle.histories import GATE, NOON, PANEL, STRANGER
from tests.oracle.items import Document
from tests.oracle.model import DeviceRule
from tests.oracle.parts import DAVID, ZOE, document, gone, part, person
from tests.oracle.store import Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    devices = {GATE: DeviceRule("fluss+", 100), PANEL: DeviceRule("intercom", 100)}
    async with Store(tmp_path / "gateway.db", devices) as opened:
        yield opened


async def receipt(store: Store, payload: bytes, now: int = NOON) -> Document:
    """The first receipt that answers a message."""
    said = len(store.reports())
    await store.receive([payload], now)
    return store.reports()[said]


def verdict(said: Document) -> str:
    return str(said["error"]["code"] if said["error"] else said["outcome"])


KNOWN = document("b1", 5, person(), part=1, parts=2, deviceIds=[GATE, PANEL], revocations=[gone(ZOE)])
SAME: list[Document] = [
    {},
    {"issuedAt": NOON - 5},
    {"expiresAt": NOON - 5},
    {"expiresAt": NOON + 5},
    {"colour": "blue"},
    {"deviceIds": [PANEL, GATE, PANEL]},
    {"startDate": None, "schedule": None},
    {"mode": "merge"},
    {"invitees": [{"shoeSize": 44, "mobile": DAVID, "userName": "David"}]},
]
OTHER: list[Document] = [
    {"revision": 6},
    {"parts": 3},
    {"mode": "replace"},
    {"deviceIds": [GATE]},
    {"deviceIds": [GATE, PANEL, STRANGER]},
    {"part": 2, "parts": 3},
    {"permission": "Full"},
    {"startDate": NOON},
    {"endDate": NOON},
    {"schedule": [{"days": ["mon"], "from": "09:00", "until": "17:00"}]},
    {"inviteExpiresAt": NOON + 5},
    {"invitedBy": "office"},
    {"invitees": [person(name="Dave")]},
    {"invitees": []},
    {"invitees": [person(), person(ZOE)]},
    {"revocations": []},
]


@pytest.mark.parametrize("change", SAME, ids=str)
async def test_same_part_again_is_replayed(store: Store, change: Document) -> None:
    first = await receipt(store, orjson.dumps(KNOWN))
    again = await receipt(store, orjson.dumps(KNOWN | change), NOON + 10)
    assert verdict(again) == "replayed"
    assert again["counts"] == first["counts"] == {"added": 2, "absent": 2}
    assert [(resend.first, resend.last) for resend in store.resends()] == [(first["reportId"] + 1,) * 2]


@pytest.mark.parametrize("change", OTHER, ids=str)
async def test_other_content_under_a_known_name_is_a_conflict(store: Store, change: Document) -> None:
    await receipt(store, orjson.dumps(KNOWN))
    before = store.observed()
    twisted = orjson.dumps(KNOWN | change)
    said = await receipt(store, twisted)
    assert (said["outcome"], verdict(said)) == ("rejected", "batch_conflict")
    assert said["payloadSha256"] == sha256(twisted).hexdigest()
    assert store.observed() | {"reports": 0} == before | {"reports": 0}


@pytest.mark.parametrize("change", OTHER[:6], ids=str)
async def test_other_part_with_another_header_is_a_conflict(store: Store, change: Document) -> None:
    await receipt(store, orjson.dumps(KNOWN))
    assert verdict(await receipt(store, orjson.dumps(KNOWN | {"part": 2} | change))) == "batch_conflict"


async def test_other_parts_of_a_batch_may_say_other_things(store: Store) -> None:
    """Only the header is the batch's; permission and dates are the part's own."""
    await receipt(store, orjson.dumps(KNOWN))
    second = KNOWN | {"part": 2, "permission": "Tenant", "invitees": [person("+26771234567")], "revocations": []}
    assert verdict(await receipt(store, orjson.dumps(second))) == "applied"


@pytest.mark.parametrize("together", [True, False])
async def test_revision_belongs_to_one_batch(store: Store, together: bool) -> None:
    payloads = [part("b1", 5, person()), part("b2", 5, person(ZOE))]
    for group in [payloads] if together else [[payload] for payload in payloads]:
        await store.receive(group, NOON)
    assert verdict(store.reports()[-1]) == "revision_conflict"
    assert (GATE, ZOE) not in store.users()


async def test_expired_part_is_refused_and_leaves_its_name_and_revision_free(store: Store) -> None:
    assert verdict(await receipt(store, part("b1", 5, person(), expiresAt=NOON))) == "expired"
    assert verdict(await receipt(store, part("b2", 5, person(), expiresAt=NOON + 1))) == "applied"
    assert verdict(await receipt(store, part("b1", 6, person(name="Dave")))) == "applied"


async def test_part_that_comes_twice_in_a_group_is_applied_once(store: Store) -> None:
    await store.receive([part("b1", 1, person())] * 3, NOON)
    assert [verdict(each) for each in store.reports() if "outcome" in each] == [
        "applied", "complete", "replayed", "replayed",
    ]  # fmt: skip
    assert [(resend.after, resend.first, resend.last) for resend in store.resends()] == [(4, 2, 2), (5, 2, 2)]


async def test_part_of_nothing_but_unusable_rows_is_known_all_the_same(store: Store) -> None:
    bad = part("b1", 1, person("082 45"))
    assert [verdict(await receipt(store, bad)), verdict(await receipt(store, bad))] == ["applied", "replayed"]


async def test_forgotten_are_old_batches_that_no_user_names(store: Store) -> None:
    await store.receive([part("b1", 1, person()), part("b2", 2, person(ZOE), part=1, parts=2)], NOON)
    await store.receive([part("b3", 3, person(name="Dave"))], NOON)
    await store.receive([part("b4", 4, person("082 45"))], NOON + 1)

    async def forget(before: int) -> int:
        return await store.database.transact(lambda transaction: ledger.forget(transaction, before))

    assert [await forget(NOON), await forget(NOON + 1), await forget(NOON + 2)] == [0, 1, 1]
    assert store.reader.fetch("SELECT batch_id FROM batches ORDER BY batch_id") == [("b2",), ("b3",)]
    assert "foreign keys" not in store.unsound()
