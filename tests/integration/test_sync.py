"""Whatever either side has lost, one `sync` brings a gateway and its truth together, and says little more than that."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from protocol.digest import digest_text
from protocol.keys import SigningKey
from protocol.vocabulary import Permission
from simulator.address import Address
from simulator.audit import Found, Refused
from simulator.batching import Offer
from simulator.contacts import read_pasted
from simulator.convergence import sums_of
from simulator.keyring import make_pair
from simulator.reconciling import Reconciliation
from simulator.roster import merged
from simulator.sending import deliver
from simulator.terminal import make_console
from simulator.tracking import Tracker
from simulator.truth import Truth
from storage import changes
from storage.database import Database
from tests.counterparts.agent import Agent
from tests.counterparts.cloud import GATE, GATEWAY, PANEL, Cloud, Document, mobile, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.waiting import until

EVERYWHERE = Offer((GATE, PANEL), Permission.ALWAYS)
NOW = 1_795_300_000_000


class Office:
    """A person who imports and revokes, and looks whether it has come to that."""

    def __init__(self, port: int, folder: Path, key: SigningKey | None = None) -> None:
        self.truth = Truth(folder / "truth.json", GATEWAY)
        self.address = Address("127.0.0.1", port, key=key)
        self.notices: list[str] = []

    async def invite(self, numbers: Iterable[int], offer: Offer = EVERYWHERE, *, timeout_s: float = 30) -> Tracker:
        return await self._send(numbers, offer, timeout_s, revoking=False)

    async def revoke(self, numbers: Iterable[int], offer: Offer = EVERYWHERE, *, timeout_s: float = 30) -> Tracker:
        return await self._send(numbers, offer, timeout_s, revoking=True)

    async def _send(self, numbers: Iterable[int], offer: Offer, timeout_s: float, *, revoking: bool) -> Tracker:
        lines = "\n".join(f"Resident {number}, {mobile(number)}" for number in numbers)
        roster = merged([read_pasted(lines, region="ZA")])
        say = make_console(stderr=True)
        return await deliver(
            say, self.address, GATEWAY, roster, offer, timeout_s=timeout_s, revoking=revoking, truth=self.truth
        )

    def work(self) -> Reconciliation:
        """What `sync` does, from the truth's file: another process may have written it."""
        self.truth = Truth.load(self.truth.path, GATEWAY)
        return Reconciliation(self.address, self.truth, timeout_s=20, notice=self.notices.append, rng=Random(1))

    async def sync(self) -> tuple[Found, Reconciliation]:
        """What was found, and what was done about it; afterwards both agree."""
        work = self.work()
        found = await work.look()
        last = await work.finish(found)
        assert last.agreed, (last, work.repaired)
        assert (await self.work().look()).agreed
        return found, work


async def told(office: Office) -> None:
    """Until the gateway's state is that of its lists: it says so a moment after the last of them has changed."""
    async with Cloud(office.address.port) as cloud:
        for device_id, people in office.truth.devices.items():
            digest = digest_text(sums_of(people).digest)
            await until(lambda: any(each["digest"] == digest for each in listed(cloud, device_id)))  # noqa: B023 -- awaited here


def listed(cloud: Cloud, device_id: str) -> list[Document]:
    return [each for each in cloud.state.get("devices", ()) if each["deviceId"] == device_id]


async def behind_its_back(office: Office, revision: int, *invitees: Document, gone: Iterable[int] = ()) -> None:
    """Another cloud changes the list of the gate, and the gateway has told of it."""
    revocations = [{"mobile": mobile(number)} for number in gone]
    sent = part(f"b-{revision}", revision, invitees, revocations=revocations)
    async with Cloud(office.address.port) as cloud:
        await cloud.send(sent)
        await cloud.settles(sent)
        await until(lambda: any(each["revision"] == revision for each in listed(cloud, GATE)))


def differing(found: Found) -> dict[str, tuple[int, int, int]]:
    """By device: how many are missing, how many are others, how many are unwanted."""
    return {
        device_id: (len(each.missing), len(each.other), len(each.unwanted))
        for device_id, each in found.differences.items()
    }


