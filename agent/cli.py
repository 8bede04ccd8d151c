"""The command line of `fluss-agent`: which commands there are, and the exit code each ending has."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Final

import click

from agent import exits, memory, version
from agent.config_findings import ConfigError

_COMMANDS: Final = ("run", "check-config", "status", "users", "explain", "events", "test")
"""Each is the `command` of the module with its name in `agent.commands`."""


class _Commands(click.Group):
    """Loads a command when it is typed, so that none waits for the imports of another."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """The names, in the order in which help shows them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- click's signature
        """The command of this name, or None."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"agent.commands.{cmd_name.replace('-', '_')}").command
        return command


def _show_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(f"fluss-agent {version()}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def cli() -> None:
    """Keep the allowed-user list of a Fluss+ gate on this board: invites in over MQTT, every person's status out."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line (default: the process's own) and returns the exit code of `agent.exits` for how it ended."""
    memory.collect_rarely()
    try:
        code = cli.main(arguments, prog_name="fluss-agent", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        error.show()
        return exits.USAGE
    except click.ClickException as error:
        error.show()
        return exits.IO
    except click.Abort:
        return exits.REFUSED
    except ConfigError as error:
        click.echo(str(error), err=True)
        return exits.CONFIG
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        click.echo(f"fluss-agent: {place}{error.strerror or error}", err=True)
        _drop_output()
        return exits.IO
    except Exception as bug:  # noqa: BLE001 -- the top of the process: nothing above would turn a bug into its exit code
        from agent import logs  # noqa: PLC0415 -- no command waits for the log of a bug

        logs.configure()
        logs.get_logger().error("command.crashed", exc_info=bug)
        click.echo(f"fluss-agent: this is a bug ({type(bug).__name__}); please report it with the log above", err=True)
        return exits.BUG
    return code if isinstance(code, int) else exits.OK


def _drop_output() -> None:
    """What could not be written is not tried once more at the end: Python would then exit with a code of its own."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
