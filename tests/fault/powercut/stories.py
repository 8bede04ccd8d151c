"""What an agent lives through while it is recorded: lists, people at its gates, and a new version of itself."""

import asyncio
import json
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from tests.counterparts.agent import COMMAND, Agent
from tests.counterparts.board import Board, panel
from tests.counterparts.cloud import GATE, PANEL, Cloud, Document, mobile, part, people
from tests.counterparts.premises import LATER, SIDE, Premises, wired
from tests.counterparts.signer import Signer, trusting
from tests.counterparts.waiting import until
from tests.fault import history
from tests.fault.powercut.recording import Recording
from tests.fault.powercut.remains import STORE
from tests.fault.powercut.wire import BROKER
from tests.golden.newest import restored

EVERYWHERE: Final = [GATE, SIDE, PANEL]


@dataclass
class Story:
    """A place whose agent is recorded, over as many starts as the story has."""

    place: Premises
    recording: Recording

    async def begins(self) -> None:
        """The agent starts."""
        await self.place.agent.online(self.place.cloud, *self.recording.under())
        assert self.place.agent.running, self.place.agent.log
        await self.place.reached()

    async def ends(self) -> None:
        """The agent leaves in good order."""
        assert await self.place.agent.stop() == 0, self.place.agent.log
        await self.recording.ended(self.place.agent.pid)

    async def dies(self) -> None:
        """The agent is killed, and not the machine: what it wrote is seen by the next one."""
        self.place.agent.signal(signal.SIGKILL)
        await until(lambda: not self.place.agent.running, what="the agent killed")
        await self.recording.ended(self.place.agent.pid)

    async def send(self, *parts: Document) -> None:
        """Send parts, and wait for everything there is to say of them."""
        await self.place.cloud.send(*parts)
        await self.place.cloud.settles(*parts)

    async def quiet(self) -> None:
        """Wait until the cloud has heard everything."""
        cloud = self.place.cloud

        def heard() -> bool:
            epoch, newest = cloud.state["epoch"], {kind: cloud.state[kind]["newest"] for kind in ("reports", "events")}
            events = {event["eventId"] for event in self.place.happened()}
            reported = newest["reports"] == 0 or (epoch, newest["reports"]) in cloud.reports
            return cloud.state["outbox"] == 0 and reported and (newest["events"] == 0 or newest["events"] in events)

        await until(heard, within_s=20, what="everything the gateway has to say")

    async def order(self, number: int, device_id: str = GATE) -> Document:
        """Have the cloud move a gate for a person."""
        return await self.place.order("trigger", mobile(number), device_id=device_id)


@asynccontextmanager
async def told(
    home: Path,
    port: int,
    *alterations: str,
    signer: Signer | None = None,
    found: Callable[[Path], object] = Path.exists,
    earlier: Sequence[str] = (),
) -> AsyncIterator[Story]:
    """A place over the broker on ``port`` whose agent does not run yet.

    ``alterations`` are names of `altered`, ``signer`` signs what the cloud says, ``found`` puts into the state
    directory what the agent finds there, made of the parts ``earlier``.
    """
    altered = (sys.executable, "-P", "-m", "tests.fault.powercut.altered", *alterations, "--")
    async with AsyncExitStack() as stack:
        boards = {each.device_id: each for each in (Board(GATE), Board(SIDE), panel())}
        for board in boards.values():
            await stack.enter_async_context(board)
        cloud = await stack.enter_async_context(Cloud(port))
        trust = trusting(home, signer) if signer else {}
        if signer:
            cloud.signs = signer.signs
        # Only who is in a hurry asks a time service, which is always there then; there may be none on this machine.
        agent = Agent(
            home,
            port,
            settings={"clock": {"trust": "auto" if "hurried" in alterations else "system"}, **trust},
            devices=wired(boards),
            command=altered if alterations else COMMAND,
        )
        agent.state_dir.mkdir()
        found(agent.state_dir)
        ports = {port: BROKER, **{board.port: device_id for device_id, board in boards.items()}}
        recording = Recording.begin(home / "recording", agent.state_dir, ports, earlier)
        try:
            yield Story(Premises(agent, cloud, boards), recording)
        finally:
            await agent.kill9()


def old_store(version: int, state_dir: Path) -> None:
    """Put there the golden store of a version, with reports that were sent long ago."""
    with closing(sqlite3.connect(restored(version, state_dir / STORE))) as store, store:
        store.execute("UPDATE reports SET at = 1700000000000")
        store.execute("UPDATE store SET sent = 3")