async def agreed(office: Office, agent: Agent) -> None:
    """Person by person, as the gateway's own list shows them."""
    wanted = {
        (device, mobile): each for device, people in office.truth.devices.items() for mobile, each in people.items()
    }
    users = {(user["deviceId"], user["mobile"]): user for user in await agent.users()}
    assert {key: user["revision"] for key, user in users.items()} == {
        key: each.revision for key, each in wanted.items()
    }
    assert {key: user["userName"] for key, user in users.items()} == {
        key: each.said["userName"] for key, each in wanted.items()
    }
    assert {key: user["status"] for key, user in users.items()} == {
        key: "Active" if each.accepted else "Pending" for key, each in wanted.items()
    }


@asynccontextmanager
async def running(agent: Agent, port: int) -> AsyncIterator[Agent]:
    """Online until the end of the block, then taken down in order."""
    async with Cloud(port) as cloud:
        await agent.online(cloud)
        assert agent.running, agent.log
    try:
        yield agent
    finally:
        await agent.stop()


async def accepted(agent: Agent, *numbers: int) -> None:
    """They take up the invitation at the gate; `agent` is down, so that it is its store alone that knows."""
    async with Database(agent.store) as database:
        for number in numbers:
            digits = int(mobile(number))
            assert await database.transact(lambda store, digits=digits: changes.accept(store, 1, digits, NOW))  # type: ignore[misc]  # a default binds it


@pytest.fixture
def office(mosquitto: Mosquitto, tmp_path: Path) -> Office:
    return Office(mosquitto.port, tmp_path)


@pytest.fixture
async def agent(mosquitto: Mosquitto, tmp_path: Path) -> AsyncIterator[Agent]:
    agent = Agent(tmp_path / "gw", mosquitto.port)
    yield agent
    await agent.kill9()


async def test_where_nothing_differs_nothing_is_asked(mosquitto: Mosquitto, office: Office, agent: Agent) -> None:
    async with running(agent, mosquitto.port):
        await office.invite(range(50))
        await told(office)
        found, work = await office.sync()
        assert (found.agreed, work.traffic.sent, work.repaired.bytes) == (True, 0, 0)
        await agreed(office, agent)


async def test_parts_that_a_broker_lost_are_said_again_and_no_others(mosquitto_installed: None, tmp_path: Path) -> None:
    """The broker takes them while the gateway is away, and is killed with all that it has acknowledged."""
    async with Mosquitto(tmp_path / "broker", persistent=False) as broker:
        office, agent = Office(broker.port, tmp_path), Agent(tmp_path / "gw", broker.port)
        async with running(agent, broker.port):
            await office.invite(range(200))
        tracker = await office.invite(range(200, 212), timeout_s=1)
        assert not tracker.done
        tracker = await office.revoke(range(5), Offer((GATE,)), timeout_s=1)
        assert not tracker.done
        await asyncio.to_thread(broker.kill9)
        await asyncio.to_thread(broker.start)
        async with running(agent, broker.port):
            found, work = await office.sync()
            assert differing(found) == {GATE: (12, 0, 5), PANEL: (12, 0, 0)}
            assert work.repaired.people == 17, "twelve of them at both devices, said once"
            await agreed(office, agent)


async def test_old_card_put_back_gets_what_it_missed_and_nobody_comes_back(
    mosquitto: Mosquitto, office: Office, agent: Agent, tmp_path: Path
) -> None:
    async with running(agent, mosquitto.port):
        await office.invite(range(300))
    shutil.copytree(agent.state_dir, tmp_path / "card")
    await accepted(agent, 1, 2)
    async with running(agent, mosquitto.port):
        await office.sync()
        await office.invite(range(300, 310))
        await office.invite(range(20, 23), Offer((GATE,), Permission.TENANT))
        await office.revoke(range(10, 16))
    epoch = office.truth.heard.epoch
    shutil.rmtree(agent.state_dir)
    shutil.copytree(tmp_path / "card", agent.state_dir)
    async with running(agent, mosquitto.port):
        assert (await agent.says("store.put_back"))["epoch_before"] == epoch, "no number is given out a second time"
        found, work = await office.sync()
        assert work.new_store, "it is noticed"
        assert differing(found) == {GATE: (10, 3, 6), PANEL: (10, 0, 6)}
        assert max(found.buckets.values()) <= 19, "nobody asks for a whole list because the store is another"
        assert work.repaired.people == 10 + 3 + 6 + 2, "two had accepted, as the counts show once the rest agrees"
        await agreed(office, agent)
        assert {user["permission"] for user in await agent.users() if user["mobile"] == mobile(21)} == {"Tenant", None}


