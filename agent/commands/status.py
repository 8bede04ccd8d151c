"""`fluss-agent status`: connection, lists, outbox and clock at a glance."""

import json
from pathlib import Path
from typing import Any, Final

import click

from agent import exits
from agent.clock import wall_ms
from agent.commands import config_option
from agent.commands.tables import Column, Fact, show_facts, show_line, show_rows, utf8_output
from agent.config import Config, load
from agent.store_path import NOTE, is_running, opened
from protocol.digest import digest_text
from protocol.vocabulary import ClockState, Status
from storage.database import Reader
from storage.outbox import position
from storage.store import DeviceState, device_states, held_batches

_EMPTY: Final = DeviceState(0, 0, 0, 0, 0, 0)
_STATUSES: Final = (Status.ACTIVE, Status.PENDING, Status.EXPIRED)
_COLUMNS: Final = (
    Column("device"),
    Column("name", least=8),
    *(Column(status, right=True) for status in _STATUSES),
    Column("limit", right=True),
    Column("revision", right=True),
)
_CLOCKS: Final = {
    ClockState.SYNCED: ("synced", ""),
    ClockState.HOLDOVER: ("holdover: right when a time server confirmed it last, within a week", ""),
    ClockState.UNKNOWN: ("unknown: no time server has confirmed it since the gateway started", "yellow"),
}


@click.command("status")
@config_option
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(path: Path, form: str) -> int:
    """Show how the gateway is doing; works while the daemon runs, and while it does not."""
    config = load(path)
    with opened(config) as reader:
        facts = _facts(config, reader)
    if form == "json":
        out = utf8_output()
        out.write(json.dumps(facts, indent=2) + "\n")
        out.flush()
    else:
        _show(facts, wall_ms())
    return exits.OK


def _facts(config: Config, reader: Reader) -> dict[str, Any]:
    running = is_running(config.state_dir)
    note = _note(config.state_dir / NOTE) if running else {}
    where = position(reader)
    lists = device_states(reader)
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
        "clock": note.get("clock"),
        "storage": note.get("storage"),
        "signed": bool(config.trust.keys),
        "epoch": where.epoch,
        "outbox": note.get("outbox", where.newest - where.sent),
        "reports": {"oldest": where.oldest, "newest": where.newest, "acknowledged": where.acknowledged},
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
            }
            for device in config.devices
            for state in (states[device.id],)
        ],
    }


def _note(path: Path) -> dict[str, Any]:
    """What the daemon wrote down last about itself and its link; nothing where it has not yet."""
    try:
        note = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _show(facts: dict[str, Any], now: int) -> None:
    show_facts(
        [
            _gateway_fact(facts, now),
            _broker_fact(facts, now),
            _storage_fact(facts),
            _clock_fact(facts),
            Fact("outbox", f"{facts['outbox'] or 'nothing'} waiting, {facts['reports']['newest']} reports so far"),
            Fact("batches", "only signed ones are believed")
            if facts["signed"]
            else Fact("batches", "unsigned ones are believed: there are no trusted keys", "yellow"),
        ]
    )
    click.echo()
    show_rows(
        _COLUMNS,
        [
            (
                device["deviceId"],
                device["name"],
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
    if facts["connected"]:
        return Fact("broker", f"{broker}, connected{since}", "green")
    why = "another client uses this gateway's client id" if facts["duplicateIdentity"] else facts["lastError"]
    return Fact("broker", f"{broker}, not connected{since}{f': {why}' if why else ''}", "red")


def _storage_fact(facts: dict[str, Any]) -> Fact:
    if not facts["running"]:
        return Fact("storage", "not in use")
    return Fact("storage", facts["storage"] or "not known yet", "red" if facts["storage"] not in {"ok", None} else "")


def _clock_fact(facts: dict[str, Any]) -> Fact:
    if not facts["running"]:
        return Fact("clock", "not known while stopped")
    words, style = _CLOCKS.get(facts["clock"], ("not known yet", ""))
    return Fact("clock", words, style)


def _since(moment: int | None, now: int) -> str:
    """How long something has lasted; nothing where nobody knows."""
    if moment is None:
        return ""
    seconds = max(0, now - moment) // 1000
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f" for {seconds // size} {unit}"
    return f" for {seconds} s"
