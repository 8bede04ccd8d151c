"""The access log beside a plain list of what happened: the same events, whatever is sent, forgotten or asked for."""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.events import Event
from protocol.vocabulary import Action, Channel, ClockState
from storage import events
from storage.events import Recorded
from tests.oracle.histories import GATE, HOUR, NOON, PANEL, STRANGER
from tests.oracle.model import DeviceRule
from tests.oracle.store import Store

MOST = 1 << 30
BOOT_OF_1970 = 600_000
DEVICES = {GATE: DeviceRule("fluss+", 100), PANEL: DeviceRule("intercom", 100)}
OPENED = Event(
    at=NOON,
    device_id=GATE,
    request="r-1",
    mobile=27824511234,
    name="David",
    channel=Channel.BLUETOOTH,
    action=Action.TRIGGER,
    reason=None,
    note=None,
    clock=ClockState.SYNCED,
    opened=None,
    actuated=True,
    error=None,
)

times = st.sampled_from([NOON + hours * HOUR for hours in range(-2, 4)])
several = st.lists(st.builds(replace, st.just(OPENED), at=times, device_id=st.sampled_from([GATE, PANEL])), max_size=30)


def log_of(happened: Sequence[Event]) -> list[Recorded]:
    return [Recorded(number, event) for number, event in enumerate(happened, 1)]


async def record(store: Store, happened: Sequence[Event]) -> int:
    return await store.database.transact(lambda transaction: events.record(transaction, happened))


@settings(max_examples=40)
@given(
    happened=several,
    device_ids=st.none() | st.sets(st.sampled_from([GATE, PANEL, STRANGER])),
    since=st.none() | times,
    until=st.none() | times,
    most=st.integers(1, 8),
)
def test_search_finds_what_was_asked_for_page_by_page(
    happened: list[Event], device_ids: set[str] | None, since: int | None, until: int | None, most: int
) -> None:
    """The newest number first, whatever the clock said; and the pages together are the whole, each number once."""
    wanted = [
        recorded
        for recorded in reversed(log_of(happened))
        if (device_ids is None or recorded.event.device_id in device_ids)
        and (since is None or since <= recorded.event.at)
        and (until is None or recorded.event.at < until)
    ]

    async def found(store: Store) -> list[Recorded]:
        await record(store, happened)
        pages: list[Recorded] = []
        before = None
        for _ in range(len(happened) + 1):
            page = events.search(
                store.reader, device_ids=device_ids, since=since, until=until, before=before, most=most
            )
            assert len(page) <= most
            if not page:
                break
            pages += page
            before = page[-1].number
        return pages

    assert in_a_store(found) == wanted


@dataclass
class Log:
    """The same log, kept in the plainest way: every event there ever was, and where the kept ones begin."""

    happened: list[Event] = field(default_factory=list)
    oldest: int = 1
    sent: int = 0

    def prune(self, before: int, most: int) -> None:
        """Walk from the oldest to the first event that is too young; those without a date go with an old one after."""
        old = self.oldest - 1
        for number, event in list(enumerate(self.happened, 1))[self.oldest - 1 :]:
            if event.clock is ClockState.UNKNOWN:
                continue
            if event.at >= before:
                break
            old = number
        self.oldest = max(self.oldest, min(old, self.sent) + 1, len(self.happened) - max(most, 1) + 1)

    def observed(self) -> dict[str, Any]:
        newest = len(self.happened)
        return {
            "log": log_of(self.happened)[self.oldest - 1 :],
            "span": (self.sent, self.oldest, newest),
            "intent": max([event.intent or 0 for event in self.happened], default=0),
            "unrecorded": set(),
        }


def observed(store: Store, happened: Sequence[Event]) -> dict[str, Any]:
    where = events.span(store.reader)
    intents = {event.intent for event in happened if event.intent is not None}
    return {
        "log": events.events(store.reader, 0, MOST, MOST),
        "span": (where.sent, where.oldest, where.newest),
        "intent": events.last_intent(store.reader),
        "unrecorded": intents - events.recorded_intents(store.reader, intents),
    }


moments = st.sampled_from([BOOT_OF_1970, *(NOON + hours * HOUR for hours in range(4)), NOON + 1_000_000 * HOUR])
steps = st.one_of(
    st.tuples(st.just("record"), st.lists(st.tuples(moments, st.sampled_from(ClockState), st.booleans()), max_size=4)),
    st.tuples(st.just("sent"), st.integers(0, 20)),
    st.tuples(st.just("prune"), moments, st.integers(0, 6) | st.just(MOST)),
    st.tuples(st.just("restart")),
)


@settings(max_examples=60)
@given(st.lists(steps, max_size=25))
def test_log_is_what_a_plain_list_would_be(history: list[tuple[Any, ...]]) -> None:
    """Whatever happens in whatever order: no gap, no number twice, and every intent stays recorded."""
    numbers = iter(range(1, 1 << 20))

    async def live(store: Store) -> None:
        model = Log()
        for name, *arguments in history:
            if name == "record":
                happened = [
                    replace(OPENED, at=at, clock=clock, request=f"r-{at}", intent=next(numbers) if moves else None)
                    for at, clock, moves in arguments[0]
                ]
                model.happened += happened
                assert await record(store, happened) == len(model.happened)
            elif name == "sent":
                model.sent = max(model.sent, min(arguments[0], len(model.happened)))
                await store.database.transact(partial(events.sent, through=arguments[0]))
            elif name == "prune":
                (before, most), oldest = arguments, model.oldest
                model.prune(before, most)
                gone = await store.database.transact(partial(events.prune, before=before, most=most))
                assert gone == model.oldest - oldest
            else:
                await store.restart()
            assert observed(store, model.happened) == model.observed()

    in_a_store(live)


def in_a_store(live: Callable[[Store], Any]) -> Any:  # noqa: ANN401 -- whatever the life gives
    async def run(path: Path) -> Any:  # noqa: ANN401 -- the same
        async with Store(path, DEVICES) as store:
            return await live(store)

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(Path(folder) / "gateway.db"))
