"""The commands of `fluss-agent`, one module each, loaded only when typed; here, what they have in common."""

from pathlib import Path

import click

config_option = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default="/etc/fluss-agent/agent.toml",
    envvar="FLUSS_AGENT_CONFIG",
    show_default=True,
    show_envvar=True,
    metavar="FILE",
    help="The configuration of the gateway.",
)
