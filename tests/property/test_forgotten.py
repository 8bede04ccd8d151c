"""Whether a tombstone is kept or a hash in its place: nobody can tell by who is on the lists."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings

from storage import forgotten
from tests.counterparts.soak import scaled
from tests.oracle.histories import NOON, History, histories
from tests.oracle.items import Document
from tests.oracle.store import Store
from tests.property.test_apply import happens


def lived(history: History, *, forgetful: bool) -> list[Document]:
    """Who is on the lists after each step of a history; a forgetful store buries whoever goes, at once."""

    async def live(path: Path) -> list[Document]:
        async with Store(path, history.devices, history.share, history.users) as store:
            seen, now = [], NOON
            for step in history.steps:
                now += step.after
                await happens(store, step, now, together=False)
                if forgetful:
                    await store.database.transact(lambda transaction: forgotten.bury(transaction, 1 << 60))
                    assert None not in {user["status"] for user in store.users().values()}
                people = {key: user for key, user in store.users().items() if user["status"] is not None}
                seen.append({"users": people, "devices": store.observed()["devices"]})
            assert store.unsound() == []
            return seen

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(live(Path(folder) / "gateway.db"))


@settings(max_examples=scaled(30))
@given(histories())
def test_hash_does_what_a_tombstone_did(history: History) -> None:
    assert lived(history, forgetful=True) == lived(history, forgetful=False)
