"""Whatever comes, in whatever order and however often: the store holds and says what the contract says."""

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from hypothesis import given, settings

from tests.oracle.histories import HOUR, MOMENTS, NOON, History, Step, histories
from tests.oracle.items import Document
from tests.oracle.model import Gateway
from tests.oracle.store import Store, expected


def in_a_store(history: History, live: Callable[[Store], Awaitable[Document]]) -> Document:
    async def run(path: Path) -> Document:
        async with Store(path, history.devices, history.share, history.users) as store:
            seen = await live(store)
            assert store.unsound() == []
            return seen

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(Path(folder) / "gateway.db"))


def told(model: Gateway, step: Step, now: int) -> None:
    if step.name == "deliver":
        for payload in step.arguments[0]:
            model.receive(payload, now)
    elif step.name == "remind":
        model.remind(now - HOUR, now)
    elif step.name != "restart":
        getattr(model, step.name)(*step.arguments, now)


async def happens(store: Store, step: Step, now: int, *, together: bool = True) -> None:
    if step.name == "deliver":
        payloads = step.arguments[0]
        for group in [payloads] if together else [[payload] for payload in payloads]:
            await store.receive(group, now)
    elif step.name == "remind":
        await store.remind(now - HOUR, now)
    elif step.name == "restart":
        await store.restart()
    else:
        await getattr(store, step.name)(*step.arguments, now)


@settings(max_examples=200)
@given(histories())
def test_apply_does_what_the_contract_says(history: History) -> None:
    async def live(store: Store) -> Document:
        model, now = Gateway("gw-1", history.devices, history.share, history.users), NOON
        for step in history.steps:
            now += step.after
            told(model, step, now)
            await happens(store, step, now)
            assert store.observed() == expected(model)
        return {}

    in_a_store(history, live)


@settings(max_examples=50)
@given(histories())
def test_apply_is_the_same_however_parts_share_transactions(history: History) -> None:
    """To the last byte of the reports; and confirming what is held does the same afterwards."""

    async def live(store: Store, groups: list[list[bytes]]) -> Document:
        for group in groups:
            await store.receive(group, NOON)
        for batch_id in history.batch_ids:
            await store.confirm(batch_id, NOON)
        return store.observed() | {"wire": store.reports()}

    payloads = history.payloads
    alone = in_a_store(history, lambda store: live(store, [[payload] for payload in payloads]))
    assert in_a_store(history, lambda store: live(store, [payloads])) == alone


@settings(max_examples=50)
@given(histories())
def test_apply_again_changes_nothing_and_sends_the_same_reports(history: History) -> None:
    """Every part that was applied comes again, though it has expired since."""

    async def live(store: Store) -> Document:
        applied = [each for payload in history.payloads for each in await again_if_applied(store, payload)]
        users, said, states = store.users(), store.reports(), store.observed()["devices"]
        asked = len(store.resends())
        await store.receive(applied, NOON)
        assert store.users() == users
        assert store.observed()["devices"] == states
        assert store.reports()[: len(said)] == said
        receipts = store.reports()[len(said) :]
        assert [receipt["outcome"] for receipt in receipts] == ["replayed"] * len(applied)
        sent = {
            (report["batchId"], report["part"]): [r["reportId"] for r in said if is_statuses_of(r, report)]
            for report in receipts
        }
        assert [list(range(resend.first, resend.last + 1)) for resend in store.resends()[asked:]] == [
            numbers for numbers in sent.values() if numbers
        ]
        return {}

    in_a_store(history, live)


async def again_if_applied(store: Store, payload: bytes) -> list[bytes]:
    """The same part as a slow broker brings it once more, if it is applied."""
    (applied,) = await store.receive([payload], NOON)
    if applied.verdict != "applied":
        return []
    return [json.dumps(json.loads(payload) | {"issuedAt": NOON, "expiresAt": MOMENTS[0]}).encode()]


def is_statuses_of(report: Document, receipt: Document) -> bool:
    return "results" in report and (report["batchId"], report["part"]) == (receipt["batchId"], receipt["part"])
