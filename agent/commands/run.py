"""`fluss-agent run`: the daemon."""

from pathlib import Path

import click

from agent import logs
from agent.commands import config_option
from agent.config import load
from agent.config_checks import concerns
from agent.spare import ROTTEN, Spare, state_directory
from storage import engine


@click.command()
@config_option
@click.option(
    "--log-level", type=click.Choice(logs.LEVELS), default="info", show_default=True, help="The least that is logged."
)
def command(path: Path, log_level: str) -> int:
    """Keep the lists, and report what became of every person."""
    logs.configure(log_level)
    spare = Spare(state_directory())
    config = load(path, spare.read)
    for rotten in spare.rotten:
        logs.get_logger().critical("config.rotten", path=str(rotten), why=ROTTEN)
    try:
        spare.keep()
    except OSError as error:  # the gate is worth more than its spare
        logs.get_logger().warning("spare.unwritten", error=str(error))
    for concern in concerns(config):
        logs.get_logger().warning("config.questioned", key=concern.key, why=concern.message)
    encrypted = config.store.key is not None
    if (fault := engine.concern(encrypted=encrypted)) is not None:
        logs.get_logger().warning("sqlite.questioned", version=engine.version(encrypted=encrypted), why=fault)

    from agent import daemon  # noqa: PLC0415 -- a mistake in the file is told without waiting for all of the daemon

    return daemon.run(config)
