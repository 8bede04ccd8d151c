"""A broker that cannot be reached, or will not have us: the daemon keeps running, says why, and returns by itself."""

import time
from datetime import datetime
from pathlib import Path

import pytest

from agent.floor import RELEASED
from tests.conftest import gone_if_missing
from tests.counterparts.agent import Agent, Protocol
from tests.counterparts.authority import Authority, Certificate
from tests.counterparts.cloud import Cloud, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.waiting import until
from tests.counterparts.wristwatch import FAKETIME, Wristwatch

WITHIN_S = 30


async def complains(agent: Agent, words: str) -> None:
    """It says so in its log and in its status, and goes on trying."""
    await until(
        lambda: any(words in failure["error"] for failure in agent.logged("link.failed")),
        within_s=WITHIN_S,
        what=f"{words!r} in {agent.log_file}",
    )
    await until(
        lambda: words in (agent.note().get("lastError") or ""),
        within_s=WITHIN_S,
        what=f"{words!r} in status.json, not {agent.note()}",
    )
    assert agent.note()["connected"] is False
    assert agent.running


async def works(agent: Agent, cloud: Cloud, batch_id: str, revision: int) -> None:
    sent = part(batch_id, revision, people(range(3)))
    await cloud.send(sent)
    await cloud.settles(sent)
    await until(lambda: agent.note()["connected"] is True)


async def test_unreachable_broker_is_named_until_it_comes(mosquitto: Mosquitto, tmp_path: Path) -> None:
    mosquitto.stop()
    async with Agent(tmp_path, mosquitto.port) as agent:
        await complains(agent, f"127.0.0.1:{mosquitto.port} refuses connections: check mqtt.port")
        mosquitto.start()
        async with Cloud(mosquitto.port) as cloud:
            await cloud.sees(online=True, within_s=WITHIN_S)
            await works(agent, cloud, "b-1", 1)
            before = len(agent.logged("link.failed"))

            mosquitto.stop()
            await until(lambda: len(agent.logged("link.failed")) > before, within_s=WITHIN_S)
            await until(lambda: agent.note()["connected"] is False, within_s=WITHIN_S)
            mosquitto.start()
            await until(lambda: len(agent.logged("link.connected")) == 2, within_s=WITHIN_S)
            await works(agent, cloud, "b-2", 2)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_wrong_password_is_said_and_a_corrected_one_taken_up(
    mosquitto_installed: None, tmp_path: Path, protocol: Protocol
) -> None:
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    login = {"mqtt": {"username": "gw-1", "password_file": str(secret)}}
    async with (
        Mosquitto(tmp_path / "broker", users={"gw-1": "right"}) as broker,
        Agent(tmp_path, broker.port, protocol=protocol, settings=login) as agent,
    ):
        await complains(agent, "refuses the user 'gw-1': wrong user name or password")
        assert "wrong\n" not in agent.log
        secret.write_text("right\n")
        await until(lambda: agent.note()["connected"], within_s=WITHIN_S)


class Careless(Authority):
    """Lets the certificate of a broker run out."""

    lapsed = True

    def server(self, *names: str, expired: bool = False, until: datetime | None = None) -> Certificate:
        return super().server(*names, expired=expired or self.lapsed, until=until)


@pytest.fixture
def careless(tmp_path: Path) -> Careless:
    return Careless(tmp_path / "authority")


async def test_expired_certificate_is_named_until_it_is_renewed(
    mosquitto_installed: None, tmp_path: Path, careless: Careless
) -> None:
    trusting = {"mqtt": {"tls": True, "ca_file": str(careless.ca_file)}}
    async with (
        Mosquitto(tmp_path / "broker", authority=careless) as broker,
        Agent(tmp_path, broker.port, settings=trusting) as agent,
    ):
        await complains(agent, f"the certificate of 127.0.0.1:{broker.port} has expired")
        careless.lapsed = False
        broker.restart()
        await until(lambda: agent.note()["connected"], within_s=WITHIN_S)


async def test_expired_certificate_of_its_own_is_named_until_it_is_renewed(
    mosquitto_installed: None, tmp_path: Path, authority: Authority
) -> None:
    old, new = authority.client("gw-1", expired=True), authority.client("gw-1")
    own = {"ca_file": str(authority.ca_file), "cert_file": str(old.cert_file), "key_file": str(old.key_file)}
    async with (
        Mosquitto(tmp_path / "broker", authority=authority, client_certificates=True) as broker,
        Agent(tmp_path, broker.port, settings={"mqtt": {"tls": True, **own}}) as agent,
    ):
        await complains(
            agent, f"time has run out for our certificate, mqtt.cert_file: {old.cert_file}; have it renewed"
        )
        new.key_file.rename(old.key_file)
        new.cert_file.rename(old.cert_file)
        await until(lambda: agent.note()["connected"], within_s=WITHIN_S)


@pytest.fixture
def clock_of_1970(tmp_path: Path) -> Wristwatch:
    gone_if_missing("faketime", FAKETIME)
    return Wristwatch(tmp_path, "1970-01-01 00:10:00")


async def test_clock_of_1970_is_named_where_a_certificate_is_refused_for_it(
    mosquitto_installed: None, tmp_path: Path, authority: Authority, clock_of_1970: Wristwatch
) -> None:
    trusting = {"mqtt": {"tls": True, "ca_file": str(authority.ca_file)}}
    async with (
        Mosquitto(tmp_path / "broker", authority=authority) as broker,
        Agent(tmp_path, broker.port, settings=trusting, environment=clock_of_1970.environment) as agent,
    ):
        await complains(agent, "is not valid yet; but this board's clock says 1970: set it first")
        clock_of_1970.set("+0")
        await until(lambda: agent.note()["connected"], within_s=WITHIN_S)


async def test_clock_of_1970_keeps_nobody_off_the_list(
    mosquitto: Mosquitto, tmp_path: Path, clock_of_1970: Wristwatch
) -> None:
    """Word goes out with the least time it can be; once the clock is right, visitors of today are still welcome."""
    today = time.time_ns() // 1_000_000
    visit = {"permission": "Temporary", "startDate": today - 1000, "endDate": today + 3_600_000, "accepted": True}
    settings = {"clock": {"trust": "auto"}}
    async with (
        Cloud(mosquitto.port) as cloud,
        Agent(tmp_path, mosquitto.port, settings=settings, environment=clock_of_1970.environment) as agent,
    ):
        assert RELEASED <= (await cloud.sees(online=True))["startedAt"] < RELEASED + 60_000
        assert cloud.state["clock"] == "unknown"
        await cloud.send(part("b-1", 1, people(range(3), **visit)))
        assert RELEASED <= (await cloud.outcome("b-1", "complete"))["at"] < today
        clock_of_1970.set("+0")
        await cloud.send(part("b-2", 2, people(range(2, 5))))
        assert (await cloud.outcome("b-2", "complete"))["at"] >= today
        assert [user["status"] for user in await agent.users()] == ["Active"] * 3 + ["Pending"] * 2
