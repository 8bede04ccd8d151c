"""`fluss-agent test`: the installer's one pulse."""

import asyncio
import os
from pathlib import Path

import click

from agent import bench, exits, logs
from agent.bench import Deaf, Pulsed
from agent.commands import config_option, configuration
from agent.commands.devices import moved_by, named
from agent.commands.tables import one_line, show_line
from agent.config import Config, Device
from agent.config_drivers import Gpio
from agent.ownership import Occupied, owned
from agent.store_path import is_running
from protocol.vocabulary import Denial
from storage.database import SchemaFault, StorageFault


@click.command("test")
@config_option
@click.argument("asked", metavar="DEVICE")
@click.option("--yes", is_flag=True, help="Do not ask whether the way is clear.")
def command(path: Path, asked: str, yes: bool) -> int:
    """Move a gate once, and say what came back. DEVICE is its id, or a name in the configuration.

    For whoever installs the gateway and stands at the gate. It goes the way of every opening, and is in the access log
    as `local`. An intercom has the Fluss+ moved that it opens.

    Exit code: 0 where the gate was moved, 1 where it was not, 69 where its hardware cannot be reached or says nothing.
    """
    config = configuration(path)
    device = named(config, asked)
    moves = moved_by(config, device)
    if moves is None:
        raise click.UsageError(f"'{device.name}' opens no gate: set its `opens` in {path}")
    if moves.driver is None:
        click.echo(f"Error: '{moves.name}' has no driver: set its `driver` in {path}", err=True)
        return exits.UNREACHABLE
    if not yes and not _confirmed(moves):
        click.echo("nothing was moved", err=True)
        return exits.REFUSED
    try:
        said = _pulse(config, device, moves)
    except Deaf as deaf:
        click.echo(f"Error: {deaf}", err=True)
        return exits.UNREACHABLE
    except PermissionError as error:
        cure = "use sudo, or be the user whom the gateway runs as"
        place = f"{error.filename}: this user (uid {os.geteuid()}) may not use it"
        raise click.ClickException(f"{place}; {cure}") from error
    except (StorageFault, SchemaFault) as fault:
        raise click.ClickException(str(fault)) from fault
    return _tell(said, moves)


def _confirmed(moves: Device) -> bool:
    try:
        return click.confirm(one_line(f"This moves '{moves.name}' now. Is nobody in its way?"), err=True)
    except click.Abort:  # Ctrl-C, or nobody there who could answer
        click.echo(err=True)
        return False


def _pulse(config: Config, device: Device, moves: Device) -> Pulsed:
    """Have the daemon move the gate, or where none runs, do so in its place."""
    if not is_running(config.state_dir):
        _require_own(config.state_dir)
        click.echo(one_line(f"The gateway is not running: reaching {moves.driver} without it …"), err=True)
        logs.configure("warning")
        from agent.pulse import pulse  # noqa: PLC0415 -- beside a daemon, nobody waits for all of the gate

        try:
            with owned(config.state_dir):
                return asyncio.run(pulse(config, device, moves))
        except Occupied:
            pass  # it has started meanwhile
    return bench.ask(config.state_dir / bench.FILE, device.id)


def _require_own(state_dir: Path) -> None:
    """What another user than the gateway's would leave behind, the gateway could not write to."""
    if state_dir.exists() and state_dir.stat().st_uid != os.geteuid():
        raise click.ClickException(
            f"the gateway is not running, and {state_dir} is not this user's (uid {os.geteuid()}): "
            "start the gateway first (systemctl start fluss-agent)"
        )


def _tell(said: Pulsed, moves: Device) -> int:
    """Say what came back; the exit code for it."""
    words, code = _words(said, moves)
    show_line(words, "green" if code == exits.OK else "red")
    if not said.recorded and said.reason in {None, Denial.DEVICE_OFFLINE}:
        show_line("The access log cannot be written at present; fluss-agent status says why", "yellow")
    return code


def _words(said: Pulsed, moves: Device) -> tuple[str, int]:
    match said.reason:
        case Denial.DEVICE_OFFLINE:
            cure = "check its power and its cable; the gateway's log says more (journalctl -u fluss-agent)"
            return f"{moves.name} cannot be reached at {moves.driver}: {cure}", exits.UNREACHABLE
        case Denial.BUSY:
            return f"{moves.name} did not move: too much is under way at once; try again in a moment", exits.REFUSED
        case Denial.UNKNOWN_DEVICE:
            return f"{moves.name} did not move: the gateway does not know it yet; restart the gateway", exits.REFUSED
        case Denial():
            return f"{moves.name} did not move: {said.reason}", exits.REFUSED
    if said.ok is None:
        return f"{moves.name} was told to move, and nobody knows whether it did: {said.error}", exits.UNREACHABLE
    if not said.ok:
        return f"{moves.name} did not move: {said.error or 'its hardware did not say why'}", exits.REFUSED
    if isinstance(moves.driver, Gpio):
        return (
            f"The relay of {moves.name} was closed for {moves.driver.pulse_ms} ms: only you can see it move",
            exits.OK,
        )
    return f"{moves.name} moved: its hardware says that it did what it was told", exits.OK