async def test_acceptances_that_an_old_card_forgot_are_told_it_though_no_digest_shows_them(
    mosquitto: Mosquitto, office: Office, agent: Agent, tmp_path: Path
) -> None:
    async with running(agent, mosquitto.port):
        await office.invite(range(40))
    shutil.copytree(agent.state_dir, tmp_path / "card")
    await accepted(agent, *range(7))
    async with running(agent, mosquitto.port):
        found, work = await office.sync()
        assert (found.agreed, work.recovered > 0, work.repaired.bytes) == (True, True, 0), "reports told of them"
        await agreed(office, agent)
    shutil.rmtree(agent.state_dir)
    shutil.copytree(tmp_path / "card", agent.state_dir)
    async with running(agent, mosquitto.port):
        found, work = await office.sync()
        assert differing(found) == {GATE: (0, 7, 0)}
        await agreed(office, agent)


async def test_store_made_anew_gets_everybody_from_those_it_believes(mosquitto: Mosquitto, tmp_path: Path) -> None:
    pair = make_pair(tmp_path / "keys", "cloud-2026")
    office = Office(mosquitto.port, tmp_path, pair.key)
    agent = Agent(tmp_path / "gw", mosquitto.port, settings={"trust": {"keys": [str(pair.public)]}})
    async with running(agent, mosquitto.port):
        await office.invite(range(100))
    shutil.rmtree(agent.state_dir)
    async with running(agent, mosquitto.port):
        office.address = replace(office.address, key=None)
        with pytest.raises(Refused, match="sign with a key this gateway trusts"):
            await office.work().look()
        office.address = replace(office.address, key=pair.key)
        found, _ = await office.sync()
        assert differing(found) == {GATE: (100, 0, 0), PANEL: (100, 0, 0)}
        await agreed(office, agent)


async def test_truth_from_an_old_backup_wins_with_a_newer_revision(
    mosquitto: Mosquitto, office: Office, agent: Agent, tmp_path: Path
) -> None:
    async with running(agent, mosquitto.port):
        await office.invite(range(60))
        shutil.copy(office.truth.path, tmp_path / "backup.json")
        far = office.truth.revision + 10**9
        await behind_its_back(office, far, *people(range(5, 8), notes="newer"), gone=[0])
        await office.invite(range(60, 63))
        async with Cloud(mosquitto.port) as cloud:
            await until(lambda: any(each["revision"] == office.truth.revision for each in listed(cloud, PANEL)))
        shutil.copy(tmp_path / "backup.json", office.truth.path)
        found, _ = await office.sync()
        assert differing(found) == {GATE: (1, 3, 3), PANEL: (0, 0, 3)}
        assert office.truth.revision > far
        await agreed(office, agent)


async def test_ten_thousand_with_twenty_that_differ_cost_twenty(
    mosquitto: Mosquitto, office: Office, agent: Agent
) -> None:
    gate = Offer((GATE,), Permission.ALWAYS)
    async with running(agent, mosquitto.port):
        await office.invite(range(10_000), gate)
        strangers = people([*range(100, 105), *range(20_000, 20_007)])
        await behind_its_back(office, office.truth.revision + 1, *strangers, gone=range(8))
        found, work = await office.sync()
        assert differing(found) == {GATE: (8, 5, 7)}
        assert (work.repaired.people, work.repaired.batches) == (20, 1)
        whole = work.whole_list_bytes()
        assert work.repaired.bytes < whole / 200
        assert work.traffic.heard < whole / 5, "the answers have the users of twenty buckets of 256"
        assert max(found.buckets.values()) <= 20
        await agreed(office, agent)


async def test_whom_the_gateway_will_not_have_is_named(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """The device takes fewer than before, and one of them was taken off behind the office's back."""
    office = Office(mosquitto.port, tmp_path)
    gate = Offer((GATE,), Permission.ALWAYS)
    agent = Agent(tmp_path / "gw", mosquitto.port, devices={GATE: {"max_users": 10}})
    async with running(agent, mosquitto.port):
        await office.invite(range(10), gate)
    agent.configure(devices={GATE: {"max_users": 9}})
    async with running(agent, mosquitto.port):
        await behind_its_back(office, office.truth.revision + 1, gone=[0])
        work = office.work()
        last = await work.finish(await work.look())
        assert [who for who, *_ in work.repaired.refused] == [mobile(0)]
        assert last.differences[GATE].missing == (mobile(0),)
        assert mobile(0) in office.truth.people(GATE), "still wanted"
        assert not last.agreed
