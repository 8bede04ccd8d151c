"""`fluss-agent run` as systemd, or a person at a terminal, meets it."""

import json
import re
import signal
import socket
from pathlib import Path

import pytest

from agent import exits
from tests.counterparts.agent import Agent, gateway
from tests.counterparts.cloud import GATE, PANEL, mobile, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.proxy import Proxy
from tests.counterparts.waiting import until


async def test_run_tells_systemd_when_it_is_ready_and_when_it_leaves(mosquitto: Mosquitto, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(10)
        async with Agent(tmp_path, mosquitto.port, environment={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as agent:
            assert systemd.recv(100) == b"READY=1"
            assert await agent.stop(within_s=5) == exits.OK
            assert systemd.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_run_leaves_within_five_seconds_of_being_told(
    mosquitto: Mosquitto, tmp_path: Path, number: signal.Signals
) -> None:
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        await cloud.send(part("b-1", 1, people(range(400))))
        await agent.says("part.applied")
        agent.signal(number)
        assert await agent.ends(within_s=5) == exits.OK
        assert [line["signal"] for line in agent.logged("agent.stopping")] == [number.name]
        assert agent.logged("agent.stopped")
        await cloud.outcome("b-1", "complete")


async def test_run_leaves_in_time_without_a_broker(tmp_path: Path) -> None:
    async with Agent(tmp_path, 1) as agent:
        await agent.says("link.failed")
        assert await agent.stop(within_s=5) == exits.OK


async def test_run_leaves_in_time_when_the_broker_is_silent(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with (
        Proxy(mosquitto.port) as proxy,
        gateway(tmp_path, mosquitto.port, through=proxy.port) as (agent, cloud),
    ):
        await cloud.send(part("b-1", 1, people(range(400))))
        await agent.says("part.applied")
        proxy.freeze()
        assert await agent.stop(within_s=5) == exits.OK


async def test_second_signal_does_not_wait(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """After the first it would give a silent broker its time."""
    async with (
        Proxy(mosquitto.port) as proxy,
        gateway(tmp_path, mosquitto.port, through=proxy.port) as (agent, _),
    ):
        proxy.freeze()
        agent.signal(signal.SIGINT)
        await agent.says("agent.stopping")
        agent.signal(signal.SIGINT)
        assert await agent.ends() == exits.REFUSED


async def test_run_with_a_faulty_configuration_names_every_mistake(tmp_path: Path) -> None:
    agent = Agent(tmp_path, 70_000, settings={"lists": {"hold_removals_over": 2.0}})
    agent.launch()
    assert await agent.ends() == exits.CONFIG
    assert "mqtt.port" in agent.log
    assert "lists.hold_removals_over" in agent.log
    assert not agent.state_dir.exists()


async def test_run_keeps_its_files_to_itself(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        await cloud.send(part("b-1", 1, people([1])), b"junk")
        await cloud.outcome("b-1", "complete")
        await until((agent.state_dir / "quarantine").exists)
        modes = {path: path.stat().st_mode & 0o777 for path in [agent.state_dir, *agent.state_dir.rglob("*")]}
        assert not {path: oct(mode) for path, mode in modes.items() if mode & 0o077}


async def test_log_is_one_event_a_line_and_names_nobody(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Whatever becomes of a person: neither a name, nor notes, nor a whole number is written."""
    people_of_all_fates = [
        {"userName": "Canary Goodman", "mobile": mobile(1), "notes": "canary notes"},
        {"userName": "Canary Short", "mobile": "082 45"},
        {"userName": "Canary " * 20, "mobile": mobile(2)},
        {"userName": "Canary Twice", "mobile": mobile(1)},
        {"userName": "Canary Visitor", "mobile": mobile(3), "permission": "Temporary"},
        {"userName": ["Canary"], "mobile": mobile(4)},
        {"userName": "Canary Number", "mobile": 27820000005},
    ]
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        sent = part(
            "b-1", 1, people_of_all_fates, deviceIds=[GATE, PANEL, "canary"], revocations=[{"mobile": mobile(9)}]
        )
        await cloud.send(sent)
        await cloud.send({**sent, "revision": "Canary"}, json.dumps(sent).encode()[:-30])
        await cloud.publish("commands", {"commandId": "c-1", "gatewayId": "gw-1", "command": "Canary"})
        await cloud.settles(sent)
        await until(lambda: len([each for each in cloud.said("receipts") if each["error"]]) == 2)
        await cloud.reply("c-1")
        assert await agent.stop() == exits.OK

        lines = [json.loads(line) for line in agent.log.splitlines()]
        assert {"timestamp", "level", "event"} <= set.intersection(*(set(line) for line in lines))
        assert not [line["event"] for line in lines if not re.fullmatch(r"[a-z_]+\.[a-z_]+", line["event"])]
        assert "canary" not in agent.log.lower()
        assert not re.findall(r"2782\d{7}|08245", agent.log)


async def test_status_and_users_work_while_it_runs_and_after(mosquitto: Mosquitto, tmp_path: Path) -> None:
    async with gateway(tmp_path, mosquitto.port) as (agent, cloud):
        await cloud.send(part("b-1", 1, people(range(3))))
        await cloud.outcome("b-1", "complete")
        running = json.loads(await agent.command("status", "--format", "json"))
        assert (running["running"], running["connected"]) == (True, True)
        during = await agent.users()
        assert await agent.stop() == exits.OK

        stopped = json.loads(await agent.command("status", "--format", "json"))
        assert (stopped["running"], stopped["connected"]) == (False, False)
        assert running["devices"] == stopped["devices"]
        assert await agent.users() == during
        assert len(during) == 3
