"""The commands of `fluss-agent`, one module each, loaded only when typed; here, what they have in common."""

from pathlib import Path

import click

from agent.config import Config, load
from agent.spare import ROTTEN, Spare, state_directory

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


def configuration(path: Path) -> Config:
    """What a file of this name says, or said before the card changed it; raises ConfigError."""
    spare = Spare(state_directory(Config.model_fields["state_dir"].default))
    config = load(path, spare.read)
    for rotten in spare.rotten:
        click.echo(f"warning: {rotten}: {ROTTEN}", err=True)
    return config
