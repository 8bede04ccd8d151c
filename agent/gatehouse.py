"""The gate with its hardware and its memory, put together: for the daemon, and for the installer's one pulse."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import structlog

from agent.clock import Clock
from agent.config import Config, Device
from agent.drivers.driver import Driver
from agent.gate import Gate
from agent.intents import Intent, Intents, next_number
from agent.recorder import Recorder
from agent.recovery import recover, unrecorded
from agent.request import Door
from agent.rollcall import Rollcall
from agent.surroundings import Surroundings
from agent.threshold import Threshold
from agent.vault import Vault
from protocol.mobile import Numbers
from protocol.vocabulary import Kind
from storage.database import Reader
from storage.events import last_intent

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Gatehouse:
    """What has to run for a gate to move: the drivers, the threshold and the recorder."""

    gate: Gate
    drivers: Mapping[str, Driver]
    threshold: Threshold
    recorder: Recorder


def gatehouse(
    *,
    config: Config,
    devices: Sequence[Device],
    places: Mapping[str, int],
    rollcall: Rollcall,
    clock: Clock,
    vault: Vault,
    intents: Intents,
    numbers: Numbers,
    rng: Random,
    surroundings: Surroundings,
    changed: Callable[[], None],
) -> Gatehouse:
    """The gates of these `devices`; `places` are their numbers in the store.

    What a crash left open is the recorder's first work. `changed` is called when hardware comes, goes or moves. Raises
    StorageFault.
    """
    known = _read(intents)
    recorder = Recorder(vault)
    doors = {each.id: Door(places[each.id], each.id, each.timezone, _opens(each)) for each in config.devices}
    drivers: dict[str, Driver] = {}
    gate = Gate(
        doors=doors,
        drivers=drivers,
        rollcall=rollcall,
        clock=clock,
        intents=intents,
        recorder=recorder,
        handled=[intent.name_of_request for intent in known],
        next_intent=next_number(known, last_intent(vault.reader)),
        monotonic=surroundings.monotonic,
    )
    _recover(known, vault.reader, recorder, gate, config.gateway_id, clock)
    threshold = Threshold(
        doors=doors,
        drivers=drivers,
        gate=gate,
        recorder=recorder,
        numbers=numbers,
        changed=changed,
        monotonic=surroundings.monotonic,
    )
    for device in devices:
        drivers[device.id] = surroundings.driver(device, threshold.ears(device.id), rng)
    return Gatehouse(gate, drivers, threshold, recorder)


def _read(intents: Intents) -> list[Intent]:
    """What the file holds; a card that cannot be read keeps no resident outside."""
    try:
        return intents.read()
    except OSError as error:
        log.error("intents.unreadable", error=str(error))  # noqa: TRY400 -- the disk's trouble, not ours
        return []


def _recover(
    known: Sequence[Intent], reader: Reader, recorder: Recorder, gate: Gate, gateway_id: str, clock: Clock
) -> None:
    """Have the store told of what was under way. It may take its time: until then the gate itself knows."""
    left = unrecorded(reader, known)
    if left:
        log.warning("events.recovering", events=len(left))
        stored = recorder.do(lambda transaction: recover(transaction, left, gateway_id, clock.now()))
        gate.owe(left, stored)
    gate.settle(set(known) - set(left))


def _opens(device: Device) -> str | None:
    return device.id if device.kind is Kind.FLUSS else device.opens
