"""The gate with its hardware and its memory, put together: for the daemon, and for the installer's one pulse."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from agent.clock import Clock
from agent.config import Config, Device
from agent.drivers.driver import Driver
from agent.drivers.made import driver_for
from agent.gate import Door, Gate
from agent.intents import Intents, next_number
from agent.recorder import Recorder
from agent.recovery import recover, unrecorded
from agent.threshold import Threshold
from agent.vault import Vault
from protocol.mobile import Numbers
from protocol.vocabulary import Kind
from storage.database import Database, Reader
from storage.events import last_intent


@dataclass(frozen=True, slots=True)
class Gatehouse:
    """What has to run for a gate to move: the drivers, the threshold and the recorder."""

    gate: Gate
    drivers: Mapping[str, Driver]
    threshold: Threshold
    recorder: Recorder


async def gatehouse(
    *,
    config: Config,
    devices: Sequence[Device],
    places: Mapping[str, int],
    database: Database,
    reader: Reader,
    clock: Clock,
    vault: Vault,
    intents: Intents,
    numbers: Numbers,
    rng: Random,
    changed: Callable[[], None],
) -> Gatehouse:
    """The gates of these `devices`, after what a crash left open has been recorded; `places` are their numbers.

    `reader` becomes the gate's own. `changed` is called when hardware comes, goes or moves. Raises StorageFault,
    OSError.
    """
    known = intents.read()
    if left := unrecorded(reader, known):
        await database.transact(lambda store: recover(store, left, config.gateway_id, clock.now()))
    recorder = Recorder(vault)
    doors = {each.id: Door(places[each.id], each.id, each.timezone, _opens(each)) for each in config.devices}
    drivers: dict[str, Driver] = {}
    gate = Gate(
        doors=doors,
        drivers=drivers,
        reader=reader,
        clock=clock,
        intents=intents,
        recorder=recorder,
        handled=[(intent.device_id, intent.request) for intent in known],
        next_intent=next_number(known, last_intent(reader)),
    )
    threshold = Threshold(doors=doors, drivers=drivers, gate=gate, recorder=recorder, numbers=numbers, changed=changed)
    for device in devices:
        drivers[device.id] = driver_for(device, threshold.ears(device.id), rng)
    return Gatehouse(gate, drivers, threshold, recorder)


def _opens(device: Device) -> str | None:
    return device.id if device.kind is Kind.FLUSS else device.opens
