"""Until when certificates are valid: in `fluss-agent status`, in the state, in the log."""

import asyncio
import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiomqtt
import pytest

from tests.acceptance.test_status import daemon, put, said, told
from tests.counterparts.agent import Agent
from tests.counterparts.authority import Authority
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.waiting import until


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """A gateway that has never run."""
    return Agent(tmp_path, 1883)


def day(days: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)


def test_status_says_until_when_certificates_are_valid(agent: Agent, authority: Authority) -> None:
    """Those in the files as they are now, whoever runs; the broker's as the daemon saw it last."""
    mine = authority.client("gw-1", until=day(200))
    own = {"ca_file": str(authority.ca_file), "cert_file": str(mine.cert_file), "key_file": str(mine.key_file)}
    agent.configure(settings={"mqtt": {"tls": True, **own}})
    put(agent)
    client, authority_s = int(day(200).timestamp()), f"{datetime(3000, 1, 1, tzinfo=UTC).date()}"
    assert said(agent)["certificates"]["client"] == pytest.approx(client * 1000, abs=10_000)
    assert told(agent)["certificates"] == f"client's until {day(200).date()}, authority's until {authority_s}"

    place, seen = "127.0.0.1:1883", int(day(12.5).timestamp()) * 1000
    with daemon(agent, certificates={"client": 1, "authority": 2, "broker": seen}):
        assert said(agent)["certificates"]["broker"] == seen
        expected = f"the certificate of {place} ends in 12 days, on {day(12.5).date()}"
        assert told(agent)["certificates"].startswith(expected)

    authority.client("gw-1", until=day(-2))
    expected = f"mqtt.cert_file: {mine.cert_file} ended on {day(-2).date()}: have it renewed"
    assert told(agent)["certificates"] == expected
    mine.cert_file.write_text("content\n")
    assert said(agent)["certificates"]["error"] == f"mqtt.cert_file: {mine.cert_file} holds no PEM certificates"
    assert told(agent)["certificates"] == f"mqtt.cert_file: {mine.cert_file} holds no PEM certificates"


def test_status_says_nothing_of_certificates_where_there_is_no_tls(agent: Agent) -> None:
    put(agent)
    assert set(said(agent)["certificates"].values()) == {None}
    assert "certificates" not in told(agent)


async def test_certificates_are_in_the_state_and_in_the_log(
    mosquitto_installed: None, authority: Authority, tmp_path: Path
) -> None:
    mine = authority.client("gw-1", until=day(20))
    own = {"ca_file": str(authority.ca_file), "cert_file": str(mine.cert_file), "key_file": str(mine.key_file)}
    async with (
        Mosquitto(tmp_path / "broker", authority=authority, client_certificates=True) as broker,
        Agent(tmp_path, broker.port, settings={"mqtt": {"tls": True, **own}}) as agent,
    ):
        await until(lambda: agent.note().get("certificates", {}).get("broker"), what="the broker's noted")
        ends = agent.note()["certificates"]
        assert ends["client"] == pytest.approx(int(day(20).timestamp()) * 1000, abs=10_000)
        assert ends["client"] < ends["broker"] < ends["authority"]
        assert (
            f"mqtt.cert_file: {mine.cert_file} ends in 19 days" in (await agent.says("certificates.ending"))["concern"]
        )
        assert {name: said(agent)["certificates"][name] for name in ends} == ends
        context = ssl.create_default_context(cafile=authority.ca_file)
        context.load_cert_chain(mine.cert_file, mine.key_file)
        async with aiomqtt.Client(broker.host, broker.port, tls_context=context) as cloud, asyncio.timeout(10):
            await cloud.subscribe("fluss/v1/gw-1/state", qos=1)
            told_of: object = None
            while told_of != ends:
                message = await anext(cloud.messages)
                assert isinstance(message.payload, bytes)
                told_of = json.loads(message.payload)["certificates"]
