"""`fluss-agent check-config`: every mistake at once, or what the gateway would do."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from agent import exits
from agent.commands import config_option, configuration
from agent.config import Config, Device, Mqtt
from agent.config_checks import concerns
from storage import engine

_COLUMNS = ("device", "name", "kind", "time zone", "max users", "driver", "opens")


@click.command("check-config")
@config_option
def command(path: Path) -> int:
    """Check the configuration without touching anything."""
    config = configuration(path)
    click.echo(f"{path}: no mistakes\n")
    show = _show_table if sys.stdout.isatty() else _show_plain
    show(_facts(config), [_row(device) for device in config.devices])
    for concern in concerns(config):
        click.echo(f"note: {concern}")
    if (fault := engine.concern(encrypted=config.store.key is not None)) is not None:
        click.echo(f"note: {fault}")
    return exits.OK


def _facts(config: Config) -> dict[str, str]:
    return {
        "gateway": config.gateway_id,
        "broker": f"{config.mqtt.host}:{config.mqtt.port}, MQTT {config.mqtt.protocol}, {_safety(config.mqtt)}",
        "trust": ", ".join(f"{key.kid} ({key.thumbprint})" for key in config.trust.keys) or "no keys",
        "topics": f"{config.mqtt.topic_prefix}/{config.gateway_id}/",
        "region": config.default_region,
        "state": str(config.state_dir),
    }


def _safety(mqtt: Mqtt) -> str:
    proofs = [("a client certificate", mqtt.cert_file), ("a password", mqtt.password_file)]
    given = [name for name, file in proofs if file]
    return f"{'TLS' if mqtt.tls else 'no TLS'}, {' and '.join(given) or 'no credentials'}"


def _row(device: Device) -> tuple[str, ...]:
    return (
        device.id,
        device.name,
        device.kind,
        device.timezone.key,
        str(device.max_users),
        str(device.driver or "none"),
        device.opens or "",
    )


def _show_plain(facts: dict[str, str], devices: Iterable[Sequence[str]]) -> None:
    for name, value in facts.items():
        click.echo(f"{name}\t{value}")
    for device in (_COLUMNS, *devices):
        click.echo("\t".join(device))


def _show_table(facts: dict[str, str], devices: Iterable[Sequence[str]]) -> None:
    from rich import box  # noqa: PLC0415 -- only a terminal waits for rich
    from rich.console import Console  # noqa: PLC0415 -- the same
    from rich.table import Table  # noqa: PLC0415 -- the same

    summary = Table.grid(padding=(0, 3))
    summary.add_column(style="bold")
    for fact in facts.items():
        summary.add_row(*fact)
    table = Table(*_COLUMNS, box=box.SIMPLE_HEAD)
    for device in devices:
        table.add_row(*device)
    console = Console(markup=False, emoji=False, highlight=False)
    console.print(summary, table)
