"""The composition root: the only place where the daemon's parts are put together."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from typing import Final

import structlog

from agent import exits, memory, version
from agent.alarm import Alarm
from agent.answers import Answers
from agent.backoff import Pace
from agent.bench import FILE as BENCH
from agent.bench import Bench
from agent.caretaker import Caretaker
from agent.clock import Clock
from agent.codebook import Codebook
from agent.config import Config
from agent.config_values import is_loopback
from agent.erasure import Erasure
from agent.floods import Floods
from agent.gatehouse import Gatehouse, gatehouse
from agent.intake import GROUP_PARTS, Intake, Rules
from agent.intents import Intents
from agent.keep import Keep
from agent.link import Address, Link, Tls
from agent.marker import Marker
from agent.orders import Orders
from agent.ownership import Occupied, owned
from agent.papers import Papers
from agent.presence import HEAR_BYTES, Presence
from agent.quarantine import Quarantine
from agent.renewal import Renewal
from agent.reporter import Reporter
from agent.residue import Residue
from agent.resync import Resync
from agent.rollcall import Rollcall
from agent.store_path import INTENTS, NOTE, OPEN, key_file
from agent.supervisor import notify
from agent.surroundings import Surroundings
from agent.upkeep import Upkeep
from agent.vault import Vault
from agent.watchdog import Watchdog, period_s
from protocol.codec import Limits
from protocol.commands import MAX_SIGNED_BYTES
from protocol.mobile import Numbers
from protocol.topics import Topics
from protocol.vocabulary import ClockState
from storage.database import GLIMPSE_S, Database, Reader, SchemaFault, StorageFault, Transaction
from storage.merge import Device
from storage.replace import Guard
from storage.signers import trust
from storage.store import enroll

log = structlog.get_logger()

LEAVE_S: Final = 8.0
"""More than all the limits of what is left to do, one after the other, and less than systemd's `TimeoutStopSec`."""

DRAIN_S: Final = 0.5
"""What was just applied gets this long to be reported before the daemon leaves."""


def run(config: Config) -> int:
    """Run the daemon until SIGTERM or SIGINT; an exit code."""
    try:
        with owned(config.state_dir):
            return _served(config)
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


def _served(config: Config) -> int:
    try:
        return asyncio.run(_until_told(config))
    except Exception as bug:
        if not _is_trouble(bug):  # it may be the store's: the next start looks more closely
            Marker(config.state_dir / OPEN).set_damaged("the daemon failed while it was open")
        raise


