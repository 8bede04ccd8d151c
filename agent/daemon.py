"""The composition root: the only place where the daemon's parts are put together."""

import asyncio
import fcntl
import gc
import math
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Final

import structlog

from agent import exits, version
from agent.answers import Answers
from agent.clock import Clock
from agent.config import Config
from agent.config_values import is_loopback
from agent.intake import GROUP_PARTS, Intake, Rules
from agent.link import Address, Link, Tls
from agent.presence import Presence
from agent.quarantine import Quarantine
from agent.reporter import Reporter
from agent.store_path import LOCK, NOTE, STORE
from agent.supervisor import notify
from agent.upkeep import Upkeep
from agent.vault import Vault
from protocol.codec import Limits
from protocol.mobile import Numbers
from protocol.topics import Topics
from storage.database import GLIMPSE_S, Database, Reader, SchemaFault, StorageFault
from storage.merge import Device
from storage.replace import Guard
from storage.store import enroll, latest

log = structlog.get_logger()

LOOKS: Final = 20
LOOK_S: Final = 0.05

SWITCH_S: Final = 0.0005
"""How long one thread may keep the interpreter from another: the gate is answered while a list is written."""

LEAVE_S: Final = 4.5

DRAIN_S: Final = 0.5
"""What was just applied gets this long to be reported before the daemon leaves."""


class Occupied(Exception):
    """Another agent works in this state directory."""


def run(config: Config) -> int:
    """Run the daemon until SIGTERM or SIGINT; an exit code."""
    try:
        with _locked(config.state_dir):
            asyncio.run(_serve(config))
    except Occupied:
        cure = "stop the other fluss-agent first"
        log.error("state_dir.occupied", state_dir=str(config.state_dir), cure=cure)  # noqa: TRY400 -- no bug to trace
        return exits.IO
    except (StorageFault, SchemaFault, OSError) as error:
        log.error("store.unusable", error=str(error))  # noqa: TRY400 -- the disk's trouble, not ours
        return exits.IO
    except ExceptionGroup as group:
        faults, bugs = group.split((StorageFault, OSError))
        if faults is None or bugs is not None:
            raise
        log.error("store.unusable", error=str(faults.exceptions[0]))  # noqa: TRY400 -- the same, met by a task
        return exits.IO
    return exits.OK


async def _serve(config: Config) -> None:
    started_at = time.time_ns() // 1_000_000
    path = config.state_dir / STORE
    rng = Random(secrets.randbits(64))  # noqa: S311 -- jitter, not secrets
    limits = Limits(config.limits.max_part_bytes, config.limits.max_part_items)
    topics = Topics(config.gateway_id, config.mqtt.topic_prefix)
    async with Database(path) as database:
        epoch = secrets.token_hex(4)
        numbers = await database.transact(lambda store: enroll(store, epoch, [each.id for each in config.devices]))
        devices = {each.id: Device(numbers[each.id], each.id, each.kind, each.max_users) for each in config.devices}
        reader = Reader(path, GLIMPSE_S)
        clock = Clock(floor_ms=latest(reader), trusted=config.clock.trust == "system")
        vault = Vault(database, reader, devices, clock, rng)
        presence = Presence(
            gateway_id=config.gateway_id,
            session=secrets.token_hex(8),
            version=version(),
            started_at=started_at,
            limits=limits,
            devices=config.devices,
            vault=vault,
            unsent=lambda: reporter.unsent(),  # noqa: PLW0108 -- the reporter needs the link, and the link this
            topic=topics.state,
            note=config.state_dir / NOTE,
        )
        link = Link(
            _address(config),
            subscriptions=(topics.invites, topics.commands, topics.state),
            will_topic=topics.state,
            will=presence.will,
            payload_limit=limits.part_bytes,
            rng=rng,
            board_uptime_s=lambda: _uptime_s(config),
        )
        reporter = Reporter(config.gateway_id, topics, link, vault, presence.drained)
        intake = Intake(
            rules=Rules(config.gateway_id, limits, Guard(config.lists.hold_removals_over)),
            topics=topics,
            link=link,
            vault=vault,
            numbers=Numbers(config.default_region),
            answers=Answers(config.gateway_id, vault),
            presence=presence,
            quarantine=Quarantine(config.state_dir / "quarantine"),
        )
        upkeep = Upkeep(config, vault, intake)
        for listener in (reporter.wake, presence.changed, upkeep.changed):
            vault.on_change(listener)
        log.info("agent.started", gateway_id=config.gateway_id, devices=len(devices), clock=clock.state().value)
        presence.document()
        _settle_memory()
        stop = _stopped()
        async with asyncio.TaskGroup() as tasks:
            linked = tasks.create_task(link.run(), name="link")
            working = [
                tasks.create_task(intake.run(), name="intake"),
                tasks.create_task(upkeep.run(), name="upkeep"),
            ]
            telling = [
                tasks.create_task(reporter.run(), name="reporter"),
                tasks.create_task(reporter.keep_saving(), name="bookkeeper"),
                tasks.create_task(presence.run(link), name="presence"),
                tasks.create_task(presence.keep_note(link), name="note"),
            ]
            notify("READY=1")
            await stop.wait()
            notify("STOPPING=1")
            asyncio.get_running_loop().call_later(LEAVE_S, _abandon)
            await _end(working)
            await intake.tell_repeats(leaving=True)
            await reporter.drain(DRAIN_S)
            await _end(telling)
            await presence.farewell(link)
            await _end([linked])
            await reporter.save()
        presence.write_note(link)
        reader.close()
    log.info("agent.stopped")


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _abandon() -> None:
    """Whatever still hangs, a disk most likely: the store is as after a power cut, which costs it nothing."""
    log.error("agent.abandoned", after_s=LEAVE_S)
    os._exit(exits.IO)


def _uptime_s(config: Config) -> float:
    """How long the board has been up. A broker on the board itself has no crowd to spare: there it never counts."""
    return math.inf if is_loopback(config.mqtt.host) else time.clock_gettime(time.CLOCK_BOOTTIME)


def _address(config: Config) -> Address:
    mqtt = config.mqtt
    return Address(
        host=mqtt.host,
        port=mqtt.port,
        client_id=config.gateway_id,
        protocol=mqtt.protocol,
        username=mqtt.username,
        password_file=mqtt.password_file,
        receive_maximum=GROUP_PARTS,
        tls=Tls(mqtt.ca_file, mqtt.cert_file, mqtt.key_file) if mqtt.tls else None,
    )


def _stopped() -> asyncio.Event:
    """Set when systemd or a person asks us to leave; a second signal does not wait."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def leave(name: str) -> None:
        if stop.is_set():
            os._exit(exits.REFUSED)
        log.info("agent.stopping", signal=name)
        stop.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, leave, each.name)
    return stop


def _settle_memory() -> None:
    """What is alive now stays: the collector need not look at it again, and rows die young (docs/PERFORMANCE.md)."""
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@contextmanager
def _locked(state_dir: Path) -> Iterator[None]:
    """Hold the state directory for this process alone; raises Occupied."""
    os.umask(0o077)
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (state_dir / LOCK).open("w") as lock:
        for _ in range(LOOKS):  # `fluss-agent status` may be looking at this moment
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(LOOK_S)
        else:
            raise Occupied
        yield