async def lists(story: Story) -> None:
    """Batches that merge and replace, come twice, contradict or are no batches at all, over three starts."""
    cloud = story.place.cloud
    sent = history.stream(Random(4), 12, people=10)
    third = len(sent) // 3
    await story.begins()
    await story.send(*sent[:third])
    await cloud.send(b"{", {**sent[0], "invitees": people(range(3))})
    await cloud.outcome(None, "rejected")
    await story.ends()

    await story.begins()
    for number in range(third, 2 * third):
        await cloud.send(sent[number])
    await cloud.settles(*sent[: 2 * third])
    stored = cloud.state["reports"]["newest"] - 1
    await cloud.ask("acknowledge", epoch=cloud.state["epoch"], throughReport=stored)
    await story.quiet()
    await story.dies()

    await story.begins()
    await story.send(*sent[2 * third :])
    await story.send(part("whole", 100, people(range(30)), mode="replace"))
    assert cloud.state["held"] == ["whole"] or await cloud.sees(held=["whole"])
    await cloud.ask("confirm", batchId="whole")
    await cloud.outcome("whole", "held", "complete")
    await story.quiet()
    await story.ends()


async def gates(story: Story) -> None:
    """People, codes and commands at three gates, over three starts, while the clock's floor rises."""
    place = story.place
    await story.begins()
    await place.invite(*people(range(8), accepted=True), *people(range(8, 11)), deviceIds=EVERYWHERE)
    order = {"deviceId": PANEL, "mobile": mobile(7), "userName": "Plumber", "code": "4821", "expiresAt": LATER}
    assert (await place.cloud.ask("issue_code", **order))["outcome"] == "done"
    for number in range(3):
        assert await place.gate.ask(mobile(number)) == "actuate"
        assert await place.panel.ask(mobile(number), channel="intercom") == "granted"
        assert (await story.order(number, device_id=SIDE))["outcome"] == "done"
    assert await place.panel.ask(channel="keypad", code="4821", direction="entry") == "granted"
    assert await place.side.ask(mobile(99)) == "unknown_user"
    await story.ends()

    await story.begins()
    place.panel.say(place.panel.accepted(mobile(8)))
    place.gate.say(place.gate.accepted(mobile(9)))
    await asyncio.gather(
        *(board.ask(mobile(number)) for board in (place.gate, place.side) for number in range(8)),
        *(story.order(number) for number in range(4)),
    )
    await story.quiet()
    await story.dies()

    await story.begins()
    assert await place.panel.ask(channel="keypad", code="4821", direction="exit") == "granted"
    assert await place.panel.ask(channel="keypad", code="4821", direction="exit") == "code_spent"
    assert (await story.order(5))["outcome"] == "done"
    await story.quiet()
    await story.ends()


async def upgrade(story: Story) -> None:
    """A store of an older version is migrated, what is old in it forgotten, and the next batch applied."""
    await story.begins()
    await story.send(part("after", 43, people(range(12))))
    assert await story.place.gate.ask("+27824511234") == "actuate"
    await story.quiet()
    await story.ends()


EARLIER: Final = json.dumps(
    {
        **part("0192f6d2-6f0c-7c2e-9a5d-0b9f4f1f7a10", 42),
        "invitedBy": "+27824511234",
        "invitees": [
            {"userName": "David Mokoena", "mobile": "082 451 1234", "notes": "Unit 4", "accepted": True},
            {"userName": "Zoë Botha", "mobile": "+447911123456"},
            {"userName": "Sam", "mobile": "082 45"},
        ],
        "revocations": [{"mobile": "083 111 2222"}],
    }
)
"""The part that the golden stores were made of."""


async def parts_come(story: Story) -> None:
    """For a broken promise about lists: parts, one after the other, and then the end."""
    await story.begins()
    for each in history.stream(Random(5), 8, people=8):
        await story.send(each)
    # One that has never been sent: what came before it has been told once its reports are here, a repetition as well.
    await story.send(part("last", 100, people(range(8, 12))))
    await story.dies()


async def orders_come(story: Story) -> None:
    """For a broken promise about commands: one after the other, and then the end."""
    place = story.place
    await story.begins()
    await place.invite(*people([1], accepted=True))
    for _ in range(24):
        assert (await story.order(1))["outcome"] == "done"
    await place.events(24)
    await story.dies()


async def people_come(story: Story) -> None:
    """For a broken promise about gates: people at all of them, and then the end."""
    place = story.place
    await story.begins()
    await place.invite(*people(range(8), accepted=True), deviceIds=EVERYWHERE)
    for number in range(1, 8):
        asks = [board.ask(mobile(each)) for board in (place.gate, place.side) for each in (number, number - 1)]
        await asyncio.gather(story.order(number), *asks)
    await place.events(7 * 5)
    await story.dies()
