"""`fluss-agent status`: connection, lists, outbox, clock and hardware at a glance."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from agent import exits
from agent.clock import wall_ms
from agent.commands import config_option, configuration
from agent.commands.certificates import certificate_facts, ends_in
from agent.commands.clocks import in_words, lasting, seen
from agent.commands.notes import clock_in, hardware_in, note_in
from agent.commands.tables import Column, Fact, show_facts, show_line, show_rows, utf8_output
from agent.config import Config
from agent.config_checks import ANYBODY
from agent.keep import Keep
from agent.store_path import is_running, opened
from protocol.digest import digest_text
from protocol.vocabulary import ClockState, Status
from storage import engine
from storage.database import Reader
from storage.events import span
from storage.outbox import position
from storage.store import DeviceState, device_states, held_batches

_EMPTY: Final = DeviceState(0, 0, 0, 0, 0, 0)
_STATUSES: Final = (Status.ACTIVE, Status.PENDING, Status.EXPIRED)
_COLUMNS: Final = (
    Column("device"),
    Column("name", least=8),
    Column("hardware", styles={"offline": "red", "no driver": "yellow"}),
    *(Column(status, right=True) for status in _STATUSES),
    Column("limit", right=True),
    Column("rev.", right=True),
)

_ORIGINS: Final = {
    "snapshot": "its last good copy",
    "salvage": "what could be read of it",
    "itself": "itself, without its last commits",
    "nothing": "nothing",
}


@click.command("status")
@config_option
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(path: Path, form: str) -> int:
    """Show how the gateway is doing. It works while the daemon runs, and while it does not."""
    config = configuration(path)
    with opened(config) as reader:
        note = note_in(config.state_dir) if is_running(config.state_dir) else None
        facts = _facts(config, reader, note)
    if form == "json":
        out = utf8_output()
        out.write(json.dumps(facts, indent=2) + "\n")
        out.flush()
    else:
        _show(config, facts, wall_ms(), _clock_fact(config, note))
    return exits.OK


def _facts(config: Config, reader: Reader, note: Mapping[str, Any] | None) -> dict[str, Any]:
    running, note = note is not None, note or {}
    where, log = position(reader), span(reader)
    outbox = note.get("outbox", where.newest - where.sent + log.newest - log.sent)
    lists = device_states(reader)
    restored = Keep(config.state_dir).restored(where.epoch)
    states = {device.id: lists.get(device.id, _EMPTY) for device in config.devices}
    return {
        "gatewayId": config.gateway_id,
        "running": running,
        "startedAt": note.get("startedAt"),
        "version": note.get("version"),
        "connected": note.get("connected") is True,
        "since": note.get("since"),
        "broker": f"{config.mqtt.host}:{config.mqtt.port}",
        "lastError": note.get("lastError"),
        "duplicateIdentity": note.get("duplicateIdentity") is True,
        "certificates": ends_in(config, note),
        "clock": note.get("clock"),
        "storage": note.get("storage"),
        "copies": note.get("copies"),
        "sqlite": engine.version(encrypted=config.store.key is not None),
        "restored": None if restored is None else restored.model_dump(by_alias=True),
        "signed": bool(config.trust.keys),
        "keys": [key.kid for key in config.trust.keys],
        "epoch": where.epoch,
        "outbox": outbox,
        "reports": {"oldest": where.oldest, "newest": where.newest, "acknowledged": where.acknowledged},
        "events": {"oldest": log.oldest, "newest": log.newest, "acknowledged": log.acknowledged},
        "eventsWaiting": min(outbox, log.newest - log.sent),
        "eventsLost": log.lost,
        "held": [batch.batch_id for batch in held_batches(reader, states)],
        "devices": [
            {
                "deviceId": device.id,
                "name": device.name,
                "kind": device.kind.value,
                "users": {"Active": state.active, "Pending": state.pending, "Expired": state.expired},
                "maxUsers": device.max_users,
                "revision": state.revision,
                "digest": digest_text(state.digest),
                "driver": str(device.driver or "none"),
                "connected": hardware.get("connected") if device.driver else False,
                "position": hardware.get("position"),
            }
            for device in config.devices
            for state, hardware in ((states[device.id], hardware_in(note, device.id)),)
        ],
    }


def _show(config: Config, facts: dict[str, Any], now: int, clock: Fact) -> None:
    show_facts(
        [
            _gateway_fact(facts, now),
            _broker_fact(facts, now),
            *certificate_facts(config, facts["certificates"], now),
            _storage_fact(facts, now),
            clock,
            _outbox_fact(facts),
            _trust_fact(facts),
        ]
    )
    click.echo()
    show_rows(
        _COLUMNS,
        [
            (
                device["deviceId"],
                device["name"],
                _hardware_words(device),
                *(f"{device['users'][status]}" for status in _STATUSES),
                f"{device['maxUsers']}",
                f"{device['revision']}",
            )
            for device in facts["devices"]
        ],
    )
    for batch_id in facts["held"]:
        show_line(f"held: the removals of batch {batch_id} wait for the cloud to confirm them", "yellow")


def _gateway_fact(facts: dict[str, Any], now: int) -> Fact:
    if not facts["running"]:
        return Fact("gateway", f"{facts['gatewayId']}, not running", "red")
    version = f", version {facts['version']}" if facts["version"] else ""
    return Fact("gateway", f"{facts['gatewayId']}, running{_since(facts['startedAt'], now)}{version}", "green")


def _broker_fact(facts: dict[str, Any], now: int) -> Fact:
    broker, since = facts["broker"], _since(facts["since"], now)
    if not facts["running"]:
        return Fact("broker", f"{broker}, not connected")
    if facts["connected"] and facts["duplicateIdentity"]:
        return Fact("broker", f"{broker}, connected{since}; another client uses this gateway's client id", "red")
    if facts["connected"]:
        return Fact("broker", f"{broker}, connected{since}", "green")
    why = "another client uses this gateway's client id" if facts["duplicateIdentity"] else facts["lastError"]
    return Fact("broker", f"{broker}, not connected{since}{f': {why}' if why else ''}", "red")


def _storage_fact(facts: dict[str, Any], now: int) -> Fact:
    if not facts["running"]:
        return Fact("storage", "not in use")
    since = ""
    if (restored := facts["restored"]) is not None:
        since = f"; restored {lasting((now - restored['at']) / 1000)} ago from {_ORIGINS[restored['from']]}"
        since += f", because {restored['reason']}"
    if facts["copies"] not in {"ok", None}:
        since += f"; it cannot be copied: {facts['copies']}"
    ill = facts["storage"] not in {"ok", None}
    return Fact("storage", f"{facts['storage'] or 'not known yet'}{since}", "red" if ill else "yellow" if since else "")


def _clock_fact(config: Config, note: Mapping[str, Any] | None) -> Fact:
    if note is None:
        return Fact("clock", "not known while stopped")
    noted = clock_in(note)
    if noted is None:
        return Fact("clock", "not known yet")
    return Fact("clock", in_words(noted, seen(config, noted).facts), "yellow" if noted is ClockState.UNKNOWN else "")


def _outbox_fact(facts: dict[str, Any]) -> Fact:
    reports, events = (_counted(facts[name]["newest"], name) for name in ("reports", "events"))
    waiting = f"{facts['outbox'] or 'nothing'} waiting"
    if facts["eventsWaiting"]:
        waiting += f" ({_counted(facts['eventsWaiting'], 'events')})"
    lost = f", {_counted(facts['eventsLost'], 'events')} lost" if facts["eventsLost"] else ""
    return Fact("outbox", f"{waiting}; {reports} and {events} so far{lost}", "red" if lost else "")


def _trust_fact(facts: dict[str, Any]) -> Fact:
    if not facts["keys"]:
        return Fact("trust", f"no keys: {ANYBODY}", "yellow")
    return Fact("trust", f"only what is signed with {' or '.join(facts['keys'])}")


def _counted(number: int, things: str) -> str:
    return f"{number} {things.removesuffix('s') if number == 1 else things}"


def _hardware_words(device: Mapping[str, Any]) -> str:
    """How the hardware of a device is doing; nothing where nobody knows."""
    if device["driver"] == "none":
        return "no driver"
    if not device["connected"]:
        return "" if device["connected"] is None else "offline"
    return device["position"] or "connected"


def _since(moment: int | None, now: int) -> str:
    """How long something has lasted; nothing where nobody knows."""
    if moment is None:
        return ""
    return f" for {lasting((now - moment) / 1000)}"
