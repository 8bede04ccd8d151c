"""The command line of `fluss-simulator`: which commands there are, and the exit code each ending has."""

import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from simulator import exits, version

_COMMANDS: Final = ("demo", "scenario", "broker", "hardware", "cloud", "keys")
"""Each is the `command` of the module with its name in `simulator.commands`."""


class _Commands(click.Group):
    """Loads a command when it is typed, so that none waits for the imports of another."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """The names, in the order in which help shows them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- click's signature
        """The command of this name, or None."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"simulator.commands.{cmd_name}").command
        return command


def _show_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(f"fluss-simulator {version()}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def cli() -> None:
    """The other side of a gateway, for benches and tests: a broker, the gates, and the office that imports lists."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line (default: the process's own) and returns the exit code of `simulator.exits`."""
    try:
        code = cli.main(arguments, prog_name="fluss-simulator", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return exits.USAGE
    except click.Abort:
        return exits.REFUSED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except exits.Failure as failure:
        click.echo(f"fluss-simulator: {failure}", err=True)
        return failure.exit_code
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        click.echo(f"fluss-simulator: {place}{error.strerror or error}", err=True)
        return exits.IO
    except Exception as bug:  # noqa: BLE001 -- the top of the process: nothing above would turn a bug into its exit code
        traceback.print_exception(bug)
        click.echo(f"fluss-simulator: this is a bug ({type(bug).__name__}); please report it with the above", err=True)
        return exits.BUG
    return code if isinstance(code, int) else exits.OK
