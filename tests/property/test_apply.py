"""Whatever comes, in whatever order and however often: the store holds and says what the contract says."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings

from tests.oracle.histories import HOUR, NOON, History, Step, histories
from tests.oracle.model import Gateway
from tests.oracle.store import Store, expected


def gateway(history: History) -> Gateway:
    return Gateway("gw-1", history.devices, history.share, history.users)


def tell(model: Gateway, step: Step, now: int) -> None:
    if step.name == "deliver":
        for payload in step.arguments[0]:
            model.receive(payload, now)
    elif step.name == "remind":
        model.remind(now - HOUR, now)
    else:
        getattr(model, step.name)(*step.arguments, now)


async def happen(store: Store, step: Step, now: int, *, together: bool = True) -> None:
    if step.name == "deliver":
        payloads = step.arguments[0]
        for group in [payloads] if together else [[payload] for payload in payloads]:
            await store.receive(group, now)
    elif step.name == "remind":
        await store.remind(now - HOUR, now)
    else:
        await getattr(store, step.name)(*step.arguments, now)


@settings(max_examples=200)
@given(histories())
def test_apply_does_what_the_contract_says(history: History) -> None:
    async def live(path: Path) -> None:
        model, now = gateway(history), NOON
        async with Store(path, history.devices, history.share, history.users) as store:
            for step in history.steps:
                now += step.after
                tell(model, step, now)
                await happen(store, step, now)
                assert store.observed() == expected(model)
            assert store.unsound() == []

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live(Path(folder) / "gateway.db"))
