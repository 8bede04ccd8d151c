"""`fluss-simulator cloud …`: the office's side, against any broker and gateway."""

from importlib import import_module
from typing import Final

import click

_COMMANDS: Final = {
    "invite": "invite",
    "revoke": "revoke",
    "watch": "watch",
    "report": "ask",
    "confirm": "ask",
    "acknowledge": "ask",
    "sync": "sync",
    "erase": "erase",
    "trigger": "order",
    "open": "order",
    "close": "order",
    "issue-code": "code",
    "revoke-code": "code",
    "codes": "code",
}
"""Each is the function of its name in a module of `simulator.commands`."""


class _Commands(click.Group):
    """Loads a command when it is typed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """The names, in the order in which help shows them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- click's signature
        """The command of this name, or None."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(
            import_module(f"simulator.commands.{_COMMANDS[cmd_name]}"), cmd_name.replace("-", "_")
        )
        return command


@click.group(cls=_Commands)
def command() -> None:
    """The office: import lists, ask gateways, have gates moved."""
