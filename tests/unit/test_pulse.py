"""The pulse without a daemon, where the card is slow and somebody asks in its last moment."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.bench import Pulsed
from agent.config import load
from agent.intents import Intent, Intents
from agent.ownership import Occupied, owned
from agent.pulse import pulse
from storage import events
from storage.database import Reader
from tests.counterparts.agent import Agent
from tests.counterparts.board import Board, moves
from tests.counterparts.cloud import GATE, mobile, part, people
from tests.counterparts.left import left
from tests.counterparts.premises import wired

NOW = 1_795_300_000_000


async def test_resident_who_asks_as_the_test_ends_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Intents._write

    def slowly(intents: Intents, intent: Intent, slot: int) -> None:
        if intent.mobile is not None:
            time.sleep(0.5)
        write(intents, intent, slot)

    monkeypatch.setattr(Intents, "_write", slowly)
    async with Board(GATE) as board:

        def answer(told: dict[str, Any]) -> None:
            board.say(moves(told), board.request(mobile(1)))

        board.answer = answer
        agent = Agent(tmp_path, 1, devices=wired({GATE: board}))
        await left(agent, part("b-1", 1, people([1], accepted=True)), at=NOW)
        config = await asyncio.to_thread(load, agent.file)
        gate = config.devices[0]
        assert await pulse(config, gate, gate) == Pulsed(ok=True, recorded=True)
    recorded = [each.event.channel for each in events.events(Reader(agent.store), 1, 10, 10)]
    assert sorted(recorded) == ["bluetooth", "local"]


@pytest.fixture
def umask() -> Iterator[None]:
    """What the owner of a state directory sets for its process is undone."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_state_directory_belongs_to_one_process_at_a_time(umask: None, tmp_path: Path) -> None:
    place = tmp_path / "state"
    with owned(place):
        assert place.stat().st_mode & 0o777 == 0o700
        with pytest.raises(Occupied), owned(place):
            pass
    with owned(place):
        pass