def _is_trouble(error: Exception) -> bool:
    """Whether it is the disk's, and not ours."""
    if isinstance(error, ExceptionGroup):
        return error.split((StorageFault, OSError))[1] is None
    return isinstance(error, (StorageFault, SchemaFault, OSError))


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts, put together; nothing of them runs yet."""

    clock: Clock
    link: Link
    intake: Intake
    answers: Answers
    reporter: Reporter
    presence: Presence
    renewal: Renewal
    upkeep: Upkeep
    caretaker: Caretaker
    house: Gatehouse
    bench: Bench
    watchdog: Watchdog


async def _until_told(config: Config) -> int:
    stop = asyncio.Event()

    def ready() -> None:
        memory.settle()
        _leave_on_signals(stop)
        notify("READY=1")

    def leaving() -> None:
        notify("STOPPING=1")
        asyncio.get_running_loop().call_later(LEAVE_S, _abandon)

    return await serve(config, Surroundings(), stop, ready=ready, leaving=leaving)


async def serve(
    config: Config,
    surroundings: Surroundings,
    stop: asyncio.Event,
    *,
    ready: Callable[[], None] = lambda: None,
    leaving: Callable[[], None] = lambda: None,
) -> int:
    """Serve until `stop` is set, then leave in an order that loses nothing.

    Returns an exit code: a store that was found to be damaged is healed by the next start. `ready` is called when all
    parts are put together and about to run, `leaving` when they begin to end. Raises StorageFault, SchemaFault,
    OSError, where a task met it in a group.
    """
    keep = Keep(config.state_dir, key_file(config.state_dir), config.store.key)
    await keep.heal(surroundings.wall())
    alarm = Alarm(keep.marker, stop, just_healed=keep.just_healed)
    with closing(Residue(config.state_dir, keep.store, encrypted=keep.key is not None)) as residue:
        async with (
            surroundings.database(keep.store, key_file=keep.key_file, on_damage=alarm.ring, key=keep.key) as database,
            AsyncExitStack() as stack,
        ):
            keep.marker.set()
            stack.enter_context(closing(keep.snapshots))
            reader, gates_reader = (
                stack.enter_context(closing(Reader(keep.store, GLIMPSE_S, on_damage=alarm.ring, key=keep.key)))
                for _ in range(2)
            )
            intents = stack.enter_context(closing(Intents(config.state_dir / INTENTS, config.store.key_file)))
            rollcall = Rollcall(gates_reader, keep.snapshots, alarm)
            parts = await _put_together(
                config,
                surroundings,
                database=database,
                reader=reader,
                rollcall=rollcall,
                intents=intents,
                keep=keep,
                alarm=alarm,
                residue=residue,
            )
            clock = parts.clock.state().value
            if config.trust.keys:  # that there are none, a warning has said
                log.info("keys.trusted", kids=[key.kid for key in config.trust.keys])
            log.info("agent.started", gateway_id=config.gateway_id, devices=len(config.devices), clock=clock)
            ready()
            await _live(parts, stop, leaving)
            if not alarm.rung:
                keep.marker.clear()
    log.info("agent.stopped")
    return exits.IO if alarm.rung else exits.OK


async def _put_together(
    config: Config,
    surroundings: Surroundings,
    *,
    database: Database,
    reader: Reader,
    rollcall: Rollcall,
    intents: Intents,
    keep: Keep,
    alarm: Alarm,
    residue: Residue,
) -> _Parts:
    rng = surroundings.chance
    limits = Limits(config.limits.max_part_bytes, config.limits.max_part_items)
    topics = Topics(config.gateway_id, config.mqtt.topic_prefix)
    numbers = Numbers(config.default_region)
    trusted = {key.kid: key for key in config.trust.keys}
    clock = surroundings.clock(config)
    await clock.look()
    epoch = f"{rng.getrandbits(32):08x}"
    places = await database.transact(lambda store: _enter(store, epoch, config))
    devices = {each.id: Device(places[each.id], each.id, each.kind, each.max_users) for each in config.devices}
    vault = Vault(database, reader, devices, clock, rng)

    house = gatehouse(
        config=config,
        devices=config.devices,
        places=places,
        rollcall=rollcall,
        clock=clock,
        vault=vault,
        intents=intents,
        numbers=numbers,
        rng=rng,
        surroundings=surroundings,
        changed=lambda: presence.changed(),  # noqa: PLW0108 -- presence tells of the drivers, and they wake it
    )
    address = _address(config)
    renewal = Renewal(address, clock, lambda: presence.changed())  # noqa: PLW0108 -- presence tells of it
    presence = Presence(
        gateway_id=config.gateway_id,
        session=f"{rng.getrandbits(64):016x}",
        version=version(),
        started_at=clock.now(),
        limits=limits,
        devices=config.devices,
        drivers=house.drivers,
        vault=vault,
        unsent=lambda: reporter.unsent(),  # noqa: PLW0108 -- the reporter needs the link, and the link this
        lost=lambda: house.recorder.lost,
        new_epoch=lambda: f"{rng.getrandbits(32):08x}",
        certificates=lambda: renewal.ends,
        topic=topics.state,
        note=config.state_dir / NOTE,
        restored=keep.restored,
        uncopied=lambda: caretaker.fault,
    )
    link = Link(
        address,
        subscriptions={topics.invites: limits.part_bytes, topics.commands: MAX_SIGNED_BYTES, topics.state: HEAR_BYTES},
        will_topic=topics.state,
        will=presence.will,
        rng=rng,
        floor=lambda: _floor(clock),
        board_uptime_s=surroundings.uptime_s,
        pace=Pace(crowd=not is_loopback(config.mqtt.host)),
        connect=surroundings.connect,
    )
    reporter = Reporter(config.gateway_id, topics, link, vault, presence.drained)
    quarantine = Quarantine(config.state_dir / "quarantine", config.store.key_file)
    intake = Intake(
        rules=Rules(config.gateway_id, limits, Guard(config.lists.hold_removals_over), trusted),
        topic=topics.invites,
        link=link,
        vault=vault,
        numbers=numbers,
        quarantine=quarantine,
        floods=Floods(surroundings.monotonic),
    )

    papers = Papers(config.state_dir, intents, quarantine, keep)
    erasure = Erasure(
        residue=residue,
        vault=vault,
        gate=house.gate,
        recorder=house.recorder,
        papers=papers,
    )
    answers = Answers(
        gateway_id=config.gateway_id,
        trusted=trusted,
        topic=topics.commands,
        link=link,
        vault=vault,
        orders=Orders(config.gateway_id, vault, clock, house.gate, numbers),
        codebook=Codebook({each.id: each for each in config.devices}, vault, clock, numbers, rng),
        resync=Resync(vault, lambda: Reader(keep.store, key=keep.key), reporter.sent),
        erasure=erasure,
        numbers=numbers,
        floods=Floods(surroundings.monotonic),
    )
    upkeep = Upkeep(config, vault, intake, papers)
    caretaker = Caretaker(keep=keep, vault=vault, alarm=alarm, told=presence.changed, monotonic=surroundings.monotonic)
    for listener in (reporter.wake, presence.changed, upkeep.changed, caretaker.changed):
        vault.on_change(listener)
    presence.document()
    bench = Bench(config.state_dir / BENCH, house.drivers, house.gate.pulse)
    watchdog = Watchdog(period_s(), vault.answer, house.gate.rehearse)
    return _Parts(clock, link, intake, answers, reporter, presence, renewal, upkeep, caretaker, house, bench, watchdog)


async def _enter(store: Transaction, epoch: str, config: Config) -> dict[str, int]:
    """Name the store, say whose word counts in it from now on, and give every device its number."""
    kids = {key.thumbprint: key.kid for key in config.trust.keys}
    shift = await trust(store, kids)
    if shift.gained or shift.lost:
        gained = [kids.get(each or "", "whoever signs nothing") for each in shift.gained]
        log.info("trust.changed", gained=gained, lost=[each or "whoever signs nothing" for each in shift.lost])
    return await enroll(store, epoch, [each.id for each in config.devices])


async def _live(parts: _Parts, stop: asyncio.Event, leaving: Callable[[], None]) -> None:
    """Run everything until somebody asks us to leave; then leave in an order that loses nothing."""
    async with asyncio.TaskGroup() as tasks:

        def start(**parts: Coroutine[None, None, None]) -> list[asyncio.Task[None]]:
            return [tasks.create_task(part, name=name) for name, part in parts.items()]

        linked = start(link=parts.link.run())
        serving = start(threshold=parts.house.threshold.run())
        moving = start(**{f"driver-{device_id}": driver.run() for device_id, driver in parts.house.drivers.items()})
        asking = start(bench=parts.bench.run(), answers=parts.answers.run())
        working = start(
            clock=parts.clock.run(),
            intake=parts.intake.run(),
            upkeep=parts.upkeep.run(),
            caretaker=parts.caretaker.run(),
            watchdog=parts.watchdog.run(),
        )
        telling = start(
            recorder=parts.house.recorder.run(),
            reporter=parts.reporter.run(),
            bookkeeper=parts.reporter.keep_saving(),
            presence=parts.presence.run(parts.link),
            will=parts.presence.listen(parts.link),
            note=parts.presence.keep_note(parts.link),
            renewal=parts.renewal.run(parts.link),
        )
        await stop.wait()
        leaving()
        await _end(asking)
        await parts.house.threshold.close()
        await _end(serving)
        await _end(moving)
        await _end(working)
        await parts.house.recorder.drain(DRAIN_S)
        await parts.intake.tell_floods(leaving=True)
        await parts.answers.tell_floods(leaving=True)
        await parts.reporter.drain(DRAIN_S)
        await _end(telling)
        await parts.presence.farewell(parts.link)
        await _end(linked)
        await parts.reporter.save()
    parts.presence.write_note(parts.link)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _abandon() -> None:
    """Whatever still hangs, a disk most likely: the store is as after a power cut, which costs it nothing."""
    log.error("agent.abandoned", after_s=LEAVE_S)
    os._exit(exits.IO)


def _floor(clock: Clock) -> int | None:
    """What certificates are judged by while nobody knows whether the board's clock is right."""
    moment = clock.moment()
    return moment.earliest if moment.state is ClockState.UNKNOWN else None


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


def _leave_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` when systemd or a person asks us to leave; a second signal does not wait."""
    loop = asyncio.get_running_loop()

    def leave(name: str) -> None:
        if stop.is_set():
            os._exit(exits.REFUSED)
        log.info("agent.stopping", signal=name)
        stop.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, leave, each.name)
