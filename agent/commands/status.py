"""`fluss-agent status`: connection, lists, outbox and clock at a glance."""

import json
import time
from pathlib import Path
from typing import Any

import click

from agent import exits
from agent.commands import config_option
from agent.commands.tables import show_facts, show_rows
from agent.config import Config, load
from agent.store_path import NOTE, is_running, opened
from protocol.digest import digest_text
from storage.database import Reader
from storage.outbox import position
from storage.store import DeviceState, device_states, held_batches

_EMPTY = DeviceState(0, 0, 0, 0, 0, 0)


@click.command("status")
@config_option
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(path: Path, form: str) -> int:
    """Show how the gateway is doing; works while the daemon runs, and while it does not."""
    config = load(path)
    with opened(config) as reader:
        facts = _facts(config, reader)
    if form == "json":
        click.echo(json.dumps(facts, indent=2))
    else:
        _show(config, facts)
    return exits.OK


def _facts(config: Config, reader: Reader) -> dict[str, Any]:
    running = is_running(config.state_dir)
    note = _note(config.state_dir / NOTE)
    where = position(reader)
    lists = device_states(reader)
    states = {device.id: lists.get(device.id, _EMPTY) for device in config.devices}
    return {
        "gatewayId": config.gateway_id,
        "running": running,
        "connected": running and note.get("connected") is True,
        "since": note.get("since"),
        "broker": f"{config.mqtt.host}:{config.mqtt.port}",
        "lastError": note.get("lastError"),
        "duplicateIdentity": note.get("duplicateIdentity", False),
        "clock": note.get("clock") if running else None,
        "storage": note.get("storage") if running else None,
        "signed": bool(config.trust.keys),
        "epoch": where.epoch,
        "outbox": note.get("outbox", where.newest - where.sent) if running else where.newest - where.sent,
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
    """What the daemon wrote down last about its link."""
    try:
        note = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _show(config: Config, facts: dict[str, Any]) -> None:
    show_facts(
        {
            "gateway": f"{config.gateway_id}, {'running' if facts['running'] else 'not running'}",
            "broker": _link_words(facts),
            "storage": facts["storage"] or "not in use",
            "clock": facts["clock"] or "not known while stopped",
            "outbox": f"{facts['outbox']} waiting, {facts['reports']['newest']} reported so far",
            "batches": "signed ones only" if facts["signed"] else "unsigned ones are believed: no trusted keys",
        }
    )
    show_rows(
        ("device", "name", "Active", "Pending", "Expired", "limit", "revision"),
        [
            (
                device["deviceId"],
                device["name"],
                *(f"{device['users'][status]}" for status in ("Active", "Pending", "Expired")),
                f"{device['maxUsers']}",
                f"{device['revision']}",
            )
            for device in facts["devices"]
        ],
        whole=("device", "Active", "Pending", "Expired", "limit", "revision"),
    )
    for batch_id in facts["held"]:
        click.echo(f"held: the removals of batch {batch_id} wait for the cloud to confirm them")


def _link_words(facts: dict[str, Any]) -> str:
    broker = facts["broker"]
    if not facts["running"]:
        return f"{broker}, not connected"
    for_s = max(0, int(time.time() - facts["since"] / 1000)) if facts["since"] else 0
    if facts["connected"]:
        return f"{broker}, connected for {_span(for_s)}"
    words = f"{broker}, not connected for {_span(for_s)}"
    if facts["duplicateIdentity"]:
        words += ": another client uses this gateway's client id"
    elif facts["lastError"]:
        words += f": {facts['lastError']}"
    return words


def _span(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
