"""A whole place: a gateway that runs, the boards at its gates, the cloud far away, and the people in between."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.counterparts.agent import Agent, Devices, Protocol, Settings, gateway
from tests.counterparts.board import Board, panel
from tests.counterparts.cloud import GATE, PANEL, Cloud, Document, part
from tests.counterparts.waiting import until

LATER = time.time_ns() // 1_000_000 + 3_600_000  # within the hour
SIDE = "6543210987654321"


@dataclass
class Premises:
    """A gate, a gate at the side and a panel at the entrance, with all there is around them."""

    agent: Agent
    cloud: Cloud
    boards: Mapping[str, Board]
    _revision: int = field(default=0)

    @property
    def gate(self) -> Board:
        return self.boards[GATE]

    @property
    def side(self) -> Board:
        return self.boards[SIDE]

    @property
    def panel(self) -> Board:
        return self.boards[PANEL]

    async def invite(self, *invitees: Document, **fields: object) -> None:
        """Send a batch, and wait until it is applied."""
        self._revision += 1
        sent = part(f"list-{self._revision}", self._revision, invitees, **fields)
        await self.cloud.send(sent)
        await self.cloud.settles(sent)

    async def order(self, command: str, mobile: str, *, device_id: str = GATE, **fields: object) -> Document:
        """Have the cloud move a gate for somebody, and return the reply."""
        return await self.cloud.ask(command, **{"deviceId": device_id, "mobile": mobile, "expiresAt": LATER, **fields})

    async def reached(self) -> None:
        """Wait until the gateway has reached all its devices since its start: its log tells so before `state` does."""
        await until(
            lambda: self.boards.keys() <= {each["device_id"] for each in self.agent.logged("device.connected")},
            within_s=20,
            what=f"all devices connected, in {self.agent.log_file}",
        )

    def devices(self) -> dict[str, Document]:
        """What the gateway says of its devices."""
        return {each["deviceId"]: each for each in self.cloud.state.get("devices", ())}

    def happened(self) -> list[Document]:
        """The access log as far as the cloud knows it: each event once, and none of them twice with other words."""
        first: dict[tuple[str, int], bytes] = {}
        found: dict[int, Document] = {}
        for said in self.cloud.heard:
            if said.leaf == "events":
                name = (said.says["epoch"], said.says["eventId"])
                assert first.setdefault(name, said.payload) == said.payload, f"{name} came again with other words"
                found[said.says["eventId"]] = said.says
        assert len(first) == len(found), f"more than one epoch: {sorted(first)}"
        return [event for _, event in sorted(found.items())]

    async def events(self, count: int, within_s: float = 20) -> list[Document]:
        """The access log, once so many events of it have come: the first of all, without a gap."""
        await until(lambda: len(self.happened()) >= count, within_s=within_s, what=f"{count} events")
        events = self.happened()
        assert [event["eventId"] for event in events] == list(range(1, count + 1))
        return events


@asynccontextmanager
async def premises(
    home: Path,
    port: int,
    *,
    protocol: Protocol = "5",
    settings: Settings | None = None,
    devices: Devices | None = None,
    through: int | None = None,
) -> AsyncIterator[Premises]:
    """A gateway that reaches its cloud and its three devices; ``devices`` are further keys of them."""
    async with AsyncExitStack() as stack:
        boards = {each.device_id: each for each in (Board(GATE), Board(SIDE), panel())}
        for board in boards.values():
            await stack.enter_async_context(board)
        agent, cloud = await stack.enter_async_context(
            gateway(
                home,
                port,
                protocol=protocol,
                settings=settings,
                devices=wired(boards, devices),
                through=through,
            )
        )
        place = Premises(agent, cloud, boards)
        await place.reached()
        yield place


def wired(boards: Mapping[str, Board], devices: Devices | None = None) -> Devices:
    """The devices of a configuration, each with its board at the other end of its driver."""
    side = {"name": "Side gate", "kind": "fluss+"}
    return {
        device_id: {
            **(side if device_id == SIDE else {}),
            "driver": board.url,
            **(devices or {}).get(device_id, {}),
        }
        for device_id, board in boards.items()
    }
